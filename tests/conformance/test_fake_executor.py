"""The fake executor keeps to what every executor keeps to, on its fake clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from penstock.base.ids import split_attempt_id
from penstock.effects import Executor
from penstock.testing import fakes
from penstock.testing.clock import FakeClock
from penstock.testing.conformance.executor import CHECKS, Subject
from penstock.testing.executor import FakeExecutor, Mishaps, World
from penstock.wire import AttemptRequest, FunctionRequest


class FakeSubject:
    """`gentle`: attempts go on when their controller has crashed."""

    slots = 2

    def __init__(self, *, gentle: bool, mishaps: Mishaps) -> None:
        self._gentle = gentle
        self._world = World(FakeClock(), Random("conformance"), {"cpu": 2_000}, mishaps=mishaps)

    def open(self) -> FakeExecutor:
        return FakeExecutor(self._world)

    def open_expendable(self) -> FakeExecutor:
        return FakeExecutor(self._world)

    def crash(self, executor: Executor) -> None:
        assert isinstance(executor, FakeExecutor)
        executor.crash(survive=self._gentle)

    def request(self, behaviour: str, attempt_id: str) -> AttemptRequest:
        assert split_attempt_id(attempt_id)
        component = FunctionRequest(fakes.MODULE, f"{behaviour}_f", {}, {"output": {"name": "int"}}, pin="")
        return AttemptRequest(attempt_id, component, {}, seed=1, amounts={"cpu": 1_000})

    def begun(self, attempt_id: str) -> int:
        return self._world.started.count(attempt_id)


@pytest.mark.parametrize("gentle", [True, False], ids=["survive", "die"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_fake_executor(check: Callable[[Subject], None], gentle: bool) -> None:
    check(FakeSubject(gentle=gentle, mishaps=Mishaps()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_fake_executor_with_an_unreliable_post(check: Callable[[Subject], None]) -> None:
    if check.__name__ in ("an_end_is_reported_until_acknowledged", "many_attempts_all_end"):
        mishaps = Mishaps(report_lost=0.5)  # doubled and late reports may still be on their way when nothing should be
    else:
        mishaps = Mishaps(report_lost=0.3, report_doubled=0.3, report_delayed=0.3)
    check(FakeSubject(gentle=True, mishaps=mishaps))
