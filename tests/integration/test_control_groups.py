"""Control groups of version 2 where they may be made: entered, ended as one, removed. Without controllers, which the machines
that run these tests often have elsewhere; what `memory.max` does then is the kernel's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.launcher.outer.groups import Groups, parent_of_groups, sweep


@pytest.fixture
def parent() -> Iterator[Path]:
    found = parent_of_groups(controllers=())
    if found is None:
        pytest.skip("no control group of version 2 may be written here")
    inner = found / f"penstock-test-{os.getpid()}"
    inner.mkdir()
    yield inner
    sweep(inner)
    inner.rmdir()


def settle_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def members(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


def test_a_workers_group_holds_its_tree_and_ends_it_as_one(parent: Path) -> None:
    groups = Groups(parent, "one", controllers=())
    group = groups.of(1)
    folder = parent / "penstock-one" / "1"
    child = os.fork()
    if child == 0:
        group.enter()
        os.setsid()
        os.fork()
        while True:
            signal.pause()
    settle_until(lambda: len(members(folder)) == 2)
    assert child in members(folder)
    group.limit(memory_bytes_max=1 << 30, cpu_thousandths=1000)  # no such files here: nothing happens
    assert not group.has_killed()
    (folder / "cgroup.kill").write_text("1")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    settle_until(lambda: not members(folder))
    group.remove()
    assert not folder.exists()
    groups.close()
    assert not folder.parent.exists()


def test_what_dead_keepers_left_is_swept_and_the_living_stay(parent: Path) -> None:
    for name in ("dead", "living"):
        Groups(parent, name, controllers=()).of(7)
    living = Groups(parent, "busy", controllers=()).of(8)
    child = os.fork()
    if child == 0:
        living.enter()
        while True:
            signal.pause()
    settle_until(lambda: members(parent / "penstock-busy" / "8") == [child])
    sweep(parent)
    assert [folder.name for folder in parent.glob("penstock-*")] == ["penstock-busy"]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    settle_until(lambda: not members(parent / "penstock-busy" / "8"))


def test_only_what_was_delegated_is_arranged(parent: Path) -> None:
    """A group that some service manager keeps is left as it is, though it could be written to."""
    ours = parent / "penstock-scope"
    ours.mkdir()

    def asked_from_within() -> Path | None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            (ours / "cgroup.procs").write_text("0")
            os.write(writing, str(parent_of_groups(controllers=()) or "").encode())
            os._exit(0)
        os.close(writing)
        with open(reading) as answer:
            text = answer.read()
        os.waitpid(child, 0)
        settle_until(lambda: not members(ours))
        return Path(text) if text else None

    assert asked_from_within() is None
    os.setxattr(ours, "user.delegate", b"1")
    assert asked_from_within() == ours
    os.removexattr(ours, "user.delegate")
    os.setxattr(parent, "user.delegate", b"1")
    assert asked_from_within() == parent


def test_a_group_made_anew_after_it_was_swept(parent: Path) -> None:
    """Another keeper may sweep a group in the moment before its first worker comes."""
    groups = Groups(parent, "swept", controllers=())
    sweep(parent)
    assert not (parent / "penstock-swept").exists()
    groups.of(1).remove()
    groups.close()
    assert not (parent / "penstock-swept").exists()
