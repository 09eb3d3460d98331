"""Checkpoint folders (semantics 21): where a task keeps what it has come to, so that a later attempt goes on from there.
A folder below the state folder belongs to one address, a cache key, or a run and a path for a task run without one; it
outlives attempts, runs and SIGKILL, and goes when an attempt has succeeded.

Nothing here says what is in a folder. Two attempts never have one at the same time: whoever has it holds a lock on it,
which ends with its process."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.base.digests import digest_of_bytes

CHECKPOINTS = "checkpoints"
"""The name of their folder in the state folder."""

PARTIAL = ".partial-"
GONE = ".gone-"


def folder_name(address: str) -> str:
    """The name of the folder of an address: a key is its own name."""
    return address if re.fullmatch("[0-9a-f]{64}", address) else digest_of_bytes(address.encode())


class Checkpoint:
    """The checkpoint folder of one attempt: made, and taken, when it is first asked for."""

    def __init__(self, root: Path, address: str) -> None:
        self._place = root / folder_name(address)
        self._guard = threading.Lock()
        self._held = -1

    def folder(self) -> Path:
        """The folder, this attempt's alone until `release`. Waits while another attempt has it. Raises OSError."""
        with self._guard:
            if self._held < 0:
                self._held = _taken(self._place)
                for left in self._place.glob(f"{PARTIAL}*"):
                    left.unlink(missing_ok=True)  # its writer was killed
        return self._place

    def owns(self, path: Path) -> bool:
        """Whether a path lies in the folder while this attempt has it."""
        return self._held >= 0 and path.is_relative_to(self._place.resolve())

    def take_over(self) -> None:
        """Have the folder that a process of this attempt, which has ended, has made; nothing where there is none."""
        if self._place.is_dir():
            self.folder()

    def release(self, *, remove: bool) -> None:
        """Let another attempt have the folder; `remove`: nobody needs what is in it any more."""
        held, self._held = self._held, -1
        if held < 0:
            return
        if remove:
            _remove(self._place)
        _let_go(held)


def reclaim(root: Path, living: Collection[str], *, dry_run: bool) -> int:
    """Remove the folders whose addresses are not among the living, unless an attempt has one now. How many bytes."""
    freed = 0
    names = {folder_name(address) for address in living}
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        if place.name in names:
            continue
        with suppress(OSError):
            held = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                freed += sum(one.lstat().st_size for one in place.rglob("*") if not one.is_dir())
                if not dry_run:
                    _remove(place)
            finally:
                _let_go(held)
    return freed


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write a file to that takes the place of `path` when the block has ended, durably and all at once: after a
    kill there is the old file or the new one. An exception leaves the old one."""
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _taken(place: Path) -> int:
    """A descriptor of the folder that holds its lock."""
    while True:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            held = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # the attempt that had it has just succeeded
        try:
            _lock(held)
            if _is_at(held, place):
                return held
        except BaseException:
            _let_go(held)
            raise
        _let_go(held)


def _lock(held: int) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("penstock: another attempt has this checkpoint folder: waiting until it ends\n")
        fcntl.flock(held, fcntl.LOCK_EX)


def _is_at(held: int, place: Path) -> bool:
    """Whether the folder that was locked still has its name."""
    try:
        return os.path.samestat(os.fstat(held), os.stat(place))
    except FileNotFoundError:
        return False


def _let_go(held: int) -> None:
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_UN)  # forks of the task's own may have the descriptor, too
    os.close(held)


def _remove(place: Path) -> None:
    """All at once, as others see it: a removal that is interrupted must not leave half a checkpoint."""
    doomed = place.with_name(f"{GONE}{os.getpid()}-{place.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    with suppress(FileNotFoundError):
        os.rename(place, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _sync(path: Path) -> None:
    held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
