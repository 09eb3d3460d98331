"""What attempts teach about the memory of their components, kept as they end: a small table that is read by component, never
worked out from attempts. `testing.memory_state` folds with the same functions.

Of each of a component's newest runs: how many attempts were measured, and their largest peaks. A percentile over all of them
is exact as long as it lies among those that are kept, and otherwise too high rather than too low."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from penstock.effects import MemoryHistory
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, TaskRunRow
from penstock.engine.states import AttemptState
from penstock.plan.learning import input_class
from penstock.stores.sql.statements import upsert

RUNS_MAX = 20
"""So many runs of a component are remembered."""

PEAKS_MAX = 20
"""So many of the largest peaks of each."""

FORGET_BELOW = 4
"""What worked after an attempt had run out of memory is forgotten once one gets along with this part of it: twice the
memory that was too little is never so much too much."""

SELECT_MEMORY = "SELECT runs FROM component_memory WHERE component = ?"
UPSERT_MEMORY = upsert("component_memory", ("component", "runs"), keys=1)
SELECT_WORKED = "SELECT input_class, memory_bytes FROM component_worked WHERE component = ? ORDER BY input_class"
UPSERT_WORKED = upsert("component_worked", ("component", "input_class", "memory_bytes"), keys=2)
DELETE_WORKED = "DELETE FROM component_worked WHERE component = ? AND input_class = ?"

Runs = list[Any]
"""[[run id, attempts measured, [peaks, the largest first]], ...], the newest run last; as it is stored."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One attempt that succeeded and was measured. `memory_bytes` is what it had after another had run out of memory; 0:
    none had."""

    peak_bytes: int
    input_class: int
    memory_bytes: int


def lessons_in(transitions: Iterable[Transition]) -> dict[tuple[str, str], list[Lesson]]:
    """By run and component, what the attempts teach that end in one commit; each ends beside its task run."""
    task_runs: dict[tuple[str, str], TaskRunRow] = {}
    ended: list[AttemptRow] = []
    for transition in transitions:
        row = transition.row
        if isinstance(row, TaskRunRow):
            task_runs[row.run_id, row.path] = row
        elif isinstance(row, AttemptRow) and transition.after == AttemptState.ENDED and row.outcome == "succeeded":
            if row.usage.memory_bytes_peak > 0:
                ended.append(row)
    lessons: dict[tuple[str, str], list[Lesson]] = {}
    for row in ended:
        task = task_runs.get((row.run_id, row.path))
        if task is not None:
            memory = dict(row.amounts).get("memory", 0) if task.oom_count else 0
            lesson = Lesson(row.usage.memory_bytes_peak, input_class(row.input_bytes), memory)
            lessons.setdefault((row.run_id, task.component), []).append(lesson)
    return lessons


def folded(runs: Runs, run_id: str, lessons: Sequence[Lesson]) -> Runs:
    """The runs of a component with what one more commit of a run taught."""
    own: Any = next((run for run in runs if run[0] == run_id), [run_id, 0, []])
    peaks = sorted([*own[2], *(lesson.peak_bytes for lesson in lessons)], reverse=True)[:PEAKS_MAX]
    others = [run for run in runs if run[0] != run_id]
    return [*others, [run_id, own[1] + len(lessons), peaks]][-RUNS_MAX:]


def worked_after(worked: Mapping[int, int], lessons: Iterable[Lesson]) -> dict[int, int]:
    """What worked by class of input size, with what these attempts taught."""
    known = dict(worked)
    for lesson in lessons:
        if lesson.memory_bytes:
            known[lesson.input_class] = lesson.memory_bytes
        else:
            for class_, memory in list(known.items()):
                if class_ <= lesson.input_class and lesson.peak_bytes * FORGET_BELOW < memory:
                    del known[class_]
    return known


def history_in(runs: Runs, worked: Mapping[int, int]) -> MemoryHistory:
    peaks = sorted((peak for _, _, tops in runs for peak in tops), reverse=True)
    count = sum(run[1] for run in runs)
    rank = min(count // 20, PEAKS_MAX - 1)
    return MemoryHistory(
        len(runs),
        count,
        peaks[rank] if peaks else 0,
        peaks[0] if peaks else 0,
        tuple(sorted(worked.items())),
    )


# -- in memory ---------------------------------------------------------------------------------------------------------

Memory = dict[str, tuple[Runs, dict[int, int]]]
"""By component: its newest runs, and what worked."""


def teach(memory: Memory, transitions: Iterable[Transition]) -> None:
    for (run_id, component), lessons in lessons_in(transitions).items():
        runs, worked = memory.get(component, ([], {}))
        memory[component] = folded(runs, run_id, lessons), worked_after(worked, lessons)


def taught(memory: Memory, component: str) -> MemoryHistory | None:
    return history_in(*memory[component]) if component in memory else None


# -- in the database ---------------------------------------------------------------------------------------------------


def write(connection: Connection, transitions: Iterable[Transition]) -> None:
    for (run_id, component), lessons in lessons_in(transitions).items():
        runs = folded(_runs(connection, component), run_id, lessons)
        connection.execute(UPSERT_MEMORY, (component, json.dumps(runs, separators=(",", ":"))))
        before = _worked(connection, component)
        after = worked_after(before, lessons)
        for class_ in before.keys() - after.keys():
            connection.execute(DELETE_WORKED, (component, class_))
        for class_, memory in after.items():
            if before.get(class_) != memory:
                connection.execute(UPSERT_WORKED, (component, class_, memory))


def read(connection: Connection, component: str) -> MemoryHistory | None:
    runs = _runs(connection, component)
    return history_in(runs, _worked(connection, component)) if runs else None


def _runs(connection: Connection, component: str) -> Runs:
    row = connection.execute(SELECT_MEMORY, (component,)).fetchone()
    return [] if row is None else list(json.loads(row[0]))


def _worked(connection: Connection, component: str) -> dict[int, int]:
    return dict(connection.execute(SELECT_WORKED, (component,)))
