"""What a graph means, rule by rule: `semantics.md` by number, and the finer S-rules of `docs` by theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

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
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Reference, Select, Tree
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
    Node,
    Order,
    OutputSpec,
    Policy,
    Trigger,
)
from penstock.graph.types import ANY
from penstock.testing.naive import Result, evaluate
from penstock.wire import (
    Artifact,
    Counted,
    Datum,
    Failed,
    Failure,
    Inline,
    Outcome,
    Skipped,
    Struct,
    Succeeded,
)

ERROR = Failed(Failure("builtins:KeyError", "no", ("LookupError", "builtins:LookupError")))
BEHAVIOURS: dict[str, Callable[[Mapping[str, Datum]], Outcome]] = {
    "bad": lambda _: ERROR,
    "skipping": lambda _: Skipped("no need"),
    "fragile": lambda inputs: ERROR if inputs["x"] == Inline(1) else Succeeded({"out": inputs["x"]}),
    "picky": lambda inputs: Skipped("no") if inputs["x"] == Inline(1) else Succeeded({"out": inputs["x"]}),
    "double": lambda inputs: Succeeded({"out": Inline(2 * plain(inputs["x"]))}),
    "listing": lambda _: Succeeded({"out": Counted((Inline(0), Inline(1), Inline(2)))}),
}


def plain(datum: Datum) -> Any:
    if isinstance(datum, Counted):
        return [plain(item) for item in datum.items]
    return datum.value if isinstance(datum, Inline) else datum


def answer(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
    """A function gives its first input, or its name, but for those with a behaviour of their own."""
    behaviour = BEHAVIOURS.get(function.name)
    return behaviour(inputs) if behaviour else Succeeded({"out": next(iter(inputs.values()), Inline(function.name))})


def function(name: str, *inputs: str | InputSpec, **policy: Any) -> Function:
    specs = tuple(each if isinstance(each, InputSpec) else InputSpec(each, ANY) for each in inputs)
    return Function("m", name, specs, (OutputSpec("out", ANY),), Policy(**policy))


def call(
    name: str,
    *after: str,
    does: str = "",
    order: Order | None = None,
    bound: Mapping[str, Value] | None = None,
    **inputs: Value,
) -> Call:
    inputs = {**inputs, **(bound or {})}
    return Call(name, function(does or name, *inputs), inputs, order or Order(after))


def graph(*nodes: Node, out: Value | None = None, inputs: tuple[str, ...] = (), **rest: Any) -> Graph:
    outputs = (GraphOutput("out", ANY, out),) if out else ()
    return Graph("g", tuple(InputSpec(name, ANY) for name in inputs), nodes, outputs, **rest)


def body(does: str = "fit") -> Graph:
    return graph(call("fit", does=does, x=Input("x")), out=Output("fit", "out"), inputs=("x",))


def run(*nodes: Node, call_with: Callable[..., Outcome] = answer, **rest: Any) -> Result:
    return evaluate(graph(*nodes, **rest), {}, call_with)


def states(result: Result) -> dict[str, str]:
    return {path: ended.state + (f" {ended.cause}" if ended.cause else "") for path, ended in result.task_runs.items()}


def values(result: Result, path: str) -> dict[str, Any]:
    return {name: plain(datum) for name, datum in result.task_runs[path].outputs.items()}


def operation(operator: str, *arguments: Any) -> Expression:
    trees = [
        each
        if isinstance(each, Operation)
        else Reference(each)
        if hasattr(each, "__dataclass_fields__")
        else Literal(each)
        for each in arguments
    ]
    return Expression(Operation(operator, tuple(trees)))


OUT = {name: Output(name, "out") for name in ("a", "b", "c", "m", "n", "bad", "skipping", "listing")}
GOOD, BAD, SKIPPING = call("a"), call("bad"), call("skipping")


# -- graphs and values -------------------------------------------------------------------------------------------------


def test_rule_1_a_call_of_a_graph_is_a_nested_pipeline_that_sees_its_inputs_only() -> None:
    nested = Call("prepare", body("double"), {"x": Constant(3)})
    result = run(nested, out=Output("prepare", "out"))
    assert result.outputs == {"out": Inline(6)}
    assert states(result) == {"prepare/fit": "succeeded", "prepare": "succeeded"}


def test_rule_2_every_value_stands_for_data() -> None:
    bound: dict[str, Value] = {
        "constant": Constant([1]),
        "output": OUT["a"],
        "text": Text(("n=", Constant(3), " ", Constant(True), " ", Constant(1.5))),
        "expression": operation("_+_", Constant(1), 2),
        "one": OneOf((OUT["skipping"], OUT["a"])),
        "state": StateOf("skipping"),
    }
    seen: dict[str, Any] = {}

    def noting(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
        seen.update({path: {name: plain(datum) for name, datum in inputs.items()}})
        return answer(function, inputs, path)

    run(GOOD, SKIPPING, call("b", bound=bound), call_with=noting)
    assert seen["b"] == {
        "constant": [1],
        "output": "a",
        "text": "n=3 true 1.5",
        "expression": 3,
        "one": "a",
        "state": "skipped",
    }


def test_rule_3_s12_an_artifact_in_an_expression_fails_the_node() -> None:
    frame = Artifact("blake3:00", "pandas:DataFrame", "parquet", 10)

    def giving(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
        return Succeeded({"out": frame}) if path == "a" else answer(function, inputs, path)

    result = run(GOOD, call("b", x=operation("_+_", OUT["a"], 1)), call_with=giving)
    assert states(result)["b"] == "failed expression_error"


def test_rule_4_s12_a_counted_list_is_counted_and_its_inline_items_are_read() -> None:
    result = run(
        call("listing"),
        call("b", x=operation("size", OUT["listing"])),
        call("c", x=operation("_[_]", OUT["listing"], 2)),
    )
    assert values(result, "b") == {"out": 3}
    assert values(result, "c") == {"out": 2}


FRAME = Artifact("blake3:00", "pandas:DataFrame", "parquet", 10)


def _framed(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
    return Succeeded({"out": FRAME}) if function.name == "a" else answer(function, inputs, path)


FRAMES = ListTree((Reference(OUT["a"]),))
NUMBERS = ListTree((Literal(3), Literal(4)))


def struct(**fields: Tree) -> MapTree:
    return MapTree(tuple((Literal(name), tree) for name, tree in fields.items()))


def combination(function: str, **lists: Tree) -> Expression:
    return Expression(Operation(function, (struct(**lists),)))


def test_rule_4_s12_artifacts_put_together_are_counted_lists_and_structs() -> None:
    named = struct(z=ListTree((Reference(OUT["a"]), Literal(1))), n=Literal(2))
    result = run(
        GOOD,
        call("b", x=Expression(named)),
        call("c", x=operation("_[_]", OUT["b"], "z")),
        call("d", x=Expression(struct(n=Literal(2)))),
        call("e", x=combination("zip", f=FRAMES)),
        call_with=_framed,
    )
    given = {path: ended.outputs["out"] for path, ended in result.task_runs.items()}
    assert given["b"] == Struct({"z": Counted((FRAME, Inline(1))), "n": Inline(2)})
    assert given["c"] == Counted((FRAME, Inline(1)))
    assert given["d"] == Inline({"n": 2})
    assert given["e"] == Counted((Struct({"f": FRAME}),))


def test_rule_11_s12_an_input_of_an_item_is_one_field_of_it() -> None:
    field = {"x": Expression(Select(Reference(Item()), "n"))}
    node = Map("m", body("double"), combination("product", f=FRAMES, n=NUMBERS), field)
    assert values(run(GOOD, node, call_with=_framed), "m") == {"out": [6, 8], "indexes": [0, 1]}
    unequal = Map("m", body("double"), combination("zip", f=FRAMES, n=NUMBERS), field)
    assert states(run(GOOD, unequal, call_with=_framed))["m"] == "failed expression_error"


# -- order, skipping, failing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "upstreams", "state"),
    [
        ("all_succeeded", "a", "succeeded"),
        ("all_succeeded", "a bad", "skipped upstream_failed"),
        ("all_succeeded", "a skipping", "skipped upstream_skipped"),
        ("all_succeeded", "skipping bad", "skipped upstream_failed"),
        ("all_ended", "bad skipping", "succeeded"),
        ("none_failed", "a skipping", "succeeded"),
        ("none_failed", "a bad", "skipped upstream_failed"),
        ("one_succeeded", "a bad", "succeeded"),
        ("one_succeeded", "bad skipping", "skipped upstream_failed"),
        ("one_succeeded", "skipping", "skipped upstream_skipped"),
        ("one_failed", "a bad", "succeeded"),
        ("one_failed", "a skipping", "skipped upstream_skipped"),
        ("none_failed_one_succeeded", "a skipping", "succeeded"),
        ("none_failed_one_succeeded", "a bad", "skipped upstream_failed"),
        ("none_failed_one_succeeded", "skipping", "skipped upstream_skipped"),
    ],
)
def test_rule_6_s2_triggers(trigger: str, upstreams: str, state: str) -> None:
    order = Order(tuple(upstreams.split()), trigger=Trigger(trigger))
    assert states(run(GOOD, BAD, SKIPPING, call("b", order=order)))["b"] == state


@pytest.mark.parametrize("trigger", list(Trigger))
def test_rule_6_s2_a_node_without_upstreams_runs_under_every_trigger(trigger: Trigger) -> None:
    assert states(run(call("b", order=Order(trigger=trigger)))) == {"b": "succeeded"}


def test_rule_6_s1_a_state_is_waited_for_and_not_tallied() -> None:
    result = run(BAD, call("b", x=StateOf("bad")))
    assert states(result)["b"] == "succeeded"
    assert values(result, "b") == {"out": "failed"}


def test_rule_6_s1_repeated_references_and_one_of_count_once() -> None:
    one = OneOf((OUT["bad"], OUT["a"]))
    assert states(run(GOOD, BAD, call("b", x=one)))["b"] == "succeeded"
    assert states(run(GOOD, BAD, call("b", x=one, y=OUT["bad"])))["b"] == "skipped upstream_failed"


def test_rule_6_s3_an_input_without_a_value_takes_its_default_else_the_node_is_skipped() -> None:
    order = Order(trigger=Trigger.ALL_ENDED)
    with_default = Call("b", function("b", InputSpec("x", ANY, Constant(7))), {"x": OUT["bad"]}, order)
    without = call("c", order=order, x=OUT["bad"])
    unbound = Call("n", function("n", InputSpec("x", ANY, Constant(8))), {})
    result = run(BAD, with_default, without, unbound)
    assert values(result, "b") == {"out": 7}
    assert states(result)["c"] == "skipped upstream_skipped"
    assert values(result, "n") == {"out": 8}


def test_rule_6_s3_a_default_of_null_is_a_value() -> None:
    node = Call("b", function("b", InputSpec("x", ANY, Constant(None))), {})
    assert values(run(node), "b") == {"out": None}


@pytest.mark.parametrize(
    ("when", "state"),
    [
        (Constant(True), "succeeded"),
        (Constant(False), "skipped condition"),
        (Constant(1), "failed condition_error"),
        (operation("_>_", operation("_/_", 1, 0).tree, 0), "failed condition_error"),
    ],
)
def test_rule_6_s3_when(when: Value, state: str) -> None:
    assert states(run(call("b", order=Order(when=when))))["b"] == state


def test_rule_6_s3_when_without_a_value_skips() -> None:
    order = Order(when=OUT["skipping"], trigger=Trigger.ALL_ENDED)
    assert states(run(SKIPPING, call("b", order=order)))["b"] == "skipped upstream_skipped"


def test_rule_6_s3_an_error_in_a_binding_fails_the_node() -> None:
    assert states(run(call("b", x=operation("_/_", 1, 0)))) == {"b": "failed expression_error"}


def test_rule_7_skips_spread_along_data_and_order_and_stop_at_one_of() -> None:
    result = run(
        SKIPPING,
        GOOD,
        call("b", x=OUT["skipping"]),
        call("c", "b"),
        call("n", x=OneOf((OUT["b"], OUT["a"]))),
    )
    assert states(result) == {
        "skipping": "skipped asked",
        "a": "succeeded",
        "b": "skipped upstream_skipped",
        "c": "skipped upstream_skipped",
        "n": "succeeded",
    }
    assert result.state == "succeeded"


def test_rule_8_a_failed_node_fails_the_run_and_independent_ones_go_on() -> None:
    result = run(BAD, call("b", "bad"), call("c", order=Order(("b",), trigger=Trigger.ALL_ENDED)), GOOD)
    assert result.state == "failed"
    assert states(result) == {
        "bad": "failed failed",
        "b": "skipped upstream_failed",
        "c": "succeeded",
        "a": "succeeded",
    }


def test_rule_8_s8_a_failure_at_depth_fails_all_that_hold_it() -> None:
    inner = graph(Call("mid", graph(BAD), {}))
    result = run(Call("top", inner, {}))
    assert states(result) == {
        "top/mid/bad": "failed failed",
        "top/mid": "failed body_failed",
        "top": "failed body_failed",
    }


def test_rule_8_fail_fast_cancels_the_rest_and_finally_still_runs() -> None:
    last = Finally("last", function("last", "how"), {"how": StateOf("")}, ("a",))
    result = run(BAD, GOOD, last, fail_fast=True)
    assert states(result) == {"bad": "failed failed", "a": "cancelled fail_fast", "last": "succeeded"}
    assert values(result, "last") == {"out": "cancelled"}
    assert result.state == "failed"


def test_rule_9_one_of_takes_the_first_that_succeeded_in_written_order() -> None:
    result = run(GOOD, call("c"), call("b", x=OneOf((OUT["c"], OUT["a"]))))
    assert values(result, "b") == {"out": "c"}


def test_rule_9_one_of_none_is_failed_if_any_failed_else_skipped() -> None:
    other = call("c", does="skipping")
    assert states(run(BAD, other, call("b", x=OneOf((OUT["c"], OUT["bad"])))))["b"] == "skipped upstream_failed"
    assert states(run(SKIPPING, other, call("b", x=OneOf((OUT["c"], OUT["skipping"])))))["b"] == (
        "skipped upstream_skipped"
    )


def branch(*whens: Value | None, does: tuple[str, ...] = ("one", "two", "three")) -> Branch:
    bodies = [graph(call("fit", does=name), out=Output("fit", "out")) for name in does]
    return Branch("m", tuple(Case(when, body, {}) for when, body in zip(whens, bodies, strict=False)))


def test_rule_10_s5_the_first_case_that_holds_is_taken() -> None:
    result = run(branch(Constant(False), Constant(True), None), call("b", x=OUT["m"]))
    assert states(result) == {"m/1/fit": "succeeded", "m": "succeeded", "b": "succeeded"}
    assert values(result, "b") == {"out": "two"}


def test_rule_10_s4_no_case_succeeds_without_outputs_and_consumers_are_skipped() -> None:
    result = run(branch(Constant(False)), call("b", x=OUT["m"]), call("c", "m"))
    assert states(result) == {"m": "succeeded", "b": "skipped upstream_skipped", "c": "succeeded"}


@pytest.mark.parametrize(
    ("nodes", "state"),
    [
        ((branch(operation("_/_", 1, 0)),), "failed condition_error"),
        ((branch(Constant("yes")),), "failed condition_error"),
        ((SKIPPING, replace(branch(OUT["skipping"], None), order=Order(trigger=Trigger.ALL_ENDED))),
         "skipped upstream_skipped"),
        ((branch(None, does=("bad",)),), "failed body_failed"),
    ],
)  # fmt: skip
def test_rule_10_s5_a_branch_that_cannot_decide(nodes: tuple[Node, ...], state: str) -> None:
    assert states(run(*nodes))["m"] == state


def test_rule_10_s5_a_later_condition_is_not_looked_at() -> None:
    assert states(run(branch(Constant(True), operation("_/_", 1, 0))))["m"] == "succeeded"


def mapped(does: str = "double", items: Value | None = None, **rest: Any) -> Map:
    return Map("m", body(does), items or Constant([0, 1, 2]), {"x": Item()}, **rest)


def test_rule_11_s6_collected_lists_keep_the_order_of_items() -> None:
    result = run(mapped(), call("b", x=OUT["m"]))
    assert values(result, "m") == {"out": [0, 2, 4], "indexes": [0, 1, 2]}
    assert set(result.task_runs) == {"m/0/fit", "m/1/fit", "m/2/fit", "m", "b"}


def test_rule_11_s6_no_items_succeeds_with_empty_lists() -> None:
    assert values(run(mapped(items=Constant([]))), "m") == {"out": [], "indexes": []}


def test_rule_11_s6_every_item_is_run_and_one_that_fails_fails_the_map() -> None:
    result = run(mapped("fragile"))
    assert states(result) == {
        "m/0/fit": "succeeded",
        "m/1/fit": "failed failed",
        "m/2/fit": "succeeded",
        "m": "failed body_failed",
    }


def test_rule_11_s6_tolerated_and_skipped_items_are_dropped() -> None:
    tolerant = run(mapped("fragile", failures_max=1))
    assert values(tolerant, "m") == {"out": [0, 2], "indexes": [0, 2]}
    assert tolerant.state == "succeeded"
    assert values(run(mapped("picky")), "m") == {"out": [0, 2], "indexes": [0, 2]}


@pytest.mark.parametrize("items", [Constant(3), Constant("abc"), Constant({"a": 1}), Constant(None)])
def test_rule_11_s6_items_must_be_a_list(items: Value) -> None:
    assert states(run(mapped(items=items))) == {"m": "failed items_invalid"}


def test_rule_11_s6_too_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.testing.naive_values.ITEMS_MAX", 2)
    assert states(run(mapped())) == {"m": "failed items_invalid"}


def test_rule_11_s12_items_of_a_counted_list_and_the_index() -> None:
    node = Map("m", body("double"), OUT["listing"], {"x": Index()})
    assert values(run(call("listing"), node), "m") == {"out": [0, 2, 4], "indexes": [0, 1, 2]}


def loop(until: Value | None, **rest: Any) -> Loop:
    settings: dict[str, Any] = {"carry": {"out": "x"}, "rounds_max": 5, "does": "double", **rest}
    does = settings.pop("does")
    return Loop("m", body(does), {"x": Constant(1)}, until=until, **settings)


LARGE = operation("_>=_", Output("", "out"), 8)


def test_rule_12_s7_rounds_feed_back_until_the_condition_holds() -> None:
    result = run(loop(LARGE))
    assert values(result, "m") == {"out": 8, "met": True, "rounds": 3}
    assert set(result.task_runs) == {"m/1/fit", "m/2/fit", "m/3/fit", "m"}


def test_rule_12_s7_used_up() -> None:
    assert values(run(loop(LARGE, rounds_max=2)), "m") == {"out": 4, "met": False, "rounds": 2}
    assert states(run(loop(LARGE, rounds_max=2, exhausted="fail")))["m"] == "failed rounds_exhausted"
    assert values(run(loop(None, rounds_max=3)), "m") == {"out": 8, "met": False, "rounds": 3}


def test_rule_12_s7_the_round_is_counted_from_one_and_bound_anew() -> None:
    node = Loop("m", body("double"), {"x": Round()}, {}, operation("_==_", Round(), 3), 5)
    assert values(run(node), "m") == {"out": 6, "met": True, "rounds": 3}


@pytest.mark.parametrize(
    ("node", "state"),
    [
        (loop(LARGE, does="bad"), "failed body_failed"),
        (loop(LARGE, does="skipping"), "skipped upstream_skipped"),
        (loop(Constant(False), does="skipping"), "skipped upstream_skipped"),
        (loop(Constant(True), does="skipping"), "succeeded"),
        (loop(operation("_/_", 1, 0)), "failed condition_error"),
        (loop(Output("", "out")), "failed condition_error"),
    ],
)
def test_rule_12_s7_a_round_that_cannot_be_judged(node: Loop, state: str) -> None:
    assert states(run(node))["m"] == state


def test_s8_an_error_in_an_output_of_a_graph_fails_what_holds_it() -> None:
    inner = graph(GOOD, out=operation("_/_", 1, 0))
    result = run(Call("top", inner, {}))
    assert states(result) == {"top/a": "succeeded", "top": "failed expression_error"}


def test_s8_a_graph_whose_nodes_were_all_skipped_succeeds_and_its_outputs_are_absent() -> None:
    result = run(Call("top", graph(SKIPPING, out=OUT["skipping"]), {}), call("b", x=Output("top", "out")))
    assert states(result)["top"] == "succeeded"
    assert states(result)["b"] == "skipped upstream_skipped"


@pytest.mark.parametrize(("node", "how"), [(GOOD, "succeeded"), (BAD, "failed"), (SKIPPING, "succeeded")])
def test_s9_finally_runs_however_what_it_watches_ended_and_is_told(node: Call, how: str) -> None:
    last = Finally("last", function("last", "how"), {"how": StateOf("")}, (node.name,))
    assert values(run(node, last), "last") == {"out": how}


def test_s9_a_failing_finally_fails_its_graph() -> None:
    assert run(GOOD, Finally("last", function("bad"), {}, ("a",))).state == "failed"


def test_s9_a_finally_without_a_value_for_an_input_is_skipped() -> None:
    last = Finally("last", function("last", "x"), {"x": OUT["bad"]}, ("bad",))
    assert states(run(BAD, last))["last"] == "skipped upstream_skipped"
