"""What every executor keeps to. `CHECKS` are functions of a `Subject`; a test runs each of them over its own executor:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_executor(check, tmp_path): check(MySubject(tmp_path))

Each check gets a subject of its own, in which nothing runs, and closes what it opens. An executor that fails a check raises
AssertionError. What only executors of real processes can show is in `executor_processes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Protocol

from penstock.effects import Executor
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    AttemptStarted,
    Cancelled,
    Failed,
    Lost,
    NotYet,
    Refused,
    Report,
    Skipped,
    Succeeded,
)

POLL_MS = 100
POLLS_MAX = 400
"""A check waits at most 40 s of the executor's own time for what must come."""


class Subject(Protocol):
    """An executor under test and what a check needs around it. `slots` is how many of its requests run at once."""

    slots: int

    def open(self) -> Executor:
        """The executor of a new controller; the attempts of earlier controllers are there to be adopted."""
        ...

    def open_expendable(self) -> Executor:
        """The same, for a controller that `crash` can end."""
        ...

    def crash(self, executor: Executor) -> None:
        """End that controller as SIGKILL does."""
        ...

    def request(self, behaviour: str, attempt_id: str) -> AttemptRequest:
        """An attempt that does what its behaviour says (`testing.conformance.behaviours`: `ok`, `spoils`, `fails`,
        `final`, `skips`, `later1`, and `slow`, which never ends by itself)."""
        ...

    def begun(self, attempt_id: str) -> int:
        """How often the attempt's function has been called."""
        ...


def name(number: int) -> str:
    return f"run1/train/{number}/fit#1"


def reports_until(executor: Executor, is_enough: Callable[[Sequence[Report]], bool]) -> list[Report]:
    """Poll until the reports are enough. Raises AssertionError when they never are."""
    reports: list[Report] = []
    for _ in range(POLLS_MAX):
        if is_enough(reports):
            return reports
        reports.extend(executor.poll(POLL_MS))
    raise AssertionError(f"waited in vain; what came: {reports}")


def ends_of(executor: Executor, attempt_ids: Iterable[str], *, acknowledge: bool = True) -> dict[str, AttemptEnded]:
    """Wait until these attempts have ended."""
    wanted = set(attempt_ids)
    reports = reports_until(
        executor, lambda seen: wanted <= {r.attempt_id for r in seen if isinstance(r, AttemptEnded)}
    )
    if acknowledge:
        executor.acknowledge(wanted)
    return {report.attempt_id: report for report in reports if isinstance(report, AttemptEnded)}


def wait_for_start(executor: Executor, attempt_ids: Iterable[str]) -> dict[str, AttemptStarted]:
    wanted = set(attempt_ids)
    reports = reports_until(
        executor, lambda seen: wanted <= {r.attempt_id for r in seen if isinstance(r, AttemptStarted)}
    )
    return {report.attempt_id: report for report in reports if isinstance(report, AttemptStarted)}


class Counting(Protocol):
    def begun(self, attempt_id: str) -> int: ...


def wait_for_function(executor: Executor, subject: Counting, attempt_id: str) -> None:
    """Wait until an attempt's function has been called. Raises AssertionError when it never is."""
    wait_for_start(executor, [attempt_id])
    for _ in range(POLLS_MAX):
        if subject.begun(attempt_id):
            return
        executor.poll(POLL_MS)
    raise AssertionError(f"{attempt_id} has started and does nothing")


# -- starting and ending -------------------------------------------------------------------------------------------------------


def an_attempt_ends_and_says_when(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", name(1))])
        end = ends_of(executor, [name(1)])[name(1)]
        assert isinstance(end.outcome, Succeeded)
        assert 0 < end.started_at <= end.ended_at
        assert end.duration_us >= 0
        assert end.worker
        assert subject.begun(name(1)) == 1


def outcomes_are_told_apart(subject: Subject) -> None:
    expected = {"ok": Succeeded, "fails": Failed, "final": Failed, "skips": Skipped, "later1": NotYet}
    with closing(subject.open()) as executor:
        ids = {behaviour: f"run1/{behaviour}#1" for behaviour in expected}
        executor.start([subject.request(behaviour, attempt_id) for behaviour, attempt_id in ids.items()])
        ends = ends_of(executor, ids.values())
        outcomes = {behaviour: ends[attempt_id].outcome for behaviour, attempt_id in ids.items()}
        assert {behaviour: type(outcome) for behaviour, outcome in outcomes.items()} == expected
        fails, final = outcomes["fails"], outcomes["final"]
        assert isinstance(fails, Failed)
        assert isinstance(final, Failed)
        assert not fails.final
        assert fails.failure.type.endswith("ValueError")
        assert final.final


def many_attempts_all_end(subject: Subject) -> None:
    ids = [name(number) for number in range(subject.slots * 3 + 20)]
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", attempt_id) for attempt_id in ids])
        ends = ends_of(executor, ids)
        assert all(isinstance(ends[attempt_id].outcome, Succeeded) for attempt_id in ids)
        assert [subject.begun(attempt_id) for attempt_id in ids] == [1] * len(ids)


def attempts_that_spoil_their_process_take_nobody_along(subject: Subject) -> None:
    """Whoever waits behind one whose process is not used again runs all the same, once; also behind the last one."""
    ids = [name(number) for number in range(subject.slots * 3 + 2)]
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", name(900))])
        ends_of(executor, [name(900)])
        executor.start([subject.request("spoils", attempt_id) for attempt_id in ids])
        ends = ends_of(executor, ids)
        assert all(isinstance(ends[attempt_id].outcome, Succeeded) for attempt_id in ids)
        assert [subject.begun(attempt_id) for attempt_id in ids] == [1] * len(ids)


def an_id_is_started_once(subject: Subject) -> None:
    request = subject.request("ok", name(1))
    with closing(subject.open()) as executor:
        executor.start([request, request])
        executor.start([request])
        ends_of(executor, [name(1)], acknowledge=False)
        executor.start([request])
        executor.acknowledge([name(1)])
        executor.start([request, subject.request("ok", name(2))])
        ends_of(executor, [name(2)])
        executor.poll(POLL_MS)
        assert subject.begun(name(1)) == 1


def an_end_is_reported_until_acknowledged(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", name(1))])
        first = ends_of(executor, [name(1)], acknowledge=False)
        again = ends_of(executor, [name(1)], acknowledge=True)
        assert first == again
        executor.poll(0)  # what was on its way
        assert [report for _ in range(10) for report in executor.poll(POLL_MS)] == []


def acknowledging_the_unknown_does_nothing(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.acknowledge([name(1), name(2)])
        executor.start([subject.request("ok", name(1))])
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Succeeded)
        executor.acknowledge([name(1)])


def a_long_attempt_is_reported_as_started(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1))])
        started = wait_for_start(executor, [name(1)])[name(1)]
        assert started.at > 0
        executor.stop(name(1), grace_ms=0)
        assert ends_of(executor, [name(1)])[name(1)].started_at == started.at


def no_more_run_than_fit(subject: Subject) -> None:
    ids = [name(number) for number in range(subject.slots)]
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", attempt_id) for attempt_id in ids])
        wait_for_start(executor, ids)
        executor.start([subject.request("ok", name(900))])
        executor.poll(POLL_MS)
        assert subject.begun(name(900)) == 0
        executor.stop(ids[0], grace_ms=0)
        ends_of(executor, [ids[0], name(900)])
        for attempt_id in ids[1:]:
            executor.stop(attempt_id, grace_ms=0)
        ends_of(executor, ids[1:])


def capacity_is_reported(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        capacity = executor.capacity()
        assert capacity.executor == executor.name
        assert capacity.amounts["cpu"] > 0


# -- stopping --------------------------------------------------------------------------------------------------------------------


def stopping_ends_an_attempt(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1))])
        wait_for_start(executor, [name(1)])
        executor.stop(name(1), grace_ms=20_000)
        executor.stop(name(1), grace_ms=20_000)
        end = ends_of(executor, [name(1)])[name(1)]
        assert isinstance(end.outcome, Cancelled)
        assert 0 < end.started_at <= end.ended_at


def stopping_without_grace_ends_an_attempt(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1))])
        wait_for_start(executor, [name(1)])
        executor.stop(name(1), grace_ms=0)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)


def what_is_stopped_right_away_ends(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        for number, grace_ms in enumerate([0, 20_000, 0, 20_000]):
            executor.start([subject.request("slow", name(number))])
            executor.stop(name(number), grace_ms=grace_ms)
        ends = ends_of(executor, map(name, range(4)))
        assert {type(end.outcome) for end in ends.values()} == {Cancelled}


def what_has_not_begun_never_begins_once_stopped(subject: Subject) -> None:
    ids = [name(number) for number in range(subject.slots)]
    late = [name(900), name(901), name(902)]
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", attempt_id) for attempt_id in ids])
        wait_for_start(executor, ids)
        executor.start([subject.request("ok", attempt_id) for attempt_id in late])
        executor.stop(late[1], grace_ms=20_000)
        assert isinstance(ends_of(executor, [late[1]])[late[1]].outcome, Cancelled)
        for attempt_id in ids:
            executor.stop(attempt_id, grace_ms=0)
        ends_of(executor, [*ids, late[0], late[2]])
        assert [subject.begun(attempt_id) for attempt_id in late] == [1, 0, 1]


def stopping_what_has_ended_or_is_unknown_does_nothing(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.stop(name(7), grace_ms=0)
        executor.start([subject.request("ok", name(1))])
        first = ends_of(executor, [name(1)], acknowledge=False)
        executor.stop(name(1), grace_ms=0)
        executor.acknowledge([name(1)])
        executor.stop(name(1), grace_ms=1_000)
        executor.start([subject.request("ok", name(2))])
        second = ends_of(executor, [name(2)])
        assert isinstance(first[name(1)].outcome, Succeeded)
        assert isinstance(second[name(2)].outcome, Succeeded)


# -- adopting --------------------------------------------------------------------------------------------------------------------


def a_recorded_end_is_adopted(subject: Subject) -> None:
    first = subject.open_expendable()
    first.start([subject.request("ok", name(1)), subject.request("fails", name(2))])
    before = ends_of(first, [name(1), name(2)], acknowledge=False)
    subject.crash(first)
    with closing(subject.open()) as executor:
        executor.adopt([name(1), name(2)])
        after = ends_of(executor, [name(1), name(2)])
        assert {attempt_id: end.outcome for attempt_id, end in after.items()} == {
            attempt_id: end.outcome for attempt_id, end in before.items()
        }
        assert subject.begun(name(1)) == 1


def what_ran_is_lost_or_watched(subject: Subject) -> None:
    first = subject.open_expendable()
    first.start([subject.request("slow", name(1))])
    wait_for_function(first, subject, name(1))
    subject.crash(first)
    with closing(subject.open()) as executor:
        executor.adopt([name(1)])
        reports = reports_until(executor, lambda seen: any(r.attempt_id == name(1) for r in seen))
        if isinstance(reports[0], AttemptStarted):
            executor.stop(name(1), grace_ms=0)
            assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)
        else:
            assert isinstance(reports[0].outcome, Lost)
        assert subject.begun(name(1)) == 1


def what_never_started_is_refused_and_never_starts(subject: Subject) -> None:
    ids = [name(number) for number in range(subject.slots)]
    first = subject.open_expendable()
    first.start([subject.request("slow", attempt_id) for attempt_id in ids])
    wait_for_start(first, ids)
    first.start([subject.request("ok", name(900))])
    subject.crash(first)
    with closing(subject.open()) as executor:
        executor.adopt([name(900), name(901)])
        ends = ends_of(executor, [name(900), name(901)])
        assert isinstance(ends[name(900)].outcome, Refused)
        assert isinstance(ends[name(901)].outcome, Refused)
        executor.start([subject.request("ok", name(900)), subject.request("ok", name(901))])
        executor.poll(POLL_MS)
        assert subject.begun(name(900)) == subject.begun(name(901)) == 0


def its_own_attempts_are_adopted(subject: Subject) -> None:
    """A controller that has thrown its engine away asks again for what it gave out itself."""
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1)), subject.request("ok", name(2))])
        wait_for_function(executor, subject, name(1))
        executor.adopt([name(1), name(2)])
        assert isinstance(ends_of(executor, [name(2)])[name(2)].outcome, Succeeded)
        executor.adopt([name(1)])
        wait_for_start(executor, [name(1)])
        executor.stop(name(1), grace_ms=0)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)
        assert subject.begun(name(1)) == subject.begun(name(2)) == 1


def closing_ends_what_runs(subject: Subject) -> None:
    with closing(subject.open()) as executor:
        executor.start([subject.request("slow", name(1)), subject.request("ok", name(2))])
        wait_for_start(executor, [name(1)])
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", name(3))])
        ends_of(executor, [name(3)])


CHECKS: tuple[Callable[[Subject], None], ...] = (
    an_attempt_ends_and_says_when,
    outcomes_are_told_apart,
    many_attempts_all_end,
    attempts_that_spoil_their_process_take_nobody_along,
    an_id_is_started_once,
    an_end_is_reported_until_acknowledged,
    acknowledging_the_unknown_does_nothing,
    a_long_attempt_is_reported_as_started,
    no_more_run_than_fit,
    capacity_is_reported,
    stopping_ends_an_attempt,
    stopping_without_grace_ends_an_attempt,
    what_is_stopped_right_away_ends,
    what_has_not_begun_never_begins_once_stopped,
    stopping_what_has_ended_or_is_unknown_does_nothing,
    a_recorded_end_is_adopted,
    what_ran_is_lost_or_watched,
    what_never_started_is_refused_and_never_starts,
    its_own_attempts_are_adopted,
    closing_ends_what_runs,
)
