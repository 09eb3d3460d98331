"""A whole run at a glance: what it costs to read it, and what it is shown as."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.app import reading
from penstock.app.logs import run_logs
from penstock.app.places import open_store, project_settings
from penstock.app.reasons import why
from penstock.app.results import RunResult, TaskRunResult
from penstock.base.instants import Instant
from penstock.effects import Commit, Holder, Message, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.graph.codec import graph_to_json
from penstock.stores.sql import codec
from penstock.testing.notation import graph
from penstock.wire import Counted, Inline, LogSegment, Usage

NOW = Instant(1_800_000_000_000)
ME = Holder("host", "boot", 1, 0)
CAUSE = Cause("succeeded")
FEW, MANY = 20, 220
# What Python does for each task run with one attempt, in calls of functions: reading and checking both rows, the order of the
# flow, the summary.
CALLS_MAX = 100
HITS = {"origin": Origin.CACHED, "cause": Cause("hit", "few/split/1/fit")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(
    run_id: str, count: int, *, split: Mapping[str, Any] | None = None, only: Sequence[int] = (), **changes: Any
) -> RunResult:
    """A run of a map over `count` items on one core, of which each but the first has waited for the one before."""
    settings = project_settings(Path.cwd())
    times = {"started_at": NOW, "ended_at": Instant(NOW + 100 * count)}
    run = RunRow(run_id, "p", "digest", {}, "pin", 1, NOW, provenance={"capacity": {"cpu": 1_000, "memory": 8_000}})
    ended = replace(run, state=RunState.SUCCEEDED, **times)
    fits = [_fit(run_id, number) for number in only or range(count)]
    outputs = {"out": Counted(tuple(Inline(number) for number in range(count)))}
    whole = TaskRunRow(run_id, "split", "map", TaskState.SUCCEEDED, CAUSE, NOW, Origin.COMPUTED, outputs, **times)
    rows = [
        replace(whole, **split or {}),
        *(replace(row, **changes) for row, _ in fits),
        *(a for _, a in fits if "origin" not in changes),
    ]
    transitions = [
        Transition("attempt" if isinstance(row, AttemptRow) else "task", run_id, row.path, "", "", CAUSE, row)
        for row in rows
    ]
    transitions.append(Transition("run", run_id, run_id, "running", "succeeded", CAUSE, ended))
    with closing(open_store(settings)) as store:
        store.submit(Submission(run, graph_to_json(graph("split*{fit}"))), Message(run_id, "submit", run_id, NOW))
        lease = store.acquire(run_id, ME, now=NOW, lease_ms=30_000)
        assert lease is not None
        store.commit(Commit(NOW, (lease,), tuple(transitions)))
    return reading.show_run(run_id)


def _fit(run_id: str, number: int) -> tuple[TaskRunRow, AttemptRow]:
    path, begin, end = f"split/{number}/fit", Instant(NOW + 100 * number), Instant(NOW + 100 * number + 100)
    row = TaskRunRow(
        run_id, path, "m:fit", TaskState.SUCCEEDED, CAUSE, end, Origin.COMPUTED, {"out": Inline([number] * 50)}, 1,
        ready_at=NOW, started_at=begin, ended_at=end,
    )  # fmt: skip
    attempt = AttemptRow(
        run_id, path, 1, AttemptState.ENDED, "local", (("cpu", 1_000),), NOW, begin, end, 100_000 + number,
        outcome="succeeded", usage=Usage(1.0), log=LogSegment("log", 0, 1),
    )  # fmt: skip
    return row, attempt


def calls_in(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C."""
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def shown(result: RunResult) -> None:
    for row in result.overview.rows[:200]:
        result.overview.glance(row)
    assert result.summary is not None


@pytest.mark.parametrize("changes", [{}, HITS], ids=["computed", "hits"])
def test_to_show_a_run_costs_little_for_each_of_its_task_runs(project: Path, changes: dict[str, Any]) -> None:
    shown(ran("few", FEW))
    few, many = (calls_in(partial(shown, ran(f"run{count}", count, **changes))) for count in (FEW, MANY))
    assert (many - few) / (MANY - FEW) < CALLS_MAX


def test_to_show_a_run_reads_no_outputs_and_each_table_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, read, statements = ran("run", MANY), list[str](), list[str]()
    real = codec.data_from_json
    monkeypatch.setattr(codec, "data_from_json", lambda data: read.append("data") or real(data))
    opened = open_store(project_settings(project))
    opened._database._usable().set_trace_callback(statements.append)
    monkeypatch.setattr(reading, "open_store_to_read", lambda settings: opened)
    monkeypatch.setattr(opened, "close", lambda: None)
    shown(result)
    assert "".join(result.json_pieces())
    assert read == []
    assert sum("FROM task_runs" in each for each in statements) == 1
    whole = [each for each in statements if "FROM attempts" in each and "outside <> " not in each]
    assert len(whole) == 1, "but for those that say why a result is not kept"
    assert len(statements) < 40
    monkeypatch.undo()
    opened.close()


def test_json_is_made_task_run_by_task_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, made = ran("run", FEW), list[str]()
    real = TaskRunResult.to_json
    monkeypatch.setattr(TaskRunResult, "to_json", lambda self: made.append(self.path) or real(self))
    pieces = result.json_pieces()
    texts = [next(pieces), next(pieces), next(pieces)]
    assert made == ["split", "split/0/fit"], "the third is not made before it is asked for"
    text = "".join([*texts, *pieces])
    assert json.loads(text) == json.loads(json.dumps(result.to_json()))
    assert [each["path"] for each in json.loads(text)["task_runs"]][9:12] == [
        "split/8/fit",
        "split/9/fit",
        "split/10/fit",
    ]


def test_a_hit_says_how_long_its_maker_took(project: Path) -> None:
    ran("few", FEW)
    result = ran("hits", FEW, **HITS)
    (one,) = {(each.source, each.saved_ms) for each in list(result.overview.glances())[1:]}
    assert one == ("few/split/1/fit", 100.001)
    assert [each.outputs["out"] for each in result.task_runs[1:]] == [Inline([n] * 50) for n in range(FEW)]


def test_what_waited_is_the_same_for_many_and_few(project: Path) -> None:
    summary = ran("run", MANY).summary
    assert summary is not None
    (waited,) = summary.waits
    assert (waited.resource, waited.count, waited.longest) == ("cpu", MANY - 1, f"split/{MANY - 1}/fit")


def test_logs_are_in_the_order_of_the_flow_and_items_by_number(project: Path) -> None:
    ran("run", FEW)
    numbers = [int(log.attempt.path.split("/")[1]) for log in run_logs("run", None, follow=False)]
    assert numbers == list(range(FEW))


def test_why_names_the_first_item_that_failed_by_number(project: Path) -> None:
    whole = {"state": TaskState.FAILED, "cause": Cause("body_failed", "", "18 of 20 items failed")}
    ran("run", FEW, split=whole, state=TaskState.FAILED)
    assert [link.path for link in why("run", "split").chain] == ["split", "split/0/fit"]
    ran("later", 12, split=whole, only=(11, 2), state=TaskState.FAILED)
    assert [link.path for link in why("later", "split").chain] == ["split", "split/2/fit"]
