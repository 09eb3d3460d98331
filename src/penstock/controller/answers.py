"""Answers look-ups: what the store holds under a key, if it still holds. An entry is valid while it has not expired, every
blob of its outputs is there, and every file that was read when it was made is unchanged (semantics 32, cache rule 12)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from penstock.base.instants import Instant
from penstock.effects import Found, StateStore
from penstock.engine.events import Given, LookedUp, LookUp
from penstock.engine.rows import ArtifactUse, CacheEntry, TaskRunRow
from penstock.values.reads import fact_now, is_fact, same_zone
from penstock.values.store import ArtifactStore
from penstock.wire import Datum, artifacts_in

SETTLED_NS = 100_000_000
"""A file that was written so lately may be written again without a change of its stat: it is not remembered."""

NOTHING_FOUND = Found()

AHEAD_MAX = 256
"""So many entries at most are read before anybody asks for them."""


class Answers:
    """Reads the cache for a controller. `digest_at` says what a file of the project holds now, by its path in it: the
    same digest that the launcher records, empty where the file cannot be read (`ProjectFiles`)."""

    def __init__(self, store: StateStore, artifacts: ArtifactStore, digest_at: Callable[[str], str]) -> None:
        self._store = store
        self._artifacts = artifacts
        self._digest_at = digest_at
        self._ahead: dict[str, Found] = {}
        """Answers of this moment that nobody has asked for yet."""
        self._ahead_at = Instant(0)
        self._reach = 0

    def answer(self, queries: Sequence[LookUp], now: Instant) -> list[LookedUp]:
        """One answer for each query, in order. Raises what the stores raise."""
        adoptable = self._adoptable(queries)
        found = self._look_up(list(dict.fromkeys(query.key for query in queries)), now)
        return [
            self._answer(query, adoptable.get(query.adopt_from or "", {}), found.get(query.key, NOTHING_FOUND), now)
            for query in queries
        ]

    def _look_up(self, keys: Sequence[str], now: Instant) -> Mapping[str, Found]:
        """Keys that come one at a time, each known only when the hit before it is, are mostly those that one run wrote
        one after the other: as long as that proves right, more and more of them are read at once."""
        if now != self._ahead_at:
            self._ahead, self._ahead_at = {}, now
        if len(keys) == 1 and keys[0] in self._ahead:
            return {keys[0]: self._ahead.pop(keys[0])}
        reads_ahead = self._reach if len(keys) == 1 and not self._ahead else 0
        found = self._store.look_up(keys, now=now, ahead=reads_ahead)
        self._ahead = {key: one for key, one in found.items() if key not in keys}
        is_hit = len(keys) == 1 and keys[0] in found
        self._reach = min(AHEAD_MAX, max(8, 2 * reads_ahead)) if is_hit else 0
        return found

    def _answer(self, query: LookUp, adoptable: Mapping[str, TaskRunRow], found: Found, now: Instant) -> LookedUp:
        run_id, path, key = query.run_id, query.path, query.key
        row = adoptable.get(key)
        if row is not None and self._may_be_adopted(row, key, found):
            return LookedUp(run_id, path, key, "adopted", row.outputs, _made_at(row))
        if not query.read:
            return LookedUp(run_id, path, key, "miss")
        for entry in self._entries(key, found):
            if self._is_valid(entry, now):
                return LookedUp(run_id, path, key, "hit", entry.outputs, f"{entry.run_id}/{entry.path}")
        if found.claimed_by not in (None, run_id):
            return LookedUp(run_id, path, key, "claimed", source=found.claimed_by or "")
        return LookedUp(run_id, path, key, "miss", newest=found.newest)

    def _adoptable(self, queries: Sequence[LookUp]) -> dict[str, Mapping[str, TaskRunRow]]:
        keys_by_run: dict[str, list[str]] = {}
        for query in queries:
            if query.adopt_from:
                keys_by_run.setdefault(query.adopt_from, []).append(query.key)
        return {run_id: self._store.adoptable(run_id, keys) for run_id, keys in keys_by_run.items()}

    def _entries(self, key: str, found: Found) -> Iterator[CacheEntry]:
        """Entries of a key, the newest first; the older ones are read only when asked for."""
        if found.entry is not None:
            yield found.entry
        if found.entry is not None or found.has_expired:
            yield from (entry for entry in self._store.entries(key) if entry != found.entry)

    def _may_be_adopted(self, row: TaskRunRow, key: str, found: Found) -> bool:
        """Whether what another run has come to still holds. What it read stands in its entry, or with its attempt."""
        if not self._has_blobs(row.outputs):
            return False
        entry = next((entry for entry in self._entries(key, found) if entry.outputs == row.outputs), None)
        if entry is not None:
            return self._reads_the_same(entry.reads)
        run_id, _, path = _made_at(row).partition("/")
        attempts = self._store.attempts(run_id, path)
        return not attempts or self._reads_the_same(attempts[-1].reads)

    def _is_valid(self, entry: CacheEntry, now: Instant) -> bool:
        if entry.expires_at is not None and entry.expires_at <= now:
            return False
        return self._reads_the_same(entry.reads) and self._has_blobs(entry.outputs)

    def _reads_the_same(self, reads: Mapping[str, str]) -> bool:
        return all(self._digest_at(path) == digest for path, digest in reads.items()) and same_zone(
            reads, self._digest_at
        )

    def _has_blobs(self, outputs: Mapping[str, Datum]) -> bool:
        """Whether all content is there; what is found counts as stored just now, so that nobody reclaims it meanwhile."""
        return all(self._artifacts.keep(digest) for datum in outputs.values() for digest in digests_in(datum))


def _made_at(row: TaskRunRow) -> str:
    """`RUN/path` of the task run whose attempt made what stands in a row."""
    return row.cause.by if not row.attempt and row.cause.by else f"{row.run_id}/{row.path}"


class ProjectFiles:
    """What the files of a project hold now, which names its folders have, and what else a read may name: digests by path in the
    project, remembered by their stat, and facts by name."""

    def __init__(self, project: Path, digest_of_read: Callable[[str], str]) -> None:
        self._project = str(project)
        self._digest_of_read = digest_of_read
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def digest_at(self, path: str) -> str:
        """Empty where it cannot be read."""
        if is_fact(path):
            return fact_now(path, self._project)
        full = os.path.join(self._project, path)
        try:
            stat = os.stat(full)
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            known = self._known.get(path)
            if known is not None and known[0] == identity:
                return known[1]
            digest = self._digest_of_read(full)
        except OSError:
            return ""
        if abs(time.time_ns() - stat.st_ctime_ns) > SETTLED_NS:
            self._known[path] = (identity, digest)
        return digest


def digests_in(datum: Datum) -> tuple[str, ...]:
    """The digests of the artifacts in a datum."""
    return tuple(artifact.digest for artifact in artifacts_in(datum))


def uses_of(given: Given) -> Iterator[ArtifactUse]:
    """The artifacts among what a task run was given, each once per input."""
    for name, datum in given.inputs.items():
        for digest in dict.fromkeys(digests_in(datum)):
            yield ArtifactUse(digest, given.run_id, given.path, name)
