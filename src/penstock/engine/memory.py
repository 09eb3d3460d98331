"""What the engine remembers of a run: scopes (graphs being run) and task runs (nodes in them). A cache of the rows: it can be
thrown away and rebuilt. A node without a `TaskRun` is waiting."""

from __future__ import annotations

from typing import Any

from penstock.base.instants import Instant
from penstock.engine.rows import NO_CAUSE, Amounts, AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_TASK_STATES, Origin, TaskState
from penstock.plan.model import Plan, PlanGraph, PlanNode
from penstock.wire import Datum


class Scope:
    """One graph being run: the root, a nested call, one item of a map, the taken case of a branch, one round of a loop."""

    __slots__ = (
        "cancelled",
        "ended",
        "failed",
        "holder",
        "inputs",
        "key",
        "open",
        "path",
        "pending",
        "plan",
        "priority",
        "run",
        "runs",
        "stopping",
        "tail_ms",
    )

    def __init__(
        self, run: Run, plan: PlanGraph, *, holder: TaskRun | None, key: int, path: str, inputs: dict[str, Datum]
    ) -> None:
        self.run = run
        self.plan = plan
        self.holder = holder
        self.key = key
        """The item's index, the case or the round; 0 for others."""
        self.path = path
        """What the paths of its task runs begin with: empty, or ending with a slash."""
        self.inputs = inputs
        self.runs: list[TaskRun | None] = [None] * len(plan.nodes)
        self.pending = list(plan.waits)
        """By node: how many of its upstreams have not ended."""
        self.open = len(plan.nodes)
        self.failed = 0
        self.cancelled = 0
        self.ended = False
        self.stopping = ""
        """Why nothing new starts here; finally nodes still do unless it is "kill"."""
        self.priority: int = run.row_priority
        self.tail_ms = 0.0
        """The predicted path from the end of this graph to the end of the run."""
        if holder is not None:
            self.priority = holder.priority
            self.tail_ms = holder.remaining_ms - (holder.node.own_ms or 0.0)


class TaskRun:
    """One node in one scope that has left `waiting`."""

    __slots__ = (
        "amounts",
        "attempt",
        "cause",
        "changed_at",
        "current",
        "detail",
        "ended_at",
        "failed_count",
        "generation",
        "inputs",
        "live",
        "lost_count",
        "node",
        "oom_count",
        "origin",
        "outputs",
        "path",
        "progress",
        "ready_at",
        "retry_at",
        "scope",
        "started_at",
        "state",
        "timeout_ms",
    )

    def __init__(self, scope: Scope, node: PlanNode) -> None:
        self.scope = scope
        self.node = node
        self.path = scope.path + node.name
        self.state = TaskState.WAITING
        self.cause = NO_CAUSE
        self.changed_at = Instant(0)
        self.origin: Origin | None = None
        self.outputs: dict[str, Datum] = NO_OUTPUTS
        self.attempt = 0
        self.failed_count = 0
        self.oom_count = 0
        self.lost_count = 0
        self.generation = 0
        self.ready_at: Instant | None = None
        self.retry_at: Instant | None = None
        self.started_at: Instant | None = None
        self.ended_at: Instant | None = None
        self.detail: dict[str, Any] = NO_DETAIL
        self.inputs: dict[str, Datum] = NO_OUTPUTS
        """Bound inputs, from ready to the end; derived, not stored."""
        self.amounts: Amounts = ()
        self.timeout_ms: int | None = None
        self.current: AttemptRow | None = None
        self.live: dict[int, Scope] = NO_SCOPES
        self.progress: Progress | None = None

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
        )

    def restore(self, row: TaskRunRow) -> None:
        """Take over what was stored."""
        self.state, self.cause, self.changed_at = row.state, row.cause, row.changed_at
        self.origin, self.outputs, self.attempt = row.origin, dict(row.outputs), row.attempt
        self.failed_count, self.oom_count, self.lost_count = row.failed_count, row.oom_count, row.lost_count
        self.generation, self.ready_at, self.retry_at = row.generation, row.ready_at, row.retry_at
        self.started_at, self.ended_at, self.detail = row.started_at, row.ended_at, dict(row.detail)


NO_OUTPUTS: dict[str, Datum] = {}
NO_DETAIL: dict[str, Any] = {}
NO_SCOPES: dict[int, Scope] = {}
"""Shared and never written to: most task runs have none of their own."""

PENDING, KEPT, FAILED, DROPPED = 0, 1, 2, 3


class Progress:
    """How far a map is: one byte an item, and what has been collected so far."""

    __slots__ = ("collected", "cursor", "failed", "fates", "items", "open", "tolerance")

    def __init__(self, items: tuple[Datum, ...], *, output_names: tuple[str, ...], tolerance: int) -> None:
        self.items = items
        self.cursor = 0
        """Items before it have been created."""
        self.open = len(items)
        """Items that have not ended."""
        self.failed = 0
        self.tolerance = tolerance
        self.fates = bytearray(len(items))
        self.collected: dict[str, dict[int, Datum]] = {name: {} for name in output_names}


class Run:
    """One run in the engine's memory. The fields of its row that change are kept as fields."""

    __slots__ = (
        "cause",
        "ended_at",
        "in_flight",
        "outputs",
        "plan",
        "root",
        "row_fixed",
        "row_priority",
        "run_id",
        "started_at",
        "state",
        "stats",
        "stopping",
    )

    def __init__(self, row: RunRow, plan: Plan) -> None:
        self.row_fixed = row
        self.run_id = row.run_id
        self.row_priority = row.priority
        self.plan = plan
        self.state = row.state
        self.cause = row.cause
        self.stopping = row.stopping
        self.started_at = row.started_at
        self.ended_at = row.ended_at
        self.outputs: dict[str, Datum] = dict(row.outputs)
        self.root: Scope | None = None
        self.in_flight: dict[str, TaskRun] = {}
        """Attempts submitted and not ended, by attempt id."""
        self.stats: dict[str, list[int]] = {}
        """Succeeded attempts of this run by component: [count, total in microseconds]."""

    def row(self) -> RunRow:
        fixed = self.row_fixed
        return RunRow(
            fixed.run_id,
            fixed.pipeline,
            fixed.graph_digest,
            fixed.inputs,
            fixed.pin,
            fixed.seed,
            fixed.created_at,
            fixed.priority,
            fixed.retry_of,
            fixed.labels,
            fixed.provenance,
            self.state,
            self.cause,
            self.stopping,
            self.started_at,
            self.ended_at,
            self.outputs,
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
