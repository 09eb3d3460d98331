"""The state store in memory: what `stores.sql` means, without a database. Deterministic; the simulator's store.

Rows are kept as the tuples that the database would hold, so nothing that a caller changes afterwards shows, and
everything that is read has been through the codec."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from penstock.base.errors import CommitUnknown, InvalidInput, LeaseLost, StoreUnavailable
from penstock.base.ids import split_attempt_id
from penstock.base.instants import END_OF_TIME, Instant
from penstock.effects import (
    NO_MEMORY,
    ArtifactLink,
    Commit,
    ComponentHistory,
    Found,
    Holder,
    JournalEntry,
    Lease,
    Message,
    Nondeterminism,
    RunOutline,
    Submission,
)
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, CacheEntry, RunRecord, RunRow, TaskRunRow
from penstock.stores.sql import cache_codec, codec, learning, side
from penstock.stores.sql.cache import check_owners
from penstock.testing.memory_cache import MemoryCache, adoptable, links_of
from penstock.wire import Exhibit, Observation, Observed, Progress


class Moment(StrEnum):
    """When a call is interrupted: before anything of it happened, or after all of it did."""

    BEFORE = "before"
    AFTER = "after"


class Fault(StrEnum):
    """What may befall a call. The first two leave nothing written."""

    UNAVAILABLE = "unavailable"
    UNKNOWN_LOST = "unknown_lost"
    """`CommitUnknown`, and it did not happen."""
    UNKNOWN_KEPT = "unknown_kept"
    """`CommitUnknown`, and it did happen."""


Interrupt = Callable[[str, Moment], None]
"""Called with a method's name before and after its effect; whatever it raises, the caller gets."""


def never(call: str, moment: Moment) -> None:
    """No fault."""


def interrupt_of(choose: Callable[[str], Fault | None]) -> Interrupt:
    """An interrupt from a choice of faults, made once per call."""
    chosen: list[Fault | None] = [None]

    def interrupt(call: str, moment: Moment) -> None:
        if moment is Moment.BEFORE:
            chosen[0] = choose(call)
        match (moment, chosen[0]):
            case (Moment.BEFORE, Fault.UNAVAILABLE):
                raise StoreUnavailable("the state store is away", fix="Wait for it.")
            case (Moment.BEFORE, Fault.UNKNOWN_LOST) | (Moment.AFTER, Fault.UNKNOWN_KEPT):
                raise CommitUnknown("the state store went away during a commit", fix="Read it again.")
            case _:
                return

    return interrupt


@dataclass(slots=True)
class _Stored:
    """Everything of one run."""

    fixed: codec.Values
    changing: codec.Values
    task_runs: dict[str, codec.Values] = field(default_factory=dict)
    attempts: dict[tuple[str, int], codec.Values] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)
    metrics: list[codec.Values] = field(default_factory=list)
    exhibits: dict[codec.Values, codec.Values] = field(default_factory=dict)
    progress: dict[codec.Values, codec.Values] = field(default_factory=dict)
    epoch: int = 0
    lease: Lease | None = None

    @property
    def graph_digest(self) -> str:
        return str(self.fixed[2])

    @property
    def has_ended(self) -> bool:
        return self.changing[0] in codec.TERMINAL_RUN_WORDS


@dataclass(slots=True)
class MemoryState:
    """What would be on the disk: several stores may share it, as several processes share a database."""

    runs: dict[str, _Stored] = field(default_factory=dict)
    graphs: dict[str, str] = field(default_factory=dict)
    inbox: dict[str, tuple[str, codec.Values]] = field(default_factory=dict)
    """By id, oldest first: the run, and message id, kind, instant and body."""
    consumed: set[str] = field(default_factory=set)
    history: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By component: how many attempts succeeded, their microseconds together."""
    memory: learning.Memory = field(default_factory=dict)
    cache: MemoryCache = field(default_factory=MemoryCache)


class MemoryStateStore:
    """One process's view of a `MemoryState`. `interrupt` may be replaced at any time."""

    def __init__(self, state: MemoryState | None = None, *, interrupt: Interrupt = never) -> None:
        self.state = state or MemoryState()
        self.interrupt = interrupt
        self._closed = False

    def close(self) -> None:
        self._closed = True

    @contextmanager
    def _call(self, name: str) -> Iterator[MemoryState]:
        if self._closed:
            raise ValueError("the state store was closed")
        self.interrupt(name, Moment.BEFORE)
        yield self.state
        self.interrupt(name, Moment.AFTER)

    def _run(self, run_id: str) -> _Stored:
        if run_id not in self.state.runs:
            raise KeyError(f"no run {run_id}")
        return self.state.runs[run_id]

    # -- inbox

    def submit(self, submission: Submission, message: Message) -> None:
        codec.check_message(message)
        run = submission.run
        fixed, changing = codec.encode_run_fixed(run), codec.encode_run_changing(run)
        graph = json.dumps(submission.graph, separators=(",", ":"), allow_nan=False)
        with self._call("submit") as state:
            stored = state.runs.get(run.run_id)
            if stored is not None and stored.fixed != fixed:
                raise InvalidInput(f"another run has the id {run.run_id}", fix="Give the same command again.")
            if message.run_id != run.run_id:
                self._run(message.run_id)
            if stored is None:
                state.graphs.setdefault(run.graph_digest, graph)
                state.runs[run.run_id] = _Stored(fixed, changing)
            self._post(message)

    def post(self, message: Message) -> None:
        codec.check_message(message)
        with self._call("post"):
            self._run(message.run_id)
            self._post(message)

    def _post(self, message: Message) -> None:
        values = (message.message_id, message.kind, message.posted_at, codec.json_text(message.body))
        self.state.inbox.setdefault(message.message_id, (message.run_id, values))

    def inbox(self, run_ids: Sequence[str]) -> Sequence[Message]:
        with self._call("inbox") as state:
            for run_id in run_ids:
                self._run(run_id)
            return [
                codec.decode_message(run_id, values)
                for message_id, (run_id, values) in state.inbox.items()
                if run_id in run_ids and message_id not in state.consumed
            ]

    # -- leases

    def acquire(
        self, run_id: str, holder: Holder, *, now: Instant, lease_ms: int, dead: Holder | None = None
    ) -> Lease | None:
        with self._call("acquire"):
            stored = self._run(run_id)
            lease = stored.lease
            if lease is not None and lease.holder == holder:
                pass
            elif lease is not None and lease.holder != dead and lease.expires_at > now:
                return None
            else:
                stored.epoch += 1
            stored.lease = Lease(run_id, stored.epoch, holder, Instant(now + lease_ms))
            return stored.lease

    def renew(self, leases: Sequence[Lease], *, now: Instant, lease_ms: int) -> Sequence[Lease]:
        kept = []
        with self._call("renew"):
            stands = [self._stands(lease) for lease in leases]
            for lease, stored in zip(leases, stands, strict=True):
                if stored is not None and stored.lease is not None:
                    stored.lease = replace(stored.lease, expires_at=Instant(now + lease_ms))
                    kept.append(replace(lease, expires_at=Instant(now + lease_ms)))
        return kept

    def release(self, leases: Sequence[Lease]) -> None:
        with self._call("release"):
            for stored in [self._stands(lease) for lease in leases]:
                if stored is not None:
                    stored.lease = None

    def _stands(self, lease: Lease) -> _Stored | None:
        stored = self._run(lease.run_id)
        return stored if stored.lease is not None and stored.epoch == lease.epoch else None

    def lease_of(self, run_id: str) -> Lease | None:
        with self._call("lease_of"):
            return self._run(run_id).lease

    # -- commit

    def commit(self, commit: Commit) -> None:
        leased = {lease.run_id for lease in commit.leases}
        changes = [(transition, _values(transition)) for transition in commit.transitions]
        entries = codec.encode_entries(commit.transitions)
        for transition, _ in changes:
            if transition.run_id not in leased:
                raise ValueError(f"a commit changes {transition.id} of run {transition.run_id} without its lease")
        check_owners(commit)
        cache_entries = [cache_codec.encode_entry(entry) for entry in commit.entries]
        with self._call("commit"):
            lost = tuple(lease.run_id for lease in commit.leases if self._stands(lease) is None)
            if lost:
                raise LeaseLost(lost)
            had_ended = {run_id for run_id in leased if self._run(run_id).has_ended}
            ended = {run_id for run_id in _ended_by(commit) if run_id not in had_ended}
            claims = self.state.cache.claims_after(commit, ended=ended, is_live=self._is_live)
            self._check_consumed(commit, leased)
            self.state.cache.claims = claims
            self.state.cache.write(cache_entries, links_of(commit))
            decoded = codec.decode_entries(1, commit.at, entries)
            for (transition, values), entry in zip(changes, decoded, strict=True):
                stored = self._run(transition.run_id)
                self._write(stored, transition, values)
                stored.journal.append(replace(entry, sequence=len(stored.journal) + 1))
            self.state.consumed.update(commit.consumed)
            learning.teach(self.state.memory, commit.transitions)
            for run_id in sorted(ended):
                self._fold_history(self._run(run_id))

    def _is_live(self, run_id: str, at: Instant) -> bool:
        lease = self._run(run_id).lease
        return lease is not None and lease.expires_at > at

    def _check_consumed(self, commit: Commit, leased: set[str]) -> None:
        for position, message_id in enumerate(commit.consumed):
            twice = message_id in self.state.consumed or message_id in commit.consumed[:position]
            if message_id not in self.state.inbox or self.state.inbox[message_id][0] not in leased or twice:
                raise ValueError(f"a commit consumes message {message_id}, which is not there, not leased or consumed")

    def _write(self, stored: _Stored, transition: Transition, values: codec.Values) -> None:
        match transition.row:
            case RunRow():
                stored.changing = values
            case TaskRunRow(path=path):
                stored.task_runs[path] = values
            case AttemptRow(path=path, number=number):
                stored.attempts[path, number] = values

    def _fold_history(self, stored: _Stored) -> None:
        for (path, _), values in stored.attempts.items():
            attempt = codec.decode_attempt("", values)
            if attempt.outcome == "succeeded" and path in stored.task_runs:
                component = codec.decode_task_run("", stored.task_runs[path]).component
                count, duration_us = self.state.history.get(component, (0, 0))
                self.state.history[component] = (count + 1, duration_us + attempt.duration_us)

    def observe(self, observations: Sequence[Observed]) -> None:
        with self._call("observe"):
            for stored, observed in [(self._run(split_attempt_id(o.attempt_id)[0]), o) for o in observations]:
                match observed:
                    case Observation():
                        stored.metrics.append(codec.encode_observation("", observed))
                    case Exhibit():
                        exhibit = side.encode_exhibit("", observed)
                        stored.exhibits[exhibit[1:5]] = exhibit
                    case Progress():
                        progress = side.encode_progress("", observed)
                        stored.progress[progress[1:3]] = progress

    # -- reading

    def load(self, run_id: str) -> RunRecord:
        with self._call("load"):
            stored = self._run(run_id)
            run = codec.decode_run(stored.fixed + stored.changing)
            return RunRecord(run, tuple(_task_runs(run_id, stored)), tuple(_attempts(run_id, stored)))

    def outline(self, run_id: str) -> RunOutline:
        return RunOutline.of(self.load(run_id))

    def graph(self, graph_digest: str) -> Mapping[str, Any]:
        with self._call("graph") as state:
            if graph_digest not in state.graphs:
                raise KeyError(f"no graph {graph_digest}")
            return dict(json.loads(state.graphs[graph_digest]))

    def run(self, run_id: str) -> RunRow | None:
        with self._call("run") as state:
            stored = state.runs.get(run_id)
            return None if stored is None else codec.decode_run(stored.fixed + stored.changing)

    def runs(self, *, limit: int = 100, state: str | None = None, prefix: str = "") -> Sequence[RunRow]:
        with self._call("runs") as memory:
            found = [codec.decode_run(stored.fixed + stored.changing) for stored in memory.runs.values()]
        return [run for run in found if run.run_id.startswith(prefix) and state in (None, run.state)][::-1][:limit]

    def task_runs(self, run_id: str, path: str | None = None, *, below: bool = False) -> Sequence[TaskRunRow]:
        with self._call("task_runs"):
            return [row for row in _task_runs(run_id, self._run(run_id)) if _is_at(row.path, path, below=below)]

    def attempts(
        self, run_id: str, path: str | None = None, *, below: bool = False, outside: bool = False
    ) -> Sequence[AttemptRow]:
        with self._call("attempts"):
            rows = (row for row in _attempts(run_id, self._run(run_id)) if row.outside or not outside)
            return [row for row in rows if _is_at(row.path, path, below=below)]

    def journal(self, run_id: str, *, after: int = 0, limit: int = 10_000) -> Sequence[JournalEntry]:
        with self._call("journal"):
            return self._run(run_id).journal[after : after + limit]

    def metrics(self, run_id: str, path: str | None = None, *, prefix: str = "") -> Sequence[Observation]:
        with self._call("metrics"):
            found = [codec.decode_observation(run_id, values) for values in self._run(run_id).metrics]
        return [o for o in found if path in (None, split_attempt_id(o.attempt_id)[1]) and o.name.startswith(prefix)]

    def exhibits(self, run_id: str, path: str | None = None) -> Sequence[Exhibit]:
        with self._call("exhibits"):
            found = sorted(self._run(run_id).exhibits.items())
        return [side.decode_exhibit(run_id, values) for key, values in found if path in (None, key[0])]

    def progress(self, run_id: str, path: str | None = None) -> Sequence[Progress]:
        with self._call("progress"):
            found = sorted(self._run(run_id).progress.items())
        return [side.decode_progress(run_id, values) for key, values in found if path in (None, key[0])]

    def history(self, components: Sequence[str]) -> Mapping[str, ComponentHistory]:
        with self._call("history") as state:
            found = {}
            for component in components:
                count, duration_us = state.history.get(component, (0, 0))
                memory = learning.taught(state.memory, component) or NO_MEMORY
                if count or memory is not NO_MEMORY:
                    found[component] = ComponentHistory(component, count, duration_us / max(1, count), memory)
            return found

    # -- the cache

    def look_up(self, keys: Sequence[str], *, now: Instant, ahead: int = 0) -> Mapping[str, Found]:
        with self._call("look_up") as state:
            wanted = [*keys, *state.cache.next_to(keys[-1], ahead)] if keys and ahead else keys
            return state.cache.look_up(wanted, now=now, is_live=self._is_live)

    def entries(self, key: str, *, limit: int = 16) -> Sequence[CacheEntry]:
        with self._call("entries") as state:
            return state.cache.of_key(key)[:limit]

    def entered_again(self, keys: Sequence[str]) -> Set[str]:
        with self._call("entered_again") as state:
            return {key for key in keys if len(state.cache.of_key(key)) > 1}

    def entries_of(self, component: str, *, limit: int = 100, until: Instant = END_OF_TIME) -> Sequence[CacheEntry]:
        with self._call("entries_of") as state:
            return [entry for entry in state.cache.of_component(component) if entry.created_at <= until][:limit]

    def entry_of(self, run_id: str, path: str) -> CacheEntry | None:
        with self._call("entry_of") as state:
            rows = _task_runs(run_id, state.runs[run_id]) if run_id in state.runs else []
            keys = [row.key for row in rows if row.path == path and row.key is not None]
            entries = [entry for key in keys for entry in state.cache.of_key(key)]
            return next((entry for entry in entries if (entry.run_id, entry.path) == (run_id, path)), None)

    def adoptable(self, run_id: str, keys: Sequence[str]) -> Mapping[str, TaskRunRow]:
        with self._call("adoptable") as state:
            return adoptable(_task_runs(run_id, state.runs[run_id]), keys) if run_id in state.runs else {}

    def mark_nondeterministic(self, mark: Nondeterminism) -> None:
        values = cache_codec.encode_mark(mark)
        with self._call("mark_nondeterministic") as state:
            state.cache.marks[mark.component] = values

    def nondeterministic(self) -> Mapping[str, Nondeterminism]:
        with self._call("nondeterministic") as state:
            return {
                component: cache_codec.decode_mark(state.cache.marks[component])
                for component in sorted(state.cache.marks)
            }

    # -- lineage

    def producers(self, digest: str) -> Sequence[ArtifactLink]:
        with self._call("producers") as state:
            return state.cache.linked(self._submitted(), digest=digest, role=cache_codec.MADE)

    def consumers(self, digest: str) -> Sequence[ArtifactLink]:
        with self._call("consumers") as state:
            return state.cache.linked(self._submitted(), digest=digest, role=cache_codec.GIVEN)

    def artifacts_of(self, run_id: str, path: str) -> Sequence[ArtifactLink]:
        with self._call("artifacts_of") as state:
            return state.cache.linked(self._submitted(), run_id=run_id, path=path)

    def _submitted(self) -> dict[str, int]:
        return {run_id: number for number, run_id in enumerate(self.state.runs)}

    # -- reclaiming

    def digests_in_use(self) -> Iterator[str]:
        with self._call("digests_in_use") as state:
            texts = list(state.cache.texts())
            for stored in state.runs.values():
                texts += _picked(codec.RUN_COLUMNS, stored.fixed + stored.changing, cache_codec.RUN_TEXTS)
                for values in stored.task_runs.values():
                    texts += _picked(codec.TASK_RUN_COLUMNS, values, cache_codec.TASK_RUN_TEXTS)
                texts += [values[side.EXHIBIT_COLUMNS.index("artifact")] for values in stored.exhibits.values()]
            return iter(sorted({digest for text in texts for digest in cache_codec.addresses_in(text)}))

    def log_files(self) -> Set[str]:
        with self._call("log_files") as state:
            rows = (row for run_id, stored in state.runs.items() for row in _attempts(run_id, stored))
            return {row.log.file for row in rows if row.log is not None}

    def keys_unwritten_since(self, at: Instant) -> Sequence[str]:
        with self._call("keys_unwritten_since") as state:
            return state.cache.unwritten_since(at)

    def delete_entries(self, keys: Sequence[str]) -> int:
        with self._call("delete_entries") as state:
            return state.cache.delete_entries(keys)

    def delete_runs(self, run_ids: Sequence[str], *, now: Instant) -> Sequence[str]:
        gone = []
        with self._call("delete_runs") as state:
            for run_id in dict.fromkeys(run_ids):
                stored = state.runs.get(run_id)
                if stored is None or not stored.has_ended or self._is_live(run_id, now):
                    continue
                gone.append(run_id)
                del state.runs[run_id]
                state.cache.delete_run(run_id)
                self._delete_messages(run_id)
                self._delete_graph(stored.graph_digest)
        return gone

    def _delete_messages(self, run_id: str) -> None:
        for message_id in [key for key, (owner, _) in self.state.inbox.items() if owner == run_id]:
            del self.state.inbox[message_id]
            self.state.consumed.discard(message_id)

    def _delete_graph(self, graph_digest: str) -> None:
        if all(stored.graph_digest != graph_digest for stored in self.state.runs.values()):
            del self.state.graphs[graph_digest]


def _picked(columns: Sequence[str], values: codec.Values, wanted: Sequence[str]) -> list[str]:
    return [value for column, value in zip(columns, values, strict=True) if column in wanted]


def _ended_by(commit: Commit) -> list[str]:
    """Runs whose last row in a commit is of an ended run."""
    rows = {row.run_id: row for transition in commit.transitions if isinstance(row := transition.row, RunRow)}
    return [run_id for run_id, row in rows.items() if str(row.state) in codec.TERMINAL_RUN_WORDS]


def _values(transition: Transition) -> codec.Values:
    match transition.row:
        case RunRow() as row:
            return codec.encode_run_changing(row)
        case TaskRunRow() as row:
            return codec.encode_task_run("", row)
        case AttemptRow() as row:
            return codec.encode_attempt("", row)


def _is_at(path: str, wanted: str | None, *, below: bool) -> bool:
    return wanted in (None, path) or (below and path.startswith(f"{wanted}/"))


def _task_runs(run_id: str, stored: _Stored) -> list[TaskRunRow]:
    return [codec.decode_task_run(run_id, values) for _, values in sorted(stored.task_runs.items())]


def _attempts(run_id: str, stored: _Stored) -> list[AttemptRow]:
    return [codec.decode_attempt(run_id, values) for _, values in sorted(stored.attempts.items())]
