"""What workers say is taken apart without trust: whatever bytes arrive, they are words, or Garbled."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.executors.local.words import Ended, Noted, Word, report_in, words_in
from penstock.launcher.outer.records import Frames, Garbled, append_record, frame_of, read_records
from penstock.wire import (
    Artifact,
    AttemptEnded,
    Cancelled,
    Counted,
    Failed,
    Failure,
    Inline,
    InputLost,
    LogSegment,
    Lost,
    NotYet,
    Observation,
    OutOfMemory,
    OutputInvalid,
    Progress,
    Skipped,
    Succeeded,
    TimedOut,
    Usage,
    observed_to_json,
    report_to_json,
)
from penstock.wire.outcomes import Frame, Held

OUTCOMES = (
    Succeeded({"a": Inline({"x": [1, None]}), "b": Counted((Inline(1), Artifact("d", "t", "f", 3, {"rows": 1})))}),
    Failed(Failure("m:E", "é", ("E",), "text", (Frame("f", 1, "g", True, 1, ("x",)),), {"a": "1"}), final=True),
    TimedOut("late"),
    OutOfMemory("much", 1, 2, 3, (Held("f:1", 4, (("x", 5),)),), "gpu"),
    Lost("why"),
    Cancelled("why"),
    Skipped("why"),
    NotYet(5, "why"),
    InputLost("d", "why"),
    OutputInvalid("why"),
)


def report(outcome: Any) -> AttemptEnded:
    usage = Usage(1.5, 2, 3, 4.0, 5)
    log = LogSegment("f", 1, 2)
    return AttemptEnded("r/x#1", outcome, 1, 2, 3, "w", usage, log, {"a": "b"}, ("m:f",))


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_what_a_worker_says_is_understood(outcome: Any) -> None:
    said = json.dumps([report_to_json(report(outcome))]).encode()
    assert words_in(said) == [Ended(report(outcome))]
    assert report_in(said[1:-1]) == report(outcome)


def test_what_is_observed_is_understood() -> None:
    observed = (Observation("r/x#1", "loss", float("nan"), None, 3), Progress("r/x#1", 1, None, "rows", 2))
    said = json.dumps([{"event": "observed", "items": list(map(observed_to_json, observed))}]).encode()
    (noted,) = words_in(said)
    assert isinstance(noted, Noted)
    assert repr(noted.items) == repr(observed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places_in(data: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) at any depth."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [place for key in keys for place in [(data, key), *places_in(data[key])]]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A report with a value replaced or removed somewhere."""
    data = [report_to_json(report(draw(st.sampled_from(OUTCOMES))))]
    data.append({"event": "observed", "items": [observed_to_json(Progress("r/x#1", 1, None, "rows", 2))]})
    data = json.loads(json.dumps(data))
    container, key = draw(st.sampled_from(places_in(data)))
    if draw(st.booleans()):
        del container[key]
    else:
        container[key] = draw(JSON)
    return json.dumps(data).encode()


def understood(payload: bytes) -> list[Word]:
    try:
        return words_in(payload)
    except Garbled:
        return []


@settings(max_examples=400, deadline=None)
@given(spoilt())
def test_a_spoilt_report_is_garbled_or_makes_sense(payload: bytes) -> None:
    for word in understood(payload):
        if isinstance(word, Ended):
            again = json.dumps(report_to_json(word.report))
            assert report_in(again.encode()) == word.report
            assert all(type(at) is int for at in (word.report.started_at, word.report.ended_at))
            word.report.attempt_id.encode()
            struct.pack("<q", word.report.duration_us)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | JSON.map(lambda data: json.dumps(data).encode()))
def test_any_bytes_are_words_or_garbled(payload: bytes) -> None:
    understood(payload)


def test_deep_nesting_is_garbled() -> None:
    with pytest.raises(Garbled):
        words_in(b"[" * 100_000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=4), st.binary(min_size=16, max_size=40), st.data())
def test_frames_before_foreign_bytes_are_whole(payloads: list[bytes], foreign: bytes, data: st.DataObject) -> None:
    stream = b"".join(frame_of(payload, recorded_bytes=0) for payload in payloads) + b"\0" + foreign
    frames, heard, position = Frames(), list[bytes](), 0
    with pytest.raises(Garbled):
        while position < len(stream):
            step = data.draw(st.integers(1, 30))
            for _, payload in frames.feed(stream[position : position + step]):
                heard.append(payload)
            position += step
    assert heard == payloads


def test_what_user_code_wrote_between_records_goes(tmp_path: Any) -> None:
    path = tmp_path / "records"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    end = append_record(fd, b"one", end=0, durable=False)
    os.write(fd, b"from elsewhere")
    append_record(fd, b"two", end=end, durable=False)
    os.close(fd)
    assert read_records(path) == [b"one", b"two"]
