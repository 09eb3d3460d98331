"""The artifact stores, on disk and in memory, sit one suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.testing.conformance import artifact_reclaim, artifact_store
from penstock.testing.conformance.artifact_store import Subject
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values.store import ArtifactStore


class OnDisk:
    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._root = folder / "artifacts"

    def store(self) -> ArtifactStore:
        return DiskArtifactStore(self._root)

    def damage(self, digest: str) -> None:
        kind, _, name = digest.partition(":")
        path = self._root / ("files" if kind == "blake3" else "trees") / name[:2] / name[2:]
        if kind == "tree":
            path = max((p for p in (path / "content").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        path.chmod(0o600)
        with path.open("r+b") as file:
            last = file.seek(-1, 2)
            byte = file.read(1)
            file.seek(last)
            file.write(bytes([byte[0] ^ 1]))
        path.chmod(0o444)


class InMemory:
    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        paths = folder / "paths"
        paths.mkdir()
        self._store = MemoryArtifactStore(paths)

    def store(self) -> ArtifactStore:
        return self._store

    def damage(self, digest: str) -> None:
        self._store.damage(digest)


@pytest.mark.parametrize("subject", [OnDisk, InMemory])
@pytest.mark.parametrize("check", [*artifact_store.CHECKS, *artifact_reclaim.CHECKS], ids=lambda check: check.__name__)
def test_artifact_store(check: Callable[[Subject], None], subject: Callable[[Path], Subject], tmp_path: Path) -> None:
    check(subject(tmp_path))
