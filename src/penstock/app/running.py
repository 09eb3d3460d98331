"""The verbs that do something: check, run, retry, cancel. Each opens what it needs, and closes it again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.driving import Driving, drive, plan_for, refuse_unmeetable, wait_for_live_holder
from penstock.app.places import (
    DATABASE,
    make_state_folder,
    open_executor,
    open_existing_store,
    open_store,
    remove_if_unused,
)
from penstock.app.progress import Progress, Silent
from penstock.app.reading import find_run, is_live, result_of
from penstock.app.results import RunResult
from penstock.app.targets import Target, diagnostics_of, parse_target, require_graph
from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput
from penstock.base.ids import run_id
from penstock.controller import SystemClock
from penstock.effects import Message, Submission
from penstock.engine.rows import RunRow
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.graph.codec import graph_digest, graph_from_json
from penstock.graph.model import Graph, bodies_of
from penstock.graph.parameters import bind_parameters
from penstock.settings import Settings, load
from penstock.wire import Datum, DescribeRequest, Description, Inline

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor

# The seed of a run's chance (tasks' random generators, jitter). One for all runs: the same inputs give the same
# outputs.
SEED = 0


# -- describing --------------------------------------------------------------------------------------------------------


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


def describe(executor: LocalExecutor, target: Target, settings: Settings) -> Described:
    """Raises TargetFailed, InvalidInput or InvalidPipeline for a target that cannot be run."""
    description = executor.describe(DescribeRequest(target.text, str(settings.project)))
    require_graph(description, target=_short(target, settings))
    assert description.graph is not None
    return Described(target, description, graph_from_json(dict(description.graph)))


def describe_aside(text: str) -> Described:
    """Describe a target without touching its project: state goes into a temporary folder."""
    import tempfile

    target = parse_target(text)
    settings = load(target.folder)
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        aside = Settings(settings.project, Path(folder), settings.cpu, settings.memory_bytes)
        with closing(open_executor(aside)) as executor:
            return describe(executor, target, settings)


def check_target(text: str) -> Checked:
    described = describe_aside(text)
    return Checked(described.graph.name, _count_nodes(described.graph), diagnostics_of(described.description))


def graph_of_target(text: str, *, form: str) -> str:
    """Raises what `check_target` raises."""
    described = describe_aside(text)
    if form == "json":
        import json

        return json.dumps(described.description.graph, indent=2, ensure_ascii=False)
    from penstock.graph.render import graph_mermaid, graph_text

    return graph_mermaid(described.graph) if form == "mermaid" else graph_text(described.graph)


def _count_nodes(graph: Graph) -> int:
    return sum(1 + sum(_count_nodes(body) for body, _ in bodies_of(node)) for node in graph.nodes)


def _short(target: Target, settings: Settings) -> str:
    """The target as it is recorded: relative to the project where it lies in it."""
    return target.text.removeprefix(f"{settings.project}{os.sep}")


# -- running -----------------------------------------------------------------------------------------------------------


def run_target(text: str, texts: Mapping[str, str], *, progress: Progress) -> RunResult:
    """Run a target with parameters as texts, until it ends. Raises what is wrong with the input, having created
    nothing."""
    return _run_new(parse_target(text), lambda graph: bind_parameters(graph, texts=texts), progress=progress)


def run_pipeline(pipeline: Any, parameters: Mapping[str, Any]) -> RunResult:
    """What `pipeline.run(...)` calls; parameters are Python values."""
    from penstock.app.scripts import target_of_pipeline

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
        if make_state_folder(settings):
            stack.callback(remove_if_unused, settings)
        executor = stack.enter_context(closing(open_executor(settings)))
        described = describe(executor, target, settings)
        inputs = bind(described.graph)
        known = stack.enter_context(closing(open_store(settings))) if (settings.state / DATABASE).exists() else None
        digest, pin = graph_digest(described.graph), described.description.pin
        plan = plan_for(described.graph, graph_digest=digest, pin=pin, store=known, executor=executor)
        refuse_unmeetable(plan)
        for diagnostic in diagnostics_of(described.description):
            progress.said(str(diagnostic))
        store = known or stack.enter_context(closing(open_store(settings)))
        now = SystemClock().now()
        run = RunRow(
            run_id=run_id(now, int.from_bytes(os.urandom(3), "big")),
            pipeline=described.graph.name,
            graph_digest=digest,
            inputs=inputs,
            pin=pin,
            seed=SEED,
            created_at=now,
            retry_of=retry_of,
            labels=dict(described.graph.labels),
            provenance=_provenance(described, settings),
        )
        message = Message(f"submit-{run.run_id}", "submit", run.run_id, now)
        store.submit(Submission(run, dict(described.description.graph or {})), message)
        return drive(Driving(settings, store, executor, progress, {run.run_id: plan}), run, how="new")


def _provenance(described: Described, settings: Settings) -> dict[str, Any]:
    """What the run is made of: how it was asked for, and what the worker that imported the target found (git, hardware,
    distributions, interpreter). Nothing is decided by it but what `retry` imports."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    asked = {"target": _short(described.target, settings), "command": command, "seed": SEED}
    return {**asked, **described.description.provenance}


# -- retry and cancel --------------------------------------------------------------------------------------------------


def retry_run(text: str, *, progress: Progress) -> tuple[RunResult, bool]:
    """Resume an interrupted run, or run a failed or cancelled one again from the code on disk; False with the result of
    a run that had succeeded. Raises InvalidInput for a run that somebody is at work on."""
    settings = load(Path.cwd())
    with closing(open_existing_store(settings)) as store:
        run = find_run(store, text)
        if run.state is RunState.SUCCEEDED:
            return result_of(store, settings, run), False
        if run.state not in TERMINAL_RUN_STATES:
            _refuse_live(store, run)
            with closing(open_executor(settings)) as executor:
                return drive(Driving(settings, store, executor, progress), run, how="resumed"), True
    target = _target_again(run, settings)
    return _run_new(target, lambda graph: _inputs_again(graph, run), progress=progress, retry_of=run.run_id), True


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
    given = {name: datum.value for name, datum in run.inputs.items() if isinstance(datum, Inline)}
    return bind_parameters(graph, values=given)


def cancel_run(text: str, *, force: bool, progress: Progress) -> tuple[RunResult, bool]:
    """Ask whoever drives a run to cancel it, and wait until it has ended; where nobody drives it (any more), do it
    here. False with the result of a run that had ended before."""
    settings = load(Path.cwd())
    with closing(open_existing_store(settings)) as store:
        run = find_run(store, text)
        if run.state in TERMINAL_RUN_STATES:
            return result_of(store, settings, run), False
        kind = "kill" if force else "cancel"
        message = Message(f"{kind}-{run.run_id}", "cancel", run.run_id, SystemClock().now(), {"force": force})
        store.post(message)
        ended = wait_for_live_holder(store, run.run_id)
        if ended is not None:
            return result_of(store, settings, ended), True
        with closing(open_executor(settings)) as executor:
            driving = Driving(settings, store, executor, progress)
            return drive(driving, run, how="cancelled", cancel=True, force=force), True
