"""Asking the local executor what is behind a target: in a worker, whatever the target does."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.executors.local import LocalExecutor
from penstock.launcher.outer.processes import started_ticks
from penstock.testing.conformance.executor import ends_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptRequest, DescribeRequest, Description, FunctionRequest, Inline, Succeeded

FLIGHTS = """
import os
from penstock import pipeline, task

@task
def process(loaded: int = os.getpid()) -> list[int]:
    return [loaded, os.getpid()]

@pipeline
def flights():
    return process()
"""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    executor = LocalSubject(tmp_path).open()
    yield executor
    executor.close()


def describe(executor: LocalExecutor, folder: Path, text: str, *, name: str = "flights.py") -> Description:
    (folder / name).write_text(text)
    return executor.describe(DescribeRequest(name, str(folder)))


def pids_of(executor: LocalExecutor, pin: str, *, number: int = 1) -> list[int]:
    """The process that imported the module, and the one that ran the task."""
    outputs = {"output": {"name": "list", "item": {"name": "int"}}}
    component = FunctionRequest("flights", "process", {}, outputs, pin)
    attempt_id = f"run1/process#{number}"
    executor.start([AttemptRequest(attempt_id, component, {}, seed=1, amounts={"cpu": 1000})])
    outcome = ends_of(executor, [attempt_id])[attempt_id].outcome
    assert isinstance(outcome, Succeeded), outcome
    output = outcome.outputs["output"]
    if isinstance(output, Inline):
        return list(output.value)
    return [item.value for item in output.items]  # type: ignore[union-attr]


def test_workers_are_forked_from_the_process_that_described(executor: LocalExecutor, tmp_path: Path) -> None:
    description = describe(executor, tmp_path, FLIGHTS)
    assert description.pipelines == ("flights",)
    assert description.graph is not None
    assert description.error == ""
    imported, ran = pids_of(executor, description.pin)
    assert len({imported, ran, os.getpid()}) == 3
    assert pids_of(executor, description.pin, number=2) == [imported, ran]


def test_describing_the_same_again_keeps_the_warm_worker(executor: LocalExecutor, tmp_path: Path) -> None:
    first = describe(executor, tmp_path, FLIGHTS)
    pids = pids_of(executor, first.pin)
    second = describe(executor, tmp_path, FLIGHTS)
    assert second.pin == first.pin
    assert pids_of(executor, second.pin, number=2) == pids


def test_changed_code_is_another_pin_and_another_worker(executor: LocalExecutor, tmp_path: Path) -> None:
    first = describe(executor, tmp_path, FLIGHTS)
    second = describe(executor, tmp_path, FLIGHTS + "\nCHANGED = 1\n")
    assert first.pin != second.pin
    assert pids_of(executor, first.pin) != pids_of(executor, second.pin, number=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nprint('so far', flush=True)\nos._exit(4)", ["exit status 4", "so far"]),
        ("import os\nos.kill(os.getpid(), 11)", ["signal 11"]),
    ],
    ids=["exits", "crashes"],
)
def test_a_target_that_ends_its_process(executor: LocalExecutor, tmp_path: Path, text: str, said: list[str]) -> None:
    description = describe(executor, tmp_path, text)
    assert description.graph is None
    assert all(part in description.error for part in ["flights.py", *said])
    assert describe(executor, tmp_path, FLIGHTS, name="other.py").error == ""


def test_a_target_that_raises(executor: LocalExecutor, tmp_path: Path) -> None:
    description = describe(executor, tmp_path, "x = 1\nraise ValueError('no data')\n")
    assert description.failure is not None
    assert description.failure.message == "no data"
    assert "line 2" in description.failure.traceback


def test_attempts_go_on_while_a_target_is_imported(executor: LocalExecutor, tmp_path: Path) -> None:
    pin = describe(executor, tmp_path, FLIGHTS).pin
    gate = tmp_path / "gate"
    text = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n" + FLIGHTS
    answers: list[Description] = []
    thread = threading.Thread(target=lambda: answers.append(describe(executor, tmp_path, text, name="long.py")))
    thread.start()
    for number in range(20):
        pids_of(executor, pin, number=number)
    assert answers == []
    gate.touch()
    thread.join()
    assert answers[0].error == ""


def test_closing_leaves_no_described_worker(tmp_path: Path) -> None:
    executor = LocalSubject(tmp_path).open()
    pid = pids_of(executor, describe(executor, tmp_path, FLIGHTS).pin)[0]
    executor.close()
    assert not started_ticks(pid)
