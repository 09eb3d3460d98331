"""A full disk, a file that may not grow, a folder that turns read-only: each is named, nothing is half-written, and the
same store goes on once it has passed. Real file systems; a test that may not mount one says so."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.base.errors import CommitUnknown, StoreUnavailable
from penstock.effects import Lease
from penstock.stores.sql import SqlStateStore, open_state
from penstock.testing.conformance.state_rows import begun, changed, commit, task_run
from penstock.wire import Inline

LARGE = {"text": Inline("x" * 20_000)}


def ran(*command: str) -> str:
    """ "" when the command succeeded, else what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    refusal = ran("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    if refusal:
        pytest.skip(f"no small disk can be mounted here: {refusal}")
    try:
        yield folder
    finally:
        assert ran("umount", str(folder)) == ""


@pytest.fixture
def opened() -> Iterator[Callable[[Path], SqlStateStore]]:
    with ExitStack() as stack:

        def open_one(path: Path) -> SqlStateStore:
            store = open_state(path)
            stack.callback(store.close)
            return store

        yield open_one


def fill(store: SqlStateStore, lease: Lease, name: str, *, rows: int = 1) -> tuple[int, StoreUnavailable]:
    """Commit new task runs until the store refuses: how many it took, and what it said."""
    for number in range(1_000):
        new = [replace(task_run(f"{name}/{number}/{row}"), outputs=LARGE) for row in range(rows)]
        try:
            commit(store, lease, *(changed(row, "waiting") for row in new))
        except StoreUnavailable as refusal:
            return number * rows, refusal
    raise AssertionError("a thousand commits found room")


def assert_whole(path: Path, *, task_runs: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM task_runs").fetchone() == (task_runs,)
        assert connection.execute("SELECT coalesce(max(last_sequence), 0) FROM journal").fetchone() == (task_runs,)


@pytest.mark.parametrize("rows", [1, 40], ids=["small commits", "large commits"])
def test_the_disk_fills_up(small_disk: Path, opened: Callable[[Path], SqlStateStore], rows: int) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    path = small_disk / "state" / "state.db"
    store = opened(path)
    lease = begun(store)
    found = 0
    for name in ("first", "second"):
        kept, refusal = fill(store, lease, name, rows=rows)
        assert not isinstance(refusal, CommitUnknown)
        assert f"the state store {path} cannot grow: its disk is full" in refusal.message
        assert "Free some space" in refusal.fix
        found += kept
        assert len(store.task_runs("run1")) == found, "what was committed can be read, and nothing else"
    assert found > 0
    ballast.unlink()
    commit(store, lease, changed(task_run("after"), "waiting"))
    assert len(store.task_runs("run1")) == found + 1, "the same store goes on"
    again = opened(path)
    assert len(again.task_runs("run1")) == found + 1
    again.close()
    store.close()
    assert_whole(path, task_runs=found + 1)


def test_no_room_to_begin_with(small_disk: Path, opened: Callable[[Path], SqlStateStore]) -> None:
    path = small_disk / "state.db"
    with (small_disk / "ballast").open("wb") as ballast, pytest.raises(OSError, match="No space"):
        while True:
            os.write(ballast.fileno(), b"\0" * 4096)
    with pytest.raises(StoreUnavailable, match="disk is full") as refusal:
        opened(path)
    assert str(path) in refusal.value.message
    (small_disk / "ballast").unlink()
    begun(opened(path))


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file may be written beyond this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_commit_of_unknown_fate(tmp_path: Path, opened: Callable[[Path], SqlStateStore]) -> None:
    path = tmp_path / "state.db"
    store = opened(path)
    lease = begun(store)
    with file_size_limit(200_000):
        kept, refusal = fill(store, lease, "t")
        assert isinstance(refusal, CommitUnknown), "the log could not be written while committing"
        assert "may or may not have happened" in refusal.message
        assert str(path) in refusal.message
        known = len(store.task_runs("run1"))
        assert known in (kept, kept + 1), "reading it again tells"
    assert [entry.sequence for entry in store.journal("run1")] == list(range(1, known + 1))
    commit(store, lease, changed(task_run("after"), "waiting"))
    assert len(store.task_runs("run1")) == known + 1
    store.close()
    assert_whole(path, task_runs=known + 1)


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Nobody may change these, not even root."""
    for number, path in enumerate(paths):
        refusal = ran("chattr", "+i", str(path))
        if refusal:
            for made in paths[:number]:
                ran("chattr", "-i", str(made))
            pytest.skip(f"nothing can be made immutable here: {refusal}")
    try:
        yield
    finally:
        for path in paths:
            assert ran("chattr", "-i", str(path)) == ""


def test_a_folder_turns_read_only_while_running(tmp_path: Path, opened: Callable[[Path], SqlStateStore]) -> None:
    folder = tmp_path / "state"
    path = folder / "state.db"
    store = opened(path)
    lease = begun(store)
    commit(store, lease, changed(task_run("before"), "waiting"))
    with immutable(*folder.iterdir(), folder):
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as refusal:
                commit(store, lease, changed(task_run("during"), "waiting"))
            assert str(path) in refusal.value.message
        with pytest.raises(StoreUnavailable) as refusal:
            opened(path)
        assert str(path) in refusal.value.message
        assert "writable" in refusal.value.fix
    known = [row.path for row in store.task_runs("run1")]
    assert known in (["before"], ["before", "during"])
    commit(store, lease, changed(task_run("after"), "waiting"))
    assert [row.path for row in store.task_runs("run1")] == sorted([*known, "after"])
    store.close()
    assert_whole(path, task_runs=len(known) + 1)


def test_a_disk_that_is_read_only(small_disk: Path, opened: Callable[[Path], SqlStateStore]) -> None:
    path = small_disk / "state.db"
    store = opened(path)
    lease = begun(store)
    store.close()
    before = path.read_bytes()
    assert ran("mount", "-o", "remount,ro", str(small_disk)) == ""
    for place in (path, small_disk / "new" / "state.db"):
        with pytest.raises(StoreUnavailable) as refusal:
            opened(place)
        assert str(place) in refusal.value.message
        assert "writable" in refusal.value.fix
    assert path.read_bytes() == before
    assert ran("mount", "-o", "remount,rw", str(small_disk)) == ""
    commit(opened(path), lease, changed(task_run("after"), "waiting"))
