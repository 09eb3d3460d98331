"""What the slot of a dead worker says of the attempt that it was at: used, and ended for which limit. Whoever finds the
worker gone judges by it: its executor, or that of a later controller."""

from __future__ import annotations

from pathlib import Path

from penstock.base.sizes import size_text
from penstock.launcher.outer.slot import Slot
from penstock.launcher.outer.telling import told
from penstock.wire import Failed, Failure, OutOfMemory, Usage

DISK_FAILURE = "DiskLimitPassed"


def usage_of(slot: Slot, sequence: int) -> Usage:
    """What was seen of an attempt from outside."""
    return Usage(0.0, slot.peak_of(sequence), disk_bytes_peak=slot.disk_peak_of(sequence))


def judged(folder: Path, number: int, slot: Slot, sequence: int) -> OutOfMemory | Failed | None:
    """The outcome of an attempt that was killed for a limit; None: it was not. `folder` is the incarnation's."""
    verdict = slot.verdict_of(sequence)
    if verdict is None:
        return None
    used, limit = max(verdict.used_bytes, slot.peak_of(sequence)), verdict.limit_bytes
    if verdict.kind == "disk":
        return over_disk(verdict.used_bytes, limit)
    why = f"it took {size_text(used)} of memory, its limit is {size_text(limit)}"
    if verdict.kind == "kernel":
        why = f"the kernel killed it at its limit of memory, {size_text(limit)}"
    return OutOfMemory(why, used, limit, verdict.at, told(folder, number, sequence))


def over_disk(used_bytes: int, limit_bytes: int) -> Failed:
    """It is not tried again: it would write as much."""
    message = (
        f"it wrote {size_text(used_bytes)} below its scratch folder, its limit is {size_text(limit_bytes)} (disk=)"
    )
    return Failed(Failure(DISK_FAILURE, message, (DISK_FAILURE, "Exception")), final=True)
