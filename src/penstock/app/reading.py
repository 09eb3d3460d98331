"""The verbs that only read: runs, one run, its logs, one output, a pipeline's graph. They make nothing."""

from __future__ import annotations

import atexit
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import (
    DATABASE,
    open_artifacts,
    open_existing_store_to_read,
    open_store_to_read,
    project_settings,
    scratch_to_read,
)
from penstock.app.results import Outputs, RunResult, TaskRunResult, shown
from penstock.app.words import count
from penstock.base.errors import InvalidInput
from penstock.controller import is_provably_alive, is_provably_dead
from penstock.effects import Lease, StateStore
from penstock.engine.rows import RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, Origin, RunState
from penstock.graph.names import nearest
from penstock.settings import Settings
from penstock.values.store import ArtifactStore
from penstock.wire import Artifact, Counted, Datum

# A project keeps far fewer runs than this (`gc`).
RUNS_LOOKED_AT_MAX = 100_000
STATES = (*(state.value for state in RunState), "interrupted")

if TYPE_CHECKING:
    from penstock.app.exports import Exports
    from penstock.app.overview import Overview
    from penstock.app.summary import Summary
    from penstock.app.unkept import Unkept
    from penstock.effects import AttemptOutline, TaskRunOutline


def list_runs(*, limit: int, state: str, pipeline: str, labels: Mapping[str, str]) -> Sequence[RunResult]:
    if state and state not in STATES:
        raise InvalidInput(f"there is no state {state!r}", fix=nearest(state, STATES))
    if limit < 1:
        raise InvalidInput(f"--limit must be at least 1, got {limit}", fix="Say how many runs to list.")
    settings = project_settings(Path.cwd())
    if not (settings.state / DATABASE).exists():
        return ()
    # An interrupted run is stored as it was when it was left.
    stored = state if state and state != "interrupted" else None
    with closing(open_store_to_read(settings)) as store:
        if not (state or pipeline or labels):
            return [result_of(store, settings, run) for run in store.runs(limit=limit)]
        rows = store.runs(limit=RUNS_LOOKED_AT_MAX, state=stored)
        if pipeline and all(run.pipeline != pipeline for run in rows):
            known = {run.pipeline for run in (rows if stored is None else store.runs(limit=RUNS_LOOKED_AT_MAX))}
            if known and pipeline not in known:
                raise InvalidInput(f"no run was made of a pipeline {pipeline!r}", fix=nearest(pipeline, sorted(known)))
        found = (
            run
            for run in rows
            if pipeline in ("", run.pipeline)
            and labels.items() <= run.labels.items()
            and (not state or shown_state(store, run) == state)
        )
        return [result_of(store, settings, run) for run in islice(found, limit)]


def show_run(text: str) -> RunResult:
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
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
    """Whether somebody holds this lease who may still be at work (semantics 23). The clock is asked only where the process cannot
    be: it may have been set, and a process that was stopped renews nothing."""
    if lease is None or is_provably_dead(lease.holder):
        return False
    return is_provably_alive(lease.holder) or lease.expires_at > time.time_ns() // 1_000_000


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
    def read() -> Overview:
        from penstock.app.overview import overview_of

        with closing(open_store_to_read(settings)) as reopened:
            return overview_of(reopened, run.run_id)

    def task_runs(overview: Overview) -> tuple[TaskRunResult, ...]:
        with closing(open_store_to_read(settings)) as reopened:
            return _task_runs(reopened, run, overview)

    def summary(overview: Overview) -> Summary | None:
        with closing(open_store_to_read(settings)) as reopened:
            return _summary(reopened, run, overview)

    def shared() -> Mapping[str, Sequence[str]]:
        from penstock.app.shared_files import shared_files

        with closing(open_store_to_read(settings)) as reopened:
            return shared_files(reopened, run.run_id)

    def unkept() -> Sequence[Unkept]:
        from penstock.app.unkept import unkept_results

        with closing(open_store_to_read(settings)) as reopened:
            return unkept_results(reopened, open_artifacts(settings), run)

    def elsewhere() -> Mapping[str, Sequence[str]]:
        from penstock.app.shared_files import files_elsewhere

        with closing(open_store_to_read(settings)) as reopened:
            return files_elsewhere(reopened, run.run_id)

    state = shown_state(store, run)
    return RunResult(
        run,
        state=state,
        outputs=open_outputs(settings, open_artifacts(settings), run.outputs, state=state),
        read=read,
        load=task_runs,
        summarise=summary,
        find_shared=shared,
        find_unkept=unkept,
        find_elsewhere=elsewhere,
    )


def _summary(store: StateStore, run: RunRow, overview: Overview) -> Summary | None:
    """None while a run has not ended."""
    if run.state not in TERMINAL_RUN_STATES:
        return None
    from penstock.app.asking import over_asked
    from penstock.app.planning import components_of
    from penstock.app.summary import Stored, summarised
    from penstock.plan.passes import make_plan

    _, rows, attempts = overview.outline
    saved = {
        row.path: made.duration_us / 1000
        for row in rows
        if row.origin is Origin.CACHED and (made := overview.made[row.cause.by]) is not None
    }
    known = store.history(sorted(components_of(overview.graph)))
    durations = {name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items()}
    usual = _usual_ms(durations, rows, attempts)
    plan = make_plan(overview.graph)
    told = summarised(Stored(run, rows, attempts, run.provenance.get("capacity", {}), usual, saved), plan)
    return replace(told, over_asked=over_asked(plan, known))


def _usual_ms(
    history: Mapping[str, tuple[int, float]], rows: Sequence[TaskRunOutline], attempts: Sequence[AttemptOutline]
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


def _task_runs(store: StateStore, run: RunRow, overview: Overview) -> tuple[TaskRunResult, ...]:
    outputs = {row.path: row.outputs for row in store.task_runs(run.run_id)}
    failing = {each.row.path: each for each in overview.failing}
    return tuple(
        replace(glance, outputs=outputs.get(glance.path, {}), failing=failing.get(glance.path))
        for glance in overview.glances()
    )


def open_outputs(
    settings: Settings, artifacts: ArtifactStore, data: Mapping[str, Datum], *, state: str = "succeeded"
) -> Outputs:
    """A run's outputs. Files among them are copies of the reader's own, which last as long as its process."""
    return Outputs(data, load=value_loader(settings, artifacts), locate=artifacts.path, state=state)


def value_loader(settings: Settings, artifacts: ArtifactStore) -> Callable[[Datum], Any]:
    def load_value(datum: Datum) -> Any:
        from penstock.values.datums import ANYTHING, Staging, from_datum

        staging = Staging(scratch_to_read(settings), f"read-{os.getpid()}-{os.urandom(4).hex()}")
        atexit.register(staging.clear)
        return from_datum(datum, ANYTHING, artifacts=artifacts, staging=staging)

    return load_value


# -- one output --------------------------------------------------------------------------------------------------------


def require_task(store: StateStore, run: RunRow, path: str, *, also: tuple[str, ...] = ()) -> TaskRunRow:
    """The task run at `path`. Raises InvalidInput with the nearest paths, and names of `also`, when there is none."""
    found = store.task_runs(run.run_id, path)
    if found:
        return found[0]
    from difflib import get_close_matches

    paths = [*also, *(row.path for row in store.task_runs(run.run_id))]
    near = get_close_matches(path, paths, n=3) or paths[:5]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InvalidInput(
        f"run {run.run_id} has no task run {path!r}{hint}", fix=f"`penstock show {run.run_id}` lists its task runs."
    )


@dataclass(frozen=True, slots=True)
class Got:
    """One output: its full name, its JSON form, and for an artifact the path of its content (not to be written to); `form`
    says in which format it was written, if it was."""

    name: str
    shown: Any
    path: Path | None
    form: str = ""

    def to_json(self) -> dict[str, Any]:
        path = str(self.path) if self.path else None
        return {"output": self.name, "value": self.shown, "path": path, "format": self.form or None}


def get_output(text: str, output: str, *, to: Path | None) -> Got:
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        name, datum = output_at(store, find_run(store, text), output)
    artifacts = open_artifacts(settings)
    form = exports(settings, artifacts).write(datum, to) if to is not None else ""
    return Got(name, shown(datum), artifacts.path(datum.digest) if isinstance(datum, Artifact) else None, form)


def exports(settings: Settings, artifacts: ArtifactStore) -> Exports:
    from penstock.app.exports import Exports

    return Exports(artifacts, value_loader(settings, artifacts))


def _item_refused(run: RunRow, output: str, position: str, datum: Datum) -> InvalidInput:
    """For who asks for one item of an output of the pipeline as if it was a task run."""
    get = f"penstock get {run.run_id} {shlex.quote(output)}"
    if not isinstance(datum, Counted):
        return InvalidInput(f"{output!r} is one value, which has no item {position}", fix=f"`{get}` prints it.")
    if int(position) >= len(datum.items):
        return InvalidInput(
            f"{output!r} has {count(len(datum.items), 'item')}, not an item {position}",
            fix=f"`{get} -o FOLDER` writes all.",
        )
    return InvalidInput(
        f"{output!r} is one output, a list: its items are not outputs of their own",
        fix=f"`{get} -o FOLDER` writes each item, number {position} among them; `{get} --json` says where each is stored.",
    )


def output_at(store: StateStore, run: RunRow, text: str) -> tuple[str, Datum]:
    """The output named by NAME (one of the pipeline's) or TASK[.OUTPUT], with its full name. Raises InvalidInput when there
    is none, or several to choose from."""
    if text in run.outputs:
        return text, run.outputs[text]
    holder, slash, position = text.rpartition("/")
    if slash and position.isdigit() and holder in run.outputs:
        raise _item_refused(run, holder, position, run.outputs[holder])
    path, dot, name = text.partition(".")
    task = require_task(store, run, path, also=tuple(run.outputs))
    if not task.outputs:
        raise InvalidInput(f"{path} has no outputs: it is {task.state}", fix=f"`penstock show {run.run_id}` says why.")
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
