"""The verbs that only read: runs, one run, its logs, one output, a pipeline's graph. They make nothing."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import DATABASE, SCRATCH, open_artifacts, open_existing_store, open_store, project_settings
from penstock.app.results import Outputs, RunResult, TaskRunResult, shown, task_run_result
from penstock.base.errors import InvalidInput, StoreUnavailable
from penstock.controller import is_provably_dead
from penstock.effects import Lease, StateStore
from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, Origin, RunState
from penstock.settings import Settings
from penstock.values.store import ArtifactStore
from penstock.wire import Artifact, Counted, Datum, Inline, parameter_to_json

if TYPE_CHECKING:
    from penstock.app.summary import Summary


def list_runs(*, limit: int) -> Sequence[RunResult]:
    settings = project_settings(Path.cwd())
    if not (settings.state / DATABASE).exists():
        return ()
    with closing(open_store(settings)) as store:
        return [result_of(store, settings, run) for run in store.runs(limit=limit)]


def show_run(text: str) -> RunResult:
    settings = project_settings(Path.cwd())
    with closing(open_existing_store(settings)) as store:
        return result_of(store, settings, find_run(store, text))


def find_run(store: StateStore, text: str) -> RunRow:
    """RUN: an id, a unique prefix of one, or `latest`. Raises InvalidInput naming what could be meant."""
    if text == "latest":
        newest = store.runs(limit=1)
        if not newest:
            raise InvalidInput("there is no run yet", fix="`penstock run TARGET` makes one.")
        return newest[0]
    exact = store.run(text)
    if exact is not None:
        return exact
    found = store.runs(limit=6, prefix=text) if text else ()
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{text!r} could be {', '.join(run.run_id for run in found)}", fix="Give more of the id.")
    recent = ", ".join(run.run_id for run in store.runs(limit=3)) or "none yet"
    raise InvalidInput(f"there is no run {text!r}; the newest: {recent}", fix="`penstock runs` lists them.")


def is_live(lease: Lease | None) -> bool:
    """Whether somebody holds this lease who may still be at work (semantics 23)."""
    return lease is not None and lease.expires_at > time.time_ns() // 1_000_000 and not is_provably_dead(lease.holder)


def shown_state(store: StateStore, run: RunRow) -> str:
    """The run's state; `interrupted` for one that nobody is at work on (semantics 23)."""
    if run.state in TERMINAL_RUN_STATES:
        return run.state.value
    lease = store.lease_of(run.run_id)
    if is_live(lease):
        return run.state.value
    # Between a submission and its controller's lease there is a moment without a holder.
    fresh = lease is None and run.state is RunState.PENDING and time.time_ns() // 1_000_000 - run.created_at < 5_000
    return run.state.value if fresh else "interrupted"


def result_of(store: StateStore, settings: Settings, run: RunRow) -> RunResult:
    # The result may outlive the store that it was made with.
    def task_runs() -> tuple[TaskRunResult, ...]:
        with closing(open_store(settings)) as reopened:
            return _task_runs(reopened, run)

    def summary() -> Summary | None:
        with closing(open_store(settings)) as reopened:
            return _summary(reopened, run)

    state = shown_state(store, run)
    return RunResult(
        run,
        state=state,
        outputs=open_outputs(settings, open_artifacts(settings), run.outputs, state=state),
        load=task_runs,
        summarise=summary,
    )


def _summary(store: StateStore, run: RunRow) -> Summary | None:
    """None while a run has not ended, and of one whose graph is gone."""
    if run.state not in TERMINAL_RUN_STATES:
        return None
    from penstock.app.asking import over_asked
    from penstock.app.planning import components_of
    from penstock.app.playing import graph_of
    from penstock.app.summary import Stored, summarised
    from penstock.plan.passes import make_plan

    graph = graph_of(store, run)
    rows = store.task_runs(run.run_id)
    made = _made(store, rows)
    saved = {
        row.path: made[row.cause.by].duration_us / 1000
        for row in rows
        if row.origin is Origin.CACHED and row.cause.by in made
    }
    attempts = store.attempts(run.run_id)
    known = store.history(sorted(components_of(graph)))
    durations = {name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items()}
    usual = _usual_ms(durations, rows, attempts)
    capacity = run.provenance.get("capacity", {})
    plan = make_plan(graph)
    told = summarised(Stored(run, rows, attempts, capacity, usual, saved), plan)
    return replace(told, over_asked=over_asked(plan, known))


def _usual_ms(
    history: Mapping[str, tuple[int, float]], rows: Sequence[TaskRunRow], attempts: Sequence[AttemptRow]
) -> dict[str, float]:
    """Mean durations by component in all other runs: what this one has added to the history is taken out."""
    component_by_path = {row.path: row.component for row in rows}
    left = {name: [count, count * mean_us] for name, (count, mean_us) in history.items()}
    for attempt in attempts:
        sums = left.get(component_by_path.get(attempt.path, ""))
        if sums is not None and attempt.outcome == "succeeded":
            sums[0] -= 1
            sums[1] -= attempt.duration_us
    return {name: total_us / count / 1000 for name, (count, total_us) in left.items() if count > 0}


def _task_runs(store: StateStore, run: RunRow) -> tuple[TaskRunResult, ...]:
    attempts = {row.path: row for row in store.attempts(run.run_id)}
    stored = store.task_runs(run.run_id)
    made = _made(store, stored)
    from penstock.app.logged import exhibits_by_path

    logged = exhibits_by_path(store, stored)
    rows = tuple(
        task_run_result(row, attempts.get(row.path), made=made.get(row.cause.by), exhibits=logged.get(row.path, ()))
        for row in stored
    )
    if run.state in TERMINAL_RUN_STATES:
        return rows
    return rows + _waiting(store, run, known=frozenset(row.path for row in rows))


def _made(store: StateStore, rows: Sequence[TaskRunRow]) -> dict[str, AttemptRow]:
    """The attempts that made what hits found, by `RUN/path`."""
    sources = {row.cause.by for row in rows if row.origin is Origin.CACHED}
    runs = sorted({source.partition("/")[0] for source in sources})
    found = {f"{run_id}/{attempt.path}": attempt for run_id in runs for attempt in store.attempts(run_id)}
    return {source: found[source] for source in sources if source in found}


def _waiting(store: StateStore, run: RunRow, *, known: frozenset[str]) -> tuple[TaskRunResult, ...]:
    """The nodes of the run's own graph that have no row yet: they wait."""
    from penstock.graph.codec import graph_from_json
    from penstock.graph.components import names_in
    from penstock.graph.model import Call, Finally

    waiting = []
    graph = graph_from_json(dict(store.graph(run.graph_digest)))
    names = names_in(graph)
    for node in graph.nodes:
        if node.name not in known:
            kind = type(node).__name__.lower()
            if isinstance(node, (Call, Finally)):
                kind = names.get(id(node.component), kind)
            waiting.append(TaskRunResult(path=node.name, component=kind, state="waiting"))
    return tuple(waiting)


def open_outputs(
    settings: Settings, artifacts: ArtifactStore, data: Mapping[str, Datum], *, state: str = "succeeded"
) -> Outputs:
    """A run's outputs. Files among them are copies of the reader's own, which last as long as its process."""

    def load_value(datum: Datum) -> Any:
        from penstock.values.datums import ANYTHING, Staging, from_datum

        staging = Staging(settings.state / SCRATCH, f"read-{os.getpid()}-{os.urandom(4).hex()}")
        atexit.register(staging.clear)
        return from_datum(datum, ANYTHING, artifacts=artifacts, staging=staging)

    return Outputs(data, load=load_value, locate=artifacts.path, state=state)


# -- one output --------------------------------------------------------------------------------------------------------


def require_task(store: StateStore, run: RunRow, path: str) -> TaskRunRow:
    """The task run at `path`. Raises InvalidInput with the nearest paths when there is none."""
    found = store.task_runs(run.run_id, path)
    if found:
        return found[0]
    from difflib import get_close_matches

    paths = [row.path for row in store.task_runs(run.run_id)]
    near = get_close_matches(path, paths, n=3) or paths[:5]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InvalidInput(
        f"run {run.run_id} has no task run {path!r}{hint}", fix=f"`penstock show {run.run_id}` lists its task runs."
    )


@dataclass(frozen=True, slots=True)
class Got:
    """One output: its full name, its JSON form, and for an artifact the path of its content (not to be written to)."""

    name: str
    shown: Any
    path: Path | None

    def to_json(self) -> dict[str, Any]:
        return {"output": self.name, "value": self.shown, "path": str(self.path) if self.path else None}


def get_output(text: str, output: str, *, to: Path | None) -> Got:
    settings = project_settings(Path.cwd())
    with closing(open_existing_store(settings)) as store:
        name, datum = output_at(store, find_run(store, text), output)
    artifacts = open_artifacts(settings)
    if to is not None:
        write_datum(datum, artifacts, to)
    return Got(name, shown(datum), artifacts.path(datum.digest) if isinstance(datum, Artifact) else None)


def output_at(store: StateStore, run: RunRow, text: str) -> tuple[str, Datum]:
    """The output named by TASK[.OUTPUT], with its full name. Raises InvalidInput when there is none, or several to
    choose from."""
    path, dot, name = text.partition(".")
    task = require_task(store, run, path)
    if not task.outputs:
        raise InvalidInput(
            f"{path} has no outputs: it is {task.state.value}", fix=f"`penstock show {run.run_id}` says why."
        )
    if not dot:
        if len(task.outputs) > 1:
            raise InvalidInput(
                f"{path} has several outputs: {', '.join(task.outputs)}",
                fix=f"Name one: {path}.{next(iter(task.outputs))}",
            )
        name = next(iter(task.outputs))
    if name not in task.outputs:
        raise InvalidInput(f"{path} has no output {name!r}; it has: {', '.join(task.outputs)}")
    return f"{path}.{name}", task.outputs[name]


def write_datum(datum: Datum, artifacts: ArtifactStore, destination: Path) -> None:
    """Write a value where the user wants it: a parameter as JSON, an artifact as its file or folder (a copy of the
    user's own), a list of artifacts as a folder of numbered ones. Raises InvalidInput when something is there
    already."""
    if destination.exists():
        raise InvalidInput(f"{destination} exists already", fix="Name another place, or remove it first.")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(datum, Artifact):
            artifacts.materialize(datum.digest, destination)
        elif isinstance(datum, Counted) and any(not isinstance(item, Inline) for item in datum.items):
            destination.mkdir()
            width = len(str(max(len(datum.items) - 1, 0)))
            for index, item in enumerate(datum.items):
                write_datum(item, artifacts, destination / f"{index:0{width}d}")
        else:
            destination.write_text(_json_text(datum) + "\n")
    except OSError as error:
        raise StoreUnavailable(f"{destination} cannot be written: {error.strerror}") from None


def _json_text(datum: Datum) -> str:
    import json

    value = [item.value for item in datum.items if isinstance(item, Inline)] if isinstance(datum, Counted) else None
    if isinstance(datum, Inline):
        value = datum.value
    return json.dumps(parameter_to_json(value), ensure_ascii=False, indent=2)
