"""What may run at once: decides, for each attempt in turn, whether it goes to an idle worker, to a new one, ahead into
a pool's socket, or waits. Pure bookkeeping.

Whoever is idle in a pool takes the next attempt from its socket, so what a pool may use at worst is what any choice of
as many attempts as it has workers could use. That bound over all pools is what is held below the capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

Shape = tuple[tuple[str, int], ...]
"""Amounts of one attempt, sorted by name."""


class Place(Enum):
    IDLE = auto()
    """Some worker of the pool is free for it."""
    GROW = auto()
    """It may run at once, on one more worker."""
    AHEAD = auto()
    """It may stand in the socket behind those that run."""
    WAIT = auto()


@dataclass(slots=True)
class _Pool:
    workers: int = 0
    count: int = 0
    shapes: dict[Shape, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def bound(self) -> dict[str, int]:
        """The most that its workers can use at once."""
        if self.count > self.workers and len(self.shapes) == 1 and self.workers:
            shape = next(iter(self.shapes))
            return {name: amount * self.workers for name, amount in shape}
        used: dict[str, int] = {}
        for shape, times in self.shapes.items():
            for name, amount in shape:
                used[name] = used.get(name, 0) + amount * times
        return used


class Admission:
    def __init__(self, capacity: Mapping[str, int], *, workers_max: int, ahead_max: int) -> None:
        self.capacity = dict(capacity)
        self._workers_max = workers_max
        self._ahead_max = ahead_max
        self._pools: dict[str, _Pool] = {}
        self.workers = 0
        self.used: dict[str, int] = {}

    def place(self, key: str, shape: Shape) -> Place:
        """Where the next attempt of a pool may go now."""
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool()
        if pool.count < pool.workers:
            return Place.IDLE if self._fits(shape) else Place.WAIT
        if self.workers < self._workers_max and self._fits(shape):
            return Place.GROW
        alike = len(pool.shapes) == 1 and shape in pool.shapes
        if alike and pool.workers and pool.count - pool.workers < self._ahead_max and self._is_within(pool):
            return Place.AHEAD
        return Place.WAIT

    def _is_within(self, pool: _Pool) -> bool:
        """Whether a pool may go on with all its workers: its attempts stop going ahead once the capacity has shrunk,
        and are then let in as they fit."""
        used, capacity = self.used, self.capacity
        return pool.workers == 1 or all(used[name] <= capacity.get(name, 0) for name in pool.used)

    def _fits(self, shape: Shape) -> bool:
        """Whether it fits beside what is used. Where nothing is used it fits: capacity is advice, standing still is
        none."""
        used, capacity = self.used, self.capacity
        return all(used.get(name, 0) + amount <= capacity.get(name, 0) for name, amount in shape) or not any(
            used.values()
        )

    def take(self, key: str, shape: Shape) -> None:
        pool = self._pools[key]
        pool.count += 1
        pool.shapes[shape] = pool.shapes.get(shape, 0) + 1
        if pool.count <= pool.workers or len(pool.shapes) > 1:
            self._account(pool)

    def release(self, key: str, shape: Shape) -> None:
        pool = self._pools[key]
        pool.count -= 1
        times = pool.shapes[shape] - 1
        if times:
            pool.shapes[shape] = times
        else:
            del pool.shapes[shape]
        self._account(pool)

    def hired(self, key: str) -> None:
        """A pool has one more worker, or will have in a moment."""
        pool = self._pools.setdefault(key, _Pool())
        pool.workers += 1
        self.workers += 1
        self._account(pool)

    def left(self, key: str) -> None:
        pool = self._pools[key]
        pool.workers -= 1
        self.workers -= 1
        self._account(pool)

    def forget(self, key: str) -> None:
        """A pool without workers and attempts is gone."""
        pool = self._pools.get(key)
        if pool is not None and not pool.workers and not pool.count:
            del self._pools[key]

    def is_idle(self, key: str) -> bool:
        return self._pools[key].count == 0

    @property
    def is_full(self) -> bool:
        """There are as many workers as there may be."""
        return self.workers >= self._workers_max

    def workers_of(self, key: str) -> int:
        return self._pools[key].workers if key in self._pools else 0

    def _account(self, pool: _Pool) -> None:
        used = pool.bound()
        if used != pool.used:
            for name, amount in pool.used.items():
                self.used[name] -= amount
            for name, amount in used.items():
                self.used[name] = self.used.get(name, 0) + amount
            pool.used = used
