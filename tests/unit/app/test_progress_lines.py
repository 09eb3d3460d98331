"""Progress as its reader sees it; the transitions are those that the engine makes."""

from __future__ import annotations

import io

from penstock.app.outlets import Outlet
from penstock.app.progress_lines import FAILURES_SHOWN_MAX, LINES_IN_HAND_MAX, ProgressLines
from penstock.base.instants import Instant
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, RunState, TaskState
from penstock.wire import LogSegment

NOW = Instant(1_000)
RUN = RunRow("1" * 13, "sums", "d", {}, "p", 0, NOW, state=RunState.RUNNING)


def lines(tail: str = "") -> tuple[ProgressLines, io.StringIO]:
    stream = io.StringIO()
    progress = ProgressLines(Outlet(lambda: stream))
    progress.begun(RUN, how="new", tail=lambda attempt: tail, saved=lambda source: 12_345.0)
    return progress, stream


def succeeded(path: str, component: str = "m:f") -> Transition:
    row = TaskRunRow(
        RUN.run_id, path, component, TaskState.SUCCEEDED, Cause("succeeded"), NOW, started_at=NOW, ended_at=NOW
    )
    return Transition("task", RUN.run_id, path, "running", "succeeded", row.cause, row)


def failed(path: str, *, traceback: str, name: str = "ValueError") -> tuple[Transition, Transition]:
    failure = {"type": f"builtins:{name}", "message": "no rows", "bases": [], "traceback": traceback}
    attempt = AttemptRow(
        RUN.run_id, path, 2, AttemptState.ENDED, "local", (), NOW, outcome="failed", failure=failure,
        log=LogSegment("x", 0, 1),
    )  # fmt: skip
    row = TaskRunRow(RUN.run_id, path, "m:f", TaskState.FAILED, Cause("failed"), NOW, attempt=2)
    return (
        Transition("attempt", RUN.run_id, f"{path}#2", "started", "ended", Cause("failed"), attempt),
        Transition("task", RUN.run_id, path, "running", "failed", row.cause, row),
    )


def test_a_failure_shows_the_authors_traceback_and_the_last_lines() -> None:
    progress, stream = lines(tail="a\nb")
    progress.committed(failed("fit", traceback="Traceback (most recent call last):\n  File ...\nValueError: no rows"))
    assert stream.getvalue().splitlines()[1:] == [
        "  fit                      failed: ValueError: no rows (attempt 2)",
        "    Traceback (most recent call last):",
        "      File ...",
        "    ValueError: no rows",
        "    the last lines that it printed:",
        "      a",
        "      b",
        f"    again, alone: penstock repro {RUN.run_id} fit",
    ]


def test_ten_thousand_items_are_counted_and_the_tasks_around_them_told() -> None:
    progress, stream = lines()
    for item in range(10_000):
        progress.committed([succeeded(f"map/{item}/square")])
    progress.committed([succeeded("map"), succeeded("total")])
    ended = Transition("run", RUN.run_id, RUN.run_id, "running", "succeeded", Cause("succeeded"), RUN)
    progress.committed([ended])
    told = stream.getvalue().splitlines()
    assert len(told) < LINES_IN_HAND_MAX + 30
    assert [line.split()[0] for line in told if line.startswith(("  map ", "  total "))] == ["map", "total"]
    single = sum(line.startswith("  map/") for line in told)
    counted = sum(int(line.split()[1].replace(",", "")) for line in told if line.startswith("  …"))
    assert single + counted == 10_000, "nothing goes untold"
    assert progress.ended == {"succeeded": 10_002}


def test_many_failures_are_counted() -> None:
    progress, stream = lines()
    for item in range(50):
        progress.committed(failed(f"map/{item}/fit", traceback="Traceback", name=f"Error{chr(65 + item)}"))
    shown = [line for line in stream.getvalue().splitlines() if " failed: " in line]
    assert len(shown) == FAILURES_SHOWN_MAX
    assert progress.ended["failed"] == 50
    progress.committed([Transition("run", RUN.run_id, RUN.run_id, "running", "failed", Cause("failed"), RUN)])
    assert "  … 40 more failed; failed: map/10/fit, map/11/fit, map/12/fit, …" in stream.getvalue().splitlines()


def test_failures_that_are_alike_are_told_once_and_counted() -> None:
    progress, stream = lines()
    for item in (3, 1, 2, 40, 41):
        progress.committed(failed(f"map/{item}/fit", traceback="Traceback"))
    progress.committed(failed("other", traceback="Traceback", name="KeyError"))
    assert stream.getvalue().count("Traceback") == 2
    progress.committed([Transition("run", RUN.run_id, RUN.run_id, "running", "failed", Cause("failed"), RUN)])
    told = stream.getvalue().splitlines()
    assert told[-1] == "  5 items failed alike: map/1/fit, map/2/fit, map/3/fit, …"
    assert stream.getvalue().count("no rows") == 2, "of each kind once"
    assert not any("…" in line for line in told[:-1]), "nor is it counted before"


def test_what_a_node_failed_of_is_told_where_it_failed_and_not_again_by_what_holds_it() -> None:
    progress, stream = lines()
    why = "2 of 13 items failed"
    inner = TaskRunRow(RUN.run_id, "a/map", "map", TaskState.FAILED, Cause("body_failed", "", why), NOW)
    outer = TaskRunRow(RUN.run_id, "a", "call", TaskState.FAILED, Cause("body_failed", "a/map", why), NOW)
    progress.committed(
        [Transition("task", RUN.run_id, r.path, "running", "failed", r.cause, r) for r in (inner, outer)]
    )
    assert [" ".join(line.split()) for line in stream.getvalue().splitlines()[1:]] == [
        "a/map failed: 2 of 13 items failed",
        "a failed by a/map",
    ]


def test_names_of_nested_pipelines_widen_the_column() -> None:
    progress, stream = lines()
    progress.committed([succeeded("a"), succeeded("a_long_pipeline/with_a_long_task"), succeeded("b")])
    first, long, after = stream.getvalue().splitlines()[1:]
    assert long.index("succeeded") == after.index("succeeded") > first.index("succeeded")


def test_what_reads_declared_sources_has_no_line_unless_it_is_asked_for() -> None:
    source = succeeded("source-data", "penstock.values.sources:resolve_file")
    progress, stream = lines()
    progress.committed([source, succeeded("load")])
    assert [line.split()[0] for line in stream.getvalue().splitlines()[1:]] == ["load"]
    assert progress.ended == {"succeeded": 2}
    told = io.StringIO()
    verbose = ProgressLines(Outlet(lambda: told), verbose=True)
    verbose.begun(RUN, how="new", tail=lambda attempt: "", saved=lambda source: None)
    verbose.committed([source])
    assert "source-data" in told.getvalue()
