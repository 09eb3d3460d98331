"""Whatever stands in a file, loading it gives a graph or says what is wrong: nothing is raised, and no mistake is silent."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.emit import emit
from penstock.authoring.yaml.load import Loaded, load
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.schema import RECORDS
from penstock.authoring.yaml.tree import Source, value_of
from penstock.graph.codec import graph_digest
from penstock.graph.model import Function, InputSpec, OutputSpec
from penstock.graph.types import ANY, FLOAT

PAGE = Path(__file__).parents[3] / "docs" / "yaml.md"
EXAMPLE = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
KEYS = sorted({key.name for record in RECORDS.values() for key in record.keys})
VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        "",
        "x",
        "no",
        "1.10",
        [],
        {},
        ["load"],
        {"a": "${load.file}"},
        "int",
        "list[int]",
        "file",
    ),
    *(
        "${x}",
        "${item}",
        "${index}",
        "${round}",
        "${state}",
        "${load}",
        "${fit.score}",
        "${one_of(load.file, rows)}",
        "rows > 1",
    ),
    *(
        "${states.fit}",
        "${outputs.score}",
        "${parameters.days}",
        "${inputs.table}",
        "${sources.rates}",
        "${",
        "$${x}",
        "${a b}",
    ),
    *(
        "m:f",
        {"over": [1, 2]},
        {"rounds_max": 2},
        {"tasks": {}},
        [{"tasks": {}}],
        {"function": "m:f"},
        [[]],
        {"x": {"y": {}}},
    ),
)
TOKENS = (
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "\t",
    "'",
    '"',
    "#",
    "&a ",
    "*a",
    "!x ",
    "|\n",
    "${",
    "\u2028",
    "\x00",
    "é",
    "---\n",
)


def loaded(text: str) -> Loaded:
    def read_file(path: str) -> bytes:
        if path != "file.yaml":
            raise FileNotFoundError(2, "there is no such file")
        return text.encode()

    def find(name: str) -> Found:
        module, _, function = name.partition(":")
        outputs = tuple(OutputSpec(each, FLOAT) for each in ("file", "table", "model", "score"))
        return Found(Function(module, function, (InputSpec("table", ANY), InputSpec("x", ANY)), outputs))

    return load("file.yaml", read_file=read_file, find=find)


def check(text: str) -> None:
    found = loaded(text)
    for each in found.diagnostics:
        assert str(each)
        assert each.location is not None
    if found.is_valid:
        assert found.graph is not None
        assert len(graph_digest(found.graph)) == 64
    elif found.graph is None:
        assert found.diagnostics or not found.main


def paths_in(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for name, value in inner for found in ((*path, name), *paths_in(value, (*path, name)))]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_of_any_shape(draw: Any) -> None:
    root = read(Source("file", EXAMPLE, []))
    assert root is not None
    data = copy.deepcopy(value_of(root))
    for _ in range(draw.draw(st.integers(1, 4))):
        paths = paths_in(data)
        if not paths:
            break
        *before, last = draw.draw(st.sampled_from(paths))
        holder = data
        for name in before:
            holder = holder[name]
        kind = draw.draw(st.sampled_from(["value", "key", "gone"]))
        if kind == "gone":
            del holder[last]
        elif kind == "key" and isinstance(holder, dict):
            holder[draw.draw(st.sampled_from(KEYS))] = copy.deepcopy(draw.draw(st.sampled_from(VALUES)))
        else:
            holder[last] = copy.deepcopy(draw.draw(st.sampled_from(VALUES)))
    check(emit(data))


@given(
    st.lists(
        st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 9), st.sampled_from(TOKENS)), min_size=1, max_size=5
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_text_of_any_kind(edits: list[tuple[int, int, str]]) -> None:
    text = EXAMPLE
    for at, gone, token in edits:
        text = text[:at] + token + text[at + gone :]
    check(text)
