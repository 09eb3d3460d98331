"""Each checker can fail: what must never happen is refused, with what it was."""

from __future__ import annotations

import pytest

from penstock.base.instants import Instant
from penstock.engine.events import CapacityReported, StartAttempt, Transition
from penstock.engine.rows import AttemptRow, Cause, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, RunState, TaskState
from penstock.graph.model import Graph
from penstock.testing.checkers import (
    Journal,
    Violation,
    check_capacity,
    check_end,
    check_inputs,
    check_parallel,
    check_rows,
)
from penstock.testing.naive import Result
from penstock.testing.naive_values import Ended
from penstock.testing.notation import graph
from penstock.wire import AttemptRequest, FunctionRequest, Inline

NOW = Instant(0)
GRAPH = graph("a -> b; end!")


def run_row(state: RunState = RunState.RUNNING, stopping: str = "") -> RunRow:
    return RunRow("r", "g", "d", {}, "", 1, NOW, state=state, stopping=stopping)


def task_row(path: str, state: TaskState, value: int = 1) -> TaskRunRow:
    outputs = {"out": Inline(value)} if state is TaskState.SUCCEEDED else {}
    return TaskRunRow(
        "r", path, "m:f", state, Cause("failed" if state is TaskState.FAILED else ""), NOW, outputs=outputs
    )


def attempt_row(
    path: str, number: int = 1, *, state: AttemptState = AttemptState.SUBMITTED, cpu: int = 1_000
) -> AttemptRow:
    outcome = "succeeded" if state is AttemptState.ENDED else None
    return AttemptRow("r", path, number, state, "local", (("cpu", cpu),), NOW, outcome=outcome)


def change(row: RunRow | TaskRunRow | AttemptRow, before: str) -> Transition:
    match row:
        case RunRow():
            return Transition("run", "r", "r", before, row.state, Cause(""), row)
        case TaskRunRow():
            return Transition("task", "r", row.path, before, row.state, Cause(""), row)
        case AttemptRow():
            return Transition("attempt", "r", f"{row.path}#{row.number}", before, row.state, Cause(""), row)


def journal(*transitions: Transition, of: Graph = GRAPH) -> Journal:
    followed = Journal(graphs={"r": of})
    followed.follow(transitions)
    return followed


def test_transitions_chain() -> None:
    followed = journal(change(task_row("a", TaskState.READY), "waiting"))
    with pytest.raises(Violation, match="but it was 'ready'"):
        followed.follow([change(task_row("a", TaskState.RUNNING), "waiting")])


def test_transitions_are_in_the_table() -> None:
    with pytest.raises(Violation, match="not in the table"):
        journal(change(task_row("a", TaskState.SUCCEEDED), "waiting"))


def test_an_outcome_is_accepted_once() -> None:
    ended = attempt_row("a", state=AttemptState.ENDED)
    followed = journal(change(attempt_row("a"), ""), change(ended, "submitted"))
    assert followed.tried("r", "a") == 1
    with pytest.raises(Violation, match="not in the table"):
        followed.follow([change(ended, "ended")])


def test_nothing_starts_after_a_cancel_but_finally_nodes() -> None:
    stopped = [change(run_row(), "pending"), change(run_row(stopping="cancel"), "running")]
    journal(*stopped, change(attempt_row("end"), ""))
    with pytest.raises(Violation, match="was to stop"):
        journal(*stopped, change(attempt_row("a"), ""))
    killed = [change(run_row(), "pending"), change(run_row(stopping="kill"), "running")]
    with pytest.raises(Violation, match="was to stop"):
        journal(*killed, change(attempt_row("end"), ""))


def test_nothing_starts_after_a_failure_that_fails_fast() -> None:
    running = change(task_row("a", TaskState.FAILED), "waiting")
    journal(running, change(attempt_row("b"), ""))
    with pytest.raises(Violation, match="was to stop"):
        journal(running, change(attempt_row("b"), ""), of=graph("a; b", fail_fast=True))


def test_rows_are_stored() -> None:
    committed = [change(task_row("a", TaskState.READY), "waiting")]
    check_rows(committed, RunRecord(run_row(), (task_row("a", TaskState.READY),), ()))
    with pytest.raises(Violation, match="committed"):
        check_rows(committed, RunRecord(run_row(), (), ()))


@pytest.mark.parametrize(("cpu", "ahead_max", "fits"), [(2_000, 0, True), (1_999, 0, False), (1_000, 1, True)])
def test_capacity_holds(cpu: int, ahead_max: int, fits: bool) -> None:
    rows = [attempt_row("a"), attempt_row("b")]
    followed = journal(*[change(row, "") for row in rows])
    reported = CapacityReported("local", {"cpu": cpu}, ahead_max)
    if fits:
        check_capacity(followed, rows, reported, {"r"})
        return
    with pytest.raises(Violation, match="beyond capacity"):
        check_capacity(followed, rows, reported, {"r"})


def test_parallel_max_holds() -> None:
    mapped = graph("m*3[parallel=1]{f}")
    followed = journal(change(attempt_row("m/0/f"), ""), of=mapped)
    check_parallel(followed, "r")
    followed.follow([change(attempt_row("m/1/f"), "")])
    with pytest.raises(Violation, match="at most 1"):
        check_parallel(followed, "r")


def test_inputs_are_what_upstreams_gave() -> None:
    record = RunRecord(run_row(), (task_row("a", TaskState.SUCCEEDED, 5),), ())
    component = FunctionRequest("m", "b", {}, {}, "")
    check_inputs(StartAttempt("local", AttemptRequest("r/b#1", component, {"x0": Inline(5)}, 1)), GRAPH, record)
    with pytest.raises(Violation, match="started with"):
        check_inputs(StartAttempt("local", AttemptRequest("r/b#1", component, {"x0": Inline(6)}, 1)), GRAPH, record)
    early = RunRecord(run_row(), (), ())
    with pytest.raises(Violation, match="before 'a' ended"):
        check_inputs(StartAttempt("local", AttemptRequest("r/b#1", component, {"x0": Inline(5)}, 1)), GRAPH, early)


def test_ends_are_what_the_graph_means() -> None:
    small = graph("a")
    rows = (task_row("a", TaskState.SUCCEEDED),)
    run = RunRow("r", "g", "d", {}, "", 1, NOW, state=RunState.SUCCEEDED, outputs={"out": Inline(1)})
    meant = Result("succeeded", {"out": Inline(1)}, {"a": Ended("succeeded", "", {"out": Inline(1)})})
    check_end(RunRecord(run, rows, ()), meant, small)
    wrong = [
        (RunRecord(run_row(), rows, ()), "did not end"),
        (RunRecord(run, (task_row("a", TaskState.RUNNING),), ()), "is running"),
        (RunRecord(run, rows, (attempt_row("a"),)), "is open"),
        (RunRecord(run, (), ()), "ended without"),
        (RunRecord(run, (task_row("a", TaskState.FAILED),), ()), "should be"),
        (RunRecord(run, (task_row("a", TaskState.SUCCEEDED, 2),), ()), "should be"),
        (RunRecord(run_row(RunState.FAILED), rows, ()), "is failed"),
        (RunRecord(run_row(RunState.SUCCEEDED), rows, ()), "outputs"),
        (RunRecord(run, (*rows, task_row("x", TaskState.SUCCEEDED)), ()), "too many"),
    ]
    for record, said in wrong:
        with pytest.raises(Violation, match=said):
            check_end(record, meant, small)
