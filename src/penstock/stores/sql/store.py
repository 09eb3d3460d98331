"""The state store over SQLite: `effects.StateStore` as statements and transactions. Decides nothing but what must be
decided inside a transaction: fences, who gets a lease, where a journal goes on.

Errors beyond the protocol's: KeyError for a run or a graph that is not there; ValueError for a commit that no engine of
ours may make (a transition without a lease, a message consumed twice), with nothing written."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from operator import itemgetter
from pathlib import Path
from sqlite3 import Connection
from time import monotonic
from typing import Any

from penstock.base.errors import InvalidInput, LeaseLost
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
from penstock.stores.sql import cache, cache_codec, cache_statements, codec, learning, outlines, side
from penstock.stores.sql import statements as sql
from penstock.stores.sql.sqlite import BUSY_MS, Database
from penstock.stores.sql.sums import RowDamaged, checksum, decoded, with_sum
from penstock.wire import Exhibit, Observation, Observed, Progress

DELETING_S = 0.05
"""So long at most one transaction that deletes runs holds the write lock, if the last run is not a large one."""

PAST_ANY_ID = "\U0010ffff"


def open_state(path: Path, *, busy_ms: int = BUSY_MS) -> SqlStateStore:
    """The state store in the database file `path` (`state.db` in the state folder), made where there is none, migrated
    where it is older. `busy_ms`: how long to wait for another process's transaction. Raises StoreUnavailable."""
    return SqlStateStore(Database(path, busy_ms=busy_ms))


class SqlStateStore:
    """May be called from any thread, one at a time; two processes may share the database. Not to be used across a
    fork."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key_by_run: dict[str, int] = {}
        """Keys of one connection's database; only of runs that are committed, so never filled while one is
        submitted."""
        self._keyed: tuple[Connection, int] | None = None
        self._adoptable = cache.Adoptable()
        self._absent = cache.Absent()

    def close(self) -> None:
        self._database.close()

    # -- inbox

    def submit(self, submission: Submission, message: Message) -> None:
        codec.check_message(message)
        run = submission.run
        fixed, changing = codec.encode_run_fixed(run), codec.encode_run_changing(run)

        def work(connection: Connection) -> None:
            stored = connection.execute(sql.SELECT_RUN, (run.run_id,)).fetchone()
            if stored is None:
                if connection.execute(sql.HAS_GRAPH, (run.graph_digest,)).fetchone() is None:
                    graph = json.dumps(submission.graph, separators=(",", ":"), allow_nan=False)
                    connection.execute(sql.INSERT_GRAPH, with_sum((run.graph_digest, graph)))
                sums = (checksum(fixed), checksum((run.run_id, *changing)))
                connection.execute(sql.INSERT_RUN, fixed + changing + sums)
            elif stored[: len(fixed)] != fixed:
                raise InvalidInput(f"another run has the id {run.run_id}", fix="Give the same command again.")
            _post(connection, self._stored_key(connection, message.run_id), message)

        self._database.write(work)

    def post(self, message: Message) -> None:
        codec.check_message(message)
        self._database.write(lambda connection: _post(connection, self._key(connection, message.run_id), message))

    def inbox(self, run_ids: Sequence[str]) -> Sequence[Message]:
        def work(connection: Connection) -> Sequence[Message]:
            found: list[tuple[int, Message]] = []
            for run_id in dict.fromkeys(run_ids):
                rows = connection.execute(sql.SELECT_WAITING, (self._key(connection, run_id),))
                found += [(row[0], codec.decode_message(run_id, row[1:])) for row in rows]
            return [message for _, message in sorted(found, key=lambda pair: pair[0])]

        return self._database.read(work)

    # -- leases

    def acquire(
        self, run_id: str, holder: Holder, *, now: Instant, lease_ms: int, dead: Holder | None = None
    ) -> Lease | None:
        def work(connection: Connection) -> Lease | None:
            key = self._key(connection, run_id)
            row = connection.execute(sql.SELECT_LEASE, (key,)).fetchone()
            epoch = 1
            if row is not None:
                held = row[-1] is not None
                stored = codec.decode_lease(run_id, row)
                if held and stored.holder not in (holder, dead) and stored.expires_at > now:
                    return None
                epoch = stored.epoch if held and stored.holder == holder else stored.epoch + 1
            values = codec.encode_lease(epoch, holder, now + lease_ms)
            connection.execute(sql.UPSERT_LEASE, (key, *values))
            return codec.decode_lease(run_id, values)

        return self._database.write(work)

    def renew(self, leases: Sequence[Lease], *, now: Instant, lease_ms: int) -> Sequence[Lease]:
        def work(connection: Connection) -> Sequence[Lease]:
            kept = []
            for lease in leases:
                changes = (now + lease_ms, self._key(connection, lease.run_id), lease.epoch)
                if connection.execute(sql.RENEW_LEASE, changes).rowcount:
                    kept.append(Lease(lease.run_id, lease.epoch, lease.holder, Instant(now + lease_ms)))
            return kept

        return self._database.write(work) if leases else ()

    def release(self, leases: Sequence[Lease]) -> None:
        def work(connection: Connection) -> None:
            for lease in leases:
                connection.execute(sql.RELEASE_LEASE, (self._key(connection, lease.run_id), lease.epoch))

        if leases:
            self._database.write(work)

    def lease_of(self, run_id: str) -> Lease | None:
        def work(connection: Connection) -> Lease | None:
            row = connection.execute(sql.SELECT_LEASE, (self._key(connection, run_id),)).fetchone()
            return None if row is None or row[-1] is None else codec.decode_lease(run_id, row)

        return self._database.read(work)

    # -- commit

    def commit(self, commit: Commit) -> None:
        def work(connection: Connection) -> None:
            known = self._fence(connection, commit)
            key_by_run = {run_id: key for run_id, (key, _, _) in known.items()}
            ended = []
            for run_id, transitions in by_run(commit.transitions).items():
                key, had_ended, last_sequence = known[run_id]
                row = _write_rows(connection, key, transitions)
                if row is not None and not had_ended and str(row.state) in codec.TERMINAL_RUN_WORDS:
                    connection.execute(sql.FOLD_HISTORY, (key,))
                    ended.append(key)
                if had_ended or key in ended:
                    connection.execute(sql.COUNT_ROWS, (key,))
                entries = codec.encode_entries(transitions)
                sequences = (last_sequence + 1, last_sequence + len(transitions))
                connection.execute(sql.INSERT_JOURNAL, with_sum((key, *sequences, commit.at, entries)))
            learning.write(connection, commit.transitions)
            cache.write(connection, commit, key_by_run, self._absent, ended=ended)
            for message_id in commit.consumed:
                _consume(connection, message_id, commit.at, set(key_by_run.values()))

        check_leased(commit)
        cache.check_owners(commit)
        self._database.write(work)

    def _fence(self, connection: Connection, commit: Commit) -> dict[str, tuple[int, bool, int]]:
        """By run: its key, whether it had ended, the last sequence number of its journal. Raises LeaseLost."""
        known: dict[str, tuple[int, bool, int]] = {}
        lost = []
        for lease in commit.leases:
            key = self._key(connection, lease.run_id)
            epoch, held, state, last_sequence = connection.execute(sql.FENCE, (key,)).fetchone()
            if epoch != lease.epoch or not held:
                lost.append(lease.run_id)
            known[lease.run_id] = (key, state in codec.TERMINAL_RUN_WORDS, last_sequence or 0)
        if lost:
            raise LeaseLost(tuple(lost))
        return known

    def observe(self, observations: Sequence[Observed]) -> None:
        """Not repeatable for metrics: what is given twice is kept twice."""

        def work(connection: Connection) -> None:
            side.write(connection, partial(self._key, connection), observations)

        if observations:
            self._database.write(work)

    # -- reading

    def load(self, run_id: str) -> RunRecord:
        def work(connection: Connection) -> RunRecord:
            key = self._key(connection, run_id)
            (run,) = _runs(connection, sql.SELECT_RUN, (run_id,))
            return RunRecord(run, tuple(_task_runs(connection, run_id, key)), tuple(_attempts(connection, run_id, key)))

        return self._database.read(work)

    def outline(self, run_id: str) -> RunOutline:
        def work(connection: Connection) -> RunOutline:
            key = self._key(connection, run_id)
            (run,) = _runs(connection, sql.SELECT_RUN, (run_id,))
            return RunOutline(run, outlines.task_runs(connection, key), outlines.attempts(connection, key))

        return self._database.read(work)

    def graph(self, graph_digest: str) -> Mapping[str, Any]:
        def work(connection: Connection) -> str:
            for text in decoded("graphs", connection.execute(sql.SELECT_GRAPH, (graph_digest,)), itemgetter(1)):
                return str(text)
            raise KeyError(f"no graph {graph_digest}")

        graph: Mapping[str, Any] = json.loads(self._database.read(work))
        return graph

    def run(self, run_id: str) -> RunRow | None:
        if not run_id.isascii():
            return None
        found = self._database.read(lambda connection: _runs(connection, sql.SELECT_RUN, (run_id,)))
        return found[0] if found else None

    def runs(self, *, limit: int = 100, state: str | None = None, prefix: str = "") -> Sequence[RunRow]:
        if not prefix.isascii():
            return ()
        statement = sql.select_runs(by_state=state is not None, by_prefix=bool(prefix))
        values: list[str | int] = [] if state is None else [str(state)]
        values += [prefix, prefix + PAST_ANY_ID] if prefix else []
        values.append(limit)
        return self._database.read(lambda connection: _runs(connection, statement, values))

    def task_runs(self, run_id: str, path: str | None = None, *, below: bool = False) -> Sequence[TaskRunRow]:
        return self._database.read(lambda c: list(_task_runs(c, run_id, self._key(c, run_id), path=path, below=below)))

    def attempts(
        self, run_id: str, path: str | None = None, *, below: bool = False, outside: bool = False
    ) -> Sequence[AttemptRow]:
        asked = partial(_attempts, path=path, below=below, also="outside <> '[]'" if outside else "")
        return self._database.read(lambda c: list(asked(c, run_id, self._key(c, run_id))))

    def journal(self, run_id: str, *, after: int = 0, limit: int = 10_000) -> Sequence[JournalEntry]:
        def work(connection: Connection) -> Sequence[JournalEntry]:
            key = self._key(connection, run_id)
            found: list[JournalEntry] = []
            rows = connection.execute(sql.SELECT_JOURNAL, (key, key, after + 1))
            follows = 0
            for entries in decoded("journal", rows, lambda values: codec.decode_entries(values[1], *values[3:])):
                if len(found) >= limit:
                    break
                if follows not in (0, entries[0].sequence):
                    raise RowDamaged("journal")
                follows = entries[-1].sequence + 1
                found += [entry for entry in entries if entry.sequence > after]
            return found[:limit]

        return self._database.read(work)

    def metrics(self, run_id: str, path: str | None = None, *, prefix: str = "") -> Sequence[Observation]:
        def work(connection: Connection) -> Sequence[Observation]:
            key, also = self._key(connection, run_id), "name >= ? AND name < ?" if prefix else ""
            columns, is_one = codec.METRIC_COLUMNS, path is not None
            statement = sql.select_by_path("metrics", columns, "metric_key", by_path=is_one, also=also)
            named = (prefix, prefix + PAST_ANY_ID) if prefix else ()
            rows = connection.execute(statement, (key, *sql.path_values(path), *named))
            found = list(decoded("metrics", rows, partial(codec.decode_observation, run_id)))
            return side.whole(connection, key, "metrics", found) if path is None and not prefix else found

        return self._database.read(work)

    def exhibits(self, run_id: str, path: str | None = None) -> Sequence[Exhibit]:
        return self._database.read(lambda c: side.exhibits(c, self._key(c, run_id), run_id, path))

    def progress(self, run_id: str, path: str | None = None) -> Sequence[Progress]:
        return self._database.read(lambda c: side.progress(c, self._key(c, run_id), run_id, path))

    def history(self, components: Sequence[str]) -> Mapping[str, ComponentHistory]:
        def work(connection: Connection) -> Mapping[str, ComponentHistory]:
            found = {}
            for component in components:
                row = connection.execute(sql.SELECT_HISTORY, (component,)).fetchone()
                memory = learning.read(connection, component)
                if row is not None or memory is not None:
                    count, duration_us = row or (0, 0)
                    mean = duration_us / count if count else 0.0
                    found[component] = ComponentHistory(component, count, mean, memory or NO_MEMORY)
            return found

        return self._database.read(work)

    # -- the cache

    def look_up(self, keys: Sequence[str], *, now: Instant, ahead: int = 0) -> Mapping[str, Found]:
        if not keys:
            return {}
        return self._database.read(lambda link: cache.look_up(link, keys, now, self._absent, ahead=ahead))

    def entries(self, key: str, *, limit: int = 16) -> Sequence[CacheEntry]:
        return self._database.read(lambda c: cache.entries(c, cache_statements.SELECT_ENTRIES, (key, limit)))

    def entered_again(self, keys: Sequence[str]) -> Set[str]:
        return self._database.read(lambda connection: cache.entered_again(connection, keys)) if keys else set()

    def entries_of(self, component: str, *, limit: int = 100, until: Instant = END_OF_TIME) -> Sequence[CacheEntry]:
        values = (component, until, limit)
        return self._database.read(lambda c: cache.entries(c, cache_statements.SELECT_ENTRIES_OF, values))

    def entry_of(self, run_id: str, path: str) -> CacheEntry | None:
        if not run_id.isascii():
            return None
        values = (run_id, path, run_id, path)
        found = self._database.read(lambda c: cache.entries(c, cache_statements.SELECT_ENTRY_OF, values))
        return found[0] if found else None

    def adoptable(self, run_id: str, keys: Sequence[str]) -> Mapping[str, TaskRunRow]:
        return self._database.read(lambda connection: self._adoptable.rows(connection, run_id, keys))

    def mark_nondeterministic(self, mark: Nondeterminism) -> None:
        values = with_sum(cache_codec.encode_mark(mark))
        self._database.write(lambda connection: connection.execute(cache_statements.UPSERT_MARK, values))

    def nondeterministic(self) -> Mapping[str, Nondeterminism]:
        return {mark.component: mark for mark in self._database.read(cache.marks)}

    # -- lineage

    def producers(self, digest: str) -> Sequence[ArtifactLink]:
        return self._links(cache_statements.SELECT_PRODUCERS, digest)

    def consumers(self, digest: str) -> Sequence[ArtifactLink]:
        return self._links(cache_statements.SELECT_CONSUMERS, digest)

    def artifacts_of(self, run_id: str, path: str) -> Sequence[ArtifactLink]:
        return self._links(cache_statements.SELECT_ARTIFACTS_OF, run_id, path)

    def _links(self, statement: str, *values: str) -> Sequence[ArtifactLink]:
        if not all(value.isascii() for value in values):
            return ()
        return self._database.read(lambda connection: cache.links(connection, statement, values))

    # -- reclaiming

    def digests_in_use(self) -> Iterator[str]:
        return iter(sorted(self._database.read(cache.addresses)))

    def log_files(self) -> Set[str]:
        return {name for (name,) in self._database.read(lambda c: c.execute(cache_statements.SELECT_LOGS).fetchall())}

    def keys_unwritten_since(self, at: Instant) -> Sequence[str]:
        return [
            key
            for (key,) in self._database.read(lambda c: c.execute(cache_statements.SELECT_UNWRITTEN, (at,)).fetchall())
        ]

    def delete_entries(self, keys: Sequence[str]) -> int:
        rows = [(key,) for key in keys]
        return (
            self._database.write(lambda c: c.executemany(cache_statements.DELETE_ENTRIES, rows).rowcount) if rows else 0
        )

    def delete_runs(self, run_ids: Sequence[str], *, now: Instant) -> Sequence[str]:
        """As many runs in one transaction as go in a moment, so that nobody waits long, and not for a disk once a run; what is
        interrupted can be given again."""
        waiting, gone = deque(dict.fromkeys(run_ids)), list[str]()

        def work(connection: Connection) -> list[str]:
            until = monotonic() + DELETING_S
            deleted: list[str] = []
            while waiting and (not deleted or monotonic() < until):
                run_id = waiting.popleft()
                if cache.delete_run(connection, run_id, now):
                    deleted.append(run_id)
            return deleted

        while waiting:
            gone += self._database.write(work)
        self._keyed = None
        return gone

    def _key(self, connection: Connection, run_id: str) -> int:
        # Another connection may have deleted a run, and a run made after it may have its key.
        seen = (connection, connection.execute(sql.DATA_VERSION).fetchone()[0])
        if seen != self._keyed:
            self._keyed, self._key_by_run = seen, {}
        key = self._key_by_run.get(run_id)
        if key is None:
            key = self._key_by_run[run_id] = self._stored_key(connection, run_id)
        return key

    def _stored_key(self, connection: Connection, run_id: str) -> int:
        row = connection.execute(sql.RUN_KEY, (run_id,)).fetchone() if run_id.isascii() else None
        if row is None:
            raise KeyError(f"no run {run_id}")
        return int(row[0])


def _post(connection: Connection, key: int, message: Message) -> None:
    body = codec.json_text(message.body)
    connection.execute(sql.INSERT_MESSAGE, (message.message_id, key, message.kind, message.posted_at, body))


def by_run(transitions: Iterable[Transition]) -> dict[str, list[Transition]]:
    """Transitions of each run, in order; runs in order of their first."""
    grouped: dict[str, list[Transition]] = {}
    for transition in transitions:
        grouped.setdefault(transition.run_id, []).append(transition)
    return grouped


def check_leased(commit: Commit) -> None:
    """Raises ValueError for a transition whose run the commit holds no lease of."""
    leased = {lease.run_id for lease in commit.leases}
    for transition in commit.transitions:
        if transition.run_id not in leased:
            raise ValueError(f"a commit changes {transition.id} of run {transition.run_id} without its lease")


def _write_rows(connection: Connection, key: int, transitions: Sequence[Transition]) -> RunRow | None:
    """Write the last row of each identity, in order of their first; answers the run's, if it changed."""
    run: RunRow | None = None
    task_runs: dict[str, TaskRunRow] = {}
    attempts: dict[tuple[str, int], AttemptRow] = {}
    for transition in transitions:
        match transition.row:
            case TaskRunRow() as row:
                task_runs[row.path] = row
            case AttemptRow() as row:
                attempts[row.path, row.number] = row
            case RunRow() as row:
                run = row
    if task_runs:
        rows = [with_sum(codec.encode_task_run(key, row)) for row in task_runs.values()]
        connection.executemany(sql.UPSERT_TASK_RUN, rows)
        made = cache_codec.encode_made(key, task_runs.values())
        if made:
            connection.executemany(cache_statements.INSERT_ARTIFACT, map(with_sum, made))
    if attempts:
        rows = [with_sum(codec.encode_attempt(key, row)) for row in attempts.values()]
        connection.executemany(sql.UPSERT_ATTEMPT, rows)
    if run is not None:
        changing = codec.encode_run_changing(run)
        connection.execute(sql.UPDATE_RUN, (*changing, checksum((run.run_id, *changing)), key))
    return run


def _consume(connection: Connection, message_id: str, at: Instant, keys: set[int]) -> None:
    row = connection.execute(sql.MESSAGE_STATE, (message_id,)).fetchone()
    if row is None or row[0] not in keys or row[1] is not None:
        what = "is not there" if row is None else "is consumed already" if row[1] is not None else "is not leased"
        raise ValueError(f"a commit consumes message {message_id}, which {what}")
    connection.execute(sql.CONSUME_MESSAGE, (at, message_id))


def _runs(connection: Connection, statement: str, values: Sequence[str | int]) -> list[RunRow]:
    """Each row ends with the checksum of what never changes and that of what does. Raises RowDamaged."""
    fixed = len(codec.RUN_FIXED)
    rows = connection.execute(statement, values).fetchall()
    for row in rows:
        for _ in decoded("runs", [(*row[:fixed], row[-2]), (row[0], *row[fixed:-2], row[-1])], len):
            pass
    return list(decoded("runs", ((*row[:-2], None) for row in rows), codec.decode_run))


def _task_runs(
    connection: Connection, run_id: str, key: int, *, path: str | None = None, below: bool = False
) -> Iterable[TaskRunRow]:
    columns = codec.TASK_RUN_COLUMNS
    statement = sql.select_by_path("task_runs", columns, "path", by_path=path is not None, below=below)
    rows = connection.execute(statement, (key, *sql.path_values(path, below=below)))
    found = list(decoded("task_runs", rows, partial(codec.decode_task_run, run_id)))
    return side.whole(connection, key, "task_runs", found) if path is None else found


def _attempts(
    connection: Connection, run_id: str, key: int, *, path: str | None = None, below: bool = False, also: str = ""
) -> Iterable[AttemptRow]:
    columns = codec.ATTEMPT_COLUMNS
    statement = sql.select_by_path(
        "attempts", columns, "path, number", by_path=path is not None, below=below, also=also
    )
    rows = connection.execute(statement, (key, *sql.path_values(path, below=below)))
    found = list(decoded("attempts", rows, partial(codec.decode_attempt, run_id)))
    return side.whole(connection, key, "attempts", found) if path is None and not also else found
