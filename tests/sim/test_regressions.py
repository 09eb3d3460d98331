"""What the simulator found, each as the shortest transcript that shows it. Seeds are of the generator of graphs at that time."""

from __future__ import annotations

from random import Random

import pytest

from penstock.base.errors import CommitUnknown
from penstock.base.instants import Instant
from penstock.controller.controller import Controller
from penstock.effects import Holder, Message, Submission
from penstock.engine.engine import Engine
from penstock.engine.events import AttemptEnded, CancelRequested, CapacityReported, Event
from penstock.engine.rows import RunRow
from penstock.graph.codec import graph_digest, graph_to_json
from penstock.plan.passes import make_plan
from penstock.testing.alone import EngineAlone
from penstock.testing.clock import FakeClock
from penstock.testing.executor import FakeExecutor, World
from penstock.testing.memory_state import MemoryStateStore, Moment
from penstock.testing.notation import graph
from penstock.wire import Failed, Failure, Inline, Succeeded

DONE = Succeeded({"out": Inline(1)})
FAILED = Failed(Failure("builtins:ValueError", "no"))


def alone(text: str, *, cpu: int = 4_000) -> EngineAlone:
    engine = EngineAlone(capacity=CapacityReported("local", {"cpu": cpu}))
    engine.submit("r", graph(text), {})
    return engine


def test_a_run_that_has_ended_is_loaded_without_ending_again() -> None:
    """Found by the machine: loaded from its rows, an ended graph was told to the run once more: succeeded -> succeeded."""
    engine = alone("a")
    engine.end("r/a#1", DONE)
    engine.rebuild()
    assert engine.ended("r")


def test_a_map_that_waits_for_its_next_generation_remembers_no_inputs() -> None:
    """Seed 171: a map in backoff kept the inputs of the generation before; rebuilt from its rows it had none."""
    engine = alone("a; a -> m*1[retry=2]{f}")
    engine.end("r/a#1", Succeeded({"out": Inline([5])}))
    engine.end("r/m/0/f#1", FAILED)
    engine.rebuild()


def test_an_item_that_had_succeeded_when_its_run_was_cancelled_has_succeeded() -> None:
    """Seed 103: after a cancel, an item that had ended well was kept in memory and dropped when rebuilt."""
    engine = alone("m*2{f}")
    engine.end("r/m/0/f#1", DONE)
    engine.handle(CancelRequested("r"))
    engine.rebuild()


def test_what_runs_beyond_a_shrunken_capacity_keeps_its_room_when_rebuilt() -> None:
    """Seed 2060: an attempt larger than the capacity had become was taken for one that waits, and its room given away."""
    engine = alone("a[cpu=2]; b; c", cpu=3_000)
    assert set(engine.requests) == {"r/a#1", "r/b#1"}
    asked = engine.asked["r"]
    rebuilt = Engine()
    rebuilt.handle(CapacityReported("local", {"cpu": 1_000}), now=engine.clock.now())
    rebuilt.load(asked.record(), asked.plan, now=engine.clock.now())
    decision = rebuilt.handle(AttemptEnded("r/b#1", DONE), now=engine.clock.now())
    assert decision.commands == ()


class Unreliable:
    """Interrupts a store: the next commit did not happen, and nobody knows."""

    def __init__(self) -> None:
        self.armed = False

    def __call__(self, call: str, moment: Moment) -> None:
        if call == "commit" and moment is Moment.BEFORE and self.armed:
            self.armed = False
            raise CommitUnknown("it did not happen")


@pytest.fixture
def unreliable() -> Unreliable:
    return Unreliable()


@pytest.fixture
def store(unreliable: Unreliable) -> MemoryStateStore:
    return MemoryStateStore(interrupt=unreliable)


@pytest.fixture
def controller(store: MemoryStateStore) -> Controller:
    """It holds two runs, each with an attempt that never ends by itself."""
    clock = FakeClock()
    asked = graph("slow_a -> b; c")
    controller = Controller(
        store=store,
        executors=[FakeExecutor(World(clock, Random("regressions"), {"cpu": 4_000}))],
        clock=clock,
        holder=Holder("host", "boot", 1, 0),
        plan_of=lambda run: make_plan(asked),
    )
    for run_id in ("one", "two"):
        row = RunRow(run_id, asked.name, graph_digest(asked), {}, "pin", 1, clock.now())
        message = Message(f"submit {run_id}", "submit", run_id, clock.now())
        store.submit(Submission(row, graph_to_json(asked)), message)
        assert controller.take(run_id)
    controller.step(0)
    return controller


def test_a_message_without_effect_is_consumed_beside_changes_of_another_run(
    controller: Controller, store: MemoryStateStore
) -> None:
    """Found by reading: a second cancel of one run, in the turn that changed another, was committed without its lease."""
    now = FakeClock().now()
    messages = [Message(f"cancel {number}", "cancel", "one", now, {"force": False}) for number in range(2)]
    for message in messages:
        store.post(message)
    controller.turn([CancelRequested("one")], now, consumed=messages[:1])
    events: list[Event] = [CancelRequested("one"), AttemptEnded("two/c#1", DONE)]
    assert controller.turn(events, now, consumed=messages[1:])
    assert store.inbox(["one"]) == []
    assert {row.path: row.state.value for row in store.task_runs("two")} == {"c": "succeeded", "slow_a": "running"}


def test_an_interrupt_is_not_lost_with_the_commit_that_it_led_to(
    controller: Controller, store: MemoryStateStore, unreliable: Unreliable
) -> None:
    """Seeds 298, 306, 328, 767: Ctrl-C, then a commit of unknown outcome: memory was made again, the interrupt forgotten."""
    controller.request_cancel("one")
    unreliable.armed = True
    controller.step(0)
    assert not unreliable.armed
    controller.step(0)
    run = store.run("one")
    assert run is not None
    assert run.stopping == "cancel"


def test_a_controller_that_lost_one_run_does_not_adopt_another_that_it_lost(
    controller: Controller, store: MemoryStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 60149: both runs had been taken over; the first commit named one, and making memory again took the attempts of the
    other from the controller that watched them, so that nobody heard of their end."""
    adopted: list[str] = []
    monkeypatch.setattr(controller._executors["local"], "adopt", adopted.extend)
    later = Instant(FakeClock().now() + 60_000)
    for run_id in ("one", "two"):
        assert store.acquire(run_id, Holder("host", "boot", 2, 0), now=later, lease_ms=30_000) is not None
    assert not controller.turn([AttemptEnded("one/c#1", DONE)], FakeClock().now())
    assert adopted == []
    assert controller.active() == ()
