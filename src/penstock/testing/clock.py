"""Time that a test decides. It goes on only when told to, and what it shows may jump both ways while it does."""

from __future__ import annotations

from penstock.base.instants import Instant

EPOCH_MS = 1_800_000_000_000


class FakeClock:
    """Two readings of one time: `elapsed_ms` only grows, as the world does; `now()` is the wall clock, which may be
    set."""

    __slots__ = ("_offset_ms", "elapsed_ms")

    def __init__(self, start: int = EPOCH_MS) -> None:
        self.elapsed_ms = 0
        self._offset_ms = start

    def now(self) -> Instant:
        return Instant(self._offset_ms + self.elapsed_ms)

    def advance(self, ms: int) -> None:
        """Let time pass."""
        assert ms >= 0, f"time passes forwards, not by {ms} ms"
        self.elapsed_ms += ms

    def jump(self, ms: int) -> None:
        """Set the wall clock forwards or back; no time passes."""
        self._offset_ms += ms

    def set(self, now: int) -> None:
        self._offset_ms = now - self.elapsed_ms
