"""Figures, tables, progress and reports that a task logs, in attempts of this very process."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.inner.context import Context
from penstock.values.exhibits import figure_file
from penstock.wire import Exhibit, Failed, Observation, Progress, Succeeded, observed_from_json, observed_to_json

Bench = Any


def needs(library: str) -> None:
    """Without importing it here: what that changes in this process is the attempt's affair."""
    if find_spec(library) is None:
        pytest.skip(f"not installed: {library}")


def logged(bench: Bench, body: str) -> list[Any]:
    source = "from penstock import context\ndef f():\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    bench.told = []
    bench.launcher.tell = lambda: bench.told.extend(bench.launcher.observations())
    ended = bench.end(source)
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    told = bench.told
    bench.told += bench.launcher.observations()
    assert [observed_from_json(json.loads(json.dumps(observed_to_json(each)))) for each in told] == told
    return list(told)


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_says_first_and_last_and_little_between(bench: Bench) -> None:
    told = logged(bench, "assert list(context().track(range(100_000), text='rows')) == list(range(100_000))")
    assert all(isinstance(each, Progress) and (each.total, each.text) == (100_000, "rows") for each in told)
    assert (told[0].done, told[-1].done) == (0, 100_000)
    assert len(told) < 20


def test_progress_goes_on_where_an_earlier_attempt_was_and_ends_where_it_is_left(bench: Bench) -> None:
    body = "for item in context().track('abcdef', done=4):\n    if item == 'c': break"
    assert [(each.done, each.total) for each in logged(bench, body)] == [(4, 10), (6, 10)]


def test_progress_of_what_has_no_length(bench: Bench) -> None:
    told = logged(bench, "list(context().track(iter('ab')))\nlist(context().track(iter('ab'), total=2))")
    assert (told[0].done, told[0].total) == (0, None)
    assert (told[-1].done, told[-1].total) == (2, 2)


def test_progress_costs_next_to_nothing() -> None:
    """An item costs a look at the clock: less than a microsecond, several times over for a slow machine."""
    told: list[Any] = []
    here = Context("r/t#1", pipeline="", seed=0, fresh=Path, observe=told.append)
    count = 300_000
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        for _ in here.track(range(count)):
            pass
        best = min(best, time.perf_counter() - begin)
    assert best / count < 3e-6
    assert len(told) < 3 * (2 + 10 * 3)


def test_a_report_is_the_metric_objective(bench: Bench) -> None:
    told = logged(bench, "context().report(3, 0.5)\ncontext().report(4, 1)")
    assert [(each.name, each.step, each.value) for each in told] == [("objective", 3, 0.5), ("objective", 4, 1.0)]
    assert all(isinstance(each, Observation) for each in told)


# -- figures -----------------------------------------------------------------------------------------------------------


def folder_of(bench: Bench, exhibit: Any, kind: str = "figure") -> Path:
    assert isinstance(exhibit, Exhibit) and exhibit.kind == kind
    assert exhibit.attempt_id == "run1/train/3/fit#2"
    return Path(bench.artifacts.path(exhibit.artifact.digest))


def test_matplotlib_is_kept_as_png_and_svg(bench: Bench) -> None:
    needs("matplotlib")
    body = """
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2], [3, 4])
context().log_figure("curve", figure)
context().log_figure("axes", axes)
plt.close(figure)"""
    told = logged(bench, body)
    assert [each.name for each in told] == ["curve", "axes"]
    folder = folder_of(bench, told[0])
    assert figure_file(folder, ".png")[:4] == b"\x89PNG"  # type: ignore[index]
    assert b"<svg" in figure_file(folder, ".SVG")  # type: ignore[operator]
    assert figure_file(folder, ".html") is None
    assert told[0].artifact.metadata == {"name": "curve", "formats": ["png", "svg"]}
    assert told[0].artifact.digest == told[1].artifact.digest, "the same figure is the same content"


def test_plotly_is_kept_as_json_and_as_a_page_that_shares_its_script(bench: Bench) -> None:
    needs("plotly")
    body = """
import plotly.graph_objects as go
context().log_figure("a", go.Figure(go.Scatter(y=[1, 2])))
context().log_figure("b", go.Figure(go.Scatter(y=[1, 3])))"""
    one, other = (folder_of(bench, each) for each in logged(bench, body))
    assert json.loads((one / "figure.json").read_text())["data"][0]["type"] == "scatter"
    assert (one / "figure.html").stat().st_size < 20_000
    assert (one / "plotly.min.js").read_bytes() == (other / "plotly.min.js").read_bytes()
    alone = figure_file(one, ".html")
    assert alone is not None and len(alone) > 1_000_000 and b"plotly.min.js" not in alone[:200_000]


def test_altair_is_kept_as_vega_lite(bench: Bench) -> None:
    needs("altair")
    needs("pandas")
    body = """
import altair, pandas
table = pandas.DataFrame({"x": range(6000), "y": range(6000)})
context().log_figure("dots", altair.Chart(table).mark_point().encode(x="x", y="y"))"""
    folder = folder_of(bench, logged(bench, body)[0])
    chart = json.loads((folder / "figure.json").read_text())
    assert "vega-lite" in chart["$schema"]
    assert sum(len(rows) for rows in chart["datasets"].values()) == 6000


def test_an_image_is_kept_as_it_is(bench: Bench) -> None:
    body = "path = context().scratch / 'map.png'\npath.write_bytes(b'png')\ncontext().log_figure('map', path)"
    told = logged(bench, body)
    assert figure_file(folder_of(bench, told[0]), ".png") == b"png"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("log_figure('a', 3)", "a figure is one of matplotlib, plotly or altair, or the path of an image, not int"),
        ("log_figure('a', 'notes.txt')", "the path of a figure ends with one of"),
        ("log_figure('', 3)", "a figure's name is text of 1 to 200 characters"),
        ("log_table('a', {'b': 1})", "a table is one of pandas, polars or pyarrow, or a list of dicts, not dict"),
        ("log_table('a', [1])", "a table is one of pandas"),
        ("log_table(3, [])", "a table's name is text"),
        ("report('x', 3)", "invalid literal"),
    ],
)
def test_what_is_none_of_them_is_refused(bench: Bench, call: str, says: str) -> None:
    outcome = bench.outcome(f"from penstock import context\ndef f():\n    context().{call}")
    assert isinstance(outcome, Failed) and says in outcome.failure.message


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_are_kept_as_outputs_are(bench: Bench, library: str) -> None:
    needs(library)
    make = "table" if library == "pyarrow" else "DataFrame"
    told = logged(
        bench, f"import {library}\ncontext().log_table('rows', {library}.{make}({{'a': [1, 2], 'b': ['x', 'y']}}))"
    )
    exhibit = told[0]
    assert isinstance(exhibit, Exhibit) and (exhibit.kind, exhibit.name) == ("table", "rows")
    assert exhibit.artifact.metadata["rows"] == 2
    assert exhibit.artifact.type.partition(":")[0].partition(".")[0] == library


def test_a_list_of_dicts_is_a_table(bench: Bench) -> None:
    exhibit = logged(bench, "context().log_table('rows', [{'a': 1}, {'a': 2, 'b': None}])")[0]
    assert (exhibit.kind, exhibit.artifact.metadata) == ("table", {"rows": 2, "columns": 2})
    assert json.loads(bench.artifacts.get_bytes(exhibit.artifact.digest)) == [{"a": 1}, {"a": 2, "b": None}]
