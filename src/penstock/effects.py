"""The outside, as synchronous protocols. Each has a conformance suite in `testing/` that the fakes and the real ones
pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.base.instants import Instant
from penstock.engine.events import CapacityReported, Transition
from penstock.engine.rows import AttemptRow, CacheEntry, Claim, RunRecord, RunRow, TaskRunRow
from penstock.values.store import ArtifactStore
from penstock.wire import AttemptRequest, DescribeRequest, Description, Observation, Report


class Clock(Protocol):
    def now(self) -> Instant:
        """The present, ms since the epoch. It may jump in both directions; nobody may rely on it to be monotonic."""
        ...


# -- executors ---------------------------------------------------------------------------------------------------------


class Executor(Protocol):
    """Starts, watches and stops attempts somewhere. Every call is repeatable: an attempt id is never started twice,
    stopping what has ended does nothing. Reports may come late, twice or out of order; they are repeated until
    acknowledged."""

    @property
    def name(self) -> str: ...

    def capacity(self) -> CapacityReported: ...

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        """Take these attempts. One that cannot be taken is reported `Refused`."""
        ...

    def stop(self, attempt_id: str, *, grace_ms: int) -> None: ...

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        """Take over attempts that an earlier controller gave to this executor. For each of them a report follows: the
        recorded outcome; or `Refused` where it provably never started; or started, where it still runs and can be
        watched; or `Lost`."""
        ...

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        """Reports at hand; waits at most `timeout_ms` for the first one."""
        ...

    def observations(self) -> Sequence[Observation]:
        """Metrics logged since the last call."""
        ...

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """The ends of these attempts are committed; their records may go."""
        ...

    def close(self) -> None:
        """End every process; afterwards none is left."""
        ...


class Describer(Protocol):
    def describe(self, request: DescribeRequest) -> Description:
        """Import a target in a worker and answer with its graph, its diagnostics and its pinned code (semantics 25)."""
        ...


# -- the state store ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: a process named so that another on the same host can prove it dead (semantics 23).
    `process_started` is the start time in clock ticks since boot (field 22 of /proc/PID/stat)."""

    host: str
    boot_id: str
    pid: int
    process_started: int
    token: str = ""
    """Tells apart two controllers of one process."""


@dataclass(frozen=True, slots=True)
class Lease:
    run_id: str
    epoch: int
    """Grows by one at every change of holder; commits with an older epoch are refused."""
    holder: Holder
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Message:
    """A row of the inbox (semantics 26). `kind`: "submit" (body: `Submission` parts are stored beside it), "cancel"
    (body: {"force": bool})."""

    message_id: str
    kind: str
    run_id: str
    posted_at: Instant
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submission:
    """A run asked for, with its graph as JSON (stored once per digest)."""

    run: RunRow
    graph: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction: all of it or nothing. Fenced: if any lease's epoch is not the stored one, `LeaseLost` names
    those runs and nothing is written. `transitions` are in order; rows of the same identity: the last one is kept; all
    of them enter the journal."""

    at: Instant
    leases: tuple[Lease, ...]
    transitions: tuple[Transition, ...]
    consumed: tuple[str, ...] = ()
    """Ids of inbox messages whose effect this is."""
    entries: tuple[CacheEntry, ...] = ()
    claims: tuple[Claim, ...] = ()
    """Keys that these runs compute from now on. One that a run with a live lease claims already: `ClaimLost`, nothing is
    written. A claim goes with its entry, with `released`, and with the end of its run."""
    released: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One transition as stored: `sequence` counts from 1 per run without gaps; `cause` is (code, by, text)."""

    sequence: int
    at: Instant
    machine: str
    id: str
    before: str
    after: str
    cause: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ComponentHistory:
    """What is known of a component from runs that have ended: how many attempts succeeded, their mean duration."""

    component: str
    succeeded_count: int
    duration_us_mean: float


@dataclass(frozen=True, slots=True)
class Found:
    """What there is under a key: the newest entry, and the run that computes the key now and whose lease is live."""

    entry: CacheEntry | None = None
    claimed_by: str | None = None


class StateStore(Protocol):
    """Runs, journal, inbox, leases. Raises `StoreUnavailable` when it cannot be used now, `CommitUnknown` when a commit
    may or may not have happened."""

    def submit(self, submission: Submission, message: Message) -> None:
        """Put a run's submission into the inbox. The run's row exists from then on, in state pending. Repeatable by
        id."""
        ...

    def post(self, message: Message) -> None:
        """Put a message into the inbox. Repeatable by id."""
        ...

    def inbox(self, run_ids: Sequence[str]) -> Sequence[Message]:
        """Messages for these runs that no commit has consumed, oldest first."""
        ...

    def acquire(
        self, run_id: str, holder: Holder, *, now: Instant, lease_ms: int, dead: Holder | None = None
    ) -> Lease | None:
        """Take the lease of a run: free, expired, already this holder's, or still held by `dead`, which the caller has
        proved dead (named, so that of two callers with the same proof the second does not take it from the first).
        None: somebody else holds it. Raises KeyError for an unknown run."""
        ...

    def renew(self, leases: Sequence[Lease], *, now: Instant, lease_ms: int) -> Sequence[Lease]:
        """Extend leases; those lost are missing in the answer."""
        ...

    def release(self, leases: Sequence[Lease]) -> None: ...

    def lease_of(self, run_id: str) -> Lease | None: ...

    def commit(self, commit: Commit) -> None: ...

    def observe(self, observations: Sequence[Observation]) -> None:
        """Keep logged metrics; batched, not fenced."""
        ...

    # reading

    def load(self, run_id: str) -> RunRecord: ...

    def graph(self, graph_digest: str) -> Mapping[str, Any]: ...

    def run(self, run_id: str) -> RunRow | None: ...

    def runs(self, *, limit: int = 100, state: str | None = None, prefix: str = "") -> Sequence[RunRow]:
        """Newest first."""
        ...

    def task_runs(self, run_id: str) -> Sequence[TaskRunRow]:
        """In order of path."""
        ...

    def attempts(self, run_id: str, path: str | None = None) -> Sequence[AttemptRow]: ...

    def journal(self, run_id: str, *, after: int = 0, limit: int = 10_000) -> Sequence[JournalEntry]: ...

    def metrics(self, run_id: str, path: str | None = None) -> Sequence[Observation]: ...

    def look_up(self, keys: Sequence[str]) -> Mapping[str, Found]:
        """What there is under these keys; a key with nothing is missing in the answer."""
        ...

    def adoptable(self, run_id: str, keys: Sequence[str]) -> Mapping[str, TaskRunRow]:
        """By key, the succeeded task runs of a run."""
        ...

    def history(self, components: Sequence[str]) -> Mapping[str, ComponentHistory]: ...

    def close(self) -> None: ...


__all__ = [
    "ArtifactStore",
    "Clock",
    "Commit",
    "ComponentHistory",
    "Describer",
    "Executor",
    "Found",
    "Holder",
    "JournalEntry",
    "Lease",
    "Message",
    "StateStore",
    "Submission",
]
