"""Where content is written before it has its name: files and folders that nobody reads, in the file system of the
store, so that giving them their name is one atomic rename. Whoever writes one holds a lock on it; what is left of a
process that died is locked by nobody and is cleaned away once it is old."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Longer than anyone takes between making a file here and locking it; short enough to give a full disk back soon.
ABANDONED_AFTER_S = 600


class Partial:
    """The folder for unfinished content of one store."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def place(self) -> str:
        """A new path in here; nothing is made."""
        return os.path.join(self.folder, os.urandom(8).hex())

    @contextmanager
    def file(self) -> Iterator[tuple[int, str]]:
        """A new, empty, private file: (descriptor, path). It is gone afterwards unless it was renamed."""
        path = self.place()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd)
            yield fd, path
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(fd)

    @contextmanager
    def tree(self) -> Iterator[str]:
        """A new, empty, private folder. It is gone afterwards unless it was renamed."""
        path = self.place()
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(fd)
            yield path
        finally:
            os.close(fd)
            shutil.rmtree(path, ignore_errors=True)

    def clean(self) -> None:
        """Remove what dead writers left behind. Whatever cannot be removed now is left for the next time."""
        with suppress(OSError), os.scandir(self.folder) as children:
            for child in children:
                with suppress(OSError):
                    status = child.stat(follow_symlinks=False)
                    # The clock may have jumped: the lock is what keeps a living writer safe.
                    if time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED_AFTER_S:
                        _remove_unlocked(child.path, is_folder=child.is_dir(follow_symlinks=False))


def _lock(fd: int) -> None:
    # A file system without locks leaves the age of a file as the only sign.
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_unlocked(path: str, *, is_folder: bool) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    finally:
        os.close(fd)
