"""Driving runs to their ends: one controller over the project's store and executor, turned until the runs it is
responsible for have ended or somebody asks it to stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.caching import answer_of, saved_ms
from penstock.app.logs import tail_of
from penstock.app.marks import mark_differing
from penstock.app.planning import plan_for
from penstock.app.progress import Outlook, Progress
from penstock.app.reading import is_live, result_of, shown_state
from penstock.app.results import RunResult
from penstock.app.resumptions import Resumptions
from penstock.app.stops import Stops, counted_stops
from penstock.base.errors import PenstockError, StoreUnavailable
from penstock.base.ids import run_id
from penstock.base.instants import Instant
from penstock.controller import Controller, SystemClock, holder_of_this_process, is_provably_dead
from penstock.effects import Message, StateStore, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import RunRow
from penstock.engine.states import RunState
from penstock.graph.codec import graph_digest, graph_from_json
from penstock.plan.learning import learned_from_json, learned_to_json
from penstock.plan.model import Plan
from penstock.settings import Settings
from penstock.wire import Datum

if TYPE_CHECKING:
    from penstock.app.describing import Described
    from penstock.executors.local.executor import LocalExecutor
    from penstock.values.store import ArtifactStore

# The seed of a run's chance (tasks' random generators, jitter). One for all runs: the same inputs give the same
# outputs.
SEED = 0
# How long the loop may sleep when nothing happens; also how fast Ctrl-C is noticed.
TURN_MS = 200


@dataclass(frozen=True, slots=True)
class Driving:
    """What it takes to drive runs of one project. `plans` holds those already made, by run id."""

    settings: Settings
    store: StateStore
    artifacts: ArtifactStore
    executor: LocalExecutor
    progress: Progress
    plans: dict[str, Plan] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)
    """Runs that were found interrupted and are driven alongside."""

    def plan_of(self, run: RunRow) -> Plan:
        """The plan of a stored run, made from its own graph and pin, and from what was known when it was submitted."""
        if run.run_id not in self.plans:
            graph = graph_from_json(dict(self.store.graph(run.graph_digest)))
            self.plans[run.run_id] = plan_for(
                graph,
                pin=run.pin,
                code=run.code,
                learned=learned_from_json(run.learned),
                artifacts=self.artifacts,
                executor=self.executor,
            )
        return self.plans[run.run_id]


def submit(
    store: StateStore,
    described: Described,
    inputs: Mapping[str, Datum],
    *,
    capacity: Mapping[str, int],
    plan: Plan,
    retry_of: str | None,
    cache: str,
    labels: Mapping[str, str],
) -> RunRow:
    """Put a new run into the store; from then on it exists, and is resumed whatever happens here. `cache` is "use", or
    "write" for a run that reads nothing of the cache. `labels` are added to those of the pipeline."""
    now = SystemClock().now()
    graph = described.graph
    run = RunRow(
        run_id=run_id(now, int.from_bytes(os.urandom(3), "big")),
        pipeline=graph.name,
        graph_digest=graph_digest(graph),
        inputs=inputs,
        pin=described.description.pin,
        seed=SEED,
        created_at=now,
        retry_of=retry_of,
        labels={**graph.labels, **labels},
        provenance={**_provenance(described), "capacity": dict(capacity)},
        code=described.description.code,
        cache=cache,
        learned=learned_to_json(plan.duration_us_by_component, plan.memory_by_component),
    )
    message = Message(f"submit-{run.run_id}", "submit", run.run_id, now)
    store.submit(Submission(run, dict(described.description.graph or {})), message)
    return run


def _provenance(described: Described) -> dict[str, Any]:
    """What the run is made of: how it was asked for, and what the worker that imported the target found (git, hardware,
    distributions, interpreter). Nothing is decided by it but what `retry` imports."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    asked = {"asked": dict(described.asked)} if described.asked else {}
    return {"target": described.shown, "command": command, "seed": SEED, **asked, **described.description.provenance}


def drive(driving: Driving, run: RunRow, *, how: str, cancel: bool = False, force: bool = False) -> RunResult:
    """Drive `run` and, unless it is only to be cancelled, every interrupted run of the project to their ends; answers
    how `run` ended."""
    settings, store, progress = driving.settings, driving.store, driving.progress
    with counted_stops() as stops, _controller(driving) as controller, _noted(driving, controller, run):
        try:
            _take(driving, controller, run, how=how)
            if cancel:
                controller.request_cancel(run.run_id, force=force)
            else:
                for other in _interrupted_runs(store, besides=run.run_id):
                    _resume(driving, controller, other)
            _turn_until_ended(controller, run.run_id, stops=stops, progress=progress)
        finally:
            progress.finished()
    ended = store.run(run.run_id)
    assert ended is not None, run.run_id
    return result_of(store, settings, ended)


@contextmanager
def _noted(driving: Driving, controller: Controller, main: RunRow) -> Iterator[None]:
    """Keep what comes of the runs that are driven: after an exception of ours none of them is resumed alongside again, since
    nobody can say which it was."""
    notes = Resumptions(driving.settings.state)
    try:
        yield
    except (PenstockError, KeyboardInterrupt):
        for run_id in {main.run_id, *driving.resumed}:
            notes.ended(run_id)
        raise
    except Exception as error:
        for run_id in {main.run_id, *controller.active()}:
            notes.failed(run_id, error)
        raise
    for run_id in {main.run_id, *driving.resumed}:
        notes.ended(run_id)


def _resume(driving: Driving, controller: Controller, run: RunRow) -> None:
    """Resume an interrupted run alongside, unless that has ended a controller before: then it is named."""
    notes = Resumptions(driving.settings.state)
    refusal = notes.refusal(run.run_id)
    if not refusal:
        notes.begun(run.run_id)
        try:
            _take(driving, controller, run, how="alongside")
            driving.resumed.append(run.run_id)
            return
        except StoreUnavailable as error:  # its rows are damaged; where it is the whole store, the next step says so
            notes.ended(run.run_id)
            controller.give_up(run.run_id)
            refusal = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the run that was asked for goes on
            notes.failed(run.run_id, error)
            controller.give_up(run.run_id)
            refusal = notes.refusal(run.run_id) or str(error)
    driving.progress.said(
        f"run {run.run_id} of {run.pipeline} was interrupted and is not resumed: {refusal}. "
        f"`penstock retry {run.run_id}` resumes it."
    )


def _take(driving: Driving, controller: Controller, run: RunRow, *, how: str) -> None:
    settings = driving.settings
    lease = driving.store.lease_of(run.run_id)
    dead = lease.holder if lease is not None and is_provably_dead(lease.holder) else None
    if controller.take(run.run_id, dead=dead):
        driving.progress.begun(
            run,
            how=how,
            tail=lambda attempt: tail_of(settings, attempt),
            saved=lambda source: saved_ms(driving.store, source),
            outlook=_outlook(driving, run, how=how),
        )


def _outlook(driving: Driving, run: RunRow, *, how: str) -> Outlook:
    return Outlook(
        plan=driving.plan_of(run),
        capacity=driving.executor.largest,
        rows=tuple(driving.store.task_runs(run.run_id)) if how != "new" else (),
        usage=driving.executor.usage,
    )


@contextmanager
def _controller(driving: Driving) -> Iterator[Controller]:
    controller = Controller(
        store=driving.store,
        executors=[driving.executor],
        clock=SystemClock(),
        holder=holder_of_this_process(token=os.urandom(4).hex()),
        plan_of=driving.plan_of,
        grace_ms=driving.settings.grace_ms,
        lease_ms=driving.settings.lease_ms,
        observer=lambda transitions, now: _committed(driving, transitions, now),
        heard=driving.progress.observed,
        answer=answer_of(driving.settings, driving.store, driving.artifacts),
    )
    try:
        yield controller
    finally:
        controller.close()


def _committed(driving: Driving, transitions: Sequence[Transition], now: Instant) -> None:
    mark_differing(driving.store, driving.artifacts, transitions, now)
    driving.progress.committed(transitions)


def _turn_until_ended(controller: Controller, main: str, *, stops: Stops, progress: Progress) -> None:
    """Until every run has ended; once asked to stop, until `main` has (the others stay interrupted: nobody asked to
    cancel them). Raises StoreUnavailable while `main` has not ended; trouble with the others alone is told, and they
    stay interrupted."""
    seen = 0
    while active := controller.active():
        if stops.count and main not in active:
            return
        if stops.count > seen:
            seen = stops.count
            progress.stopping(force=seen > 1)
            controller.request_cancel(main, force=seen > 1)
        try:
            controller.step(TURN_MS)
            progress.refresh()
        except StoreUnavailable as error:
            if main in active:
                raise
            progress.said(f"{', '.join(active)} stays interrupted: {error}")
            return


def _interrupted_runs(store: StateStore, *, besides: str) -> list[RunRow]:
    unfinished = [run for state in (RunState.PENDING, RunState.RUNNING) for run in store.runs(state=state.value)]
    return [run for run in unfinished if run.run_id != besides and shown_state(store, run) == "interrupted"]


def wait_for_live_holder(store: StateStore, run_id: str, *, poll_s: float = 0.1) -> RunRow | None:
    """Wait until a run has ended, as long as somebody is at work on it; None when nobody is any more."""
    while True:
        # The lease is read first: a run that ends in between is seen ended.
        live = is_live(store.lease_of(run_id))
        row = store.run(run_id)
        if row is not None and row.state not in (RunState.PENDING, RunState.RUNNING):
            return row
        if not live:
            return None
        time.sleep(poll_s)
