"""One decision in the making: the only door through which states change, with the tables behind it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from penstock.base.instants import Instant
from penstock.engine.binding import Frame
from penstock.engine.caching import Flights
from penstock.engine.events import Command, Decision, Given, LookUp, Transition
from penstock.engine.memory import Run, Scope, TaskRun
from penstock.engine.packing import Placement
from penstock.engine.rows import AttemptRow, CacheEntry, Cause, Claim, Row
from penstock.engine.states import ATTEMPT_TABLE, RUN_TABLE, TASK_TABLE, RunState, TaskState
from penstock.wire import Datum

TRANSITIONS_MAX = 4_096
"""A decision stops taking up new work after so many transitions; the rest follows in the next one (semantics 31)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a graph ended: succeeded, failed or cancelled; and those of its outputs that have a value."""

    state: TaskState
    cause: Cause
    outputs: dict[str, Datum]


class Bodies(Protocol):
    """What nodes that hold graphs do: nested calls, maps, branches, loops (`engine.control`)."""

    def begin(self, turn: Turn, task: TaskRun, frame: Frame) -> None:
        """Bind inputs and begin the body. Raises ExpressionError while nothing has changed yet."""
        ...

    def ended(self, turn: Turn, scope: Scope, ended: Ended) -> None:
        """One body has ended."""
        ...

    def stop(self, turn: Turn, task: TaskRun, why: str) -> None:
        """Nothing new starts, every body is stopped."""
        ...


Work = Callable[["Turn", Scope, int], None]


class Timers:
    """What is due when. Entries may be stale: whoever is woken looks whether there is anything to do."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, object]] = []
        self._count = 0

    def add(self, at: int, subject: TaskRun | Run) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, subject))

    def due(self, now: Instant) -> list[TaskRun | Run]:
        subjects = []
        while self._heap and self._heap[0][0] <= now:
            subjects.append(heapq.heappop(self._heap)[2])
        return cast("list[TaskRun | Run]", subjects)

    def next_at(self) -> Instant | None:
        return Instant(self._heap[0][0]) if self._heap else None


class Turn:
    """Collects the transitions and commands of one `handle`. `agenda` and the rest are the engine's own and outlive
    it."""

    __slots__ = (
        "_changes",
        "agenda",
        "bodies",
        "claims",
        "commands",
        "entries",
        "flights",
        "given",
        "grace_ms",
        "now",
        "placement",
        "queries",
        "released",
        "timers",
    )

    def __init__(
        self,
        now: Instant,
        *,
        placement: Placement,
        flights: Flights,
        timers: Timers,
        agenda: deque[tuple[Work, Scope, int]],
        bodies: Bodies,
        grace_ms: int,
    ) -> None:
        self.now = now
        self.placement = placement
        self.flights = flights
        self.timers = timers
        self.agenda = agenda
        self.bodies = bodies
        self.grace_ms = grace_ms
        self.commands: list[Command] = []
        self.queries: list[LookUp] = []
        self.entries: list[CacheEntry] = []
        self.claims: list[Claim] = []
        self.released: list[str] = []
        self.given: list[Given] = []
        self._changes: list[tuple[str, str, str, str, str, Cause, TaskRun | Run | AttemptRow]] = []

    def work(self) -> None:
        """Take up what is on the agenda until it is empty or the decision is large enough."""
        agenda = self.agenda
        while agenda and len(self._changes) < TRANSITIONS_MAX:
            act, scope, index = agenda.popleft()
            act(self, scope, index)

    def decision(self) -> Decision:
        rows: dict[int, Row] = {}
        transitions = []
        for machine, run_id, identity, before, after, cause, subject in self._changes:
            if isinstance(subject, AttemptRow):
                row: Row = subject
            else:
                row = rows.get(id(subject)) or rows.setdefault(id(subject), subject.row())
            transitions.append(Transition(machine, run_id, identity, before, after, cause, row))
        wake_at = self.now if self.agenda else self.timers.next_at()
        return Decision(
            tuple(transitions),
            tuple(self.queries),
            tuple(self.commands),
            wake_at,
            tuple(self.entries),
            tuple(self.claims),
            tuple(self.released),
            tuple(self.given),
        )

    # -- the doors

    def move(self, task: TaskRun, after: TaskState, cause: Cause) -> None:
        """Change a task run's state. Its times follow from the state."""
        before = task.state
        assert after in TASK_TABLE[before], f"{task.path}: {before} -> {after} ({cause})"
        task.state, task.cause, task.changed_at = after, cause, self.now
        if after is TaskState.READY:
            task.ready_at = self.now
            task.retry_at = None
        elif after is TaskState.RUNNING:
            if task.started_at is None:
                task.started_at = self.now
        elif after is not TaskState.BACKOFF:
            task.ended_at = self.now
            task.retry_at = None
        self._changes.append(("task", task.scope.run.run_id, task.path, before, after, cause, task))

    def move_attempt(self, task: TaskRun, row: AttemptRow, cause: Cause) -> None:
        """Change an attempt's state, or make it: `row` is the attempt after the change."""
        before = task.current.state if task.current is not None and task.current.number == row.number else None
        assert before is None or row.state in ATTEMPT_TABLE[before], (
            f"{task.path}#{row.number}: {before} -> {row.state}"
        )
        task.current = row
        identity = f"{row.path}#{row.number}"
        self._changes.append(("attempt", row.run_id, identity, before or "", row.state, cause, row))

    def move_run(self, run: Run, after: RunState, cause: Cause) -> None:
        before = run.state
        assert after in RUN_TABLE[before] or after is before, f"{run.run_id}: {before} -> {after}"
        run.state, run.cause = after, cause
        if after is RunState.RUNNING:
            run.started_at = run.started_at or self.now
        else:
            run.ended_at = self.now
        self._changes.append(("run", run.run_id, run.run_id, before, after, cause, run))
