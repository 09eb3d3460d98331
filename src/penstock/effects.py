"""The outside, as synchronous protocols. Each has a conformance suite in `testing/` that the fakes and the real ones
pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol

from penstock.base.instants import END_OF_TIME, Instant
from penstock.engine.events import CapacityReported, Transition
from penstock.engine.rows import (
    Amounts,
    ArtifactUse,
    AttemptRow,
    CacheEntry,
    Cause,
    Claim,
    RunRecord,
    RunRow,
    TaskRunRow,
)
from penstock.engine.states import Origin, TaskState
from penstock.values.store import ArtifactStore
from penstock.wire import (
    AttemptRequest,
    DescribeRequest,
    Description,
    Exhibit,
    Observation,
    Observed,
    Progress,
    Report,
    Usage,
)


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
        """Reports at hand; waits at most `timeout_ms` for the first one. Raises StoreUnavailable when the place in which it
        notes what attempts do has gone."""
        ...

    def observations(self) -> Sequence[Observed]:
        """What attempts have logged and said of how far they are since the last call."""
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
    of them enter the journal.

    Claims end where they are released, with an entry that their own run writes for the key, and with their run; only
    then the new ones are made. Entries, claims and uses are of runs whose lease is here (ValueError)."""

    at: Instant
    leases: tuple[Lease, ...]
    transitions: tuple[Transition, ...]
    consumed: tuple[str, ...] = ()
    """Ids of inbox messages whose effect this is."""
    entries: tuple[CacheEntry, ...] = ()
    claims: tuple[Claim, ...] = ()
    """Keys that these runs compute from now on. One that another run claims already, whose lease lasts beyond `at`, or whose
    newest lasting entry before this commit is not the claim's `newest`: `ClaimLost` names the keys and nothing is written.
    Any other claim is taken over."""
    released: tuple[str, ...] = ()
    """Keys whose claims end, if a run whose lease is here holds them."""
    uses: tuple[ArtifactUse, ...] = ()
    """Artifacts that task runs were given. What they made is known from their outputs."""


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
class MemoryHistory:
    """What is known of the memory that a component's attempts take (RssAnon + RssShmem at their largest), from those of its
    newest runs that succeeded and were measured: the 95th percentile, the most. `worked` are sizes that were enough after
    an attempt had run out of memory, by the class of its inputs' size (`plan.learning.input_class`), ascending."""

    runs_count: int = 0
    attempts_count: int = 0
    peak_bytes_p95: int = 0
    peak_bytes_max: int = 0
    worked: tuple[tuple[int, int], ...] = ()


NO_MEMORY = MemoryHistory()


@dataclass(frozen=True, slots=True)
class ComponentHistory:
    """What is known of a component: from runs that have ended, how many attempts succeeded and their mean duration; from all
    that have been committed, their memory."""

    component: str
    succeeded_count: int
    duration_us_mean: float
    memory: MemoryHistory = NO_MEMORY


@dataclass(frozen=True, slots=True)
class Found:
    """What there is under a key. `entry`: the newest that has not expired; `claimed_by`: the run that computes the key
    now, under a lease that lasts; `has_expired`: there are entries, and all of them have expired."""

    entry: CacheEntry | None = None
    claimed_by: str | None = None
    has_expired: bool = False

    @property
    def newest(self) -> str:
        """As a `Claim` says it."""
        return "" if self.entry is None else self.entry.attempt_id


@dataclass(frozen=True, slots=True)
class ArtifactLink:
    """A task run that made (role "out") or was given (role "in") an artifact, as its output or input `name`. Only
    functions make artifacts; what a control node hands on was made before."""

    digest: str
    run_id: str
    path: str
    role: str
    name: str


@dataclass(frozen=True, slots=True)
class Nondeterminism:
    """A component gave two answers to one key; `detail` says what differed (JSON data)."""

    component: str
    at: Instant
    detail: Mapping[str, Any] = field(default_factory=dict)


class TaskRunOutline(NamedTuple):
    """A task run without what is long in its row, by the same names: a view of a whole run needs all of its rows, of which there
    may be hundreds of thousands."""

    path: str
    component: str
    state: TaskState
    cause: Cause
    origin: Origin | None = None
    attempt: int = 0
    ready_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None

    @classmethod
    def of(cls, row: TaskRunRow) -> TaskRunOutline:
        return cls(*(getattr(row, name) for name in cls._fields))


class AttemptOutline(NamedTuple):
    """An attempt without what is long in its row, by the same names; `used` are the values of its usage."""

    path: str
    number: int
    amounts: Amounts
    submitted_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    duration_us: int
    outcome: str | None
    used: tuple[float, ...]

    @property
    def usage(self) -> Usage:
        return Usage(*self.used)  # type: ignore[arg-type]  # a number of bytes is whole

    @classmethod
    def of(cls, row: AttemptRow) -> AttemptOutline:
        known = {name: getattr(row, name) for name in cls._fields if name != "used"}
        return cls(**known, used=tuple(getattr(row.usage, each.name) for each in fields(Usage)))


class RunOutline(NamedTuple):
    """A run, its task runs by path, its attempts by path and number."""

    run: RunRow
    task_runs: Sequence[TaskRunOutline]
    attempts: Sequence[AttemptOutline]

    @classmethod
    def of(cls, record: RunRecord) -> RunOutline:
        return cls(record.run, [*map(TaskRunOutline.of, record.task_runs)], [*map(AttemptOutline.of, record.attempts)])


class StateStore(Protocol):
    """Runs, journal, inbox, leases, cache. Raises `StoreUnavailable` when it cannot be used now, `CommitUnknown` when a commit
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

    def observe(self, observations: Sequence[Observed]) -> None:
        """Keep metrics, exhibits, and the last word of each attempt on how far it is; batched, not fenced."""
        ...

    # reading

    def load(self, run_id: str) -> RunRecord: ...

    def outline(self, run_id: str) -> RunOutline:
        """All of a run, without what is long: for views of the whole of it."""
        ...

    def graph(self, graph_digest: str) -> Mapping[str, Any]: ...

    def run(self, run_id: str) -> RunRow | None: ...

    def runs(self, *, limit: int = 100, state: str | None = None, prefix: str = "") -> Sequence[RunRow]:
        """Those submitted last first, whatever the clock said."""
        ...

    def task_runs(self, run_id: str, path: str | None = None, *, below: bool = False) -> Sequence[TaskRunRow]:
        """In order of path. Given a `path`, only the one there, and with `below` all task runs inside of it as well."""
        ...

    def attempts(
        self, run_id: str, path: str | None = None, *, below: bool = False, outside: bool = False
    ) -> Sequence[AttemptRow]:
        """In order of path and number; `path` and `below` as for `task_runs`. `outside`: only those that name something in
        theirs."""
        ...

    def journal(self, run_id: str, *, after: int = 0, limit: int = 10_000) -> Sequence[JournalEntry]: ...

    def metrics(self, run_id: str, path: str | None = None, *, prefix: str = "") -> Sequence[Observation]:
        """In the order in which they were heard; only those whose names begin with `prefix`."""
        ...

    def exhibits(self, run_id: str, path: str | None = None) -> Sequence[Exhibit]:
        """By path, number, kind and name."""
        ...

    def progress(self, run_id: str, path: str | None = None) -> Sequence[Progress]:
        """The last word of each attempt that said how far it is, by path and number."""
        ...

    def history(self, components: Sequence[str]) -> Mapping[str, ComponentHistory]: ...

    # the cache

    def look_up(self, keys: Sequence[str], *, now: Instant, ahead: int = 0) -> Mapping[str, Found]:
        """What there is under these keys; a key with nothing is missing in the answer. `ahead`: the answer may hold
        about so many other keys, those that were written next to the last one, as they are likely to be asked for."""
        ...

    def entries(self, key: str, *, limit: int = 16) -> Sequence[CacheEntry]:
        """Entries of a key, expired ones too, the last committed first: where the newest proves invalid (what it read
        has changed, a blob is gone), an older one may hold."""
        ...

    def entered_again(self, keys: Sequence[str]) -> Set[str]:
        """Those of the keys that have more than one entry."""
        ...

    def entries_of(self, component: str, *, limit: int = 100, until: Instant = END_OF_TIME) -> Sequence[CacheEntry]:
        """Entries of a component created at `until` or before, newest first by `created_at`."""
        ...

    def entry_of(self, run_id: str, path: str) -> CacheEntry | None:
        """The entry that this task run wrote. None where it wrote none (a hit, for instance), or is gone."""
        ...

    def adoptable(self, run_id: str, keys: Sequence[str]) -> Mapping[str, TaskRunRow]:
        """By key, the succeeded task runs of a run; the first by path where several have one. A run that is gone has
        none."""
        ...

    def mark_nondeterministic(self, mark: Nondeterminism) -> None:
        """Keep a mark; the last one of each component counts."""
        ...

    def nondeterministic(self) -> Mapping[str, Nondeterminism]:
        """Marks by component."""
        ...

    # lineage

    def producers(self, digest: str) -> Sequence[ArtifactLink]:
        """Task runs whose output an artifact is (computed, hit or adopted); older runs first, then by path and name."""
        ...

    def consumers(self, digest: str) -> Sequence[ArtifactLink]: ...

    def artifacts_of(self, run_id: str, path: str) -> Sequence[ArtifactLink]:
        """What a task run was given and what it made, by role, name and digest."""
        ...

    # reclaiming

    def digests_in_use(self) -> Iterator[str]:
        """Each address that the rows of runs and entries name, all as of one moment: pins, code, inputs, outputs,
        carried values. Rather one too many than one too few: text of a user's that looks like an address is one. What
        an artifact itself may name is not followed."""
        ...

    def log_files(self) -> Set[str]:
        """Files that hold what attempts of the runs here have printed, by their path below the state folder."""
        ...

    def keys_unwritten_since(self, at: Instant) -> Sequence[str]:
        """Keys all of whose entries were created before `at`."""
        ...

    def delete_entries(self, keys: Sequence[str]) -> int:
        """All entries of these keys; answers how many there were."""
        ...

    def delete_runs(self, run_ids: Sequence[str], *, now: Instant) -> Sequence[str]:
        """Everything of these runs but the cache entries that they wrote; answers those that went. A run that has not
        ended, or whose lease somebody holds, stays."""
        ...

    def close(self) -> None: ...


__all__ = [
    "ArtifactLink",
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
    "MemoryHistory",
    "Message",
    "Nondeterminism",
    "StateStore",
    "Submission",
]
