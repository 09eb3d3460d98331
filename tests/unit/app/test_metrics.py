"""Which numbers of several attempts count: those of the newest, and what it went on from."""

from __future__ import annotations

from penstock.app.logged import metrics_of
from penstock.wire import Observation


def logged(attempt: str, *steps: int | None, name: str = "loss") -> list[Observation]:
    number = int(attempt.rpartition("#")[2])
    return [Observation(attempt, name, 100.0 * number + (step or 0), step, 0) for step in steps]


def told(*observations: list[Observation]) -> list[tuple[str, int, float, int | None, float]]:
    found = metrics_of([each for some in observations for each in some])
    return [(each.name, each.count, each.last, each.step, each.least) for each in found]


def test_what_a_checkpoint_goes_on_from_stays() -> None:
    assert told(logged("r/a#1", 0, 1, 2), logged("r/a#2", 3, 4, 5)) == [("loss", 6, 205.0, 5, 100.0)]


def test_steps_that_were_made_again_count_once() -> None:
    first, second, third = logged("r/a#1", 0, 1, 2, 3), logged("r/a#2", 2, 3, 4), logged("r/a#3", 4)
    assert told(first, second, third) == [("loss", 5, 304.0, 4, 100.0)]
    assert told(third, first, second) == [("loss", 5, 304.0, 4, 100.0)]


def test_an_attempt_that_began_at_the_beginning_counts_alone() -> None:
    assert told(logged("r/a#1", 0, 1, 2), logged("r/a#2", 0)) == [("loss", 1, 200.0, 0, 200.0)]


def test_numbers_without_steps_are_of_the_newest_attempt() -> None:
    assert told(logged("r/a#1", None, None), logged("r/a#2", None)) == [("loss", 1, 200.0, None, 200.0)]
    assert told(logged("r/a#1", 0, 1), logged("r/a#2", None)) == [("loss", 1, 200.0, None, 200.0)]


def test_a_run_that_retries_another_goes_on_from_it() -> None:
    assert told(logged("old/a#2", 0, 1), logged("new/a#1", 2)) == [("loss", 3, 102.0, 2, 102.0)]
    assert told(logged("old/a#1", 0, name="x"), logged("new/a#1", 1)) == [
        ("loss", 1, 101.0, 1, 101.0),
        ("x", 1, 100.0, 0, 100.0),
    ]
