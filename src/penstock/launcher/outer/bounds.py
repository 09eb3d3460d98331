"""A worker's own part in the limits of its attempts: it notes them in its slot before anything of an attempt happens, calls
the keeper's attention, and adds what was seen from outside to what an attempt reports."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from penstock.launcher.outer.groups import Group
from penstock.launcher.outer.judged import usage_of
from penstock.launcher.outer.slot import Slot
from penstock.launcher.outer.telling import Telling
from penstock.launcher.outer.threads import limit_threads
from penstock.wire import AttemptRequest, Outcome, OutOfMemory, Usage


class Bounds:
    """Of one worker. `poker` is a pipe that the keeper reads; `group` the worker's own control group, if there is one."""

    def __init__(self, folder: str, number: int, slot: Slot, *, poker: int, group: Group | None) -> None:
        self._slot = slot
        self._poker = poker
        self._group = group
        self._telling = Telling(folder, number, slot)

    def begin(self, request: AttemptRequest, *, started_at: int, log_offset: int) -> int:
        """Note an attempt and hold it to its limits from here on; its sequence number."""
        memory, disk = request.memory_bytes_max or 0, request.disk_bytes_max or 0
        if memory:
            self._telling.listen()  # first: from its slot on it may be asked
        if self._group is not None:
            self._group.limit(memory_bytes_max=memory, cpu_thousandths=request.amounts.get("cpu", 0))
        limit_threads(request.amounts)
        sequence = self._slot.begin(
            request.attempt_id.encode(),
            started_at=started_at,
            log_offset=log_offset,
            memory_bytes_max=memory,
            disk_bytes_max=disk,
        )
        if memory or disk:
            os.write(self._poker, b"!")
        return sequence

    def usage(self, usage: Usage, sequence: int) -> Usage:
        """What the launcher has measured, and what was seen from outside."""
        seen = usage_of(self._slot, sequence)
        return replace(
            usage,
            memory_bytes_peak=max(usage.memory_bytes_peak, seen.memory_bytes_peak),
            disk_bytes_peak=max(usage.disk_bytes_peak, seen.disk_bytes_peak),
        )

    def outcome(self, outcome: Outcome, sequence: int) -> Outcome:
        """An end for want of memory says how much was seen and allowed, and when."""
        if not isinstance(outcome, OutOfMemory) or outcome.at:
            return outcome
        peak, limit = self._slot.peak_of(sequence), self._slot.limits()[0]
        return replace(outcome, peak_bytes=peak, limit_bytes=limit, at=time.time_ns() // 1_000_000)
