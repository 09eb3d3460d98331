"""The generator of random graphs: valid, the same for a seed, and of everything that a graph can have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from penstock.graph.bindings import Expression, Index, Item, OneOf, Output, Round, StateOf, Text, Value
from penstock.graph.check import check
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.graph.expression.tree import Operation
from penstock.graph.model import Branch, Finally, Graph, Loop, Map, Node, bodies_of
from penstock.testing import fakes, graphs, naive
from penstock.testing.naive import values_in

SEEDS = range(400)


@pytest.fixture(scope="module")
def scenarios() -> list[graphs.Scenario]:
    return [graphs.random_scenario(seed, size=20) for seed in SEEDS]


def nodes_of(graph: Graph, depth: int = 0) -> Iterator[tuple[Node, int]]:
    for node in graph.nodes:
        yield node, depth
        for body, _ in bodies_of(node):
            yield from nodes_of(body, depth + 1)


def features_of(node: Node, depth: int) -> Iterator[str]:
    yield f"{type(node).__name__} at depth {depth}"
    for value in values_in(node):
        yield from _features_in(value)
    if isinstance(node, Finally):
        return
    yield f"trigger {node.order.trigger.value}"
    yield from (name for name in ("after", "when") if getattr(node.order, name))
    yield from (
        name for name in ("retry", "timeout_ms", "priority", "resources") if getattr(node.policy, name) is not None
    )
    if isinstance(node, Map):
        yield f"parallel {node.parallel_max}"
        yield "tolerant" if node.failures_max else "strict"
    elif isinstance(node, Loop):
        yield f"exhausted {node.exhausted}"
        yield "carry" if node.carry else "no carry"
        yield "until" if node.until else "no until"
    elif isinstance(node, Branch):
        yield f"{len(node.cases)} cases"
        yield "otherwise" if node.cases[-1].when is None else "no otherwise"


def _features_in(value: Value) -> Iterator[str]:
    yield type(value).__name__
    for inner in value.sources if isinstance(value, OneOf) else ():
        yield from _features_in(inner)


def test_they_are_valid(scenarios: list[graphs.Scenario]) -> None:
    errors = [str(d) for scenario in scenarios for d in check(scenario.graph) if d.severity == "error"]
    assert errors == []


def test_they_come_back_from_json_as_they_were(scenarios: list[graphs.Scenario]) -> None:
    for scenario in scenarios[:100]:
        assert graph_from_json(graph_to_json(scenario.graph)) == scenario.graph


def test_the_same_seed_gives_the_same_graph(scenarios: list[graphs.Scenario]) -> None:
    again = [graphs.random_scenario(seed, size=20) for seed in SEEDS[:50]]
    assert [graph_digest(s.graph) for s in again] == [graph_digest(s.graph) for s in scenarios[:50]]
    assert len({graph_digest(s.graph) for s in scenarios}) == len(SEEDS)


def test_a_smaller_size_gives_a_smaller_graph() -> None:
    sizes = [
        sum(graphs.nodes_within(graphs.random_scenario(s, size=size).graph) for s in range(50)) for size in (1, 8, 30)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 50 * 4


def test_every_kind_and_feature_appears(scenarios: list[graphs.Scenario]) -> None:
    found: Counter[str] = Counter()
    for scenario in scenarios:
        for node, depth in nodes_of(scenario.graph):
            found.update(set(features_of(node, depth)))
    kinds = ("Call", "Map", "Branch", "Loop", "Finally")
    wanted = {f"{kind} at depth {depth}" for kind in kinds for depth in range(3)}
    wanted |= {kind.__name__ for kind in (Expression, Index, Item, OneOf, Output, Round, StateOf, Text)}
    wanted |= {
        f"trigger {name}" for name in ("all_succeeded", "all_ended", "none_failed", "one_succeeded", "one_failed")
    }
    wanted |= {
        "after",
        "when",
        "retry",
        "timeout_ms",
        "priority",
        "resources",
        "parallel 1",
        "parallel None",
        "tolerant",
    }
    wanted |= {"exhausted fail", "carry", "no carry", "until", "no until", "otherwise", "no otherwise", "3 cases"}
    assert sorted(wanted - set(found)) == []
    assert any(scenario.graph.fail_fast for scenario in scenarios)


def test_every_way_to_end_appears(scenarios: list[graphs.Scenario]) -> None:
    ends: Counter[str] = Counter()
    tries: Counter[str] = Counter()
    for scenario in scenarios:
        tried_by_path: dict[str, int] = {}
        result = naive.evaluate(scenario.graph, scenario.inputs, graphs.answer(tried_by_path))
        ends.update(f"{ended.state} {ended.cause}".strip() for ended in result.task_runs.values())
        tries.update(map(str, tried_by_path.values()))
    causes = (
        "failed timed_out out_of_memory output_invalid body_failed condition_error expression_error rounds_exhausted"
    )
    wanted = {"succeeded", "cancelled fail_fast"} | {f"failed {cause}" for cause in causes.split()}
    wanted |= {f"skipped {cause}" for cause in ("asked", "condition", "upstream_failed", "upstream_skipped")}
    assert sorted(wanted - set(ends)) == []
    assert {"1", "2", "3", "4"} <= set(tries)


def test_what_a_function_gives_depends_on_name_inputs_and_tries_alone() -> None:
    outputs = {"y": fakes.FRAME}
    first = fakes.outcome_of("flaky1_f", outputs, {}, 0)
    assert first == fakes.outcome_of("flaky1_f", outputs, {}, 0)
    assert first != fakes.outcome_of("flaky1_f", outputs, {}, 1)
    assert fakes.outcome_of("flaky1_f", outputs, {}, 1) != fakes.outcome_of("flaky1_g", outputs, {}, 1)


def test_operations_know_their_references() -> None:
    tree = Operation("_&&_", ())
    assert list(tree.references()) == []
