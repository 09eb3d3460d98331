"""Looking at process trees: soon enough, at all of them, and cheaply."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.launcher.outer.guard import TELL, catches
from penstock.launcher.outer.watching import (
    LOOK_MIN_S,
    LOOK_S,
    Births,
    DiskUse,
    Tree,
    look_again_s,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc here")
MIB = 1 << 20
KILL_LATENCY_S = 0.02

HOLDS = "import sys; held = bytearray(b'x' * int(sys.argv[1])); print('up', flush=True); sys.stdin.read()"
BREEDS = (
    "import subprocess, sys, threading\n"
    "def breed(): subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]], stdin=sys.stdin).wait()\n"
    "threading.Thread(target=breed).start()\n"
)


@contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said that it is up; ends with its standard input."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        yield running
        assert running.stdin is not None
        running.stdin.close()


@settings(deadline=None)
@given(
    limit=st.integers(100 * MIB, 64 << 30),
    start=st.floats(0.5, 0.999),
    rate=st.integers(200_000_000, 1_000_000_000),
    processes=st.integers(1, 64),
)
def test_a_hog_is_seen_before_it_is_far_beyond(limit: int, start: float, rate: int, processes: int) -> None:
    """Whenever it begins and however fast it grows, up to 1 GB/s: it has not passed its limit by a fifth when it is first seen
    beyond it, and not even if the look comes 20 ms late for every 100 MiB of the limit."""
    used = limit * start
    while used <= limit:
        used += rate * look_again_s(int(used), limit, processes=processes)
    assert used <= 1.08 * limit + rate * LOOK_MIN_S
    if rate * KILL_LATENCY_S <= 0.1 * limit:
        assert used + rate * KILL_LATENCY_S < 1.2 * limit


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(1, 100))
def test_looks_are_neither_rare_nor_endless(used: int, limit: int, processes: int) -> None:
    assert LOOK_MIN_S <= look_again_s(used, limit, processes=processes) <= LOOK_S


def test_a_tree_is_counted_whole(tmp_path: Path) -> None:
    births = Births()
    with process(HOLDS, str(60 * MIB)) as alone:
        tree = Tree(alone.pid, births)
        own = tree.memory_bytes()
        assert 60 * MIB < own < 90 * MIB
        assert tree.pids == (alone.pid,)
        with process(BREEDS, str(40 * MIB), HOLDS) as parent:
            both = Tree(parent.pid, births)
            used = both.memory_bytes()
            assert 40 * MIB < used < 90 * MIB, "a child that another thread than the first has started"
            assert len(both.pids) == 2
            assert both.largest == both.pids[1]
            os.kill(both.pids[1], 9)
            parent.wait()
            assert both.memory_bytes() == 0
            assert both.pids == ()
        assert abs(tree.memory_bytes() - own) < MIB


def test_a_child_is_found_as_soon_as_it_is_there() -> None:
    births = Births()
    tree = Tree(os.getpid(), births)
    before = tree.memory_bytes()
    with process(HOLDS, str(50 * MIB)) as child:
        assert tree.memory_bytes() > before + 50 * MIB
        assert child.pid in tree.pids
    child.wait()
    tree.memory_bytes()
    assert child.pid not in tree.pids
    tree.close()


def test_births_are_noticed() -> None:
    births = Births()
    before = births.mark()
    assert before is not None
    subprocess.run(["true"], check=True)
    assert births.mark() != before
    births.distrust()
    assert births.mark() is None


def test_what_lies_below_scratch_is_summed_in_parts(tmp_path: Path) -> None:
    mine, others = tmp_path / "77-1" / "deep", tmp_path / "78-1"
    mine.mkdir(parents=True)
    others.mkdir()
    for number in range(3_000):
        (mine / str(number)).write_bytes(b"x" * 4096)
    (mine / "linked").hardlink_to(mine / "0")
    (others / "large").write_bytes(bytes(64) * (MIB // 64))
    use = DiskUse(str(tmp_path), 77)
    rounds = 1
    while (used := use.advance()) is None:
        rounds += 1
    assert used == use.whole()
    assert 3_000 * 4096 <= used < 3_000 * 4096 + MIB
    assert use.look_again_s(used, 100 * used) > use.look_again_s(None, used)
    assert DiskUse(str(tmp_path), 99).whole() == 0


def test_only_who_has_a_handler_is_asked() -> None:
    with process("import sys; print('up', flush=True); sys.stdin.read()") as without:
        assert not catches(without.pid, TELL)
    program = f"import signal, sys; signal.signal({TELL}, print); print('up', flush=True); sys.stdin.read()"
    with process(program) as listening:
        assert catches(listening.pid, TELL)
    assert not catches(without.pid, TELL), "it has gone"
