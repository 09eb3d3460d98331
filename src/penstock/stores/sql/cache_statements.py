"""The SQL of the cache, of lineage and of reclaiming: what `statements` is for the rest, under the same rules."""

from __future__ import annotations

from functools import lru_cache

from penstock.stores.sql.cache_codec import (
    ARTIFACT_COLUMNS,
    CLAIM_COLUMNS,
    ENTRY_COLUMNS,
    GIVEN,
    MADE,
    NONDETERMINISM_COLUMNS,
    RUN_TEXTS,
    TASK_RUN_TEXTS,
)
from penstock.stores.sql.codec import TASK_RUN_COLUMNS
from penstock.stores.sql.statements import columns_of, insert, upsert
from penstock.stores.sql.sums import CHECKSUM

KEYS_MAX = 500
"""How many keys one statement asks for: below the least limit on values that any SQLite has."""

# -- entries -----------------------------------------------------------------------------------------------------------

_ENTRY = f"SELECT {columns_of((*ENTRY_COLUMNS, CHECKSUM))} FROM cache_entries"
INSERT_ENTRY = insert("cache_entries", (*ENTRY_COLUMNS, CHECKSUM))
SELECT_ENTRIES = f"{_ENTRY} WHERE key = ? ORDER BY entry_key DESC LIMIT ?"
SELECT_LASTING = f"{_ENTRY} WHERE key = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY entry_key DESC LIMIT 1"
SELECT_ENTRIES_OF = f"{_ENTRY} WHERE component = ? AND created_at <= ? ORDER BY created_at DESC, entry_key DESC LIMIT ?"
SELECT_ENTRY_OF = f"""\
{_ENTRY} WHERE run_id = ? AND path = ? AND key = (SELECT task_runs.key FROM task_runs JOIN runs
  ON runs.run_key = task_runs.run_key WHERE runs.run_id = ? AND task_runs.path = ?)
ORDER BY entry_key DESC LIMIT 1"""
DELETE_ENTRIES = "DELETE FROM cache_entries WHERE key = ?"
SELECT_UNWRITTEN = "SELECT key FROM cache_entries GROUP BY key HAVING max(created_at) < ? ORDER BY key"


# What the same run wrote next.
SELECT_NEXT_KEYS = """\
SELECT later.key FROM cache_entries AS later JOIN
  (SELECT entry_key, run_id FROM cache_entries WHERE key = ? ORDER BY entry_key DESC LIMIT 1) AS newest
ON later.entry_key > newest.entry_key AND later.entry_key <= newest.entry_key + ? AND later.run_id = newest.run_id
ORDER BY later.entry_key"""


@lru_cache(maxsize=KEYS_MAX)
def select_newest(count: int) -> str:
    """The newest entry of each of `count` keys."""
    return (
        f"{_ENTRY} WHERE entry_key IN "
        f"(SELECT max(entry_key) FROM cache_entries WHERE key IN ({columns_of('?' * count)}) GROUP BY key)"
    )


@lru_cache(maxsize=KEYS_MAX)
def select_again(count: int) -> str:
    """Those of `count` keys that have more than one entry."""
    return f"SELECT key FROM cache_entries WHERE key IN ({columns_of('?' * count)}) GROUP BY key HAVING count(*) > 1"


# -- claims ------------------------------------------------------------------------------------------------------------

HAS_CLAIMS = "SELECT 1 FROM claims LIMIT 1"
# A claim is taken over from a run that nobody holds the lease of any more. No row is changed where it is not.
TAKE_CLAIM = f"""\
{insert("claims", CLAIM_COLUMNS)} ON CONFLICT (key) DO UPDATE SET run_key = excluded.run_key, path = excluded.path
WHERE claims.run_key = excluded.run_key OR NOT EXISTS
  (SELECT 1 FROM leases WHERE leases.run_key = claims.run_key AND leases.expires_at > ?)"""
RELEASE_CLAIM = "DELETE FROM claims WHERE key = ? AND run_key = ?"
RELEASE_CLAIMS_OF = "DELETE FROM claims WHERE run_key = ?"


@lru_cache(maxsize=KEYS_MAX)
def select_claims(count: int) -> str:
    """Those of `count` keys that are claimed, with the run, and whether its lease lasts beyond the first value."""
    return (
        "SELECT claims.key, runs.run_id, leases.expires_at > ? FROM claims JOIN runs ON runs.run_key = claims.run_key "
        "LEFT JOIN leases ON leases.run_key = claims.run_key "
        f"WHERE claims.key IN ({columns_of('?' * count)})"
    )


# -- adoption ----------------------------------------------------------------------------------------------------------

SELECT_RUN_STATE = "SELECT run_key, state FROM runs WHERE run_id = ?"
SELECT_ADOPTABLE = """\
SELECT key, min(path) FROM task_runs WHERE run_key = ? AND state = 'succeeded' AND key IS NOT NULL GROUP BY key"""
SELECT_TASK_RUN = f"SELECT {columns_of((*TASK_RUN_COLUMNS, CHECKSUM))} FROM task_runs WHERE run_key = ? AND path = ?"

# -- nondeterminism ----------------------------------------------------------------------------------------------------

UPSERT_MARK = upsert("nondeterminism", (*NONDETERMINISM_COLUMNS, CHECKSUM), keys=1)
SELECT_MARKS = f"SELECT {columns_of((*NONDETERMINISM_COLUMNS, CHECKSUM))} FROM nondeterminism ORDER BY component"

# -- lineage -----------------------------------------------------------------------------------------------------------

ARTIFACTS_CHECKED_MAX = 5_000
COUNT_ARTIFACTS = f"SELECT count(*) FROM (SELECT 1 FROM artifacts LIMIT {ARTIFACTS_CHECKED_MAX})"
# SQLite's own: another database has checksums of pages.
CHECK_ARTIFACTS = "PRAGMA integrity_check('artifacts')"
INSERT_ARTIFACT = (
    f"{insert('artifacts', (*ARTIFACT_COLUMNS, CHECKSUM))} ON CONFLICT ({columns_of(ARTIFACT_COLUMNS)}) DO NOTHING"
)
_LINKS = f"SELECT runs.run_id, {columns_of((*ARTIFACT_COLUMNS, CHECKSUM), 'artifacts.')} FROM artifacts JOIN runs"
_LINKS_OF_DIGEST = f"""\
{_LINKS} ON runs.run_key = artifacts.run_key WHERE artifacts.digest = ? AND artifacts.role = '%s'
ORDER BY runs.run_key, artifacts.path, artifacts.name"""
SELECT_PRODUCERS = _LINKS_OF_DIGEST % MADE
SELECT_CONSUMERS = _LINKS_OF_DIGEST % GIVEN
SELECT_ARTIFACTS_OF = f"""\
{_LINKS} ON runs.run_key = artifacts.run_key WHERE runs.run_id = ? AND artifacts.path = ?
ORDER BY artifacts.role, artifacts.name, artifacts.digest"""

# -- reclaiming --------------------------------------------------------------------------------------------------------

# All texts that may hold addresses of artifacts.
SELECT_TEXTS = (
    f"SELECT {columns_of(RUN_TEXTS)} FROM runs",
    f"SELECT {columns_of(TASK_RUN_TEXTS)} FROM task_runs WHERE outputs <> '{{}}' OR detail <> '{{}}'",
    "SELECT artifact FROM exhibits",
    "SELECT outputs FROM cache_entries WHERE outputs <> '{}'",
)
SELECT_LOGS = "SELECT DISTINCT log_file FROM attempts WHERE log_file IS NOT NULL"
# A run that has ended and whose lease nobody holds.
SELECT_FREE_RUN = """\
SELECT runs.run_key, runs.graph_digest, runs.state FROM runs LEFT JOIN leases ON leases.run_key = runs.run_key
WHERE runs.run_id = ? AND (leases.expires_at IS NULL OR leases.expires_at <= ?)"""
DELETE_RUN = tuple(
    f"DELETE FROM {table} WHERE run_key = ?"
    for table in (
        "claims",
        "artifacts",
        "metrics",
        "exhibits",
        "progress",
        "leases",
        "inbox",
        "journal",
        "attempts",
        "task_runs",
        "runs",
    )
)
DELETE_GRAPH = """\
DELETE FROM graphs WHERE graph_digest = ? AND NOT EXISTS
  (SELECT 1 FROM runs WHERE runs.graph_digest = graphs.graph_digest)"""
