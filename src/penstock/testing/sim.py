"""A simulated world around the real controller: random graphs, a fake clock, and everything that goes wrong.

`python -m penstock.testing.sim --seeds 500` runs many worlds; `--seed 17 --verbose` tells the story of one. The same
seed gives the same world, in any process. Faults stop after a while; from then on every run must end, and come to what
its graph means."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

from penstock.base.errors import CommitUnknown, StoreUnavailable
from penstock.controller.controller import Controller
from penstock.effects import Commit, Executor, Holder, Message, StateStore, Submission
from penstock.engine.engine import Engine
from penstock.engine.events import CapacityReported, Decision, Event, StartAttempt
from penstock.engine.rows import RunRow
from penstock.engine.states import TERMINAL_RUN_STATES
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.plan.model import Plan
from penstock.plan.passes import make_plan
from penstock.testing import checkers, graphs, naive
from penstock.testing.clock import FakeClock
from penstock.testing.executor import FakeExecutor, Mishaps, World
from penstock.testing.memory_state import MemoryState, MemoryStateStore
from penstock.wire import AttemptRequest, Inline, Report

AMOUNTS = {"cpu": 4_000, "memory": 8_000_000_000, "licence": 1_000}
LEASE_MS = 10_000
STEPS_MAX = 6_000
SIZE = 20


class Crash(BaseException):
    """The controller's process is gone, at this instruction."""


@dataclass(slots=True)
class Faults:
    """How likely each thing is to happen, each time that it could. Each seed has some of them."""

    crash_before_commit: float = 0.0
    crash_after_commit: float = 0.0
    crash_performing: float = 0.0
    crash_starting: float = 0.0
    crash_reading: float = 0.0
    commit_kept_unknown: float = 0.0
    commit_lost_unknown: float = 0.0
    unavailable: float = 0.0
    stall: float = 0.0
    """A controller stands still between its commit and what it was to perform; meanwhile its lease runs out."""
    pause: float = 0.0
    """A controller stands still for longer than its lease, and another takes over."""
    jump: float = 0.0
    resize: float = 0.0
    cancel: float = 0.0


HIGHEST = {
    "crash_before_commit": 0.08,
    "crash_after_commit": 0.08,
    "crash_performing": 0.08,
    "crash_starting": 0.15,
    "crash_reading": 0.02,
    "commit_kept_unknown": 0.08,
    "commit_lost_unknown": 0.08,
    "unavailable": 0.02,
    "stall": 0.05,
    "pause": 0.04,
    "jump": 0.05,
    "resize": 0.08,
    "cancel": 0.006,
}
MISHAPS = {
    "report_lost": 0.3,
    "report_doubled": 0.5,
    "report_delayed": 0.5,
    "refused": 0.15,
    "lost_sight": 0.5,
    "worker_died": 0.15,
}


def some_faults(rng: Random) -> tuple[Faults, Mishaps]:
    """A mixture: a seed has each kind of fault, or not, at a likelihood of its own; one seed in twelve has none."""
    if rng.random() < 1 / 12:
        return Faults(), Mishaps()
    chosen = {name: rng.random() * top if rng.random() < 0.45 else 0.0 for name, top in (HIGHEST | MISHAPS).items()}
    mishaps = Mishaps(**{name: chosen[name] for name in MISHAPS})
    return Faults(**{name: chosen[name] for name in HIGHEST}), mishaps


@dataclass(slots=True)
class Asked:
    """A run, what it should come to, and whether it was asked to stop."""

    run_id: str
    scenario: graphs.Scenario
    expected: naive.Result
    at_step: int
    submitted: bool = False
    cancelled: bool = False
    killed: bool = False


@dataclass(slots=True)
class Alive:
    """One controller's process."""

    number: int
    holder: Holder
    store: WatchedStore
    executor: WatchedExecutor
    controller: Controller
    reported: CapacityReported
    asleep_until: int = 0
    """The step at which it goes on."""
    committed: bool = False


class WatchedStore:
    """A controller's store, with the simulation listening at commits and cutting in around every call."""

    def __init__(self, sim: Simulation, inner: StateStore) -> None:
        self._sim = sim
        self.inner = inner
        self.alive: Alive | None = None

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def struck(*arguments: Any, **named: Any) -> Any:
            fault = "crash_starting" if name in ("acquire", "load") else "crash_reading"
            self._sim.strike(fault)
            answer = call(*arguments, **named)
            self._sim.strike(fault)
            return answer

        return struck

    def commit(self, commit: Commit) -> None:
        sim = self._sim
        sim.strike("crash_before_commit")
        if sim.chance("commit_lost_unknown"):
            raise CommitUnknown("it did not happen")
        if sim.chance("unavailable"):
            raise StoreUnavailable("the disk is full")
        self.inner.commit(commit)
        assert self.alive is not None
        sim.committed(self.alive, commit)
        sim.strike("crash_after_commit")
        if sim.chance("commit_kept_unknown"):
            raise CommitUnknown("it did happen")


class WatchedExecutor:
    """A controller's executor, with the simulation looking at what it is asked to do."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.inner = FakeExecutor(sim.world)
        self.alive: Alive | None = None
        self.stalled: list[AttemptRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def capacity(self) -> CapacityReported:
        assert self.alive is not None
        self.alive.reported = self.inner.capacity()
        return self.alive.reported

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        sim = self._sim
        assert self.alive is not None
        for request in requests:
            sim.starting(request)
            sim.strike("crash_performing")
            if sim.chance("stall"):
                sim.put_to_sleep(self.alive)
            if self.alive.asleep_until > sim.step_number:
                self.stalled.append(request)
            else:
                self.inner.start([request])

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        self._sim.note(f"    stop {attempt_id} within {grace_ms} ms")
        self._sim.trace(("stop", attempt_id, grace_ms))
        self._sim.strike("crash_performing")
        self.inner.stop(attempt_id, grace_ms=grace_ms)

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        self._sim.strike("crash_starting")
        self._sim.note(f"    adopt {', '.join(attempt_ids)}")
        self.inner.adopt(attempt_ids)
        self._sim.strike("crash_starting")

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        self._sim.strike("crash_reading")
        return self.inner.poll(timeout_ms)


@dataclass(slots=True)
class Simulation:
    seed: int
    size: int = SIZE
    verbose: bool = False
    rng: Random = field(init=False)
    clock: FakeClock = field(init=False)
    world: World = field(init=False)
    open_store: Callable[[], StateStore] | None = None
    store: StateStore = field(init=False)
    """The simulation's own view of the state store."""
    journal: checkers.Journal = field(default_factory=checkers.Journal)
    faults: Faults = field(init=False)
    asked: dict[str, Asked] = field(default_factory=dict)
    alive: list[Alive] = field(default_factory=list)
    dead: list[Holder] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)
    story: deque[str] = field(default_factory=lambda: deque(maxlen=400))
    counts: Counter[str] = field(default_factory=Counter)
    digest: Any = field(default_factory=hashlib.sha256)
    step_number: int = 0
    controllers: int = 0
    messages: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"sim {self.seed}")
        self.clock = FakeClock()
        if self.open_store is None:
            self.open_store = partial(MemoryStateStore, MemoryState())
        self.store = self.open_store()
        self.faults, mishaps = some_faults(self.rng)
        ahead_max = self.rng.choice((0, 0, 2))
        self.world = World(self.clock, self.rng, AMOUNTS, ahead_max, mishaps, tried=self.journal.tried)
        for index in range(self.rng.choice((1, 1, 1, 2))):
            scenario = graphs.random_scenario(self.seed * 10 + index, size=max(1, self.size // (index + 1)))
            expected = naive.evaluate(scenario.graph, scenario.inputs, graphs.answer({}))
            run_id = f"run{index}"
            self.asked[run_id] = Asked(run_id, scenario, expected, index and self.rng.randrange(20))

    # -- what is going on

    def note(self, line: str) -> None:
        self.story.append(f"{self.step_number:4} {self.clock.elapsed_ms:8} {line}")
        if self.verbose:
            print(self.story[-1])

    def trace(self, happened: object) -> None:
        self.digest.update(repr(happened).encode())

    def chance(self, fault: str) -> bool:
        likely: float = getattr(self.faults, fault)
        happens = likely > 0 and self.rng.random() < likely
        if happens:
            self.counts[fault] += 1
            self.note(f"    ! {fault}")
        return happens

    def strike(self, fault: str) -> None:
        if self.chance(fault):
            raise Crash(fault)

    # -- controllers

    def new_controller(self) -> Alive:
        self.controllers += 1
        number = self.controllers
        holder = Holder("host", "boot", number, 0, f"c{number}")
        assert self.open_store is not None
        store, executor = WatchedStore(self, self.open_store()), WatchedExecutor(self)
        controller = Controller(
            store=cast(StateStore, store),
            executors=[cast(Executor, executor)],
            clock=self.clock,
            holder=holder,
            plan_of=self.plan_of,
            lease_ms=LEASE_MS,
        )
        alive = Alive(number, holder, store, executor, controller, executor.inner.capacity())
        store.alive = executor.alive = alive
        self.alive.append(alive)
        self.note(f"controller {number} begins")
        return alive

    def plan_of(self, run: RunRow) -> Plan:
        if run.run_id not in self.plans:
            stored = self.store.graph(run.graph_digest)
            self.plans[run.run_id] = make_plan(graph_from_json(stored), graph_digest=run.graph_digest, pin=run.pin)
        return self.plans[run.run_id]

    def put_to_sleep(self, alive: Alive) -> None:
        alive.asleep_until = self.step_number + self.rng.randint(2, 25)
        self.note(f"controller {alive.number} stands still until step {alive.asleep_until}")

    def gone(self, alive: Alive, why: str) -> None:
        """A controller's process has ended, and what it ran with it, or not."""
        survive = self.rng.random() < 0.5
        self.note(f"controller {alive.number} is gone ({why}); what it ran {'goes on' if survive else 'dies'}")
        alive.executor.inner.crash(survive=survive)
        self.alive.remove(alive)
        alive.store.inner.close()
        self.dead.append(alive.holder)

    def take_runs(self, alive: Alive) -> None:
        """As whoever starts a controller does: take what is free, or held by somebody who is proved dead."""
        for run_id, asked in self.asked.items():
            if not asked.submitted or run_id in alive.controller.active():
                continue
            row, lease = self.store.run(run_id), self.store.lease_of(run_id)
            if row is None or row.state in TERMINAL_RUN_STATES:
                continue
            proved = lease.holder if lease and lease.holder in self.dead and self.rng.random() < 0.5 else None
            if alive.controller.take(run_id, dead=proved):
                self.note(f"controller {alive.number} takes {run_id}")

    def step(self, alive: Alive) -> None:
        alive.committed = False
        try:
            for request in alive.executor.stalled:
                alive.executor.inner.start([request])
            alive.executor.stalled.clear()
            self.take_runs(alive)
            self._listen(alive.controller._engine)
            alive.controller.step(self.rng.choice((0, 20, 200, 1_000)))
        except Crash as crash:
            self.gone(alive, str(crash))
            return
        except StoreUnavailable as error:
            self.gone(alive, str(error))
            return
        if alive.committed:
            self.check_memory(alive)

    def _listen(self, engine: Engine) -> None:
        if "handle" not in vars(engine):
            vars(engine)["handle"] = partial(self._handle, engine.handle)

    def _handle(self, handle: Callable[..., Decision], event: Event, *, now: int) -> Decision:
        decision = handle(event, now=now)
        if self.verbose and decision.transitions:
            self.note(f"  {event}"[:300])
        if self.rng.random() < 0.25:
            again = handle(event, now=now)
            checkers.demand(not again.transitions and not again.commands, f"{event} twice: {again.transitions}")
        return decision

    # -- what is checked as it happens

    def committed(self, alive: Alive, commit: Commit) -> None:
        alive.committed = True
        self.counts["commits"] += 1
        self.counts["transitions"] += len(commit.transitions)
        for change in commit.transitions:
            self.note(
                f"  {change.run_id}/{change.id} {change.machine} {change.before} -> {change.after} {change.cause.code}"
            )
            self.trace(
                (change.machine, change.run_id, change.id, change.before, change.after, change.cause, change.row)
            )
        submitted = self.journal.follow(commit.transitions)
        for run_id in dict.fromkeys(change.run_id for change in commit.transitions):
            lease = self.store.lease_of(run_id)
            checkers.demand(
                lease is not None and lease.holder == alive.holder, f"{run_id} changed by who does not hold it"
            )
            checkers.check_rows(commit.transitions, self.store.load(run_id))
        held = {run_id for run_id in self.asked if run_id in alive.controller.active()}
        checkers.check_capacity(self.journal, submitted, alive.reported, held)

    def starting(self, request: AttemptRequest) -> None:
        run_id = request.attempt_id.partition("/")[0]
        self.note(f"    start {request.attempt_id}")
        self.trace(("start", request))
        record = self.store.load(run_id)
        known = {f"{run_id}/{row.path}#{row.number}" for row in record.attempts}
        checkers.demand(request.attempt_id in known, f"{request.attempt_id} is started and was not committed")
        checkers.check_inputs(StartAttempt("local", request), self.asked[run_id].scenario.graph, record)

    def check_memory(self, alive: Alive) -> None:
        """What a controller remembers is what could be made again from the store."""
        for run_id in alive.controller.active():
            lease = self.store.lease_of(run_id)
            if lease is None or lease.holder != alive.holder:
                return
        rebuilt = Engine()
        for run_id in alive.controller._engine.runs():
            record = self.store.load(run_id)
            rebuilt.load(record, self.plan_of(record.run), now=self.clock.now())
        found, expected = rebuilt.dump(), alive.controller._engine.dump()
        checkers.demand(found == expected, f"rebuilt is not what was remembered:\n{difference(found, expected)}")

    # -- mischief

    def mischief(self) -> None:
        rng = self.rng
        for asked in self.asked.values():
            if not asked.submitted and asked.at_step <= self.step_number:
                self.submit(asked)
            elif asked.submitted and self.chance("cancel"):
                self.cancel(asked)
        if self.chance("jump"):
            by = rng.choice((-60_000, -5_000, -300, 300, 5_000, 60_000))
            self.note(f"the clock jumps by {by} ms")
            self.clock.jump(by)
        if self.chance("resize"):
            self.world.amounts = {**AMOUNTS, "cpu": rng.choice((1_000, 2_000, 3_000, 8_000))}
            self.note(f"capacity is {self.world.amounts}")
        if self.alive and self.chance("pause"):
            self.put_to_sleep(rng.choice(self.alive))

    def submit(self, asked: Asked) -> None:
        asked.submitted = True
        scenario = asked.scenario
        given = {spec.name: Inline(spec.default.value) for spec in scenario.graph.inputs if spec.default}
        row = RunRow(
            asked.run_id,
            scenario.graph.name,
            graph_digest(scenario.graph),
            given | dict(scenario.inputs),
            "pin",
            self.seed,
            self.clock.now(),
        )
        message = Message(f"submit {asked.run_id}", "submit", asked.run_id, self.clock.now())
        self.store.submit(Submission(row, graph_to_json(scenario.graph)), message)
        self.note(f"{asked.run_id} is submitted: {len(asked.expected.task_runs)} task runs, {asked.expected.state}")

    def cancel(self, asked: Asked) -> None:
        self.messages += 1
        force = self.rng.random() < 0.3
        asked.cancelled, asked.killed = True, asked.killed or force
        message = Message(f"cancel {self.messages}", "cancel", asked.run_id, self.clock.now(), {"force": force})
        self.store.post(message)
        self.note(f"{asked.run_id} is asked to stop{' at once' if force else ''}")

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.note("from now on nothing goes wrong")
        self.faults = Faults()
        self.world.mishaps = Mishaps()
        self.world.amounts = AMOUNTS
        for asked in self.asked.values():
            if not asked.submitted:
                self.submit(asked)

    # -- the whole

    def run(self) -> None:
        """Raises Violation when something that must hold does not; any other error is one of ours too."""
        calm_at = self.rng.randint(20, 160)
        while self.step_number < STEPS_MAX:
            self.step_number += 1
            if self.step_number == calm_at:
                self.calm()
            self.mischief()
            if self._all_ended():
                break
            awake = [alive for alive in self.alive if alive.asleep_until <= self.step_number]
            if not awake:
                self.clock.advance(self.rng.choice((10, 1_000, LEASE_MS)))
                awake = [self.new_controller()]
            alive = self.rng.choice(awake)
            self.step(alive)
            idle = [each for each in self.alive if each is not alive and not each.controller.active()]
            for each in idle if len(self.alive) > 1 else ():
                if each.asleep_until <= self.step_number:
                    self.gone(each, "nothing to do")
        for asked in self.asked.values():
            record = self.store.load(asked.run_id)
            checkers.check_end(
                record,
                asked.expected,
                asked.scenario.graph,
                timed=asked.scenario.timed,
                cancelled=asked.cancelled,
                killed=asked.killed,
            )
            self.counts["runs"] += 1
            self.counts["task runs"] += len(record.task_runs)
        self.counts["controllers"] += self.controllers
        self.counts["steps"] += self.step_number

    def _all_ended(self) -> bool:
        rows = [self.store.run(run_id) if asked.submitted else None for run_id, asked in self.asked.items()]
        return all(row is not None and row.state in TERMINAL_RUN_STATES for row in rows)


def difference(found: Any, expected: Any, where: str = "") -> str:
    """Where two nested pictures differ, as lines."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        return "\n".join(difference(found.get(key), expected.get(key), f"{where}/{key}") for key in keys)
    return f"  {where}: rebuilt {found!r}\n  {where}: in memory {expected!r}"


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    failure: str
    """What was broken, or ""."""
    story: tuple[str, ...]
    digest: str
    counts: Counter[str]


def simulate(seed: int, *, size: int = SIZE, verbose: bool = False, sqlite: bool = False) -> Verdict:
    """One world from its beginning to its end; its state in memory, or in a real database file."""
    if not sqlite:
        return _simulate(Simulation(seed, size=size, verbose=verbose))
    from penstock.stores.sql.store import open_state

    with tempfile.TemporaryDirectory() as folder:
        open_store = partial(open_state, Path(folder) / "state.db")
        return _simulate(Simulation(seed, size=size, verbose=verbose, open_store=open_store))


def _simulate(sim: Simulation) -> Verdict:
    failure = ""
    try:
        sim.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if not isinstance(error, checkers.Violation):
            import traceback

            failure += "\n" + "".join(traceback.format_tb(error.__traceback__)[-6:])
    finally:
        for alive in sim.alive:
            alive.store.inner.close()
        sim.store.close()
    return Verdict(sim.seed, failure, tuple(sim.story), sim.digest.hexdigest(), sim.counts)


def simulate_many(seeds: Sequence[int], *, size: int = SIZE, processes: int = 1, sqlite: bool = False) -> list[Verdict]:
    if processes <= 1:
        return [simulate(seed, size=size, sqlite=sqlite) for seed in seeds]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(simulate, size=size, sqlite=sqlite), seeds, chunksize=8))


def trace_digest(verdicts: Sequence[Verdict]) -> str:
    return hashlib.sha256("".join(verdict.digest for verdict in verdicts).encode()).hexdigest()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m penstock.testing.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--size", type=int, default=SIZE, help="how large the graphs are")
    parser.add_argument("--sqlite", action="store_true", help="over a real database file rather than memory")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="tell everything that happens")
    parser.add_argument("--brief", action="store_true", help="stop at the first failure and say only which")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if given.seed is not None:
        verdicts = [simulate(given.seed, size=given.size, verbose=given.verbose, sqlite=given.sqlite)]
    elif given.brief:
        verdicts = []
        for seed in range(given.first, given.first + given.seeds):
            verdicts.append(simulate(seed, size=given.size, sqlite=given.sqlite))
            if verdicts[-1].failure:
                break
    else:
        seeds = range(given.first, given.first + given.seeds)
        verdicts = simulate_many(seeds, size=given.size, processes=given.processes, sqlite=given.sqlite)
    return report(verdicts, seconds=time.monotonic() - began, brief=given.brief)


def report(verdicts: Sequence[Verdict], *, seconds: float, brief: bool) -> int:
    failed = [verdict for verdict in verdicts if verdict.failure]
    for verdict in failed[: 1 if brief else 5]:
        print(f"seed {verdict.seed} failed")
        for line in () if brief else verdict.story[-60:]:
            print(line)
        print(f"seed {verdict.seed}: {verdict.failure[:4_000]}\n")
    counts: Counter[str] = sum((verdict.counts for verdict in verdicts), Counter())
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"{len(verdicts)} seeds in {seconds:.1f} s, {len(failed)} failed; trace {trace_digest(verdicts)[:16]}")
    if failed:
        print("failed seeds: " + " ".join(str(verdict.seed) for verdict in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
