"""The task runs that made what hits found. Pure reading: of a run of which many are asked for, all rows are read at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.effects import AttemptOutline, TaskRunOutline
from penstock.engine.states import Origin

if TYPE_CHECKING:
    from penstock.effects import StateStore

HOPS_MAX = 20
READ_ALONE_MAX = 1_000
"""Of more rows of one run than so many, all of that run are read: that is faster."""
Rows = tuple[Mapping[str, TaskRunOutline], Mapping[str, AttemptOutline]]


class EarlierRuns:
    """Rows of other runs, by run and path. `wanted`: how many of each run are going to be asked for."""

    def __init__(self, store: StateStore, wanted: Mapping[str, int]) -> None:
        self._store = store
        self._wanted = wanted
        self._known: dict[str, bool] = {}
        self._whole: dict[str, Rows] = {}

    def is_known(self, run_id: str) -> bool:
        """Whether the run is still there."""
        if run_id not in self._known:
            self._known[run_id] = self._store.run(run_id) is not None
        return self._known[run_id]

    def task_run(self, run_id: str, path: str) -> TaskRunOutline | None:
        if not self.is_known(run_id):
            return None
        if self._is_read_whole(run_id):
            return self._rows_of(run_id)[0].get(path)
        rows = self._store.task_runs(run_id, path)
        return TaskRunOutline.of(rows[0]) if rows else None

    def attempt(self, run_id: str, path: str) -> AttemptOutline | None:
        """The newest one."""
        if not self.is_known(run_id):
            return None
        if self._is_read_whole(run_id):
            return self._rows_of(run_id)[1].get(path)
        rows = self._store.attempts(run_id, path)
        return AttemptOutline.of(rows[-1]) if rows else None

    def maker_of(self, run_id: str, row: TaskRunOutline) -> tuple[str, str]:
        """The run and path of the task run that made a task run's outputs: its own, or over chains of retried runs that of which
        a hit comes from; where it is gone, the last that is known."""
        at = (run_id, row.path)
        for _ in range(HOPS_MAX):
            if row.origin is not Origin.CACHED:
                break
            source, _, path = row.cause.by.partition("/")
            at = (source, path)
            found = self.task_run(*at)
            if found is None:
                break
            row = found
        return at

    def _is_read_whole(self, run_id: str) -> bool:
        return self._wanted.get(run_id, 0) > READ_ALONE_MAX

    def _rows_of(self, run_id: str) -> Rows:
        if run_id not in self._whole:
            outline = self._store.outline(run_id)
            self._whole[run_id] = (
                {row.path: row for row in outline.task_runs},
                {attempt.path: attempt for attempt in outline.attempts},
            )
        return self._whole[run_id]
