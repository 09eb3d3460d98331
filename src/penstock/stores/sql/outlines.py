"""Outlines of rows, for views of a whole run: every row is checked as when all of it is read, and little of it is decoded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from sqlite3 import Connection
from typing import Any

from penstock.effects import AttemptOutline, TaskRunOutline
from penstock.stores.sql import codec, side
from penstock.stores.sql.statements import select_by_path
from penstock.stores.sql.sums import decoded


def _picked(columns: Sequence[str], *names: str) -> itemgetter[Any]:
    return itemgetter(*map(columns.index, names))


_TASK_RUN = _picked(
    codec.TASK_RUN_COLUMNS,
    *("path", "component", "state", "cause", "origin", "attempt", "ready_at", "started_at", "ended_at"),
)
_ATTEMPT = _picked(
    codec.ATTEMPT_COLUMNS,
    *("path", "number", "amounts", "submitted_at", "started_at", "ended_at", "duration_us", "outcome"),
)
_USED = _picked(
    codec.ATTEMPT_COLUMNS,
    *("cpu_ms", "memory_bytes_peak", "gpu_memory_bytes_peak", "gpu_percent_mean", "disk_bytes_peak"),
)


def task_runs(connection: Connection, key: int) -> list[TaskRunOutline]:
    statement = select_by_path("task_runs", codec.TASK_RUN_COLUMNS, "path")
    found = list(decoded("task_runs", connection.execute(statement, (key,)), _task_run))
    return side.whole(connection, key, "task_runs", found)


def attempts(connection: Connection, key: int) -> list[AttemptOutline]:
    statement = select_by_path("attempts", codec.ATTEMPT_COLUMNS, "path, number")
    found = list(decoded("attempts", connection.execute(statement, (key,)), _attempt))
    return side.whole(connection, key, "attempts", found)


# Past the constructors of named tuples, which cost as much as all the rest.
_task_run_of = partial(tuple.__new__, TaskRunOutline)
_attempt_of = partial(tuple.__new__, AttemptOutline)


def _task_run(values: codec.Values) -> TaskRunOutline:
    path, component, state, cause, origin, attempt, ready_at, started_at, ended_at = _TASK_RUN(values)
    known = codec.TASK_STATES[state], codec.cause_of(cause), codec.ORIGINS[origin]
    return _task_run_of((path, sys.intern(component), *known, attempt, ready_at, started_at, ended_at))


def _attempt(values: codec.Values) -> AttemptOutline:
    path, number, amounts, submitted_at, started_at, ended_at, duration_us, outcome = _ATTEMPT(values)
    known = codec.amounts_of(amounts), submitted_at, started_at, ended_at, duration_us, outcome
    return _attempt_of((path, number, *known, _USED(values)))
