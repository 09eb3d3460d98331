"""Tasks in five languages, on real counts: examples/polyglot as a person runs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "polyglot"
PROGRAMS = ("awk", "sqlite3", "node", "sort", "head", "tail", "wc", "sh")


def copied(project: Any) -> Any:
    shutil.copytree(
        EXAMPLE, project.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".penstock", "__pycache__")
    )
    return project


@pytest.fixture
def polyglot(project: Any) -> Any:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and os.environ.get("PENSTOCK_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"required, but not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return copied(project)


def test_every_language_does_its_part(polyglot: Any) -> None:
    done = polyglot.call("run", "pipeline.yaml", "--json")
    assert done.status == 0, done.err
    run = done.json
    assert {task["state"] for task in run["task_runs"]} == {"succeeded"}
    outputs = run["outputs"]
    assert (outputs["worst"], outputs["best"], outputs["rows"]) == ("2013-07", "2013-09", 1093)
    for name in ("days.latest", "chart"):
        assert polyglot.call("get", "latest", name, "-o", f"got/{name}").status == 0
    assert (polyglot.folder / "got/days.latest").read_text().startswith("2013-03-08,LGA,305,76,176,0.7686\n")
    chart = ElementTree.parse(polyglot.folder / "got/chart").getroot()
    bars = chart.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 12 and bars[0][0].text == "2013-01: 0.1857"
    shares = polyglot.call("get", "latest", "compare.share_by_month").json
    assert len(shares) == 12 and shares["2013-07"] == max(shares.values())


def test_what_changed_runs_again_and_nothing_else(polyglot: Any) -> None:
    everything = {"source-departures", "keep", "months", "days", "compare", "chart"}
    assert polyglot.ran("pipeline.yaml") == everything
    assert polyglot.ran("pipeline.yaml") == {"source-departures"}
    chart = polyglot.folder / "tools" / "chart.js"
    chart.write_text(chart.read_text().replace("#3b6ea5", "#a53b3b"))
    assert polyglot.ran("pipeline.yaml") == {"source-departures", "chart"}
    seasons = polyglot.folder / "seasons.py"
    seasons.write_text(seasons.read_text() + "\n\n# A comment changes nothing.\n")
    assert polyglot.ran("pipeline.yaml") == {"source-departures"}
    # No airport had 101 departures on any day: another parameter, the same table, and nothing after it.
    assert polyglot.ran("pipeline.yaml", "-p", "least=101") == {"source-departures", "keep"}


def test_a_program_that_is_not_here_is_named_before_anything_runs(project: Any) -> None:
    """On a machine without Node."""
    copied(project)
    programs = project.folder.with_name(f"{project.folder.name}-programs")
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None and name != "node":
            (programs / name).symlink_to(found)
    project.environment["PATH"] = str(programs)
    done = project.call("run", "pipeline.yaml")
    assert done.status == 2
    assert "command 'chart' runs node, which is not on PATH [program-missing]" in done.err
    assert "pipeline.yaml:" in done.err and "Install node" in done.err
    assert not (project.folder / ".penstock").exists()
