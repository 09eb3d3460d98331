"""A controller that loses a lease to a living one stops what it had started for that run, and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from penstock.controller.controller import LEASE_MS, Controller
from penstock.effects import Holder, Message, Submission
from penstock.engine.rows import RunRow
from penstock.graph.codec import graph_digest, graph_to_json
from penstock.plan.passes import make_plan
from penstock.testing.clock import FakeClock
from penstock.testing.executor import FakeExecutor, World
from penstock.testing.memory_state import MemoryState, MemoryStateStore
from penstock.testing.notation import graph
from penstock.wire import AttemptRequest, Cancelled, Inline, Outcome, Succeeded

OTHER = Holder("host", "boot", 99, 0)
GRAPH = graph("a")


def takes_an_hour(request: AttemptRequest) -> tuple[Outcome, int | None]:
    return Succeeded({"out": Inline(1)}), 3_600_000


class Place:
    """One state store, one clock, one world."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.world = World(self.clock, Random("lost leases"), {"cpu": 4_000}, perform=takes_an_hour)
        self.store = MemoryStateStore(MemoryState())

    def submit(self, run_id: str) -> None:
        row = RunRow(run_id, GRAPH.name, graph_digest(GRAPH), {}, "pin", 1, self.clock.now())
        message = Message(f"submit {run_id}", "submit", run_id, self.clock.now())
        self.store.submit(Submission(row, graph_to_json(GRAPH)), message)

    def controller(self) -> Controller:
        return Controller(
            store=self.store,
            executors=[FakeExecutor(self.world)],
            clock=self.clock,
            holder=Holder("host", "boot", 1, 0),
            plan_of=lambda run: make_plan(GRAPH),
        )

    def outcome(self, attempt_id: str) -> Outcome | None:
        end = self.world.happenings[attempt_id].end
        return None if end is None else end.outcome


@pytest.fixture
def place() -> Place:
    return Place()


def begun(place: Place) -> Controller:
    """A controller that holds two runs, an attempt of each in flight."""
    controller = place.controller()
    for run_id in ("one", "two"):
        place.submit(run_id)
        assert controller.take(run_id)
    while len(place.world.started) < 2:
        controller.step(100)
    return controller


def steal(place: Place, run_id: str) -> None:
    """Another controller takes a run over, the first having stood still for longer than its lease."""
    place.clock.advance(LEASE_MS + 1)
    lease = place.store.acquire(run_id, OTHER, now=place.clock.now(), lease_ms=LEASE_MS)
    assert lease is not None


def settle(place: Place, controller: Controller) -> None:
    for _ in range(200):
        controller.step(1_000)


def test_a_lease_that_cannot_be_renewed_stops_its_attempts(place: Place) -> None:
    controller = begun(place)
    steal(place, "one")
    settle(place, controller)
    assert controller.active() == ("two",)
    assert isinstance(place.outcome("one/a#1"), Cancelled)
    assert place.outcome("two/a#1") is None, "the other run goes on"


def test_a_commit_that_is_refused_stops_its_attempts(place: Place) -> None:
    controller = begun(place)
    steal(place, "one")
    controller.request_cancel("one")
    controller.turn(controller._pending, place.clock.now())  # before it looks at its leases
    assert controller.active() == ("two",)
    controller._pending = []
    settle(place, controller)
    assert isinstance(place.outcome("one/a#1"), Cancelled)
    assert place.outcome("two/a#1") is None
    row = next(row for row in place.store.attempts("one"))
    assert row.outcome is None, "what it came to is nobody's to write"
