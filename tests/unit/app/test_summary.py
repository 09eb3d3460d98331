"""What is said of a run that has ended, from its rows alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from penstock.app.drawing import summary_lines
from penstock.app.summary import Stored, Summary, summarised
from penstock.base.instants import Instant
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.plan.passes import make_plan
from penstock.testing.notation import graph

RUN = RunRow("1" * 13, "sales", "d", {}, "p", 0, Instant(0), state=RunState.SUCCEEDED, started_at=Instant(0))
CAPACITY = {"cpu": 2_000, "memory": 8_000}


class Ran:
    """Rows of a run on two cores; times are seconds since it began."""

    def __init__(self, text: str) -> None:
        self.plan = make_plan(graph(text))
        self.rows: list[TaskRunRow] = []
        self.attempts: list[AttemptRow] = []
        self.saved: dict[str, float] = {}
        self.ended = 0

    def did(self, path: str, began: float, ended: float, *, ready: float | None = None, **amounts: int) -> Ran:
        begin, end = round(1000 * began), round(1000 * ended)
        self.ended = max(self.ended, end)
        ready_at = begin if ready is None else round(1000 * ready)
        self.rows.append(
            TaskRunRow(
                RUN.run_id, path, f"notation:{path.rpartition('/')[2]}", TaskState.SUCCEEDED, Cause("succeeded"),
                Instant(end), origin=Origin.COMPUTED, attempt=1, ready_at=Instant(ready_at),
                started_at=Instant(begin), ended_at=Instant(end),
            )
        )  # fmt: skip
        wanted = tuple(sorted({"cpu": 1_000, **amounts}.items()))
        self.attempts.append(
            AttemptRow(
                RUN.run_id, path, 1, AttemptState.ENDED, "local", wanted, Instant(begin),
                started_at=Instant(begin), ended_at=Instant(end), duration_us=(end - begin) * 1000, outcome="succeeded",
            )
        )  # fmt: skip
        return self

    def held(self, path: str, began: float, ended: float, kind: str = "call") -> Ran:
        """A node with a graph."""
        times = {"started_at": Instant(round(1000 * began)), "ended_at": Instant(round(1000 * ended))}
        row = TaskRunRow(RUN.run_id, path, kind, TaskState.SUCCEEDED, Cause("succeeded"), Instant(0), **times)
        self.rows.append(row)
        return self

    def hit(self, path: str, at: float, *, saved: float) -> Ran:
        times = {"ready_at": Instant(round(1000 * at)), "ended_at": Instant(round(1000 * at))}
        row = TaskRunRow(
            RUN.run_id, path, "notation:x", TaskState.SUCCEEDED, Cause("hit", "R/x"), Instant(0),
            origin=Origin.CACHED, **times,
        )  # fmt: skip
        self.rows.append(row)
        self.saved[path] = 1000 * saved
        return self

    def summary(self, **usual_s: float) -> Summary:
        usual = {f"notation:{name}": 1000 * mean for name, mean in usual_s.items()}
        run = RunRow(**{**_fields(RUN), "ended_at": Instant(self.ended)})
        return summarised(Stored(run, self.rows, self.attempts, CAPACITY, usual, self.saved), self.plan)

    def critical(self) -> list[str]:
        return [each.path for each in self.summary().critical]


def _fields(row: RunRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in RunRow.__slots__}


def test_the_critical_path_goes_over_what_ended_last() -> None:
    ran = Ran("a -> c; b -> c -> d; e").did("a", 0, 1).did("b", 0, 3).did("c", 3, 4).did("d", 4, 5).did("e", 0, 4.5)
    assert ran.critical() == ["b", "c", "d"]
    assert ran.summary().critical_ms == 5_000


def test_retries_and_backoff_count_in_the_critical_path() -> None:
    ran = Ran("a -> b").did("a", 0, 1).did("b", 6, 8, ready=5.5)
    first = replace(ran.attempts[-1], outcome="failed", started_at=Instant(1_500), ended_at=Instant(3_000))
    ran.attempts[-1:] = [first, replace(ran.attempts[-1], number=2)]
    summary = ran.summary()
    assert [(each.path, each.earlier_ms) for each in summary.critical] == [("a", 0), ("b", 4_000)]
    assert summary.critical_ms == 7_000
    assert summary.to_json()["critical_path"]["task_runs"][1]["earlier_ms"] == 4_000
    lines = summary_lines(summary)
    assert "critical path: 7.0 s of 8.0 s" in lines
    assert "  b  2.0 s  after 500 ms of waiting  after 4.0 s of earlier attempts and backoff" in lines


def test_the_critical_path_goes_into_graphs_and_out_of_them() -> None:
    ran = Ran("load -> prepare{x -> y} -> train*{fit -> score} -> report")
    ran.did("load", 0, 1).held("prepare", 1, 3).did("prepare/x", 1, 2).did("prepare/y", 2, 3)
    ran.held("train", 3, 9, "map")
    for item, (began, ended) in enumerate([(3, 5), (3, 6), (5, 9)]):
        ran.did(f"train/{item}/fit", began, ended - 1, ready=3).did(f"train/{item}/score", ended - 1, ended)
    ran.did("report", 9, 10)
    assert ran.critical() == [
        "load", "prepare/x", "prepare/y", "train/2/fit", "train/2/score", "report"
    ]  # fmt: skip


def test_the_critical_path_goes_through_all_rounds_of_a_loop() -> None:
    ran = Ran("a -> tune@5{fit -> judge} -> b").did("a", 0, 1).held("tune", 1, 7, "loop")
    for number in (1, 2, 3):
        ran.did(f"tune/{number}/fit", 2 * number - 1, 2 * number).did(
            f"tune/{number}/judge", 2 * number, 2 * number + 1
        )
    ran.did("b", 7, 8)
    rounds = [f"tune/{number}/{name}" for number in (1, 2, 3) for name in ("fit", "judge")]
    assert ran.critical() == ["a", *rounds, "b"]


def test_a_second_generation_and_a_hit_stand_in_their_places() -> None:
    ran = Ran("a -> prepare{x -> y} -> b").did("a", 0, 1).held("prepare", 1, 5)
    ran.did("prepare~1/x", 3, 4).did("prepare~1/y", 4, 5).hit("b", 5, saved=7)
    assert ran.critical() == ["a", "prepare~1/x", "prepare~1/y"]
    assert (ran.summary().hits, ran.summary().saved_ms) == (1, 7_000)


def test_what_waited_for_cores() -> None:
    ran = Ran("a; b; c; d").did("a", 0, 2).did("b", 0, 2)
    ran.did("c", 2, 3, ready=0).did("d", 2, 3, ready=0)
    (waited,) = ran.summary().waits
    assert (waited.resource, waited.count, waited.total_ms, waited.longest_ms) == ("cpu", 2, 4_000, 2_000)


def test_what_waited_for_memory_while_a_core_was_free() -> None:
    ran = Ran("a; b").did("a", 0, 2, memory=6_000).did("b", 2, 3, ready=0.5, memory=4_000)
    (waited,) = ran.summary().waits
    assert (waited.resource, waited.longest, waited.longest_ms) == ("memory", "b", 1_500)


def test_what_waited_while_there_was_room_waited_for_something_else() -> None:
    ran = Ran("a; b").did("a", 0, 1).did("b", 2, 3, ready=1.5)
    (waited,) = ran.summary().waits
    assert (waited.resource, waited.longest) == ("other", "b")


def test_a_short_wait_is_no_wait() -> None:
    assert Ran("a; b").did("a", 0, 1).did("b", 1.02, 2, ready=1).summary().waits == ()


def test_as_it_is_read() -> None:
    ran = (
        Ran("load -> a, b, c -> report").did("load", 0, 1.5).did("a", 1.5, 4).did("b", 1.5, 5).did("c", 4, 9, ready=1.5)
    )
    ran.did("report", 9, 9.25)
    assert "\n".join(summary_lines(ran.summary(load=1.0))) == dedent("""\
        slowest
          c       5.0 s
          b       3.5 s
          a       2.5 s
          load    1.5 s  usually 1.0 s
          report  250 ms
        critical path: 6.8 s of 9.2 s
          load    1.5 s  usually 1.0 s
          c       5.0 s  after 2.5 s of waiting
          report  250 ms
        waited
          for cpu: c, 2.5 s""")


def test_the_page_shows_a_summary() -> None:
    page = Path(__file__).parents[3] / "docs" / "seeing-runs.md"
    ran = Ran("load -> features -> train*{fit} -> report").did("load", 0, 1.5).did("features", 1.5, 4)
    ran.held("train", 4, 12, "map").did("train/0/fit", 4, 7).did("train/1/fit", 4, 8)
    ran.did("train/2/fit", 7, 12, ready=4).did("train/3/fit", 8, 11, ready=4).did("report", 12, 12.25)
    text = "\n".join(summary_lines(ran.summary(load=1.0, fit=3.6)))
    assert f"```text\n{text}\n```" in page.read_text(), text


def test_ten_thousand_items_are_summarised_in_a_moment() -> None:
    ran = Ran("numbers -> square*{f} -> total").did("numbers", 0, 1).held("square", 1, 5_001, "map")
    for item in range(10_000):
        ran.did(f"square/{item}/f", 1 + item // 2, 2 + item // 2, ready=1)
    ran.did("total", 5_001, 5_002)
    summary = ran.summary()
    assert [each.path for each in summary.critical] == ["numbers", "square/9999/f", "total"]
    (waited,) = summary.waits
    assert (waited.resource, waited.count) == ("cpu", 9_998)
    assert len(summary_lines(summary)) < 20
