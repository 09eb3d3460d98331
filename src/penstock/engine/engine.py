"""The engine: events in, decisions out. It holds all runs of one controller; everything in it can be rebuilt from
rows."""

from __future__ import annotations

from collections import deque
from typing import Any, assert_never

from penstock.base.ids import attempt_id, split_attempt_id
from penstock.base.instants import Instant
from penstock.engine.attempts import place, request_of
from penstock.engine.caching import Flights
from penstock.engine.control import Control
from penstock.engine.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityReported,
    Command,
    Decision,
    Event,
    LookedUp,
    RunSubmitted,
    StartAttempt,
    StopAttempt,
    TimePassed,
)
from penstock.engine.memory import Run, Scope, caused
from penstock.engine.outcomes import attempt_ended, attempt_started
from penstock.engine.packing import Placement
from penstock.engine.progress import begin, due, looked_up, run_deadline, stop_run, take_up_ready
from penstock.engine.rebuild import rebuild
from penstock.engine.rows import RunRecord
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.engine.turn import Timers, Turn, Work
from penstock.plan.model import Plan

GRACE_MS = 10_000


class Engine:
    """Decides. `handle` is the only way in; `load` puts a stored run in, `forget` drops one."""

    def __init__(self, *, grace_ms: int = GRACE_MS) -> None:
        self._grace_ms = grace_ms
        self._runs: dict[str, Run] = {}
        self._placement = Placement()
        self._timers = Timers()
        self._agenda: deque[tuple[Work, Scope, int]] = deque()
        self._bodies = Control()
        self._flights = Flights()

    def handle(self, event: Event, *, now: Instant) -> Decision:
        """What follows from an event. An event that is late, repeated or about an unknown run changes nothing."""
        turn = self._turn(now)
        match event:
            case AttemptEnded() | AttemptStarted():
                run = self._runs.get(split_attempt_id(event.attempt_id)[0])
                if run is not None and isinstance(event, AttemptEnded):
                    attempt_ended(turn, run, event)
                elif run is not None:
                    attempt_started(turn, run, event)  # type: ignore[arg-type]
            case TimePassed():
                for subject in self._timers.due(now):
                    if self._runs.get(subject.run_id if isinstance(subject, Run) else subject.scope.run.run_id):
                        due(turn, subject)
            case CapacityReported(executor, amounts, ahead_max):
                self._placement.resize(executor, amounts, ahead_max)
            case LookedUp():
                run = self._runs.get(event.run_id)
                if run is not None:
                    looked_up(turn, run, event)
            case RunSubmitted():
                self._submit(turn, event)
            case CancelRequested(run_id, force):
                run = self._runs.get(run_id)
                if run is not None and run.state not in TERMINAL_RUN_STATES:
                    stop_run(turn, run, "kill" if force else "cancel")
            case _:
                assert_never(event)
        turn.work()
        place(turn)
        return turn.decision()

    def load(self, record: RunRecord, plan: Plan, *, now: Instant) -> None:
        """Put a stored run into memory, as it was after its last commit. What that commit had left undecided is taken
        up with the next event."""
        if record.run.state is RunState.PENDING:
            raise ValueError(f"{record.run.run_id} has not begun: submit it")
        self._runs[record.run.run_id] = rebuild(self._turn(now), record, plan)

    def forget(self, run_id: str) -> None:
        """Drop a run that has ended or that another controller holds now."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            self._placement.forget(run_id)
            for task in self._flights.forget(run_id):
                self._placement.add(task)
            kept = [entry for entry in self._agenda if entry[1].run is not run]
            self._agenda.clear()
            self._agenda.extend(kept)

    def outstanding(self) -> tuple[Command, ...]:
        """What the world should be doing now, derived from state: every attempt in flight, and the stops asked of
        them."""
        commands: list[Command] = []
        for run in self._runs.values():
            for identity, task in run.in_flight.items():
                row = task.current
                assert row is not None
                commands.append(StartAttempt(row.executor, request_of(task)))
                if row.stop_at is not None:
                    commands.append(StopAttempt(row.executor, identity, self._grace_ms))
        return tuple(commands)

    def runs(self) -> tuple[str, ...]:
        return tuple(self._runs)

    def state_of(self, run_id: str) -> RunState | None:
        run = self._runs.get(run_id)
        return run.state if run is not None else None

    def dump(self) -> dict[str, Any]:
        """A picture of what is remembered, comparable with `==`: equal for an engine and for one rebuilt from its
        rows."""
        untaken = (scope.runs[index] for act, scope, index in self._agenda if act is take_up_ready)
        ready = [*self._placement.ready(), *self._flights.idle(), *(task for task in untaken if task is not None)]
        return {run_id: _dump_run(run) for run_id, run in sorted(self._runs.items())} | {
            "ready": sorted((task.scope.run.run_id, task.path, task.amounts) for task in ready)
        }

    def _submit(self, turn: Turn, event: RunSubmitted) -> None:
        row = event.run
        if row.run_id in self._runs or row.state is not RunState.PENDING:
            return
        run = self._runs[row.run_id] = Run(row, event.plan)
        turn.move_run(run, RunState.RUNNING, caused("submitted"))
        run.root = Scope(run, event.plan.root, holder=None, key=0, path="", inputs=dict(row.inputs))
        deadline = run_deadline(run)
        if deadline is not None:
            turn.timers.add(deadline, run)
        begin(turn, run.root)

    def _turn(self, now: Instant) -> Turn:
        return Turn(
            now,
            placement=self._placement,
            flights=self._flights,
            timers=self._timers,
            agenda=self._agenda,
            bodies=self._bodies,
            grace_ms=self._grace_ms,
        )


def _dump_run(run: Run) -> dict[str, Any]:
    scopes: dict[str, Any] = {}
    agenda = [run.root] if run.root is not None and run.state not in TERMINAL_RUN_STATES else []
    while agenda:
        scope = agenda.pop()
        tasks = [task for task in scope.runs if task is not None]
        scopes[scope.path] = {
            "inputs": scope.inputs,
            "pending": scope.pending,
            "counts": (scope.open, scope.failed, scope.cancelled, scope.stopping),
            "tasks": {
                task.path: (task.row(), task.inputs, task.amounts, task.timeout_ms, task.disk_bytes_max)
                for task in tasks
            },
        }
        for task in tasks:
            progress = task.progress
            if progress is not None:
                scopes[task.path] = (
                    progress.cursor,
                    progress.open,
                    progress.failed,
                    progress.fates,
                    progress.collected,
                )
            agenda.extend(task.live.values())
    in_flight = {attempt_id(run.run_id, task.path, task.attempt): task.current for task in run.in_flight.values()}
    return {"row": run.row(), "scopes": scopes, "in_flight": in_flight, "stats": run.stats}
