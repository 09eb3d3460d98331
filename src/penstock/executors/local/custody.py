"""Who may have an attempt that was given to a pool's socket and that no slot shows: decides which workers keep silent about
one, and when one may be given out again. Pure: it sees what the slots say, and does nothing about it.

An attempt that is not in the socket is with a worker that has taken it, with one that has begun it, or was with one that has
died. Only the last case gives it back, so no attempt is begun twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.launcher.outer.slot import Stage

ACKNOWLEDGED_S = 5.0
"""A living worker shows a request in its slot within this time after it could take it; one that does not is ended, and the
request is given to another worker."""

READY_S = 60.0
"""The same for a worker that has not come so far as to ask for a request: it starts, or tidies up after an attempt."""

LOOKED_S = 1.0
"""Time between two looks counts up to this much: a controller that was busy, or a host that slept, proves nothing."""

TAKES_MAX = 3
"""After so many workers that took an attempt and died or kept silent, it is lost."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a worker's slot shows: `shows` is the attempt that it is at, `sequence` how many it has begun."""

    stage: Stage
    sequence: int
    shows: str | None


def may_have(sight: Sight) -> bool:
    """Whether a worker may have a request that its slot does not show."""
    return sight.shows is None and sight.stage in (Stage.WAITING, Stage.TAKEN)


class Watch:
    """How long each worker of a pool has kept silent."""

    __slots__ = ("_looked_at", "_quiet")

    def __init__(self) -> None:
        self._quiet: dict[int, tuple[Sight, float]] = {}
        """By worker: what it shows, and for how many seconds it has shown nothing else."""
        self._looked_at: float | None = None

    def silent(self, sights: Mapping[int, Sight], *, queued: bool, missing: bool, now: float) -> list[int]:
        """The workers that have to be ended, in order. `queued`: a request is in the pool's socket; `missing`: one is neither
        there nor in any slot."""
        passed = 0.0 if self._looked_at is None else min(max(0.0, now - self._looked_at), LOOKED_S)
        self._looked_at = now
        taken = any(sight.stage is Stage.TAKEN and sight.shows is None for sight in sights.values())
        quiet: dict[int, tuple[Sight, float]] = {}
        silent = []
        for number, sight in sorted(sights.items()):
            limit = _patience(sight, queued=queued, missing=missing, taken=taken)
            if limit is None:
                continue
            before = self._quiet.get(number)
            quiet_s = before[1] + passed if before is not None and before[0] == sight else 0.0
            if quiet_s >= limit:
                silent.append(number)
                quiet_s = 0.0  # asked once more after the same time, should it not end
            quiet[number] = (sight, quiet_s)
        self._quiet = quiet
        return silent


def _patience(sight: Sight, *, queued: bool, missing: bool, taken: bool) -> float | None:
    """How many seconds a worker may show nothing new; None: for as long as it likes."""
    if sight.shows is not None or not (queued or missing):
        return None
    match sight.stage:
        case Stage.TAKEN:
            return ACKNOWLEDGED_S
        case Stage.WAITING:  # it does not read what is there; or it has read, and was stopped before it could say so
            return ACKNOWLEDGED_S if queued or not taken else None
        case Stage.STARTING | Stage.BUSY:
            return READY_S
