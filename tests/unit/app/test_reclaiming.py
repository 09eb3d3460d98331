"""Which runs gc keeps."""

from __future__ import annotations

from penstock.app.reclaiming import kept_runs
from penstock.base.instants import Instant
from penstock.engine.rows import RunRow
from penstock.engine.states import RunState


def run(name: str, state: str = "succeeded", *, pipeline: str = "p", **more) -> RunRow:
    return RunRow(name, pipeline, "d", {}, "pin", 0, Instant(0), state=RunState(state), **more)


def test_newest_of_each_pipeline_are_kept() -> None:
    runs = [run("p3"), run("q2", pipeline="q"), run("p2"), run("q1", pipeline="q"), run("p1")]
    assert kept_runs(runs, 1) == {"p3", "q2"}
    assert kept_runs(runs, 2) == {"p3", "p2", "q2", "q1"}


def test_last_one_that_succeeded_is_kept() -> None:
    assert kept_runs([run("3", "failed"), run("2"), run("1")], 1) == {"3", "2"}
    assert kept_runs([run("3", "failed"), run("2"), run("1")], 0) == {"2"}


def test_open_runs_and_what_they_retry_are_kept() -> None:
    runs = [run("4", "running", retry_of="1"), run("3", "pending"), run("2", "failed"), run("1", "failed")]
    assert kept_runs(runs, 0) == {"4", "3", "1"}


def test_runs_with_the_label_are_kept() -> None:
    assert kept_runs([run("2", "failed", labels={"keep": "yes"}), run("1", "failed")], 0) == {"2"}
