"""A worker's slot: 8 KiB of shared memory, backed by a file, in which a worker notes the attempt that it is about to
begin, and its limits. It outlives SIGKILL of every process, so whoever reads it afterwards can tell what was begun. The
keeper notes beside it which attempt is to stop, how much of memory and disk was seen, and which limit it was killed for;
the worker reads that.

One writer per field; a reader of a living worker's slot may see it change and then asks again."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SLOT_BYTES = 8192
ATTEMPT_ID_BYTES_MAX = 4000

_BEGUN = struct.Struct("<QIIQQ")
"""sequence, state, length of the id, started at (ms since the epoch), offset in the log; at 0."""
_STATE = struct.Struct("<I")
_STATE_AT = 8
_RECORDED = struct.Struct("<Q")
_RECORDED_AT = 32
_LIMITS = struct.Struct("<QQ")
"""Declared limits of memory and disk in bytes, 0 for none; of the attempt noted at 0."""
_LIMITS_AT = 40
_TOLD = struct.Struct("<Q")
"""Sequence number of the attempt whose frames the worker has written down."""
_TOLD_AT = 56
_ID_AT = 64
_STAGE = struct.Struct("<I")
_STAGE_AT = 4088
_STOP = struct.Struct("<Q")
_STOP_AT = 4096
_PEAK = struct.Struct("<QQ")
_PEAK_AT = 4104
_DISK_AT = 4120
_VERDICT = struct.Struct("<QQQQQ")
"""sequence, index in `VERDICTS`, used, limit, at (ms since the epoch)."""
_VERDICT_AT = 4136

VERDICTS = ("", "memory", "disk", "kernel")

_IDLE, _RUNNING = 0, 1


class Stage(IntEnum):
    """What a worker is doing between attempts. Whoever is in `WAITING` or `TAKEN` may have a request that its slot does
    not show yet; nobody else may."""

    STARTING = 0
    WAITING = 1
    """It asks its pool's socket for a request."""
    TAKEN = 2
    """It has one, and has not begun it."""
    BUSY = 3
    """It is at an attempt, or at what follows one."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a worker is at: its `sequence`-th attempt. `log_offset` is where that attempt's text begins."""

    sequence: int
    attempt_id: str
    started_at: int
    log_offset: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit was passed, and the attempt is ended for it: `kind` is "memory", "disk", or "kernel" where it was the
    kernel that ended it for its memory; amounts are bytes, `at` ms since the epoch."""

    kind: str
    used_bytes: int
    limit_bytes: int
    at: int


class Slot:
    """One mapped slot file."""

    __slots__ = ("_map", "_sequence")

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        """Map the file; `create` makes it, with its room on disk taken now. Raises OSError, also when the disk is
        full: writing to a mapped file without room would kill the process instead."""
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            if create and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, SLOT_BYTES)
            elif create:
                os.write(fd, bytes(SLOT_BYTES))
            self._map = mmap.mmap(fd, SLOT_BYTES)
        except OSError:
            if create:
                os.unlink(path)
            raise
        finally:
            os.close(fd)
        self._sequence: int = _BEGUN.unpack_from(self._map, 0)[0]

    def close(self) -> None:
        self._map.close()

    # the worker's side

    def begin(
        self, attempt_id: bytes, *, started_at: int, log_offset: int, memory_bytes_max: int = 0, disk_bytes_max: int = 0
    ) -> int:
        """Note an attempt before anything of it happens; its sequence number."""
        self._sequence += 1
        _STATE.pack_into(self._map, _STATE_AT, _IDLE)
        _LIMITS.pack_into(self._map, _LIMITS_AT, memory_bytes_max, disk_bytes_max)
        self._map[_ID_AT : _ID_AT + len(attempt_id)] = attempt_id
        _BEGUN.pack_into(self._map, 0, self._sequence, _IDLE, len(attempt_id), started_at, log_offset)
        _STATE.pack_into(self._map, _STATE_AT, _RUNNING)
        self.enter(Stage.BUSY)  # last: a reader sees the attempt, or sees that there may be one
        return self._sequence

    def enter(self, stage: Stage) -> None:
        _STAGE.pack_into(self._map, _STAGE_AT, stage)

    def end(self, recorded_bytes: int) -> None:
        """The attempt's outcome is recorded; the file of records is that long now."""
        _RECORDED.pack_into(self._map, _RECORDED_AT, recorded_bytes)
        _STATE.pack_into(self._map, _STATE_AT, _IDLE)

    def is_to_stop(self) -> bool:
        """Whether the attempt noted here was asked to stop."""
        sequence: int = _STOP.unpack_from(self._map, _STOP_AT)[0]
        return sequence == self._sequence

    def tell(self) -> None:
        """The frames of the attempt noted here are written down."""
        _TOLD.pack_into(self._map, _TOLD_AT, self._sequence)

    # the keeper's side

    def ask_to_stop(self, sequence: int) -> None:
        _STOP.pack_into(self._map, _STOP_AT, sequence)

    def saw_memory(self, sequence: int, used_bytes: int) -> None:
        """Keep the largest amount seen for the attempt of that sequence number."""
        self._saw(_PEAK_AT, sequence, used_bytes)

    def saw_disk(self, sequence: int, used_bytes: int) -> None:
        """The same of what lies below its scratch folder."""
        self._saw(_DISK_AT, sequence, used_bytes)

    def _saw(self, at: int, sequence: int, used_bytes: int) -> None:
        of, peak = _PEAK.unpack_from(self._map, at)
        if of != sequence or used_bytes > peak:
            _PEAK.pack_into(self._map, at, sequence, used_bytes)

    def judge(self, sequence: int, verdict: Verdict) -> None:
        """Note why the attempt of that sequence number is ended, before it is."""
        values = (VERDICTS.index(verdict.kind), verdict.used_bytes, verdict.limit_bytes, verdict.at)
        _VERDICT.pack_into(self._map, _VERDICT_AT, sequence, *values)

    def limits(self) -> tuple[int, int]:
        """Declared limits of memory and disk of the attempt that runs, in bytes; 0: none."""
        memory, disk = _LIMITS.unpack_from(self._map, _LIMITS_AT)
        return memory, disk

    def has_told(self, sequence: int) -> bool:
        told: int = _TOLD.unpack_from(self._map, _TOLD_AT)[0]
        return told == sequence

    # anybody's

    def begun(self) -> Begun | None:
        """The attempt that runs, or that ran when the worker died; None between attempts."""
        for _ in range(100):
            sequence, state, length, started_at, log_offset = _BEGUN.unpack_from(self._map, 0)
            if state != _RUNNING:
                return None
            attempt_id = self._map[_ID_AT : _ID_AT + length]
            if _BEGUN.unpack_from(self._map, 0) == (sequence, state, length, started_at, log_offset):
                return _begun(sequence, attempt_id, started_at, log_offset)
        return None

    def last(self) -> Begun | None:
        """The attempt that was begun last, whether or not it has ended."""
        for _ in range(100):
            fields = _BEGUN.unpack_from(self._map, 0)
            sequence, _, length, started_at, log_offset = fields
            attempt_id = self._map[_ID_AT : _ID_AT + length]
            if sequence and _BEGUN.unpack_from(self._map, 0)[0] == sequence:
                return _begun(sequence, attempt_id, started_at, log_offset)
        return None

    def stage(self) -> Stage:
        """To be read before `begun`: then no attempt goes unseen between the two."""
        stage: int = _STAGE.unpack_from(self._map, _STAGE_AT)[0]
        return Stage(stage) if stage <= Stage.BUSY else Stage.BUSY

    def sequence(self) -> int:
        """How many attempts were begun so far."""
        sequence: int = _BEGUN.unpack_from(self._map, 0)[0]
        return sequence

    def recorded_bytes(self) -> int:
        """How long the file of records is, as far as whole records go."""
        recorded: int = _RECORDED.unpack_from(self._map, _RECORDED_AT)[0]
        return recorded

    def peak_of(self, sequence: int) -> int:
        return self._peak(_PEAK_AT, sequence)

    def disk_peak_of(self, sequence: int) -> int:
        return self._peak(_DISK_AT, sequence)

    def verdict_of(self, sequence: int) -> Verdict | None:
        of, kind, used, limit, at = _VERDICT.unpack_from(self._map, _VERDICT_AT)
        return Verdict(VERDICTS[kind], used, limit, at) if of == sequence and 0 < kind < len(VERDICTS) else None

    def _peak(self, at: int, sequence: int) -> int:
        of, peak = _PEAK.unpack_from(self._map, at)
        return int(peak) if of == sequence else 0


def _begun(sequence: int, attempt_id: bytes, started_at: int, log_offset: int) -> Begun:
    """User code may have written to the slot's file: numbers that no worker writes count as 0."""
    started_at, log_offset = (number if number < 2**53 else 0 for number in (started_at, log_offset))
    return Begun(sequence, attempt_id.decode(errors="replace"), started_at, log_offset)
