"""Results that are not kept in the cache for what was seen while the task ran (cache rules 13 and 14): which they are, why, and
what changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.app.caching import codes_of
from penstock.app.playing import plan_of
from penstock.app.verdicts import node_at
from penstock.app.words import count

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.engine.rows import RunRow
    from penstock.values.store import ArtifactStore

COMPONENTS_MAX = 5
NAMED_MAX = 3
_ELSEWHERE = {
    " (called in another process of the task)": "was called in another process of the task",
    " (imported by another process of the task)": "was imported by another process of the task",
    " (named by an output)": "was named by an output",
}


@dataclass(frozen=True, slots=True)
class Unkept:
    """A component: so many of its task runs left no entry; the reason of the first."""

    component: str
    task_runs: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"component": self.component, "task_runs": self.task_runs, "reason": self.reason}


def unkept_results(store: StateStore, artifacts: ArtifactStore, run: RunRow) -> tuple[Unkept, ...]:
    """By component, in the order of paths; without those whose code was reported before the run, and those that are never
    cached."""
    last = {each.path: each for each in store.attempts(run.run_id, outside=True) if each.outcome == "succeeded"}
    if not last:
        return ()
    root, codes = plan_of(store, run).root, codes_of(artifacts, run.code)
    paths: dict[str, list[str]] = {}
    for path in last:
        node = node_at(root, path)
        code = codes.get(node.component) if node is not None and node.cache else None
        if node is not None and code is not None and not code.unresolved:
            paths.setdefault(node.component, []).append(path)
    return tuple(Unkept(name, len(each), reasons_of(last[each[0]].outside)[0]) for name, each in paths.items())


def reasons_of(outside: Sequence[str]) -> list[str]:
    """What an attempt has named in its `outside`, in words: the code first."""
    kinds = {
        what: [each.removesuffix(text) for each in outside if each.endswith(text)] for text, what in _ELSEWHERE.items()
    }
    plain = [each for each in outside if " " not in each]
    kinds["was called"] = [each for each in plain if ":" in each]
    called = {name.partition(":")[0] for names in kinds.values() for name in names if ":" in name}
    kinds["was imported while it ran"] = [each for each in plain if ":" not in each]
    said, modules = [], dict[str, None]()
    for what, names in kinds.items():
        fresh = [name for name in dict.fromkeys(names) if name not in called]
        if fresh:
            more = f" and {len(fresh) - NAMED_MAX} more" if len(fresh) > NAMED_MAX else ""
            was = what if len(fresh) == 1 else what.replace("was ", "were ", 1)
            said.append(f"{', '.join(fresh[:NAMED_MAX])}{more} {was}")
            modules.update(dict.fromkeys(name.partition(":")[0] for name in fresh))
    others = [each for each in dict.fromkeys(outside) if " " in each and not each.endswith(tuple(_ELSEWHERE))]
    if not said:
        return others
    shown = ", ".join(f'"{module}"' for module in list(modules)[:NAMED_MAX])
    unknown = "not among the code that the task is known to use"
    return [f"{', '.join(said)}, {unknown}: name it in depends=[{shown}]", *others]


def unkept_lines(unkept: Sequence[Unkept]) -> list[str]:
    """A warning for each of the first components, with what fixes it."""
    lines = []
    for each in unkept[:COMPONENTS_MAX]:
        results = f"the results of {each.task_runs:,} task runs" if each.task_runs > 1 else "the result"
        are = "are" if each.task_runs > 1 else "is"
        lines.append(f"warning: {results} of {each.component} {are} not kept in the cache: {each.reason}")
    if len(unkept) > COMPONENTS_MAX:
        lines.append(f"warning: … and those of {count(len(unkept) - COMPONENTS_MAX, 'more component')}")
    if lines:
        lines.append(
            '  Name code in @task(depends=[...]), and files in files=[...]. For a program that is started, cache="trust" takes'
        )
        lines.append("  your word. cache=False says that no result is to be kept.")
    return lines
