"""The verbs about runs that exist: retry and cancel."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from penstock.app.choosing import asked_again, given_inputs
from penstock.app.driving import Driving, drive, wait_for_live_holder
from penstock.app.places import open_artifacts, open_executor, open_existing_store, project_settings
from penstock.app.progress import Progress
from penstock.app.reading import find_run, is_live, result_of
from penstock.app.results import RunResult
from penstock.app.running import bind_values, run_new
from penstock.app.targets import Target, parse_target
from penstock.base.errors import InvalidInput
from penstock.controller import SystemClock
from penstock.effects import Message, StateStore
from penstock.engine.rows import RunRow
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.graph.model import Graph
from penstock.settings import Settings
from penstock.wire import Datum, Inline


def retry_run(text: str, *, progress: Progress) -> tuple[RunResult, bool]:
    """Resume an interrupted run, or run a failed or cancelled one again from the code on disk; False with the result of
    a run that had succeeded. Raises InvalidInput for a run that somebody is at work on."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store(settings)) as store:
        run = find_run(store, text)
        if run.state is RunState.SUCCEEDED:
            return result_of(store, settings, run), False
        if run.state not in TERMINAL_RUN_STATES:
            _refuse_live(store, run)
            with closing(open_executor(settings)) as executor:
                driving = Driving(settings, store, open_artifacts(settings), executor, progress)
                return drive(driving, run, how="resumed"), True
    target = _target_again(run, settings)
    result = run_new(
        target,
        lambda graph: _inputs_again(graph, run),
        progress=progress,
        retry_of=run.run_id,
        cache=run.cache,
        asked=asked_again(run.provenance.get("asked", {}), run.inputs),
        labels=run.labels,
    )
    return result, True


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
    outputs = given_inputs(run.provenance.get("asked", {})).values()  # given again in their own way
    given = {
        name: datum.value for name, datum in run.inputs.items() if isinstance(datum, Inline) and name not in outputs
    }
    return bind_values(graph, given)


def cancel_run(text: str, *, force: bool, progress: Progress) -> tuple[RunResult, bool]:
    """Ask whoever drives a run to cancel it, and wait until it has ended; where nobody drives it (any more), do it
    here. False with the result of a run that had ended before."""
    settings = project_settings(Path.cwd())
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
            driving = Driving(settings, store, open_artifacts(settings), executor, progress)
            return drive(driving, run, how="cancelled", cancel=True, force=force), True
