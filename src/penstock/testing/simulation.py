"""One simulated world: the real controller loop over random graphs, on a fake clock, while things go wrong. Checked after every
commit and at its end; see `testing.sim` for how to run it."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from penstock.base.errors import StoreUnavailable
from penstock.base.instants import Instant
from penstock.controller.answers import Answers, digests_in
from penstock.controller.controller import Controller
from penstock.effects import Commit, Executor, Holder, Message, StateStore, Submission
from penstock.engine.engine import Engine
from penstock.engine.events import Decision, Event, LookedUp, LookUp, StartAttempt, TimePassed
from penstock.engine.rows import AttemptRow, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, Origin, RunState
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.plan.model import Plan
from penstock.testing import checkers, graphs, naive, reuse
from penstock.testing.clock import FakeClock
from penstock.testing.executor import AMOUNTS, Mishaps, World
from penstock.testing.faults import Alive, Crash, Faults, WatchedExecutor, WatchedStore, some_faults
from penstock.testing.memory_state import MemoryState, MemoryStateStore
from penstock.values.store import ArtifactStore
from penstock.wire import AttemptRequest, Inline

LEASE_MS = 10_000
STEPS_MAX = 6_000
SIZE = 20
"""About how many nodes a graph has."""


@dataclass(slots=True)
class Asked:
    """A run, what it should come to, and whether it was asked to stop."""

    run_id: str
    scenario: graphs.Scenario
    expected: naive.Result
    at_step: int
    cache: str = "use"
    retry_of: str | None = None
    submitted: bool = False
    cancelled: bool = False
    killed: bool = False
    insists: int = 0
    """How often more it will be asked to stop, soon."""


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
    things: reuse.Things = field(default_factory=reuse.Things)
    ledger: reuse.Ledger = field(init=False)
    cached: bool = field(init=False)
    """Whether functions have a code; otherwise nothing has a key."""
    shared: bool = field(init=False)
    """Whether controllers take one run each, so that several compute at once."""
    more: int = field(init=False)
    """How many more runs will be asked for when all have ended."""
    calm_at: int = field(init=False)
    stepping: list[Alive] = field(default_factory=list)
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
    records: dict[str, tuple[int, RunRecord]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(f"sim {self.seed}")
        self.clock = FakeClock()
        if self.open_store is None:
            self.open_store = partial(MemoryStateStore, MemoryState())
        self.store = self.open_store()
        self.faults, mishaps = some_faults(self.rng)
        ahead_max = self.rng.choice((0, 0, 2))
        self.world = World(self.clock, self.rng, AMOUNTS, ahead_max, mishaps, tried=self.journal.tried)
        self.world.beside = self.things.beside
        self.ledger = reuse.Ledger(self.things, self.seed, self.journal.graphs)
        self.cached, self.shared = self.rng.random() < 0.85, self.rng.random() < 0.5
        self.more = self.rng.choice((0, 1, 1, 2, 3)) if self.cached else 0
        self.calm_at = self.rng.randint(20, 160)
        for index in range(self.rng.choice((1, 1, 1, 2))):
            scenario = graphs.random_scenario(self.seed * 10 + index, size=max(1, self.size // (index + 1)))
            self.ask(reuse.with_policies(scenario, self.rng) if self.cached else scenario)
        if self.cached and self.rng.random() < 0.5:
            self.ask(reuse.edited(self.asked["run0"].scenario, self.rng))

    def ask(self, scenario: graphs.Scenario, *, cache: str = "use", retry_of: str | None = None) -> None:
        """Ask for one more run."""
        run_id = f"run{len(self.asked)}"
        expected = naive.evaluate(scenario.graph, scenario.inputs, graphs.answer({}))
        at_step = self.step_number + (self.rng.randrange(20) if self.asked else 0)
        self.journal.graphs[run_id] = scenario.graph
        self.asked[run_id] = Asked(run_id, scenario, expected, at_step, cache, retry_of)

    def ask_again(self) -> None:
        """All runs have ended: the same again, or a little different; things go wrong once more."""
        self.more -= 1
        ended = list(self.asked.values())
        for _ in range(self.rng.choice((1, 1, 2))):
            before = self.rng.choice(ended)
            row = self.store.run(before.run_id)
            assert row is not None
            unsuccessful = row.state is not RunState.SUCCEEDED
            retry_of = before.run_id if unsuccessful and self.rng.random() < 0.7 else None
            scenario = before.scenario if self.rng.random() < 0.5 else reuse.edited(before.scenario, self.rng)
            self.ask(scenario, cache=self.rng.choice(("use", "use", "use", "write")), retry_of=retry_of)
        if self.rng.random() < 0.6:
            self.faults, self.world.mishaps = some_faults(self.rng)
            self.calm_at = self.step_number + self.rng.randint(20, 100)

    # -- what is going on

    def note(self, line: str) -> None:
        self.story.append(f"{self.step_number:4} {self.clock.elapsed_ms:8} {line}")
        if self.verbose:
            sys.stdout.write(self.story[-1] + "\n")

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
        answers = Answers(cast(StateStore, store), cast(ArtifactStore, self.things), self.things.digest_at)
        controller = Controller(
            store=cast(StateStore, store),
            executors=[cast(Executor, executor)],
            clock=self.clock,
            holder=holder,
            plan_of=self.plan_of,
            lease_ms=LEASE_MS,
            answer=partial(self.answer, answers),
        )
        alive = Alive(number, holder, store, executor, controller, executor.inner.capacity())
        store.alive = executor.alive = alive
        self.alive.append(alive)
        self.note(f"controller {number} begins")
        return alive

    def plan_of(self, run: RunRow) -> Plan:
        if run.run_id not in self.plans:
            graph = graph_from_json(self.store.graph(run.graph_digest))
            codes = reuse.codes_of(graph, self.seed) if self.cached else {}
            self.plans[run.run_id] = reuse.planned(graph, run, codes)
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
            if self.shared and alive.controller.active():
                continue
            row, lease = self.store.run(run_id), self.store.lease_of(run_id)
            if row is None or row.state in TERMINAL_RUN_STATES:
                continue
            proved = lease.holder if lease and lease.holder in self.dead and self.rng.random() < 0.5 else None
            if alive.controller.take(run_id, dead=proved):
                self.note(f"controller {alive.number} takes {run_id}")

    def step(self, alive: Alive) -> None:
        self.stepping.append(alive)
        try:
            self._step(alive)
        finally:
            self.stepping.remove(alive)

    def _step(self, alive: Alive) -> None:
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
        alive.interrupted &= set(alive.controller.active())
        if alive.committed:
            self.check_memory(alive)

    def _listen(self, engine: Engine) -> None:
        if "handle" not in vars(engine):
            vars(engine)["handle"] = partial(self._handle, engine.handle)

    def _handle(self, handle: Callable[..., Decision], event: Event, *, now: int) -> Decision:
        decision = handle(event, now=now)
        if self.verbose and decision.transitions:
            self.note(f"  {event}"[:300])
        more_is_due = decision.wake_at is not None and decision.wake_at <= now
        if self.rng.random() < 0.25 and not (more_is_due and isinstance(event, TimePassed)):
            again = handle(event, now=now)
            checkers.demand(not again.transitions and not again.commands, f"{event} twice: {again.transitions}")
            checkers.demand(not again.queries, f"{event} twice: {again.queries}")
        return decision

    def answer(self, answers: Answers, queries: Sequence[LookUp], now: Instant) -> list[LookedUp]:
        """Answer a controller's look-ups, and see that each was called for and is right."""
        found = answers.answer(queries, now)
        checkers.demand(len(found) == len(queries), f"{len(queries)} queries, {len(found)} answers")
        for query, answer in zip(queries, found, strict=True):
            asked = self.asked[query.run_id]
            checkers.demand(query.adopt_from == asked.retry_of, f"{query} of a run that retries {asked.retry_of}")
            checkers.demand(not query.read or asked.cache == "use", f"{query} of a run that reads nothing")
            adoptable = self.record(query.adopt_from).task_runs if query.adopt_from else ()
            self.ledger.check_answer(query, answer, now, adoptable)
            self.counts[f"answered {answer.how}"] += 1
            self.note(f"    {query.run_id}/{query.path}: {answer.how} {answer.source}")
        others = [each for each in self.alive if each not in self.stepping and each.asleep_until <= self.step_number]
        if others and self.chance("overtake"):
            self.step(self.rng.choice(others))
        return found

    # -- what is checked as it happens

    def committed(self, alive: Alive, commit: Commit) -> None:
        alive.committed = True
        self.counts.update(commits=1, transitions=len(commit.transitions), entries=len(commit.entries))
        for change in commit.transitions:
            self.note(
                f"  {change.run_id}/{change.id} {change.machine} {change.before} -> {change.after} {change.cause.code}"
            )
            self.trace(
                (change.machine, change.run_id, change.id, change.before, change.after, change.cause, change.row)
            )
        before = {run_id: self.journal.states.get((run_id, "run", run_id)) for run_id in self.asked}
        submitted = self.journal.follow(commit.transitions)
        self.ledger.follow(commit, self._is_live)
        self._check_reuse(commit, submitted)
        for run_id in dict.fromkeys(change.run_id for change in commit.transitions):
            lease = self.store.lease_of(run_id)
            checkers.demand(
                lease is not None and lease.holder == alive.holder, f"{run_id} changed by who does not hold it"
            )
            checkers.check_rows(commit.transitions, self.record(run_id))
            checkers.check_parallel(self.journal, run_id)
            row = self.store.run(run_id)
            unheard = row is not None and row.state in TERMINAL_RUN_STATES and not row.stopping
            told = f"{run_id} ended as if nobody had asked its controller to stop it"
            checkers.demand(not (unheard and run_id in alive.interrupted), told)
        for message_id in commit.consumed:
            run_id = message_id.partition(" ")[2].partition(" ")[0]
            row = self.store.run(run_id)
            obeyed = row is not None and (row.stopping or row.state in TERMINAL_RUN_STATES)
            is_cancel = message_id.startswith("cancel") and before[run_id] == "running"
            checkers.demand(bool(obeyed) or not is_cancel, f"{message_id} was consumed without effect")
        held = {run_id for run_id in self.asked if run_id in alive.controller.active()}
        checkers.check_capacity(self.journal, submitted, alive.reported, held)

    def _is_live(self, run_id: str, at: Instant) -> bool:
        lease = self.store.lease_of(run_id)
        return lease is not None and lease.expires_at > at

    def _check_reuse(self, commit: Commit, submitted: Sequence[AttemptRow]) -> None:
        sharing = {run_id for run_id, asked in self.asked.items() if asked.cache == "use"}
        aside = {reuse.id_of(entry) for entry in commit.entries if entry.run_id not in sharing}
        for row in (row for row in submitted if row.run_id in sharing):
            task = next(task for task in self.record(row.run_id).task_runs if task.path == row.path)
            self.ledger.check_submitted(row, task, self.journal.open, aside=aside)
        for found in (change.row for change in commit.transitions if change.after == "succeeded"):
            if isinstance(found, TaskRunRow) and found.origin is Origin.CACHED:
                self.ledger.check_found(found, self.record(found.run_id))

    def record(self, run_id: str) -> RunRecord:
        """What is stored of a run, read once after each commit."""
        commits = self.counts["commits"]
        known = self.records.get(run_id)
        if known is None or known[0] != commits:
            known = self.records[run_id] = (commits, self.store.load(run_id))
        return known[1]

    def starting(self, request: AttemptRequest) -> None:
        run_id = request.attempt_id.partition("/")[0]
        self.note(f"    start {request.attempt_id}")
        self.trace(("start", request))
        record = self.record(run_id)
        known = {f"{run_id}/{row.path}#{row.number}" for row in record.attempts}
        checkers.demand(request.attempt_id in known, f"{request.attempt_id} is started and was not committed")
        checkers.check_inputs(StartAttempt("local", request), self.asked[run_id].scenario.graph, record)

    def acknowledging(self, attempt_ids: Iterable[str], alive: Alive) -> None:
        """What is acknowledged has been committed, or is no longer this controller's to commit."""
        for attempt_id in attempt_ids:
            run_id, _, identity = attempt_id.partition("/")
            if run_id in alive.controller.active():
                state = self.journal.states.get((run_id, "attempt", identity))
                checkers.demand(state == "ended", f"the end of {attempt_id} is acknowledged and not committed")

    def check_memory(self, alive: Alive) -> None:
        """What a controller remembers is what could be made again from the store."""
        for run_id in alive.controller.active():
            lease = self.store.lease_of(run_id)
            if lease is None or lease.holder != alive.holder:
                return
        rebuilt = Engine()
        for run_id in alive.controller._engine.runs():
            record = self.record(run_id)
            rebuilt.load(record, self.plan_of(record.run), now=self.clock.now())
        found, expected = rebuilt.dump(), alive.controller._engine.dump()
        checkers.demand(
            found == expected, f"rebuilt is not what was remembered:\n{checkers.difference(found, expected)}"
        )

    # -- mischief

    def mischief(self) -> None:
        rng = self.rng
        for asked in self.asked.values():
            if not asked.submitted and asked.at_step <= self.step_number:
                self.submit(asked)
            elif asked.submitted and (asked.insists or self.chance("cancel")) and rng.random() < 0.7:
                self.cancel(asked)
        if self.chance("jump"):
            by = rng.choice((-60_000, -5_000, -300, 300, 5_000, 60_000))
            self.note(f"the clock jumps by {by} ms")
            self.clock.jump(by)
        if self.chance("resize"):
            cpu, gpu = rng.choice((1_000, 2_000, 3_000, 8_000)), rng.choice((0, 500, 1_000))
            self.world.amounts = {**AMOUNTS, "cpu": cpu, "gpu:A": gpu}
            self.note(f"capacity is {self.world.amounts}")
        if self.alive and self.chance("pause"):
            self.put_to_sleep(rng.choice(self.alive))
        if self.ledger.entries:
            self.meddle(rng.choice(list(self.ledger.entries)))

    def meddle(self, key: str) -> None:
        """Things that entries depend on change, or entries go."""
        if self.chance("vanish"):
            outputs = self.ledger.entries[key][-1].outputs
            self.things.gone.update(digest for datum in outputs.values() for digest in digests_in(datum))
        if self.chance("edit"):
            self.things.files[self.rng.choice(reuse.FILES)] = self.rng.randrange(3)
        if self.chance("forget"):
            self.store.delete_entries([key])
            del self.ledger.entries[key]

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
            retry_of=asked.retry_of,
            cache=asked.cache,
            learned=reuse.learned_of(scenario.graph, self.seed),
        )
        message = Message(f"submit {asked.run_id}", "submit", asked.run_id, self.clock.now())
        self.store.submit(Submission(row, graph_to_json(scenario.graph)), message)
        self.note(f"{asked.run_id} is submitted: {len(asked.expected.task_runs)} task runs, {asked.expected.state}")

    def cancel(self, asked: Asked) -> None:
        force = self.rng.random() < 0.3
        asked.insists = asked.insists - 1 if asked.insists else self.rng.choice((0, 0, 2, 4))
        asked.cancelled, asked.killed = True, asked.killed or force
        self.note(f"{asked.run_id} is asked to stop{' at once' if force else ''}")
        holders = [alive for alive in self.alive if asked.run_id in alive.controller.active()]
        if holders and self.rng.random() < 0.5:
            holders[-1].controller.request_cancel(asked.run_id, force=force)
            holders[-1].interrupted.add(asked.run_id)
            holders[-1].just_interrupted = True
            return
        self.messages += 1
        name = f"cancel {asked.run_id} {self.messages}"
        self.store.post(Message(name, "cancel", asked.run_id, self.clock.now(), {"force": force}))

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
        while self.step_number < STEPS_MAX:
            self.step_number += 1
            if self.step_number == self.calm_at:
                self.calm()
            self.mischief()
            if self._all_ended():
                if not self.more:
                    break
                self.ask_again()
            self.step(self._next())
            for each in list(self.alive) if len(self.alive) > 1 else ():
                if not each.controller.active() and each.asleep_until <= self.step_number and not self._is_free():
                    self.gone(each, "nothing to do")
        self._check_end()

    def _next(self) -> Alive:
        """The controller that goes on."""
        awake = [alive for alive in self.alive if alive.asleep_until <= self.step_number]
        if not awake:
            self.clock.advance(self.rng.choice((10, 1_000, LEASE_MS)))
            return self.new_controller()
        busy = all(alive.controller.active() for alive in awake)
        if self.shared and busy and len(self.alive) < 3 and self._is_free():
            return self.new_controller()
        return self.rng.choice(awake)

    def _is_free(self) -> bool:
        """Whether some run is held by none of the controllers."""
        held = {run_id for alive in self.alive for run_id in alive.controller.active()}
        waiting = [run_id for run_id, asked in self.asked.items() if asked.submitted and run_id not in held]
        rows = [self.store.run(run_id) for run_id in waiting]
        return any(row is not None and row.state not in TERMINAL_RUN_STATES for row in rows)

    def _check_end(self) -> None:
        if isinstance(self.store, MemoryStateStore):
            checkers.demand(not self.store.state.cache.claims, f"claims are left: {self.store.state.cache.claims}")
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
