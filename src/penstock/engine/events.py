"""What goes into the engine and what comes out: events (facts, past tense), transitions (committed changes, each with
its cause), commands (effects, performed only after commit)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.base.instants import Instant
from penstock.engine.rows import AttemptRow, CacheEntry, Cause, Claim, Row, RunRow, TaskRunRow
from penstock.plan.model import Plan
from penstock.wire import AttemptEnded, AttemptRequest, AttemptStarted, Datum

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


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The answer to a look-up. `how`: "hit" (an entry), "adopted" (a task run of the run that this one retries), "claimed"
    (another controller computes the key), or "miss". `source` is `RUN/path` of what was found or of who computes."""

    run_id: str
    path: str
    key: str
    how: str
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    source: str = ""
    newest: str = ""
    """Of a miss: the newest entry there is, which does not hold, as a `Claim` says it."""


Event = RunSubmitted | CancelRequested | CapacityReported | TimePassed | AttemptStarted | AttemptEnded | LookedUp

# -- queries -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookUp:
    """Is there anything under this key? Answered before commit, by a `LookedUp`; may be asked again. `adopt_from`: the run whose
    task runs may be adopted; `read`: entries of the cache may be used."""

    run_id: str
    path: str
    key: str
    component: str
    adopt_from: str | None
    read: bool


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
class Given:
    """What a function's task run that succeeded was given: the store keeps which artifacts went where."""

    run_id: str
    path: str
    inputs: Mapping[str, Datum]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event led to. `wake_at`: when the engine wants a `TimePassed` at the latest (None: no timer is set)."""

    transitions: tuple[Transition, ...] = ()
    queries: tuple[LookUp, ...] = ()
    commands: tuple[Command, ...] = ()
    wake_at: Instant | None = None
    entries: tuple[CacheEntry, ...] = ()
    claims: tuple[Claim, ...] = ()
    released: tuple[str, ...] = ()
    """Keys whose claims are given up."""
    given: tuple[Given, ...] = ()


__all__ = [
    "AttemptEnded",
    "AttemptRow",
    "AttemptStarted",
    "CancelRequested",
    "CapacityReported",
    "Command",
    "Decision",
    "Event",
    "LookUp",
    "LookedUp",
    "RunRow",
    "RunSubmitted",
    "StartAttempt",
    "StopAttempt",
    "TaskRunRow",
    "TimePassed",
    "Transition",
]
