"""Rendering where the goldens do not reach: odd texts and large graphs."""

from __future__ import annotations

import re

from penstock.graph.bindings import Constant, Expression, Input, OneOf, Output, StateOf, Text
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import Branch, Call, Case, Finally, Function, Graph, GraphOutput, InputSpec, OutputSpec
from penstock.graph.render import graph_mermaid, graph_text, value_text
from penstock.graph.types import ANY, INT, STR

NUMBER = Function("m", "number", (InputSpec("x", INT, Constant(0)),), (OutputSpec("output", INT),))


def test_labels_hold_nothing_that_mermaid_reads() -> None:
    odd = 'end "quoted" <b>|{x}|</b> [a] `c` ; % # \\ é'
    graph = Graph("g", (InputSpec("x", STR, Constant(odd)),), (Call("end", NUMBER, {}),), ())
    text = graph_mermaid(graph)
    (label,) = re.findall(r'n1\(\["(.*)"\]\)', text)
    assert not set(label.replace("#", "", label.count("#"))) & set('"<>|{}[]`%\\')
    decoded = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)
    assert odd.replace('"', '\\"').replace("\\ é", "\\\\ é") in decoded
    assert '  n2["end<br>m:number"]' in text.splitlines()


def test_ids_are_never_words() -> None:
    graph = Graph("g", (), tuple(Call(name, NUMBER, {}) for name in ("end", "subgraph", "graph")), ())
    ids = re.findall(r"^  (\w+)\[", graph_mermaid(graph), flags=re.MULTILINE)
    assert ids == ["n1", "n2", "n3"]


def test_an_empty_body_is_drawn() -> None:
    graph = Graph("g", (), (Branch("b", (Case(None, Graph("c", (), (), ()), {}),)),), ())
    lines = graph_mermaid(graph).splitlines()
    assert '      n3["nothing"]' in lines
    assert sum(line.strip() == "end" for line in lines) == sum("subgraph" in line for line in lines) == 2


def test_an_edge_is_drawn_once_and_order_is_dotted() -> None:
    nodes = (
        Call("a", NUMBER, {}),
        Call("b", NUMBER, {"x": Output("a", "output")}),
        Call(
            "c",
            Graph("h", (InputSpec("y", ANY), InputSpec("z", ANY)), (), ()),
            {"y": Output("a", "output"), "z": Output("a", "output")},
        ),
        Call("d", NUMBER, {"x": StateOf("a")}),
        Finally("e", NUMBER, {}, ("a", "b")),
    )
    edges = [
        line.strip()
        for line in graph_mermaid(Graph("g", (), nodes, ())).splitlines()
        if "-" in line and ">" in line and "n1 " in line
    ]
    assert edges == ["n1 --> n2", "n1 --> n3", 'n1 -.->|"state"| n5', "n1 -.-> n6"]


def test_expressions_may_hold_any_value() -> None:
    one_of = OneOf((Output("a", "output"), Output("b-2", "x")))
    tree = Operation("_&&_", (Operation("_>_", (Reference(one_of), Literal(1))), Reference(Text(("x", Input("y"))))))
    assert value_text(Expression(tree)) == 'one_of(a, b-2.x) > 1 && "x{y}"'
    assert value_text(Constant("x" * 100)) == '"' + "x" * 56 + "..."
    assert value_text(StateOf("")) == "state_of_all"
    assert value_text(StateOf("a")) == "a.state"
    assert value_text(Constant(object)) == "<class 'object'>"


def test_a_large_body_is_written_out_once() -> None:
    body = Graph(
        "body",
        (),
        tuple(Call(f"n-{i}", NUMBER, {}) for i in range(5)),
        (GraphOutput("x", INT, Output("n-4", "output")),),
    )
    graph = Graph("g", (), tuple(Call(f"c-{i}", body, {}) for i in range(1_000)), ())
    lines = graph_text(graph).splitlines()
    assert lines.count("    (as in g/c-0)") == 999
    assert len(lines) == 1 + 1_000 + 6 + 999
