"""What has not changed since it was stored is not read again; what may have changed is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values.datums import Staging, to_datum
from penstock.values.seen import Seen, look_at
from penstock.wire import Artifact


class Counting:
    """A store that counts what it reads."""

    def __init__(self, folder: Path) -> None:
        self.inner = MemoryArtifactStore(folder)
        self.reads: list[str] = []

    def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        self.reads.append(path.name)
        return self.inner.put_path(path, move=move)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    (tmp_path / "store").mkdir()
    return Counting(tmp_path / "store")


def settled(path: Path) -> None:
    """Wait until a path has not been changed for long enough to be remembered."""
    while (look := look_at(path)) is not None and not look.settled:
        time.sleep(0.05)


def stored(path: Path, counting: Counting, tmp_path: Path) -> Artifact:
    staging = Staging(tmp_path / "scratch", "attempt")
    datum = to_datum(path, {"name": "path"}, artifacts=counting, staging=staging)
    assert isinstance(datum, Artifact)
    return datum


def test_a_file_is_read_once_until_it_changes(counting: Counting, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1,2,3")
    settled(path)
    first = stored(path, counting, tmp_path)
    assert stored(path, counting, tmp_path) == first
    assert counting.reads == ["data.csv"]
    path.write_text("4,5,6")
    second = stored(path, counting, tmp_path)
    assert second.digest != first.digest
    assert counting.reads == ["data.csv"] * 2
    third = stored(path, counting, tmp_path)  # too fresh to be trusted
    assert third == second
    assert counting.reads == ["data.csv"] * 3


def test_a_change_that_hides_behind_an_old_time_is_seen(counting: Counting, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1,2,3")
    settled(path)
    first = stored(path, counting, tmp_path)
    status = path.stat()
    path.write_text("4,5,6")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert stored(path, counting, tmp_path).digest != first.digest


def test_a_folder_is_read_once_until_anything_in_it_changes(counting: Counting, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x.csv").write_text("1")
    settled(folder)
    digests = [stored(folder, counting, tmp_path).digest, stored(folder, counting, tmp_path).digest]
    assert counting.reads == ["data"]
    (folder / "deep" / "y.csv").write_text("2")
    digests.append(stored(folder, counting, tmp_path).digest)
    (folder / "deep" / "x.csv").unlink()
    digests.append(stored(folder, counting, tmp_path).digest)
    assert counting.reads == ["data"] * 3
    assert len(set(digests)) == 3


def test_what_the_store_no_longer_has_is_read_again(counting: Counting, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1,2,3")
    settled(path)
    first = stored(path, counting, tmp_path)
    counting.inner = MemoryArtifactStore(tmp_path / "store")
    assert stored(path, counting, tmp_path) == first
    assert counting.reads == ["data.csv"] * 2


def test_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1")
    settled(path)
    look = look_at(path)
    assert look is not None
    seen = Seen(tmp_path / "seen")
    seen.remember(path, look, "blake3:x", 1)
    assert seen.content_of(path, look) == ("blake3:x", 1)
    (file,) = (tmp_path / "seen").iterdir()
    for damage in ("", "[]", "{", '{"look": 1}'):
        file.write_text(damage)
        assert seen.content_of(path, look) is None


def test_what_changes_while_it_is_read_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1")
    settled(path)
    look = look_at(path)
    assert look is not None
    path.write_text("2")
    seen = Seen(tmp_path / "seen")
    seen.remember(path, look, "blake3:x", 1)
    assert not (tmp_path / "seen").exists()
    assert look_at(tmp_path / "nothing") is None
