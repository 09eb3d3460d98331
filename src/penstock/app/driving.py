"""Driving runs to their ends: one controller over the project's store and executor, turned until the runs it is
responsible for have ended or somebody asks it to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.app.progress import Progress
from penstock.app.reading import is_live, result_of, shown_state, tail_of
from penstock.app.results import RunResult
from penstock.app.stops import Stops, counted_stops
from penstock.base.errors import InvalidPipeline
from penstock.controller import Controller, SystemClock, holder_of_this_process, is_provably_dead
from penstock.engine.rows import RunRow
from penstock.engine.states import RunState
from penstock.graph.codec import graph_from_json
from penstock.graph.model import Function, Graph, bodies_of
from penstock.plan.model import Plan
from penstock.plan.passes import make_plan
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor

# How long the loop may sleep when nothing happens; also how fast Ctrl-C is noticed.
TURN_MS = 200


@dataclass(frozen=True, slots=True)
class Driving:
    """What it takes to drive runs of one project. `plans` holds those already made, by run id."""

    settings: Settings
    store: StateStore
    executor: LocalExecutor
    progress: Progress
    plans: dict[str, Plan] = field(default_factory=dict)

    def plan_of(self, run: RunRow) -> Plan:
        """The plan of a stored run, made from its own graph and pin."""
        if run.run_id not in self.plans:
            graph = graph_from_json(dict(self.store.graph(run.graph_digest)))
            return plan_for(graph, graph_digest=run.graph_digest, pin=run.pin, store=self.store, executor=self.executor)
        return self.plans.pop(run.run_id)


def plan_for(graph: Graph, *, graph_digest: str, pin: str, store: StateStore | None, executor: LocalExecutor) -> Plan:
    """A graph's plan, with what earlier runs in the store have taught about its components."""
    return make_plan(
        graph,
        graph_digest=graph_digest,
        pin=pin,
        history=_history(store, graph) if store is not None else {},
        capacity=executor.capacity().amounts,
    )


def refuse_unmeetable(plan: Plan) -> None:
    """Raises InvalidPipeline for requests that this machine could never meet."""
    errors = tuple(item for item in plan.diagnostics if item.severity == "error")
    if errors:
        raise InvalidPipeline(errors)


def _history(store: StateStore, graph: Graph) -> Mapping[str, tuple[int, float]]:
    known = store.history(sorted(_components(graph)))
    return {name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items()}


def _components(graph: Graph) -> set[str]:
    found: set[str] = set()
    for node in graph.nodes:
        component = getattr(node, "component", None)
        if isinstance(component, Function):
            found.add(f"{component.module}:{component.name}")
        for body, _ in bodies_of(node):
            found |= _components(body)
    return found


def drive(driving: Driving, run: RunRow, *, how: str, cancel: bool = False, force: bool = False) -> RunResult:
    """Drive `run` and, unless it is only to be cancelled, every interrupted run of the project to their ends; answers
    how `run` ended."""
    settings, store, progress = driving.settings, driving.store, driving.progress
    with counted_stops() as stops, _controller(driving) as controller:
        _take(driving, controller, run, how=how)
        if cancel:
            controller.request_cancel(run.run_id, force=force)
        else:
            for other in _interrupted_runs(store, besides=run.run_id):
                _take(driving, controller, other, how="alongside")
        _turn_until_ended(controller, run.run_id, stops=stops, progress=progress)
    ended = store.run(run.run_id)
    assert ended is not None, run.run_id
    return result_of(store, settings, ended)


def _take(driving: Driving, controller: Controller, run: RunRow, *, how: str) -> None:
    settings = driving.settings
    lease = driving.store.lease_of(run.run_id)
    dead = lease.holder if lease is not None and is_provably_dead(lease.holder) else None
    if controller.take(run.run_id, dead=dead):
        driving.progress.begun(run, how=how, tail=lambda attempt: tail_of(settings, attempt))


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
        observer=lambda transitions, now: driving.progress.committed(transitions),
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
