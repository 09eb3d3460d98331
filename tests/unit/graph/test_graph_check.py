"""What can be wrong with a graph however it was made; what authors see of it is in tests/golden."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.base.diagnostics import Location
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
from penstock.graph.check import check
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Reference
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
    Node,
    Order,
    OutputSpec,
    Policy,
    Resources,
    Retry,
)
from penstock.graph.types import ANY, BOOL, INT, PATH, STR, Type, list_of
from penstock.graph.value_types import UNKNOWN

FRAME = Type("pandas:DataFrame", bases=("pandas:NDFrame",))
NUMBER = Function(
    "m", "number", (InputSpec("x", INT, Constant(0)),), (OutputSpec("output", INT),), location=Location("m.py", 1)
)
MUST = Function("m", "must", (InputSpec("x", INT),), (OutputSpec("output", INT),))
TABLE = Function("m", "table", (), (OutputSpec("output", FRAME),))
TABLES = Function("m", "tables", (), (OutputSpec("output", list_of(FRAME)),))
USE = Function("m", "use", (InputSpec("x", ANY),), (OutputSpec("output", BOOL),))
USE_TABLES = Function("m", "use_tables", (InputSpec("x", list_of(FRAME)),), ())
USE_TABLE = Function("m", "use_table", (InputSpec("x", Type("pandas:NDFrame")),), ())
BODY = Graph(
    "body",
    (InputSpec("x", INT),),
    (Call("must", MUST, {"x": Input("x")}),),
    (GraphOutput("x", INT, Output("must", "output")),),
)


def found(
    *nodes: Node, outputs: tuple[GraphOutput, ...] = (), inputs: tuple[InputSpec, ...] = (), **more: Any
) -> list[str]:
    return [d.code for d in check(Graph("g", inputs, nodes, outputs, **more))]


def call(name: str, value: Value | None = None, function: Function = NUMBER, **more: Any) -> Call:
    return Call(name, function, {} if value is None else {"x": value}, **more)


def out(node: str, name: str = "output") -> Output:
    return Output(node, name)


def test_a_good_graph_has_nothing() -> None:
    assert found(call("a"), call("b", out("a")), outputs=(GraphOutput("x", INT, out("b")),)) == []


def test_cycle_is_told_with_its_path() -> None:
    nodes = (call("a", out("c")), call("b", out("a")), call("c", out("b")), call("d", out("c")), call("e"))
    (diagnostic,) = check(Graph("g", (), nodes, ()))
    assert diagnostic.code == "cycle"
    path = diagnostic.message.split(": ")[1].split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b", "c"}
    assert {(path[i], path[i + 1]) for i in range(3)} == {("a", "b"), ("b", "c"), ("c", "a")}


@pytest.mark.parametrize(
    "node",
    [
        call("a", order=Order(after=("a",))),
        call("a", out("a")),
        call("a", order=Order(when=Expression(Operation("_>_", (Reference(out("a")), Literal(1)))))),
        Map("a", BODY, out("a", "indexes"), {"x": Item()}),
        Call("a", NUMBER, {}, policy=Policy(timeout_ms=out("a"))),
    ],
)
def test_every_reference_can_close_a_cycle(node: Node) -> None:
    assert "cycle" in found(node)


def test_a_later_node_may_be_written_first() -> None:
    assert found(call("b", out("a")), call("a")) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (out("nobody"), "unknown-node"),
        (out("a", "nothing"), "unknown-output"),
        (Input("nothing"), "unknown-input"),
        (StateOf("nobody"), "unknown-node"),
        (StateOf(""), "value-out-of-scope"),
        (Item(), "value-out-of-scope"),
        (Index(), "value-out-of-scope"),
        (Round(), "value-out-of-scope"),
        (Output("", "x"), "value-out-of-scope"),
        (OneOf(()), "one-of-nothing"),
        (Constant(object()), "unserialisable-constant"),
        (Constant({1: 2}), "unserialisable-constant"),
        (Constant("x" * 70_000), "constant-too-large"),
        (Text(("a", out("t"))), "artifact-in-text"),
        (Expression(Operation("_+_", (Reference(out("a")), Literal("x")))), "bad-expression"),
        (Expression(Operation("_+_", (Reference(out("nobody")), Literal(1)))), "unknown-node"),
        (Expression(Operation("_==_", (Reference(out("t")), Literal(0)))), "bad-expression"),
        (Expression(Operation("_[_]", (Reference(out("t")), Literal(0)))), "bad-expression"),
    ],
)
def test_values_that_mean_nothing(value: Value, code: str) -> None:
    nodes = (call("a"), call("t", function=TABLE), call("ts", function=TABLES))
    assert found(*nodes, call("b", value, USE)) == [code]


@pytest.mark.parametrize(
    "value",
    [
        Expression(MapTree(((Literal("a"), Reference(out("t"))),))),
        Expression(Operation("_[_]", (Reference(out("ts")), Literal(0)))),
    ],
)
def test_artifacts_are_put_together_and_picked(value: Value) -> None:
    assert found(call("t", function=TABLE), call("ts", function=TABLES), call("b", value, USE)) == []


@pytest.mark.parametrize(
    ("value", "function"),
    [
        (StateOf("a"), USE),
        (Text(("n ", out("a"))), USE),
        (Expression(ListTree((Reference(out("t")), Reference(out("t"))))), USE_TABLES),
        (Expression(Operation("size", (Reference(out("ts")),))), NUMBER),
        (out("ts"), USE_TABLES),
        (out("t"), USE_TABLE),  # a value may go where a base of its class is asked for
        (out("t"), USE),
        (Constant([]), USE_TABLES),
        (OneOf((out("a"), Constant(3))), MUST),
        (UNKNOWN, USE_TABLES),
        (Expression(Operation("_+_", (Reference(UNKNOWN), Literal(1)))), USE),
    ],
)
def test_values_that_fit(value: Value, function: Function) -> None:
    nodes = (call("a"), call("t", function=TABLE), call("ts", function=TABLES))
    assert found(*nodes, call("b", value, function)) == []


@pytest.mark.parametrize(
    ("value", "function"),
    [
        (Constant("3"), MUST),
        (Constant(True), MUST),
        (Constant(3.0), MUST),
        (Constant(None), MUST),
        (out("t"), MUST),
        (out("a"), USE_TABLE),
        (Constant("file.csv"), USE_TABLE),
        (Constant([1]), USE_TABLES),
        (OneOf((out("a"), out("t"))), MUST),
        (StateOf("a"), MUST),
        (Expression(ListTree((Reference(out("t")), Reference(out("a"))))), USE_TABLES),
    ],
)
def test_values_of_a_wrong_type(value: Value, function: Function) -> None:
    codes = found(call("a"), call("t", function=TABLE), call("b", value, function))
    # one_of values of unlike types is of type any: what comes decides
    assert codes == ([] if isinstance(value, (OneOf, Expression)) else ["wrong-type"])


def test_inputs_given_and_not() -> None:
    assert found(call("a", function=MUST)) == ["missing-input"]
    assert found(Call("a", NUMBER, {"y": Constant(1)})) == ["unknown-input"]
    assert found(Call("a", BODY, {})) == ["missing-input"]


def test_names() -> None:
    assert found(call("a"), call("a")) == ["duplicate-name"]
    assert found(call("not a name")) == ["bad-name"]
    assert found(call("3a")) == ["bad-name"]
    assert [d.code for d in check(Graph("no name!", (), (), ()))] == ["bad-name"]
    assert found(inputs=(InputSpec("a", INT), InputSpec("a", INT))) == ["duplicate-name"]
    assert found(inputs=(InputSpec("a b", INT),)) == ["bad-name"]
    assert found(inputs=(InputSpec("größe", INT),)) == []
    doubled = (GraphOutput("x", ANY, Constant(1)), GraphOutput("x", ANY, Constant(2)))
    assert found(outputs=doubled) == ["duplicate-name"]


def test_ends_of_components() -> None:
    bad = Function("m", "f", (InputSpec("x", INT, Constant("a")),), (OutputSpec("y", INT), OutputSpec("y", INT)))
    assert found(call("a", function=bad), call("b", function=bad)) == ["duplicate-name", "wrong-type"]
    assert found(outputs=(GraphOutput("x", STR, Constant(3)),)) == ["wrong-type"]


@pytest.mark.parametrize(
    ("when", "code"),
    [
        (Constant(3), "condition-not-bool"),
        (out("a"), "condition-not-bool"),
        (out("t"), "condition-not-bool"),
        (out("nobody"), "unknown-node"),
        (Expression(Operation("_>_", (Reference(out("t")), Literal(1)))), "bad-expression"),
    ],
)
def test_conditions(when: Value, code: str) -> None:
    nodes = (call("a"), call("t", function=TABLE))
    assert found(*nodes, call("b", order=Order(when=when))) == [code]
    assert found(*nodes, Branch("b", (Case(when, BODY, {"x": Constant(1)}),))) == [code]
    assert found(*nodes, Loop("b", BODY, {"x": Constant(1)}, {"x": "x"}, when, 3)) == [code]


def test_maps() -> None:
    given = {"x": Item()}
    assert found(Map("m", BODY, Constant([1]), given)) == []
    assert found(Map("m", BODY, Constant(1), given)) == ["items-not-a-list"]
    assert found(Map("m", BODY, Constant(["a"]), given)) == ["wrong-type"]
    assert found(Map("m", BODY, Constant([1]), given, parallel_max=0)) == ["bad-limit"]
    assert found(Map("m", BODY, Constant([1]), given, failures_max=-1)) == ["bad-limit"]
    assert found(Map("m", BODY, Constant([1]), {})) == ["missing-input"]
    # The constant is above the limit for constants too: both are said.
    assert found(Map("m", BODY, Constant([1] * 100_001), given)) == ["constant-too-large", "too-many-items"]
    named = Graph("b", (InputSpec("x", INT),), (), (GraphOutput("indexes", INT, Input("x")),))
    assert found(Map("m", named, Constant([1]), given)) == ["reserved-name"]


def test_branches() -> None:
    given = {"x": Constant(1)}
    text = Graph("t", (InputSpec("x", INT),), (), (GraphOutput("x", STR, Constant("a")),))
    assert found(Branch("b", ())) == ["no-cases"]
    assert found(Branch("b", (Case(None, BODY, given), Case(Constant(True), BODY, given)))) == ["unreachable-case"]
    assert found(Branch("b", (Case(Constant(True), BODY, given), Case(None, text, given)))) == ["wrong-type"]
    assert found(Branch("b", (Case(Constant(True), BODY, {}),))) == ["missing-input"]


def test_loops() -> None:
    given, until = {"x": Constant(1)}, Expression(Operation("_>_", (Reference(Output("", "x")), Literal(3))))
    assert found(Loop("l", BODY, given, {"x": "x"}, until, 3)) == []
    assert found(Loop("l", BODY, given, {"x": "x"}, until, 0)) == ["bad-limit"]
    assert found(Loop("l", BODY, given, {"x": "x"}, until, 3, "stop")) == ["bad-exhausted"]
    assert found(Loop("l", BODY, given, {"y": "x"}, until, 3)) == ["unknown-carry"]
    assert found(Loop("l", BODY, given, {"x": "y"}, until, 3)) == ["unknown-carry", "loop-invariant"]
    assert found(Loop("l", BODY, given, {"x": "x"}, Output("", "nothing"), 3)) == ["unknown-output"]
    text = Graph("t", (InputSpec("x", INT),), (), (GraphOutput("x", STR, Constant("a")),))
    assert found(Loop("l", text, given, {"x": "x"}, None, 3)) == ["wrong-type"]
    named = Graph(
        "b", (InputSpec("x", INT),), (), (GraphOutput("met", INT, Input("x")), GraphOutput("rounds", INT, Input("x")))
    )
    assert found(Loop("l", named, given, {"met": "x"}, None, 3)) == ["reserved-name", "reserved-name"]


def test_a_loop_may_vary_by_its_round_and_through_other_tasks() -> None:
    assert found(Loop("l", BODY, {"x": Round()}, {}, None, 3)) == []
    two = (call("one", Input("x")), call("two", out("one")), call("three", Input("y")))
    body = Graph("b", (InputSpec("x", INT), InputSpec("y", INT)), two, (GraphOutput("x", INT, out("two")),))
    loop = Loop("l", body, {"x": Constant(1), "y": Constant(2)}, {"x": "x"}, None, 3)
    (warning,) = check(Graph("g", (), (loop,), ()))
    assert warning.code == "loop-invariant"
    assert warning.severity == "warning"
    assert "'three'" in warning.message


def test_what_is_never_cached_may_be_repeated() -> None:
    uncached = Graph("b", (), (call("a", policy=Policy(cache=False)),), ())
    sensor = Function("m", "sensor", (), (), policy=Policy(cache=False))
    assert found(Loop("l", uncached, {}, {}, None, 3)) == []
    assert found(Loop("l", Graph("b", (), (call("a", function=sensor),), ()), {}, {}, None, 3)) == []
    assert found(Loop("l", Graph("b", (), (call("a"),), ()), {}, {}, None, 3)) == ["loop-invariant"]


def test_finally_is_used_by_nothing() -> None:
    last = Finally("last", NUMBER, {}, ("a",))
    a = call("a")
    assert found(a, last) == []
    assert found(a, last, call("b", out("last"))) == ["finally-used"]
    assert found(a, last, call("b", StateOf("last"), USE)) == ["finally-used"]
    assert found(a, last, call("b", order=Order(after=("last",)))) == ["finally-used"]
    assert found(a, last, outputs=(GraphOutput("x", INT, out("last")),)) == ["finally-used"]
    assert found(a, last, Finally("other", NUMBER, {}, ("last",))) == ["bad-watched"]
    assert found(a, last, Finally("other", NUMBER, {"x": out("last")}, ("a",))) == ["finally-used"]
    assert found(Finally("other", NUMBER, {}, ("nobody",))) == ["unknown-node"]
    assert found(a, Finally("other", USE, {"x": StateOf("")}, ("a",))) == []


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy(resources=Resources(cpu=-1)), "bad-resources"),
        (Policy(resources=Resources(cpu=float("nan"))), "bad-resources"),
        (Policy(resources=Resources(memory_bytes=0)), "bad-resources"),
        (Policy(resources=Resources(custom={"licence": -1})), "bad-resources"),
        (Policy(resources=Resources(custom={"licence": Constant("a")})), "bad-resources"),
        (Policy(resources=Resources(cpu=out("nobody"))), "unknown-node"),
        (Policy(resources=Resources(gpu=Gpu(1.5))), "bad-resources"),
        (Policy(resources=Resources(gpu=Gpu(-1))), "bad-resources"),
        (Policy(resources=Resources(gpu=Gpu(1, 0))), "bad-resources"),
        (Policy(resources=Resources(gpu=Gpu(out("nobody")))), "unknown-node"),
        (Policy(resources=Resources(custom={"gpu": 1})), "bad-resources"),
        (Policy(resources=Resources(custom={"gpu:A": 1})), "bad-resources"),
        (Policy(timeout_ms=0), "bad-timeout"),
        (Policy(timeout_ms=StateOf("a")), "bad-timeout"),
        (Policy(retry=Retry(0)), "bad-retry"),
        (Policy(retry=Retry(1, factor=0.5)), "bad-retry"),
        (Policy(retry=Retry(1, jitter=2.0)), "bad-retry"),
        (Policy(retry=Retry(1, backoff_ms=-1)), "bad-retry"),
    ],
)
def test_policies(policy: Policy, code: str) -> None:
    assert found(call("a"), call("b", policy=policy)) == [code]


def test_policies_of_components_are_judged_once() -> None:
    odd = Function("m", "odd", (), (), policy=Policy(timeout_ms=-1))
    assert found(call("a", function=odd), call("b", function=odd)) == ["bad-timeout"]
    assert found(timeout_ms=0) == ["bad-timeout"]


def test_values_that_are_sure_to_be_absent() -> None:
    branch = Branch(
        "b",
        (
            Case(
                Input("flag"),
                Graph("one", (), (call("n"),), (GraphOutput("one", INT, out("n")), GraphOutput("both", INT, out("n")))),
                {},
            ),
            Case(
                None,
                Graph("two", (), (call("n"),), (GraphOutput("two", INT, out("n")), GraphOutput("both", INT, out("n")))),
                {},
            ),
        ),
    )
    add = Function("m", "add", (InputSpec("x", INT), InputSpec("y", INT)), (OutputSpec("output", INT),))
    flag = (InputSpec("flag", BOOL),)
    one, two, both = out("b", "one"), out("b", "two"), out("b", "both")

    def added(x: Value, y: Value) -> list[str]:
        return found(branch, Call("add", add, {"x": x, "y": y}), inputs=flag)

    assert added(one, two) == ["never-has-value"]
    assert added(one, both) == []
    assert added(both, two) == []
    assert added(OneOf((one, two)), both) == []
    assert added(Expression(Operation("_+_", (Reference(one), Reference(two)))), both) == ["never-has-value"]
    assert (
        found(
            branch,
            call("x", one, order=Order(when=Expression(Operation("_>_", (Reference(two), Literal(1)))))),
            inputs=flag,
        )
        == []
    )
    assert found(
        branch,
        call("x", one, MUST, order=Order(when=Expression(Operation("_>_", (Reference(two), Literal(1)))))),
        inputs=flag,
    ) == ["never-has-value"]
    off = call("off", order=Order(when=Constant(False)))
    assert found(off, call("x", out("off"))) == []
    assert found(off, call("x", out("off"), MUST), call("y", out("x"), MUST)) == ["never-has-value"]
    # written before what it needs
    assert found(call("x", out("off"), MUST), off) == ["never-has-value"]


def test_bodies_are_checked_at_any_depth_and_once() -> None:
    broken = Graph("broken", (), (call("a", out("nobody")),), ())
    outer = Graph("outer", (), (Call("x", broken, {}), Call("y", broken, {})), ())
    assert found(Call("one", outer, {}), Call("two", outer, {}), Map("m", outer, Constant([]), {})) == ["unknown-node"]


def test_diagnostics_know_their_place() -> None:
    here, there = Location("p.py", 7), Location("p.py", 3)
    (diagnostic,) = check(Graph("g", (), (call("a", Constant("x"), location=here),), (), location=there))
    assert diagnostic.location == here
    assert diagnostic.fix
    (diagnostic,) = check(Graph("g", (), (), (GraphOutput("x", INT, Constant("x")),), location=there))
    assert diagnostic.location == there


def test_a_path_as_a_constant_says_what_to_do() -> None:
    read = Function("m", "read", (InputSpec("x", PATH),), ())
    (diagnostic,) = check(Graph("g", (), (call("a", Constant("file"), read),), ()))
    assert "str" in diagnostic.fix


def test_a_long_chain_is_no_deep_recursion() -> None:
    nodes = [call("n-0")] + [call(f"n-{i}", out(f"n-{i - 1}")) for i in range(1, 5_000)]
    branch = Branch("b", (Case(Constant(True), BODY, {"x": Constant(1)}),))  # so that presence is followed too
    assert found(branch, *nodes) == []
    assert found(branch, *reversed(nodes)) == []
    nodes[0] = call("n-0", out("n-4999"))
    assert found(*nodes) == ["cycle"]
