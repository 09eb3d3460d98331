"""The artifact store in trouble: many processes at once, kills, a full disk, a read-only one, another user's."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, StoreUnavailable
from penstock.stores.artifacts.digests import digest_of_bytes
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.stores.artifacts.partial import ABANDONED_AFTER_S
from penstock.testing.conformance.artifact_store import LARGE, make_folder, read_folder
from penstock.values.store import ArtifactStore


def required(reason: str) -> None:
    """Skip, visibly; or fail, where every test has to run."""
    if os.environ.get("PENSTOCK_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"required, but {reason}")
    pytest.skip(reason)


def addresses(root: Path) -> list[str]:
    """Every address that a store holds content under."""
    found = [f"blake3:{path.parent.name}{path.name}" for path in (root / "files").glob("??/*")]
    return found + [f"tree:{path.parent.name}{path.name}" for path in (root / "trees").glob("??/*")]


def assert_whole(root: Path) -> int:
    """Every address in the store stands for content that verifies; answers how many there are."""
    store = DiskArtifactStore(root)
    held = addresses(root)
    for digest in held:
        store.path(digest)
    assert not (root / "corrupt").exists()
    return len(held)


def unfinished(root: Path) -> list[str]:
    return os.listdir(root / "partial") if (root / "partial").exists() else []


# -- writers at the same time
# -----------------------------------------------------------------------------------------------


def write_the_same(root: Path, folder: Path, start: object) -> None:
    assert hasattr(start, "wait")
    store = DiskArtifactStore(root)
    start.wait(30)
    for number in range(100):
        assert store.get_bytes(store.put_bytes(b"%d" % number)) == b"%d" % number
    digest, _ = store.put_path(folder)
    store.path(digest)


def test_processes_that_write_the_same_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    root, folder = tmp_path / "artifacts", make_folder(tmp_path / "folder", {f"d/{n}": b"%d" % n for n in range(50)})
    start = context.Barrier(4)
    writers = [context.Process(target=write_the_same, args=(root, folder, start)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert assert_whole(root) == 101
    assert unfinished(root) == []


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path)
    raised: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(100):
                assert store.get_bytes(store.put_bytes(b"%d" % number)) == b"%d" % number
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert assert_whole(tmp_path) == 100


FORKING = """
    import os, sys
    from pathlib import Path
    from penstock.stores.artifacts.disk import DiskArtifactStore

    digest = DiskArtifactStore(Path(sys.argv[1])).put_bytes(bytes(16 << 20))
    if os.fork() == 0:
        os._exit(0 if DiskArtifactStore(Path(sys.argv[1])).get_bytes(digest) == bytes(16 << 20) else 1)
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_child_made_by_fork_can_hash_in_threads(tmp_path: Path) -> None:
    program = tmp_path / "forking.py"
    program.write_text(textwrap.dedent(FORKING))
    # Python warns of any fork beside threads; that the child gets on all the same is what is tested here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program), str(tmp_path / "artifacts")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


WRITER = """
    import os, sys
    from pathlib import Path
    from penstock.stores.artifacts.disk import DiskArtifactStore

    root, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    store = DiskArtifactStore(root)
    number = 0
    while True:
        data = os.urandom(8) * (1 + (number * 7919) % 200_000)
        print(store.put_bytes(data), flush=True)
        (scratch / "file").write_bytes(data + b"!")
        print(store.put_path(scratch / "file", move=True)[0], flush=True)
        folder = scratch / "folder"
        (folder / "in").mkdir(parents=True, exist_ok=True)
        (folder / "in" / "data").write_bytes(data)
        (folder / "run").write_bytes(b"%d" % number)
        (folder / "run").chmod(0o755)
        print(store.put_path(folder)[0], flush=True)
        number += 1
"""


def test_a_writer_killed_at_any_moment_leaves_whole_content(tmp_path: Path) -> None:
    root, scratch = tmp_path / "artifacts", tmp_path / "scratch"
    scratch.mkdir()
    program = tmp_path / "writer.py"
    program.write_text(textwrap.dedent(WRITER))
    chance = random.Random(20_13)
    told: set[str] = set()
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, str(program), str(root), str(scratch)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(1, 8)):
                told.add(writer.stdout.readline().strip())
            time.sleep(chance.random() * 0.005)  # the moment of the kill, not a wait for anything
            writer.kill()
            lines = writer.stdout.read().split("\n")
            told.update(lines[:-1])
        assert_whole(root)
    assert len(told) > 40
    store = DiskArtifactStore(root)
    for digest in told:
        assert store.has(digest), "an address that was answered is gone"
    # What the dead left behind harms nobody and is cleaned once it is old.
    for name in unfinished(root):
        os.utime(root / "partial" / name, (1, 1))
    store.put_bytes(b"after")
    assert assert_whole(root) >= len(told)


def test_what_dead_writers_left_is_cleaned_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DiskArtifactStore(tmp_path).put_bytes(b"x")
    partial = tmp_path / "partial"
    (partial / "dead").write_bytes(b"half")
    make_folder(partial / "dead-tree", {"content/a": b"half"})
    DiskArtifactStore(tmp_path).put_bytes(b"y")
    assert sorted(unfinished(tmp_path)) == ["dead", "dead-tree"]  # too young to be told from the living
    future = time.time() + ABANDONED_AFTER_S + 60
    monkeypatch.setattr(time, "time", lambda: future)
    living = DiskArtifactStore(tmp_path)._layout.partial
    with living.file() as (_, path), living.tree() as tree:
        DiskArtifactStore(tmp_path).put_bytes(b"z")
        assert sorted(unfinished(tmp_path)) == sorted([os.path.basename(path), os.path.basename(tree)])
        os.unlink(path)
    assert unfinished(tmp_path) == []


# -- deleting beside everybody else
# --------------------------------------------------------------------------------------------------

UNUSED_MS = 30


def delete_all_the_time(root: Path, start: object, end: object) -> None:
    assert hasattr(start, "wait")
    assert hasattr(end, "is_set")
    store = DiskArtifactStore(root)
    start.wait(30)
    while not end.is_set():
        for digest in store.digests():
            store.delete(digest, unused_ms=UNUSED_MS)


def store_what_is_deleted(root: Path, folder: Path, start: object, seed: int) -> None:
    """Store the same few things again and again, now and then about when they are old enough to go. What was stored
    less than the grace ago has to be there, and whoever reads gets all of it or is told that it is missing."""
    assert hasattr(start, "wait")
    store, chance = DiskArtifactStore(root), random.Random(seed)
    # Others put it there: no process's memory of what it verified may stand in for looking.
    deleted, checked, number = 0, 0, 0
    start.wait(30)
    while deleted < 20 or checked < 60:
        data, number = b"%d" % chance.randrange(3), number + 1
        begun = time.time_ns()
        try:
            digest = store.put_bytes(data) if chance.random() < 0.6 else store.put_path(folder)[0]
        except StoreUnavailable:  # this process stood still between storing the files of the folder and the folder
            assert (time.time_ns() - begun) / 1e6 >= UNUSED_MS
            continue
        there = store.has(digest)
        if (time.time_ns() - begun) / 1e6 < UNUSED_MS:
            assert there
            checked += 1
        try:
            store.path(digest)
            store.materialize(digest, root.parent / f"out-{seed}-{number}")
        except ArtifactMissing:
            assert (time.time_ns() - begun) / 1e6 >= UNUSED_MS
        time.sleep(chance.random() * 2 * UNUSED_MS / 1e3)  # to meet the deletion: before, at or after it
        deleted += not store.has(digest)


def test_nothing_that_was_just_stored_is_deleted(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    root, folder = tmp_path / "artifacts", make_folder(tmp_path / "folder", {"in/a": b"1", "run": (b"2", 0o755)})
    start, end = context.Barrier(4), context.Event()
    deleter = context.Process(target=delete_all_the_time, args=(root, start, end))
    writers = [context.Process(target=store_what_is_deleted, args=(root, folder, start, seed)) for seed in range(3)]
    for process in (deleter, *writers):
        process.start()
    for writer in writers:
        writer.join(120)
    end.set()
    deleter.join(60)
    assert [process.exitcode for process in (deleter, *writers)] == [0, 0, 0, 0]
    assert_whole(root)
    assert unfinished(root) == []


def test_whatever_stores_or_keeps_marks_content_as_used(tmp_path: Path) -> None:
    root, file = tmp_path / "artifacts", tmp_path / "file"
    folder = make_folder(tmp_path / "folder", {"a": b"1"})
    digest, tree = DiskArtifactStore(root).put_bytes(b"x"), DiskArtifactStore(root).put_path(folder)[0]

    def put_file(*, move: bool) -> None:
        file.write_bytes(b"x")
        DiskArtifactStore(root).put_path(file, move=move)

    uses: list[tuple[str, Callable[[], object]]] = [
        (digest, lambda: DiskArtifactStore(root).keep(digest)),
        (digest, lambda: DiskArtifactStore(root).put_bytes(b"x")),
        (digest, lambda: put_file(move=False)),
        (digest, lambda: put_file(move=True)),
        (tree, lambda: DiskArtifactStore(root).keep(tree)),
        (tree, lambda: DiskArtifactStore(root).put_path(folder)),
    ]
    for address, use in uses:
        place = root / ("files" if address == digest else "trees") / address[-64:-62] / address[-62:]
        future = time.time_ns() + 3_600_000_000_000  # reading does not set a time of access that is still to come
        before = place.stat().st_mtime_ns
        os.utime(place, ns=(future, before if address == digest else future))
        assert DiskArtifactStore(root).delete(address) == 0, "what claims to come from the future is in use"
        use()
        after = place.stat()
        assert (after.st_atime_ns if address == digest else after.st_mtime_ns) < future
        assert address == tree or after.st_mtime_ns == before, "what was seen of it when it was verified still holds"


def test_deleting_waits_for_whoever_keeps(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path)
    digest = store.put_bytes(b"x")
    os.utime(store.path(digest), (1, 1))
    freed: list[int] = []
    deleter = threading.Thread(target=lambda: freed.append(DiskArtifactStore(tmp_path).delete(digest)))
    with store._layout.locked():
        deleter.start()
        deleter.join(0.3)
        assert deleter.is_alive()
        assert store.keep(digest)
    deleter.join()
    assert freed == [0]
    assert store.get_bytes(digest) == b"x"


DELETER = """
    import sys
    from pathlib import Path
    from penstock.stores.artifacts.disk import DiskArtifactStore

    store = DiskArtifactStore(Path(sys.argv[1]))
    for digest in sys.stdin.read().split():
        store.delete(digest, unused_ms=0)
        print(digest, flush=True)
"""


def test_a_deletion_killed_at_any_moment_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "artifacts"
    program = tmp_path / "deleter.py"
    program.write_text(textwrap.dedent(DELETER))
    store, chance = DiskArtifactStore(root), random.Random(20_13)
    kept = store.put_path(make_folder(tmp_path / "kept", {f"in/{n}": b"shared %d" % n for n in range(8)}))[0]
    for turn in range(8):
        folders = []
        for number in range(4):
            content = {f"in/{n}": b"%d %d %d" % (turn, number, n) for n in range(8)}
            folders.append(make_folder(tmp_path / f"{turn}-{number}", {**content, "shared": b"shared 1"}))
        doomed = [store.put_path(folder)[0] for folder in folders]
        command = [sys.executable, str(program), str(root)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as deleter:
            assert deleter.stdin is not None
            assert deleter.stdout is not None
            deleter.stdin.write("\n".join(doomed))
            deleter.stdin.close()
            for _ in range(chance.randint(0, 3)):
                deleter.stdout.readline()
            time.sleep(chance.random() * 0.003)  # the moment of the kill, not a wait for anything
            deleter.kill()
        assert_whole(root)
        assert len(read_folder(store.path(kept))) == 9
        again = chance.randrange(4)
        assert store.put_path(folders[again])[0] == doomed[again], "and can be stored again"
    # What the dead left behind has no name, harms nobody, and is cleaned away once it is old.
    future = time.time() + ABANDONED_AFTER_S + 60
    monkeypatch.setattr(time, "time", lambda: future)
    DiskArtifactStore(root).put_bytes(b"after")
    assert unfinished(root) == []
    for digest in list(store.digests()):
        store.delete(digest, unused_ms=0)
    assert addresses(root) == []


# -- a disk that says no
# ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB that can be filled and turned read-only."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        required(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(folder: Path, *, leave_bytes: int) -> Path:
    """Take all space but about `leave_bytes`; removing the file gives it back."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(b"\1" * (free - leave_bytes))
    return ballast


def test_a_full_disk_is_named_and_leaves_nothing_half(small_disk: Path, tmp_path: Path) -> None:
    root = small_disk / "artifacts"
    store = DiskArtifactStore(root)
    kept = store.put_bytes(b"kept")
    ballast = fill(small_disk, leave_bytes=1 << 20)
    source = tmp_path / "source"
    source.write_bytes(LARGE[: 5 << 20])
    folder = make_folder(tmp_path / "folder", {"a": LARGE[: 5 << 20]})
    for write in (
        lambda: store.put_bytes(LARGE),
        lambda: store.put_path(source),
        lambda: store.put_path(folder, move=True),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            write()
        assert str(root) in caught.value.message
        assert "no space is left" in caught.value.message
        assert "free)" in caught.value.message
        assert "Free space there" in caught.value.fix
        assert unfinished(root) == []
        assert assert_whole(root) == 1
    assert (folder / "a").exists()
    with pytest.raises(StoreUnavailable, match="cannot write an artifact to"):
        DiskArtifactStore(tmp_path / "other").put_bytes(LARGE[: 5 << 20])
        DiskArtifactStore(tmp_path / "other").materialize(digest_of_bytes(LARGE[: 5 << 20]), small_disk / "out")
    assert sorted(os.listdir(small_disk)) == ["artifacts", "ballast"]
    ballast.unlink()
    assert store.get_bytes(store.put_path(source, move=True)[0]) == LARGE[: 5 << 20]
    assert not source.exists()  # from another file system: copied, then removed
    assert store.get_bytes(kept) == b"kept"


def test_storing_again_needs_no_space(small_disk: Path, tmp_path: Path) -> None:
    store = DiskArtifactStore(small_disk / "artifacts")
    source = tmp_path / "source"
    source.write_bytes(LARGE[: 5 << 20])
    first = store.put_path(source)
    assert DiskArtifactStore(small_disk / "artifacts").put_path(source) == first
    assert store.put_bytes(LARGE[: 5 << 20]) == first[0]


def test_a_read_only_disk_is_named_and_still_read(small_disk: Path, tmp_path: Path) -> None:
    root = small_disk / "artifacts"
    folder = make_folder(tmp_path / "folder", {"a": b"1"})
    digest, tree = DiskArtifactStore(root).put_bytes(b"kept"), DiskArtifactStore(root).put_path(folder)[0]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    store = DiskArtifactStore(root)
    assert store.get_bytes(digest) == b"kept"
    assert store.put_bytes(b"kept") == digest
    assert store.put_path(folder)[0] == tree
    store.materialize(tree, tmp_path / "target")
    with pytest.raises(StoreUnavailable) as caught:
        store.put_bytes(b"new")
    assert "read-only" in caught.value.message
    assert str(root) in caught.value.message
    assert caught.value.fix
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert store.get_bytes(store.put_bytes(b"new")) == b"new"


def test_a_corrupt_file_on_a_read_only_disk_is_named(small_disk: Path) -> None:
    root = small_disk / "artifacts"
    digest = DiskArtifactStore(root).put_bytes(b"kept")
    path = DiskArtifactStore(root).path(digest)
    path.chmod(0o600)
    path.write_bytes(b"Kept")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt, match="could not be moved aside"):
            DiskArtifactStore(root).get_bytes(digest)


@contextmanager
def as_another_user() -> Iterator[None]:
    """The rights of nobody in particular, for the thread's file system calls."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_of_somebody_else_is_named(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    digest = DiskArtifactStore(root).put_bytes(b"kept")
    root.chmod(0o000)
    try:
        with as_another_user():
            store = DiskArtifactStore(root)
            for call in (lambda: store.put_bytes(b"new"), lambda: store.get_bytes(digest)):
                with pytest.raises(StoreUnavailable) as caught:
                    call()
                assert "permission is denied" in caught.value.message
                assert "mode" in caught.value.message
                assert "owner" in caught.value.fix
    finally:
        root.chmod(0o700)
    assert DiskArtifactStore(root).get_bytes(digest) == b"kept"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_only_synchronising_says_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A disk may take the bytes and fail when they are synchronised, also in the second thread of a large file."""
    store: ArtifactStore = DiskArtifactStore(tmp_path / "artifacts")
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"small")
    large.write_bytes(LARGE)

    def refuse(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(StoreUnavailable, match="cannot store an artifact in"):
            store.put_bytes(b"small")
        for source in (small, large):
            for move in (False, True):
                with pytest.raises(StoreUnavailable, match="cannot store an artifact in"):
                    store.put_path(source, move=move)
    assert addresses(tmp_path / "artifacts") == []
    assert unfinished(tmp_path / "artifacts") == []
    assert (small.read_bytes(), large.read_bytes()) == (b"small", LARGE)
    assert store.get_bytes(store.put_path(large, move=True)[0]) == LARGE


def test_a_copy_shares_blocks_where_the_file_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the kernel offers (shared blocks, copying by itself, neither), the copy is whole."""
    store = DiskArtifactStore(tmp_path / "artifacts")
    digest = store.put_bytes(LARGE)
    store.materialize(digest, tmp_path / "by-kernel")

    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    store.materialize(digest, tmp_path / "by-hand")
    assert (tmp_path / "by-kernel").read_bytes() == (tmp_path / "by-hand").read_bytes() == LARGE
