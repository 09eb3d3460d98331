"""The kernel's own end for want of memory, in a control group made for it, and libraries that keep processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.testing.conformance.executor import ends_of, name
from penstock.testing.conformance.executor_processes import run_one, value_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptRequest, Failed, FunctionRequest, Inline, OutOfMemory

LIMIT_BYTES = 300_000_000


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes may use 300 MB together."""
    for root, limit in (("memory", "memory.limit_in_bytes"), (".", "memory.max")):
        group = Path("/sys/fs/cgroup", root, f"penstock-test-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group with a memory limit can be made here")


def test_killed_for_want_of_memory(small_group: Path, tmp_path: Path) -> None:
    subject = LocalSubject(tmp_path)
    executor = subject.open_expendable()
    for pid in (executor.process.pid, executor.ask("keeper_pid")):
        (small_group / "cgroup.procs").write_text(str(pid))
    try:
        executor.start([subject.request("swallows_memory", name(1))])
        end = ends_of(executor, [name(1)])[name(1)]
        assert isinstance(end.outcome, OutOfMemory)
        assert "memory" in end.outcome.why
        executor.start([subject.request("ok", name(2)), subject.request("killed", name(3))])
        ends = ends_of(executor, [name(2), name(3)])
        assert value_of(ends[name(2)].outcome) == 42
        assert not isinstance(ends[name(3)].outcome, OutOfMemory), "a kill of another's is told apart"
    finally:
        executor.close()


def test_processes_that_joblib_keeps(tmp_path: Path) -> None:
    """Each attempt finds joblib working, whatever an earlier one left behind."""
    subject = LocalSubject(tmp_path)
    executor = subject.open()
    try:
        for number in range(3):
            end = run_one(executor, subject.request("joblib_processes", name(number)))
            assert value_of(end.outcome) == 90, subject.log(end.log)
            assert b"Traceback" not in subject.log(end.log)
    finally:
        executor.close()


BROKEN_POOL = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def swallow(size):
    return len(bytearray(b"x" * size))


def in_a_pool(size: int) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(swallow, size).result()


def dies_in_a_pool(size: int) -> int:
    import os
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(os._exit, 3).result()
"""


def test_a_child_that_the_kernel_kills_is_want_of_memory(small_group: Path, tmp_path: Path) -> None:
    """The task lives, and sees a pool that is broken; only the kernel's counter tells why."""
    subject = LocalSubject(tmp_path)
    (tmp_path / "pools.py").write_text(BROKEN_POOL)
    executor = subject.open_expendable()
    for pid in (executor.process.pid, executor.ask("keeper_pid")):
        (small_group / "cgroup.procs").write_text(str(pid))

    def end_of(function: str, number: int, size: int) -> object:
        component = FunctionRequest("pools", function, {"size": {"name": "int"}}, {"output": {"name": "int"}}, pin="")
        executor.start([AttemptRequest(name(number), component, {"size": Inline(size)}, 1, amounts={"cpu": 1000})])
        return ends_of(executor, [name(number)])[name(number)].outcome

    try:
        assert value_of(end_of("in_a_pool", 1, 1_000)) == 1_000
        starved = end_of("in_a_pool", 2, 2 * LIMIT_BYTES)
        assert isinstance(starved, OutOfMemory), starved
        assert "the kernel killed a process of the task" in starved.why
        assert isinstance(end_of("dies_in_a_pool", 3, 1), Failed), "a pool that broke for another cause is told apart"
    finally:
        executor.close()
