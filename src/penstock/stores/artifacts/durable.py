"""What makes a write on a local file system whole and lasting: synchronisation, copying, and the meaning of its errors.
Knows file systems and nothing of artifacts."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.base.errors import StoreUnavailable
from penstock.base.sizes import size_text

_FICLONE = 0x40049409  # linux/fs.h: make one file share another's blocks until either is written to
_COPY_BYTES = 1 << 20
_COPY_RANGE_BYTES = 64 << 20  # small enough that a signal is answered soon
_CANNOT_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EBADF)
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def sync(fd: int) -> None:
    """All of an open file or folder is on the disk when this returns (on macOS `fsync` alone stops at the disk's
    cache)."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(fd, _FULL_SYNC)
    else:
        os.fsync(fd)


def sync_folder(path: str) -> None:
    """The names in a folder are on the disk when this returns."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_while(fd: int, work: Callable[[], str]) -> str:
    """Synchronise an open file in a second thread while `work` runs here; answers what `work` does. Raises what either
    raises: a full disk may say so only when it is synchronised."""
    raised: list[OSError] = []

    def synchronise() -> None:
        try:
            sync(fd)
        except OSError as error:
            raised.append(error)

    thread = threading.Thread(target=synchronise, name="penstock-sync")
    thread.start()
    try:
        answer = work()
    finally:
        thread.join()
    if raised:
        raise raised[0]
    return answer


def write_all(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def copy_content(source_fd: int, target_fd: int) -> None:
    """Give an empty open file the content of another: shared blocks where the file system can, else a copy. Never a
    link: the two files are apart."""
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
        return
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source_fd, target_fd, _COPY_RANGE_BYTES):
                pass
        except OSError as error:
            if error.errno not in _CANNOT_CLONE:
                raise
    # What is left: everything where the kernel copies nothing by itself, no bytes where it did.
    offset = os.lseek(target_fd, 0, os.SEEK_CUR)
    while block := os.pread(source_fd, _COPY_BYTES, offset):
        write_all(target_fd, block)
        offset += len(block)


@contextmanager
def explained(doing: str, place: str | Path, *, needs_bytes: int = 0) -> Iterator[None]:
    """Turn an OSError inside into `StoreUnavailable` that says what could not be done, where, why, and what to do."""
    try:
        yield
    except OSError as error:
        raise _unavailable(error, doing=doing, place=str(place), needs_bytes=needs_bytes) from error


def _unavailable(error: OSError, *, doing: str, place: str, needs_bytes: int) -> StoreUnavailable:
    match error.errno:
        case errno.ENOSPC:
            why = f"no space is left on its file system{_space(place, needs_bytes)}"
            fix = (
                "Free space there, or point the state folder at another file system; then give the same command again."
            )
        case errno.EDQUOT:
            why = "the disk quota is used up"
            fix = "Free space there or have the quota raised; then give the same command again."
        case errno.EROFS:
            why = "its file system is read-only"
            fix = "Make it writable (a file system turns read-only after a disk error, too), or move the state folder."
        case errno.EACCES | errno.EPERM:
            named = error.filename if isinstance(error.filename, str) else place
            why = f"permission is denied for {named} ({_owner(named)}, this process is user {os.geteuid()})"
            fix = "Give this user the right to read and write there, or run as the folder's owner."
        case errno.EMFILE | errno.ENFILE:
            why = "too many files are open"
            fix = "Raise the limit on open files (`ulimit -n`), or close files in the task."
        case _:
            why = f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, 'no error number')})"
            fix = "Look at the file system there; then give the same command again."
    return StoreUnavailable(f"cannot {doing} {place}: {why}", fix=fix)


def _space(place: str, needs_bytes: int) -> str:
    try:
        usage = os.statvfs(_existing(place))
    except OSError:
        return ""
    needs = f"{size_text(needs_bytes)} wanted, " if needs_bytes else ""
    return f" ({needs}{size_text(usage.f_bavail * usage.f_frsize)} free)"


def _owner(place: str) -> str:
    try:
        status = os.stat(_existing(place))
    except OSError:
        return "unreadable"
    return f"owner {status.st_uid}, mode {status.st_mode & 0o7777:o}"


def _existing(place: str) -> str:
    """The nearest folder above that exists."""
    while not os.path.exists(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return place
