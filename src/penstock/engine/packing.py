"""Placement: which ready task run goes where, and when (semantics 29). Ready task runs stand in one heap per request
shape, so a pass looks at heads only. The first head that does not fit reserves its room; others start only in what it
does not need, or when they are predicted to end before it could start."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.base.instants import Instant
from penstock.engine.memory import TaskRun
from penstock.engine.rows import Amounts
from penstock.engine.states import TaskState
from penstock.plan.devices import DEVICE_MEMORY, on_devices, placed
from penstock.plan.learning import MEMORY_HINT
from penstock.plan.passes import OWN_MS_UNKNOWN

SHORT_US = 20_000
"""Attempts of components that take less than this on average may be submitted ahead."""

SHORT_COUNT_MIN = 3
"""So many attempts must have succeeded before a component's mean is believed."""

Rank = tuple[int, float, int, str, str]
"""(-priority, -remaining path, ready since, run, path): smaller goes first."""

Head = tuple[Rank, Amounts]

LONG_PART = 4
"""A path is long when it is more than this part of what all that is ready would take: it goes first then."""

WINDOW = 64
"""Among so many heads it is decided whose turn it is."""


@dataclass(slots=True)
class Flight:
    """An attempt that an executor has: what it takes, since when, and how long it is predicted to take."""

    amounts: Mapping[str, int]
    submitted_at: Instant
    predicted_ms: float | None
    rank: Rank
    component: str = ""


class Room:
    """What the engine knows of one executor."""

    __slots__ = ("ahead", "ahead_max", "ahead_shape", "flights", "free", "name", "needs", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.total: dict[str, int] = {}
        self.free: dict[str, int] = {}
        self.flights: dict[str, Flight] = {}
        self.ahead: dict[str, Flight] = {}
        """Submitted beyond the capacity, in order; the executor starts them as others end. All of one shape."""
        self.ahead_shape: Amounts | None = None
        self.ahead_max = 0
        self.needs: dict[Amounts, dict[str, int]] = {}

    def resize(self, amounts: Mapping[str, int], ahead_max: int) -> None:
        self.total = dict(amounts)
        self.ahead_max = ahead_max
        self.needs.clear()
        self.free = dict(amounts)
        for flight in self.flights.values():
            self._take(flight.amounts)
        self._promote()

    def need(self, shape: Amounts) -> dict[str, int]:
        """What a shape takes here: memory that nobody declared counts as what was learned, or as an equal share."""
        known = self.needs.get(shape)
        if known is None:
            known = dict(shape)
            hint = known.pop(MEMORY_HINT, 0)
            if "memory" not in known and self.total.get("memory") and self.total.get("cpu"):
                share = hint or self.total["memory"] * known.get("cpu", 0) // self.total["cpu"]
                known["memory"] = min(share, self.total["memory"])
            self.needs[shape] = known
        return known

    def given(self, shape: Amounts) -> Amounts:
        """What an attempt of a shape is told that it has: the GPUs that are best taken now, memory that was learned."""
        need, asked = self.need(shape), dict(shape)
        if asked.pop(MEMORY_HINT, 0) and "memory" in need:
            asked["memory"] = need["memory"]
        elif "gpu" not in need:
            return shape
        devices = on_devices(asked, self.free) if "gpu" in need else asked
        assert devices is not None, f"{shape} does not fit into {self.free}"
        return tuple(sorted(devices.items()))

    def fits(self, need: Mapping[str, int]) -> bool:
        return placed(need, self.free) is not None

    def part(self, amounts: Mapping[str, int]) -> float:
        """The largest part of what is here that something takes of any one resource."""
        total = self.total
        return max((amount / total[name] for name, amount in amounts.items() if total.get(name)), default=0.0)

    def could_hold(self, need: Mapping[str, int]) -> bool:
        return placed(need, self.total) is not None

    def add(self, attempt_id: str, flight: Flight) -> None:
        self.flights[attempt_id] = flight
        self._take(flight.amounts)

    def add_ahead(self, attempt_id: str, flight: Flight, shape: Amounts) -> None:
        self.ahead[attempt_id] = flight
        self.ahead_shape = shape

    def joins(self, shape: Amounts) -> bool:
        """Whether a shape may queue ahead: the queue holds one shape."""
        return not self.ahead or self.ahead_shape == shape

    def remove(self, attempt_id: str) -> None:
        if self.ahead.pop(attempt_id, None) is not None:
            return
        flight = self.flights.pop(attempt_id, None)
        if flight is not None:
            for name, amount in flight.amounts.items():
                self.free[name] = self.free.get(name, 0) + amount
            self._promote()

    def _take(self, amounts: Mapping[str, int]) -> None:
        for name, amount in amounts.items():
            self.free[name] = self.free.get(name, 0) - amount

    def _promote(self) -> None:
        """What was submitted ahead takes freed room first, as the executor itself does it."""
        while self.ahead:
            attempt_id = next(iter(self.ahead))
            flight = self.ahead[attempt_id]
            if not self.fits(flight.amounts):
                return
            del self.ahead[attempt_id]
            self.add(attempt_id, flight)

    def slots(self) -> int:
        return self.total.get("cpu", 0) // 1000 + self.ahead_max


@dataclass(slots=True)
class Reservation:
    """Room kept for the first head that does not fit. What came before it in the line it waits for in any case; what came
    after it and was started since it became ready has overtaken it."""

    need: Mapping[str, int]
    since: Instant
    rank: Rank


class Placement:
    """Ready task runs and the rooms they wait for."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.heaps: dict[Amounts, list[tuple[Rank, TaskRun]]] = {}
        self.counts: dict[str, int] = {}
        """How many task runs of each component are in the heaps."""
        self.slots = 1
        """How many attempts all executors take at once, those ahead included."""

    def room(self, name: str) -> Room:
        if name not in self.rooms:
            self.rooms = dict(sorted({**self.rooms, name: Room(name)}.items()))
        return self.rooms[name]

    def resize(self, name: str, amounts: Mapping[str, int], ahead_max: int) -> None:
        self.room(name).resize(amounts, ahead_max)
        self.slots = max(1, sum(room.slots() for room in self.rooms.values()))

    def largest(self, resource: str) -> int:
        return max((room.total.get(resource, 0) for room in self.rooms.values()), default=0)

    def largest_device(self) -> int:
        """Bytes of the largest GPU."""
        totals = (total for room in self.rooms.values() for total in room.total.items())
        return max((amount for name, amount in totals if name.startswith(DEVICE_MEMORY)), default=0)

    def add(self, task: TaskRun) -> None:
        heap = self.heaps.get(task.amounts)
        if heap is None:
            heap = self.heaps[task.amounts] = []
        heapq.heappush(heap, (rank_of(task), task))
        self.counts[task.node.component] = self.counts.get(task.node.component, 0) + 1

    def ready(self) -> Iterator[TaskRun]:
        for heap in self.heaps.values():
            yield from (task for _, task in heap if task.state is TaskState.READY)

    def forget(self, run_id: str) -> None:
        """Drop what a run has ready and in flight."""
        for shape, heap in list(self.heaps.items()):
            kept = [entry for entry in heap if entry[0][3] != run_id]
            heapq.heapify(kept)
            self.heaps[shape] = kept
            for _, task in (entry for entry in heap if entry[0][3] == run_id):
                self.counts[task.node.component] -= 1
        for room in self.rooms.values():
            for attempt_id in [a for a in (*room.flights, *room.ahead) if a.startswith(run_id + "/")]:
                room.remove(attempt_id)

    def picks(self, now: Instant) -> Iterator[tuple[TaskRun, Room, bool]]:
        """What to start, where, and whether ahead of the room; the caller puts each into the room before it asks for
        the next one. A pass ends when nothing more can start."""
        reserved: dict[str, Reservation] = {}
        heads = [(heap[0][0], shape) for shape, heap in list(self.heaps.items()) if self._has_head(shape, heap)]
        heapq.heapify(heads)
        turns = Turns(self, longest_ms=-heads[0][0][1]) if len(heads) > 1 else None
        while heads:
            # Once room is reserved, what is left of it goes by rank: that is one look at each head and no more.
            head = heads[0] if turns is None or reserved else turns.next_of(heads)
            shape = head[1]
            task = self.heaps[shape][0][1]
            pick = self._room_for(task, shape, reserved, now)
            if head is heads[0]:
                heapq.heappop(heads)
            else:
                heads.remove(head)
                heapq.heapify(heads)
            if pick is not None:
                self._pop(shape)
                if turns is not None:
                    turns.took(task, shape)
                yield task, *pick
                if self._has_head(shape, self.heaps[shape]):
                    heapq.heappush(heads, (self.heaps[shape][0][0], shape))

    def _pop(self, shape: Amounts) -> None:
        _, task = heapq.heappop(self.heaps[shape])
        self.counts[task.node.component] -= 1

    def _has_head(self, shape: Amounts, heap: list[tuple[Rank, TaskRun]]) -> bool:
        """Drop entries that are no longer ready from the top; whether any is left."""
        while heap and heap[0][1].state is not TaskState.READY:
            self._pop(shape)
        if not heap:
            del self.heaps[shape]
        return bool(heap)

    def _room_for(
        self, task: TaskRun, shape: Amounts, reserved: dict[str, Reservation], now: Instant
    ) -> tuple[Room, bool] | None:
        """A room for the task, and whether it goes there ahead. Where none has, one room is reserved for it."""
        candidate: Room | None = None
        for room in self.rooms.values():
            need = room.need(shape)
            reservation = reserved.get(room.name)
            if room.fits(need) and (reservation is None or _harmless(need, task, room, reservation, now)):
                return room, False
            if candidate is None and reservation is None and room.could_hold(need):
                candidate = room
        if candidate is None:
            return None
        need = candidate.need(shape)
        if (
            is_short(task)
            and len(candidate.ahead) < candidate.ahead_max
            and candidate.joins(shape)
            and "gpu" not in need
        ):
            return candidate, True
        reserved[candidate.name] = Reservation(need, task.ready_at or now, rank_of(task))
        return None


class Turns:
    """Whose turn it is. A path that is long beside all that waits goes first. Shorter ones decide nothing: there, components
    take turns in proportion to the work that waits of each, so that what takes processors runs beside what takes memory from
    the first to the last of them, and not one kind after the other."""

    def __init__(self, placement: Placement, *, longest_ms: float) -> None:
        self._heaps, self._counts = placement.heaps, placement.counts
        self._room = max(placement.rooms.values(), key=lambda room: room.slots())
        self._running: dict[str, float] = {}
        for room in placement.rooms.values():
            for flight in room.flights.values():
                self._runs(flight.component, room.part(flight.amounts) * (flight.predicted_ms or OWN_MS_UNKNOWN))
        self._all = 0.0
        for shape, heap in self._heaps.items():
            self._all += len(heap) * self._work(heap[0][1], shape)
            if self._all > longest_ms * LONG_PART:
                break  # no path is long beside so much

    def next_of(self, heads: list[Head]) -> Head:
        first = heads[0]
        if -first[0][1] * LONG_PART > self._all:
            return first
        return min((head for head in heapq.nsmallest(WINDOW, heads) if head[0][0] == first[0][0]), key=self._order)

    def _order(self, head: Head) -> tuple[float, Head]:
        task = self._heaps[head[1]][0][1]
        component, work = task.node.component, self._work(task, head[1]) or 1.0
        return -self._counts[component] * work / (self._running.get(component, 0.0) + work), head

    def took(self, task: TaskRun, shape: Amounts) -> None:
        self._runs(task.node.component, self._work(task, shape))

    def _runs(self, component: str, work: float) -> None:
        self._running[component] = self._running.get(component, 0.0) + work

    def _work(self, task: TaskRun, shape: Amounts) -> float:
        own_ms = OWN_MS_UNKNOWN if task.node.own_ms is None else task.node.own_ms
        return own_ms * self._room.part(self._room.need(shape))


def _harmless(need: Mapping[str, int], task: TaskRun, room: Room, reservation: Reservation, now: Instant) -> bool:
    """Whether starting `need` now cannot delay the reserved task run."""
    predicted = predicted_ms(task)
    if predicted is not None:
        start = _start_of(reservation.need, room, now)
        if start is not None and now + predicted <= start:
            return True
    left = dict(room.total)
    overtaken = [
        flight.amounts
        for flight in room.flights.values()
        if flight.submitted_at >= reservation.since and flight.rank > reservation.rank
    ]
    for amounts in (placed(need, room.free) or need, *overtaken):
        for name, amount in amounts.items():
            left[name] = left.get(name, 0) - amount
    return placed(reservation.need, left) is not None


def _start_of(need: Mapping[str, int], room: Room, now: Instant) -> float | None:
    """When `need` would fit at the latest if predictions hold; None: some prediction is missing."""
    free = dict(room.free)
    ends = []
    for flight in room.flights.values():
        if flight.predicted_ms is None:
            return None
        ends.append((max(float(now), flight.submitted_at + flight.predicted_ms), flight))
    for end, flight in sorted(ends, key=lambda pair: pair[0]):
        for name, amount in flight.amounts.items():
            free[name] = free.get(name, 0) + amount
        if placed(need, free) is not None:
            return end
    return None


def rank_of(task: TaskRun) -> Rank:
    return (-task.priority, -task.remaining_ms, task.ready_at or 0, task.scope.run.run_id, task.path)


def mean_us(task: TaskRun) -> tuple[int, float]:
    """(count, mean duration in microseconds) of a task run's component: this run's attempts and the plan's history."""
    run = task.scope.run
    count, total = run.stats.get(task.node.component, (0, 0))
    before, mean = run.plan.duration_us_by_component.get(task.node.component, (0, 0.0))
    known = count + before
    return known, (total + before * mean) / known if known else 0.0


def predicted_ms(task: TaskRun) -> float | None:
    count, mean = mean_us(task)
    return mean / 1000 if count else None


def is_short(task: TaskRun) -> bool:
    count, mean = mean_us(task)
    return count >= SHORT_COUNT_MIN and mean <= SHORT_US and not task.node.fresh
