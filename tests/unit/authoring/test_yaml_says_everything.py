"""Whatever the graph can say, a pipeline file can: every kind of node, component, value and expression, and every field of each.
A new one fails here until it has its YAML, and an example below."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest

from penstock.authoring.yaml.write import write
from penstock.graph import model
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
from penstock.graph.codec import graph_digest
from penstock.graph.expression.tree import (
    Comprehension,
    ListTree,
    Literal,
    MapTree,
    Name,
    Operation,
    Reference,
    Select,
    Tree,
)
from penstock.graph.model import (
    Branch,
    Call,
    Case,
    Command,
    CommandOutput,
    Environment,
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
from penstock.graph.types import BOOL, FLOAT, INT, JSON, PATH, STR, Type, list_of

NOTES = {"location", "description", "labels"}
"""Carried along, and no part of what a graph is; labels and descriptions are written, places are not."""


class Fields(dict[str, Any]):
    """Several fields that are changed together."""


class Making:
    """Makes one graph with a bit of everything, in which one field of the first thing of a class is another."""

    def __init__(self, changed: tuple[type, str, Any] | None = None) -> None:
        self._changed = changed
        self._is_used = changed is None

    def __call__(self, kind: type, **given: Any) -> Any:
        if not self._is_used and self._changed is not None and self._changed[0] is kind:
            self._is_used = True
            value = self._changed[2]
            given.update(value if isinstance(value, Fields) else {self._changed[1]: value})
        return kind(**given)

    def graph(self) -> Graph:
        make = self
        gpu = make(Gpu, count=2.0)
        resources = make(Resources, cpu=2.0, gpu=gpu)
        environment = make(Environment, packages=("numpy",))
        policy = make(Policy, resources=resources, retry=make(Retry, attempts_max=2), environment=environment)
        x = make(InputSpec, name="x", type=INT)
        y = make(OutputSpec, name="y", type=INT)
        fit = make(Function, module="m", name="fit", inputs=(x,), outputs=(y,), policy=policy)
        rows = make(CommandOutput, name="rows", type=INT, source="json", path="rows.json")
        words = (("wc",), ("-l", Input("x")))
        count = make(Command, name="count", argv=words, inputs=(InputSpec("x", STR),), outputs=(rows,))
        one = Call("one", fit, {"x": Input("n")})
        two = make(Call, name="two", component=fit, inputs={"x": Output("one", "y")}, order=make(Order, after=("one",)))
        counted = Call("counted", count, {"x": Text(("n", Input("n")))})
        mapped = make(Map, name="mapped", body=self._body("b1"), items=Constant([1, 2]), inputs={"i": Item()})
        when = Expression(Operation("_>_", (Reference(Output("one", "y")), Literal(3))))
        case = make(Case, when=when, body=self._body("case-0"), inputs={"i": Constant(1)})
        branch = make(Branch, name="branch", cases=(case, Case(None, self._body("case-1"), {"i": Constant(2)})))
        loop = make(
            Loop,
            name="loop",
            body=self._body("b2"),
            inputs={"i": Constant(1)},
            carry={"r": "i"},
            until=Expression(Operation("_>_", (Reference(Output("", "r")), Literal(3)))),
            rounds_max=3,
        )
        last = make(Finally, name="last", component=fit, inputs={"x": Constant(1)}, watch=("one", "two"))
        result = make(GraphOutput, name="result", type=INT, value=Output("two", "y"))
        return make(
            Graph,
            name="everything",
            inputs=(InputSpec("n", INT, Constant(3)),),
            nodes=(one, two, counted, mapped, branch, loop, last),
            outputs=(result,),
        )

    @staticmethod
    def _body(name: str) -> Graph:
        inner = Function("m", "inner", (InputSpec("i", INT),), (OutputSpec("r", INT),))
        call = Call("inner", inner, {"i": Input("i")})
        return Graph(name, (InputSpec("i", INT),), (call,), (GraphOutput("r", INT, Output("inner", "r")),))


def body_of(name: str, **more: Any) -> Graph:
    made = Making._body(name)
    return Graph(made.name, made.inputs, made.nodes, made.outputs, **more)


AMOUNT = Input("n")
OTHER = Function("m", "other", (InputSpec("x", INT),), (OutputSpec("y", INT),))
NESTED = Graph("nested", (InputSpec("x", INT),), (), (GraphOutput("y", INT, Input("x")),))
ORDER = Order(after=("one",), when=Input("flag"), trigger=Trigger.ALL_ENDED)
SLOW = Policy(priority=3, timeout_ms=90_000, retry=Retry(2))
TWO = Order(after=("one", "two"))

EXAMPLES: dict[tuple[type, str], list[Any]] = {
    (InputSpec, "name"): ["x2"],
    (InputSpec, "type"): [
        FLOAT,
        list_of(STR),
        Type("enum", options=("a b", "c, d")),
        Type("pandas:DataFrame"),
        PATH,
        Type("source", options=("file", "url")),
    ],
    (InputSpec, "default"): [Constant(4), Constant(None)],
    (OutputSpec, "name"): ["y2"],
    (OutputSpec, "type"): [JSON, Type("int", optional=True)],
    (Gpu, "count"): [0.5, AMOUNT],
    (Gpu, "memory_bytes"): [8 * 1024**3, 1_000_001, AMOUNT],
    (Resources, "cpu"): [0.5, AMOUNT],
    (Resources, "memory_bytes"): [4 * 1024**3, 123, AMOUNT],
    (Resources, "custom"): [{"licence": 1.0, "token": AMOUNT}],
    (Resources, "gpu"): [None, Gpu(1.0)],
    (Resources, "disk_bytes"): [10 * 1024**3, AMOUNT],
    (Environment, "python"): ["3.12"],
    (Environment, "packages"): [("numpy>=2,<3", "polars")],
    (Environment, "requirements"): ["requirements.txt"],
    (Retry, "attempts_max"): [5],
    (Retry, "backoff_ms"): [0, 1_500],
    (Retry, "factor"): [1.5],
    (Retry, "backoff_max_ms"): [86_400_000],
    (Retry, "jitter"): [0.0],
    (Retry, "retry_on"): [("ValueError", "m:Wrong")],
    (Retry, "oom_max"): [0],
    (Retry, "lost_max"): [9],
    (Policy, "resources"): [None],
    (Policy, "retry"): [None],
    (Policy, "timeout_ms"): [1_234],
    (Policy, "priority"): [-2],
    (Policy, "cache"): [False, True, "trust"],
    (Policy, "fresh"): [True, False],
    (Policy, "version"): ["1.10"],
    (Policy, "expires_ms"): [86_400_000],
    (Policy, "files"): [("a.csv", "data")],
    (Policy, "env"): [("MODE", "secret:KEY")],
    (Policy, "depends"): [("json", "m:other")],
    (Policy, "environment"): [None],
    (Order, "after"): [("one", "loop")],
    (Order, "when"): [Constant(True), Output("one", "y"), Input("n")],
    (Order, "trigger"): list(Trigger)[1:],
    (Function, "module"): ["m.n"],
    (Function, "name"): ["other_fit"],
    (Function, "inputs"): [(InputSpec("x", INT), InputSpec("z", STR, Constant("no")))],
    (Function, "outputs"): [(OutputSpec("y", INT), OutputSpec("z", STR))],
    (Function, "policy"): [SLOW],
    (CommandOutput, "name"): ["lines"],
    (CommandOutput, "type"): [FLOAT],
    (CommandOutput, "source"): ["file"],
    (CommandOutput, "path"): ["out/rows.json"],
    (CommandOutput, "key"): ["rows"],
    (Command, "name"): ["count-it"],
    (Command, "argv"): [(("awk",), ("$1 > 3 {print ${x}}",), ("",)), (("head",), ("-n", Input("x"), " $"), ("",))],
    (Command, "inputs"): [(InputSpec("x", STR, Constant("a")),)],
    (Command, "outputs"): [(CommandOutput("a", STR, "stdout"), CommandOutput("b", INT, "last_line"))],
    (Command, "script"): [Fields(argv=(), script='wc -l "${x}" > rows.json\necho "$HOME ${inputs.x} $${x}"\n')],
    (Command, "env"): [{"MODE": ("fast",), "X": ("<", Input("x"), ">")}],
    (Command, "given"): [{"x": "x.txt"}],
    (Command, "policy"): [Policy(files=("count.awk",), cache=False)],
    (Call, "name"): ["item"],
    (Call, "component"): [OTHER, NESTED],
    (Call, "inputs"): [{"x": Constant(7)}],
    (Call, "order"): [Order()],
    (Call, "policy"): [SLOW, Policy(resources=Resources(cpu=AMOUNT, memory_bytes=5))],
    (Map, "name"): ["mapped-2"],
    (Map, "body"): [body_of("b1", fail_fast=True), body_of("other"), body_of("b1", timeout_ms=5_000)],
    (Map, "items"): [OneOf((Constant([1]), Constant([2])))],
    (Map, "inputs"): [{"i": Index()}],
    (Map, "parallel_max"): [3],
    (Map, "failures_max"): [2],
    (Map, "order"): [TWO],
    (Map, "policy"): [SLOW],
    (Case, "when"): [Output("one", "y")],
    (Case, "body"): [body_of("another")],
    (Case, "inputs"): [{"i": Output("one", "y")}],
    (Branch, "name"): ["choose"],
    (Branch, "cases"): [(Case(None, body_of("case-0"), {"i": Constant(1)}),)],
    (Branch, "order"): [TWO],
    (Branch, "policy"): [SLOW],
    (Loop, "name"): ["again"],
    (Loop, "body"): [body_of("b3")],
    (Loop, "inputs"): [{"i": Round()}],
    (Loop, "carry"): [{}],
    (Loop, "until"): [None, Expression(Operation("_>=_", (Reference(Round()), Literal(2))))],
    (Loop, "rounds_max"): [9],
    (Loop, "exhausted"): ["fail"],
    (Loop, "order"): [TWO],
    (Loop, "policy"): [SLOW],
    (Finally, "name"): ["in_the_end"],
    (Finally, "component"): [NESTED],
    (Finally, "inputs"): [{"x": Output("one", "y")}],
    (Finally, "watch"): [("two",), ("one", "two", "counted", "mapped", "branch", "loop")],
    (Finally, "policy"): [SLOW],
    (GraphOutput, "name"): ["result-2"],
    (GraphOutput, "type"): [JSON],
    (GraphOutput, "value"): [Constant({"a": [1, None, "${x}", 1.5]})],
    (Graph, "name"): ["all"],
    (Graph, "inputs"): [(InputSpec("n", Type("int", optional=True), Constant(None)),)],
    (Graph, "nodes"): [()],
    (Graph, "outputs"): [()],
    (Graph, "fail_fast"): [True],
    (Graph, "timeout_ms"): [7_200_000],
}


def kinds_in(module: ModuleType) -> list[type]:
    made = (value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__)
    return [value for value in made if is_dataclass(value)]


def test_every_field_of_the_graph_has_an_example() -> None:
    every = {(kind, field.name) for kind in kinds_in(model) for field in fields(kind)}
    missing = {f"{kind.__name__}.{name}" for kind, name in every - EXAMPLES.keys() if name not in NOTES}
    assert missing == set(), "say it in YAML (authoring/yaml), and give an example here"
    assert EXAMPLES.keys() - every == set()


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for (kind, name), values in EXAMPLES.items() for value in values],
    ids=lambda part: part.__name__ if isinstance(part, type) else str(part)[:40],
)
def test_a_field_survives_being_written(kind: type, name: str, value: Any) -> None:
    plain, changed = Making().graph(), Making((kind, name, value)).graph()
    assert graph_digest(changed) != graph_digest(plain) or changed == plain
    assert changed != plain
    if (kind, name) == (Graph, "nodes"):
        changed = Graph("empty", (), (), ())
    if (kind, name) in ((Call, "name"), (OutputSpec, "name")):
        changed = with_outputs_as_they_are(kind, name, value)
    write(changed)  # reads it again, and raises if that is another graph


def with_outputs_as_they_are(kind: type, name: str, value: Any) -> Graph:
    """A graph in which what is renamed is also referred to by its new name."""
    made = Making((kind, name, value)).graph()
    last = made.nodes[1]
    assert isinstance(last, Call)
    output = next(iter(last.component.outputs)).name
    nodes = (*made.nodes[:1], last)
    if kind is OutputSpec:
        return Graph("p", made.inputs, made.nodes[:1], (GraphOutput("r", INT, Output("one", output)),))
    return Graph("p", made.inputs, nodes, (GraphOutput("r", INT, Output(last.name, output)),))


# -- values ------------------------------------------------------------------------------------------------------------

TREES: dict[type, list[Tree]] = {
    Literal: [Literal(v) for v in (None, True, 3, -(2**63), 1.5, float("inf"), float("nan"), 'say "a" and \'b\'\n')],
    Reference: [
        Reference(v)
        for v in (Input("n"), Constant([1, {"a": 2.5}]), OneOf((Input("n"), Constant(2))), Text(("a", Input("n"))))
    ],
    Name: [Comprehension("all", ListTree((Literal(1),)), "i", (Operation("_>_", (Name("i"), Literal(0))),))],
    Operation: [
        Operation("_+_", (Reference(Input("n")), Literal(1))),
        Operation("!_", (Operation("_in_", (Literal("a"), ListTree((Literal("a"),)))),)),
        Operation("contains", (Literal("abc"), Literal("b")), method=True),
        Operation("_?_:_", (Literal(True), Literal(1), Literal(2))),
        Operation("_[_]", (MapTree(((Literal("a"), Literal(1)),)), Literal("a"))),
        Operation("_==_", (Literal(float("nan")), Literal(1.0))),
        Operation("_==_", (Literal(b"\x00a"), Literal(b"b"))),
    ],
    Select: [Select(MapTree(((Literal("a"), Literal(1)),)), "a"), Select(Reference(Output("made", "output")), "state", True)],
    ListTree: [ListTree((Reference(Input("n")), Literal("x"), ListTree(()))), ListTree((Literal(1), Literal(2)))],
    MapTree: [MapTree(((Literal("a"), Reference(Input("n"))),)), MapTree(((Literal(1), Literal(2)),))],
    Comprehension: [
        Comprehension("map", ListTree((Literal(1),)), "item", (Operation("_+_", (Name("item"), Reference(Input("n")))),))
    ],
}  # fmt: skip

VALUES: dict[type, list[Value]] = {
    Constant: [
        Constant(v)
        for v in (
            *(None, True, 0, -1, 1e300, float("nan"), "", "no", "1.10", "${x}", "$${", "a: b # c", " x ", "two\nlines\n"),
            *("ünï", "\x07", [], {}, [[]], {"a": {"b": [1, "~"]}}, "2024-01-01", "é\u2028", {"no": {"1": "x"}}),
        )
    ],
    Input: [Input("n"), Input("with_underscore")],
    Output: [Output("made", "output"), Output("tasks", "output"), Output("two-outputs", "b")],
    OneOf: [OneOf((Output("made", "output"), Constant(3))), OneOf((Text(("a", Input("n"))), Constant("b"))),
            OneOf((Expression(Literal(1)), Expression(Reference(Input("n")))))],
    Text: [Text(("a ", Input("n"), "${", Output("made", "output"))), Text(()), Text(("only",)), Text((Input("n"),)),
           Text(("a", "b", Input("n"))), Text(("cost: $", Input("n"))), Text((Constant("x"), Constant(1), "")),
           Text(("x", Expression(Operation("_+_", (Reference(Input("n")), Literal(1))))))],
    Expression: [Expression(tree) for trees in TREES.values() for tree in trees],
    StateOf: [StateOf("made"), StateOf("two-outputs")],
}  # fmt: skip
ELSEWHERE: dict[type, Callable[[], Graph]] = {
    Item: lambda: Making((Map, "inputs", {"i": Item()})).graph(),
    Index: lambda: Making((Map, "inputs", {"i": Index()})).graph(),
    Round: lambda: Making((Loop, "inputs", {"i": Round()})).graph(),
}


def graph_with(value: Value) -> Graph:
    """A graph that gives a value to a task and as an output."""
    made = Function("m", "made", (), (OutputSpec("output", JSON),))
    two = Function("m", "two", (), (OutputSpec("a", INT), OutputSpec("b", INT)))
    use = Function("m", "use", (InputSpec("value", Type("any")),), (OutputSpec("output", BOOL),))
    nodes = (
        Call("made", made, {}),
        Call("tasks", made, {}),
        Call("two-outputs", two, {}),
        Call("use", use, {"value": value}),
    )
    inputs = (InputSpec("n", INT), InputSpec("with_underscore", STR, Constant("x")))
    return Graph("p", inputs, nodes, (GraphOutput("value", Type("any"), value),))


def test_every_kind_of_value_and_expression_has_an_example() -> None:
    assert VALUES.keys() | ELSEWHERE.keys() == set(typing.get_args(Value))
    assert TREES.keys() == set(typing.get_args(Tree))
    nodes = {kind for kind, _name in EXAMPLES}
    assert set(typing.get_args(model.Node)) <= nodes
    assert set(typing.get_args(model.Work)) <= nodes


@pytest.mark.parametrize(
    "value", [value for values in VALUES.values() for value in values], ids=lambda value: str(value)[:60]
)
def test_a_value_survives_being_written(value: Value) -> None:
    write(graph_with(value))


@pytest.mark.parametrize("kind", ELSEWHERE, ids=lambda kind: kind.__name__)
def test_a_value_of_a_body_survives_being_written(kind: type) -> None:
    text = write(ELSEWHERE[kind]())
    assert kind is Item or f"${{{kind.__name__.lower()}}}" in text
