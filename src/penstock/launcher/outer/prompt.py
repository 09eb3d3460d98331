"""Being woken in time on a busy machine: who watches others' memory must come to a look when it is due, and takes a
millisecond of processor time in a hundred. Where it is allowed, that process goes before ordinary ones; nowhere is it
needed.

A short slice is anybody's to ask for (`sched_setattr`, EEVDF of Linux 6.12); a higher priority is the superuser's, as in
most containers."""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from penstock.launcher.outer.processes import LINUX

SLICE_NS = 100_000
NICER = 10
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES = struct.Struct("<IIQiIQQQ")
"""`struct sched_attr` in its first version: size, policy, flags, nice, priority, runtime, deadline, period."""


def go_first() -> int:
    """Have this process woken before others; the nice value that it had."""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice - NICER)
    _set_slice(SLICE_NS)
    return nice


def be_ordinary(nice: int) -> None:
    """In a fork of such a process: what it was before."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    _set_slice(0)


def _set_slice(slice_ns: int) -> None:
    number = _SCHED_SETATTR.get(os.uname().machine)
    if not LINUX or number is None:
        return
    import ctypes

    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, nice, 0, slice_ns, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # an older kernel ignores it
