"""Small total functions that decide: may a node run, and what follows an attempt's outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from penstock.base.digests import chance
from penstock.base.instants import Instant
from penstock.engine.memory import caused
from penstock.engine.rows import Cause
from penstock.graph.model import Retry, Trigger
from penstock.wire import (
    Cancelled,
    Failed,
    InputLost,
    Lost,
    NotYet,
    OutOfMemory,
    OutputInvalid,
    Refused,
    Skipped,
    TimedOut,
)

REFUSED_WAIT_MS = 50


# -- triggers (semantics 6) --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counters:
    """Of a node's upstreams: how many have succeeded, failed (or were cancelled), were skipped, and have not ended; and
    the first that failed and was skipped, in written order. `data_open`: some upstream that a Value refers to has not
    ended."""

    succeeded: int
    failed: int
    skipped: int
    open: int
    data_open: bool
    first_failed: str = ""
    first_skipped: str = ""


class Wait:
    """Not yet known."""


class Go:
    """The trigger is met."""


@dataclass(frozen=True, slots=True)
class Skip:
    cause: Cause


WAIT, GO = Wait(), Go()


def triggered(trigger: Trigger, counters: Counters) -> Wait | Go | Skip:
    """Whether a node may run. It waits for every upstream, but that `one_succeeded` and `one_failed` act as soon as
    they are met and all data is there."""
    c = counters
    if c.open:
        early = (trigger is Trigger.ONE_SUCCEEDED and c.succeeded) or (trigger is Trigger.ONE_FAILED and c.failed)
        return GO if early and not c.data_open else WAIT
    failed = Skip(Cause("upstream_failed", c.first_failed))
    skipped = Skip(Cause("upstream_skipped", c.first_skipped))
    if c.succeeded + c.failed + c.skipped == 0:
        return GO
    match trigger:
        case Trigger.ALL_ENDED:
            return GO
        case Trigger.ALL_SUCCEEDED:
            return failed if c.failed else skipped if c.skipped else GO
        case Trigger.NONE_FAILED:
            return failed if c.failed else GO
        case Trigger.ONE_SUCCEEDED:
            return GO if c.succeeded else failed if c.failed else skipped
        case Trigger.ONE_FAILED:
            return GO if c.failed else skipped
        case Trigger.NONE_FAILED_ONE_SUCCEEDED:
            return failed if c.failed else GO if c.succeeded else skipped
        case _:
            assert_never(trigger)


# -- outcomes (semantics 17) -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class End:
    """The task run ends in this state: "failed", "skipped" or "cancelled"."""

    state: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, not before `at`; which count it costs ("failed", "oom", "lost" or "")."""

    at: Instant
    costs: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Tried:
    """What a decision about the next attempt depends on, besides the outcome."""

    failed_count: int
    oom_count: int
    lost_count: int
    attempt_id: str
    seed: int
    stopping: bool = False
    """Nothing new starts here any more."""
    can_grow: bool = True
    """More memory can be asked for than the attempt had."""


Unsuccessful = (
    Failed | TimedOut | OutOfMemory | Lost | Cancelled | Skipped | NotYet | Refused | InputLost | OutputInvalid
)


def follow(outcome: Unsuccessful, retry: Retry, tried: Tried, now: Instant) -> End | Again:
    """What follows from an attempt's outcome that is not success."""
    match outcome:
        case Skipped(why):
            return End("skipped", Cause("asked", text=why))
        case InputLost(digest, why):
            return End("failed", Cause("input_lost", text=f"{digest}: {why}"))
        case OutputInvalid(why):
            return End("failed", Cause("output_invalid", text=why))
        case Cancelled() | NotYet() | Refused() | Lost() | OutOfMemory() | TimedOut() if tried.stopping:
            return End("cancelled", caused("cancelled"))
        case Cancelled(why) | Lost(why):
            if tried.lost_count + 1 > retry.lost_max:
                return End("failed", Cause("lost", text=why))
            return Again(now, "lost", Cause("lost", text=why))
        case NotYet(after_ms, why):
            return Again(Instant(now + after_ms), "", Cause("not_yet", text=why))
        case Refused(why):
            return Again(Instant(now + REFUSED_WAIT_MS), "", Cause("refused", text=why))
        case OutOfMemory(why):
            if tried.oom_count + 1 > retry.oom_max or not tried.can_grow:
                return End("failed", Cause("out_of_memory", text=why))
            return Again(now, "oom", Cause("out_of_memory", text=why))
        case TimedOut():
            return _timed_out(outcome, retry, tried, now)
        case Failed():
            return _failed(outcome, retry, tried, now)
        case _:
            assert_never(outcome)


def _failed(outcome: Failed, retry: Retry, tried: Tried, now: Instant) -> End | Again:
    failure = outcome.failure
    cause = Cause("failed", text=f"{failure.type.rpartition(':')[2]}: {failure.message}")
    names = {failure.type, failure.type.rpartition(":")[2], *failure.bases}
    names |= {name.rpartition(":")[2] for name in failure.bases}
    wanted = not retry.retry_on or any(name in names for name in retry.retry_on)
    if outcome.final or tried.stopping or not wanted or tried.failed_count + 1 >= retry.attempts_max:
        return End("failed", cause)
    return Again(Instant(now + wait_ms(retry, tried)), "failed", cause)


def _timed_out(outcome: TimedOut, retry: Retry, tried: Tried, now: Instant) -> End | Again:
    cause = Cause("timed_out", text=outcome.why)
    if tried.failed_count + 1 >= retry.attempts_max:
        return End("failed", cause)
    return Again(Instant(now + wait_ms(retry, tried)), "failed", cause)


def wait_ms(retry: Retry, tried: Tried) -> int:
    """The backoff before the next attempt: exponential, capped, with jitter that depends on nothing but the attempt."""
    exponent = min(tried.failed_count, 64)
    plain = min(retry.backoff_ms * retry.factor**exponent, retry.backoff_max_ms)
    spread = retry.jitter * (2 * chance("jitter", tried.seed, tried.attempt_id) - 1)
    return max(0, round(plain * (1 + spread)))


def memory_after(amounts: Mapping[str, int], peak_bytes: int, largest_bytes: int) -> int:
    """What to ask for after an attempt ran out of memory: twice what it had, at most what there is."""
    had = amounts.get("memory", 0) or peak_bytes
    return min(max(2 * had, 1), largest_bytes) if largest_bytes else 2 * had
