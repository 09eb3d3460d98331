"""A target is imported once for all workers of a run, wherever a fork of the process that imported it is as good as another."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from penstock.executors.local import LocalExecutor
from penstock.testing.conformance.executor import ends_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptRequest, DescribeRequest, FunctionRequest, Inline, Succeeded

TARGET = """
import os
import time
from pathlib import Path
from penstock import pipeline, task

IMPORTS = Path(__file__).with_name("imports.txt")
IMPORTS.open("a").write(f"{os.getpid()}\\n")
EFFECT

@task
def meet(others: str) -> int:
    Path(others).joinpath(str(os.getpid())).touch()
    until = time.monotonic() + 30
    while len(os.listdir(others)) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    return os.getpid()

@pipeline
def p(others: str):
    return meet(others)
"""
SOUND = {
    "nothing": "",
    "pandas": "import pandas",
    "a file that is closed again": "Path(__file__).read_text()",
    "a thread that has ended": "import threading; each = threading.Thread(target=print); each.start(); each.join()",
}
UNSOUND = {
    "a thread": "import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "an open file": "handle = open(__file__)",
    "a socket": "import socket; here, there = socket.socketpair()",
    "a database": "import sqlite3; connection = sqlite3.connect(f'{IMPORTS}.db'); connection.execute('pragma user_version = 1')",
    "shared memory": "import mmap; shared = mmap.mmap(-1, 4096)",
}


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    executor = LocalSubject(tmp_path).open()
    yield executor
    executor.close()


def described(executor: LocalExecutor, folder: Path, effect: str) -> str:
    (folder / "target.py").write_text(TARGET.replace("EFFECT", effect))
    description = executor.describe(DescribeRequest("target.py", str(folder)))
    assert description.error == "" and description.failure is None, description
    return description.pin


def two_at_once(executor: LocalExecutor, folder: Path, pin: str, *, number: int = 1) -> set[int]:
    """The processes of two attempts that wait for each other."""
    others = folder / f"others-{number}"
    others.mkdir()
    component = FunctionRequest("target", "meet", {"others": {"name": "str"}}, {"output": {"name": "int"}}, pin)
    ids = [f"run1/meet-{each}#{number}" for each in "ab"]
    inputs = {"others": Inline(str(others))}
    executor.start([AttemptRequest(each, component, inputs, seed=1, amounts={"cpu": 1000}) for each in ids])
    outcomes = [end.outcome for end in ends_of(executor, ids).values()]
    assert all(isinstance(outcome, Succeeded) for outcome in outcomes), outcomes
    return {outcome.outputs["output"].value for outcome in outcomes}  # type: ignore[union-attr]


def imports(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "imports.txt").read_text().split()]


@pytest.mark.parametrize("effect", SOUND.values(), ids=SOUND)
def test_a_second_worker_does_not_import_again(executor: LocalExecutor, tmp_path: Path, effect: str) -> None:
    pids = two_at_once(executor, tmp_path, described(executor, tmp_path, effect))
    assert len(pids) == 2
    assert len(imports(tmp_path)) == 1 and imports(tmp_path)[0] not in pids


@pytest.mark.parametrize("effect", UNSOUND.values(), ids=UNSOUND)
def test_a_process_whose_fork_would_share_something_is_not_forked(
    executor: LocalExecutor, tmp_path: Path, effect: str
) -> None:
    pids = two_at_once(executor, tmp_path, described(executor, tmp_path, effect))
    assert sorted(imports(tmp_path)) == sorted(pids)


def test_workers_are_the_keepers_children_and_leaders_of_their_own_sessions(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    pids = two_at_once(executor, tmp_path, described(executor, tmp_path, ""))
    assert {psutil.Process(pid).ppid() for pid in pids} == {executor.keeper_pid}
    assert {os.getsid(pid) for pid in pids} == pids


def test_without_its_preloaded_parent_a_pool_goes_on(executor: LocalExecutor, tmp_path: Path) -> None:
    pin = described(executor, tmp_path, "")
    first = two_at_once(executor, tmp_path, pin)
    (parent,) = imports(tmp_path)
    for pid in (parent, *first):
        os.kill(pid, signal.SIGKILL)
    second = two_at_once(executor, tmp_path, pin, number=2)
    assert not first & second
    assert sorted(imports(tmp_path)) == sorted([parent, *second])


def test_a_parent_that_hangs_is_ended_and_done_without(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = described(executor, tmp_path, "")
    (parent,) = imports(tmp_path)
    os.kill(parent, signal.SIGSTOP)
    pids = two_at_once(executor, tmp_path, pin)
    assert sorted(imports(tmp_path)) == sorted([parent, *pids])
    assert not psutil.pid_exists(parent) or psutil.Process(parent).status() == psutil.STATUS_ZOMBIE


def test_closing_ends_the_parent_too(tmp_path: Path) -> None:
    executor = LocalSubject(tmp_path).open()
    described(executor, tmp_path, "")
    (parent,) = imports(tmp_path)
    assert psutil.pid_exists(parent)
    executor.close()
    assert not psutil.pid_exists(parent)
