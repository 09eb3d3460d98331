"""Graphs as JSON and their digests."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.diagnostics import Location
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import (
    Constant,
    Expression,
    Index,
    Input,
    Item,
    OneOf,
    Output,
    Round,
    StateOf,
    Text,
    Value,
)
from penstock.graph.codec import (
    graph_digest,
    graph_from_json,
    graph_to_json,
    type_from_json,
    type_to_json,
    value_from_json,
    value_to_json,
)
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import (
    Branch,
    Call,
    Case,
    Finally,
    Function,
    Gpu,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Order,
    OutputSpec,
    Policy,
    Resources,
    Retry,
    Trigger,
)
from penstock.graph.types import ANY, BOOL, FLOAT, INT, STR, Type, enum_of, list_of

FIT = Function(
    "tasks", "fit", (InputSpec("x", INT), InputSpec("y", FLOAT, Constant(1.0))), (OutputSpec("output", INT),)
)
MORE = Expression(Operation("_>_", (Reference(Output("fit", "output")), Literal(3))))


def body(name: str = "body") -> Graph:
    return Graph(
        name,
        (InputSpec("x", INT),),
        (Call("fit", FIT, {"x": Input("x")}),),
        (GraphOutput("x", INT, Output("fit", "output")),),
    )


def everything() -> Graph:
    """A graph with every kind of node and Value in it."""
    policy = Policy(
        Resources(cpu=2.0, memory_bytes=Output("fit", "output"), custom={"licence": 1.0}),
        Retry(3, retry_on=("ValueError",)),
        timeout_ms=60_000,
        priority=3,
        cache=False,
        fresh=True,
    )
    nodes = (
        Call("fit", FIT, {"x": Input("seed"), "y": Constant(0.5)}, policy=policy, labels={"a": "b"}),
        Call(
            "nested",
            body(),
            {"x": Constant(1)},
            Order(("fit",), MORE, Trigger.NONE_FAILED),
            location=Location("f.py", 3, 5),
        ),
        Map("map", body(), Constant([1, 2]), {"x": Item()}, parallel_max=2, failures_max=1),
        Map("indexed", body(), Output("map", "x"), {"x": Index()}),
        Branch("branch", (Case(MORE, body("one"), {"x": Constant(1)}), Case(None, body("two"), {"x": Constant(2)}))),
        Loop("loop", body(), {"x": Round()}, {"x": "x"}, Output("", "x"), 5, "fail"),
        Finally("last", FIT, {"x": Constant(3)}, ("fit", "map")),
        Call("on-gpu", FIT, {"x": Constant(1)}, policy=Policy(Resources(gpu=Gpu(2, Output("fit", "output"))))),
    )
    outputs = (
        GraphOutput("first", INT, OneOf((Output("fit", "output"), Output("branch", "x")))),
        GraphOutput("text", STR, Text(("n = ", Output("fit", "output"), "!"))),
        GraphOutput("state", STR, StateOf("fit")),
        GraphOutput("odd", ANY, Constant({"nan": math.inf, "$float": [None, True, 1, 1.0, "x"]})),
    )
    return Graph(
        "everything",
        (InputSpec("seed", INT, Constant(3)), InputSpec("kind", enum_of("a", "b"), None)),
        nodes,
        outputs,
        fail_fast=True,
        timeout_ms=1_000,
        labels={"team": "growth"},
        location=Location("f.py", 1),
        description="All of it.",
    )


def through_json(graph: Graph) -> Graph:
    return graph_from_json(json.loads(json.dumps(graph_to_json(graph), sort_keys=True)))


def test_everything_comes_back_with_its_notes() -> None:
    graph, again = everything(), through_json(everything())
    assert again == graph
    assert again.labels == graph.labels
    assert again.location == graph.location
    assert again.description == graph.description
    assert [(n.labels, n.location) for n in again.nodes] == [(n.labels, n.location) for n in graph.nodes]
    assert graph_to_json(again) == graph_to_json(graph)


def test_bindings_keep_their_order_even_when_a_store_sorts_keys() -> None:
    two = Function("m", "f", (InputSpec("b", INT), InputSpec("a", INT)), ())
    graph = Graph("g", (), (Call("f", two, {"b": Constant(1), "a": Constant(2)}),), ())
    node = through_json(graph).nodes[0]
    assert isinstance(node, Call)
    assert list(node.inputs) == ["b", "a"]


def test_numbers_keep_their_kind() -> None:
    graph = Graph(
        "g", (), (), tuple(GraphOutput(n, ANY, Constant(v)) for n, v in {"a": 1, "b": 1.0, "c": True}.items())
    )
    values = [output.value.value for output in through_json(graph).outputs]  # type: ignore[union-attr]
    assert [type(value) for value in values] == [int, float, bool]
    assert (
        len({graph_digest(replace(graph, outputs=(GraphOutput("a", ANY, Constant(v)),))) for v in (1, 1.0, True)}) == 3
    )


def test_one_component_is_stored_once() -> None:
    calls = tuple(Call(f"fit-{n}", FIT, {"x": Constant(n)}) for n in range(1_000))
    nested = tuple(Call(f"nested-{n}", body(), {"x": Constant(n)}) for n in range(1_000))
    data = graph_to_json(Graph("g", (), calls + nested, ()))
    assert len(data["functions"]) == 1
    assert len(data["graphs"]) == 1
    assert len(json.dumps(data)) < 2_000 * 120


def test_a_loaded_graph_shares_what_is_equal() -> None:
    order, policy = Order(trigger=Trigger.ALL_ENDED), Policy(priority=3)
    first = Call("first", FIT, {"x": Constant(1)}, location=Location("f.py", 1))
    calls = [
        Call(
            f"fit-{n}",
            replace(FIT),
            {"x": Output("first", "output")},
            replace(order),
            replace(policy),
            {},
            Location("f.py", 2),
        )
        for n in range(3)
    ]
    loaded = through_json(Graph("g", (), (first, *calls), ())).nodes
    one, other = loaded[1], loaded[2]
    assert isinstance(one, Call)
    assert isinstance(other, Call)
    assert one.component is other.component is loaded[0].component  # type: ignore[union-attr]
    assert one.order is other.order
    assert one.policy is other.policy
    assert one.location is other.location
    assert one.inputs["x"] is other.inputs["x"]
    assert one.location.file is loaded[0].location.file  # type: ignore[union-attr]


def test_digest_does_not_see_notes_nor_how_things_are_shared() -> None:
    graph = everything()
    noted = replace(
        graph,
        labels={},
        location=Location("other.py", 77),
        description="Something else.",
        nodes=tuple(replace(node, labels={"x": "y"}, location=None) for node in graph.nodes),
    )
    assert graph_digest(noted) == graph_digest(graph) == graph_digest(through_json(graph))
    shared = body()
    one = Graph("g", (), (Call("a", shared, {"x": Constant(1)}), Call("b", shared, {"x": Constant(1)})), ())
    apart = Graph("g", (), (Call("a", body(), {"x": Constant(1)}), Call("b", body(), {"x": Constant(1)})), ())
    assert graph_digest(one) == graph_digest(apart)


def test_digest_does_not_see_bases_of_types_nor_the_order_of_bindings() -> None:
    def graph(type_: Type, inputs: dict[str, Value]) -> Graph:
        function = Function("m", "f", (InputSpec("a", type_), InputSpec("b", ANY)), ())
        return Graph("g", (), (Call("f", function, inputs),), ())

    a, b = Constant(1), Constant(2)
    plain = graph(Type("m:A"), {"a": a, "b": b})
    assert graph_digest(plain) == graph_digest(graph(Type("m:A", bases=("m:B",)), {"b": b, "a": a}))
    assert graph_digest(plain) != graph_digest(graph(Type("m:A"), {"a": b, "b": a}))


def changed(graph: Graph, position: int, **changes: Any) -> Graph:
    nodes = list(graph.nodes)
    nodes[position] = replace(nodes[position], **changes)
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"fail_fast": False},
        {"timeout_ms": None},
        {"inputs": (InputSpec("seed", INT, Constant(4)), InputSpec("kind", enum_of("a", "b"), None))},
        {"inputs": (InputSpec("seed", INT, Constant(3)), InputSpec("kind", enum_of("a", "c"), None))},
        {"outputs": everything().outputs[:-1]},
    ],
)
def test_digest_sees_what_a_graph_is(changes: dict[str, Any]) -> None:
    assert graph_digest(replace(everything(), **changes)) != graph_digest(everything())


NODE_CHANGES: list[tuple[int, dict[str, Any]]] = [
    (0, {"name": "other"}),
    (0, {"component": replace(FIT, module="elsewhere")}),
    (0, {"component": replace(FIT, name="other")}),
    (0, {"component": replace(FIT, policy=Policy(priority=1))}),
    (0, {"inputs": {"x": Input("seed")}}),
    (0, {"policy": Policy()}),
    (0, {"policy": replace(everything().nodes[0].policy, retry=Retry(3, jitter=0.2, retry_on=("ValueError",)))}),
    (1, {"component": body("other")}),
    (1, {"order": Order(("fit",), MORE)}),
    (1, {"order": Order((), MORE, Trigger.NONE_FAILED)}),
    (1, {"order": Order(("fit",), None, Trigger.NONE_FAILED)}),
    (2, {"items": Constant([1, 2, 3])}),
    (2, {"parallel_max": None}),
    (2, {"failures_max": 0}),
    (2, {"inputs": {"x": Index()}}),
    (4, {"cases": everything().nodes[4].cases[:1]}),  # type: ignore[union-attr]
    (4, {"cases": everything().nodes[4].cases[::-1]}),  # type: ignore[union-attr]
    (5, {"carry": {}}),
    (5, {"until": None}),
    (5, {"rounds_max": 6}),
    (5, {"exhausted": "succeed"}),
    (6, {"watch": ("fit",)}),
]


@pytest.mark.parametrize(("position", "changes"), NODE_CHANGES)
def test_digest_sees_what_a_node_is(position: int, changes: dict[str, Any]) -> None:
    other = changed(everything(), position, **changes)
    assert graph_digest(other) != graph_digest(everything())
    assert through_json(other) == other


def test_what_is_watched_has_no_order() -> None:
    graph = everything()
    assert graph_digest(changed(graph, 6, watch=("map", "fit"))) == graph_digest(graph)


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(InvalidInput, match="version 2"):
        graph_from_json({**graph_to_json(everything()), "version": 2})


def test_a_constant_that_is_no_json_raises() -> None:
    with pytest.raises(TypeError, match="object"):
        graph_to_json(Graph("g", (), (), (GraphOutput("x", ANY, Constant(object())),)))


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "c-2"])
plain_values: st.SearchStrategy[Value] = st.one_of(
    st.builds(Constant, json_data),
    st.builds(Input, names),
    st.builds(Output, names, names),
    st.builds(StateOf, names),
    st.sampled_from([Item(), Index(), Round()]),
)
values: st.SearchStrategy[Value] = st.recursive(
    plain_values,
    lambda inner: st.one_of(
        st.builds(lambda found: OneOf(tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Text(tuple(found)), st.lists(st.text() | inner, max_size=3)),
        st.builds(lambda one, other: Expression(Operation("_==_", (Reference(one), Reference(other)))), inner, inner),
    ),
    max_leaves=6,
)
simple_types = st.sampled_from([INT, BOOL, ANY, Type("m:C", bases=("m:B",)), enum_of("a", "b"), Type("list")])
types = st.recursive(simple_types, lambda inner: st.builds(list_of, inner), max_leaves=3)


@given(values)
def test_every_value_comes_back(value: Value) -> None:
    again = value_from_json(json.loads(json.dumps(value_to_json(value))))
    assert again == value
    assert repr(again) == repr(value)  # 1, 1.0 and True are equal


@given(types, st.booleans())
def test_every_type_comes_back(type_: Type, optional: bool) -> None:
    given_type = replace(type_, optional=optional)
    again = type_from_json(json.loads(json.dumps(type_to_json(given_type))))
    assert again == given_type
    assert again.bases == given_type.bases


def test_type_json_says_only_what_is_set() -> None:
    assert type_to_json(INT) == {"name": "int"}
    assert type_to_json(list_of(Type("pandas:DataFrame", bases=("x:Y",)))) == {
        "name": "list",
        "item": {"name": "pandas:DataFrame", "bases": ["x:Y"]},
    }
    assert type_to_json(replace(enum_of("a"), optional=True)) == {"name": "enum", "options": ["a"], "optional": True}
