"""What a pipeline's body means: blocks, outputs, and that nothing is raised while it is built."""

from __future__ import annotations

import pickle
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock import finally_, loop_until, map_over, one_of, otherwise, pipeline, task, when
from penstock.authoring.dsl.building import current_building
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.graph.bindings import Constant, Expression, Input, Item, OneOf, Output, Round, StateOf
from penstock.graph.codec import graph_digest
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import Branch, Call, Finally, Graph, Loop, Map
from penstock.graph.render import value_text
from penstock.graph.types import ANY, FLOAT, INT
from penstock.testing.samples import Two, improve, number, real, tell, two, untyped


def test_nothing_is_raised_and_building_goes_on() -> None:
    ran: list[str] = []

    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        pair = two()
        broken = pair.middle
        number(broken + 1)
        (broken.deeper["x"] > 3) & (n > broken)
        f"{broken}"
        for item in broken:
            number(item)
        a, b = broken
        with when(broken):
            number(a)
        ran.append("to the end")
        return {"x": broken, "y": [broken, b]}

    assert [d.code for d in made.diagnostics()] == ["unknown-output"]  # what follows from it is not told again
    assert ran == ["to the end"]
    with pytest.raises(InvalidPipeline) as caught:
        made.graph()
    assert caught.value.diagnostics == made.diagnostics()
    assert "unknown-output" in str(caught.value)


def test_loops_over_truth_end() -> None:
    turns: list[int] = []

    @pipeline
    def made(flag: bool) -> None:
        while flag:
            turns.append(1)
        while not flag:
            turns.append(2)

    assert [d.code for d in made.diagnostics()] == ["not-known-yet", "not-known-yet"]
    assert len(turns) <= 2


def test_what_the_body_raises_is_the_authors() -> None:
    @pipeline
    def made(n: int) -> None:
        two().middle
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        made.diagnostics()
    assert "unknown-output" in caught.value.__notes__[0]
    assert current_building() is None


def test_diagnostics_name_the_authors_line() -> None:
    @pipeline
    def made() -> None:
        number("x")  # type: ignore[arg-type]
        map_over(number, 3)

    first, second = made.diagnostics()
    here = made.function.__code__.co_firstlineno
    assert (first.location.file, first.location.line) == (__file__, here + 2)  # type: ignore[union-attr]
    assert second.location.line == here + 3  # type: ignore[union-attr]


def test_the_body_runs_once() -> None:
    runs: list[int] = []

    @pipeline
    def inner(x: int) -> int:
        runs.append(x)
        return number(x)

    @pipeline
    def outer() -> int:
        return inner(inner(1))

    outer.graph()
    outer.graph()
    inner.graph()
    assert len(runs) == 1
    one, other = outer.graph().nodes
    assert isinstance(one, Call)
    assert isinstance(other, Call)
    assert one.component is other.component is inner.graph()


def test_mistakes_in_a_nested_pipeline_are_told_once() -> None:
    @pipeline
    def inner(x: int) -> int:
        two().middle
        return number("x")  # type: ignore[arg-type]

    @pipeline
    def outer() -> int:
        return inner(inner(1))

    assert [d.code for d in outer.diagnostics()] == ["unknown-output", "wrong-type"]


def test_map_gives_the_item_to_the_first_free_parameter() -> None:
    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        first = map_over(improve, [1, 2], data=n)
        second = map_over(improve, first.model, model=3)
        third = map_over(improve, range(3), index_to="data")
        return {"models": first.model, "indexes": second.indexes, "loss": third.loss}

    graph = made.graph()
    maps = [node for node in graph.nodes if isinstance(node, Map)]
    assert [dict(node.inputs) for node in maps] == [
        {"model": Item(), "data": Input("n")},
        {"model": Constant(3), "data": Item()},
        {"model": Item(), "data": maps[2].inputs["data"]},
    ]
    assert [str(o.type) for o in graph.outputs] == ["list[int]", "list[int]", "list[float]"]
    assert maps[2].items == Constant([0, 1, 2])


def test_options_of_attempts_go_into_a_map() -> None:
    @pipeline
    def made(n: int) -> None:
        map_over(number.options(memory=n * 2, retry=3, name="mapped", labels={"a": "b"}), [1], trigger="none_failed")

    (node,) = made.graph().nodes
    assert isinstance(node, Map)
    assert (node.name, node.labels, node.order.trigger) == ("mapped", {"a": "b"}, "none_failed")
    assert node.policy.retry is None
    (inner,) = node.body.nodes
    assert inner.policy.retry is not None
    assert inner.policy.resources is not None
    assert inner.policy.resources.memory_bytes == Input("memory")
    assert value_text(node.inputs["memory"]) == "n * 2"


def test_a_nested_pipeline_keeps_its_own_limit() -> None:
    @pipeline(timeout="1m")
    def limited(x: int) -> int:
        return number(x)

    @pipeline
    def made() -> None:
        limited(1)
        limited.options(timeout="2m")(1)
        map_over(limited, [1])

    one, other, mapped = made.graph().nodes
    assert (one.policy.timeout_ms, other.policy.timeout_ms) == (60_000, 120_000)
    assert isinstance(mapped, Map)
    assert mapped.body.nodes[0].policy.timeout_ms == 60_000


def test_loops_carry_what_is_named_alike() -> None:
    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        fit = loop_until(improve, lambda got: got.loss < 0.5, rounds_max=9, model=0, data=n)
        again = loop_until(number, "met_it", rounds_max=1, x=fit.model)
        return {"model": fit.model, "rounds": fit.rounds, "again": again}

    graph = pipeline(made.function).built()[0]
    loop = graph.nodes[0]
    assert isinstance(loop, Loop)
    assert loop.carry == {"model": "model", "loss": "loss"}
    assert loop.until == Expression(Operation("_<_", (Reference(Output("", "loss")), Literal(0.5))))
    assert [d.code for d in made.diagnostics()] == ["unknown-output", "loop-invariant"]


def test_a_condition_may_take_the_round_and_outer_values() -> None:
    @task
    def unused() -> None: ...

    @pipeline
    def made(limit: int):  # type: ignore[no-untyped-def]
        return loop_until(
            number, lambda got, n: (got > limit) | (n >= 3), rounds_max=9, carry="x", x=limit, round_to=None
        )

    (loop,) = made.graph().nodes
    assert isinstance(loop, Loop)
    assert loop.until is not None
    assert value_text(loop.until) == "round > limit || round >= 3"
    assert loop.carry == {"output": "x"}
    references = list(loop.until.tree.references())  # type: ignore[union-attr]
    assert references == [Output("", "output"), Input("limit"), Round()]


def test_finally_gets_the_state_unless_it_is_given() -> None:
    @pipeline
    def made() -> None:
        n = number()
        finally_(tell)
        finally_(tell, n, state="fixed")
        finally_(tell, n, state=n.state, name="third")
        finally_(number, x=n)

    nodes = [node for node in made.graph().nodes if isinstance(node, Finally)]
    states = [node.inputs.get("state") for node in nodes]
    assert states == [StateOf(""), Constant("fixed"), StateOf("number"), None]
    assert [node.watch for node in nodes] == [("number",)] * 4
    assert [node.name for node in nodes] == ["tell", "tell-2", "third", "number-2"]


def test_otherwise_follows_and_closes() -> None:
    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        with when(n > 1):
            a = number(1)
        with otherwise(n > 0):
            b = number(2)
        with otherwise():
            c = number(3)
        return {"x": one_of(a, b, c), "b": b}

    graph = made.graph()
    (branch,) = graph.nodes
    assert isinstance(branch, Branch)
    assert [case.when is None for case in branch.cases] == [False, False, True]
    assert graph.outputs[0].value == OneOf(tuple(Output("branch", f"number{tail}") for tail in ("", "-2", "-3")))
    assert graph.outputs[0].type == INT


def test_a_block_that_raises_leaves_no_trace() -> None:
    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        try:
            with when(n > 1):
                raise KeyError("caught by the author")
        except KeyError:
            pass
        return number(n)

    graph = made.graph()
    assert graph.outputs[0].value == Output("number", "output")


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda n: None, []),
        (lambda n: n, ["output"]),
        (lambda n: two(n), ["left", "right"]),
        (lambda n: {"a": n, "b": 3}, ["a", "b"]),
        (lambda n: Two(n, n), ["left", "right"]),
        (lambda n: (n, n), ["output_1", "output_2"]),
        (lambda n: [n, n], ["output"]),
        (lambda n: "text", ["output"]),
    ],
)
def test_what_is_returned_are_the_outputs(returned: Any, names: list[str]) -> None:
    @pipeline
    def made():  # type: ignore[no-untyped-def]
        return returned(number())

    assert [output.name for output in made.graph().outputs] == names


def test_annotated_outputs() -> None:
    @pipeline
    def single() -> float:
        return number()  # an int may go where a float is asked for

    @pipeline
    def named() -> Two:
        return number(), real()  # type: ignore[return-value]

    @pipeline
    def untold() -> Any:
        return number()

    assert [(o.name, o.type) for o in single.graph().outputs] == [("output", FLOAT)]
    assert [(o.name, o.type) for o in named.graph().outputs] == [("left", INT), ("right", FLOAT)]
    assert [(o.name, o.type) for o in untold.graph().outputs] == [("output", INT)]


def test_what_a_pipeline_declares() -> None:
    @pipeline(name="renamed", fail_fast=True, timeout=90, labels={"a": "b"})
    def made(n: int = 3, mode: str = "x") -> None:
        """What it does."""

    graph = made.graph()
    assert (graph.name, made.name) == ("renamed", "renamed")
    assert (graph.fail_fast, graph.timeout_ms, graph.labels) == (True, 90_000, {"a": "b"})
    assert graph.description == "What it does."
    assert [(spec.name, spec.default) for spec in graph.inputs] == [("n", Constant(3)), ("mode", Constant("x"))]
    assert made.source_file == __file__
    assert made.__doc__ == "What it does."
    assert repr(made) == "<pipeline renamed>"


TASKS = """
from penstock import task
@task
def load(n: int) -> list: ...
@task
def count(items: list, more: int = 0) -> int: ...
"""
ONE = """
from shared_tasks import load, count
from penstock import pipeline, when, map_over
@pipeline(labels={"a": "b"})
def same(n: int = 3):
    "Said here."
    rows = load(n)
    with when(count(rows) > n):
        many = count(rows, more=n)
    return {"many": many}
"""
OTHER = """
# Written otherwise, elsewhere.
import penstock as p
import shared_tasks as tasks


def condition(rows, n):
    return tasks.count(items=rows) > n


@p.pipeline(labels={"c": "d"})
def same(n: int = 3):
    loaded = tasks.load(n=n, labels={"x": "y"})
    with p.when(condition(loaded, n), labels={"x": "z"}):
        result = tasks.count(loaded, n)
    return dict(many=result)
"""


def load_module(name: str, folder: Path, text: str) -> ModuleType:
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_pipeline_written_twice_has_one_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("shared_tasks", "one_way", "another_way"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    load_module("shared_tasks", tmp_path, TASKS)
    one = load_module("one_way", tmp_path, ONE).same.graph()
    other = load_module("another_way", tmp_path, OTHER).same.graph()
    assert one.location != other.location
    assert one.labels != other.labels
    assert graph_digest(one) == graph_digest(other)
    changed = load_module("another_way", tmp_path, OTHER.replace("> n", ">= n")).same.graph()
    assert graph_digest(changed) != graph_digest(one)


@pipeline
def referred(n: int = 1) -> int:
    return number(n)


def test_a_pipeline_is_pickled_by_reference() -> None:
    assert pickle.loads(pickle.dumps(referred)) is referred
    assert isinstance(referred.graph(), Graph)


def test_control_outside_of_a_pipeline_says_so() -> None:
    for use in (
        lambda: map_over(number, [1]),
        lambda: one_of(1),
        lambda: loop_until(number, "x", rounds_max=1),
        lambda: finally_(number),
        lambda: when(True),
        lambda: otherwise(),
    ):
        with pytest.raises(InvalidInput, match="inside a pipeline"):
            use()


def test_untyped_values_flow() -> None:
    @pipeline
    def made(x):  # type: ignore[no-untyped-def]
        number(untyped(x))
        map_over(number, untyped(x))
        number(when=untyped(x))
        return untyped(x).field

    assert made.graph().inputs[0].type == ANY
