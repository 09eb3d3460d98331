"""What a slot says to others, and what a file of records keeps."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.launcher.outer.records import Frames, append_record, frame_of, read_records, record_of
from penstock.launcher.outer.slot import ATTEMPT_ID_BYTES_MAX, SLOT_BYTES, Begun, Slot


def test_slot_shows_what_was_begun(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "1.slot", create=True)
    other = Slot(tmp_path / "1.slot")
    assert other.begun() is None
    assert slot.begin(b"run1/fit#1", started_at=1_700_000_000_000, log_offset=7) == 1
    assert other.begun() == Begun(1, "run1/fit#1", 1_700_000_000_000, 7)
    slot.end(123)
    assert other.begun() is None
    assert other.recorded_bytes() == 123
    longest = "é" * (ATTEMPT_ID_BYTES_MAX // 2)
    slot.begin(longest.encode(), started_at=2, log_offset=2**40)
    assert other.begun() == Begun(2, longest, 2, 2**40)
    assert other.recorded_bytes() == 123
    assert (tmp_path / "1.slot").stat().st_size == SLOT_BYTES


def test_slot_outlives_its_mapping(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "1.slot", create=True)
    slot.begin(b"run1/a#1", started_at=1, log_offset=0)
    slot.close()
    again = Slot(tmp_path / "1.slot")
    begun = again.begun()
    assert begun is not None
    assert begun.attempt_id == "run1/a#1"
    assert again.begin(b"run1/b#1", started_at=2, log_offset=0) == begun.sequence + 1


def test_orders_to_stop_and_memory_belong_to_one_attempt(tmp_path: Path) -> None:
    worker, keeper = Slot(tmp_path / "1.slot", create=True), Slot(tmp_path / "1.slot")
    first = worker.begin(b"run1/a#1", started_at=1, log_offset=0)
    assert not worker.is_to_stop()
    keeper.ask_to_stop(first)
    keeper.saw_memory(first, 500)
    keeper.saw_memory(first, 300)
    assert worker.is_to_stop()
    assert worker.peak_of(first) == 500
    second = worker.begin(b"run1/b#1", started_at=1, log_offset=0)
    assert not worker.is_to_stop()
    assert worker.peak_of(second) == 0
    keeper.saw_memory(second, 200)
    assert worker.peak_of(second) == 200


def test_slot_is_made_once(tmp_path: Path) -> None:
    Slot(tmp_path / "1.slot", create=True)
    with pytest.raises(FileExistsError):
        Slot(tmp_path / "1.slot", create=True)


def test_records_are_read_until_the_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "1.records"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    end = 0
    for number in range(3):
        end = append_record(fd, f"record {number}".encode(), end=end, durable=number == 1)
    assert read_records(path) == [b"record 0", b"record 1", b"record 2"]
    assert read_records(path, offset=len(record_of(b"record 0"))) == [b"record 1", b"record 2"]
    assert read_records(path, offset=0, end=end - 1) == [b"record 0", b"record 1"]
    whole = path.read_bytes()
    for length in range(end - len(record_of(b"record 2")), end):
        path.write_bytes(whole[:length])
        assert read_records(path) == [b"record 0", b"record 1"]
    path.write_bytes(whole[:-1] + b"?")
    assert read_records(path) == [b"record 0", b"record 1"]
    assert read_records(tmp_path / "none") == []
    os.close(fd)


def test_a_record_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.records"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    end = append_record(fd, b"first", end=0, durable=False)
    real_write = os.write

    def half_full(fd: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data[: len(data) - 5])

    monkeypatch.setattr(os, "write", half_full)
    with pytest.raises(OSError, match="No space left"):
        append_record(fd, b"second", end=end, durable=False)
    monkeypatch.undo()
    assert read_records(path) == [b"first"]
    assert append_record(fd, b"third", end=end, durable=False) == path.stat().st_size
    assert read_records(path) == [b"first", b"third"]
    os.close(fd)


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 200), min_size=1, max_size=50))
def test_frames_are_cut_alike_however_they_arrive(payloads: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(frame_of(payload, recorded_bytes=number) for number, payload in enumerate(payloads))
    frames, position = Frames(), 0
    cut: list[tuple[int, bytes]] = []
    for size in (sizes * (len(stream) + 1))[: len(stream) + 1]:
        cut.extend(frames.feed(stream[position : position + size]))
        position += size
    assert cut == list(enumerate(payloads))
