"""Rows ↔ tuples of plain database values. Knows the columns, in order, and how each value is written; no statement and
no database. `testing.memory_state` keeps the same tuples.

Free text never gets a column of its own but stands in JSON, which escapes what UTF-8 cannot say (a lone surrogate in a
user's message); `readable` mends the few names that do."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from penstock.base.ids import attempt_id, split_attempt_id
from penstock.base.instants import Instant
from penstock.effects import Holder, JournalEntry, Lease, Message
from penstock.engine.events import Transition
from penstock.engine.rows import NO_CAUSE, Amounts, AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, AttemptState, Origin, RunState, TaskState
from penstock.wire import Datum, LogSegment, Observation, Usage, data_from_json, data_to_json

Values = tuple[Any, ...]
"""One row of a table, in the order of its columns: str, int, float or None."""

CACHES = ("use", "write")
STOPPINGS = ("", "fail_fast", "timed_out", "cancel", "kill")
MESSAGE_KINDS = ("submit", "cancel")
TERMINAL_RUN_WORDS = frozenset(str(state) for state in TERMINAL_RUN_STATES)

RUN_FIXED = (
    "run_id",
    "pipeline",
    "graph_digest",
    "inputs",
    "pin",
    "seed",
    "created_at",
    "priority",
    "retry_of",
    "labels",
    "provenance",
    "code",
    "cache",
    "learned",
)
RUN_CHANGING = ("state", "cause", "stopping", "started_at", "ended_at", "outputs")
RUN_COLUMNS = RUN_FIXED + RUN_CHANGING
TASK_RUN_COLUMNS = (
    "run_key",
    "path",
    "component",
    "state",
    "cause",
    "changed_at",
    "origin",
    "outputs",
    "attempt",
    "failed_count",
    "oom_count",
    "lost_count",
    "generation",
    "ready_at",
    "retry_at",
    "started_at",
    "ended_at",
    "detail",
    "key",
)
ATTEMPT_COLUMNS = (
    "run_key",
    "path",
    "number",
    "state",
    "executor",
    "amounts",
    "submitted_at",
    "started_at",
    "ended_at",
    "duration_us",
    "worker",
    "outcome",
    "failure",
    "cpu_ms",
    "memory_bytes_peak",
    "log_file",
    "log_offset",
    "log_size_bytes",
    "stop_at",
    "input_bytes",
    "gpu_memory_bytes_peak",
    "gpu_percent_mean",
    "disk_bytes_peak",
    "reads",
    "outside",
)
METRIC_COLUMNS = ("run_key", "path", "number", "name", "value", "step", "at")
LEASE_COLUMNS = ("epoch", "host", "boot_id", "pid", "process_started", "token", "expires_at")

_read_json = json.JSONDecoder().raw_decode
"""`json.loads` without its checks, which cost as much as the reading of so short a text."""
_json_of = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_RUN_STATES = {str(state): state for state in RunState}
TASK_STATES = {str(state): state for state in TaskState}
_ATTEMPT_STATES = {str(state): state for state in AttemptState}
ORIGINS: Mapping[str | None, Origin | None] = {None: None, **{str(origin): origin for origin in Origin}}
_NOTHING: Mapping[str, Any] = {}
_NO_USAGE = Usage()


def json_text(data: Mapping[str, Any]) -> str:
    """JSON in ASCII. Raises ValueError on NaN and infinities, TypeError on what is not JSON."""
    return _json_of(data) if data else "{}"


def readable(text: str) -> str:
    """Text that every database holds: what UTF-8 cannot say, and NUL, is written as an escape."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def data_text(data: Mapping[str, Datum]) -> str:
    return _json_of(data_to_json(data)) if data else "{}"


def data_of(text: str) -> Mapping[str, Datum]:
    return _NOTHING if text == "{}" else data_from_json(_read_json(text)[0])


def _json(text: str) -> Mapping[str, Any]:
    if text == "{}":
        return _NOTHING
    data: Mapping[str, Any] = json.loads(text)
    return data


_NO_CAUSE_TEXT = '["","",""]'


def _cause_text(cause: Cause) -> str:
    if cause is NO_CAUSE:
        return _NO_CAUSE_TEXT
    return f"[{quoted(cause.code)},{quoted(cause.by)},{quoted(cause.text)}]"


@lru_cache(maxsize=1024)
def cause_of(text: str) -> Cause:
    return NO_CAUSE if text == _NO_CAUSE_TEXT else Cause(*json.loads(text))


@lru_cache(maxsize=1024)
def _amounts_text(amounts: Amounts) -> str:
    return _json_of(amounts)


@lru_cache(maxsize=1024)
def amounts_of(text: str) -> Amounts:
    return tuple((name, amount) for name, amount in json.loads(text))


# -- runs --------------------------------------------------------------------------------------------------------------


def encode_run_fixed(row: RunRow) -> Values:
    """Values of `RUN_FIXED`: what never changes after submission."""
    return (
        row.run_id,
        readable(row.pipeline),
        row.graph_digest,
        data_text(row.inputs),
        row.pin,
        str(row.seed),
        row.created_at,
        row.priority,
        row.retry_of,
        json_text(row.labels),
        json_text(row.provenance),
        row.code,
        row.cache,
        json_text(row.learned),
    )


def encode_run_changing(row: RunRow) -> Values:
    """Values of `RUN_CHANGING`."""
    return (
        str(row.state),
        _cause_text(row.cause),
        row.stopping,
        row.started_at,
        row.ended_at,
        data_text(row.outputs),
    )


def decode_run(values: Sequence[Any]) -> RunRow:
    """A run from values of `RUN_COLUMNS`."""
    run_id, pipeline, graph_digest, inputs, pin, seed, created_at, priority, retry_of, labels, provenance = values[:11]
    code, cache, learned, state, cause, stopping, started_at, ended_at, outputs = values[11:]
    return RunRow(
        run_id=run_id,
        pipeline=pipeline,
        graph_digest=graph_digest,
        inputs=data_of(inputs),
        pin=pin,
        seed=int(seed),
        created_at=created_at,
        priority=priority,
        retry_of=retry_of,
        labels=_json(labels),
        provenance=_json(provenance),
        state=_RUN_STATES[state],
        cause=cause_of(cause),
        stopping=stopping,
        started_at=started_at,
        ended_at=ended_at,
        outputs=data_of(outputs),
        code=code,
        cache=cache,
        learned=_json(learned),
    )


# -- task runs and attempts --------------------------------------------------------------------------------------------


def encode_task_run(key: int | str, row: TaskRunRow) -> Values:
    """Values of `TASK_RUN_COLUMNS`; `key` stands for the run."""
    return (
        key,
        row.path,
        row.component,
        str(row.state),
        _cause_text(row.cause),
        row.changed_at,
        None if row.origin is None else str(row.origin),
        data_text(row.outputs),
        row.attempt,
        row.failed_count,
        row.oom_count,
        row.lost_count,
        row.generation,
        row.ready_at,
        row.retry_at,
        row.started_at,
        row.ended_at,
        json_text(row.detail),
        row.key,
    )


def decode_task_run(run_id: str, values: Sequence[Any]) -> TaskRunRow:
    """A task run from values of `TASK_RUN_COLUMNS`; in the order of its fields, as this is read a hundred thousand
    times."""
    _, path, component, state, cause, changed_at, origin, outputs, *counts, detail, cache_key = values
    attempt, failed_count, oom_count, lost_count, generation, ready_at, retry_at, started_at, ended_at = counts
    return TaskRunRow(
        run_id,
        path,
        sys.intern(component),
        TASK_STATES[state],
        cause_of(cause),
        changed_at,
        ORIGINS[origin],
        data_of(outputs),
        attempt,
        failed_count,
        oom_count,
        lost_count,
        generation,
        ready_at,
        retry_at,
        started_at,
        ended_at,
        _json(detail),
        cache_key,
    )


def encode_attempt(key: int | str, row: AttemptRow) -> Values:
    """Values of `ATTEMPT_COLUMNS`; `key` stands for the run."""
    log = row.log
    return (
        key,
        row.path,
        row.number,
        str(row.state),
        row.executor,
        _amounts_text(row.amounts),
        row.submitted_at,
        row.started_at,
        row.ended_at,
        row.duration_us,
        readable(row.worker),
        row.outcome,
        None if row.failure is None else json_text(row.failure),
        float(row.usage.cpu_ms),
        row.usage.memory_bytes_peak,
        None if log is None else readable(log.file),
        None if log is None else log.offset,
        None if log is None else log.size_bytes,
        row.stop_at,
        row.input_bytes,
        row.usage.gpu_memory_bytes_peak,
        float(row.usage.gpu_percent_mean),
        row.usage.disk_bytes_peak,
        json_text(row.reads),
        _json_of(row.outside) if row.outside else "[]",
    )


def decode_attempt(run_id: str, values: Sequence[Any]) -> AttemptRow:
    """An attempt from values of `ATTEMPT_COLUMNS`."""
    _, path, number, state, executor, amounts, submitted_at, started_at, ended_at, duration_us = values[:10]
    worker, outcome, failure, cpu_ms, memory_bytes_peak, log_file, log_offset, log_size_bytes, stop_at = values[10:19]
    input_bytes, *more, reads, outside = values[19:]
    return AttemptRow(
        run_id,
        path,
        number,
        _ATTEMPT_STATES[state],
        sys.intern(executor),
        amounts_of(amounts),
        submitted_at,
        started_at,
        ended_at,
        duration_us,
        sys.intern(worker),
        outcome if outcome is None else sys.intern(outcome),
        None if failure is None else _json(failure),
        Usage(cpu_ms, memory_bytes_peak, *more) if cpu_ms or memory_bytes_peak or any(more) else _NO_USAGE,
        None if log_file is None else LogSegment(sys.intern(log_file), log_offset, log_size_bytes),
        stop_at,
        input_bytes,
        _json(reads),
        () if outside == "[]" else tuple(json.loads(outside)),
    )


# -- the journal -------------------------------------------------------------------------------------------------------


def encode_entries(transitions: Iterable[Transition]) -> str:
    """The transitions of one run in one commit as a JSON array; written out here because every commit pays for it."""
    texts = [
        f'["{t.machine}",{quoted(t.id)},{quoted(t.before)},{quoted(t.after)},{_cause_text(t.cause)[1:]}'
        for t in transitions
    ]
    return f"[{','.join(texts)}]"


def decode_entries(first_sequence: int, at: Instant, text: str) -> list[JournalEntry]:
    return [
        JournalEntry(sequence, at, machine, id_, before, after, (code, by, why))
        for sequence, (machine, id_, before, after, code, by, why) in enumerate(json.loads(text), first_sequence)
    ]


# -- inbox, leases, metrics --------------------------------------------------------------------------------------------


def check_message(message: Message) -> None:
    """Raises ValueError for a kind that no commit could ever consume."""
    if message.kind not in MESSAGE_KINDS:
        raise ValueError(f"message {message.message_id} is of kind {message.kind!r}, not one of {MESSAGE_KINDS}")


def decode_message(run_id: str, values: Sequence[Any]) -> Message:
    message_id, kind, posted_at, body = values
    return Message(message_id, kind, run_id, posted_at, _json(body))


def encode_lease(epoch: int, holder: Holder, expires_at: int) -> Values:
    """Values of `LEASE_COLUMNS`."""
    return (epoch, holder.host, holder.boot_id, holder.pid, holder.process_started, holder.token, expires_at)


def decode_lease(run_id: str, values: Sequence[Any]) -> Lease:
    epoch, host, boot_id, pid, process_started, token, expires_at = values
    return Lease(run_id, epoch, Holder(host, boot_id, pid, process_started, token), expires_at)


def encode_observation(key: int | str, observation: Observation) -> Values:
    """Values of `METRIC_COLUMNS`. NaN becomes None: SQLite would make it one, silently."""
    _, path, number = split_attempt_id(observation.attempt_id)
    value = None if math.isnan(observation.value) else float(observation.value)
    step = observation.step
    if step is not None and not -(2**63) <= step < 2**63:
        step = None  # no database holds it, and no run may fail for what it logs
    return (key, path, number, readable(observation.name), value, step, observation.at)


def decode_observation(run_id: str, values: Sequence[Any]) -> Observation:
    _, path, number, name, value, step, at = values
    return Observation(attempt_id(run_id, path, number), name, math.nan if value is None else value, step, at)
