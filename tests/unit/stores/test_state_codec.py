"""What is written into tuples comes back, whatever it is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.instants import Instant
from penstock.effects import Holder, Lease
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.stores.sql import codec
from penstock.testing.conformance.state_rows import NOW, run_row
from penstock.wire import OUTCOME_KINDS, Artifact, Counted, Datum, Inline, LogSegment, Observation, Usage

PATHS = st.sampled_from(["fit", "train/0/fit", "train~1/2/fit"])
INSTANTS = st.integers(-(2**63), 2**63 - 1).map(Instant)
COUNTS = st.integers(0, 3)
MAYBE = st.none() | INSTANTS
WORDS = st.text(max_size=5)  # surrogates and NUL among them
CAUSES = st.builds(Cause, WORDS, WORDS, WORDS)
COUNTS = st.integers(0, 3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
DATA: st.SearchStrategy[Datum] = st.one_of(
    JSON.map(Inline),
    st.builds(Artifact, st.just("blake3:" + "0" * 64), WORDS, WORDS, COUNTS, st.just({"rows": 3}), st.none() | WORDS),
    st.lists(JSON.map(Inline), max_size=2).map(lambda items: Counted(tuple(items))),
)
NAMED = st.dictionaries(WORDS, DATA, max_size=2)
TASK_RUNS = st.builds(
    TaskRunRow,
    run_id=st.just("run1"),
    path=PATHS,
    component=st.sampled_from(["m:f", "m:g"]),
    state=st.sampled_from(TaskState),
    cause=CAUSES,
    changed_at=INSTANTS,
    origin=st.none() | st.sampled_from(Origin),
    outputs=NAMED,
    attempt=COUNTS,
    failed_count=COUNTS,
    oom_count=COUNTS,
    lost_count=COUNTS,
    generation=COUNTS,
    ready_at=MAYBE,
    retry_at=MAYBE,
    started_at=MAYBE,
    ended_at=MAYBE,
    detail=st.dictionaries(WORDS, st.integers(), max_size=2),
)
ATTEMPTS = st.builds(
    AttemptRow,
    run_id=st.just("run1"),
    path=PATHS,
    number=st.integers(1, 3),
    state=st.sampled_from(AttemptState),
    executor=st.just("local"),
    amounts=st.sampled_from([(), (("cpu", 1000),), (("cpu", 500), ("memory", 2**40))]),
    submitted_at=INSTANTS,
    started_at=MAYBE,
    ended_at=MAYBE,
    duration_us=st.integers(0, 2**40),
    worker=st.sampled_from(["", "w-1"]),
    outcome=st.none() | st.sampled_from(sorted(OUTCOME_KINDS)),
    failure=st.none() | st.dictionaries(WORDS, WORDS, max_size=2),
    usage=st.builds(Usage, st.floats(0, 1e6), st.integers(0, 2**40)),
    log=st.none() | st.builds(LogSegment, st.just("local/log"), COUNTS, COUNTS),
    stop_at=MAYBE,
    reads=st.dictionaries(WORDS, WORDS, max_size=2),
    outside=st.lists(WORDS, max_size=2).map(tuple),
)
RUN_ROWS = st.builds(
    replace,
    st.just(run_row()),
    state=st.sampled_from(RunState),
    cause=CAUSES,
    stopping=st.sampled_from(["", "fail_fast", "timed_out", "cancel", "kill"]),
    started_at=MAYBE,
    ended_at=MAYBE,
    outputs=NAMED,
)


def storable(values: codec.Values) -> codec.Values:
    """Values as a database would keep them, or an error."""
    for value in values:
        assert type(value) in (str, int, float, type(None)), value
        if isinstance(value, str):
            value.encode("utf-8")
    return values


def same(left: object, right: object) -> bool:
    """Equal, where NaN equals itself."""
    return left == right or (repr(left) == repr(right) and "nan" in repr(left))


@given(RUN_ROWS)
def test_runs(row: RunRow) -> None:
    values = storable(codec.encode_run_fixed(row)) + storable(codec.encode_run_changing(row))
    assert len(values) == len(codec.RUN_COLUMNS)
    assert same(codec.decode_run(values), row)


@given(TASK_RUNS)
def test_task_runs(row: TaskRunRow) -> None:
    values = storable(codec.encode_task_run(1, row))
    assert len(values) == len(codec.TASK_RUN_COLUMNS)
    assert same(codec.decode_task_run("run1", values), row)


@given(ATTEMPTS)
def test_attempts(row: AttemptRow) -> None:
    values = storable(codec.encode_attempt(1, row))
    assert len(values) == len(codec.ATTEMPT_COLUMNS)
    assert codec.decode_attempt("run1", values) == row


@given(st.lists(st.tuples(WORDS, CAUSES), max_size=3))
def test_journal_entries(written: list[tuple[str, Cause]]) -> None:
    row = replace(run_row(), state=RunState.RUNNING)
    transitions = [Transition("task", "run1", id_, "waiting", "ready", cause, row) for id_, cause in written]
    text = codec.encode_entries(transitions)
    assert text.isascii()
    entries = codec.decode_entries(5, NOW, text)
    assert [entry.sequence for entry in entries] == list(range(5, 5 + len(written)))
    assert [(entry.id, Cause(*entry.cause)) for entry in entries] == written


def test_states_are_written_as_their_words() -> None:
    row = replace(run_row(), state=RunState.RUNNING)
    entries = codec.encode_entries(
        [Transition("run", "run1", "run1", RunState.PENDING, RunState.RUNNING, Cause("x"), row)]
    )
    assert entries == '[["run","run1","pending","running","x","",""]]'


@given(WORDS, st.floats(), st.none() | st.integers())
def test_observations(name: str, value: float, number: int | None) -> None:
    observation = Observation("run1/train/3/fit#2", name, value, number, NOW)
    values = storable(codec.encode_observation(1, observation))
    again = codec.decode_observation("run1", values)
    kept = number if number is not None and -(2**63) <= number < 2**63 else None
    assert same(again, replace(observation, name=codec.readable(name), step=kept))


def test_leases() -> None:
    lease = Lease("run1", 7, Holder("host ns:[1]", "boot", 4, -1, "token"), Instant(NOW + 3))
    assert codec.decode_lease("run1", codec.encode_lease(7, lease.holder, lease.expires_at)) == lease


@pytest.mark.parametrize(("text", "written"), [("größe ✈", "größe ✈"), ("a\0b", "a\\x00b"), ("\ud800!", "\\ud800!")])
def test_readable_names(text: str, written: str) -> None:
    assert codec.readable(text) == written


@pytest.mark.parametrize("data", [{"x": math.nan}, {"x": [math.inf]}])
def test_json_is_json(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.json_text(data)


def test_reading_many_rows_shares_what_repeats() -> None:
    row = TaskRunRow("run1", "fit", "m:f", TaskState.READY, Cause("trigger"), NOW)
    first, second = (codec.decode_task_run("run1", codec.encode_task_run(1, row)) for _ in range(2))
    assert first.cause is second.cause
    assert first.outputs is second.outputs
    assert first.component is second.component
