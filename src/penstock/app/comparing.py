"""Two runs side by side: graph, parameters, code, environment, outputs, metrics, durations."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.caching import all_code_of
from penstock.app.explaining import Changed, Parts, differences
from penstock.app.places import open_artifacts, open_existing_store_to_read, project_settings
from penstock.app.playing import graph_of
from penstock.app.reading import find_run
from penstock.app.results import duration_ms, shown
from penstock.code.model import ComponentCode
from penstock.graph.render import graph_text
from penstock.wire import NOTED_PREFIXES, Artifact

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.engine.rows import RunRow
    from penstock.values.store import ArtifactStore
    from penstock.wire import Datum

# A duration counts as different from so much on, and from such a share of it on.
DURATION_MS = 1.0
DURATION_SHARE = 0.1
MISSING = "(none)"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that differs, as texts."""

    name: str
    before: str
    after: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two runs; empty where they are the same. `graph_diff` is a unified diff of the graphs as
    text."""

    before: str
    after: str
    run: tuple[Line, ...]
    graph_diff: str
    parameters: tuple[Line, ...]
    code: tuple[Changed, ...]
    environment: tuple[Changed, ...]
    outputs: tuple[Line, ...]
    task_runs: tuple[Line, ...]
    metrics: tuple[Line, ...]
    durations: tuple[Line, ...]

    def sections(self) -> Iterator[tuple[str, tuple[Line, ...]]]:
        """In the order in which they are shown; graph, code and environment have forms of their own."""
        yield "run", self.run
        yield "graph", ()
        yield "parameters", self.parameters
        yield "code", ()
        yield "environment", ()
        yield "outputs", self.outputs
        yield "task runs", self.task_runs
        yield "metrics", self.metrics
        yield "durations", self.durations

    def to_json(self) -> dict[str, Any]:
        lines = {title.replace(" ", "_"): [line.to_json() for line in part] for title, part in self.sections()}
        return {
            "before": self.before,
            "after": self.after,
            **lines,
            "graph": self.graph_diff,
            "code": [change.to_json() for change in self.code],
            "environment": [change.to_json() for change in self.environment],
        }


def diff_runs(before_text: str, after_text: str) -> Difference:
    """Raises InvalidInput for runs that there are not, with the nearest ids."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        before, after = find_run(store, before_text), find_run(store, after_text)
        code, environment = _code(open_artifacts(settings), before, after)
        return Difference(
            before.run_id,
            after.run_id,
            run=_run(before, after),
            graph_diff=_graphs(store, before, after),
            parameters=_data(before.inputs, after.inputs),
            code=code,
            environment=environment,
            outputs=_data(before.outputs, after.outputs),
            task_runs=_lines(_states(store, before), _states(store, after)),
            metrics=_lines(_metrics(store, before), _metrics(store, after)),
            durations=_durations(store, before, after),
        )


def _lines(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(
        Line(name, before.get(name, MISSING), after.get(name, MISSING))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def _run(before: RunRow, after: RunRow) -> tuple[Line, ...]:
    def told(run: RunRow) -> dict[str, str]:
        git = run.provenance.get("git")
        made = {
            "pipeline": run.pipeline,
            "state": run.state.value,
            "python": str(run.provenance.get("python", "")),
            "penstock": str(run.provenance.get("penstock", "")),
        }
        return {**made, **({"git": _text(git)} if git else {})}

    return _lines(told(before), told(after))


def _graphs(store: StateStore, before: RunRow, after: RunRow) -> str:
    if before.graph_digest == after.graph_digest:
        return ""
    old, new = (graph_text(graph_of(store, run)).splitlines() for run in (before, after))
    return "\n".join(difflib.unified_diff(old, new, before.run_id, after.run_id, lineterm="", n=2))


def _data(before: Mapping[str, Datum], after: Mapping[str, Datum]) -> tuple[Line, ...]:
    return _lines(*({name: _datum_text(datum) for name, datum in data.items()} for data in (before, after)))


def _datum_text(datum: Datum) -> str:
    return f"{datum.type} {datum.digest}" if isinstance(datum, Artifact) else _text(shown(datum))


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True)


def _states(store: StateStore, run: RunRow) -> dict[str, str]:
    """How each task run ended; whether it was computed or a hit is no difference of what it is."""
    return {row.path: row.state.value for row in store.task_runs(run.run_id)}


def _metrics(store: StateStore, run: RunRow) -> dict[str, str]:
    """The last value of every metric."""
    last: dict[str, str] = {}
    for observation in store.metrics(run.run_id):
        if observation.name.startswith(NOTED_PREFIXES):
            continue
        path = observation.attempt_id.partition("/")[2].rpartition("#")[0]
        last[f"{path} {observation.name}"] = f"{observation.value:g}"
    return last


def _durations(store: StateStore, before: RunRow, after: RunRow) -> tuple[Line, ...]:
    """The run's own, and those of task runs that were computed both times, the largest change first."""
    found = []
    totals = [duration_ms(run.started_at, run.ended_at) for run in (before, after)]
    if totals[0] is not None and totals[1] is not None:
        found.append(("(the run)", float(totals[0]), float(totals[1])))
    attempts = [{row.path: row.duration_us / 1_000 for row in store.attempts(run.run_id)} for run in (before, after)]
    found += [(path, took, attempts[1][path]) for path, took in sorted(attempts[0].items()) if path in attempts[1]]
    far = [one for one in found if abs(one[1] - one[2]) > max(DURATION_MS, DURATION_SHARE * max(one[1], one[2]))]
    far.sort(key=lambda one: -abs(one[1] - one[2]))
    return tuple(Line(path, f"{old:.1f} ms", f"{new:.1f} ms") for path, old, new in far)


def _code(artifacts: ArtifactStore, before: RunRow, after: RunRow) -> tuple[tuple[Changed, ...], tuple[Changed, ...]]:
    """The units and parts of the environment that differ in any component that both runs have; each once."""
    if before.code == after.code:
        return (), ()
    codes = [all_code_of(artifacts, run.code) for run in (before, after)]
    found: dict[tuple[str, str], Changed] = {}
    for component in sorted(codes[0].keys() & codes[1].keys()):
        sides = [_parts(component, each[component]) for each in codes]
        for change in differences(sides[0], sides[1]):
            found.setdefault((change.kind, change.name), change)
    for component in sorted(codes[0].keys() ^ codes[1].keys()):
        here = component in codes[1]
        found["code", component] = Changed("code", component, "" if here else "there", "there" if here else "")
    in_code = tuple(change for change in found.values() if change.kind in ("code", "version"))
    return in_code, tuple(change for change in found.values() if change.kind == "environment")


def _parts(component: str, code: ComponentCode) -> Parts:
    return Parts(component, code.digest, code.environment, {}, code=code)
