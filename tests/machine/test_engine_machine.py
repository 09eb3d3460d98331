"""The engine against the naive evaluator, with everything that can come in coming in any order: reports, repeats, late
ones, answers of the cache, time, capacity, cancels, and being rebuilt from its rows."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.engine.events import CancelRequested, CapacityReported, TimePassed
from penstock.testing import checkers, fakes, graphs, naive, reuse
from penstock.testing.alone import EngineAlone
from penstock.testing.executor import AMOUNTS
from penstock.wire import AttemptStarted, Lost, Refused, Succeeded

ROOM = {**AMOUNTS, "cpu": 2_000}


class EngineMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32), size=st.integers(1, 20), cpu=st.sampled_from([2_000, 3_000, 8_000]))
    def submit(self, seed: int, size: int, cpu: int) -> None:
        self.alone = EngineAlone(capacity=CapacityReported("local", {**ROOM, "cpu": cpu}))
        self.scenario = graphs.random_scenario(seed, size=size)
        self.expected = naive.evaluate(self.scenario.graph, self.scenario.inputs, graphs.answer({}))
        self.cancelled = False
        self.over: list[str] = []
        self.codes = reuse.codes_of(self.scenario.graph, seed)
        self.alone.submit("r", self.scenario.graph, self.scenario.inputs, codes=self.codes)

    @precondition(lambda self: "s" not in self.alone.asked)
    @rule(cache=st.sampled_from(["use", "use", "write"]))
    def submit_again(self, cache: str) -> None:
        """The same in another run: it shares what can be shared."""
        self.alone.submit("s", self.scenario.graph, self.scenario.inputs, codes=self.codes, cache=cache)

    def pick(self, number: int) -> str:
        ids = sorted(self.alone.requests)
        return ids[number % len(ids)]

    def is_slow(self, attempt_id: str) -> bool:
        """Whether an attempt never ends by itself, and nobody has asked it to."""
        name = self.alone.requests[attempt_id].component.name
        return fakes.behaviour_of(name) == "slow" and attempt_id not in self.alone.stops

    @precondition(lambda self: self.alone.requests)
    @rule(number=st.integers(0, 50))
    def start(self, number: int) -> None:
        self.alone.handle(AttemptStarted(self.pick(number), self.alone.clock.now(), "w1"))

    @precondition(lambda self: self.alone.requests)
    @rule(number=st.integers(0, 50))
    def end(self, number: int) -> None:
        attempt_id = self.pick(number)
        if not self.is_slow(attempt_id):
            self.over.append(attempt_id)
            self.alone.end(attempt_id, self.alone.answer(attempt_id))

    @precondition(lambda self: self.alone.requests)
    @rule(number=st.integers(0, 50), lost=st.booleans())
    def befall(self, number: int, lost: bool) -> None:
        attempt_id = self.pick(number)
        self.over.append(attempt_id)
        self.alone.end(attempt_id, Lost("the worker died") if lost else Refused("not now"))

    @precondition(lambda self: self.alone.questions)
    @rule(number=st.integers(0, 50), claimed=st.booleans())
    def reply(self, number: int, claimed: bool) -> None:
        questions = sorted(self.alone.questions)
        self.alone.reply(questions[number % len(questions)], claimed=claimed)

    @precondition(lambda self: self.over)
    @rule(number=st.integers(0, 50))
    def report_late(self, number: int) -> None:
        decision = self.alone.end(self.over[number % len(self.over)], Succeeded({}))
        assert not decision.transitions

    @rule(ms=st.sampled_from([0, 1, 60, 1_000, 5_000, 60_000]))
    def let_time_pass(self, ms: int) -> None:
        self.alone.clock.advance(ms)
        self.alone.handle(TimePassed())

    @rule(cpu=st.sampled_from([1_000, 2_000, 4_000, 16_000]), ahead_max=st.sampled_from([0, 0, 2]))
    def resize(self, cpu: int, ahead_max: int) -> None:
        self.alone.handle(CapacityReported("local", {**ROOM, "cpu": cpu}, ahead_max))

    @rule()
    def rebuild(self) -> None:
        self.alone.rebuild()

    @rule(often=st.integers(0, 9), force=st.booleans())
    def cancel(self, often: int, force: bool) -> None:
        if often == 0 and not self.alone.ended("r"):
            self.cancelled = True
            self.alone.handle(CancelRequested("r", force))

    @invariant()
    def finished_runs_have_nothing_open(self) -> None:
        for run_id in self.alone.asked if hasattr(self, "alone") else ():
            if self.alone.ended(run_id):
                assert not [attempt_id for attempt_id in self.alone.requests if attempt_id.startswith(f"{run_id}/")]

    def teardown(self) -> None:
        """Once nothing goes wrong any more, the run ends, as its graph means."""
        if not hasattr(self, "alone"):
            return
        alone = self.alone
        alone.handle(CapacityReported("local", {**ROOM, "cpu": 4_000}))
        for _ in range(5_000):
            if all(alone.ended(run_id) for run_id in alone.asked):
                break
            for question in sorted(alone.questions):
                alone.reply(question)
            for attempt_id in sorted(alone.requests):
                alone.handle(AttemptStarted(attempt_id, alone.clock.now(), "w1"))
                if not self.is_slow(attempt_id):
                    alone.end(attempt_id, alone.answer(attempt_id))
            alone.clock.advance(200)
            alone.handle(TimePassed())
        for run_id in alone.asked:
            cancelled = self.cancelled and run_id == "r"
            checkers.check_end(
                alone.asked[run_id].record(),
                self.expected,
                self.scenario.graph,
                timed=self.scenario.timed,
                cancelled=cancelled,
                killed=cancelled,
            )


EngineMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestEngineMachine = EngineMachine.TestCase
