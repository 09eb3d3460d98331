"""What follows from how attempts end, by the rules of `semantics.md`: outcomes, retries, generations."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from penstock.graph.bindings import Constant, Expression, Input, Output, Value
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import Call, Function, Graph, GraphOutput, InputSpec, Loop, Node, OutputSpec, Policy, Retry
from penstock.graph.types import ANY
from penstock.launcher.outer.crashes import crash_of
from penstock.testing.naive import Result, evaluate
from penstock.wire import (
    Datum,
    Failed,
    Failure,
    Inline,
    Lost,
    NotYet,
    Outcome,
    OutOfMemory,
    OutputInvalid,
    Skipped,
    Succeeded,
    TimedOut,
)

ERROR = Failed(Failure("builtins:KeyError", "no", ("LookupError", "builtins:LookupError")))
GOOD = Call("a", Function("m", "a", (), (OutputSpec("out", ANY),)), {})


def function(name: str, *inputs: str, **policy: Any) -> Function:
    return Function(
        "m", name, tuple(InputSpec(each, ANY) for each in inputs), (OutputSpec("out", ANY),), Policy(**policy)
    )


def call(name: str, **inputs: Value) -> Call:
    return Call(name, function(name, *inputs), inputs)


def graph(*nodes: Node, out: Value | None = None, inputs: tuple[str, ...] = ()) -> Graph:
    outputs = (GraphOutput("out", ANY, out),) if out else ()
    return Graph("g", tuple(InputSpec(name, ANY) for name in inputs), nodes, outputs)


def answer(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
    return Succeeded({"out": next(iter(inputs.values()), Inline(function.name))})


def run(*nodes: Node, call_with: Callable[..., Outcome]) -> Result:
    return evaluate(graph(*nodes), {}, call_with)


def states(result: Result) -> dict[str, str]:
    return {path: ended.state + (f" {ended.cause}" if ended.cause else "") for path, ended in result.task_runs.items()}


def tries(*outcomes: Outcome) -> Callable[..., Outcome]:
    left = list(outcomes)
    return lambda function, inputs, path: left.pop(0) if left else Succeeded({"out": Inline(len(outcomes))})


FAIL = Failed(Failure("penstock:Fail", "stop"), final=True)


@pytest.mark.parametrize(
    ("retry", "outcomes", "state"),
    [
        (Retry(1), [ERROR], "failed failed"),
        (Retry(3), [ERROR, TimedOut()], "succeeded"),
        (Retry(2), [ERROR, TimedOut()], "failed timed_out"),
        (Retry(3), [FAIL], "failed failed"),
        (Retry(1), [NotYet(5), NotYet(5), NotYet(5)], "succeeded"),
        (Retry(3, retry_on=("ValueError",)), [ERROR], "failed failed"),
        (Retry(3, retry_on=("LookupError",)), [ERROR], "succeeded"),
        (Retry(3, retry_on=("builtins:KeyError",)), [ERROR], "succeeded"),
        (Retry(3, retry_on=("KeyError",)), [ERROR], "succeeded"),
        (Retry(1), [OutOfMemory(), Lost()], "succeeded"),
        (Retry(1, oom_max=1), [OutOfMemory(), OutOfMemory()], "failed out_of_memory"),
        (Retry(1, lost_max=1), [Lost(), Lost()], "failed lost"),
        (Retry(3), [OutputInvalid("not an int")], "failed output_invalid"),
        (Retry(3), [Skipped()], "skipped asked"),
    ],
)
def test_rule_16_17_what_follows_an_outcome(retry: Retry, outcomes: list[Outcome], state: str) -> None:
    node = Call("a", function("a", retry=retry), {})
    assert states(run(node, call_with=tries(*outcomes))) == {"a": state}


def test_rule_17_a_calls_retry_goes_before_its_components() -> None:
    node = Call("a", function("a", retry=Retry(9)), {}, policy=Policy(retry=Retry(1)))
    assert states(run(node, call_with=tries(ERROR))) == {"a": "failed failed"}


def test_rule_17_s10_retry_of_a_node_with_a_graph_is_a_new_generation() -> None:
    inner = graph(GOOD, call("b"), out=Output("b", "out"))
    node = Call("top", inner, {}, policy=Policy(retry=Retry(2)))
    asked: list[str] = []

    def failing_once(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
        asked.append(path)
        return ERROR if path == "top/b" and asked.count(path) == 1 else answer(function, inputs, path)

    result = run(node, call_with=failing_once)
    assert asked == ["top/a", "top/b", "top/a", "top/b"]
    assert states(result) == {"top/a": "succeeded", "top/b": "succeeded", "top": "succeeded"}


def test_rule_17_s10_what_only_an_earlier_generation_had_is_gone() -> None:
    body = graph(call("fit", x=Input("x")), out=Output("fit", "out"), inputs=("x",))
    large = Expression(Operation("_>=_", (Reference(Output("", "out")), Literal(8))))
    node = Loop("m", body, {"x": Constant(1)}, {"out": "x"}, large, 5, policy=Policy(retry=Retry(2)))
    count = 0

    def changing(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
        nonlocal count
        count += 1
        if count == 2:
            return ERROR
        return Succeeded({"out": Inline(1 if count == 1 else 9)})

    result = run(node, call_with=changing)
    assert set(result.task_runs) == {"m/1/fit", "m"}
    assert result.task_runs["m"].outputs == {"out": Inline(9), "met": Inline(True), "rounds": Inline(1)}


@pytest.mark.parametrize(
    ("policy", "tries"), [({}, 1), ({"attempts_max": 3}, 3), ({"attempts_max": 3, "retry_on": ("KeyError",)}, 1)]
)
def test_a_crash_in_native_code_is_a_failure(policy: dict[str, Any], tries: int) -> None:
    """It is not Lost: what has crashed once does so again, most of the time."""
    crash = crash_of(-signal.SIGSEGV, "", project="/")
    assert crash is not None
    asked: list[str] = []

    def crashes(function: Function, inputs: Mapping[str, Datum], path: str) -> Outcome:
        asked.append(path)
        return crash

    node = Call("a", function("a", retry=Retry(**policy)), {})
    assert states(run(node, call_with=crashes)) == {"a": "failed failed"}
    assert len(asked) == tries
