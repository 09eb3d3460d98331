"""What there is to say of a run that has ended: its slowest task runs, the path that decided how long it took, what waited
for which resource, what hits saved. Pure: rows and the plan in, a frozen value out.

All of it is derived from rows. A task run began when the last thing that it depends on had ended and there was room; so
walking back from the task run that ended last, each time to what ended last of what it depended on, gives the path that
decided. A wait is blamed on those resources that were short of what was asked for at the moment before the room came."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from penstock.app.paths import place_of
from penstock.engine.states import Origin, TaskState

if TYPE_CHECKING:
    from penstock.app.asking import OverAsked
    from penstock.effects import AttemptOutline, TaskRunOutline
    from penstock.engine.rows import Amounts, RunRow
    from penstock.plan.model import Plan, PlanGraph, PlanNode

SLOWEST_COUNT = 5
# A shorter wait is the machine's own pace.
WAIT_MS_MIN = 50
# Of what ended while an attempt waited, so many ends are looked at, the last ones.
ENDS_LOOKED_AT_MAX = 64
# Nothing of this run stood in the way: other runs, a worker that had to start first, or room kept for a larger task.
OTHER = "other"
NOTHING: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Timed:
    """A function's task run that was computed: how long its last attempt took, how long its component usually takes
    (None: not known), how long it was ready and had no room, and how long its earlier attempts and the backoff after them
    took."""

    path: str
    took_ms: float
    usual_ms: float | None
    waited_ms: float
    earlier_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "duration_ms": self.took_ms,
            "usual_ms": self.usual_ms,
            "waited_ms": self.waited_ms,
            "earlier_ms": self.earlier_ms,
        }


@dataclass(frozen=True, slots=True)
class Waited:
    """What waited for one resource, together. A task run that lacked two counts for both."""

    resource: str
    count: int
    total_ms: float
    longest: str
    longest_ms: float

    def to_json(self) -> dict[str, Any]:
        return {
            "resource": self.resource,
            "task_runs": self.count,
            "waited_ms": self.total_ms,
            "longest": {"path": self.longest, "waited_ms": self.longest_ms},
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """`critical` is in the order in which it ran, hits and nodes with graphs left out."""

    took_ms: float
    slowest: tuple[Timed, ...]
    critical: tuple[Timed, ...]
    waits: tuple[Waited, ...]
    hits: int
    saved_ms: float
    over_asked: tuple[OverAsked, ...] = ()

    @property
    def critical_ms(self) -> float:
        return sum(each.took_ms + each.earlier_ms for each in self.critical)

    def to_json(self) -> dict[str, Any]:
        return {
            "slowest": [each.to_json() for each in self.slowest],
            "critical_path": {
                "duration_ms": self.critical_ms,
                "task_runs": [each.to_json() for each in self.critical],
            },
            "waits": [each.to_json() for each in self.waits],
            "hits": {"count": self.hits, "saved_ms": self.saved_ms},
            "over_asked": [each.to_json() for each in self.over_asked],
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store has of a run that has ended. `usual_ms` by component; `saved_ms` by the path of each hit."""

    run: RunRow
    task_runs: Sequence[TaskRunOutline]
    attempts: Sequence[AttemptOutline]
    capacity: Mapping[str, int]
    usual_ms: Mapping[str, float]
    saved_ms: Mapping[str, float]


def summarised(stored: Stored, plan: Plan) -> Summary:
    run = stored.run
    last = {attempt.path: attempt for attempt in stored.attempts}
    first = {attempt.path: attempt for attempt in reversed(stored.attempts)}
    computed = {row.path: row for row in stored.task_runs if row.path in last and row.origin is not Origin.CACHED}

    def timed(path: str) -> Timed:
        row, attempt = computed[path], last[path]
        usual, waited = stored.usual_ms.get(row.component), _waited_ms(row, attempt)
        return Timed(path, _took_ms(attempt), usual, waited, _earlier_ms(row, first[path], attempt))

    slowest = nsmallest(SLOWEST_COUNT, ((-_took_ms(last[path]), path) for path in computed))
    critical = [path for path in _critical(stored.task_runs, plan) if path in computed]
    hits = sum(row.origin is Origin.CACHED for row in stored.task_runs)
    took = run.ended_at - run.started_at if run.ended_at is not None and run.started_at is not None else 0
    return Summary(
        took_ms=max(took, 0),
        slowest=tuple(timed(path) for _, path in slowest),
        critical=tuple(timed(path) for path in critical),
        waits=_waits(stored, computed, last),
        hits=hits,
        saved_ms=sum(stored.saved_ms.values()),
    )


def _began(attempt: AttemptOutline) -> int:
    return attempt.started_at if attempt.started_at is not None else attempt.submitted_at


def _took_ms(attempt: AttemptOutline) -> float:
    if attempt.duration_us:
        return attempt.duration_us / 1000
    return max(attempt.ended_at - _began(attempt), 0) if attempt.ended_at is not None else 0.0


def _waited_ms(row: TaskRunOutline, attempt: AttemptOutline) -> float:
    return max(_began(attempt) - row.ready_at, 0) if row.ready_at is not None else 0.0


def _earlier_ms(row: TaskRunOutline, first: AttemptOutline, last: AttemptOutline) -> float:
    """From the first attempt's beginning until the last one might begin."""
    if first is last or row.ready_at is None:
        return 0.0
    return max(row.ready_at - _began(first), 0)


# -- the path that decided ---------------------------------------------------------------------------------------------


class _Walk:
    """Goes back from a task run to what it had to wait for."""

    def __init__(self, rows: Sequence[TaskRunOutline], plan: Plan) -> None:
        self._rows = {row.path: row for row in rows}
        self._plan = plan
        self._below: dict[str, list[TaskRunOutline]] = {}
        self._nodes: dict[str, PlanNode | None] = {}
        self._upstreams: dict[int, list[list[int]]] = {}
        for row in rows:
            self._below.setdefault(place_of(row.path).holder, []).append(row)

    def back(self) -> Iterator[str]:
        """Functions, the last one first."""
        path = self._last_below("")
        while path is not None:
            yield path
            path = self._decider(path)

    def _last_below(self, holder: str, before: str = "") -> str | None:
        """The function that ended last below a node (in those of its bodies whose paths begin so); None where none
        did."""
        rows = [row for row in self._below.get(holder, ()) if row.path.startswith(before)]
        while rows:
            row = max(rows, key=_ended)
            if row.path not in self._below:
                node = self._node(row.path)
                if node is None or not node.bodies:
                    return row.path
            found = self._last_below(row.path)
            if found is not None:
                return found
            rows.remove(row)
        return None

    def _decider(self, path: str) -> str | None:
        """What ended last of all that a task run depended on; where that is nothing in its graph, what the node that
        holds it depended on, or in a loop the round before."""
        while path:
            place = place_of(path)
            graph = self._graph(path)
            node = self._node(path)
            if graph is not None and node is not None:
                before = [
                    self._rows.get(place.before + graph.nodes[i].name) for i in self._upstreams_of(graph)[node.index]
                ]
                for row in sorted((row for row in before if row is not None), key=_ended, reverse=True):
                    other = self._node(row.path)
                    found = self._last_below(row.path) if other is not None and other.bodies else row.path
                    if found is not None:
                        return found
            holder = self._node(place.holder) if place.holder else None
            if holder is not None and type(holder.node).__name__ == "Loop" and place.key not in ("", "1"):
                base = place.before[: -len(place.key) - 1]
                found = self._last_below(place.holder, f"{base}{int(place.key) - 1}/")
                if found is not None:
                    return found
            path = place.holder
        return None

    def _node(self, path: str) -> PlanNode | None:
        if path not in self._nodes:
            graph = self._graph(path)
            index = graph.index_by_name.get(place_of(path).name) if graph is not None else None
            self._nodes[path] = graph.nodes[index] if graph is not None and index is not None else None
        return self._nodes[path]

    def _graph(self, path: str) -> PlanGraph | None:
        """The graph in which a task run's node stands."""
        place = place_of(path)
        if not place.before:
            return self._plan.root
        holder = self._node(place.holder)
        if holder is None or not holder.bodies:
            return None
        chosen = int(place.key) if place.key and len(holder.bodies) > 1 else 0
        return holder.bodies[chosen] if chosen < len(holder.bodies) else None

    def _upstreams_of(self, graph: PlanGraph) -> list[list[int]]:
        known = self._upstreams.get(id(graph))
        if known is None:
            known = self._upstreams[id(graph)] = [[] for _ in graph.nodes]
            for index, consumers in enumerate(graph.consumers):
                for consumer in consumers:
                    known[consumer].append(index)
        return known


def _ended(row: TaskRunOutline) -> tuple[int, str]:
    return (row.ended_at if row.ended_at is not None else -1, row.path)


def _critical(rows: Sequence[TaskRunOutline], plan: Plan) -> list[str]:
    ran = [row for row in rows if row.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)]
    return list(_Walk(ran, plan).back())[::-1]


# -- what waited -------------------------------------------------------------------------------------------------------


class _Room:
    """What is in use, and what was when attempts ended, the last ends. Attempts need one of few things (`needs`, by number),
    and how many of each are at work says all: so few states recur, and for each need every end is looked at once."""

    def __init__(self, needs: Sequence[Mapping[str, int]], capacity: Mapping[str, int]) -> None:
        self._needs = needs
        self._capacity = capacity
        self._working = [0] * len(needs)
        self._ends: deque[tuple[int, int, tuple[int, ...]]] = deque(maxlen=ENDS_LOOKED_AT_MAX)
        self._count = 0
        self._looked = [(0, -1, 0, NOTHING)] * len(needs)
        """By need: how many ends were looked at, and of the last one at which anything was short which one it was, when, and what
        was short."""
        self._known: dict[tuple[int, tuple[int, ...]], Sequence[str]] = {}

    def begin(self, need: int) -> None:
        self._working[need] += 1

    def end(self, at: int, need: int) -> None:
        self._ends.append((self._count, at, tuple(self._working)))
        self._count += 1
        self._working[need] -= 1

    def lacked(self, need: int, since: int) -> Sequence[str]:
        """What was short at the last end from `since` on at which anything was."""
        looked_at, last, last_at, short = self._looked[need]
        for number, at, working in reversed(self._ends):
            if number < looked_at:
                break
            found = self._known.get((need, working))
            if found is None:
                found = self._known[need, working] = self._lacking(need, working)
            if found:
                last, last_at, short = number, at, found
                break
        self._looked[need] = (self._count, last, last_at, short)
        return short if last >= self._count - ENDS_LOOKED_AT_MAX and last_at >= since else NOTHING

    def _lacking(self, need: int, working: Sequence[int]) -> Sequence[str]:
        used: Counter[str] = Counter()
        for each, count in zip(self._needs, working, strict=True):
            if count:
                used.update({name: count * amount for name, amount in each.items()})
        return _lacking(self._needs[need], used, self._capacity)


def _waits(
    stored: Stored, computed: Mapping[str, TaskRunOutline], last: Mapping[str, AttemptOutline]
) -> tuple[Waited, ...]:
    """In the order of time, what is in use is followed; of each attempt that had waited it is asked what it lacked before
    something ended and let it begin: the last moment of its wait at which it lacked anything counts."""
    numbers = {amounts: number for number, amounts in enumerate(dict.fromkeys(a.amounts for a in stored.attempts))}
    room = _Room([_need(amounts, stored.capacity) for amounts in numbers], stored.capacity)
    begins = sorted(stored.attempts, key=_began)  # those that began at once by path, as they are stored
    ends = sorted((a.ended_at, numbers[a.amounts]) for a in stored.attempts if a.ended_at is not None)
    ends.reverse()
    waits: dict[str, list[tuple[float, str]]] = {}
    for attempt in begins:
        began, path, need = _began(attempt), attempt.path, numbers[attempt.amounts]
        while ends and ends[-1][0] <= began:
            room.end(*ends.pop())
        row = computed.get(path)
        if row is not None and attempt is last[path]:
            waited = _waited_ms(row, attempt)
            if waited >= WAIT_MS_MIN:
                for resource in room.lacked(need, row.ready_at or 0) or (OTHER,):
                    waits.setdefault(resource, []).append((waited, path))
        room.begin(need)
    told = [
        Waited(resource, len(each), sum(waited for waited, _ in each), max(each)[1], max(each)[0])
        for resource, each in waits.items()
    ]
    return tuple(sorted(told, key=lambda each: (-each.total_ms, each.resource)))


def _need(amounts: Amounts, capacity: Mapping[str, int]) -> dict[str, int]:
    """What an attempt took up: memory that nobody declared counted as an equal share (semantics 29)."""
    need = dict(amounts)
    if "memory" not in need and capacity.get("cpu") and capacity.get("memory"):
        need["memory"] = _share(need, capacity)
    return need


def _lacking(need: Mapping[str, int], used: Mapping[str, int], capacity: Mapping[str, int]) -> list[str]:
    """The resources of which there was too little left; memory that is an equal share is short only because cores are."""
    short = [name for name, amount in need.items() if name in capacity and used[name] + amount > capacity[name]]
    if "cpu" in short and "memory" in short and need["memory"] == _share(need, capacity):
        short.remove("memory")
    return sorted({name.partition(":")[0] for name in short})


def _share(need: Mapping[str, int], capacity: Mapping[str, int]) -> int:
    return min(capacity["memory"] * need.get("cpu", 0) // capacity["cpu"], capacity["memory"])
