"""Maps over several lists, written in Python and in YAML: the same graph."""

from __future__ import annotations

from functools import partial

import pytest

from penstock import in_step, map_over, pipeline, product
from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.load import load
from penstock.graph.codec import graph_digest
from penstock.graph.model import Graph
from penstock.testing.samples import improve, texts

FILE = """
penstock: 1
pipeline: made
tasks:
  texts: {function: "penstock.testing.samples:texts", inputs: {text: a}}
  improve:
    function: penstock.testing.samples:improve
    map: {over: {model: [1, 2], data: %s}%s}
    inputs: {loss: 0.5}
outputs: {loss: "${improve.loss}"}
"""


def read(data: str, more: str) -> tuple[Graph | None, list[str]]:
    tasks = {f"penstock.testing.samples:{task.name}": Found(task.component) for task in (improve, texts)}
    loaded = load("f.yaml", read_file=lambda _path: (FILE % (data, more)).encode(), find=lambda name: tasks[name])
    return loaded.graph, [each.code for each in loaded.diagnostics]


@pipeline
def made():  # type: ignore[no-untyped-def]
    texts("a")
    return {"loss": map_over(improve, in_step(model=[1, 2], data=[3, 4]), loss=0.5).loss}


@pipeline(name="made")
def combined():  # type: ignore[no-untyped-def]
    texts("a")
    return {"loss": map_over(partial(improve, loss=0.5), product(model=[1, 2], data=[3])).loss}


@pytest.mark.parametrize(
    ("data", "more", "expected"),
    [("[3, 4]", "", made), ("[3]", ", combine: product", combined)],
    ids=["step", "product"],
)
def test_both_languages_make_the_same_graph(data: str, more: str, expected: object) -> None:
    graph, codes = read(data, more)
    assert codes == []
    assert graph is not None
    assert graph_digest(graph) == graph_digest(expected.graph())  # type: ignore[attr-defined]


def test_lists_in_step_of_different_lengths_are_reported_where_they_are_known() -> None:
    assert read("[3]", "")[1] == ["lists-differ"]
    assert read('"${texts}"', "")[1] == ["wrong-type"]
    assert read("3", "")[1] == ["not-a-list"]
