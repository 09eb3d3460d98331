"""Workers that take an attempt and never begin it: it is given to another, begun once, and nothing hangs."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from penstock.executors.local.custody import ACKNOWLEDGED_S, TAKES_MAX
from penstock.launcher.outer.processes import started_ticks
from penstock.testing.conformance.executor import ends_of, name
from penstock.testing.conformance.executor_processes import run_one, still_works, value_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import Cancelled, Lost


def silent_subject(folder: Path, count: int) -> LocalSubject:
    """The first `count` workers take an attempt and do nothing."""
    for number in range(count):
        (folder / f"silent-{number}").touch()
    return LocalSubject(folder, launcher="penstock.testing.local_subject:silent_launcher")


def test_what_a_silent_worker_took_is_taken_back(tmp_path: Path) -> None:
    subject = silent_subject(tmp_path, 1)
    with closing(subject.open()) as executor:
        began = time.monotonic()
        ids = [name(number) for number in range(6)]
        executor.start([subject.request("ok", attempt_id) for attempt_id in ids])
        ends = ends_of(executor, ids)
        assert [value_of(ends[attempt_id].outcome) for attempt_id in ids] == [42] * len(ids)
        assert [subject.begun(attempt_id) for attempt_id in ids] == [1] * len(ids)
        assert time.monotonic() - began > ACKNOWLEDGED_S
        assert not started_ticks(int((tmp_path / "took").read_text()))
        still_works(executor, subject)


def test_an_attempt_that_no_worker_begins_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.executors.local.custody.ACKNOWLEDGED_S", 0.3)
    subject = silent_subject(tmp_path, TAKES_MAX)
    with closing(subject.open()) as executor:
        end = run_one(executor, subject.request("ok", name(1)))
        assert isinstance(end.outcome, Lost)
        assert "before it began" in end.outcome.why or "did not begin" in end.outcome.why
        assert subject.begun(name(1)) == 0
        still_works(executor, subject)


def test_what_a_silent_worker_took_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.executors.local.custody.ACKNOWLEDGED_S", 0.3)
    subject = silent_subject(tmp_path, 1)
    with closing(subject.open()) as executor:
        executor.start([subject.request("ok", name(1))])
        executor.stop(name(1), grace_ms=1000)
        assert isinstance(ends_of(executor, [name(1)])[name(1)].outcome, Cancelled)
        assert subject.begun(name(1)) == 0


def test_a_worker_that_stands_still_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped from outside while it waits: what is put into its pool's socket is not read by it."""
    monkeypatch.setattr("penstock.executors.local.custody.ACKNOWLEDGED_S", 0.3)
    subject = LocalSubject(tmp_path)
    with closing(subject.open()) as executor:
        pid = value_of(run_one(executor, subject.request("process", name(1))).outcome)
        os.kill(pid, signal.SIGSTOP)
        end = run_one(executor, subject.request("process", name(2)))
        assert value_of(end.outcome) != pid
        assert not started_ticks(pid)


def test_a_worker_that_stands_still_in_an_attempt_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.executors.local.custody.ACKNOWLEDGED_S", 0.3)
    subject = LocalSubject(tmp_path, cpu=1)
    with closing(subject.open()) as executor:
        executor.start([subject.request("naps", name(1)), subject.request("ok", name(2))])
        until = time.monotonic() + 20
        while not subject.begun(name(1)):
            assert time.monotonic() < until
            executor.poll(20)
        pid = int(subject.notes(name(1)).split()[1])
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        while time.monotonic() - stopped < 1.0:
            assert not executor.poll(50) or started_ticks(pid)
        assert started_ticks(pid)
        os.kill(pid, signal.SIGCONT)
        ends = ends_of(executor, [name(1), name(2)])
        assert value_of(ends[name(1)].outcome) == pid
        assert value_of(ends[name(2)].outcome) == 42
