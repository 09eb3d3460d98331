"""Rows without what is long in them. A view of a whole run needs all of its task runs and attempts, of which there may be
hundreds of thousands, and of each a few short values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from penstock.base.instants import Instant
from penstock.engine.rows import Amounts, AttemptRow, Cause, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import Origin, TaskState
from penstock.wire import Usage


class TaskRunOutline(NamedTuple):
    """Of a `TaskRunRow`, by the same names."""

    path: str
    component: str
    state: TaskState
    cause: Cause
    origin: Origin | None = None
    attempt: int = 0
    ready_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


class AttemptOutline(NamedTuple):
    """Of an `AttemptRow`, by the same names; `used` are the values of its usage."""

    path: str
    number: int
    amounts: Amounts
    submitted_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    duration_us: int
    outcome: str | None
    used: tuple[float, ...]

    @property
    def usage(self) -> Usage:
        return Usage(*self.used)  # type: ignore[arg-type]  # a number of bytes is whole


class RunOutline(NamedTuple):
    """A run, its task runs by path, its attempts by path and number."""

    run: RunRow
    task_runs: Sequence[TaskRunOutline]
    attempts: Sequence[AttemptOutline]


def outlined(record: RunRecord) -> RunOutline:
    return RunOutline(
        record.run,
        [outline_of_task_run(row) for row in record.task_runs],
        [outline_of_attempt(row) for row in record.attempts],
    )


def outline_of_task_run(row: TaskRunRow) -> TaskRunOutline:
    return TaskRunOutline(*(getattr(row, name) for name in TaskRunOutline._fields))


def outline_of_attempt(row: AttemptRow) -> AttemptOutline:
    known = {name: getattr(row, name) for name in AttemptOutline._fields if name != "used"}
    return AttemptOutline(**known, used=tuple(getattr(row.usage, each.name) for each in fields(Usage)))
