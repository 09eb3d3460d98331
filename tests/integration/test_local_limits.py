"""Declared limits hold for real process trees: an attempt that goes beyond is ended before it is far beyond, is told apart from
a bug, and says where it stood.

How much a hog had written when it was killed is read from a file that it maps and counts in, so nothing is lost with it. Its
rate is of its own making: at 1 GB/s it may pass its limit by no more than a fifth."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.executors.local import LocalExecutor
from penstock.launcher.outer.processes import descendants_of
from penstock.testing.conformance.executor import ends_of, name
from penstock.testing.conformance.executor_processes import run_one, value_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptEnded, AttemptRequest, Failed, FunctionRequest, Inline, OutOfMemory, Succeeded

MIB = 1 << 20
GB_S = 1_000_000_000
HOGS = "hogs"

SOURCE = '''
import mmap, multiprocessing, os, struct, sys, threading, time

CHUNK = 1 << 20
MiB = 1 << 20


def hog(counter: str, rate: int, until: int, slot: int = 0) -> int:
    """Write to fresh memory at so many bytes a second; count them in the file."""
    with open(counter, "r+b") as file:
        counted = mmap.mmap(file.fileno(), 4096)
    held, began = [], time.monotonic()
    page = b"x" * CHUNK
    while len(held) * CHUNK < until:
        held.append(bytearray(page))
        struct.pack_into("<Q", counted, 8 * slot, len(held) * CHUNK)
        ahead = len(held) * CHUNK / rate - (time.monotonic() - began)
        if ahead > 0.001:
            time.sleep(ahead)
    return len(held) * CHUNK


def hog_in_threads(counter: str, rate: int, until: int) -> int:
    threads = [threading.Thread(target=hog, args=(counter, rate // 2, until, n), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def hog_in_processes(counter: str, rate: int, until: int) -> int:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=hog, args=(counter, rate // 2, until, n)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return 0


def hog_in_native_code(counter: str, rate: int, until: int) -> int:
    """Python does not come to a word: one call writes it all."""
    import ctypes
    size = until
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = (ctypes.c_char * size).from_buffer(memory)
    ctypes.pythonapi.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    ctypes.pythonapi.memset(ctypes.addressof(view), 1, size)
    return 0


def raises_memory_error(counter: str, rate: int, until: int) -> int:
    ballast = bytearray(b"x" * (8 * MiB))
    return len(grow(ballast))


def grow(ballast):
    rows = [bytes(MiB) for _ in range(20)]
    return bytearray(1 << 60)


def raises_of_cuda(counter: str, rate: int, until: int) -> int:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB (GPU 0; 15.90 GiB total capacity)")


def writes_to_disk(counter: str, rate: int, until: int) -> int:
    from penstock import context
    folder = context().scratch / "deep" / "er"
    folder.mkdir(parents=True)
    for number in range(until // CHUNK):
        (folder / str(number)).write_bytes(os.urandom(CHUNK))
        time.sleep(CHUNK / rate)
    return until


def writes_and_returns(counter: str, rate: int, until: int) -> int:
    from penstock import context
    (context().scratch / "all").write_bytes(os.urandom(until))
    return until


def maps_a_file(counter: str, rate: int, until: int) -> int:
    """Memory-mapped files are not the task's (semantics 29)."""
    with open(counter + ".large", "w+b") as file:
        file.truncate(until)
        mapped = mmap.mmap(file.fileno(), until)
        for at in range(0, until, 4096):
            mapped[at] = 1
    return until
'''


class Hogs(LocalSubject):
    """Runs functions of the source above with limits."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        (folder / f"{HOGS}.py").write_text(SOURCE)
        self.counter = folder / "counter"
        self.counter.write_bytes(bytes(4096))

    def hog(
        self, function: str, number: int, *, memory: int | None = None, disk: int | None = None, rate: int, until: int
    ) -> AttemptRequest:
        given = {"counter": str(self.counter), "rate": rate, "until": until}
        types = {key: {"name": type(value).__name__} for key, value in given.items()}
        component = FunctionRequest(HOGS, function, types, {"output": {"name": "int"}}, pin="")
        inputs = {key: Inline(value) for key, value in given.items()}
        amounts = {"cpu": 1000, **({"memory": memory} if memory else {})}
        return AttemptRequest(
            name(number), component, inputs, 1, amounts=amounts, memory_bytes_max=memory, disk_bytes_max=disk
        )

    def counted(self) -> int:
        """How much the hogs have written."""
        return sum(struct.unpack("<512Q", self.counter.read_bytes()))


@pytest.fixture
def hogs(tmp_path: Path) -> Hogs:
    return Hogs(tmp_path)


@pytest.fixture
def executor(hogs: Hogs) -> Iterator[LocalExecutor]:
    with closing(hogs.open()) as executor:
        run_one(executor, hogs.hog("hog", 900, rate=GB_S, until=MIB))  # a warm worker
        hogs.counter.write_bytes(bytes(4096))
        yield executor


def passed(end: AttemptEnded, limit: int) -> OutOfMemory:
    assert isinstance(end.outcome, OutOfMemory), end.outcome
    assert end.outcome.limit_bytes == limit
    assert limit < end.outcome.peak_bytes == end.usage.memory_bytes_peak
    return end.outcome


@pytest.mark.parametrize("limit", [200 * MIB, 400 * MIB, 1000 * MIB], ids=lambda limit: f"{limit // MIB}MiB")
@pytest.mark.parametrize("function", ["hog", "hog_in_threads", "hog_in_processes"])
def test_a_hog_is_stopped_before_it_passes_its_limit_by_a_fifth(
    executor: LocalExecutor, hogs: Hogs, function: str, limit: int
) -> None:
    end = run_one(executor, hogs.hog(function, 1, memory=limit, rate=GB_S, until=4 * limit))
    outcome = passed(end, limit)
    assert "its limit is" in outcome.why
    assert abs(time.time() * 1000 - outcome.at) < 60_000
    assert hogs.counted() < 1.2 * limit, f"{hogs.counted() / limit:.2f} of its limit"
    keeper = executor.keeper_pid
    assert keeper is not None
    settle_until(lambda: len(descendants_of(keeper)) <= 1)  # whatever it started has gone too


def settle_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_who_stays_below_the_limit_is_left_alone(executor: LocalExecutor, hogs: Hogs) -> None:
    end = run_one(executor, hogs.hog("hog", 1, memory=400 * MIB, rate=GB_S, until=300 * MIB))
    assert value_of(end.outcome) == 300 * MIB
    assert 100 * MIB < end.usage.memory_bytes_peak < 400 * MIB


def test_only_declared_limits_end_anything(executor: LocalExecutor, hogs: Hogs) -> None:
    request = replace(hogs.hog("hog", 1, rate=GB_S, until=300 * MIB), amounts={"cpu": 1000, "memory": 100 * MIB})
    assert isinstance(run_one(executor, request).outcome, Succeeded)


def test_mapped_files_are_not_the_tasks_own_memory(executor: LocalExecutor, hogs: Hogs) -> None:
    end = run_one(executor, hogs.hog("maps_a_file", 1, memory=150 * MIB, rate=GB_S, until=300 * MIB))
    assert value_of(end.outcome) == 300 * MIB


def test_it_tells_where_it_stood_and_what_it_held(executor: LocalExecutor, hogs: Hogs) -> None:
    outcome = passed(
        run_one(executor, hogs.hog("hog", 1, memory=300 * MIB, rate=GB_S // 2, until=1000 * MIB)), 300 * MIB
    )
    largest = outcome.frames[0]
    assert largest.where.startswith(str(hogs.folder / "hogs.py:"))
    assert largest.where.endswith(" in hog")
    assert largest.largest[0][0] == "held"
    assert 200 * MIB < largest.size_bytes < 400 * MIB


def test_native_code_is_stopped_and_its_stack_is_told(executor: LocalExecutor, hogs: Hogs) -> None:
    limit = 400 * MIB
    outcome = passed(
        run_one(executor, hogs.hog("hog_in_native_code", 1, memory=limit, rate=GB_S, until=8000 * MIB)), limit
    )
    assert any(held.where.endswith(" in hog_in_native_code") for held in outcome.frames), outcome


def test_a_memory_error_says_which_frames_held_the_most(executor: LocalExecutor, hogs: Hogs) -> None:
    end = run_one(executor, hogs.hog("raises_memory_error", 1, memory=2000 * MIB, rate=GB_S, until=1))
    assert isinstance(end.outcome, OutOfMemory)
    assert end.outcome.limit_bytes == 2000 * MIB
    assert end.outcome.at
    first, second = end.outcome.frames[:2]
    assert (first.where.rpartition(" ")[2], first.largest[0][0]) == ("grow", "rows")
    assert first.size_bytes == pytest.approx(28 * MIB, rel=0.01), "ballast is counted once, for the innermost"
    assert second.where.endswith(" in raises_memory_error")


def test_want_of_a_gpus_memory_is_told_apart(executor: LocalExecutor, hogs: Hogs) -> None:
    outcome = run_one(executor, hogs.hog("raises_of_cuda", 1, rate=GB_S, until=1)).outcome
    assert isinstance(outcome, OutOfMemory)
    assert outcome.device == "gpu"
    assert "20.00 GiB" in outcome.why


def test_the_disk_limit_ends_an_attempt_and_is_named(executor: LocalExecutor, hogs: Hogs) -> None:
    limit = 20 * MIB
    end = run_one(executor, hogs.hog("writes_to_disk", 1, disk=limit, rate=50 * MIB, until=2000 * MIB))
    assert isinstance(end.outcome, Failed)
    assert end.outcome.final
    assert "its limit is 20.0 MiB" in end.outcome.failure.message
    assert limit < end.usage.disk_bytes_peak < 200 * MIB
    settle_until(lambda: not list((hogs.state / "scratch").glob("[0-9]*-[0-9]*")))


def test_the_disk_limit_holds_for_who_is_quick(executor: LocalExecutor, hogs: Hogs) -> None:
    end = run_one(executor, hogs.hog("writes_and_returns", 1, disk=20 * MIB, rate=GB_S, until=30 * MIB))
    assert isinstance(end.outcome, Failed)
    assert "its limit is 20.0 MiB" in end.outcome.failure.message
    end = run_one(executor, hogs.hog("writes_and_returns", 2, disk=20 * MIB, rate=GB_S, until=10 * MIB))
    assert isinstance(end.outcome, Succeeded)
    assert end.usage.disk_bytes_peak >= 10 * MIB


def test_a_later_controller_learns_of_the_limit_that_was_passed(hogs: Hogs) -> None:
    """The keeper notes its verdict before it acts on it: should the controller die just then, its successor knows."""
    first = hogs.open_expendable()
    first.start([hogs.hog("hog", 1, memory=200 * MIB, rate=GB_S, until=1000 * MIB)])
    settle_until(lambda: hogs.counted() > 150 * MIB)
    os.kill(first.process.pid, 19)  # it stands still while the keeper kills
    settle_until(lambda: hogs.counted() > 0 and not is_growing(hogs))
    hogs.crash(first)
    with closing(hogs.open()) as second:
        second.adopt([name(1)])
        outcome = passed(ends_of(second, [name(1)])[name(1)], 200 * MIB)
        assert outcome.frames


def is_growing(hogs: Hogs) -> bool:
    before = hogs.counted()
    time.sleep(0.1)
    return hogs.counted() != before


def test_a_timeout_ends_the_whole_tree(executor: LocalExecutor, hogs: Hogs) -> None:
    """What the engine does at a deadline: ask, then kill after the grace."""
    executor.start([hogs.hog("hog_in_processes", 1, rate=MIB, until=1000 * MIB)])
    keeper = executor.keeper_pid
    assert keeper is not None
    settle_until(lambda: bool(executor.poll(10)) or len(descendants_of(keeper)) >= 3)
    settle_until(lambda: len(descendants_of(keeper)) >= 3)
    executor.stop(name(1), grace_ms=200)
    ends_of(executor, [name(1)])
    settle_until(lambda: len(descendants_of(keeper)) <= 1)
