"""The code of a component as a key part: what it is made of, and as one JSON blob for the components of a pipeline.

The blob is `{"module:name": {"digest", "environment", "parts", "unresolved", "version", "units"}, ...,
"shared": [...]}`. What a component shares with others (nearly everything) stands once in `shared`, as `[unit, digest,
module, functions, source, position, reach]`, and `units` says which of those are its own: a number whose n-th lowest
bit stands for the n-th. `codes_from_json` puts it together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

SHARED = "shared"
ISOLATED = "isolated"
"""The key part that names the environment of a component's own."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Something that decides what a component does and cannot be followed (cache rule 13). `reads` is the path of a file
    that is read where nobody sees it."""

    unit: str
    why: str
    file: str
    line: int
    reads: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of first-party code (rule 2). `digest` is that of its normal form or value, `functions` are the qualified
    names of what is defined in it, `source` is the text that a person reads. `position` is its place among all that the
    components reach (-1: not asked), `reach` of a class the places that it reaches itself, as bits."""

    name: str
    digest: str
    module: str
    functions: tuple[str, ...]
    source: str
    position: int = field(default=-1, compare=False)
    reach: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ComponentCode:
    """`digest` is over the units, `environment` over `parts` (distributions, Python, variables, files). A component
    with something unresolved is not cached. `functions` are `module:qualname`; a function ran inside the closure if it
    is one of these, or stands in one of `modules` under a name that starts with one of these."""

    digest: str
    environment: str
    parts: Mapping[str, str]
    unresolved: tuple[Unresolved, ...]
    version: str | None
    closure: tuple[Unit, ...]
    unannotated: str = ""
    """As the digest and the environment together, without what the return annotation adds; empty where that may not be told
    apart."""
    is_answered_for: bool = False
    """Its author answers for what cannot be followed: by `depends=`, or by `cache="trust"`."""

    @property
    def units(self) -> dict[str, str]:
        return {unit.name: unit.digest for unit in self.closure}

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(unit.module for unit in self.closure))

    @property
    def functions(self) -> tuple[str, ...]:
        return tuple(f"{unit.module}:{name}" for unit in self.closure for name in unit.functions)

    @property
    def sources(self) -> dict[str, str]:
        return {unit.name: unit.source for unit in self.closure if unit.source}


def codes_to_json(codes: Mapping[str, ComponentCode]) -> dict[str, Any]:
    # Components share the very objects, and comparing thousands of texts for each of them takes long.
    shared: dict[int, tuple[int, Unit]] = {}
    answer: dict[str, Any] = {}
    for component, code in codes.items():
        own = bytearray(b"0")
        for unit in code.closure:
            position, _ = shared.setdefault(id(unit), (len(shared), unit))
            own.extend(b"0" * (position + 1 - len(own)))
            own[position] = ord("1")
        bits = int(own[::-1], 2)
        answer[component] = {
            "digest": code.digest,
            "environment": code.environment,
            "parts": dict(code.parts),
            "unresolved": [
                {"unit": each.unit, "why": each.why, "file": each.file, "line": each.line, "reads": each.reads}
                for each in code.unresolved
            ],
            "version": code.version,
            "units": f"{bits:x}",
            **({"unannotated": code.unannotated} if code.unannotated else {}),
            **({"answered_for": True} if code.is_answered_for else {}),
        }
    answer[SHARED] = [_unit_to_json(unit) for _, unit in shared.values()]
    return answer


def _unit_to_json(unit: Unit) -> list[Any]:
    reach = f"{unit.reach:x}" if unit.reach else ""
    return [unit.name, unit.digest, unit.module, list(unit.functions), unit.source, unit.position, reach]


def _unit_from_json(row: Sequence[Any]) -> Unit:
    name, digest, module, functions, source, position, reach = row
    return Unit(name, digest, module, tuple(functions), source, position, int(reach, 16) if reach else 0)


def units_of(data: Mapping[str, Any], name: str) -> tuple[Unit, ...] | None:
    """The units that a class reaches, itself included, by `module:name`; None where the blob has no such class (cache
    rule 10)."""
    rows = data.get(SHARED, ())
    reach = next((int(row[6], 16) for row in rows if row[0] == name and row[6]), 0)
    if not reach:
        return None
    by_position = {row[5]: row for row in reversed(rows)}
    return tuple(_unit_from_json(row) for position, row in sorted(by_position.items()) if reach >> position & 1)


def codes_from_json(data: Mapping[str, Any]) -> dict[str, ComponentCode]:
    """The code of each component by `module:name`."""
    shared = [_unit_from_json(row) for row in data[SHARED]]
    return {component: _code_from_json(data[component], shared) for component in data if component != SHARED}


def code_from_json(data: Mapping[str, Any], component: str) -> ComponentCode | None:
    """The code of one component; None for one that the blob does not have."""
    if component not in data or component == SHARED:
        return None
    shared = [_unit_from_json(row) for row in data[SHARED]]
    return _code_from_json(data[component], shared)


def _code_from_json(given: Mapping[str, Any], shared: Iterable[Unit]) -> ComponentCode:
    chosen = (bit == "1" for bit in reversed(f"{int(given['units'], 16):b}"))
    return ComponentCode(
        given["digest"],
        given["environment"],
        given["parts"],
        tuple(
            Unresolved(each["unit"], each["why"], each["file"], each["line"], each.get("reads", ""))
            for each in given["unresolved"]
        ),
        given["version"],
        tuple(compress(shared, chosen)),
        given.get("unannotated", ""),
        given.get("answered_for", False),
    )
