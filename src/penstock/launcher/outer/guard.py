"""Holds one worker's attempts to their declared limits of memory and disk: the part of the keeper that looks, notes what it
saw in the worker's slot, and says when to kill.

An attempt that has passed its memory limit is lost, and is still given a moment to write down where it stands: it gets
`TELL`, whose handler is in `telling`, and is killed as soon as it has told, as it comes near a fifth more than its limit,
or after `TELL_S`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from penstock.launcher.outer.groups import Group
from penstock.launcher.outer.slot import Slot, Verdict
from penstock.launcher.outer.watching import LOOK_MIN_S, LOOK_S, Births, DiskUse, Tree, look_again_s

TELL = int(getattr(signal, "SIGRTMAX", signal.SIGUSR2)) - 7
"""The signal that asks a process for its frames. Nobody else is known to use it."""

TELL_S = 0.03
TELL_S_MIN = 0.003
"""So long it has in any case: for the stacks of its threads that is enough, if it comes to run at all."""

KILL_AT = 1.12
"""The part of its limit at which an attempt is killed whatever it has told."""

NEVER = float("inf")


class Guard:
    """Of one worker. `scratch` is the folder of all scratch folders."""

    def __init__(self, slot: Slot, pid: int, *, scratch: str, births: Births) -> None:
        self._slot = slot
        self._pid = pid
        self._tree = Tree(pid, births)
        self._disk = DiskUse(scratch, pid)
        self._memory_max = self._disk_max = 0
        self._memory_at = self._disk_at = NEVER
        self._doomed_at = NEVER
        """When an attempt that has passed its memory limit is killed at the latest."""
        self.sequence = 0

    @property
    def due(self) -> float:
        """When to look next, on the monotonic clock."""
        return min(self._memory_at, self._disk_at)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the attempt, as the last look found them."""
        return self._tree.pids

    def attend(self, now: float) -> None:
        """Watch what the worker is at, from now on."""
        begun = self._slot.begun()
        if begun is None:
            self._memory_at = self._disk_at = self._doomed_at = NEVER
            self._tree.close()
        elif begun.sequence != self.sequence or self.due == NEVER:
            self.sequence = begun.sequence
            self._doomed_at = NEVER
            self._memory_max, self._disk_max = self._slot.limits()
            ran_s = time.time() - begun.started_at / 1000
            self._memory_at = now if self._memory_max else now + max(0.0, LOOK_S - ran_s)
            self._disk_at = now if self._disk_max else NEVER

    def look(self, now: float, *, early_s: float = 0.0) -> bool:
        """Look at what is due, or will be within `early_s`; whether the attempt is to be killed. Why it is, stands in the slot
        before this returns."""
        begun = self._slot.begun()
        if begun is None or begun.sequence != self.sequence:
            self.attend(now)
            return False
        kill = now + early_s >= self._memory_at and self._look_at_memory(now)
        return (now + early_s >= self._disk_at and self._look_at_disk(now)) or kill

    def ended(self, group: Group | None) -> None:
        """The worker has gone. What is left in its group goes too, and a limit that the kernel held is noted."""
        self._tree.close()
        if group is None:
            return
        begun = self._slot.begun()
        if begun is not None and group.has_killed() and self._slot.verdict_of(begun.sequence) is None:
            limit, _ = self._slot.limits()
            if limit:
                self.sequence = begun.sequence
                self._judge("kernel", max(limit, self._slot.peak_of(begun.sequence)), limit)
        group.remove()

    def _look_at_memory(self, now: float) -> bool:
        used, limit = self._tree.memory_bytes(), self._memory_max
        self._slot.saw_memory(self.sequence, used)
        self._memory_at = now + look_again_s(used, limit, processes=len(self._tree.pids))
        if self._doomed_at == NEVER:
            if not limit or used <= limit:
                return False
            self._judge("memory", used, limit)
            self._doomed_at = now + TELL_S
            self._ask()
        self._memory_at = now + LOOK_MIN_S
        if self._slot.has_told(self.sequence) or now >= self._doomed_at:
            return True
        return used > limit * KILL_AT and now >= self._doomed_at - TELL_S + TELL_S_MIN

    def _look_at_disk(self, now: float) -> bool:
        used = self._disk.advance()
        self._disk_at = now + self._disk.look_again_s(used, self._disk_max)
        if used is not None:
            self._slot.saw_disk(self.sequence, used)
            if used > self._disk_max:
                self._judge("disk", used, self._disk_max)
                return True
        return False

    def _judge(self, kind: str, used: int, limit: int) -> None:
        self._slot.judge(self.sequence, Verdict(kind, used, limit, time.time_ns() // 1_000_000))

    def _ask(self) -> None:
        """Ask the worker for its frames, and whoever has the most memory, if that is a fork of it."""
        for pid in {self._pid, self._tree.largest}:
            if catches(pid, TELL):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, TELL)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, which would end it otherwise."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except OSError:
        pass
    return False
