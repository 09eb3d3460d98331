"""Declared inputs in pipelines: what stands in the graph for them, and what may be given for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import File, Folder, Table, Url, map_over, pipeline, task
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Constant, Input, Output
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.graph.model import Call, Function, Graph, Map
from penstock.graph.parameters import bind_parameters
from penstock.graph.types import PATH
from penstock.wire import Inline


@task
def load(data: Path) -> str:
    return data.read_text()


@task
def measure(data: Folder) -> int:
    return len(list(data.iterdir()))


@task
def count(rows: list[Any]) -> int:
    return len(rows)


def calls(graph: Graph) -> dict[str, Call]:
    return {node.name: node for node in graph.nodes if isinstance(node, Call)}


def function_of(call: Call) -> Function:
    assert isinstance(call.component, Function)
    return call.component


def test_a_file_becomes_a_resolver_that_is_never_cached_and_is_shared() -> None:
    @pipeline
    def twice():
        return {"a": load(File("data/x.csv")), "b": load(File("data/x.csv")), "c": load(File(Path("y.csv")))}

    graph = twice.graph()
    found = calls(graph)
    assert list(found) == ["source-x", "load", "load-2", "source-y", "load-3"]
    resolver = found["source-x"]
    assert resolver.inputs == {"source": Constant({"source": "file", "path": "data/x.csv"})}
    assert (function_of(resolver).module, function_of(resolver).name) == ("penstock.values.sources", "resolve_file")
    assert function_of(resolver).policy.cache is False
    assert found["load"].inputs == found["load-2"].inputs == {"data": Output("source-x", "output")}
    assert graph_from_json(graph_to_json(graph)) == graph


def test_a_parameter_is_a_source_and_can_be_given_as_text() -> None:
    @pipeline
    def with_file(data: File = File("data/x.csv"), place: File | Url = File("a"), more: Folder | None = None):  # noqa: B008
        return {"a": load(data), "b": load(place)}

    graph = with_file.graph()
    assert calls(graph)["source-data"].inputs == {"source": Input("data")}
    bound = bind_parameters(graph, texts={"data": "other.csv", "place": "https://example.com/x", "more": "folder"})
    assert bound == {
        "data": Inline({"source": "file", "path": "other.csv"}),
        "place": Inline({"source": "url", "url": "https://example.com/x"}),
        "more": Inline({"source": "folder", "path": "folder"}),
    }
    assert bind_parameters(graph, values={"data": Path("z.csv"), "place": Url("http://a/b"), "more": Folder("f")}) == {
        "data": Inline({"source": "file", "path": "z.csv"}),
        "place": Inline({"source": "url", "url": "http://a/b"}),
        "more": Inline({"source": "folder", "path": "f"}),
    }
    with pytest.raises(InvalidInput, match="parameter 'data' must be a file, not 3"):
        bind_parameters(graph, values={"data": 3})
    with pytest.raises(InvalidInput, match="must be a file"):
        bind_parameters(graph, values={"data": Folder("x")})
    with pytest.raises(InvalidInput, match="with a password"):
        bind_parameters(graph, values={"place": Url("https://me:hunter2@example.com/x")})


def test_a_table_is_probed_and_then_read_as_its_consumer_is_annotated() -> None:
    @pipeline
    def with_table(rows: Table = Table("sqlite:///x.db", query="select 1")):  # noqa: B008
        return count(rows)

    found = calls(with_table.graph())
    assert list(found) == ["probe-rows", "read-rows", "count"]
    assert function_of(found["probe-rows"]).policy.cache is False
    assert function_of(found["read-rows"]).policy.cache is None
    assert function_of(found["read-rows"]).name == "read_table_rows"
    assert found["read-rows"].inputs == {"source": Output("probe-rows", "output")}
    text = '{"url": "sqlite:///y.db", "query": "select 2"}'
    expected = {"rows": Inline({"source": "table", "url": "sqlite:///y.db", "query": "select 2"})}
    assert bind_parameters(with_table.graph(), texts={"rows": text}) == expected


def test_a_nested_pipeline_is_given_the_source_itself() -> None:
    @pipeline
    def inner(data: File) -> str:
        return load(data)

    @pipeline
    def outer(data: File):
        return {"a": inner(data), "b": inner("y.csv"), "c": inner(File("z.csv"))}

    found = calls(outer.graph())
    assert list(found) == ["inner", "inner-2", "inner-3"]
    assert found["inner"].inputs == {"data": Input("data")}
    assert found["inner-2"].inputs == {"data": Constant({"source": "file", "path": "y.csv"})}


def test_a_map_over_files_looks_at_each_where_it_is_used() -> None:
    @pipeline
    def mapped():
        return map_over(load, [File("a.csv"), File("b.csv")])

    (node,) = mapped.graph().nodes
    assert isinstance(node, Map)
    assert list(calls(node.body)) == ["source-data", "load"]


def test_a_task_that_is_annotated_with_a_source_takes_its_content() -> None:
    assert measure.component.inputs[0].type == PATH


def test_called_as_a_plain_function_a_task_is_given_a_path(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    assert load(File(tmp_path / "x.csv")) == "1,2"
    assert measure(data=Folder(tmp_path)) == 1


def test_where_a_source_is_counts_in_the_graph_and_labels_do_not() -> None:
    def made(path: str) -> str:
        @pipeline(name="one")
        def one():
            return load(File(path))

        return graph_digest(one.graph())

    assert made("x.csv") == made("x.csv") != made("y.csv")


def test_sources_say_what_they_are() -> None:
    assert repr(File("x")) == "File('x')"
    assert repr(Table("sqlite:///x", query="q", version="v")) == "Table('sqlite:///x', query='q', version='v')"
