"""A part of a graph: which nodes it has, what becomes an input, which outputs it gives."""

from __future__ import annotations

import pytest

from penstock import finally_, map_over, one_of, pipeline, task, when
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Output
from penstock.graph.check import check
from penstock.graph.model import Graph
from penstock.graph.selection import Selection, inputs_of_node, require_output


@task
def load(n: int) -> list[int]:
    return list(range(n))


@task
def clean(rows: list[int]) -> list[int]:
    return rows


@task
def square(n: int) -> int:
    return n * n


@task
def fit(rows: list[int], base: int) -> dict[str, float]:
    return {"score": 1.0}


@task
def report(scores: dict[str, float], squares: list[int]) -> str:
    return ""


@task
def tidy(state: str) -> None:
    pass


@pipeline
def whole(n: int = 3):
    rows = clean(load(n))
    base = square(n)
    fitted = fit(rows, base)
    squares = map_over(square, rows, name="squares")
    finally_(tidy)
    return {"report": report(fitted, squares), "base": base}


def names(graph: Graph) -> set[str]:
    assert [item for item in check(graph) if item.severity == "error"] == []
    return {node.name for node in graph.nodes}


def selected(until: str = "", only: str = "", *given: str) -> Graph:
    outputs = frozenset(Output(*text.split(".")) for text in given)
    return Selection(until, only, outputs).of(whole.graph())


def test_until_keeps_what_a_task_needs_and_shows_what_it_gives() -> None:
    graph = selected("fit")
    assert names(graph) == {"load", "clean", "square", "fit"}
    assert {output.name for output in graph.outputs} == {"base", "fit"}
    assert names(selected("load")) == {"load"}


def test_a_given_output_is_an_input_and_what_only_its_task_needed_goes() -> None:
    graph = selected("", "", "clean.output")
    assert names(graph) == {"square", "fit", "squares", "report", "tidy"}
    assert [each.name for each in graph.inputs] == ["n", "given_clean_output"]
    assert names(selected("", "", "square.output")) == {"load", "clean", "fit", "squares", "report", "tidy"}
    assert {output.name for output in selected("", "", "square.output").outputs} == {"report", "base"}
    assert names(selected("fit", "", "clean.output")) == {"square", "fit"}


def test_only_is_one_task_with_all_that_it_is_given() -> None:
    assert inputs_of_node(whole.graph(), "fit") == (Output("clean", "output"), Output("square", "output"))
    graph = selected("", "fit", "clean.output", "square.output")
    assert names(graph) == {"fit"}
    with pytest.raises(InvalidInput, match="fit needs square, of which there is no result"):
        selected("", "fit", "clean.output")


def test_what_is_not_asked_for_leaves_the_rest_as_it_is() -> None:
    graph = whole.graph()
    assert Selection().of(graph) == graph


def test_conditions_and_choices_take_what_is_given() -> None:
    @pipeline
    def choosing(n: int = 3):
        rows = load(n)
        big = square(n)
        with when(big > 4):
            first = clean(rows)
        return {"rows": one_of(first, rows)}

    graph = Selection(given=frozenset({Output("square", "output"), Output("load", "output")})).of(choosing.graph())
    assert {node.name for node in graph.nodes}.isdisjoint({"square", "load"})
    assert [item for item in check(graph) if item.severity == "error"] == []


@pytest.mark.parametrize(("until", "near"), [("fitt", "fit"), ("squares/1/square", "squares")])
def test_wrong_names_give_near_ones(until: str, near: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{until}'") as wrong:
        selected(until)
    assert near in wrong.value.fix


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lod", "has no task 'lod'"),
        ("load.table", "load has no output 'table'"),
        ("squares", "squares has several outputs"),
        ("tidy", "tidy has no outputs"),
    ],
)
def test_an_output_is_named_by_its_task_where_that_has_one(text: str, why: str) -> None:
    assert require_output(whole.graph(), "load") == require_output(whole.graph(), "load.output")
    with pytest.raises(InvalidInput, match=why):
        require_output(whole.graph(), text)


# -- nested pipelines ----------------------------------------------------------------------------------------------------


@pipeline
def inner(rows: list[int], base: int):
    cleaned = clean(rows)
    fitted = fit(cleaned, base)
    return {"fitted": fitted, "squares": map_over(square, cleaned, name="squares")}


@pipeline
def middle(n: int):
    part = inner(load(n), square(n))
    return {"fitted": part.fitted, "squares": part.squares}


@pipeline
def outer(n: int = 3):
    found = middle(n)
    return {"report": report(found.fitted, found.squares), "other": square(n)}


def paths(graph: Graph, prefix: str = "") -> set[str]:
    """Every task that would run."""
    found = set()
    for node in graph.nodes:
        nested = getattr(node, "component", None)
        if isinstance(nested, Graph):
            found |= paths(nested, f"{prefix}{node.name}/")
        else:
            found.add(f"{prefix}{node.name}")
    return found


def of_outer(until: str = "", only: str = "", *given: str) -> Graph:
    graph = outer.graph()
    found = Selection(until, only, frozenset(require_output(graph, text) for text in given)).of(graph)
    assert [item for item in check(found) if item.severity == "error"] == []
    return found


@pytest.mark.parametrize("separator", "/.")
def test_until_a_task_of_a_nested_pipeline(separator: str) -> None:
    found = of_outer("middle/inner/clean".replace("/", separator))
    assert paths(found) == {"middle/load", "middle/inner/clean"}, "square is for fit alone"
    assert len(found.outputs) == 1
    assert paths(of_outer("middle/inner/fit")) == {
        "middle/load",
        "middle/square",
        "middle/inner/clean",
        "middle/inner/fit",
    }
    assert paths(of_outer("middle/inner")) == {*paths(of_outer("middle/inner/fit")), "middle/inner/squares"}


def test_a_given_output_of_a_nested_pipeline_comes_through_its_inputs() -> None:
    found = of_outer("", "", "middle.inner.clean.output")
    assert paths(found) == {"middle/square", "middle/inner/fit", "middle/inner/squares", "report", "square"}
    assert found.inputs[-1].name == "given_middle___inner___clean_output"
    assert paths(of_outer("", "", "middle.fitted", "middle.squares")) == {"report", "square"}
    assert paths(of_outer("middle/inner/fit", "", "middle/inner/clean")) == {"middle/square", "middle/inner/fit"}


def test_only_a_task_of_a_nested_pipeline() -> None:
    graph = outer.graph()
    needed = inputs_of_node(graph, "middle/inner/fit")
    assert needed == (Output("middle/square", "output"), Output("middle/inner/clean", "output"))
    found = Selection(only="middle/inner/fit", given=frozenset(needed)).of(graph)
    assert paths(found) == {"middle/inner/fit"}
    assert [item for item in check(found) if item.severity == "error"] == []
    with pytest.raises(InvalidInput, match="needs clean"):
        Selection(only="middle/inner/fit", given=frozenset(needed[:1])).of(graph)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("middle/iner", "'middle' has no task 'iner'"),
        ("midle/inner", "'outer' has no task 'midle'"),
        ("middle/inner/squares/0", "'squares' of 'inner' runs its tasks as often as a run needs"),
        ("middle/load/x", "'load' of 'middle' has no tasks in it"),
    ],
)
def test_wrong_names_in_nested_pipelines_are_told(name: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        of_outer(name)
    assert why in caught.value.message
