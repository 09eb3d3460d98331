"""Look-ups, claims and entries through controllers: what several of them share, and what a commit holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from penstock.base.instants import Instant
from penstock.controller.answers import Answers
from penstock.controller.controller import LEASE_MS, Controller
from penstock.effects import Commit, Holder, Message, Submission
from penstock.engine.events import LookedUp, LookUp
from penstock.engine.rows import RunRow
from penstock.graph.codec import graph_digest, graph_to_json
from penstock.graph.model import Graph
from penstock.plan.model import CodeKey
from penstock.plan.passes import make_plan
from penstock.testing.clock import FakeClock
from penstock.testing.executor import FakeExecutor, World
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.testing.memory_state import MemoryState, MemoryStateStore
from penstock.testing.notation import graph
from penstock.wire import Artifact, AttemptRequest, Counted, Datum, Failed, Failure, Inline, Outcome, Succeeded


class Place:
    """One state store, one clock, one world in which functions take 1,000 ms and give 1; every function has a code."""

    def __init__(self, folder: Path) -> None:
        self.state, self.artifacts = MemoryState(), MemoryArtifactStore(folder)
        self.clock = FakeClock()
        self.world = World(self.clock, Random("cache turns"), {"cpu": 4_000}, perform=self.perform)
        self.store = MemoryStateStore(self.state)
        self.graphs: dict[str, Graph] = {}
        self.commits: list[Commit] = []
        self.failing: set[str] = set()

    def perform(self, request: AttemptRequest) -> tuple[Outcome, int | None]:
        if request.attempt_id in self.failing:
            return Failed(Failure("builtins:ValueError", "no")), 1_000
        return Succeeded({"out": Inline(1)}), 1_000

    def submit(self, run_id: str, asked: Graph) -> None:
        self.graphs[run_id] = asked
        row = RunRow(run_id, asked.name, graph_digest(asked), {}, "pin", 1, self.clock.now())
        message = Message(f"submit {run_id}", "submit", run_id, self.clock.now())
        self.store.submit(Submission(row, graph_to_json(asked)), message)

    def controller(self, number: int, *, between: Callable[[], None] | None = None) -> Controller:
        """`between` happens after each look-up, before what follows from it."""
        store = MemoryStateStore(self.state)
        answers = Answers(store, self.artifacts, lambda path: "")

        def answer(queries: Sequence[LookUp], now: Instant) -> Sequence[LookedUp]:
            found = answers.answer(queries, now)
            if between is not None:
                between()
            return found

        def commit(given: Commit) -> None:
            MemoryStateStore.commit(store, given)
            self.commits.append(given)

        vars(store)["commit"] = commit
        return Controller(
            store=store,
            executors=[FakeExecutor(self.world)],
            clock=self.clock,
            holder=Holder("host", "boot", number, 0),
            plan_of=self.plan_of,
            answer=answer,
        )

    def plan_of(self, run: RunRow):  # type: ignore[no-untyped-def]
        asked = self.graphs[run.run_id]
        return make_plan(asked, codes={f"notation:{name}": CodeKey(name[0], "") for name in names_in(asked)})

    def origin(self, run_id: str, path: str = "a") -> str:
        row = next(row for row in self.store.task_runs(run_id) if row.path == path)
        return f"{row.cause.code} {row.cause.by}" if row.origin == "cached" else str(row.origin)


def names_in(asked: Graph) -> list[str]:
    return [node.name for node in asked.nodes]


def work(place: Place, *controllers: Controller) -> None:
    """Let the controllers go on until none has a run."""
    for _ in range(400):
        for controller in controllers:
            controller.step(100)
        if not any(controller.active() for controller in controllers):
            return
    raise AssertionError("runs did not end")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_two_controllers_compute_a_key_once(place: Place) -> None:
    first, second = place.controller(1), place.controller(2)
    for controller, run_id in ((first, "one"), (second, "two")):
        place.submit(run_id, graph("a"))
        assert controller.take(run_id)
    work(place, first, second)
    assert place.world.started == ["one/a#1"]
    assert (place.origin("one"), place.origin("two")) == ("computed", "hit one/a")
    assert place.state.cache.claims == {}


def test_when_the_one_fails_the_other_computes(place: Place) -> None:
    first, second = place.controller(1), place.controller(2)
    for controller, run_id in ((first, "one"), (second, "two")):
        place.submit(run_id, graph("a"))
        assert controller.take(run_id)
    place.failing = {"one/a#1"}
    work(place, first, second)
    assert place.world.started == ["one/a#1", "two/a#1"]
    assert place.origin("two") == "computed"


def test_who_claims_too_late_waits(place: Place) -> None:
    """Both look up, and find nothing; the commit of the second is refused, nothing of it is written or started."""
    first = place.controller(1)
    once = [lambda: first.step(0)]
    second = place.controller(2, between=lambda: once.pop()() if once else None)
    for controller, run_id in ((first, "one"), (second, "two")):
        place.submit(run_id, graph("a"))
        assert controller.take(run_id)
    second.step(0)
    assert once == []
    assert place.world.started == ["one/a#1"]
    assert place.store.task_runs("two") == []
    work(place, second, first)
    assert place.world.started == ["one/a#1"]
    assert place.origin("two") == "hit one/a"


def test_who_claims_what_was_entered_meanwhile_finds_it(place: Place) -> None:
    """The first computes the key, and is done, between the look-up of the second and its commit."""
    first = place.controller(1)
    once = [lambda: work(place, first)]
    second = place.controller(2, between=lambda: once.pop()() if once else None)
    for controller, run_id in ((first, "one"), (second, "two")):
        place.submit(run_id, graph("a"))
        assert controller.take(run_id)
    second.step(0)
    assert place.origin("one") == "computed"
    assert place.store.task_runs("two") == []
    work(place, second)
    assert place.world.started == ["one/a#1"]
    assert place.origin("two") == "hit one/a"


def test_what_was_entered_while_it_stood_in_line_is_found(place: Place) -> None:
    """Both looked it up when it was ready; the first has computed it when the second comes to it."""
    place.world.amounts = {"cpu": 1_000}
    first, second = place.controller(1), place.controller(2)
    place.submit("two", graph("long; a"))
    assert second.take("two")
    second.step(0)
    assert place.world.started == ["two/long#1"]
    place.submit("one", graph("a"))
    assert first.take("one")
    work(place, first)
    place.commits.clear()
    work(place, second)
    assert place.world.started == ["two/long#1", "one/a#1"]
    assert place.origin("two") == "hit one/a"
    assert all(not commit.claims for commit in place.commits), "nothing was claimed in vain"


def test_what_a_turn_enters_is_found_in_the_same_turn(place: Place) -> None:
    """The second has the same key as the first, and becomes ready by the first one's end."""
    place.submit("one", graph("a => a2"))
    controller = place.controller(1)
    assert controller.take("one")
    work(place, controller)
    assert place.world.started == ["one/a#1"]
    assert place.origin("one", "a2") == "hit one/a"


def test_a_run_that_is_cancelled_before_it_begins_never_begins(place: Place) -> None:
    place.submit("one", graph("a"))
    controller = place.controller(1)
    assert controller.take("one")
    controller.request_cancel("one")
    work(place, controller)
    assert place.world.started == []
    row = place.store.run("one")
    assert row is not None
    assert row.state.value == "cancelled"


def test_when_a_run_goes_to_another_controller_who_waited_for_it_goes_on(place: Place) -> None:
    """Nothing else happens that would have the engine look again."""
    first, second = place.controller(1), place.controller(2)
    for run_id in ("one", "two"):
        place.submit(run_id, graph("a"))
        assert first.take(run_id)
    first.step(0)
    assert place.world.started == ["one/a#1"]
    first.step(0)  # takes in that it has started: from here on there is nothing more to hear
    place.clock.advance(LEASE_MS + 1)
    assert second.take("one")
    work(place, first, second)
    assert place.world.started == ["one/a#1"]
    assert (place.origin("one"), place.origin("two")) == ("computed", "hit one/a")


def test_a_chain_of_hits_is_one_commit(place: Place) -> None:
    chain = graph(" -> ".join(f"n{number}" for number in range(300)))
    runs = ["one", "two"]
    for run_id in runs:
        place.submit(run_id, chain)
    place.plan_of = lambda run: make_plan(  # type: ignore[method-assign]
        chain, codes={f"notation:n{number}": CodeKey(str(number), "") for number in range(300)}
    )
    place.world.perform = lambda request: (Succeeded({"out": Inline(1)}), 1)
    controller = place.controller(1)
    controller.take("one")
    for _ in range(2_000):
        controller.step(100)
        if not controller.active():
            break
    place.commits.clear()
    controller.take("two")
    controller.step(0)
    row = place.store.run("two")
    assert row is not None
    assert row.state.value == "succeeded"
    assert len(place.commits) == 1
    assert len(place.commits[0].transitions) == 2 + 2 * 300
    assert {change.cause.code for change in place.commits[0].transitions if change.after == "succeeded"} >= {"hit"}


def test_hits_beyond_the_largest_turn_go_on_in_the_next(place: Place) -> None:
    wide = graph("; ".join(f"a{number}" for number in range(5_000)))
    for run_id in ("one", "two"):
        place.submit(run_id, wide)
    controller = place.controller(1)
    controller.take("one")
    work(place, controller)
    assert len(place.world.started) == 1
    place.commits.clear()
    controller.take("two")
    work(place, controller)
    assert len(place.world.started) == 1
    assert 1 < len(place.commits) <= 4
    row = place.store.run("two")
    assert row is not None
    assert row.state.value == "succeeded"


def test_what_a_task_run_was_given_is_kept_for_lineage(place: Place) -> None:
    tables = {letter: Artifact("blake3:" + letter * 64, "m:Frame", "parquet", 5) for letter in "ab"}
    outputs: dict[str, Datum] = {"out": Counted((tables["a"], tables["b"], tables["a"]))}
    # Only whether they are there is asked of the content, by a digest of any kind.
    place.artifacts.keep = lambda digest: True  # type: ignore[method-assign]
    place.perform = lambda request: (  # type: ignore[method-assign]
        Succeeded(outputs if request.attempt_id.split("/")[1].startswith("a") else {"out": Inline(1)}),
        1_000,
    )
    place.world = World(place.clock, Random("lineage"), {"cpu": 4_000}, perform=place.perform)
    for run_id in ("one", "two"):
        controller = place.controller(1)
        place.submit(run_id, graph("a -> b -> c"))
        assert controller.take(run_id)
        work(place, controller)
    assert [place.origin("two", path) for path in "abc"] == ["hit one/a", "hit one/b", "hit one/c"]
    for table in tables.values():
        made, given = place.store.producers(table.digest), place.store.consumers(table.digest)
        assert [(link.run_id, link.path) for link in made] == [("one", "a"), ("two", "a")]
        assert [(link.run_id, link.path) for link in given] == [("one", "b"), ("two", "b")]
