"""Every graph can be written as a file, and reading that gives the same graph."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.authoring.dsl.pipelines import Pipeline
from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.load import load
from penstock.authoring.yaml.types import text_of_type, type_of_text
from penstock.authoring.yaml.write import write
from penstock.graph.codec import graph_digest
from penstock.graph.model import Call, Finally, Function, Graph, bodies_of
from penstock.testing.graphs import random_scenario

PIPELINES = sorted((Path(__file__).parents[2] / "golden" / "pipelines").glob("*.py"))


def functions_in(graph: Graph) -> dict[str, Function]:
    """The functions of a graph by `module:name`; those that look at sources are given without a signature."""
    found: dict[str, Function] = {}
    for node in graph.nodes:
        if isinstance(node, (Call, Finally)) and isinstance(node.component, Function):
            function = node.component
            plain = (
                Function(function.module, function.name, (), ()) if "penstock.values" in function.module else function
            )
            found.setdefault(f"{function.module}:{function.name}", plain)
        for body, _inputs in bodies_of(node):
            found = {**functions_in(body), **found}
    return found


def read_again(text: str, graph: Graph) -> Graph | None:
    found = functions_in(graph)
    loaded = load("again.yaml", read_file=lambda _path: text.encode(), find=lambda name: Found(found[name]))
    return loaded.graph


@given(st.integers(0, 10**9), st.sampled_from([4, 14, 40]))
@settings(max_examples=60, deadline=None)
def test_a_random_graph_survives_being_written(seed: int, size: int) -> None:
    graph = random_scenario(seed, size=size).graph
    text = write(graph)
    again = read_again(text, graph)
    assert again is not None
    assert graph_digest(again) == graph_digest(graph)
    assert write(again, functions_in(graph)) == text


def module_of(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_an_authored_pipeline_survives_being_written(path: Path) -> None:
    try:
        module = module_of(path)
        made = [each for each in vars(module).values() if isinstance(each, Pipeline) and each.module == path.stem]
        assert made
        for pipeline in made:
            graph = pipeline.graph()
            again = read_again(write(graph), graph)
            assert again is not None
            assert graph_digest(again) == graph_digest(graph)
            assert [node.labels for node in again.nodes] == [node.labels for node in graph.nodes]
            assert again.description == graph.description
    finally:
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize(
    "text",
    [
        "struct{rate:float, layers?:list[int]}",
        "training:Config{kind?:enum[fast, slow], inner:training:Inner{n:int?}, more?:dict[m:Other{}]}?",
        "list[struct{a:str}]",
    ],
)
def test_a_type_with_fields_survives_being_written(text: str) -> None:
    assert text_of_type(type_of_text(text)) == text


@pytest.mark.parametrize("text", ["struct{rate}", "struct{rate:float", "struct{:int}", "struct{a:int b:int}"])
def test_fields_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names a type"):
        type_of_text(text)
