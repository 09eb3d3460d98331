"""A world in which attempts run without running, on a fake clock, and an executor that watches it for one controller.

The world outlives controllers: it knows what was started, what has ended, and keeps a record of every end until that
end is acknowledged. What goes wrong in it is decided by `Mishaps` and a seed, so the same seed gives the same world."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from penstock.base.digests import chance
from penstock.base.ids import split_attempt_id
from penstock.engine.events import CapacityReported
from penstock.graph.codec import type_from_json
from penstock.testing import fakes
from penstock.testing.clock import FakeClock
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    AttemptStarted,
    Cancelled,
    Lost,
    Observed,
    Outcome,
    Refused,
    Report,
)

Performer = Callable[[AttemptRequest], tuple[Outcome, int | None]]
"""What an attempt comes to and how long it takes in ms (None: it never ends by itself)."""

Beside = Callable[[AttemptRequest, Outcome], tuple[Mapping[str, str], tuple[str, ...]]]
"""What an attempt reports beside its outcome: what it read, and what ran outside its closure."""

AMOUNTS = {
    "cpu": 4_000,
    "memory": 8_000_000_000,
    "licence": 1_000,
    "gpu:A": 1_000,
    "gpu:B": 1_000,
    "gpu_memory:A": 16 << 30,
    "gpu_memory:B": 40 << 30,
}
"""What a simulated machine has, unless it is said otherwise."""

REPEAT_MS = 400
"""How long an executor waits for an acknowledgement before it reports an end again."""


@dataclass(slots=True)
class Mishaps:
    """How likely each thing is to go wrong, each time that it could."""

    report_lost: float = 0.0
    report_doubled: float = 0.0
    report_delayed: float = 0.0
    delay_ms_max: int = 3_000
    refused: float = 0.0
    lost_sight: float = 0.0
    """An attempt that still runs cannot be watched by the controller that adopts it; its report comes all the same."""
    worker_died: float = 0.0
    """An attempt ends in `Lost` instead of what it would have come to."""


@dataclass(slots=True)
class Happening:
    """One attempt in the world. `state`: queued, running, ended, or dead (gone without a record)."""

    request: AttemptRequest
    owner: FakeExecutor | None
    state: str = "queued"
    started_at: int = 0
    ends_ms: int | None = None
    outcome: Outcome | None = None
    end: AttemptEnded | None = None
    acknowledged: bool = False


@dataclass(slots=True)
class World:
    clock: FakeClock
    rng: Random
    amounts: Mapping[str, int]
    ahead_max: int = 0
    mishaps: Mishaps = field(default_factory=Mishaps)
    tried: Callable[[str, str], int] | None = None
    """How many tries of a task run (by run and path) have been taken in; None: every attempt that ended counts."""
    perform: Performer | None = None
    beside: Beside | None = None
    happenings: dict[str, Happening] = field(default_factory=dict)
    live: dict[str, Happening] = field(default_factory=dict)
    """Those that are queued or running."""
    fenced: set[str] = field(default_factory=set)
    """Attempts that were said to have never started: they never will."""
    started: list[str] = field(default_factory=list)
    """Ids in the order in which they really began to run."""

    def accept(self, request: AttemptRequest, owner: FakeExecutor) -> Happening:
        happening = Happening(request, owner)
        self.happenings[request.attempt_id] = self.live[request.attempt_id] = happening
        return happening

    def bury(self, happening: Happening) -> None:
        """It is gone, and left no record."""
        happening.state = "dead"
        del self.live[happening.request.attempt_id]

    def room_for(self, request: AttemptRequest) -> bool:
        used: dict[str, int] = {}
        for happening in self.live.values():
            if happening.state == "running":
                for name, amount in happening.request.amounts.items():
                    used[name] = used.get(name, 0) + amount
        return all(used.get(n, 0) + amount <= self.amounts.get(n, 0) for n, amount in request.amounts.items())

    def begin(self, happening: Happening) -> None:
        attempt_id = happening.request.attempt_id
        assert attempt_id not in self.started, f"{attempt_id} was started twice"
        self.started.append(attempt_id)
        outcome, duration_ms = (self.perform or self._perform)(happening.request)
        happening.state, happening.outcome, happening.started_at = "running", outcome, self.clock.now()
        happening.ends_ms = None if duration_ms is None else self.clock.elapsed_ms + duration_ms
        if happening.owner:
            started = AttemptStarted(attempt_id, happening.started_at, "w1")
            happening.owner.send(started, again=False)

    def _perform(self, request: AttemptRequest) -> tuple[Outcome, int | None]:
        run, path, _ = split_attempt_id(request.attempt_id)
        tried = self.tried(run, path) if self.tried else self._ended_before(run, path)
        outputs = {name: type_from_json(data) for name, data in request.component.outputs.items()}
        name = request.component.name
        outcome = fakes.outcome_of(name, outputs, request.inputs, tried)
        if fakes.behaviour_of(name) == "slow":
            return Cancelled("stopped"), None
        if self.rng.random() < self.mishaps.worker_died:
            outcome = Lost("the worker died")
        length = chance("duration", request.attempt_id)
        return outcome, int(5 + 40 * length) if length < 0.5 else int(4_000 * (length - 0.5))

    def _ended_before(self, run: str, path: str) -> int:
        ids = [each for each, happening in self.happenings.items() if happening.state == "ended"]
        return sum(split_attempt_id(each)[:2] == (run, path) for each in ids)

    def settle(self) -> None:
        """Let happen what is due by now: attempts end, queued ones begin."""
        now = self.clock.elapsed_ms
        due = [(h.ends_ms, h.request.attempt_id) for h in self.live.values() if h.ends_ms is not None]
        for _, attempt_id in sorted(each for each in due if each[0] <= now):
            happening = self.live[attempt_id]
            assert happening.outcome is not None
            self.finish(happening, happening.outcome)
        for happening in list(self.live.values()):
            if happening.state == "queued" and happening.owner and self.room_for(happening.request):
                self.begin(happening)

    def finish(self, happening: Happening, outcome: Outcome) -> None:
        now = self.clock.now()
        ran = happening.state == "running"
        reads, outside = self.beside(happening.request, outcome) if self.beside else ({}, ())
        happening.state = "ended"
        del self.live[happening.request.attempt_id]
        happening.end = AttemptEnded(
            happening.request.attempt_id,
            outcome,
            started_at=happening.started_at if ran else 0,
            ended_at=max(now, happening.started_at),
            duration_us=max(0, now - happening.started_at) * 1000 if ran else 0,
            worker="w1" if ran else "",
            reads=reads,
            outside=outside,
        )
        if happening.owner:
            happening.owner.send(happening.end, again=True)

    def next_ms(self) -> int | None:
        """When the next attempt ends by itself."""
        return min((h.ends_ms for h in self.live.values() if h.ends_ms is not None), default=None)

    def stop(self, happening: Happening, grace_ms: int) -> None:
        if happening.state == "queued":
            self.finish(happening, Cancelled("stopped before it began"))
        elif happening.state == "running":
            own = happening.ends_ms
            soon = self.clock.elapsed_ms + (self.rng.randint(0, min(grace_ms, 2_000)) if grace_ms else 0)
            if own is None or own > soon:
                happening.ends_ms, happening.outcome = soon, Cancelled("stopped")


class FakeExecutor:
    """One controller's sight of the world; it implements `effects.Executor`."""

    def __init__(self, world: World, *, name: str = "local") -> None:
        self._name = name
        self._world = world
        self._mail: list[tuple[int, int, Report]] = []
        self._count = 0
        self._unanswered: dict[str, tuple[int, Report]] = {}
        """Ends that were reported and not acknowledged, each with when to report it again."""

    @property
    def name(self) -> str:
        return self._name

    def capacity(self) -> CapacityReported:
        return CapacityReported(self._name, dict(self._world.amounts), self._world.ahead_max)

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        world = self._world
        for request in requests:
            if request.attempt_id in world.happenings:
                continue
            happening = world.accept(request, self)
            if request.attempt_id in world.fenced or world.rng.random() < world.mishaps.refused:
                world.finish(happening, Refused("not now"))
        world.settle()

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        happening = self._world.happenings.get(attempt_id)
        if happening is not None and happening.owner is self:
            self._world.stop(happening, grace_ms)

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        for attempt_id in attempt_ids:
            happening = self._world.happenings.get(attempt_id)
            if happening is None:
                self._world.fenced.add(attempt_id)
                self.send(AttemptEnded(attempt_id, Refused("never started")), again=True)
            else:
                self._adopt(attempt_id, happening)

    def _adopt(self, attempt_id: str, happening: Happening) -> None:
        happening.owner = self
        if happening.state == "queued":
            self._world.finish(happening, Refused("never started"))
        elif happening.state == "dead" or happening.acknowledged:
            self.send(AttemptEnded(attempt_id, Lost("no record")), again=True)
        elif happening.end is not None:
            self.send(happening.end, again=True)
        elif self._world.rng.random() < self._world.mishaps.lost_sight:
            if happening.ends_ms is None:
                happening.ends_ms = self._world.clock.elapsed_ms + self._world.mishaps.delay_ms_max
            self.send(AttemptEnded(attempt_id, Lost("it may still run")), again=True)
        else:
            self.send(AttemptStarted(attempt_id, happening.started_at, "w1"), again=False)

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        world = self._world
        until = world.clock.elapsed_ms + timeout_ms
        world.settle()
        while not self._due():
            times = [time for time in (self._next_ms(), world.next_ms()) if time is not None]
            upcoming = min((time for time in times if time > world.clock.elapsed_ms), default=until)
            if world.clock.elapsed_ms >= until:
                return ()
            world.clock.advance(min(upcoming, until) - world.clock.elapsed_ms)
            world.settle()
        return self._take()

    def _due(self) -> bool:
        next_ms = self._next_ms()
        return next_ms is not None and next_ms <= self._world.clock.elapsed_ms

    def _next_ms(self) -> int | None:
        times = [self._mail[0][0]] if self._mail else []
        return min([*times, *(at for at, _ in self._unanswered.values())], default=None)

    def _take(self) -> list[Report]:
        now = self._world.clock.elapsed_ms
        for at, report in list(self._unanswered.values()):
            if at <= now:
                self.send(report, again=True)
        reports = []
        while self._mail and self._mail[0][0] <= now:
            reports.append(heapq.heappop(self._mail)[2])
        return reports

    def send(self, report: Report, *, again: bool) -> None:
        """Report something: it may be lost, doubled, or late. `again`: repeat it until it is acknowledged."""
        rng, mishaps = self._world.rng, self._world.mishaps
        now = self._world.clock.elapsed_ms
        if again:
            self._unanswered[report.attempt_id] = (now + REPEAT_MS, report)
        lost = rng.random() < mishaps.report_lost
        if lost and again:
            return
        for _ in range(2 if rng.random() < mishaps.report_doubled else 1):
            late = rng.randint(1, mishaps.delay_ms_max) if rng.random() < mishaps.report_delayed else 0
            self._count += 1
            heapq.heappush(self._mail, (now + late + (REPEAT_MS if lost else 0), self._count, report))

    def observations(self) -> Sequence[Observed]:
        return ()

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        for attempt_id in attempt_ids:
            self._unanswered.pop(attempt_id, None)
            happening = self._world.happenings.get(attempt_id)
            if happening is not None and happening.state == "ended":
                happening.acknowledged = True

    def close(self) -> None:
        """End every attempt of this executor; none is left, and none has a record."""
        self.crash(survive=False)

    def crash(self, *, survive: bool) -> None:
        """The controller is gone, and with it whoever listened. What runs goes on, or dies without a record."""
        for happening in list(self._world.live.values()):
            if happening.owner is self:
                happening.owner = None
                if happening.state == "running" and not survive:
                    self._world.bury(happening)
        self._mail.clear()
        self._unanswered.clear()
