"""The live view without a terminal: rows in, frames out."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from penstock.app.drawing import bar, cut, drawn, plain
from penstock.app.frames import Frame
from penstock.app.viewing import View
from penstock.base.instants import Instant
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.plan.passes import make_plan
from penstock.testing.notation import graph
from penstock.wire import Observation, Progress, Usage

BEGAN = 1_000_000
RUN = RunRow(
    "1" * 13, "sales", "d", {}, "p", 0, Instant(BEGAN), state=RunState.RUNNING, started_at=Instant(BEGAN)
)  # fmt: skip
ALL = "load -> clean -> train*{fit -> score} -> report; clean -> prepare{a -> b} -> report; report -> send"


class Told:
    """A view, and short words for what it is told. Times are seconds since the run began."""

    def __init__(self, text: str, **usual_s: float) -> None:
        history = {f"notation:{name}": (3, 1_000_000 * mean) for name, mean in usual_s.items()}
        self.plan = make_plan(graph(text), history=history)
        self.view = View(RUN, self.plan, capacity={"cpu": 4_000, "memory": 8 << 30})

    def task(
        self, path: str, state: str, *, began: float | None = None, ended: float | None = None, **known: Any
    ) -> None:
        def at(seconds: float | None) -> Instant | None:
            return Instant(BEGAN + round(1000 * seconds)) if seconds is not None else None

        origin = Origin.CACHED if state == "cached" else None
        known.setdefault("component", f"notation:{path.rpartition('/')[2]}")
        cause = known.pop("cause", Cause(state))
        row = TaskRunRow(
            RUN.run_id, path, known.pop("component"), TaskState("succeeded" if origin else state), cause,
            Instant(BEGAN), origin=origin, started_at=at(began), ended_at=at(ended), **known,
        )  # fmt: skip
        self.view.tell([Transition("task", RUN.run_id, path, "", row.state, row.cause, row)])

    def attempt(self, path: str, state: str, *, number: int = 1, began: float = 0, **known: Any) -> None:
        amounts = known.pop("amounts", (("cpu", 1_000), ("memory", 1 << 30)))
        at = Instant(BEGAN + round(1000 * began))
        row = AttemptRow(RUN.run_id, path, number, AttemptState(state), "local", amounts, at, started_at=at, **known)
        self.view.tell([Transition("attempt", RUN.run_id, f"{path}#{number}", "", state, Cause(""), row)])

    def runs(self, path: str, *, began: float = 0, number: int = 1, **known: Any) -> None:
        self.task(path, "running", began=began, attempt=number, **known)
        self.attempt(path, "started", began=began, number=number)

    def frame(self, seconds: float, *, lines_max: int = 20, usage: dict[str, Usage] | None = None) -> Frame:
        return self.view.frame(BEGAN + round(1000 * seconds), lines_max=lines_max, usage=usage)

    def text(self, seconds: float, *, lines_max: int = 20, width: int = 100) -> str:
        return plain(drawn(self.frame(seconds, lines_max=lines_max), width=width))


def story() -> Told:
    """A run that is well on its way."""
    told = Told(ALL, load=1.0, clean=12.5, fit=5.0)
    told.task("load", "succeeded", began=0, ended=1.2)
    told.task("clean", "cached", cause=Cause("hit", "RUN/clean"))
    told.task("train", "running", began=1.3, component="map", detail={"length": 100, "cursor": 64})
    for item in range(10):
        told.task(f"train/{item}/fit", "succeeded")
        told.task(f"train/{item}/score", "failed" if item == 3 else "succeeded")
    for item in range(10, 64):
        told.task(f"train/{item}/fit", "ready")
    told.runs("train/10/fit", began=2)
    told.runs("train/11/fit", began=2.5, number=2)
    told.task("prepare", "running", began=1.4, component="call")
    told.runs("prepare/a", began=1.4)
    told.view.observe([Progress(f"{RUN.run_id}/prepare/a#1", 3, 10, "epochs", 0)])
    told.view.observe([Observation(f"{RUN.run_id}/prepare/a#1", "loss", value, None, 0) for value in (0.5, 0.3125)])
    return told


def test_a_run_as_it_is_seen() -> None:
    assert story().text(4) == dedent("""\
        sales  4.0 s  █▎·········· 22 of 206  1 hit, saved about 12.5 s  1 failed
        3 attempts: 3 of 4 cores, 3.0 GiB of 8.0 GiB memory
          ✓ load          1.2 s  usually 1.0 s
          ≡ clean         cached, saved 12.5 s
          ● train         █▎·········· 20/200  2.7 s  2 running, 1 failed
            ● 10/fit      2.0 s  usually 5.0 s
            ● 11/fit      1.5 s  usually 5.0 s  attempt 2
          ○ report
          ● prepare       ············ 0/2  2.6 s  1 running
            ● a           ███▋········ 3/10  2.6 s  epochs, loss 0.3125
          ○ send""")


def test_what_nobody_takes_is_not_shown_as_taken() -> None:
    assert Told("a -> b").text(1).splitlines()[1] == "0 attempts: 0 of 4 cores"


def test_items_are_listed_by_number_though_a_later_one_began_before() -> None:
    told = Told("train*{fit}")
    told.task("train", "running", began=0.0, component="map", detail={"length": 12})
    for item in (10, 2, 9):
        told.runs(f"train/{item}/fit", began=1)
    assert [line.split()[1] for line in told.text(2).splitlines()[3:6]] == ["2/fit", "9/fit", "10/fit"]


def test_the_page_shows_what_is_drawn() -> None:
    page = Path(__file__).parents[3] / "docs" / "seeing-runs.md"
    assert f"```text\n{story().text(4)}\n```" in page.read_text()


def test_what_does_not_fit_is_counted_and_what_runs_comes_first() -> None:
    assert story().text(4, lines_max=8) == dedent("""\
        sales  4.0 s  █▎·········· 22 of 206  1 hit, saved about 12.5 s  1 failed
        3 attempts: 3 of 4 cores, 3.0 GiB of 8.0 GiB memory
          … 1 more ended
          ≡ clean         cached, saved 12.5 s
          ● train         █▎·········· 20/200  2.7 s  2 running, 1 failed
            ● 10/fit      2.0 s  usually 5.0 s
          ○ report
          ● prepare       ············ 0/2  2.6 s  1 running
            ● a           ███▋········ 3/10  2.6 s  epochs, loss 0.3125
          … 1 more waiting""")


def test_no_frame_is_larger_than_its_terminal() -> None:
    told = story()
    told.view.stop(force=False)
    for lines_max in range(1, 30):
        frame = told.frame(4, lines_max=lines_max)
        assert len(frame.lines) <= lines_max
        for width in (10, 20, 40, 80):
            assert max(len(row) for row in plain(drawn(frame, width=width)).split("\n")) <= width


def test_another_attempt_begins_anew() -> None:
    told = story()
    assert "3/10" in told.text(4)
    told.task("prepare/a", "backoff", attempt=1, retry_at=Instant(BEGAN + 9_000))
    assert "again in 5 s" in told.text(4)
    told.runs("prepare/a", number=2)
    assert "3/10" not in told.text(4)
    assert "0.3125" not in told.text(4)


def test_ctrl_c_says_what_it_does() -> None:
    told = story()
    told.view.stop(force=False)
    assert told.text(4).endswith("\nstopping: waiting for 3 attempts, Ctrl-C again kills")
    told.attempt("train/10/fit", "ended")
    told.attempt("prepare/a", "ended")
    assert told.text(5).endswith("\nstopping: waiting for 1 attempt, Ctrl-C again kills")
    told.view.stop(force=True)
    assert told.text(5).endswith("\nkilling everything now")


def test_a_node_with_a_graph_that_has_ended_is_one_line() -> None:
    told = story()
    told.task("prepare/a", "succeeded")
    told.task("prepare/b", "cached", cause=Cause("hit", "RUN/prepare/b"))
    told.task("prepare", "succeeded", began=1.4, ended=4.4, component="call")
    lines = [line for line in told.frame(5).lines if line.name in ("prepare", "a", "b")]
    assert [(line.name, line.state, line.took_ms, line.note) for line in lines] == [
        ("prepare", "succeeded", 3_000, "1 cached")
    ]


def test_everything_that_ended_is_counted_once() -> None:
    told = Told("numbers -> square*{f} -> total")
    told.task("numbers", "succeeded", began=0, ended=1)
    told.task("square", "running", component="map", began=1, detail={"length": 10_000, "cursor": 64})
    for item in range(10_000):
        told.task(f"square/{item}/f", "ready")
        told.task(f"square/{item}/f", "running", attempt=1)
        told.task(f"square/{item}/f", "failed" if item % 100 == 0 else "succeeded")
    frame = told.frame(3)
    assert (frame.done, frame.known) == (10_001, 10_002)
    assert dict(frame.counts) == {"succeeded": 9_901, "failed": 100}
    assert [(line.name, line.state) for line in frame.lines] == [
        ("numbers", "succeeded"), ("square", "running"), ("total", "waiting")
    ]  # fmt: skip
    told.task("square", "failed", component="map", began=1, ended=3, detail={"length": 10_000, "cursor": 10_000})
    told.view.settle()
    assert told.view.ended == {"succeeded": 9_901, "failed": 101}


def test_ten_thousand_nodes_of_one_graph_stay_readable() -> None:
    told = Told("; ".join(f"n{number}" for number in range(10_000)))
    for number in range(6_000):
        told.task(f"n{number}", "succeeded", began=0, ended=1)
    for number in range(6_000, 6_002):
        told.runs(f"n{number}")
    frame = told.frame(2, lines_max=12)
    assert len(frame.lines) <= 12
    counted = {line.note: line.count for line in frame.lines if line.state == "more"}
    shown = [line.state for line in frame.lines if line.state != "more"]
    assert shown.count("running") == 2
    assert counted["ended"] + shown.count("succeeded") == 6_000
    assert counted["waiting"] + shown.count("waiting") == 3_998


def test_what_a_ready_task_waits_for() -> None:
    told = Told("a[cpu=3]; b[cpu=2]; c")
    for path in ("a", "b", "c"):
        told.task(path, "ready")
    told.task("a", "running", began=0, attempt=1)
    told.attempt("a", "submitted", amounts=(("cpu", 3_000),))
    notes = {line.name: line.note for line in told.frame(1).lines}
    assert notes == {"a": "", "b": "waits for cpu", "c": ""}


def test_branches_and_loops_are_known_when_they_are_taken() -> None:
    told = Told("ask -> choose?{one | two -> three}; tune@5{fit}")
    assert told.frame(0).known == 1
    told.task("choose", "running", component="branch", detail={"case": 1})
    told.runs("choose/1/two")
    told.task("tune", "running", component="loop", detail={"round": 1, "carried": {}})
    frame = told.frame(1)
    assert frame.known == 4
    assert [(line.depth, line.name) for line in frame.lines][1:3] == [(0, "choose"), (1, "1/two")]
    told.task("tune/1/fit", "succeeded")
    told.task("tune", "running", component="loop", detail={"round": 3, "carried": {}})
    assert told.frame(1).known == 6


def test_a_skipped_graph_is_not_waited_for() -> None:
    told = Told("a -> prepare{x -> y -> z}")
    assert told.frame(0).known == 4
    told.task("prepare", "skipped", component="call")
    assert told.frame(0).known == 1


def test_a_second_generation_is_below_the_same_node() -> None:
    told = Told("prepare{x -> y}; train*{fit}")
    told.task("prepare", "running", component="call", generation=1)
    told.runs("prepare~1/x")
    told.task("train", "running", component="map", generation=2, detail={"length": 4, "cursor": 4})
    told.runs("train~2/3/fit")
    lines = [(line.depth, line.name) for line in told.frame(1).lines]
    assert lines == [(0, "prepare"), (1, "x"), (0, "train"), (1, "3/fit")]


def test_memory_while_it_runs_and_after() -> None:
    told = Told("a; b")
    told.runs("a")
    usage = {f"{RUN.run_id}/a#1": Usage(0.0, 300 << 20)}
    assert "300.0 MiB of 1.0 GiB" in plain(drawn(told.frame(1, usage=usage), width=100))
    told.attempt("a", "ended", usage=Usage(0.0, 512 << 20), duration_us=2_000_000)
    told.task("a", "succeeded", began=0, ended=2)
    assert "  ✓ a             2.0 s  512.0 MiB of 1.0 GiB" in told.text(3)


def test_gpus_while_it_runs_and_all_of_them_together() -> None:
    told = Told("a[gpu=2]; b[gpu=1]")
    told.view = View(
        RUN, told.plan, capacity={"gpu:A": 1_000, "gpu:B": 1_000, "gpu_memory:A": 8 << 30, "gpu_memory:B": 8 << 30}
    )
    told.task("a", "running", began=0, attempt=1)
    told.attempt("a", "started", amounts=(("gpu:A", 1_000), ("gpu:B", 500)))
    told.task("b", "ready")
    frame = told.frame(
        1, usage={f"{RUN.run_id}/a#1": Usage(0.0, 0, gpu_memory_bytes_peak=3 << 30, gpu_percent_mean=85.4)}
    )
    assert frame.amounts == (("gpu", 1_500, 2_000),)
    text = plain(drawn(frame, width=100))
    assert "1.5 of 2 gpu" in text
    assert "GPU 3.0 GiB, 85 %" in text
    assert [line.note for line in frame.lines] == ["", "waits for gpu"]


def test_an_interrupted_run_goes_on_where_it_was() -> None:
    told = story()
    rows = [
        TaskRunRow(RUN.run_id, "load", "notation:load", TaskState.SUCCEEDED, Cause("succeeded"), Instant(BEGAN)),
        TaskRunRow(
            RUN.run_id, "train", "map", TaskState.RUNNING, Cause(""), Instant(BEGAN), detail={"length": 3, "cursor": 3}
        ),
        TaskRunRow(RUN.run_id, "train/0/fit", "notation:fit", TaskState.SUCCEEDED, Cause(""), Instant(BEGAN)),
    ]
    view = View(RUN, told.plan, capacity={}, rows=rows)
    frame = view.frame(BEGAN, lines_max=20)
    assert (frame.done, frame.known) == (2, 12)


def test_bars() -> None:
    assert [bar(done, 8, 4) for done in (0, 1, 4, 8, 9)] == ["····", "▌···", "██··", "████", "████"]
    assert bar(1, 0, 4) == "····"


def test_rows_are_cut() -> None:
    assert cut((("abc", "x"), ("def", "")), 5) == (("abc", "x"), ("d…", ""))
    assert cut((("abc", "x"),), 3) == (("abc", "x"),)
