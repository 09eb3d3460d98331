"""Authored pipelines and the text of their graphs; mistakes and the exact diagnostics that they get. PENSTOCK_TEST_REGOLD=1
writes the text files instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from penstock.authoring.dsl.pipelines import Pipeline
from penstock.graph.check import check
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.graph.drawing import svg_of
from penstock.graph.render import graph_mermaid, graph_text

FOLDER = Path(__file__).parent
PIPELINES = sorted((FOLDER / "pipelines").glob("*.py"))
MISTAKES = sorted((FOLDER / "mistakes").glob("*.py"))


@pytest.fixture
def load() -> Iterator[object]:
    """Imports a file as a module of its own name and forgets it afterwards."""
    names: list[str] = []

    def import_file(path: Path) -> ModuleType:
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[path.stem] = module
        names.append(path.stem)
        spec.loader.exec_module(module)
        return module

    yield import_file
    for name in names:
        del sys.modules[name]


def pipelines_of(module: ModuleType) -> list[Pipeline]:
    return [made for made in vars(module).values() if isinstance(made, Pipeline) and made.module == module.__name__]


def compare(path: Path, text: str) -> None:
    if os.environ.get("PENSTOCK_TEST_REGOLD"):
        path.write_text(text)
    assert path.exists(), f"{path} is missing; PENSTOCK_TEST_REGOLD=1 writes it"
    assert text == path.read_text()


def diagnostics_text(made: Pipeline) -> str:
    return "\n".join(str(d).replace(f"{FOLDER / 'mistakes'}/", "") for d in made.diagnostics())


def test_there_are_goldens() -> None:
    assert len(PIPELINES) >= 6
    assert len(MISTAKES) >= 10


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_authored_pipeline_becomes_this_graph(path: Path, load: object) -> None:
    made = pipelines_of(load(path))  # type: ignore[operator]
    assert made
    assert [d for one in made for d in one.diagnostics() if d.severity == "error"] == []
    compare(path.with_suffix(".txt"), "\n".join(graph_text(one.graph()) for one in made))
    compare(path.with_suffix(".mermaid"), "\n".join(graph_mermaid(one.graph()) for one in made))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_authored_pipeline_is_drawn_so(path: Path, load: object) -> None:
    for made in pipelines_of(load(path)):  # type: ignore[operator]
        compare(FOLDER / "drawings" / f"{path.stem}-{made.name}.svg", svg_of(made.graph()))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_graph_survives_its_codec(path: Path, load: object) -> None:
    for made in pipelines_of(load(path)):  # type: ignore[operator]
        graph = made.graph()
        again = graph_from_json(graph_to_json(graph))
        assert again == graph
        assert graph_to_json(again) == graph_to_json(graph)
        assert graph_digest(again) == graph_digest(graph)
        assert check(again) == check(graph)
        assert graph_text(again) == graph_text(graph)


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_mistake_gets_these_diagnostics(path: Path, load: object) -> None:
    made = pipelines_of(load(path))  # type: ignore[operator]
    assert made
    text = "\n\n".join(f"{one.name}:\n{diagnostics_text(one)}" for one in made) + "\n"
    compare(path.with_suffix(".txt"), text)
    assert any(one.diagnostics() for one in made)
