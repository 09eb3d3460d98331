"""What executors keep to that run attempts in processes of this machine: logs, deaths, forks, children left behind. `CHECKS` are
functions of a `ProcessSubject`, to be run like those of `testing.conformance.executor`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

from penstock.effects import Executor
from penstock.launcher.outer.processes import started_ticks
from penstock.testing.conformance.executor import ends_of, name, reports_until, wait_for_function, wait_for_start
from penstock.wire import (
    IMPORT_METRIC,
    AttemptEnded,
    AttemptRequest,
    Cancelled,
    Failed,
    Inline,
    LogSegment,
    Lost,
    Observation,
    Observed,
    Outcome,
    Progress,
    Refused,
    Succeeded,
    report_to_json,
)

WAIT_S = 20.0
STOPS = 12


class ProcessSubject(Protocol):
    """A subject whose attempts are processes of this machine, calling the functions of `testing.conformance.behaviours`."""

    slots: int

    def open(self) -> Executor: ...

    def request(
        self, behaviour: str, attempt_id: str, *, fresh: bool = False, cpu: int = 1000, **inputs: Any
    ) -> AttemptRequest: ...

    def begun(self, attempt_id: str) -> int: ...

    def notes(self, attempt_id: str) -> str:
        """What the attempt's function has noted."""
        ...

    def log(self, segment: LogSegment | None) -> bytes:
        """What an attempt printed."""
        ...


def value_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    output = outcome.outputs["output"]
    assert isinstance(output, Inline)
    return output.value


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def run_one(executor: Executor, request: AttemptRequest) -> AttemptEnded:
    executor.start([request])
    return ends_of(executor, [request.attempt_id])[request.attempt_id]


def still_works(executor: Executor, subject: ProcessSubject) -> None:
    after = f"run1/after{time.monotonic_ns()}#1"
    assert value_of(run_one(executor, subject.request("ok", after)).outcome) == 42


# -- what attempts print ---------------------------------------------------------------------------------------------------------


def all_that_is_printed_is_in_the_log(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        first = run_one(executor, subject.request("prints", name(1)))
        second = run_one(executor, subject.request("prints", name(2)))
        assert subject.log(first.log) == b"one\ntwo\nthree\nfour\nfive\nsix"
        assert subject.log(second.log) == b"one\ntwo\nthree\nfour\nfive\nsix"


def a_hundred_megabytes_are_printed(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("prints_much", name(1)))
        assert value_of(end.outcome) == 0
        assert subject.log(end.log) == (b"x" * 99 + b"\n") * 1_000_000


def closed_streams_are_opened_again(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        assert value_of(run_one(executor, subject.request("closes_streams", name(1))).outcome) == 0
        end = run_one(executor, subject.request("prints", name(2)))
        assert subject.log(end.log) == b"one\ntwo\nthree\nfour\nfive\nsix"


def metrics_come_along(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        run_one(executor, subject.request("measures", name(1)))
        observed = [o for o in executor.observations() if not (isinstance(o, Observation) and o.name == IMPORT_METRIC)]
        expected = [Observation(name(1), "loss", 1 / number, number - 1, 0) for number in (1, 2, 3)]
        assert [replace(o, at=0) for o in observed] == expected
        assert all(o.at > 0 for o in observed)
        assert not executor.observations()


# -- how processes end ----------------------------------------------------------------------------------------------------------


def what_is_logged_is_heard_while_it_runs(subject: ProcessSubject) -> None:
    """And the end is heard after it, wherever in the midst of a word the attempt was stopped."""
    with closing(subject.open()) as executor:
        for number in range(1, STOPS + 1):
            attempt_id = name(number)
            executor.start([subject.request("tells", attempt_id)])
            wait_for_function(executor, subject, attempt_id)
            heard: list[Observed] = []
            until = time.monotonic() + WAIT_S
            while sum(isinstance(o, Progress) for o in heard) < 2:
                assert time.monotonic() < until, "nothing is heard of it"
                executor.poll(5)
                heard.extend(executor.observations())
            executor.stop(attempt_id, grace_ms=int(WAIT_S * 1000))
            end = ends_of(executor, [attempt_id])[attempt_id]
            assert isinstance(end.outcome, Cancelled), end
            heard.extend(executor.observations())
            assert {o.attempt_id for o in heard} == {attempt_id}
            metrics = [o.value for o in heard if isinstance(o, Observation) and o.name != IMPORT_METRIC]
            assert metrics == sorted(set(metrics)), "each is heard once, in order"
            far = [o for o in heard if isinstance(o, Progress)]
            assert all((o.text, o.total) == ("rows", None) for o in far)
            assert [o.done for o in far] == sorted(o.done for o in far)
        assert isinstance(run_one(executor, subject.request("ok", name(STOPS + 1))).outcome, Succeeded)


def a_process_that_leaves_is_lost(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("exits", name(1)))
        assert isinstance(end.outcome, Lost)
        assert "exit status 3" in end.outcome.why
        assert subject.log(end.log) == b"about to leave\n"
        assert 0 < end.started_at <= end.ended_at
        still_works(executor, subject)


def processes_of_multiprocessing_work(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        for number, method in enumerate(("fork", "spawn", "forkserver", "fork")):
            end = run_one(executor, subject.request("pools", name(number), method=method))
            assert value_of(end.outcome) == 90, subject.log(end.log)
            assert b"Traceback" not in subject.log(end.log)
        assert value_of(run_one(executor, subject.request("terminates", name(9))).outcome) == -signal.SIGTERM


def a_process_that_crashes_has_failed(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        crashed = run_one(executor, subject.request("crashes", name(1)))
        killed = run_one(executor, subject.request("killed", name(2)))
        assert isinstance(crashed.outcome, Failed) and not crashed.outcome.final
        assert crashed.outcome.failure.type == "SIGSEGV"
        assert b"in crashes" in subject.log(crashed.log)
        assert isinstance(killed.outcome, Lost)
        assert "SIGKILL" in killed.outcome.why
        still_works(executor, subject)


def a_death_takes_nobody_along(subject: ProcessSubject) -> None:
    """Attempts that wait behind one whose process dies run all the same, each once."""
    ids = [f"run1/other/{number}#1" for number in range(60)]
    with closing(subject.open()) as executor:
        requests = [subject.request("ok", attempt_id) for attempt_id in ids]
        for position in (7, 21, 35):
            requests.insert(position, subject.request("exits", name(position)))
        executor.start(requests)
        ends = ends_of(executor, [request.attempt_id for request in requests])
        assert [value_of(ends[attempt_id].outcome) for attempt_id in ids] == [42] * len(ids)
        assert [subject.begun(attempt_id) for attempt_id in ids] == [1] * len(ids)
        assert {type(ends[name(position)].outcome) for position in (7, 21, 35)} == {Lost}


def a_signal_to_its_own_group_reaches_nobody_else(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1)), subject.request("kills_its_group", name(2))])
        wait_for_start(executor, [name(1)])
        assert isinstance(ends_of(executor, [name(2)])[name(2)].outcome, Lost)
        still_works(executor, subject)
        executor.stop(name(1), grace_ms=20_000)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)


def a_fork_that_comes_back_says_nothing(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("forks", name(1)), subject.request("forks", name(2))])
        ends = ends_of(executor, [name(1), name(2)])
        assert [value_of(ends[name(n)].outcome) for n in (1, 2)] == [7, 7]
        still_works(executor, subject)


def _nonsense(own: str, other: str) -> list[str]:
    """Frames that no worker sends: `own` is the attempt that sends them, `other` runs elsewhere."""
    ended = AttemptEnded(own, Succeeded({"output": Inline(1)}), started_at=1, ended_at=2, worker="w")
    whole = report_to_json(ended)
    wrong: list[object] = [
        [{"event": "ended"}],
        [{"event": "no such event"}],
        ["ended"],
        {"event": "ended"},
        [{**whole, "started_at": "yesterday"}],
        [{**whole, "ended_at": 2**80}],
        [{**whole, "usage": [1, 2, 3, 4, 5, 6]}],
        [{**whole, "outcome": {"kind": "splendid"}}],
        [{**whole, "outcome": {"kind": "succeeded", "outputs": {"another": {"value": 1}}}}],
        [{**whole, "attempt_id": "run9/nobody#1"}],
        [{**whole, "attempt_id": other}],
        [{"event": "observed", "items": [["metric", own, "loss"]]}],
        [{"event": "described", "description": {}}],
    ]
    return ["", "[", "7", *map(json.dumps, wrong)]


def a_worker_that_says_nonsense_is_ended(subject: ProcessSubject) -> None:
    """Its attempt is Lost; others go on, each once, and so does the executor."""
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(900))])
        wait_for_start(executor, [name(900)])
        for number, words in enumerate(_nonsense("run1/says#1", name(900))):
            own = f"run1/says/{number}#1"
            executor.start([subject.request("says", own, words=words.replace("run1/says#1", own))])
            executor.start([subject.request("ok", f"run1/next/{number}#1")])
            ends = ends_of(executor, [own, f"run1/next/{number}#1"])
            outcome = ends[own].outcome
            assert isinstance(outcome, Lost), (words, outcome)
            assert "cannot be understood" in outcome.why
            assert subject.begun(own) == 1
            after = ends[f"run1/next/{number}#1"].outcome
            assert (
                isinstance(after, Lost) or value_of(after) == 42
            )  # the same worker may have taken it before it was ended
            assert subject.begun(f"run1/next/{number}#1") == 1 or isinstance(after, Lost)
            still_works(executor, subject)
        executor.stop(name(900), grace_ms=20_000)
        assert isinstance(ends_of(executor, [name(900)])[name(900)].outcome, Cancelled)


def names_that_an_attempt_replaced_are_put_back(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        pid = value_of(run_one(executor, subject.request("replaces_names", name(1))).outcome)
        assert value_of(run_one(executor, subject.request("process", name(2))).outcome) != pid


def children_left_behind_end(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        for number, behaviour in enumerate(("leaves_child", "leaves_daemon")):
            pid = value_of(run_one(executor, subject.request(behaviour, name(number))).outcome)
            assert not started_ticks(pid)


def children_of_the_dead_end(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("leaves_children_and_dies", name(1)))
        assert isinstance(end.outcome, Lost)
        pids = [int(line.split()[1]) for line in subject.notes(name(1)).splitlines() if line.startswith("left")]
        assert len(pids) == 2
        assert [started_ticks(pid) for pid in pids] == [0, 0]


def threads_left_behind_are_not_met_again(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        first = value_of(run_one(executor, subject.request("leaves_thread", name(1))).outcome)
        assert value_of(run_one(executor, subject.request("process", name(2))).outcome) != first


def a_fresh_process_is_asked_for(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        pids = [
            value_of(run_one(executor, subject.request("process", name(n), fresh=n in (2, 3))).outcome)
            for n in range(6)
        ]
        assert pids[0] == pids[1] == pids[4] == pids[5]
        assert len({pids[0], pids[2], pids[3]}) == 3


def closing_leaves_no_process(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1)), subject.request("leaves_daemon", name(2))])
        wait_for_function(executor, subject, name(1))
        ends_of(executor, [name(2)])
        pid = int(subject.notes(name(1)).split()[1])
        assert started_ticks(pid)
    assert not started_ticks(pid)


# -- stopping --------------------------------------------------------------------------------------------------------------------


def the_stopped_may_tidy_up(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow_tidy", name(1))])
        wait_for_function(executor, subject, name(1))
        executor.stop(name(1), grace_ms=20_000)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)
        assert subject.notes(name(1)).splitlines()[1:] == ["tidied"]
        still_works(executor, subject)


def the_stubborn_are_killed_after_their_grace(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow_stubborn", name(1))])
        wait_for_function(executor, subject, name(1))
        pid = int(subject.notes(name(1)).split()[1])
        executor.stop(name(1), grace_ms=200)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)
        assert subject.notes(name(1)).splitlines()[1:] == ["asked"]
        assert not started_ticks(pid)


def a_grace_can_be_cut_short(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow_stubborn", name(1))])
        wait_for_function(executor, subject, name(1))
        executor.stop(name(1), grace_ms=3_600_000)
        wait_until(lambda: "asked" in subject.notes(name(1)))
        executor.stop(name(1), grace_ms=0)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)


def stopping_one_spares_the_others(subject: ProcessSubject) -> None:
    """Orders to stop that come as attempts end strike nobody else."""
    ids = [name(number) for number in range(200)]
    with closing(subject.open()) as executor:
        for attempt_id in ids:
            executor.start([subject.request("ok", attempt_id)])
            if len(attempt_id) % 2:
                executor.poll(1)
            executor.stop(attempt_id, grace_ms=0 if attempt_id.endswith("5/fit#1") else 50)
        ends = {r.attempt_id: r for r in reports_until(executor, _all_ended(set(ids))) if isinstance(r, AttemptEnded)}
        assert {type(end.outcome) for end in ends.values()} <= {Succeeded, Cancelled}
        still_works(executor, subject)


def _all_ended(wanted: set[str]) -> Callable[[Any], bool]:
    return lambda seen: wanted <= {r.attempt_id for r in seen if isinstance(r, AttemptEnded)}


# -- sizes and amounts ---------------------------------------------------------------------------------------------------


def large_requests_and_outcomes_travel(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        for number, size in enumerate((1_000, 60_000, 64_000)):
            text = "é" * (size // 2)
            end = run_one(executor, subject.request("echoes", name(number), text=text))
            assert value_of(end.outcome) == text


def attempts_overlap_as_far_as_they_fit(subject: ProcessSubject) -> None:
    ids = [name(number) for number in range(12)]
    with closing(subject.open()) as executor:
        executor.start(
            [
                subject.request("overlaps", attempt_id, cpu=2000 if n % 3 == 0 else 1000)
                for n, attempt_id in enumerate(ids)
            ]
        )
        ends_of(executor, ids)
    spans = [tuple(map(float, subject.notes(attempt_id).split())) for attempt_id in ids]
    costs = [2 if n % 3 == 0 else 1 for n in range(len(ids))]
    worst = max(
        sum(cost for (began, ended), cost in zip(spans, costs, strict=True) if began <= at < ended) for at, _ in spans
    )
    assert worst == subject.slots == 2


def what_could_never_fit_is_refused(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("ok", name(1), cpu=1_000_000))
        assert isinstance(end.outcome, Refused)
        assert "cpu" in end.outcome.why
        assert subject.begun(name(1)) == 0


def memory_and_time_are_measured(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("grows", name(1)))
        assert value_of(end.outcome) == 100_000_000
        assert 190_000_000 < end.usage.memory_bytes_peak < 600_000_000
        assert end.usage.cpu_ms > 0
        assert end.duration_us > 1_000_000


def the_hash_seed_is_fixed(subject: ProcessSubject) -> None:
    with closing(subject.open()) as executor:
        seeds = {
            value_of(run_one(executor, subject.request("hash_seed", name(n), fresh=True)).outcome) for n in range(2)
        }
    assert seeds == {0}


CHECKS: tuple[Callable[[ProcessSubject], None], ...] = (
    all_that_is_printed_is_in_the_log,
    a_hundred_megabytes_are_printed,
    closed_streams_are_opened_again,
    metrics_come_along,
    what_is_logged_is_heard_while_it_runs,
    a_process_that_leaves_is_lost,
    processes_of_multiprocessing_work,
    a_process_that_crashes_has_failed,
    a_death_takes_nobody_along,
    a_signal_to_its_own_group_reaches_nobody_else,
    a_fork_that_comes_back_says_nothing,
    a_worker_that_says_nonsense_is_ended,
    names_that_an_attempt_replaced_are_put_back,
    children_left_behind_end,
    children_of_the_dead_end,
    threads_left_behind_are_not_met_again,
    a_fresh_process_is_asked_for,
    closing_leaves_no_process,
    the_stopped_may_tidy_up,
    the_stubborn_are_killed_after_their_grace,
    a_grace_can_be_cut_short,
    stopping_one_spares_the_others,
    large_requests_and_outcomes_travel,
    attempts_overlap_as_far_as_they_fit,
    what_could_never_fit_is_refused,
    memory_and_time_are_measured,
    the_hash_seed_is_fixed,
)
