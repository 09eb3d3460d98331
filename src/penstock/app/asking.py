"""Who asks for much more memory than it uses, as far as earlier runs tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.app.words import count
from penstock.base.sizes import size_text
from penstock.plan.model import parts_of

if TYPE_CHECKING:
    from penstock.effects import ComponentHistory
    from penstock.plan.model import Plan

# Less than this is not worth a word: the interpreter and its libraries take as much.
SPARE_BYTES_MIN = 256 << 20
# Nor is less than twice what was used: runs differ.
TIMES_MIN = 2


@dataclass(frozen=True, slots=True)
class OverAsked:
    """A component that declares much more memory than the attempts of its newest runs have used at most."""

    component: str
    asked_bytes: int
    used_bytes: int
    runs_count: int

    @property
    def text(self) -> str:
        name = self.component.rpartition(":")[2]
        asked, used = size_text(self.asked_bytes), size_text(self.used_bytes)
        return f"{name} asked for {asked} and used at most {used} in {count(self.runs_count, 'run')}"

    def to_json(self) -> dict[str, Any]:
        return {
            "component": self.component,
            "memory_bytes_asked": self.asked_bytes,
            "memory_bytes_peak": self.used_bytes,
            "runs": self.runs_count,
        }


def over_asked(plan: Plan, known: Mapping[str, ComponentHistory]) -> tuple[OverAsked, ...]:
    """Those of a plan, the largest waste first. What ran out of memory when it had less is not among them."""
    found: dict[str, OverAsked] = {}
    for part in parts_of(plan.root):
        for node in part.nodes:
            history, asked = known.get(node.component), node.memory_bytes_max
            if history is None or asked is None or history.memory.worked or not history.memory.attempts_count:
                continue
            used = history.memory.peak_bytes_max
            if asked >= used * TIMES_MIN and asked - used >= SPARE_BYTES_MIN:
                best = found.get(node.component)
                if best is None or best.asked_bytes < asked:
                    found[node.component] = OverAsked(node.component, asked, used, history.memory.runs_count)
    return tuple(sorted(found.values(), key=lambda each: (each.used_bytes - each.asked_bytes, each.component)))
