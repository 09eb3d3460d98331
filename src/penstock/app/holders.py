"""Who this process is to others that find its leases, and whether a holder found in a lease is provably dead (semantics
23)."""

from __future__ import annotations

import os
import sys

from penstock.effects import Holder, Lease


def this_holder(token: str = "") -> Holder:
    """This process. `host` carries the process namespace where there is one: a pid means nothing outside it."""
    return Holder(
        host=_host(), boot_id=_boot_id(), pid=os.getpid(), process_started=_process_started(os.getpid()), token=token
    )


def proved_dead(holder: Holder) -> bool:
    """Whether the holder's process provably no longer runs: it was on this host, and the host has been booted since, or
    the pid is free or another process has it. A holder on another host is never proved dead."""
    if holder.host != _host():
        return False
    return holder.boot_id != _boot_id() or _process_started(holder.pid) != holder.process_started


def is_live(lease: Lease | None, *, now: int) -> bool:
    """Whether somebody holds this lease who may still be at work."""
    return lease is not None and lease.expires_at > now and not proved_dead(lease.holder)


def _host() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{os.uname().nodename} {namespace}".strip()


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def _process_started(pid: int) -> int:
    """Clock ticks from boot to the process's start (field 22 of /proc/PID/stat); -1: there is no such process, or it is
    only waiting to be reaped. The second field, the program's name, may hold spaces and brackets."""
    if not sys.platform.startswith("linux"):
        return _process_started_elsewhere(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def _process_started_elsewhere(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 1_000)
    except psutil.Error:
        return -1
