"""The local executor on a disk that is full or read-only, and with workers and keepers that cannot start: attempts end with a
reason, nothing spins, and it works again once the trouble is over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.base.errors import StoreUnavailable
from penstock.executors.local import LocalExecutor
from penstock.testing.conformance.executor import ends_of, name
from penstock.testing.conformance.executor_processes import run_one, still_works, value_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import Failed, Lost


def ran(*command: str) -> str:
    """Run a command; what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    refusal = ran("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(place))
    if refusal:
        pytest.skip(f"no small disk can be mounted here: {refusal}")
    yield place
    assert ran("umount", "-l", str(place)) == ""


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_no_worker_can_start_on_a_full_disk(small_disk: Path) -> None:
    subject = LocalSubject(small_disk)
    executor = subject.open()
    try:
        filler = fill(small_disk)
        end = run_one(executor, subject.request("ok", name(1)))
        assert isinstance(end.outcome, Lost)
        assert "No space left on device" in end.outcome.why
        filler.unlink()
        still_works(executor, subject)
    finally:
        executor.close()


def test_no_executor_can_start_on_a_full_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        LocalSubject(small_disk).open()


def test_no_executor_can_start_in_a_read_only_folder(small_disk: Path) -> None:
    assert ran("mount", "-o", "remount,ro", str(small_disk)) == ""
    with pytest.raises(StoreUnavailable, match="Read-only file system"):
        LocalSubject(small_disk).open()


def test_what_cannot_be_recorded_is_reported_all_the_same(small_disk: Path) -> None:
    """The disk fills up while workers are warm: outcomes are true, the worker that couldn't record one is replaced."""
    subject = LocalSubject(small_disk)
    executor = subject.open()
    try:
        first = value_of(run_one(executor, subject.request("process", name(1))).outcome)
        assert subject.begun(name(2)) == 0
        filler = fill(small_disk)
        end = run_one(executor, subject.request("echoes_without_note", name(2), text="x" * 9000))
        assert value_of(end.outcome) == "x" * 9000
        filler.unlink()
        assert value_of(run_one(executor, subject.request("process", name(3))).outcome) != first
        assert subject.log(end.log) == b""
    finally:
        executor.close()


def test_printing_on_a_full_disk_fails_the_task(small_disk: Path) -> None:
    subject = LocalSubject(small_disk)
    executor = subject.open()
    try:
        end = run_one(executor, subject.request("prints_much", name(1)))
        assert isinstance(end.outcome, Failed)
        assert "No space left on device" in end.outcome.failure.message
        assert end.log is not None
        (subject.state / end.log.file).write_bytes(b"")
        assert (
            subject.log(run_one(executor, subject.request("prints", name(2))).log)
            == b"one\ntwo\nthree\nfour\nfive\nsix"
        )
    finally:
        executor.close()


def test_requests_too_large_for_the_disk_are_refused(small_disk: Path) -> None:
    subject = LocalSubject(small_disk)
    executor = subject.open()
    try:
        run_one(executor, subject.request("ok", name(1)))
        filler = fill(small_disk)
        end = run_one(executor, subject.request("echoes", name(2), text="é" * 32_000))
        assert "No space left on device" in getattr(end.outcome, "why", "")
        filler.unlink()
        end = run_one(executor, subject.request("echoes", name(3), text="é" * 32_000))
        assert value_of(end.outcome) == "é" * 32_000
    finally:
        executor.close()


@pytest.mark.parametrize(
    "options",
    [{"artifacts": "no_such_module:open"}, {"launcher": "penstock.testing.local_subject:broken_launcher"}],
    ids=["keeper", "worker"],
)
def test_what_cannot_start_is_told(tmp_path: Path, options: dict[str, str]) -> None:
    subject = LocalSubject(tmp_path, **options)
    executor: LocalExecutor = subject.open()
    try:
        ids = [name(1), name(2)]
        executor.start([subject.request("ok", attempt_id) for attempt_id in ids])
        ends = ends_of(executor, ids)
        for attempt_id in ids:
            outcome = ends[attempt_id].outcome
            assert isinstance(outcome, Lost)
            assert "no_such_module" in outcome.why or "broken on purpose" in outcome.why
    finally:
        executor.close()


@pytest.mark.parametrize("removed", ["local", "logs"])
def test_nothing_is_tried_where_the_folder_of_the_executor_is_gone(removed: str, tmp_path: Path) -> None:
    subject = LocalSubject(tmp_path)
    with closing(subject.open()) as executor:
        run_one(executor, subject.request("ok", name(1)))
        (subject.state / removed).rename(subject.state / "elsewhere")
        with pytest.raises(
            StoreUnavailable, match=f"{subject.state}/{removed}/.* was moved or deleted while it was in use"
        ):
            run_one(executor, subject.request("ok", name(2), fresh=True))
    assert not list(subject.state.glob(f"{removed}/*"))
