"""The cache in the database: entries, claims, adoption, lineage and reclaiming, as work inside a transaction that
`store` has begun. Knows rows and statements; what is a hit, its callers decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from sqlite3 import Connection

from penstock.base.errors import ClaimLost
from penstock.base.instants import Instant
from penstock.effects import ArtifactLink, Commit, Found, Nondeterminism
from penstock.engine.rows import ArtifactUse, CacheEntry, Claim, TaskRunRow
from penstock.stores.sql import cache_codec, codec
from penstock.stores.sql import cache_statements as sql
from penstock.stores.sql.statements import DATA_VERSION
from penstock.stores.sql.sums import RowDamaged, decoded, with_sum

# -- commit ------------------------------------------------------------------------------------------------------------


def check_owners(commit: Commit) -> None:
    """Raises ValueError for an entry, a claim or a use of a run whose lease the commit does not hold."""
    leased = {lease.run_id for lease in commit.leases}
    written: list[CacheEntry | Claim | ArtifactUse] = [*commit.entries, *commit.claims, *commit.uses]
    for one in written:
        if one.run_id not in leased:
            raise ValueError(f"a commit writes of {one.path} in run {one.run_id} without its lease")


class Absent:
    """Keys that have been looked up and had neither an entry nor a claim, not even one whose lease has run out. This holds
    until another connection commits, so that a key of which nobody else can know anything yet is not searched for again when
    its task run starts."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._seen: tuple[Connection, int] | None = None

    def known(self, connection: Connection) -> Set[str]:
        """Those that are absent now. For use within a transaction of this connection."""
        seen = (connection, connection.execute(DATA_VERSION).fetchone()[0])
        if seen != self._seen:
            self._seen, self._keys = seen, set()
        return self._keys

    def add(self, keys: Iterable[str]) -> None:
        self._keys.update(keys)

    def forget(self, keys: Iterable[str]) -> None:
        self._keys.difference_update(keys)


def write(
    connection: Connection, commit: Commit, key_by_run: Mapping[str, int], absent: Absent, *, ended: Iterable[int]
) -> None:
    """What a commit says of the cache. `key_by_run`: of the runs whose lease it holds; `ended`: keys of those that it
    ends. Raises ClaimLost."""
    entered = _entered_since(connection, commit, absent.known(connection)) if commit.claims else ()
    absent.forget([*(entry.key for entry in commit.entries), *(claim.key for claim in commit.claims)])
    if commit.entries:
        rows = [with_sum(cache_codec.encode_entry(entry)) for entry in commit.entries]
        connection.executemany(sql.INSERT_ENTRY, rows)
        written = [(entry.key, key_by_run[entry.run_id]) for entry in commit.entries]
        connection.executemany(sql.RELEASE_CLAIM, written)
    if commit.released:
        pairs = [(key, run_key) for key in commit.released for run_key in key_by_run.values()]
        connection.executemany(sql.RELEASE_CLAIM, pairs)
    for run_key in ended:
        connection.execute(sql.RELEASE_CLAIMS_OF, (run_key,))
    if commit.claims:
        _claim(connection, commit, key_by_run, entered)
    if commit.uses:
        uses = [with_sum(cache_codec.encode_use(key_by_run[use.run_id], use)) for use in commit.uses]
        connection.executemany(sql.INSERT_ARTIFACT, uses)


def _entered_since(connection: Connection, commit: Commit, absent: Set[str]) -> list[str]:
    """Keys that are claimed, and that somebody has entered since they were looked up."""
    found: dict[str, Found] = {}
    for some in _portions([claim.key for claim in commit.claims if claim.key not in absent]):
        found.update(_newest(connection, some, commit.at))
    return [claim.key for claim in commit.claims if found.get(claim.key, _UNKNOWN).newest != claim.newest]


def _claim(connection: Connection, commit: Commit, key_by_run: Mapping[str, int], entered: Iterable[str]) -> None:
    lost = dict.fromkeys(entered)
    for claim in commit.claims:
        values = (claim.key, key_by_run[claim.run_id], claim.path, commit.at)
        if not connection.execute(sql.TAKE_CLAIM, values).rowcount:
            lost[claim.key] = None
    if lost:
        raise ClaimLost(tuple(lost))


# -- reading -----------------------------------------------------------------------------------------------------------


def look_up(
    connection: Connection, keys: Sequence[str], now: Instant, absent: Absent, *, ahead: int = 0
) -> dict[str, Found]:
    known_absent = absent.known(connection)
    wanted = [key for key in dict.fromkeys(keys) if key not in known_absent]
    if not wanted:
        return {}
    if ahead:
        following = connection.execute(sql.SELECT_NEXT_KEYS, (wanted[-1], ahead))
        wanted = list(dict.fromkeys([*wanted, *(key for (key,) in following)]))
    any_claims = connection.execute(sql.HAS_CLAIMS).fetchone() is not None
    found: dict[str, Found] = {}
    idle: set[str] = set()
    for some in _portions(wanted):
        found.update(_newest(connection, some, now))
        claimed = connection.execute(sql.select_claims(len(some)), [now, *some]) if any_claims else ()
        for key, run_id, is_live in claimed:
            if is_live:
                known = found.get(key, _UNKNOWN)
                found[key] = Found(known.entry, run_id, known.has_expired)
            else:
                idle.add(key)
    absent.add(key for key in wanted if key not in found and key not in idle)
    return found


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many keys as one statement asks for."""
    return (keys[first : first + sql.KEYS_MAX] for first in range(0, len(keys), sql.KEYS_MAX))


def _newest(connection: Connection, keys: Sequence[str], now: Instant) -> Iterator[tuple[str, Found]]:
    """The newest entries of these keys, at most `KEYS_MAX`, that have not expired; claims are not looked at."""
    for entry in entries(connection, sql.select_newest(len(keys)), keys):
        lasts = entry.expires_at is None or entry.expires_at > now
        yield entry.key, Found(entry) if lasts else _older(connection, entry.key, now)


_UNKNOWN = Found()


def _older(connection: Connection, key: str, now: Instant) -> Found:
    """The newest entry has expired; one before it may last longer."""
    lasting = entries(connection, sql.SELECT_LASTING, (key, now))
    return Found(lasting[0]) if lasting else Found(has_expired=True)


def entered_again(connection: Connection, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for some in _portions(keys):
        found.update(key for (key,) in connection.execute(sql.select_again(len(some)), some))
    return found


def entries(connection: Connection, statement: str, values: Sequence[object]) -> list[CacheEntry]:
    return list(decoded("cache_entries", connection.execute(statement, values), cache_codec.decode_entry))


def links(connection: Connection, statement: str, values: Sequence[object]) -> list[ArtifactLink]:
    if not _is_large(connection):
        found = connection.execute(sql.CHECK_ARTIFACTS).fetchone()[0]
        if found != "ok":
            raise RowDamaged("artifacts")
    rows = connection.execute(statement, values).fetchall()
    made = decoded("artifacts", (row[1:] for row in rows), lambda values: values)
    return [cache_codec.decode_link(row[0], values) for row, values in zip(rows, made, strict=True)]


def _is_large(connection: Connection) -> bool:
    """Whether there are too many links for each question to check their index, in which a flipped bit hides one."""
    return bool(connection.execute(sql.COUNT_ARTIFACTS).fetchone()[0] == sql.ARTIFACTS_CHECKED_MAX)


def marks(connection: Connection) -> list[Nondeterminism]:
    return list(decoded("nondeterminism", connection.execute(sql.SELECT_MARKS), cache_codec.decode_mark))


class Adoptable:
    """Succeeded task runs of a run by key. Remembers where each key is for the last run that has ended: a run that
    retries it asks many times, and its rows never change again."""

    def __init__(self) -> None:
        self._run_id = ""
        self._path_by_key: Mapping[str, str] = {}

    def rows(self, connection: Connection, run_id: str, keys: Sequence[str]) -> dict[str, TaskRunRow]:
        run = connection.execute(sql.SELECT_RUN_STATE, (run_id,)).fetchone() if run_id.isascii() else None
        if run is None:
            return {}
        run_key, state = run
        path_by_key = self._path_by_key
        if run_id != self._run_id:
            path_by_key = dict(connection.execute(sql.SELECT_ADOPTABLE, (run_key,)).fetchall())
            if state in codec.TERMINAL_RUN_WORDS:
                self._run_id, self._path_by_key = run_id, path_by_key
        found = {}
        for key in dict.fromkeys(keys):
            if key in path_by_key:
                row = connection.execute(sql.SELECT_TASK_RUN, (run_key, path_by_key[key])).fetchone()
                found[key] = next(decoded("task_runs", (row,), partial(codec.decode_task_run, run_id)))
        return found


# -- reclaiming --------------------------------------------------------------------------------------------------------


def addresses(connection: Connection) -> set[str]:
    """Whatever may be the address of an artifact in any text of the store."""
    found: set[str] = set()
    for statement in sql.SELECT_TEXTS:
        for texts in connection.execute(statement):
            for text in texts:
                found.update(cache_codec.addresses_in(text))
    return found


def delete_run(connection: Connection, run_id: str, now: Instant) -> bool:
    """Whether the run is gone: it was there, had ended, and nobody held its lease."""
    row = connection.execute(sql.SELECT_FREE_RUN, (run_id, now)).fetchone()
    if row is None or row[2] not in codec.TERMINAL_RUN_WORDS:
        return False
    run_key, graph_digest, _ = row
    for statement in sql.DELETE_RUN:
        connection.execute(statement, (run_key,))
    connection.execute(sql.DELETE_GRAPH, (graph_digest,))
    return True
