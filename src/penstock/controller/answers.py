"""Answers look-ups: what the store holds under a key, if it still holds. An entry is valid while it has not expired, every
blob of its outputs is there, and every file that was read when it was made is unchanged (semantics 32, cache rule 12)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from penstock.base.instants import Instant
from penstock.effects import StateStore
from penstock.engine.events import LookedUp, LookUp
from penstock.engine.rows import CacheEntry
from penstock.values.store import ArtifactStore
from penstock.wire import Artifact, Counted, Datum

DigestOfFile = Callable[[Path], str]


class Answers:
    """Reads the cache for a controller. `project` is the folder that recorded reads are relative to; `digest_of_file` says what a
    file holds now (the same digest that the launcher records)."""

    def __init__(
        self, store: StateStore, artifacts: ArtifactStore, *, project: Path, digest_of_file: DigestOfFile
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._project = project
        self._digest_of_file = digest_of_file
        self._known_reads: dict[str, tuple[tuple[int, int, int], str]] = {}

    def answer(self, queries: Sequence[LookUp], now: Instant) -> list[LookedUp]:
        """One answer for each query, in order."""
        adopted = self._adopted(queries)
        found = self._store.look_up([query.key for query in queries if query.read])
        answers = []
        for query in queries:
            row = adopted.get(query.adopt_from or "", {}).get(query.key)
            if row is not None and self._has_blobs(row.outputs):
                source = f"{query.adopt_from}/{row.path}"
                answers.append(LookedUp(query.run_id, query.path, query.key, "adopted", row.outputs, source))
                continue
            hit = found.get(query.key)
            if query.read and hit is not None and hit.entry is not None and self._is_valid(hit.entry, now):
                source = f"{hit.entry.run_id}/{hit.entry.path}"
                answers.append(LookedUp(query.run_id, query.path, query.key, "hit", hit.entry.outputs, source))
            elif query.read and hit is not None and hit.claimed_by not in (None, query.run_id):
                answers.append(LookedUp(query.run_id, query.path, query.key, "claimed", {}, hit.claimed_by or ""))
            else:
                answers.append(LookedUp(query.run_id, query.path, query.key, "miss"))
        return answers

    def _adopted(self, queries: Sequence[LookUp]):  # type: ignore[no-untyped-def]
        keys_by_run: dict[str, list[str]] = {}
        for query in queries:
            if query.adopt_from:
                keys_by_run.setdefault(query.adopt_from, []).append(query.key)
        return {run_id: self._store.adoptable(run_id, keys) for run_id, keys in keys_by_run.items()}

    def _is_valid(self, entry: CacheEntry, now: Instant) -> bool:
        if entry.expires_at is not None and entry.expires_at <= now:
            return False
        return self._has_blobs(entry.outputs) and all(self._reads(path) == d for path, d in entry.reads.items())

    def _has_blobs(self, outputs: Mapping[str, Datum]) -> bool:
        return all(self._artifacts.has(digest) for datum in outputs.values() for digest in digests_in(datum))

    def _reads(self, path: str) -> str:
        """What a file holds now, remembered by its stat; empty where it cannot be read."""
        full = self._project / path
        try:
            stat = os.stat(full)
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            known = self._known_reads.get(path)
            if known is None or known[0] != identity:
                known = self._known_reads[path] = (identity, self._digest_of_file(full))
        except OSError:
            return ""
        return known[1]


def digests_in(datum: Datum) -> tuple[str, ...]:
    """The digests of the artifacts in a datum."""
    if isinstance(datum, Artifact):
        return (datum.digest,)
    if isinstance(datum, Counted):
        return tuple(digest for item in datum.items for digest in digests_in(item))
    return ()
