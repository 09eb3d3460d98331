"""Graphs as pictures and as SVG: random graphs of every node kind, and texts that are no good for XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest

from penstock.graph.bindings import Constant, Input, Output, StateOf
from penstock.graph.drawing import svg_of
from penstock.graph.layout import Carries, Edge, Kind, Picture, Shape, header_height, picture_of
from penstock.graph.model import (
    Branch,
    Call,
    Case,
    Finally,
    Function,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Order,
    bodies_of,
    outputs_of,
)
from penstock.graph.model import OutputSpec as Out
from penstock.graph.types import INT, PATH, STR, list_of
from penstock.testing.graphs import random_scenario

NUMBER = Function("m", "number", (InputSpec("x", INT, Constant(0)),), (Out("output", INT),))
PAIR = Function("m", "pair", (InputSpec("x", INT),), (Out("first", INT), Out("second", list_of(INT))))
BODY = Graph(
    "body", (InputSpec("x", INT),), (Call("n", NUMBER, {"x": Input("x")}),), (GraphOutput("o", INT, Output("n", "output")),)
)  # fmt: skip
SEEDS = range(60)


def drawn(graph: Graph) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(graph))


def within(shapes: tuple[Shape, ...]) -> Iterator[Shape]:
    for shape in shapes:
        yield shape
        yield from within(shape.inside)


def groups_of(picture: Picture) -> Iterator[tuple[tuple[Shape, ...], tuple[Edge, ...]]]:
    yield picture.shapes, picture.edges
    for shape in within(picture.shapes):
        yield shape.inside, shape.edges


def meet(a: Shape, b: Shape) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_are_drawn_soundly(seed: int) -> None:
    graph = random_scenario(seed, size=20).graph
    picture = picture_of(graph)
    for shape in (*picture.shapes, *picture.parameters):
        assert min(shape.x, shape.y) >= 0
        assert shape.x + shape.width <= picture.width
        assert shape.y + shape.height <= picture.height
    for shape in within(picture.shapes):
        for inner in shape.inside:
            assert min(inner.x, inner.y - header_height(shape)) >= 0, "it stands below the texts of what holds it"
            assert inner.x + inner.width <= shape.width
            assert inner.y + inner.height <= shape.height
        assert all(0 <= port.x <= shape.width for port in shape.ports)
    for shapes, edges in groups_of(picture):
        assert not any(
            meet(a, b) for a, b in combinations((*shapes, *picture.parameters * (shapes is picture.shapes)), 2)
        )
        assert all(edge.points[0][1] < edge.points[-1][1] for edge in edges), "edges go down"
    assert drawn(graph).tag.endswith("svg")
    assert svg_of(graph) == svg_of(graph)


def assert_drawn(shapes: tuple[Shape, ...], graph: Graph) -> None:
    """Every node has its shape, inside the shape of the node that holds it."""
    own = [shape for shape in shapes if shape.kind not in (Kind.INPUT, Kind.OUTPUT, Kind.NOTHING)]
    for shape, node in zip(own, graph.nodes, strict=True):
        assert shape.hover.startswith(f"{node.name}: ")
        assert all(f"→ {name}: {type_}" in shape.hover for name, type_ in outputs_of(node).items())
        for position, (body, _inputs) in enumerate(bodies_of(node)):
            assert_drawn(shape.inside[position].inside if isinstance(node, Branch) else shape.inside, body)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_node_is_drawn_with_its_types(seed: int) -> None:
    graph = random_scenario(seed, size=20).graph
    assert_drawn(picture_of(graph).shapes, graph)


def test_nothing_from_outside_and_no_script() -> None:
    for seed in SEEDS:
        text = svg_of(random_scenario(seed).graph)
        assert set(re.findall(r"[a-z]+://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<script|<image|<foreignObject|\bon[a-z]+=|href|url\(|@import|<!ENTITY", text)


def test_texts_are_only_texts() -> None:
    odd = "</text><script>alert('&amp;')</script>\x00\x1b]]>\ud800 \"\u202e"
    graph = Graph(
        odd, (InputSpec("x", STR, Constant(odd)),), (Call("n", NUMBER, {"x": Constant(odd)}, labels={"k": odd}),), ()
    )
    root = ElementTree.fromstring(svg_of(graph).encode())
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg", "title", "style", "rect", "text", "g", "path",
    } - {"path"}  # fmt: skip
    assert root[0].text == odd.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")


def test_edges_say_what_they_carry() -> None:
    nodes = (
        Call("a", PAIR, {"x": Input("start")}),
        Call("b", NUMBER, {"x": Output("a", "first")}),
        Call("c", NUMBER, {}, order=Order(after=("b",))),
        Call("d", NUMBER, {"x": Output("c", "output")}, order=Order(when=Output("a", "first"))),
        Finally("e", NUMBER, {"x": Constant(1)}, ("a", "b", "c", "d")),
    )
    picture = picture_of(Graph("g", (InputSpec("start", INT),), nodes, ()))
    assert [(edge.source, edge.target, edge.carries) for edge in picture.edges] == [
        ("a", "b", Carries.VALUE),
        ("b", "c", Carries.ORDER),
        ("c", "d", Carries.VALUE),
        ("a", "d", Carries.CONDITION),
        ("d", "e", Carries.ORDER),
    ]
    assert [edge.hover for edge in picture.edges[:2]] == ["a.first: int → b.x", "c runs after b"]
    shapes = {shape.name: shape for shape in picture.shapes}
    assert shapes["d"].condition == "when a.first"
    assert [port.text for port in shapes["a"].ports] == ["first"]
    assert shapes["a"].detail == ("pair", "reads start")
    assert "after a, b, c, d, however they ended" in shapes["e"].hover


def test_an_input_that_is_an_artifact_is_drawn_with_edges() -> None:
    read = Function("m", "read", (InputSpec("file", PATH),), (Out("output", INT),))
    graph = Graph("g", (InputSpec("file", PATH),), (Call("a", read, {"file": Input("file")}),), ())
    picture = picture_of(graph)
    assert [(edge.source, edge.hover) for edge in picture.edges] == [("<file", "file: path → a.file")]
    assert [shape.kind for shape in picture.shapes] == [Kind.INPUT, Kind.TASK]
    assert picture.parameters == ()


def test_control_flow_holds_its_body() -> None:
    nodes = (
        Map("m", BODY, Constant([1]), {"x": Constant(1)}),
        Loop("l", BODY, {"x": Constant(1)}, {"o": "x"}, None, 3),
        Call("p", BODY, {"x": Constant(1)}),
        Branch("b", (Case(Output("p", "o"), BODY, {}), Case(None, Graph("none", (), (), ()), {})),),
        Finally("f", BODY, {"x": Constant(1)}, ("b",)),
    )  # fmt: skip
    shapes = picture_of(Graph("g", (), nodes, ())).shapes
    assert [(shape.kind, [inner.kind for inner in shape.inside]) for shape in shapes] == [
        (Kind.MAP, [Kind.TASK]),
        (Kind.LOOP, [Kind.TASK]),
        (Kind.PIPELINE, [Kind.TASK]),
        (Kind.BRANCH, [Kind.CASE, Kind.CASE]),
        (Kind.FINALLY, [Kind.TASK]),
    ]
    cases = shapes[3].inside
    assert [(case.name, [inner.kind for inner in case.inside]) for case in cases] == [
        ("p.o", [Kind.TASK]), ("otherwise", [Kind.NOTHING]),
    ]  # fmt: skip
    assert shapes[0].detail == ("for each of [1]",)


def test_how_a_node_ended_is_order_and_many_outputs_are_cut() -> None:
    many = Function("m", "many", (), tuple(Out(f"output_{index}", INT) for index in range(9)))
    sums = Function("m", "sums", tuple(InputSpec(f"x{i}", INT) for i in range(9)), ())
    nodes = (
        Call("many", many, {}),
        Call("sums", sums, {f"x{i}": Output("many", f"output_{i}") for i in range(9)}),
        Finally("end", Function("m", "tell", (InputSpec("s", STR),), ()), {"s": StateOf("many")}, ("many",)),
    )
    picture = picture_of(Graph("g", (), nodes, ()))
    assert [port.text for port in picture.shapes[0].ports] == [*(f"output_{index}" for index in range(6)), "…"]
    assert [edge.hover for edge in picture.edges if edge.carries is Carries.ORDER] == ["how many ended → end.s"]
    assert len(picture.edges) == 10


def test_a_thousand_nodes() -> None:
    nodes = [Call("t0", NUMBER, {})]
    nodes += [Call(f"t{i}", NUMBER, {"x": Output(f"t{(i * 7) // 9}", "output")}, order=Order((f"t{i - 1}",) * (i % 5 == 0)))
              for i in range(1, 1_000)]  # fmt: skip
    assert sum(shape.kind is Kind.TASK for shape in picture_of(Graph("g", (), tuple(nodes), ())).shapes) == 1_000
