"""A whole run at a glance: its rows, read once and without what is long in them, in the order of the flow. What a view shows of
each task run is made when it is asked for, as there may be hundreds of thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.app.earlier import READ_ALONE_MAX, EarlierRuns
from penstock.app.failures import Failing
from penstock.app.logged import exhibits_by_path
from penstock.app.playing import graph_of
from penstock.app.results import TaskRunResult, glance_of
from penstock.effects import AttemptOutline, RunOutline, TaskRunOutline
from penstock.engine.rows import NO_CAUSE
from penstock.engine.states import TERMINAL_RUN_STATES, Origin, TaskState
from penstock.graph.components import names_in
from penstock.graph.flow import flow_key
from penstock.graph.model import Call, Finally

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.engine.rows import AttemptRow, TaskRunRow
    from penstock.graph.model import Graph
    from penstock.wire import Exhibit


@dataclass(frozen=True)
class Overview:
    """`made` are the attempts that made what hits found, by `RUN/path`, None where they are gone; `last` is the newest attempt
    at each path."""

    outline: RunOutline
    graph: Graph
    made: Mapping[str, AttemptOutline | None]
    exhibits: Mapping[str, tuple[Exhibit, ...]]
    failing: tuple[Failing, ...]
    last: Mapping[str, AttemptOutline]

    @cached_property
    def rows(self) -> Sequence[TaskRunOutline]:
        """In the order of the flow; of a run that goes on, with those that wait."""
        outline, key = self.outline, flow_key(self.graph)
        rows = list(outline.task_runs)
        if outline.run.state not in TERMINAL_RUN_STATES:
            rows += _waiting(self.graph, known=frozenset(row.path for row in rows))
        return sorted(rows, key=lambda row: key(row.path))

    def glance(self, row: TaskRunOutline) -> TaskRunResult:
        made = self.made.get(row.cause.by) if row.origin is Origin.CACHED else None
        return glance_of(row, self.last.get(row.path), made=made, exhibits=self.exhibits.get(row.path, ()))

    def glances(self) -> Iterator[TaskRunResult]:
        return map(self.glance, self.rows)


def overview_of(store: StateStore, run_id: str) -> Overview:
    outline = store.outline(run_id)
    rows = outline.task_runs
    sources = {row.cause.by: row.cause.by.partition("/") for row in rows if row.origin is Origin.CACHED}
    earlier = EarlierRuns(store, Counter(source for source, _, _ in sources.values()))
    made = {by: earlier.attempt(source, path) for by, (source, _, path) in sources.items()}
    return Overview(
        outline,
        graph_of(store, outline.run),
        made,
        exhibits_by_path(store, earlier, outline.run, rows),
        _failing(store, run_id, rows),
        {attempt.path: attempt for attempt in outline.attempts},
    )


def _failing(store: StateStore, run_id: str, rows: Sequence[TaskRunOutline]) -> tuple[Failing, ...]:
    paths = [row.path for row in rows if row.state is TaskState.FAILED]
    found: list[TaskRunRow] = []
    attempts: list[AttemptRow] = []
    for path in paths if len(paths) <= READ_ALONE_MAX else [None]:
        found += [row for row in store.task_runs(run_id, path) if row.state is TaskState.FAILED]
        attempts += store.attempts(run_id, path)
    last = {attempt.path: attempt for attempt in attempts}
    return tuple(Failing(row, last.get(row.path)) for row in found)


def _waiting(graph: Graph, *, known: frozenset[str]) -> Iterator[TaskRunOutline]:
    """The nodes of the run's own graph that have no row yet: they wait."""
    names = names_in(graph)
    for node in graph.nodes:
        if node.name not in known:
            kind = type(node).__name__.lower()
            if isinstance(node, (Call, Finally)):
                kind = names.get(id(node.component), kind)
            yield TaskRunOutline(node.name, kind, TaskState.WAITING, NO_CAUSE)
