"""The rows that the state store keeps: everything that a decision depends on is in them (semantics 27), so an engine
can be thrown away and rebuilt. Frozen values; the store writes the last one of each identity in a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.base.ids import attempt_id
from penstock.base.instants import Instant
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.wire import Datum, LogSegment, Usage

Amounts = tuple[tuple[str, int], ...]
"""What an attempt takes, sorted by name: `cpu` in thousandths, `memory` in bytes, custom resources in thousandths."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a change happened. `code` is from a closed list (docs/causes.md); `by` is the path of the node that it comes
    from, if it comes from one; `text` is for people."""

    code: str
    by: str = ""
    text: str = ""


NO_CAUSE = Cause("")
NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. What never changes after submission comes first."""

    run_id: str
    pipeline: str
    graph_digest: str
    inputs: Mapping[str, Datum]
    pin: str
    seed: int
    created_at: Instant
    priority: int = 0
    retry_of: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    state: RunState = RunState.PENDING
    cause: Cause = NO_CAUSE
    stopping: str = ""
    """Why nothing new starts: "" (it does), "fail_fast", "timed_out", "cancel", or "kill" (no grace, no finally
    nodes)."""
    started_at: Instant | None = None
    ended_at: Instant | None = None
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    code: str = ""
    """Digest of the blob that holds the code digests of its components; empty: nothing is cached."""
    cache: str = "use"
    """"use", or "write" for a run that reads nothing and still writes."""
    learned: Mapping[str, Any] = field(default_factory=dict)
    """What earlier runs had taught about its components when it was submitted (`plan.learning.learned_to_json`)."""


@dataclass(frozen=True, slots=True)
class TaskRunRow:
    """One task run that has left `waiting`; a node without a row is waiting. `path` carries the generations of the
    nodes above it. `component` is `module:name` of a function, else the kind of node."""

    run_id: str
    path: str
    component: str
    state: TaskState
    cause: Cause
    changed_at: Instant
    origin: Origin | None = None
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    attempt: int = 0
    """Number of the newest attempt; 0: none yet."""
    failed_count: int = 0
    oom_count: int = 0
    lost_count: int = 0
    generation: int = 0
    """For a node with a graph: how often it has been begun again."""
    ready_at: Instant | None = None
    retry_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What a control node must remember (`length` and `cursor` of a map, `case` of a branch, `round` and `carried` of a
    loop), and the amounts that a function's next attempt asks for where they differ from the plan's. JSON data."""
    key: str | None = None
    """The cache key of a function's task run, once its inputs exist; None where its code could not be resolved."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt. `outcome` is a kind of `wire.OUTCOME_KINDS` and `failure` the outcome's JSON without outputs, both
    set when ended."""

    run_id: str
    path: str
    number: int
    state: AttemptState
    executor: str
    amounts: Amounts
    submitted_at: Instant
    started_at: Instant | None = None
    ended_at: Instant | None = None
    duration_us: int = 0
    worker: str = ""
    outcome: str | None = None
    failure: Mapping[str, Any] | None = None
    usage: Usage = NO_USAGE
    log: LogSegment | None = None
    stop_at: Instant | None = None
    """When it was asked to stop, if it was."""
    input_bytes: int = 0
    """How much the artifacts among its inputs are together; set when ended. What a component takes depends on it."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """What it read, as in a cache entry, where it succeeded and left none."""
    outside: tuple[str, ...] = ()
    """What ran outside of its closure and so kept its result out of the cache (cache rule 14)."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What a key led to, and what the key was made of. Append-only; the newest valid one of a key wins (semantics 32)."""

    key: str
    component: str
    run_id: str
    path: str
    attempt: int
    outputs: Mapping[str, Datum]
    code: str
    """The component's code digest."""
    environment: str
    inputs: Mapping[str, str]
    """The identity of every input by name."""
    reads: Mapping[str, str]
    """Files that the attempt read: project-relative path -> digest; a hit needs them unchanged."""
    created_at: Instant
    expires_at: Instant | None = None
    duration_us: int = 0

    @property
    def attempt_id(self) -> str:
        return attempt_id(self.run_id, self.path, self.attempt)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who computes a key now, for other controllers to see (semantics 33)."""

    key: str
    run_id: str
    path: str
    newest: str = ""
    """The newest entry of the key when it was looked up, by the id of the attempt that made it; empty: there was none. A claim
    fails once there is another."""


@dataclass(frozen=True, slots=True)
class ArtifactUse:
    """A task run was given this artifact as the input `name`, by itself or in a list."""

    digest: str
    run_id: str
    path: str
    name: str


Row = RunRow | TaskRunRow | AttemptRow


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything stored of one run, from which an engine is rebuilt."""

    run: RunRow
    task_runs: tuple[TaskRunRow, ...]
    attempts: tuple[AttemptRow, ...]
