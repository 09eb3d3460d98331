"""Several executors share one machine by a ledger that only advises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.executors.local import ledger as ledgers
from penstock.executors.local import machine
from penstock.executors.local.ledger import Ledger, ledger_folder

TOTAL = {"cpu": 8000, "memory": 16_000}


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and write every time."""
    monkeypatch.setattr(ledgers, "READ_S", -1.0)
    monkeypatch.setattr(ledgers, "PUBLISH_S", -1.0)


def test_alone_has_everything(tmp_path: Path) -> None:
    assert Ledger(tmp_path, entry="one", total=TOTAL).left() == TOTAL


def test_the_second_gets_what_is_left_or_its_share(tmp_path: Path) -> None:
    one = Ledger(tmp_path, entry="one", total=TOTAL)
    one.publish({"cpu": 2000, "memory": 1000, "licence": 3})
    two = Ledger(tmp_path, entry="two", total=TOTAL)
    assert two.left() == {"cpu": 6000, "memory": 15_000}
    one.publish({"cpu": 8000, "memory": 16_000})
    assert two.left() == {"cpu": 4000, "memory": 8_000}
    two.publish({"cpu": 4000})
    assert one.left() == {"cpu": 4000, "memory": 16_000}
    two.close()
    assert one.left() == TOTAL


def test_everybody_gets_a_processor(tmp_path: Path) -> None:
    total = {"cpu": 2000, "memory": 100}
    many = [Ledger(tmp_path, entry=str(number), total=total) for number in range(5)]
    for each in many:
        each.publish({"cpu": 2000})
    assert {each.left()["cpu"] for each in many} == {1000}


def test_the_dead_leave_the_ledger(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from penstock.executors.local.ledger import Ledger;"
        f"Ledger(Path(sys.argv[1]), entry='dead', total={TOTAL!r}).publish({{'cpu': 8000}})"
    )
    entries: dict[str, object] = {}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    entries = json.loads((tmp_path / "ledger.json").read_text())
    assert list(entries) == ["dead"]
    assert Ledger(tmp_path, entry="one", total=TOTAL).left() == TOTAL
    assert list(json.loads((tmp_path / "ledger.json").read_text())) == ["one"]


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', '{"x": {"pid": "?"}}', "\0"])
def test_a_broken_ledger_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.json").write_text(text)
    assert Ledger(tmp_path, entry="one", total=TOTAL).left() == TOTAL
    assert list(json.loads((tmp_path / "ledger.json").read_text())) == ["one"]


def test_without_a_ledger_there_is_no_advice(tmp_path: Path) -> None:
    assert Ledger(None, entry="one", total=TOTAL).left() == TOTAL
    assert Ledger(tmp_path / "none", entry="one", total=TOTAL).left() == TOTAL


def test_a_folder_that_others_may_use_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = ledger_folder()
    assert folder == tmp_path / "penstock"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert ledger_folder() is None
    folder.rmdir()
    os.symlink(tmp_path, folder)
    assert ledger_folder() is None


def test_control_groups_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "cpu.max": "150000 100000",
        "memory.max": "1000000",
    }
    found = {name: tmp_path / name for name in files}
    for name, text in files.items():
        found[name].write_text(text)
    monkeypatch.setattr(machine, "cgroup_files", lambda controller, name: [found[name]] if name in found else [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    assert machine.cpu_thousandths() == 1500
    assert machine.memory_bytes_total() == 1_000_000
    found["cpu.max"].write_text("max 100000")
    found["memory.max"].write_text("max")
    assert machine.cpu_thousandths() == 4000
    assert machine.memory_bytes_total() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_old_control_groups_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "cpu.cfs_quota_us": "250000",
        "cpu.cfs_period_us": "100000",
        "memory.limit_in_bytes": "2000000",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "cgroup_files", lambda controller, name: [tmp_path / name] if name in files else [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    assert machine.cpu_thousandths() == 2500
    assert machine.memory_bytes_total() == 2_000_000


def test_devices_are_leased_not_advised(tmp_path: Path) -> None:
    total = {**TOTAL, "gpu:A": 1000, "gpu_memory:A": 80}
    one = Ledger(tmp_path, entry="one", total=total)
    two = Ledger(tmp_path, entry="two", total=total)
    assert one.lease({"gpu:A": 600}, noted={"gpu:A": 600}) == ""
    assert (two.left()["gpu:A"], two.left()["gpu_memory:A"], one.left()["gpu:A"]) == (400, 80, 1000)
    assert two.lease({"gpu:A": 500}, noted={"gpu:A": 500}) == "gpu:A is leased by another controller"
    assert one.left()["gpu:A"] == 1000, "what was refused is not noted"
    assert two.lease({"gpu:A": 400}, noted={"gpu:A": 400}) == ""
    one.publish({"cpu": 1000})
    assert two.left()["gpu:A"] == 400, "a lease outlives what is published beside it"
    assert one.lease({"gpu:A": 400}, noted={"gpu:A": 1000}) == "", "its own that is ending counts for others only"
    assert two.left()["gpu:A"] == 0
    one.note({"gpu:A": 400})
    two.note({})
    assert (one.left()["gpu:A"], two.left()["gpu:A"]) == (1000, 600)
    one.close()
    assert two.left()["gpu:A"] == 1000


HOLDS = "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); input()"


@contextmanager
def held_by_a_stopped_process(folder: Path) -> Iterator[int]:
    """Somebody has the ledger's lock and was stopped there, as by Ctrl-Z; its process."""
    command = [sys.executable, "-c", HOLDS, str(folder / "ledger.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        try:
            yield holder.pid
        finally:
            holder.kill()


def test_a_stopped_process_that_holds_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    total = {**TOTAL, "gpu:A": 1000}
    before = Ledger(tmp_path, entry="before", total=total)
    with held_by_a_stopped_process(tmp_path) as pid:
        begun = time.monotonic()
        one = Ledger(tmp_path, entry="one", total=total)
        for ledger in (before, one):
            assert ledger.left() == total, "it is advice, and there is none"
            ledger.publish({"cpu": 1000})
        said = one.lease({"gpu:A": 1000}, noted={"gpu:A": 1000})
        assert f"process {pid}, which is stopped, holds the lock of {tmp_path}/ledger.json" in said
        assert f"`kill -CONT {pid}`" in said and f"`kill -KILL {pid}`" in said
        assert one.left()["gpu:A"] == 0, "no device is asked for again before the lock is free"
        before.close()
        assert time.monotonic() - begun < 10 * ledgers.LOCK_S
    assert one.left() == total
    assert one.lease({"gpu:A": 1000}, noted={"gpu:A": 1000}) == ""
    two = Ledger(tmp_path, entry="two", total=total)
    assert (two.left()["gpu:A"], two.left()["cpu"]) == (0, 7000), "what could not be noted was noted afterwards"
