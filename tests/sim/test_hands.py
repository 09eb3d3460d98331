"""Workers that retire, die and stall at every point, under every seed: no attempt is begun twice, and all of them end.

The executor, its sockets, slots and records are the real ones. Keeper and workers are steps of this process: a worker takes
one step at a time, in the order of `launcher.outer.worker`, and a schedule says who is next."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.executors.local import LocalExecutor, LocalSettings, roster
from penstock.executors.local.custody import ACKNOWLEDGED_S
from penstock.launcher.outer.records import append_record, frame_of
from penstock.launcher.outer.slot import Slot, Stage
from penstock.launcher.outer.worker import WorkerSettings
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    FunctionRequest,
    Inline,
    Lost,
    Outcome,
    Succeeded,
    report_to_json,
)

TICK_S = 0.001
TICKS_MAX = 20_000
STALL_S = 60.0
"""A stalled worker goes on after this time, if it still lives: it must not begin what was given to another."""

ATTEMPTS = [f"run1/map/{number}/item#1" for number in range(5)]


@dataclass(frozen=True)
class Fault:
    """What happens to the `worker`-th worker at its `step`-th step: it dies, or stalls."""

    kind: str
    worker: int
    step: int


@dataclass
class SimWorker:
    number: int
    requests: socket.socket
    reports: socket.socket
    world: World
    steps: int = 0
    blocked: bool = False
    stalled_until: float = 0.0

    def __post_init__(self) -> None:
        folder = self.world.folder
        self.slot = Slot(folder / f"{self.number}.slot")
        self.records = open(folder / f"{self.number}.records", "ab", buffering=0)  # noqa: SIM115 - closed with it
        self.recorded = 0
        self.unsent: list[str] = []
        self.life = self._live()

    def close(self) -> None:
        self.requests.close()
        self.reports.close()
        self.records.close()
        self.slot.close()

    def _live(self) -> Iterator[None]:
        """One step between two yields; a process can be ended or stopped at each of them."""
        yield
        is_leaving = False
        while not is_leaving:
            datagram = yield from self._next()
            if not datagram:
                break
            attempt_id = json.loads(datagram)["attempt_id"]
            yield
            self.slot.begin(attempt_id.encode(), started_at=1, log_offset=0)
            self.world.begun.append(attempt_id)
            yield
            ended = AttemptEnded(attempt_id, Succeeded({"output": Inline(1)}), started_at=1, ended_at=2)
            text = json.dumps(report_to_json(ended))
            self.recorded = append_record(self.records.fileno(), text.encode(), end=self.recorded, durable=False)
            yield
            self.slot.end(self.recorded)
            self.unsent.append(text)
            is_leaving = attempt_id in self.world.retiring
            yield
        self.unsent.append('{"event":"retiring"}')
        self._send()
        yield

    def _next(self) -> Iterator[None]:  # returns the datagram
        if self.unsent:
            self.slot.enter(Stage.WAITING)
            yield
            datagram = self._receive()
            yield
            if datagram is not None:
                self.slot.enter(Stage.TAKEN)
                yield
                if self.world.random.random() < 0.5:
                    self._send()
                return datagram  # type: ignore[return-value]  # what `yield from` gives
            self.slot.enter(Stage.BUSY)
            self._send()
            yield
        self.slot.enter(Stage.WAITING)
        while (datagram := self._receive()) is None:
            self.blocked = True
            yield
        self.blocked = False
        yield
        self.slot.enter(Stage.TAKEN)
        yield
        return datagram  # type: ignore[return-value]

    def _receive(self) -> bytes | None:
        try:
            return self.requests.recv(1 << 17, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _send(self) -> None:
        payload = f"[{','.join(self.unsent)}]".encode()
        self.unsent.clear()
        self.reports.sendall(frame_of(payload, recorded_bytes=self.recorded))


@dataclass
class World:
    """What there is besides the executor. `retiring`: attempts after which their worker leaves."""

    random: Random
    retiring: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    now_s: float = 100.0
    begun: list[str] = field(default_factory=list)
    workers: dict[int, SimWorker] = field(default_factory=dict)
    news: list[dict[str, Any]] = field(default_factory=list)
    orders: list[tuple[str, int, Any]] = field(default_factory=list)
    folder: Path = Path()
    steps_by_worker: dict[int, int] = field(default_factory=dict)

    # -- the keeper

    def obey(self) -> None:
        order, number, given = self.orders.pop(0)
        worker = self.workers.get(number)
        if order == "fork":
            self.workers[number] = SimWorker(number, *given, world=self)
            self.news.append({"event": "forked", "worker": number, "pid": 1})
        elif worker is not None and worker.slot.begun() is None:
            self.end(worker, -9)

    def end(self, worker: SimWorker, code: int) -> None:
        del self.workers[worker.number]
        worker.close()
        self.news.append({"event": "exited", "worker": worker.number, "exit": code})

    # -- workers

    def step(self, worker: SimWorker) -> None:
        for fault in self.faults:
            if (fault.worker, fault.step) == (worker.number, worker.steps):
                if fault.kind == "die":
                    self.end(worker, -9)
                    return
                if not worker.stalled_until:
                    worker.stalled_until = self.now_s + STALL_S
        if worker.stalled_until > self.now_s:
            return
        try:
            next(worker.life)
        except StopIteration:
            self.end(worker, 0)
        worker.steps += not worker.blocked
        self.steps_by_worker[worker.number] = worker.steps

    def may_step(self) -> list[SimWorker]:
        return [each for each in self.workers.values() if each.stalled_until <= self.now_s]


class SimKeeper:
    """In the place of `KeeperLink`."""

    world: World
    pid = 1
    ready = True

    def __init__(self, settings: WorkerSettings) -> None:
        self.world.folder = Path(settings.folder)
        self._ours, self._theirs = socket.socketpair()

    def fileno(self) -> int:
        return self._ours.fileno()

    def fork(self, worker: int, *, requests: socket.socket, reports: socket.socket, fresh: bool, **others: Any) -> None:
        self.world.orders.append(("fork", worker, (requests.dup(), reports.dup())))

    def end_silent(self, worker: int) -> None:
        self.world.orders.append(("end_silent", worker, None))

    def sample(self) -> None:
        pass

    def news(self) -> list[dict[str, Any]]:
        heard = list(self.world.news)
        self.world.news.clear()
        return heard

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()
        for worker in self.world.workers.values():
            worker.close()


def request(attempt_id: str) -> AttemptRequest:
    component = FunctionRequest("m", "f", {}, {"output": {"name": "int"}}, pin="")
    return AttemptRequest(attempt_id, component, {}, seed=1, amounts={"cpu": 1000})


def outcomes_in(world: World, folder: Path) -> dict[str, Outcome]:
    """Play a schedule until every attempt has ended. Raises AssertionError when they never do."""
    SimKeeper.world = world
    settings = LocalSettings(project=folder, state=folder / "s", cpu=2, memory_bytes=1 << 30, ledger=folder, gpus="off")
    executor = LocalExecutor(settings, now=lambda: world.now_s)
    ends: dict[str, Outcome] = {}
    try:
        executor.start([request(attempt_id) for attempt_id in ATTEMPTS])
        for _ in range(TICKS_MAX):
            world.now_s += TICK_S
            is_moving = play_one(world, executor, ends)
            if len(ends) == len(ATTEMPTS):
                assert not any(executor._admission.used.values())
                return ends
            if not is_moving:
                world.now_s += 0.3
    finally:
        executor.close()
    raise AssertionError(f"never ends: {sorted(set(ATTEMPTS) - set(ends))}, begun {world.begun}")


def play_one(world: World, executor: LocalExecutor, ends: dict[str, Outcome]) -> bool:
    """One step of somebody's; whether anything can happen without time passing."""
    able = world.may_step()
    who = world.random.choice(["controller", *(["keeper"] * bool(world.orders)), *able])
    if who == "keeper":
        world.obey()
    elif isinstance(who, SimWorker):
        world.step(who)
    else:
        if world.news:  # the link's descriptor does not wake it here
            with executor._lock:
                executor._take_in(executor._roster.hear_keeper())
                executor._pump()
        for report in executor.poll(0):
            if isinstance(report, AttemptEnded):
                ends[report.attempt_id] = report.outcome
    return bool(world.orders or world.news or any(not each.blocked for each in world.may_step()))


@pytest.fixture(autouse=True)
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "KeeperLink", SimKeeper)


def test_workers_that_retire_after_any_of_their_attempts(tmp_path: Path) -> None:
    """All subsets of the attempts, each under its own order of events."""
    for count in range(len(ATTEMPTS) + 1):
        for number, retiring in enumerate(itertools.combinations(ATTEMPTS, count)):
            world = World(Random(f"{count}.{number}"), frozenset(retiring))
            ends = outcomes_in(world, tmp_path)
            assert {type(outcome) for outcome in ends.values()} == {Succeeded}
            assert sorted(world.begun) == ATTEMPTS


def steps_of_two_workers(folder: Path) -> list[tuple[int, int]]:
    world = World(Random("plain"))
    outcomes_in(world, folder)
    return [(worker, step) for worker, steps in world.steps_by_worker.items() for step in range(steps)]


@pytest.mark.parametrize("kind", ["die", "stall"])
@pytest.mark.parametrize("retires", [False, True], ids=["stays", "retires"])
def test_workers_that_die_or_stall_at_any_step(kind: str, retires: bool, tmp_path: Path) -> None:
    points = steps_of_two_workers(tmp_path)
    assert len(points) > 20
    for (worker, step), seed in itertools.product(points, ("a", "b")):
        retiring = frozenset(ATTEMPTS if retires else ())
        world = World(Random(f"{worker}.{step}.{seed}"), retiring, (Fault(kind, worker, step),))
        ends = outcomes_in(world, tmp_path)
        lost = [attempt_id for attempt_id, outcome in ends.items() if isinstance(outcome, Lost)]
        assert len(lost) <= (kind == "die"), (worker, step, seed, ends)
        assert set(lost) <= set(world.begun), "what was never begun is given to another worker"
        assert sorted(world.begun) == ATTEMPTS, (worker, step, seed)


def test_many_faults_at_once(tmp_path: Path) -> None:
    for seed in range(60):
        random = Random(seed)
        faults = tuple(
            Fault(random.choice(["die", "stall"]), random.randint(1, 6), random.randrange(14)) for _ in range(6)
        )
        retiring = frozenset(each for each in ATTEMPTS if random.random() < 0.4)
        world = World(random, retiring, faults)
        outcomes_in(world, tmp_path)
        assert len(world.begun) == len(set(world.begun)), seed


def test_the_patience_is_the_one_that_is_documented() -> None:
    assert ACKNOWLEDGED_S == 5.0
