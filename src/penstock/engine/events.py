"""What goes into the engine and what comes out: events (facts, past tense), transitions (committed changes, each with
its cause), commands (effects, performed only after commit)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.base.instants import Instant
from penstock.engine.rows import AttemptRow, Cause, Row, RunRow, TaskRunRow
from penstock.plan.model import Plan
from penstock.wire import AttemptEnded, AttemptRequest, AttemptStarted

# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunSubmitted:
    """A run was asked for. `run` is in state pending; `plan` was made from its graph."""

    run: RunRow
    plan: Plan


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked for a run to stop; `force`: at once, without grace and without finally nodes."""

    run_id: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class CapacityReported:
    """What an executor can hold: `cpu` in thousandths, `memory` in bytes, custom resources in thousandths. `ahead_max`:
    how many short attempts it takes beyond that, to start them itself as others end (0: none)."""

    executor: str
    amounts: Mapping[str, int]
    ahead_max: int = 0


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened but time: retries, deadlines and graces may be due."""


Event = RunSubmitted | CancelRequested | CapacityReported | TimePassed | AttemptStarted | AttemptEnded

# -- commands ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartAttempt:
    executor: str
    request: AttemptRequest


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """SIGTERM, and after `grace_ms` SIGKILL; 0: SIGKILL at once. Repeatable."""

    executor: str
    attempt_id: str
    grace_ms: int


Command = StartAttempt | StopAttempt

# -- decisions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    """One change. `machine` is run, task or attempt; `id` is the run's id, a task run's path, or `path#number`;
    `before` (empty for an attempt just made) and `after` are states of that machine; `row` is the whole row as it is
    once the decision is made, the same for every change of one identity in a decision."""

    machine: str
    run_id: str
    id: str
    before: str
    after: str
    cause: Cause
    row: Row


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event led to. `wake_at`: when the engine wants a `TimePassed` at the latest (None: no timer is set)."""

    transitions: tuple[Transition, ...] = ()
    commands: tuple[Command, ...] = ()
    wake_at: Instant | None = None


__all__ = [
    "AttemptEnded",
    "AttemptRow",
    "AttemptStarted",
    "CancelRequested",
    "CapacityReported",
    "Command",
    "Decision",
    "Event",
    "RunRow",
    "RunSubmitted",
    "StartAttempt",
    "StopAttempt",
    "TaskRunRow",
    "TimePassed",
    "Transition",
]
