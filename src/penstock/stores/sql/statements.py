"""The SQL of the state store, as text for the driver. Only what SQLite (3.24 and later) and PostgreSQL both say, with
`?` for values; a statement that differs says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.stores.sql.codec import (
    ATTEMPT_COLUMNS,
    LEASE_COLUMNS,
    RUN_CHANGING,
    RUN_COLUMNS,
    TASK_RUN_COLUMNS,
)
from penstock.stores.sql.sums import CHECKSUM


def columns_of(columns: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + column for column in columns)


def insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({columns_of(columns)}) VALUES ({columns_of('?' * len(columns))})"


def upsert(table: str, columns: Sequence[str], *, keys: int) -> str:
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns[keys:])
    return f"{insert(table, columns)} ON CONFLICT ({columns_of(columns[:keys])}) DO UPDATE SET {changes}"


# -- runs and graphs ---------------------------------------------------------------------------------------------------

# SQLite's own: another number once another connection has committed.
DATA_VERSION = "PRAGMA data_version"
RUN_SUMS = ("fixed_checksum", CHECKSUM)
"""Of what never changes and of what does, so that a change need not write all of it."""
RUN_KEY = "SELECT run_key FROM runs WHERE run_id = ?"
INSERT_RUN = insert("runs", (*RUN_COLUMNS, *RUN_SUMS)) + " ON CONFLICT (run_id) DO NOTHING"
UPDATE_RUN = f"UPDATE runs SET {' = ?, '.join((*RUN_CHANGING, CHECKSUM))} = ? WHERE run_key = ?"
_RUN = f"SELECT {columns_of((*RUN_COLUMNS, *RUN_SUMS))} FROM runs"
SELECT_RUN = f"{_RUN} WHERE run_id = ?"
HAS_GRAPH = "SELECT 1 FROM graphs WHERE graph_digest = ?"
INSERT_GRAPH = insert("graphs", ("graph_digest", "graph", CHECKSUM)) + " ON CONFLICT (graph_digest) DO NOTHING"
SELECT_GRAPH = f"SELECT graph_digest, graph, {CHECKSUM} FROM graphs WHERE graph_digest = ?"


def select_runs(*, by_state: bool, by_prefix: bool) -> str:
    """Those submitted last first. Values: the state, the least and the least greater run id of the prefix, the limit."""
    conditions = ["state = ?"] * by_state + ["run_id >= ? AND run_id < ?"] * by_prefix
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{_RUN}{where} ORDER BY run_key DESC LIMIT ?"


# -- commit ------------------------------------------------------------------------------------------------------------

# What a commit must know of one run: whether the lease still stands, whether the run had ended, where its journal ends.
FENCE = """\
SELECT leases.epoch, leases.expires_at IS NOT NULL, runs.state,
  (SELECT journal.last_sequence FROM journal WHERE journal.run_key = runs.run_key ORDER BY first_sequence DESC LIMIT 1)
FROM runs LEFT JOIN leases ON leases.run_key = runs.run_key WHERE runs.run_key = ?"""
UPSERT_TASK_RUN = upsert("task_runs", (*TASK_RUN_COLUMNS, CHECKSUM), keys=2)
UPSERT_ATTEMPT = upsert("attempts", (*ATTEMPT_COLUMNS, CHECKSUM), keys=3)
JOURNAL_COLUMNS = ("run_key", "first_sequence", "last_sequence", "at", "entries")
INSERT_JOURNAL = insert("journal", (*JOURNAL_COLUMNS, CHECKSUM))
COUNTED = ("task_runs", "attempts", "journal", "metrics", "exhibits", "progress")
# Once a run has ended, how many rows it has at least: that one of them is lost shows in nothing else.
COUNT_ROWS = f"""\
UPDATE runs SET row_counts = {
    " || ' ' || ".join(f"(SELECT count(*) FROM {table} WHERE {table}.run_key = runs.run_key)" for table in COUNTED)
} WHERE run_key = ?"""
SELECT_COUNTS = "SELECT row_counts FROM runs WHERE run_key = ?"
# `WHERE true` lets SQLite tell the SELECT's end from a join's ON.
FOLD_HISTORY = """\
INSERT INTO component_history (component, succeeded_count, duration_us)
SELECT task_runs.component, count(*), sum(attempts.duration_us)
FROM attempts JOIN task_runs ON task_runs.run_key = attempts.run_key AND task_runs.path = attempts.path
WHERE attempts.run_key = ? AND attempts.outcome = 'succeeded' GROUP BY task_runs.component
ON CONFLICT (component) DO UPDATE SET
  succeeded_count = component_history.succeeded_count + excluded.succeeded_count,
  duration_us = component_history.duration_us + excluded.duration_us"""

# -- inbox -------------------------------------------------------------------------------------------------------------

INSERT_MESSAGE = (
    insert("inbox", ("message_id", "run_key", "kind", "posted_at", "body")) + " ON CONFLICT (message_id) DO NOTHING"
)
SELECT_WAITING = """\
SELECT message_key, message_id, kind, posted_at, body FROM inbox WHERE run_key = ? AND consumed_at IS NULL
ORDER BY message_key"""
MESSAGE_STATE = "SELECT run_key, consumed_at FROM inbox WHERE message_id = ?"
CONSUME_MESSAGE = "UPDATE inbox SET consumed_at = ? WHERE message_id = ?"

# -- leases ------------------------------------------------------------------------------------------------------------

SELECT_LEASE = f"SELECT {columns_of(LEASE_COLUMNS)} FROM leases WHERE run_key = ?"
UPSERT_LEASE = upsert("leases", ("run_key", *LEASE_COLUMNS), keys=1)
RENEW_LEASE = "UPDATE leases SET expires_at = ? WHERE run_key = ? AND epoch = ? AND expires_at IS NOT NULL"
RELEASE_LEASE = "UPDATE leases SET expires_at = NULL WHERE run_key = ? AND epoch = ?"

# -- reading -----------------------------------------------------------------------------------------------------------


def select_by_path(
    table: str, columns: Sequence[str], order: str, *, by_path: bool = False, below: bool = False, also: str = ""
) -> str:
    """Rows of a run: all of them, those of one path, or those of a path and of all paths below it; only those of which `also`
    holds. Its values: the run's key, those of `path_values`, and those of `also`."""
    where = " AND path = ?" if by_path else ""
    if by_path and below:
        where = " AND (path = ? OR (path > ? AND path < ?))"
    where += f" AND {also}" if also else ""
    return f"SELECT {columns_of((*columns, CHECKSUM))} FROM {table} WHERE run_key = ?{where} ORDER BY {order}"


def path_values(path: str | None, *, below: bool = False) -> tuple[str, ...]:
    """What `select_by_path` compares paths with. Every path below `fit` is greater than "fit/" and less than "fit0", as 0
    is the character that follows the slash."""
    if path is None:
        return ()
    return (path, f"{path}/", f"{path}0") if below else (path,)


SELECT_JOURNAL = f"""\
SELECT {columns_of((*JOURNAL_COLUMNS, CHECKSUM))} FROM journal
WHERE run_key = ? AND first_sequence >=
  coalesce((SELECT max(first_sequence) FROM journal WHERE run_key = ? AND first_sequence <= ?), 1)
ORDER BY first_sequence"""
SELECT_HISTORY = "SELECT succeeded_count, duration_us FROM component_history WHERE component = ?"
