"""Who holds a lease, and whether it can be proved dead or alive on this host (semantics 23); the system's clock."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from penstock.base.instants import Instant
from penstock.effects import Holder


class SystemClock:
    """The wall clock."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000_000)


def holder_of_this_process(token: str = "") -> Holder:
    """This process, named so that another on the same host can tell whether it still runs."""
    pid = os.getpid()
    return Holder(_host(), _boot_id(), pid, _process_started(pid) or 0, token)


def is_provably_dead(holder: Holder) -> bool:
    """Whether the holder cannot be running any more: same host, and either booted since or its process is gone (a
    process of the same number that started at another time is another one). Of other hosts nothing can be proved."""
    if holder.host != _host():
        return False
    if holder.boot_id != _boot_id():
        return True
    return _process_started(holder.pid) != holder.process_started


def is_provably_alive(holder: Holder) -> bool:
    """Whether the holder's process runs on this host, stopped or not: its lease holds, whatever a clock says. Of this process
    itself nothing is said: a controller that has ended may have left the lease."""
    return (
        holder.host == _host()
        and holder.boot_id == _boot_id()
        and holder.pid != os.getpid()
        and holder.process_started != 0
        and _process_started(holder.pid) == holder.process_started
    )


def _host() -> str:
    """Where process numbers mean the same: the host, and on Linux the process namespace (two containers of one name have one
    each)."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux: the boot cannot be told apart, process start times still can
        return ""


def _process_started(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (field 22 of /proc/PID/stat, see proc(5)); None: no such process, or
    one that has ended and only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _process_started_elsewhere(pid)
    return None if fields[0] in "ZX" else int(fields[19])


def _process_started_elsewhere(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.NoSuchProcess:
        return None
