"""The engine as transcripts: events in, commands out."""

from __future__ import annotations

import pytest

from penstock.graph.bindings import Constant, Input, Output
from penstock.graph.model import Call, Function, Graph, GraphOutput, InputSpec, Loop, OutputSpec
from penstock.graph.types import INT
from penstock.testing.notation import graph
from penstock.testing.transcript import Transcript
from penstock.wire import Cancelled, Counted, Failed, Failure, Inline, Lost, NotYet, OutOfMemory, Refused, Skipped


def test_a_chain_runs_in_order_and_hands_values_on() -> None:
    t = Transcript(graph("a -> b -> c"))
    assert t.said() == ["start a#1"]
    t.ends("a", 1)
    assert t.said() == ["start b#1"]
    assert t.inputs_of("b") == {"x0": 1}
    t.ends("b", 2)
    t.ends("c", 3)
    assert t.run_state == "succeeded"
    assert t.run is not None and t.run.outputs == {"out": Inline(3)}


def test_capacity_is_packed_and_never_exceeded() -> None:
    t = Transcript(graph("a; b; c"), amounts={"cpu": 2000})
    assert t.said() == ["start a#1", "start b#1"]
    t.ends("b")
    assert t.said() == ["start c#1"]


def test_a_late_or_repeated_report_changes_nothing() -> None:
    t = Transcript(graph("a -> b"))
    attempt = t.attempt_of("a")
    t.ends("a", 1)
    count = len(t.transitions)
    from penstock.engine.events import AttemptEnded, AttemptStarted
    from penstock.wire import Succeeded

    t.give(AttemptEnded(attempt, Succeeded({"out": Inline(9)}), t.now, t.now, 1))
    t.give(AttemptStarted(attempt, t.now))
    t.give(AttemptEnded("run/zzz#1", Succeeded({}), t.now, t.now, 1))
    t.give(AttemptEnded("other/a#1", Succeeded({}), t.now, t.now, 1))
    assert len(t.transitions) == count


def test_a_failure_skips_consumers_and_lets_others_go_on() -> None:
    t = Transcript(graph("a -> b -> c; d"))
    t.fails("a")
    assert t.state("a") == "failed(failed)"
    assert t.state("b") == "skipped(upstream_failed)"
    assert t.state("c") == "skipped(upstream_skipped)"
    assert t.run_state == "running"
    t.ends("d")
    assert t.run_state == "failed"


@pytest.mark.parametrize(
    ("trigger", "after_failure", "after_skip"),
    [
        ("all_succeeded", "skipped(upstream_failed)", "skipped(upstream_skipped)"),
        ("all_ended", "running", "running"),
        ("none_failed", "skipped(upstream_failed)", "running"),
        ("one_succeeded", "running", "running"),
        ("one_failed", "running", "skipped(upstream_skipped)"),
        ("none_failed_one_succeeded", "skipped(upstream_failed)", "running"),
    ],
)
def test_triggers(trigger: str, after_failure: str, after_skip: str) -> None:
    text = f"a, b => c[trigger={trigger}]"
    failing = Transcript(graph(text))
    failing.fails("a")
    if failing.state("c") == "waiting":
        failing.ends("b")
    assert failing.state("c") == after_failure
    skipping = Transcript(graph(text))
    skipping.ends("a", Skipped("not today"))
    skipping.ends("b")
    assert skipping.state("c") == after_skip


def test_one_succeeded_acts_before_the_others_have_ended() -> None:
    t = Transcript(graph("a, b => c[trigger=one_succeeded]"), amounts={"cpu": 3000})
    t.ends("b")
    assert t.said()[-1] == "start c#1"


def test_retries_back_off_with_seeded_jitter() -> None:
    t = Transcript(graph("a[retry=3 backoff=1000]"))
    t.fails("a")
    assert t.tasks["a"].state == "backoff"
    wait = (t.tasks["a"].retry_at or 0) - t.now
    assert 900 <= wait <= 1_100
    again = Transcript(graph("a[retry=3 backoff=1000]"))
    again.fails("a")
    assert (again.tasks["a"].retry_at or 0) - again.now == wait
    t.said()
    t.passes(wait - 1)
    assert t.said() == []
    t.passes(1)
    assert t.said() == ["start a#2"]
    t.fails("a")
    assert 1_800 <= (t.tasks["a"].retry_at or 0) - t.now <= 2_200
    t.passes(2_200)
    t.fails("a")
    assert t.state("a") == "failed(failed)"
    assert t.run_state == "failed"


def test_fail_is_never_retried() -> None:
    t = Transcript(graph("a[retry=3]"))
    t.fails("a", final=True)
    assert t.state("a") == "failed(failed)"


def test_not_yet_and_refused_cost_nothing() -> None:
    t = Transcript(graph("a"))
    for _ in range(10):
        t.ends("a", NotYet(500, "still loading"))
        t.passes(500)
    for _ in range(10):
        t.ends("a", Refused())
        t.passes(1_000)
    t.ends("a", 1)
    assert t.run_state == "succeeded"
    assert t.tasks["a"].attempt == 21


def test_lost_has_its_own_limit() -> None:
    t = Transcript(graph("a"))
    for _ in range(5):
        t.ends("a", Lost("killed"))
    assert t.state("a") == "running"
    t.ends("a", Lost("killed"))
    assert t.state("a") == "failed(lost)"


def test_out_of_memory_asks_for_twice_as_much_up_to_the_machine() -> None:
    t = Transcript(graph("a[memory=1000]"), amounts={"cpu": 1000, "memory": 3000})
    t.ends("a", OutOfMemory())
    assert dict(t.requests["run/a#2"].amounts)["memory"] == 2000
    assert t.requests["run/a#2"].memory_bytes_max == 2000
    t.ends("a", OutOfMemory())
    assert dict(t.requests["run/a#3"].amounts)["memory"] == 3000
    t.ends("a", OutOfMemory())
    assert t.state("a") == "failed(out_of_memory)"


def test_a_timeout_stops_the_attempt_and_counts_as_a_failure() -> None:
    t = Transcript(graph("a[timeout=500 retry=2 backoff=100]"))
    t.passes(10_000)
    assert t.said() == ["start a#1"], "the time counts from started, not from submitted"
    t.starts("a")
    t.passes(499)
    assert t.said() == []
    t.passes(1)
    assert t.said() == ["stop a#1 grace 10000"]
    t.ends("a", Cancelled("asked to stop"))
    assert t.tasks["a"].state == "backoff"
    t.passes(1_000)
    t.starts("a")
    t.passes(500)
    t.ends("a", Lost("killed"))
    assert t.state("a") == "failed(timed_out)"
    assert t.tasks["a"].cause.text == "timed out after 500 ms"
    assert (t.tasks["a"].failed_count, t.tasks["a"].lost_count) == (2, 0)
    for number in (1, 2):
        row = t.attempts[f"a#{number}"]
        assert (row.outcome, row.failure) == ("timed_out", {"kind": "timed_out", "why": "timed out after 500 ms"})


def test_what_ends_by_itself_after_its_timeout_ends_as_it_says() -> None:
    for outcome, state in ((None, "succeeded"), (Failed(Failure("builtins:ValueError", "no")), "failed(failed)")):
        t = Transcript(graph("a[timeout=500]"))
        t.starts("a")
        t.passes(500)
        t.ends("a", outcome)
        assert t.state("a") == state


def test_a_cancel_of_what_timed_out_is_a_cancel() -> None:
    t = Transcript(graph("a[timeout=500]"))
    t.starts("a")
    t.passes(500)
    t.cancel()
    t.ends("a", Cancelled())
    assert (t.state("a"), t.attempts["a#1"].outcome) == ("cancelled(cancelled)", "cancelled")


def test_cancel_stops_attempts_runs_finally_nodes_and_ends_cancelled() -> None:
    t = Transcript(graph("a -> b; a, b => tidy!"))
    t.said()
    t.cancel()
    assert t.said() == ["stop a#1 grace 10000"]
    assert t.state("b") == "cancelled(stopped)"
    t.ends("a", Cancelled())
    assert t.said() == ["start tidy#1"]
    t.ends("tidy")
    assert t.run_state == "cancelled"


def test_a_second_cancel_kills_and_runs_nothing_more() -> None:
    t = Transcript(graph("a -> b; a, b => tidy!"))
    t.cancel()
    t.said()
    t.cancel(force=True)
    assert t.said() == ["stop a#1 grace 0"]
    t.ends("a", Cancelled())
    assert t.state("tidy") == "cancelled(stopped)"
    assert t.run_state == "cancelled"


def test_fail_fast_cancels_the_rest_but_not_finally() -> None:
    t = Transcript(graph("a; b; c; a, b, c => tidy!", fail_fast=True))
    t.fails("a")
    t.ends("b", Cancelled())
    assert t.state("c") == "cancelled(fail_fast)"
    t.ends("tidy")
    assert t.inputs_of("tidy") == {"how": "failed"}
    assert t.run_state == "failed"


def test_higher_priority_and_longer_paths_go_first() -> None:
    t = Transcript(graph("a; b[priority=5]; c -> d -> e"), amounts={"cpu": 1000})
    assert t.said() == ["start b#1"]
    t.ends("b")
    assert t.said() == ["start c#1"], "the longest remaining path comes before a"


def test_a_large_task_run_is_reserved_for_not_starved() -> None:
    t = Transcript(graph("s1; s2; s3; s4; big[cpu=2 priority=1]; s0[priority=2]"), amounts={"cpu": 2000})
    assert t.said() == ["start s0#1"], "what is left is kept for big, which comes before the others"
    t.ends("s0")
    assert t.said() == ["start big#1"]
    t.ends("big")
    assert t.said() == ["start s1#1", "start s2#1"]


def test_others_start_beside_a_reservation_when_predicted_to_end_in_time() -> None:
    history = {"notation:s0": (5, 10_000_000.0), "notation:quick": (5, 1_000_000.0), "notation:slow": (5, 60_000_000.0)}
    text = "slow; quick[priority=1]; big[cpu=2 priority=2]; s0[priority=3]"
    t = Transcript(graph(text), amounts={"cpu": 2000}, history=history)
    assert t.said() == ["start s0#1", "start quick#1"]


def test_short_attempts_are_submitted_ahead() -> None:
    history = {"notation:fit": (10, 500.0)}
    t = Transcript(graph("m*20"), amounts={"cpu": 1000}, ahead_max=4, history=history)
    assert len(t.in_flight()) == 5
    t.ends("m/0/fit", 1, duration_us=500)
    assert len(t.in_flight()) == 5
    while t.in_flight():
        t.ends(t.in_flight()[-1].rpartition("#")[0], 1, duration_us=500)
    assert t.run_state == "succeeded"


def test_a_map_creates_items_in_windows() -> None:
    t = Transcript(graph("m*1000"))
    assert sum(path.startswith("m/") for path in t.tasks) == 64
    for number in range(40):
        t.ends(t.in_flight()[0].rpartition("#")[0], number)
    assert 64 < sum(path.startswith("m/") for path in t.tasks) <= 40 + 64


def test_a_map_keeps_order_and_tolerates_failures() -> None:
    t = Transcript(graph("m*4[failures=1] -> end"), amounts={"cpu": 4000})
    t.ends("m/3/fit", "d")
    t.fails("m/1/fit")
    t.ends("m/0/fit", "a")
    t.ends("m/2/fit", "c")
    assert t.tasks["m"].outputs["out"] == Counted((Inline("a"), Inline("c"), Inline("d")))
    assert t.tasks["m"].outputs["indexes"] == Counted((Inline(0), Inline(2), Inline(3)))
    t.ends("end")
    assert t.run_state == "succeeded"


def test_a_map_runs_every_item_before_it_fails() -> None:
    t = Transcript(graph("m*3"), amounts={"cpu": 1000})
    t.fails("m/0/fit")
    t.ends("m/1/fit")
    assert t.state("m") == "running"
    t.ends("m/2/fit")
    assert t.state("m") == "failed(body_failed)"


def test_parallel_max_bounds_a_map() -> None:
    t = Transcript(graph("m*5[parallel=2]"), amounts={"cpu": 5000})
    assert len(t.in_flight()) == 2
    t.ends("m/0/fit")
    assert len(t.in_flight()) == 2


def test_an_empty_map_succeeds_with_empty_lists() -> None:
    t = Transcript(graph("a -> m*{fit} -> b"))
    t.ends("a", [])
    assert t.tasks["m"].outputs == {"out": Counted(()), "indexes": Counted(())}
    t.ends("b")
    assert t.run_state == "succeeded"


def test_a_map_over_no_list_fails() -> None:
    t = Transcript(graph("a -> m*{fit}"))
    t.ends("a", 3)
    assert t.state("m") == "failed(items_invalid)"


def test_a_loop_goes_on_until_its_condition_holds() -> None:
    t = Transcript(graph("tune@5{fit} -> b"))
    t.ends("tune/1/fit", False)
    t.ends("tune/2/fit", True)
    assert t.tasks["tune"].outputs == {"out": Inline(True), "met": Inline(True), "rounds": Inline(2)}
    t.ends("b")
    assert t.run_state == "succeeded"


def test_a_round_is_given_what_the_one_before_it_came_to() -> None:
    fit = Function("notation", "fit", (InputSpec("x", INT), InputSpec("rate", INT)), (OutputSpec("out", INT),))
    given = {"x": Input("x"), "rate": Input("rate")}
    inputs = (InputSpec("x", INT), InputSpec("rate", INT))
    body = Graph("body", inputs, (Call("fit", fit, given),), (GraphOutput("out", INT, Output("fit", "out")),))
    loop = Loop("tune", body, {"x": Constant(1), "rate": Constant(7)}, {"out": "x"}, None, 3)
    t = Transcript(Graph("loop", (), (loop,), ()))
    assert t.inputs_of("tune/1/fit") == {"x": 1, "rate": 7}
    t.ends("tune/1/fit", 5)
    assert t.inputs_of("tune/2/fit") == {"x": 5, "rate": 7}
    t.ends("tune/2/fit", 6)
    assert t.inputs_of("tune/3/fit") == {"x": 6, "rate": 7}


def test_a_loop_that_is_used_up_says_so() -> None:
    t = Transcript(graph("tune@2{fit}"))
    t.ends("tune/1/fit", False)
    t.ends("tune/2/fit", False)
    assert t.tasks["tune"].outputs["met"] == Inline(False)
    assert t.run_state == "succeeded"


def test_an_error_in_a_condition_is_never_false() -> None:
    t = Transcript(graph("tune@2{fit}"))
    t.ends("tune/1/fit", "not a bool")
    assert t.state("tune") == "failed(condition_error)"


@pytest.mark.parametrize(("value", "taken"), [(0, "choose/0/one"), (1, "choose/1/two"), (7, "choose/1/two")])
def test_a_branch_takes_the_first_case_that_holds(value: int, taken: str) -> None:
    t = Transcript(graph("a -> choose?{one | two} -> b"))
    t.ends("a", value)
    t.ends(taken, "x")
    assert t.inputs_of("b") == {"x0": "x"}
    t.ends("b")
    assert t.run_state == "succeeded"


def test_a_branch_without_a_case_succeeds_and_its_consumers_are_skipped() -> None:
    t = Transcript(graph("a -> choose?{one} -> b"))
    t.ends("a", 5)
    assert t.state("choose") == "succeeded"
    assert t.state("b") == "skipped(upstream_skipped)"
    assert t.run_state == "succeeded"


def test_retry_of_a_node_with_a_graph_is_a_new_generation() -> None:
    t = Transcript(graph("train{fit}[retry=2 backoff=100] -> b"))
    t.fails("train/fit")
    assert t.tasks["train"].state == "backoff"
    t.passes(200)
    assert t.said()[-1] == "start train~1/fit#1"
    t.ends("train~1/fit")
    t.ends("b")
    assert t.run_state == "succeeded"


def test_a_node_with_a_graph_is_bounded_as_a_whole() -> None:
    t = Transcript(graph("train{fit -> score}[timeout=500]"))
    t.passes(500)
    assert t.said() == ["start train/fit#1", "stop train/fit#1 grace 10000"]
    t.ends("train/fit", Cancelled())
    assert t.state("train") == "failed(timed_out)"
    assert t.tasks["train"].cause.text == "timed out after 500 ms"
    assert t.state("train/score") == "cancelled(stopped)"
    assert t.run_state == "failed"


def test_a_finally_is_told_how_the_others_ended() -> None:
    t = Transcript(graph("a; b; a, b => tidy!"))
    t.fails("a")
    t.ends("b")
    assert t.inputs_of("tidy") == {"how": "failed"}
    t.ends("tidy")
    assert t.run_state == "failed"


def test_deep_chains_of_skips_need_no_stack() -> None:
    names = [f"n{i}" for i in range(5_000)]
    t = Transcript(graph(" -> ".join(names)))
    t.fails("n0")
    assert t.state("n4999") == "skipped(upstream_skipped)"
    assert t.run_state == "failed"


def test_a_stop_that_is_not_answered_becomes_a_kill() -> None:
    t = Transcript(graph("a"), grace_ms=1_000)
    t.cancel()
    t.said()
    t.passes(60_000)
    assert t.said() == ["stop a#1 grace 0"]


GRAPHS = [
    "a -> b; m*5 -> c",
    "tune@3{fit -> ok}; p{q -> r}",
    "a -> choose?{one | two}; m*3{x -> y}[failures=3]; m => z!",
]


@pytest.mark.parametrize("text", GRAPHS)
def test_a_rebuilt_engine_equals_the_one_in_memory(text: str) -> None:
    t = Transcript(graph(text))
    for turn in range(60):
        assert t.rebuilt().dump() == t.engine.dump()
        if not t.in_flight():
            break
        path = t.in_flight()[turn % len(t.in_flight())].rpartition("#")[0]
        if turn % 4 == 3:
            t.fails(path)
        else:
            t.ends(path, turn % 3 == 2)
    assert t.run_state in ("succeeded", "failed")


def test_a_graph_without_nodes_succeeds() -> None:
    assert Transcript(Graph("empty", (), (), ())).run_state == "succeeded"
