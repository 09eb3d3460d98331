"""Failures as they are read: what stands where, and which are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.app.failures import Failing, alike_line, grouped, headline, outcome_text, story
from penstock.base.instants import Instant
from penstock.engine.rows import AttemptRow, Cause, TaskRunRow
from penstock.engine.states import AttemptState, TaskState
from penstock.wire import Failed, Failure, Frame, OutOfMemory, outcome_to_json

NOW = Instant(1_000)
OWN = Frame(
    "score.py", 41, "score", True, 39, ("def score(rows):", "    for row in rows:", '        total += float(row["x"])')
)
OUTER = Frame("pipeline.py", 7, "all", True, 7, ("    return score(rows)",))
LIBRARY = Frame("/x/lib/python3.11/site-packages/pandas/core/a.py", 12, "Frame.get", False)


def failing(
    path: str = "fit",
    message: str = "no rows",
    *,
    frames: tuple[Frame, ...] = (OUTER, OWN),
    tries: int = 1,
    **more: Any,
) -> Failing:
    traceback = more.pop("traceback", "Traceback")
    failure = Failure("builtins:ValueError", message, ("ValueError",), traceback, frames, more.pop("given", {}))
    outcome = more.pop("outcome", Failed(failure))
    kind = "failed" if isinstance(outcome, Failed) else "out_of_memory"
    row = TaskRunRow("run1", path, "m:f", TaskState.FAILED, Cause("failed"), NOW, attempt=tries)
    attempt = AttemptRow(
        "run1", path, tries, AttemptState.ENDED, "local", (), NOW, outcome=kind, failure=outcome_to_json(outcome)
    )
    return Failing(row, attempt)


def node(path: str, cause: Cause) -> Failing:
    return Failing(TaskRunRow("run1", path, "map", TaskState.FAILED, cause, NOW), None)


# -- one ---------------------------------------------------------------------------------------------------------------


def test_the_authors_lines_come_first_then_what_was_given_then_what_was_printed() -> None:
    told = failing(
        frames=(OUTER, OWN, LIBRARY, LIBRARY), given={"rows": "polars DataFrame of 3 rows", "n": "3"}, tries=2
    )
    assert headline(told) == "failed: ValueError: no rows (attempt 2)"
    assert story(told, printed="a\nb\n") == [
        "pipeline.py:7 in all",
        "> 7 │     return score(rows)",
        "score.py:41 in score",
        "  39 │ def score(rows):",
        "  40 │     for row in rows:",
        '> 41 │         total += float(row["x"])',
        "2 calls further down, in Frame.get (pandas/core/a.py:12)",
        "given:",
        "  rows = polars DataFrame of 3 rows",
        "  n = 3",
        "the last lines that it printed:",
        "  a",
        "  b",
        "again, alone: penstock repro run1 fit",
    ]


def test_what_led_to_an_exception_is_told_the_nearest_first() -> None:
    import traceback

    try:
        try:
            try:
                Path("/nowhere/at/all").read_text()
            except OSError:
                {}["x"]
        except KeyError as error:
            raise ValueError("no x here") from error
    except ValueError as error:
        text = "".join(traceback.format_exception(error)).rstrip("\n")
    lines = story(failing(frames=(OWN,), traceback=text))
    at = lines.index("caused by:")
    assert "KeyError: 'x'" in [line.strip() for line in lines[at:]]
    later = lines.index("while handling:")
    assert later > at
    assert any("No such file or directory" in line for line in lines[later:])
    assert not any("Traceback" in line for line in lines)
    assert not any("caused by" in line for line in story(failing()))


def test_many_own_frames_are_told_by_the_first_and_the_last() -> None:
    frames = tuple(Frame("a.py", line, f"f{line}", True, line, ("x",)) for line in range(1, 10))
    places = [line for line in story(failing(frames=frames)) if " in f" in line or "more" in line]
    assert places == ["a.py:1 in f1", "… 5 more calls …", "a.py:7 in f7", "a.py:8 in f8", "a.py:9 in f9"]


def test_without_frames_of_the_authors_the_traceback_is_told() -> None:
    assert story(failing(frames=(LIBRARY,)))[0] == "Traceback"
    assert story(failing(message="two\nlines", frames=()))[:2] == ["lines", "Traceback"]


def test_a_node_that_failed_by_another_has_no_story() -> None:
    told = node("map", Cause("failed", "map/3/f", ""))
    assert headline(told) == "failed by map/3/f: failed"
    assert story(told) == []


def test_outcomes_in_words() -> None:
    assert outcome_text("timed_out", {"why": "timed out after 3 s"}) == "timed out after 3 s"
    assert outcome_text("timed_out", {}) == "timed out"
    assert outcome_text("lost", {"why": "killed"}) == "lost: killed"
    assert outcome_text("failed", {"type": "a.b:Odd", "message": ""}) == "Odd"
    assert outcome_text("input_lost", {"digest": "d", "why": "gone"}) == "input lost: d: gone"


# -- many --------------------------------------------------------------------------------------------------------------


def test_failures_at_one_line_are_alike_whatever_they_say() -> None:
    many = [failing(f"score/{number}/score", f"bad row {number}") for number in (10, 9, 4, 11)]
    other = failing("score/3/score", frames=(OUTER,))
    nodes = [
        node("score", Cause("failed", "score/4/score")),
        node("score", Cause("body_failed", "", "4 of 11 items failed")),
    ]
    groups = grouped([*many, *nodes, other])
    assert [(group.first.row.path, len(group.paths)) for group in groups] == [
        ("score/4/score", 4),
        ("score/3/score", 1),
    ]
    assert alike_line(groups[0]) == (
        "4 items failed alike: ValueError: bad row 4 (and 3 other messages); score/4/score, score/9/score, score/10/score, …"
    )
    assert alike_line(groups[0], is_told=True) == (
        "4 items failed alike (4 messages): score/4/score, score/9/score, score/10/score, …"
    )


def test_a_node_that_failed_by_itself_is_a_failure_of_its_own() -> None:
    (group,) = grouped([node("score", Cause("too_many_items", "", "too many items"))])
    assert group.paths == ["score"]


def test_without_a_line_of_the_authors_equal_messages_are_alike_whatever_their_numbers() -> None:
    killed = [failing(f"m/{n}/f", outcome=OutOfMemory(f"{n} bytes")) for n in range(3)]
    other = failing("m/9/f", outcome=OutOfMemory("no number"))
    assert [len(group.paths) for group in grouped([*killed, other])] == [3, 1]


def test_a_node_that_could_not_begin_counts() -> None:
    told = grouped([node("big", Cause("request_too_large", "", "9 GiB are more than there are"))])
    assert [group.first.why for group in told] == ["9 GiB are more than there are"]
