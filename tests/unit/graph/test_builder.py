"""The builder: names, scopes, and that it records rather than raises."""

from __future__ import annotations

from penstock.graph.bindings import Constant, Expression, Input, Item, OneOf, Output, Round, StateOf
from penstock.graph.builder import UNKNOWN_SCOPED, GraphBuilder, NodeOptions, Scoped
from penstock.graph.check import check
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import Branch, Call, Finally, Function, InputSpec, Loop, Map, OutputSpec
from penstock.graph.names import UniqueNames, nearest
from penstock.graph.types import ANY, BOOL, FLOAT, INT, JSON, NULL, STR, Type, enum_of, list_of
from penstock.graph.value_types import UNKNOWN, merge_types

NUMBER = Function("m", "number", (InputSpec("x", INT, Constant(0)),), (OutputSpec("output", INT),))
ADD = Function("m", "add", (InputSpec("a", INT), InputSpec("b", INT)), (OutputSpec("output", INT),))


def constant(value: object) -> Scoped:
    return Scoped(None, Constant(value), ANY)


def test_names_are_made_in_call_order() -> None:
    builder = GraphBuilder("g")
    names = [builder.add_call(NUMBER, {}).name for _ in range(3)]
    assert names == ["number", "number-2", "number-3"]
    assert builder.add_call(NUMBER, {}, NodeOptions(name="mine")).name == "mine"
    assert builder.add_call(NUMBER, {}).name == "number-4"
    assert builder.diagnostics == []


def test_a_name_given_twice_is_told_and_made_another() -> None:
    builder = GraphBuilder("g")
    builder.add_call(NUMBER, {}, NodeOptions(name="a"))
    assert builder.add_call(NUMBER, {}, NodeOptions(name="a")).name == "a-2"
    assert builder.add_call(NUMBER, {}, NodeOptions(name="not good")).name == "not_good"
    assert [d.code for d in builder.diagnostics] == ["duplicate-name", "bad-name"]
    assert check(builder.finish()) == ()


def test_a_name_taken_by_hand_is_skipped() -> None:
    builder = GraphBuilder("g")
    builder.add_call(NUMBER, {}, NodeOptions(name="number-2"))
    assert [builder.add_call(NUMBER, {}).name for _ in range(2)] == ["number", "number-3"]


def test_finishing_twice_gives_the_same_graph() -> None:
    builder = GraphBuilder("g")
    builder.add_call(NUMBER, {})
    assert builder.finish() is builder.finish()


def test_a_body_is_closed_at_any_depth() -> None:
    builder = GraphBuilder("g")
    seed = builder.add_input("seed", INT)
    first = builder.add_call(NUMBER, {"x": seed}).output("output")
    outer = builder.child("outer")
    inner = outer.child("inner")
    inner.add_output("sum", inner.add_call(ADD, {"a": first, "b": seed}).output("output"))
    again = inner.add_call(ADD, {"a": first, "b": first})
    inner.add_output("again", again.output("output"))
    mapped = outer.add_map(inner, constant([1]), {})
    outer.add_output("sums", mapped.output("sum"))
    builder.add_map(outer, constant([1, 2]), {})
    graph = builder.finish()
    assert check(graph) == ()
    (_number, map_outer) = graph.nodes
    assert isinstance(map_outer, Map)
    assert dict(map_outer.inputs) == {"number": Output("number", "output"), "seed": Input("seed")}
    assert [spec.name for spec in map_outer.body.inputs] == ["number", "seed"]
    (map_inner,) = map_outer.body.nodes
    assert isinstance(map_inner, Map)
    assert dict(map_inner.inputs) == {"number": Input("number"), "seed": Input("seed")}
    (one, other) = map_inner.body.nodes
    assert isinstance(one, Call)
    assert isinstance(other, Call)
    assert dict(one.inputs) == {"a": Input("number"), "b": Input("seed")}
    assert dict(other.inputs) == {"a": Input("number"), "b": Input("number")}


def test_lifted_names_do_not_clash_with_inputs() -> None:
    builder = GraphBuilder("g")
    outer = builder.add_call(NUMBER, {}).output("output")
    body = builder.child("body")
    own = body.add_input("number", INT)
    body.add_call(ADD, {"a": own, "b": outer})
    builder.add_map(body, constant([1]), {"number": Scoped(None, Item(), INT)})
    node = builder.finish().nodes[1]
    assert isinstance(node, Map)
    assert dict(node.inputs) == {"number": Item(), "number-2": Output("number", "output")}


def test_an_expression_is_lifted_whole_and_named_by_its_use() -> None:
    builder = GraphBuilder("g")
    a = builder.add_call(NUMBER, {}).output("output")
    more = builder.scoped(Expression(Operation("_+_", (Reference(a.value), Literal(1)))))
    assert more.type == INT
    body = builder.child("body")
    body.add_call(NUMBER, {"x": more})
    body.add_call(NUMBER, {"x": builder.scoped(Expression(Operation("_+_", (Reference(a.value), Literal(True)))))})
    builder.add_map(body, constant([1]), {})
    node = builder.finish().nodes[1]
    assert isinstance(node, Map)
    assert dict(node.inputs) == {"x": more.value}
    assert [d.code for d in builder.diagnostics] == ["bad-expression"]


def test_values_of_a_case_become_outputs_of_the_branch() -> None:
    builder = GraphBuilder("g")
    flag = builder.add_input("flag", BOOL)
    branch = builder.add_branch()
    one = branch.case(flag)
    inner = one.add_branch()
    deep = inner.case(flag)
    made = deep.add_call(NUMBER, {})
    other = branch.case(None)
    number = other.add_call(NUMBER, {})
    assert builder.bring(made.output("output")) == Output("branch", "branch_number")
    assert builder.bring(made.output("output")) == Output("branch", "branch_number")
    assert builder.bring(number.output("output")) == Output("branch", "number")
    assert builder.bring(number.state()) == Output("branch", "number_state")
    assert other.bring(made.output("output")) == Input("branch_branch_number")
    graph = builder.finish()
    node = graph.nodes[0]
    assert isinstance(node, Branch)
    assert [[output.name for output in case.body.outputs] for case in node.cases] == [
        ["branch_number"],
        ["number", "number_state"],
    ]


def test_one_value_of_two_cases() -> None:
    builder = GraphBuilder("g")
    flag = builder.add_input("flag", BOOL)
    branch = builder.add_branch(NodeOptions(name="choose"))
    values = [branch.case(when).add_call(NUMBER, {}).output("output") for when in (flag, None)]
    assert branch.is_closed
    sources = tuple(builder.bring(value) for value in values)
    assert sources == (Output("choose", "number"), Output("choose", "number-2"))
    builder.add_output("x", builder.scoped(OneOf(sources)))
    graph = builder.finish()
    assert graph.outputs[0].type == INT
    assert check(graph) == ()


def test_order_reaches_over_the_borders_of_bodies() -> None:
    builder = GraphBuilder("g")
    flag = builder.add_input("flag", BOOL)
    first = builder.add_call(NUMBER, {}, NodeOptions(name="first"))
    branch = builder.add_branch()
    case = branch.case(flag)
    second = case.add_call(NUMBER, {}, NodeOptions(name="second", after=[first]))
    third = case.add_call(NUMBER, {}, NodeOptions(name="third", after=[first, second, second]))
    last = builder.add_call(NUMBER, {}, NodeOptions(name="last", after=[third]))
    builder.add_finally(NUMBER, {}, [third, last])
    nodes = {node.name: node for node in builder.finish().nodes}
    held = nodes["branch"]
    assert isinstance(held, Branch)
    assert held.order.after == ("first",)
    assert [node.order.after for node in held.cases[0].body.nodes if isinstance(node, Call)] == [(), ("second",)]
    assert nodes["last"].order.after == ("branch",)  # type: ignore[union-attr]
    assert nodes["number"].watch == ("branch", "last")  # type: ignore[union-attr]
    assert check(builder.finish()) == ()


def test_finally_watches_what_comes_later_too() -> None:
    builder = GraphBuilder("g")
    builder.add_call(NUMBER, {}, NodeOptions(name="a"))
    builder.add_finally(NUMBER, {}, None, NodeOptions(name="end"))
    builder.add_call(NUMBER, {}, NodeOptions(name="b"))
    builder.add_finally(NUMBER, {}, None, NodeOptions(name="end-2"))
    watched = {node.name: node.watch for node in builder.finish().nodes if isinstance(node, Finally)}
    assert watched == {"end": ("a", "b"), "end-2": ("a", "b")}


def test_a_loop_sees_its_round() -> None:
    builder = GraphBuilder("g")
    body = builder.child("body")
    x = body.add_input("x", INT)
    body.add_output("score", body.add_call(NUMBER, {"x": x}).output("output"))
    round_ = builder.round_of(body).output("score")
    until = builder.scoped(Expression(Operation("_>_", (Reference(round_.value), Literal(3)))))
    loop = builder.add_loop(body, {"x": Scoped(None, Round(), INT)}, until, carry={}, rounds_max=3)
    assert until.type == BOOL
    assert dict(loop.outputs) == {"score": INT, "met": BOOL, "rounds": INT}
    graph = builder.finish()
    assert isinstance(graph.nodes[0], Loop)
    assert check(graph) == ()


def test_foreign_values_are_recorded() -> None:
    other = GraphBuilder("other")
    foreign = other.add_call(NUMBER, {})
    builder = GraphBuilder("g")
    node = builder.add_call(NUMBER, {"x": foreign.output("output")}, NodeOptions(after=[foreign]))
    assert [d.code for d in builder.diagnostics] == ["value-out-of-scope"] * 2
    call = builder.finish().nodes[0]
    assert isinstance(call, Call)
    assert call.inputs["x"] is UNKNOWN
    assert call.order.after == ()
    assert node.owner.bring(UNKNOWN_SCOPED) is UNKNOWN
    assert check(builder.finish()) == ()  # told once


def test_two_inputs_or_outputs_of_one_name() -> None:
    builder = GraphBuilder("g")
    x = builder.add_input("x", INT)
    builder.add_input("x", STR)
    builder.add_output("y", x)
    builder.add_output("y", x)
    assert [d.code for d in builder.diagnostics] == ["duplicate-name"] * 2


def test_state_has_a_type() -> None:
    builder = GraphBuilder("g")
    assert builder.add_call(NUMBER, {}).state() == Scoped(builder, StateOf("number"), STR)


def test_types_are_merged_to_the_narrowest() -> None:
    optional_int = Type("int", optional=True)
    frame, series = Type("m:Frame", bases=("m:Base",)), Type("m:Base")
    assert merge_types([INT, INT]) == INT
    assert merge_types([INT, FLOAT]) == FLOAT
    assert merge_types([INT, NULL]) == optional_int
    assert merge_types([optional_int, FLOAT]) == Type("float", optional=True)
    assert merge_types([INT, STR]) == JSON
    assert merge_types([frame, series]) == series
    assert merge_types([frame, INT]) == ANY
    assert merge_types([enum_of("a"), enum_of("b")]) == STR
    assert merge_types([list_of(INT), list_of(FLOAT)]) == list_of(FLOAT)
    assert merge_types([NULL, NULL]) == NULL
    assert merge_types([]) == ANY
    assert merge_types([ANY, INT]) == ANY


def test_unique_names_stay_quick() -> None:
    names = UniqueNames()
    made = [names.unique("a") for _ in range(20_000)]
    assert made[-1] == "a-20000"
    assert len(set(made)) == 20_000


def test_nearest() -> None:
    assert nearest("sed", ["seed", "rate"]) == "Did you mean 'seed'?"
    assert nearest("xyz", ["seed", "rate"]) == "There are: seed, rate."
    assert nearest("xyz", ["seed"]) == "There is: seed."
    assert nearest("xyz", []) == "There are none."
    assert nearest("xyz", [f"n{i}" for i in range(30)]).endswith("n19, ....")
