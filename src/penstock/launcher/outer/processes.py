"""What the operating system knows of processes: who descends from whom, when a process began, how to end a whole
tree.

Linux is whole. Elsewhere there is no subreaper and no /proc: a tree is then a worker and what stays in its process
group."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

ADOPTED_S = 5.0
"""How long a new worker waits until the keeper is its parent."""

OOM_SCORE = 500

MARK = "PENSTOCK_INCARNATION"
"""Set in the environment of the keeper and so of everything that descends from it."""


def _prctl(option: int, argument: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_subreaper() -> None:
    """From here on, orphans among this process's descendants become its children, instead of init's."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def stop_being_subreaper() -> None:
    """Undo `become_subreaper`."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 0)


def die_with_parent(parent_pid: int) -> None:
    """SIGKILL for this process when its parent ends. Ends it now where the parent has already gone. A process that has just
    been orphaned waits until that parent has adopted it."""
    until = time.monotonic() + ADOPTED_S
    while os.getppid() != parent_pid and time.monotonic() < until and os.getppid() != 1:
        time.sleep(0.0002)
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def children_of(pid: int) -> list[int]:
    """The children of a process's threads, zombies among them; none for a process that has gone."""
    pids: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                pids.extend(map(int, file.read().split()))
    except (FileNotFoundError, ProcessLookupError):
        if LINUX and pid == os.getpid():
            return _children_by_parent(pid)
    return pids


def _children_by_parent(pid: int) -> list[int]:
    """For kernels without `children` files: every process whose parent is `pid`."""
    pids = []
    for name in os.listdir("/proc"):
        fields = stat_fields(int(name)) if name.isdigit() else None
        if fields is not None and int(fields[1]) == pid:
            pids.append(int(name))
    return pids


def descendants_of(pid: int) -> list[int]:
    found: list[int] = []
    heads = [pid]
    while heads:
        children = [child for head in heads for child in children_of(head) if child not in found]
        found.extend(children)
        heads = children
    return found


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def parent_of(pid: int) -> int | None:
    """The parent of a process; None when there is none, or nobody can say."""
    fields = stat_fields(pid)
    return None if fields is None else int(fields[1])


def started_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 when there is none, or it is a zombie, or nobody can say."""
    fields = stat_fields(pid)
    return 0 if fields is None or fields[0] in "ZX" else int(fields[19])


def holder_of_lock(path: Path) -> tuple[int, bool] | None:
    """The process that has the flock of a file, and whether it is stopped; None: nobody can say. See proc_locks(5)."""
    try:
        inode = path.stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return None
    for fields in locks:
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            state = stat_fields(int(fields[4]))
            if state is not None and int(fields[4]) > 0:
                return int(fields[4]), state[0] in "Tt"
    return None


def boot_id() -> str:
    """Which start of the machine this is; "" where nobody can say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def memory_bytes(pid: int) -> int:
    """RssAnon + RssShmem of one process (semantics 29); 0 when it has gone."""
    total = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    total += int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when a process ends; None where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def kill(pid: int) -> bool:
    """SIGKILL; whether there was somebody to take it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def has_children() -> bool:
    """Whether this process has any child, running or not yet reaped: about a microsecond, and certain, which the
    lists of children in /proc are not while some of them are ending."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def kill_children(*, besides: Collection[int] = (), patience_s: float = 5.0) -> int:
    """Kill and reap this process's children but for some, and as a subreaper also everything below them: what a dead
    child leaves behind becomes a child in turn. How many were killed. Gives up after `patience_s` on what doesn't
    die."""
    killed: set[int] = set()
    until = time.monotonic() + patience_s
    while True:
        left = [pid for pid in children_of(os.getpid()) if pid not in besides]
        if time.monotonic() > until or (not left and (besides or not has_children())):
            return len(killed)
        for pid in left:
            if pid not in killed and started_ticks(pid) and kill(pid):
                killed.add(pid)
        for pid in left:
            try:
                gone, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if not gone:
                time.sleep(0.0005)


def marked_processes(mark: str) -> list[int]:
    """Every process on this machine that descends from the keeper of an incarnation, as its environment tells.
    Zombies are not among them. None where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    pids: list[int] = []
    if not LINUX:
        return pids
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                found = wanted in file.read().split(b"\0")
        except OSError:
            continue
        if found:
            pids.append(int(name))
    return pids


def kill_marked(mark: str, *, patience_s: float = 5.0) -> bool:
    """Kill every process of an incarnation; whether none is left."""
    until = time.monotonic() + patience_s
    while pids := marked_processes(mark):
        for pid in pids:
            kill(pid)
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def become_worker(keeper_pid: int) -> None:
    """Be a process that ends with the keeper, whose orphans are its own, and that the kernel ends before the keeper."""
    die_with_parent(keeper_pid)
    os.setsid()  # a signal that user code sends to its own group reaches nobody else
    become_subreaper()
    _volunteer_for_oom()


def _volunteer_for_oom() -> None:
    """Where memory runs out, the kernel is to end an attempt rather than the controller or the keeper."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
        if int(file.read()) < OOM_SCORE:
            file.write(str(OOM_SCORE))
