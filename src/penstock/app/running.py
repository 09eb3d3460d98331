"""The verbs that do something: check, run, retry, cancel. Each opens what it needs, drives a controller until the runs
that it is responsible for have ended, and closes everything again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import (
    make_state_folder,
    open_artifacts,
    open_executor,
    open_existing_store,
    open_store,
    remove_if_unused,
)
from penstock.app.progress import Progress, Silent
from penstock.app.provenance import Commit, made_of
from penstock.app.reading import find_run, is_live, result_of, shown_state, tail_of
from penstock.app.results import RunResult
from penstock.app.stops import Stops, counted_stops
from penstock.app.targets import Target, diagnostics_of, parse_target, require_graph
from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput
from penstock.base.ids import RunId, run_id
from penstock.base.instants import Instant
from penstock.effects import Message, Submission
from penstock.engine.rows import RunRow
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.settings import Settings, load
from penstock.wire import Datum, DescribeRequest, Description

if TYPE_CHECKING:
    from penstock.controller import Controller
    from penstock.effects import StateStore
    from penstock.executors.local import LocalExecutor
    from penstock.graph.model import Graph

# The seed of a run's chance (tasks' random generators, jitter). One for all runs: the same inputs give the same
# outputs.
SEED = 0
# How long the loop may sleep when nothing happens; also how fast Ctrl-C is noticed.
TURN_MS = 200
CANCEL_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid pipeline: its name, how many nodes it has at every depth, and the warnings about it."""

    pipeline: str
    nodes: int
    diagnostics: tuple[Diagnostic, ...]

    def to_json(self) -> dict[str, Any]:
        found = [item.to_json() for item in self.diagnostics]
        return {"pipeline": self.pipeline, "valid": True, "nodes": self.nodes, "diagnostics": found}


@dataclass(frozen=True, slots=True)
class Described:
    """A target that can be run: what the worker said, and the graph that it gave."""

    target: Target
    description: Description
    graph: Graph


# -- describing --------------------------------------------------------------------------------------------------------


def describe(executor: LocalExecutor, target: Target, settings: Settings) -> Described:
    """Raises TargetFailed, InvalidInput or InvalidPipeline for a target that cannot be run."""
    from penstock.graph.codec import graph_from_json

    description = executor.describe(DescribeRequest(target.text, str(settings.project)))
    require_graph(description, target=_short(target, settings))
    assert description.graph is not None
    return Described(target, description, graph_from_json(dict(description.graph)))


def describe_aside(text: str) -> tuple[Described, Settings]:
    """Describe a target without touching its project: state goes into a temporary folder."""
    import tempfile

    target = parse_target(text)
    settings = load(target.folder)
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        aside = Settings(settings.project, Path(folder), settings.cpu, settings.memory_bytes)
        with ExitStack() as stack:
            executor = open_executor(aside)
            stack.callback(executor.close)
            return describe(executor, target, settings), settings


def check_target(text: str) -> Checked:
    described, _ = describe_aside(text)
    return Checked(described.graph.name, _count_nodes(described.graph), diagnostics_of(described.description))


def graph_of_target(text: str, *, form: str) -> str:
    """Raises what `check_target` raises."""
    described, _ = describe_aside(text)
    if form == "json":
        import json

        return json.dumps(described.description.graph, indent=2, ensure_ascii=False)
    from penstock.graph.render import to_mermaid, to_text

    return to_mermaid(described.graph) if form == "mermaid" else to_text(described.graph)


def _count_nodes(graph: Graph) -> int:
    from penstock.graph.model import bodies_of

    return sum(1 + sum(_count_nodes(body) for body, _ in bodies_of(node)) for node in graph.nodes)


def _short(target: Target, settings: Settings) -> str:
    """The target as it is recorded: relative to the project where it lies in it."""
    return target.text.removeprefix(f"{settings.project}{os.sep}")


# -- running -----------------------------------------------------------------------------------------------------------


def run_target(text: str, texts: Mapping[str, str], *, progress: Progress) -> RunResult:
    """Run a target with parameters as texts, until it ends. Raises what is wrong with the input, having created
    nothing."""
    from penstock.graph.parameters import bind_parameters

    return _run_new(parse_target(text), lambda graph: bind_parameters(graph, texts=texts), progress=progress)


def run_pipeline(pipeline: Any, parameters: Mapping[str, Any]) -> RunResult:
    """What `pipeline.run(...)` calls; parameters are Python values."""
    from penstock.app.scripts import target_of_pipeline
    from penstock.graph.parameters import bind_parameters

    target = target_of_pipeline(pipeline)
    return _run_new(target, lambda graph: bind_parameters(graph, values=parameters), progress=Silent())


def _run_new(
    target: Target,
    bind: Callable[[Graph], dict[str, Datum]],
    *,
    progress: Progress,
    retry_of: str | None = None,
) -> RunResult:
    settings = load(target.folder)
    with ExitStack() as stack:
        commit = Commit(settings.project)
        stack.callback(commit.close)
        if make_state_folder(settings):
            stack.callback(remove_if_unused, settings)
        executor = open_executor(settings)
        stack.callback(executor.close)
        described = describe(executor, target, settings)
        inputs = bind(described.graph)
        plan = refuse_unmeetable(described, executor)
        for diagnostic in diagnostics_of(described.description):
            progress.said(str(diagnostic))
        store = open_store(settings)
        stack.callback(store.close)
        run = _new_run(described, inputs, settings, commit=commit.answer(), retry_of=retry_of)
        message = Message(f"submit-{run.run_id}", "submit", run.run_id, run.created_at)
        store.submit(Submission(run, dict(described.description.graph or {})), message)
        driving = Driving(settings, store, executor, progress)
        driving.graphs[run.graph_digest] = described.graph
        return _drive(driving, run, how="new")


def _new_run(
    described: Described,
    inputs: Mapping[str, Datum],
    settings: Settings,
    *,
    commit: Mapping[str, Any],
    retry_of: str | None,
) -> RunRow:
    from penstock.graph.codec import graph_digest

    now = SystemClock().now()
    return RunRow(
        run_id=RunId(run_id(now, int.from_bytes(os.urandom(3), "big"))),
        pipeline=described.graph.name,
        graph_digest=graph_digest(described.graph),
        inputs=inputs,
        pin=described.description.pin,
        seed=SEED,
        created_at=now,
        retry_of=retry_of,
        labels=dict(described.graph.labels),
        provenance=made_of(
            settings,
            target=_short(described.target, settings),
            commit=commit,
            described=described.description.provenance,
            seed=SEED,
        ),
    )


# -- driving -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Driving:
    """What it takes to drive runs of one project."""

    settings: Settings
    store: StateStore
    executor: LocalExecutor
    progress: Progress
    begun: set[str] = field(default_factory=set)


def _drive(driving: Driving, run: RunRow, *, how: str, cancel: bool = False, force: bool = False) -> RunResult:
    """Drive `run` and every interrupted run of the project to their ends; answers how `run` ended."""
    settings, store, progress = driving.settings, driving.store, driving.progress
    with counted_stops() as stops, _controller(driving) as controller:
        _begin(driving, run, how=how)
        controller.take(run.run_id)
        if cancel:
            controller.request_cancel(run.run_id, force=force)
        else:
            for other in _interrupted_runs(store, besides=run.run_id):
                _begin(driving, other, how="alongside")
                controller.take(other.run_id)
        _turn_until_ended(controller, run.run_id, stops=stops, progress=progress)
    ended = store.run(run.run_id)
    assert ended is not None
    return result_of(store, open_artifacts(settings), ended)


def _begin(driving: Driving, run: RunRow, *, how: str) -> None:
    settings = driving.settings
    driving.progress.begun(run, how=how, tail=lambda attempt: tail_of(settings, attempt))


@contextmanager
def _controller(driving: Driving) -> Iterator[Controller]:
    from penstock.controller import Controller

    settings = driving.settings
    controller = Controller(
        store=driving.store,
        executors=[driving.executor],
        clock=SystemClock(),
        holder=this_holder(token=os.urandom(4).hex()),
        proved_dead=proved_dead,
        observer=driving.progress.committed,
        lease_ms=settings.lease_ms,
        grace_ms=settings.grace_ms,
    )
    try:
        yield controller
    finally:
        controller.close()


def _turn_until_ended(controller: Controller, main: str, *, stops: Stops, progress: Progress) -> None:
    """Until every run has ended; once asked to stop, until `main` has (the others stay interrupted: nobody asked to
    cancel them)."""
    seen = 0
    while active := controller.active():
        if stops.count and main not in active:
            return
        if stops.count > seen:
            seen = stops.count
            progress.stopping(force=seen > 1)
            controller.request_cancel(main, force=seen > 1)
        controller.step(TURN_MS)


def _interrupted_runs(store: StateStore, *, besides: str) -> list[RunRow]:
    unfinished = [run for state in (RunState.PENDING, RunState.RUNNING) for run in store.runs(state=state.value)]
    return [run for run in unfinished if run.run_id != besides and shown_state(store, run) == "interrupted"]


# -- retry and cancel --------------------------------------------------------------------------------------------------


def retry_run(text: str, *, progress: Progress) -> tuple[RunResult, bool]:
    """Resume an interrupted run, or run a failed or cancelled one again from the code on disk; False with the result of
    a run that had succeeded. Raises InvalidInput for a run that somebody is at work on."""
    settings = load(Path.cwd())
    store = open_existing_store(settings)
    with ExitStack() as stack:
        stack.callback(store.close)
        run = find_run(store, text)
        if run.state is RunState.SUCCEEDED:
            return result_of(store, open_artifacts(settings), run), False
        if run.state not in TERMINAL_RUN_STATES:
            _refuse_live(store, run)
            return _resume(settings, store, run, progress=progress, how="resumed"), True
    target = _target_again(run, settings)
    return _run_new(target, lambda graph: _inputs_again(graph, run), progress=progress, retry_of=run.run_id), True


def _resume(
    settings: Settings,
    store: StateStore,
    run: RunRow,
    *,
    progress: Progress,
    how: str,
    cancel: bool = False,
    force: bool = False,
) -> RunResult:
    executor = open_executor(settings)
    try:
        driving = Driving(settings, store, executor, progress)
        return _drive(driving, run, how=how, cancel=cancel, force=force)
    finally:
        executor.close()


def _refuse_live(store: StateStore, run: RunRow) -> None:
    lease = store.lease_of(run.run_id)
    if lease is not None and is_live(lease):
        host = lease.holder.host.partition(" ")[0]
        raise InvalidInput(
            f"run {run.run_id} is {run.state}: process {lease.holder.pid} on {host} is at work on it",
            fix=f"`penstock logs {run.run_id} -f` follows it; `penstock cancel {run.run_id}` stops it.",
        )


def _target_again(run: RunRow, settings: Settings) -> Target:
    text = run.provenance.get("target")
    if not text:
        raise InvalidInput(f"run {run.run_id} does not say what it was made from", fix="Run its pipeline again.")
    return parse_target(str(text), folder=settings.project)


def _inputs_again(graph: Graph, run: RunRow) -> dict[str, Datum]:
    """The run's own inputs for the graph on disk. One that the pipeline no longer has, or that no longer fits, is
    refused as if it had been given anew."""
    from penstock.graph.parameters import bind_parameters
    from penstock.wire import Inline

    return bind_parameters(
        graph, values={name: datum.value for name, datum in run.inputs.items() if isinstance(datum, Inline)}
    )


def cancel_run(text: str, *, force: bool, progress: Progress) -> tuple[RunResult, bool]:
    """Ask whoever drives a run to cancel it, and wait until it has ended; where nobody drives it (any more), do it
    here. False with the result of a run that had ended before."""
    settings = load(Path.cwd())
    store = open_existing_store(settings)
    with ExitStack() as stack:
        stack.callback(store.close)
        run = find_run(store, text)
        if run.state in TERMINAL_RUN_STATES:
            return result_of(store, open_artifacts(settings), run), False
        now = SystemClock().now()
        kind = "kill" if force else "cancel"
        store.post(Message(f"{kind}-{run.run_id}", "cancel", run.run_id, now, {"force": force}))
        while is_live(store.lease_of(run.run_id)):
            time.sleep(CANCEL_POLL_S)
            now_row = store.run(run.run_id)
            if now_row is not None and now_row.state in TERMINAL_RUN_STATES:
                return result_of(store, open_artifacts(settings), now_row), True
        result = _resume(settings, store, run, progress=progress, how="cancelled", cancel=True, force=force)
        return result, True
