"""A rehearsal is the engine's own run, without anything being done; played again, a stored run gives its own rows."""

from __future__ import annotations

import random

import pytest

from penstock.app.rehearsing import is_unknown, play_unlimited, rehearse, unknown_outputs
from penstock.base.instants import Instant
from penstock.engine.rows import RunRow
from penstock.engine.states import TaskState
from penstock.graph.bindings import Output, leaves
from penstock.graph.model import Graph
from penstock.plan.passes import make_plan
from penstock.testing.notation import graph
from penstock.wire import AttemptRequest, Inline, Outcome, Succeeded

RUN = RunRow("1" * 13, "p", "d", {}, "pin", 0, Instant(1_000))
CAPACITY = {"cpu": 2_000, "memory": 1 << 30}


def names_of(drawn: Graph) -> list[str]:
    return [node.name for node in drawn.nodes]


def taking(ms: float):
    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        return Succeeded(unknown_outputs(request)), ms

    return respond


def test_time_is_played_by_packing_the_machine() -> None:
    chain = rehearse(RUN, make_plan(graph("a -> b -> c")), respond=taking(100), capacity=CAPACITY)
    assert chain.took_ms == 300
    wide = rehearse(RUN, make_plan(graph("a, b, c, d, e")), respond=taking(100), capacity=CAPACITY)
    assert wide.took_ms == 300, "five of them on two cores"
    assert {row.path: row.state for row in wide.task_runs} == dict.fromkeys("abcde", TaskState.SUCCEEDED)
    assert play_unlimited(RUN, make_plan(graph("a, b, c, d, e")), respond=taking(100)).took_ms == 100


def test_what_is_unknown_is_equal_only_to_itself() -> None:
    seen: dict[str, AttemptRequest] = {}

    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        seen[request.attempt_id.rpartition("/")[2]] = request
        return Succeeded(unknown_outputs(request)), 0

    rehearse(RUN, make_plan(graph("a, b -> c")), respond=respond, capacity=CAPACITY)
    outputs = [unknown_outputs(request) for request in seen.values()]
    data = [datum for each in outputs for datum in each.values()]
    assert all(is_unknown(datum) for datum in data)
    assert len({repr(datum) for datum in data}) == len(data)
    assert not is_unknown(Inline("unknown:a"))


@pytest.mark.parametrize("seed", range(20))
def test_played_time_is_at_least_the_longest_path_and_the_work_over_the_cores(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(chance.randint(2, 12))]
    text = "; ".join(f"{a} -> {b}" for i, a in enumerate(names) for b in names[i + 1 :] if chance.random() < 0.3)
    drawn = graph(text or "n0 -> n1")
    took = {node.name: float(chance.randint(1, 50)) for node in drawn.nodes}

    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        path = request.attempt_id.partition("/")[2].rpartition("#")[0]
        return Succeeded(unknown_outputs(request)), took[path]

    played = rehearse(RUN, make_plan(drawn), respond=respond, capacity=CAPACITY).took_ms
    inputs = {node.name: [leaf for value in node.inputs.values() for leaf in leaves(value)] for node in drawn.nodes}

    def path_ms(name: str) -> float:
        return took[name] + max((path_ms(leaf.node) for leaf in inputs[name] if isinstance(leaf, Output)), default=0.0)

    assert played >= max(*map(path_ms, names_of(drawn)), sum(took.values()) / 2)
    assert played <= sum(took.values())
