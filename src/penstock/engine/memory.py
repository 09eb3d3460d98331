"""What the engine remembers of a run: scopes (graphs being run) and task runs (nodes in them). A cache of the rows: it
can be thrown away and rebuilt. A node without a `TaskRun` is waiting."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from penstock.base.instants import Instant
from penstock.engine.rows import NO_CAUSE, Amounts, AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_TASK_STATES, Origin, RunState, TaskState
from penstock.plan.model import Plan, PlanGraph, PlanNode
from penstock.wire import Datum

NEVER = Instant(0)
NO_OUTPUTS: dict[str, Datum] = {}
NO_DETAIL: dict[str, Any] = {}
NO_SCOPES: dict[int, Scope] = {}
"""Shared and never written to: most task runs have none of their own."""


@dataclass(slots=True, eq=False)
class Scope:
    """One graph being run: the root, a nested call, one item of a map, the taken case of a branch, one round of a loop.
    `key` is the item's index, the case or the round (0 for others); `path` is what the paths of its task runs begin
    with: empty, or ending with a slash."""

    run: Run
    plan: PlanGraph
    holder: TaskRun | None
    key: int
    path: str
    inputs: dict[str, Datum]
    runs: list[TaskRun | None] = field(init=False)
    """By node."""
    pending: list[int] = field(init=False)
    """By node: how many of its upstreams have not ended."""
    open: int = field(init=False)
    failed: int = 0
    cancelled: int = 0
    ended: bool = False
    stopping: str = ""
    """"stopped": nothing new starts here but finally nodes; "kill": not even these."""
    priority: int = field(init=False)
    tail_ms: float = 0.0
    """The predicted path from the end of this graph to the end of the run."""

    def __post_init__(self) -> None:
        self.runs = [None] * len(self.plan.nodes)
        self.pending = list(self.plan.waits)
        self.open = len(self.plan.nodes)
        self.priority = self.run.fixed.priority
        if self.holder is not None:
            self.priority = self.holder.priority
            self.tail_ms = self.holder.remaining_ms - (self.holder.node.own_ms or 0.0)


@dataclass(slots=True, eq=False)
class TaskRun:
    """One node in one scope that has left `waiting`. What its row holds has the row's names."""

    scope: Scope
    node: PlanNode
    path: str = field(init=False)
    state: TaskState = TaskState.WAITING
    cause: Cause = NO_CAUSE
    changed_at: Instant = NEVER
    origin: Origin | None = None
    outputs: dict[str, Datum] = field(default_factory=lambda: NO_OUTPUTS)
    attempt: int = 0
    failed_count: int = 0
    oom_count: int = 0
    lost_count: int = 0
    generation: int = 0
    ready_at: Instant | None = None
    retry_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    detail: dict[str, Any] = field(default_factory=lambda: NO_DETAIL)
    inputs: dict[str, Datum] = field(default_factory=lambda: NO_OUTPUTS)
    """Bound inputs, from ready to the end; derived, not stored."""
    key: str | None = None
    amounts: Amounts = ()
    timeout_ms: int | None = None
    disk_bytes_max: int | None = None
    current: AttemptRow | None = None
    live: dict[int, Scope] = field(default_factory=lambda: NO_SCOPES)
    """The bodies that have begun and not ended, by key."""
    progress: Progress | None = None

    def __post_init__(self) -> None:
        self.path = self.scope.path + self.node.name

    @property
    def priority(self) -> int:
        own = self.node.priority
        return self.scope.priority if own is None else own

    @property
    def remaining_ms(self) -> float:
        return self.node.remaining_ms + self.scope.tail_ms

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL_TASK_STATES

    def row(self) -> TaskRunRow:
        return TaskRunRow(
            self.scope.run.run_id,
            self.path,
            self.node.component,
            self.state,
            self.cause,
            self.changed_at,
            self.origin,
            self.outputs,
            self.attempt,
            self.failed_count,
            self.oom_count,
            self.lost_count,
            self.generation,
            self.ready_at,
            self.retry_at,
            self.started_at,
            self.ended_at,
            self.detail,
            self.key,
        )

    def restore(self, row: TaskRunRow) -> None:
        """Take over what was stored."""
        self.state, self.cause, self.changed_at = row.state, row.cause, row.changed_at
        self.origin, self.outputs, self.attempt = row.origin, dict(row.outputs), row.attempt
        self.failed_count, self.oom_count, self.lost_count = row.failed_count, row.oom_count, row.lost_count
        self.generation, self.ready_at, self.retry_at = row.generation, row.ready_at, row.retry_at
        self.started_at, self.ended_at, self.detail = row.started_at, row.ended_at, dict(row.detail)
        self.key = row.key


PENDING, KEPT, FAILED, DROPPED = 0, 1, 2, 3


@dataclass(slots=True, eq=False)
class Progress:
    """How far a map is: a fate an item, and what has been collected so far, by output and position."""

    items: tuple[Datum, ...]
    collected: dict[str, dict[int, Datum]]
    tolerance: int
    cursor: int = 0
    """Items before it have been created."""
    open: int = field(init=False)
    """Items that have not ended."""
    failed: int = 0
    fates: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.open = len(self.items)
        self.fates = bytearray(len(self.items))


@dataclass(slots=True, eq=False)
class Run:
    """One run in the engine's memory: its row as it was submitted, and the fields of it that change."""

    fixed: RunRow
    plan: Plan
    run_id: str = field(init=False)
    state: RunState = field(init=False)
    cause: Cause = field(init=False)
    stopping: str = field(init=False)
    started_at: Instant | None = field(init=False)
    ended_at: Instant | None = field(init=False)
    outputs: dict[str, Datum] = field(init=False)
    root: Scope | None = None
    in_flight: dict[str, TaskRun] = field(default_factory=dict)
    """Attempts submitted and not ended, by attempt id."""
    stats: dict[str, list[int]] = field(default_factory=dict)
    """Succeeded attempts of this run by component: [count, total in microseconds]."""

    def __post_init__(self) -> None:
        row = self.fixed
        self.run_id, self.state, self.cause, self.stopping = row.run_id, row.state, row.cause, row.stopping
        self.started_at, self.ended_at, self.outputs = row.started_at, row.ended_at, dict(row.outputs)

    def row(self) -> RunRow:
        return replace(
            self.fixed,
            state=self.state,
            cause=self.cause,
            stopping=self.stopping,
            started_at=self.started_at,
            ended_at=self.ended_at,
            outputs=self.outputs,
        )


def caused(code: str, by: str = "", text: str = "") -> Cause:
    """A cause; those without a text or an origin are made once."""
    if by or text:
        return Cause(code, by, text)
    known = _CAUSES.get(code)
    if known is None:
        known = _CAUSES[code] = Cause(code)
    return known


_CAUSES: dict[str, Cause] = {}
