"""What a process tree has taken of memory and disk, and when it has to be asked again.

Memory is RssAnon + RssShmem of a worker and of everything below it (semantics 29), as `/proc/PID/status` tells. The nearer
an attempt is to its limit, the sooner the next look: so far away that a tree that grows by `GROWTH_BYTES_S` per process
would by then have passed the limit by `SLACK` at most. A look costs some ten microseconds: descriptors are kept open, and
nobody looks for new processes while the kernel has given out no process number."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from penstock.launcher.outer.processes import descendants_of, memory_bytes

GROWTH_BYTES_S = 2_000_000_000
"""How fast one process is taken to grow: writing to fresh memory for the first time."""

SLACK = 0.08
"""The part of a limit by which it may be passed before the look that finds it."""

LOOK_S = 0.2
"""How long no look is put off, so that the largest amount seen means something."""

LOOK_MIN_S = 0.001
FILES_MAX = 64
"""So many files are kept open for one tree."""

DISK_LOOK_S = 0.25
DISK_COST = 100
"""A round over a scratch folder is followed by a pause this many times as long."""

DISK_SLICE_S = 0.002
"""How long one part of a round takes at most: memory is to be looked at meanwhile."""

_STATUS_BYTES = 8192
_CPUS = os.cpu_count() or 1  # asked once: the C library reads a file for it each time
_BLOCK_BYTES = 512


class Births:
    """Says whether any process or thread can have begun since: by the number that the kernel gave out last, of this
    namespace and those within it (`/proc/loadavg`, its fifth field; proc(5))."""

    def __init__(self) -> None:
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)

    def mark(self) -> bytes | None:
        """The same value twice: no process has begun in between. None: nobody can say."""
        return None if self._fd is None else os.pread(self._fd, 128, 0).rpartition(b" ")[2]

    def distrust(self) -> None:
        """A process has begun, and the mark is what it was: here it tells nothing (gVisor)."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Tree:
    """A process and its descendants."""

    def __init__(self, pid: int, births: Births) -> None:
        self._pid = pid
        self._births = births
        self._mark: bytes | None = None
        self._status_by_pid: dict[int, int | None] = {}
        """Open files of /proc; None: it is opened for each look, there being many."""
        self._alone = _Alone(pid)
        self.largest = pid
        """Who had the most memory at the last look."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Whom the last look has found."""
        return tuple(self._status_by_pid)

    def memory_bytes(self) -> int:
        """RssAnon + RssShmem of all of them; those that have gone count nothing."""
        mark = self._births.mark()
        if mark is None or mark != self._mark:
            if len(self._status_by_pid) != 1 or not self._alone.is_true():
                self._find()
            self._mark = mark
        total = most = 0
        for pid, fd in list(self._status_by_pid.items()):
            used = _memory_bytes(fd) if fd is not None else memory_bytes(pid)
            if used is None:
                self._forget(pid)
                self._mark = None  # what it leaves behind has another parent
                continue
            total += used
            if used > most:
                most, self.largest = used, pid
        return total

    def close(self) -> None:
        for pid in self.pids:
            self._forget(pid)
        self._alone.close()
        self._mark = None

    def _find(self) -> None:
        found = [self._pid, *descendants_of(self._pid)]
        for pid in self._status_by_pid.keys() - set(found):
            self._forget(pid)
        for pid in found:
            if pid not in self._status_by_pid:
                keep = len(self._status_by_pid) < FILES_MAX
                with suppress(OSError):
                    self._status_by_pid[pid] = _open(f"/proc/{pid}/status") if keep else None

    def _forget(self, pid: int) -> None:
        fd = self._status_by_pid.pop(pid)
        if fd is not None:
            os.close(fd)


class _Alone:
    """Whether a process has one thread and no children: asked of two files that stay open, which costs a tenth of a walk
    through /proc. The number of links of its folder of threads is two more than there are threads."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._threads = self._children = -1

    def is_true(self) -> bool:
        try:
            if self._threads < 0:
                self._threads = _open(f"/proc/{self._pid}/task")
                self._children = _open(f"/proc/{self._pid}/task/{self._pid}/children")
            return os.fstat(self._threads).st_nlink == 3 and not os.pread(self._children, 1, 0)
        except OSError:
            self.close()
            return False

    def close(self) -> None:
        for fd in (self._threads, self._children):
            if fd >= 0:
                os.close(fd)
        self._threads = self._children = -1


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _memory_bytes(status: int) -> int | None:
    """None: the process has gone, or is a zombie."""
    try:
        text = os.pread(status, _STATUS_BYTES, 0)
    except OSError:
        return None
    anonymous = text.find(b"\nRssAnon:")
    shared = text.find(b"\nRssShmem:", anonymous)
    if anonymous < 0 or shared < 0:
        return None
    return (
        int(text[anonymous + 9 : anonymous + 24].split()[0]) + int(text[shared + 10 : shared + 25].split()[0])
    ) * 1024


def look_again_s(used: int, limit: int, *, processes: int) -> float:
    """How long a tree of so many processes need not be looked at. `limit` 0: there is none."""
    if not limit:
        return LOOK_S
    room = limit * (1 + SLACK) - used
    growth = GROWTH_BYTES_S * max(1, min(processes, _CPUS))
    return min(LOOK_S, max(LOOK_MIN_S, room / growth))


class DiskUse:
    """What lies below the scratch folders, `PID-N`, of one worker. Asked in small parts: a folder of a million files takes
    seconds to go through, and its attempt is looked at the more rarely."""

    def __init__(self, scratch: str, pid: int) -> None:
        self._scratch = scratch
        self._prefix = f"{pid}-"
        self._round: Iterator[int] | None = None
        self._cost_s = 0.0

    def advance(self) -> int | None:
        """Go on with a round; the bytes on disk when it is complete."""
        began = time.monotonic()
        if self._round is None:
            self._round, self._cost_s = _sizes(self._scratch, self._prefix), 0.0
        used = 0
        for size in self._round:
            used = size
            if time.monotonic() - began > DISK_SLICE_S:
                self._cost_s += time.monotonic() - began
                return None
        self._round = None
        self._cost_s += time.monotonic() - began
        return used

    def whole(self) -> int:
        """The bytes on disk, however long it takes."""
        return max(_sizes(self._scratch, self._prefix))

    def look_again_s(self, used: int | None, limit: int) -> float:
        if used is None:
            return DISK_SLICE_S
        soon = max(0.0, (limit - used) / GROWTH_BYTES_S)
        return max(min(soon, DISK_LOOK_S), self._cost_s * DISK_COST, LOOK_MIN_S)


def _sizes(scratch: str, prefix: str) -> Iterator[int]:
    """Running totals, the last one the sum. A file with several names counts once."""
    total, seen = 0, set()
    folders = [entry.path for entry in entries_in(scratch) if entry.name.startswith(prefix)]
    while folders:
        for entry in entries_in(folders.pop()):
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if info.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    if (info.st_dev, info.st_ino) in seen:
                        continue
                    seen.add((info.st_dev, info.st_ino))
                total += info.st_blocks * _BLOCK_BYTES
            yield total
    yield total


def entries_in(folder: str) -> Iterator[os.DirEntry[str]]:
    """What a folder holds; nothing, where there is none."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return  # it has just been removed
