"""The three machines and their tables of allowed transitions. `docs/lifecycle.md` is drawn from these tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskState(StrEnum):
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    BACKOFF = "backoff"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    SUBMITTED = "submitted"
    STARTED = "started"
    ENDED = "ended"


class Origin(StrEnum):
    """How a succeeded task run came by its outputs."""

    COMPUTED = "computed"
    CACHED = "cached"


RUN_TABLE: Mapping[RunState, frozenset[RunState]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

# A ready task run succeeds without an attempt when its key is found.
# A control node that is running may move within `running` (its cursor, its round): that is progress, not a change of
# state.
TASK_TABLE: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.WAITING: frozenset({TaskState.READY, TaskState.SKIPPED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.READY: frozenset({TaskState.RUNNING, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset(
        {
            TaskState.RUNNING,
            TaskState.READY,
            TaskState.BACKOFF,
            TaskState.SUCCEEDED,
            TaskState.FAILED,
            TaskState.SKIPPED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.BACKOFF: frozenset({TaskState.READY, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.SUCCEEDED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.SKIPPED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}

# An attempt that is asked to stop stays in its state until it has ended.
ATTEMPT_TABLE: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.SUBMITTED: frozenset({AttemptState.SUBMITTED, AttemptState.STARTED, AttemptState.ENDED}),
    AttemptState.STARTED: frozenset({AttemptState.STARTED, AttemptState.ENDED}),
    AttemptState.ENDED: frozenset(),
}

TERMINAL_TASK_STATES = frozenset(state for state, after in TASK_TABLE.items() if not after)
TERMINAL_RUN_STATES = frozenset(state for state, after in RUN_TABLE.items() if not after)
