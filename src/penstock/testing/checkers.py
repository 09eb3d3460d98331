"""What must hold whatever happens: looked at after every commit of a simulated world, and at its end.

The checkers know the tables, the store's rows and the naive meaning of a graph; they share no code with the engine's
decisions. A violation is an AssertionError that says what was broken."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.base.ids import split_attempt_id
from penstock.engine.events import CapacityReported, Command, StartAttempt, Transition
from penstock.engine.rows import AttemptRow, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import (
    ATTEMPT_TABLE,
    RUN_TABLE,
    TASK_TABLE,
    TERMINAL_RUN_STATES,
    TERMINAL_TASK_STATES,
    AttemptState,
    RunState,
    TaskState,
)
from penstock.graph.model import Branch, Call, Finally, Graph, Loop, Map, Node, bodies_of
from penstock.testing import naive
from penstock.testing.naive_values import Ended, Scope, bind, items_of, value_of
from penstock.wire import Datum, Inline

GENERATION = re.compile(r"~\d+(?=/)")
TAKEN_IN = frozenset({"succeeded", "failed", "timed_out", "out_of_memory", "skipped", "not_yet", "output_invalid"})
"""Outcomes that the function gave, as opposed to what befell its attempt."""

_TABLES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "run": {str(state): frozenset(map(str, after)) for state, after in RUN_TABLE.items()},
    "task": {str(state): frozenset(map(str, after)) for state, after in TASK_TABLE.items()},
    "attempt": {str(state): frozenset(map(str, after)) for state, after in ATTEMPT_TABLE.items()}
    | {"": frozenset({str(AttemptState.SUBMITTED)})},
}
_FIRST = {"run": str(RunState.PENDING), "task": str(TaskState.WAITING), "attempt": ""}


class Violation(AssertionError):
    """Something that must hold does not."""


def demand(holds: bool, text: str) -> None:
    if not holds:
        raise Violation(text)


@dataclass(slots=True)
class Journal:
    """What has been committed so far, followed transition by transition."""

    states: dict[tuple[str, str, str], str] = field(default_factory=dict)
    tries: dict[tuple[str, str], int] = field(default_factory=dict)
    """By run and path without generations: how many outcomes of the function itself were taken in."""
    open: dict[str, AttemptRow] = field(default_factory=dict)
    """Attempts that were submitted and have not ended, in order, by id."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """Of the runs that are followed, by run."""
    stopped: dict[str, list[str]] = field(default_factory=dict)
    """By run: what the paths of those graphs begin with in which nothing new may start, but finally nodes."""
    killed: set[str] = field(default_factory=set)
    """Runs in which not even those may."""

    def follow(self, transitions: Iterable[Transition]) -> list[AttemptRow]:
        """Check and note what one commit changed; the attempts that it submitted."""
        submitted = []
        for change in transitions:
            self._chain(change)
            row = change.row
            if not isinstance(row, AttemptRow):
                self._note_stop(change)
                continue
            attempt_id = f"{change.run_id}/{change.id}"
            if change.before == "":
                self._may_start(row)
                submitted.append(row)
            if change.after == AttemptState.ENDED:
                self.open.pop(attempt_id, None)
                self._count(row)
            else:
                self.open[attempt_id] = row
        return submitted

    def _chain(self, change: Transition) -> None:
        where = (
            f"{change.machine} {change.run_id}/{change.id}: {change.before!r} -> {change.after!r} ({change.cause.code})"
        )
        key = (change.run_id, change.machine, change.id)
        before = self.states.get(key, _FIRST[change.machine])
        demand(change.before == before, f"{where}, but it was {before!r}")
        # A run or an attempt that is asked to stop changes its row and stays in its state.
        same = change.before == change.after and change.machine in ("run", "attempt")
        live = bool(_TABLES[change.machine][str(before)])
        allowed = change.after in _TABLES[change.machine][str(before)] or (same and live)
        demand(allowed, f"{where} is not in the table")
        self.states[key] = str(change.after)

    def _note_stop(self, change: Transition) -> None:
        stopped = self.stopped.setdefault(change.run_id, [])
        if isinstance(change.row, RunRow):
            if change.before == change.after:
                stopped.append("")
            if change.row.stopping == "kill":
                self.killed.add(change.run_id)
        elif change.after == TaskState.FAILED and change.run_id in self.graphs:
            spot = list(spots(self.graphs[change.run_id], change.id))[-1]
            if spot.graph.fail_fast:
                stopped.append(spot.prefix)

    def _may_start(self, row: AttemptRow) -> None:
        on_path = list(spots(self.graphs[row.run_id], row.path)) if row.run_id in self.graphs else []
        for prefix in self.stopped.get(row.run_id, ()):
            inside = [spot for spot in on_path if spot.prefix.startswith(prefix) and row.path.startswith(prefix)]
            lasting = any(isinstance(spot.node, Finally) for spot in inside) and row.run_id not in self.killed
            demand(not inside or lasting, f"{row.path} starts after {prefix!r} was to stop")

    def _count(self, row: AttemptRow) -> None:
        demand(row.outcome is not None, f"{row.path}#{row.number} ended without an outcome")
        if row.outcome in TAKEN_IN:
            key = (row.run_id, GENERATION.sub("", row.path))
            self.tries[key] = self.tries.get(key, 0) + 1

    def tried(self, run_id: str, path: str) -> int:
        return self.tries.get((run_id, GENERATION.sub("", path)), 0)


@dataclass(frozen=True, slots=True)
class Spot:
    """A node that a path leads through or to: in which graph it stands, and the item, case or round that the path takes."""

    prefix: str
    graph: Graph
    node: Node
    key: str = ""


def spots(graph: Graph, path: str) -> Iterator[Spot]:
    """The nodes along a task run's path, from the root on."""
    segments, prefix = path.split("/"), ""
    while segments:
        segment = segments.pop(0)
        name = segment.partition("~")[0]
        node = next(node for node in graph.nodes if node.name == name)
        keyed = isinstance(node, (Map, Branch, Loop)) and bool(segments)
        key = segments.pop(0) if keyed else ""
        yield Spot(prefix, graph, node, key)
        prefix = f"{prefix}{segment}/{key}/" if keyed else f"{prefix}{segment}/"
        if segments:
            bodies = [body for body, _ in bodies_of(node)]
            graph = bodies[int(key)] if isinstance(node, Branch) else bodies[0]


def check_parallel(journal: Journal, run_id: str) -> None:
    """No map has attempts of more items at once than its `parallel_max`."""
    items: dict[str, set[str]] = {}
    limits: dict[str, int] = {}
    for row in journal.open.values():
        for spot in spots(journal.graphs[run_id], row.path) if row.run_id == run_id else ():
            if isinstance(spot.node, Map) and spot.node.parallel_max is not None:
                where = spot.prefix + spot.node.name
                items.setdefault(where, set()).add(spot.key)
                limits[where] = spot.node.parallel_max
    for where, keys in items.items():
        demand(len(keys) <= limits[where], f"{where}: items {sorted(keys)} at once, at most {limits[where]}")


def check_rows(transitions: Iterable[Transition], record: RunRecord) -> None:
    """The store holds the last row of each identity in a commit."""
    last = {(change.machine, change.id): change for change in transitions if change.run_id == record.run.run_id}
    stored: dict[tuple[str, str], str] = {("run", record.run.run_id): record.run.state}
    stored |= {("task", row.path): row.state for row in record.task_runs}
    stored |= {("attempt", f"{row.path}#{row.number}"): row.state for row in record.attempts}
    for key, change in last.items():
        demand(stored.get(key) == change.after, f"{key}: committed {change.after!r}, stored {stored.get(key)!r}")


def check_capacity(
    journal: Journal, submitted: Iterable[AttemptRow], reported: CapacityReported, run_ids: Container[str]
) -> None:
    """What was submitted for some runs fits into what the executor reported; `ahead_max` attempts of one shape may wait
    beyond it."""
    mine = [row for row in submitted if row.executor == reported.executor]
    if not mine:
        return
    rows = [row for row in journal.open.values() if row.executor == reported.executor and row.run_id in run_ids]
    over: dict[str, int] = {}
    for shape in dict.fromkeys(row.amounts for row in rows):
        same = [f"{row.path}#{row.number}" for row in rows if row.amounts == shape]
        ahead = set(same[-reported.ahead_max :]) if reported.ahead_max else set()
        over = dict(reported.amounts)
        for row in rows:
            for name, amount in row.amounts if f"{row.path}#{row.number}" not in ahead else ():
                over[name] = over.get(name, 0) - amount
        # What was taken over from another controller may be beyond it already, in what these do not take. What waits
        # beyond a capacity that has shrunk below what runs is no more than what may wait.
        taken = {name for row in mine for name, amount in row.amounts if amount}
        if all(over.get(name, 0) >= 0 for name in taken) or all(f"{row.path}#{row.number}" in ahead for row in mine):
            return
    raise Violation(f"{mine[-1].path}: submitted beyond capacity {reported}; left {over}: {[r.path for r in rows]}")


# -- inputs ------------------------------------------------------------------------------------------------------------


def check_inputs(command: Command, graph: Graph, record: RunRecord) -> None:
    """What an attempt is given is what its upstreams' rows hold."""
    if not isinstance(command, StartAttempt):
        return
    _, path, _ = split_attempt_id(command.request.attempt_id)
    expected = inputs_of(path, graph, record)
    demand(expected == dict(command.request.inputs), f"{path}: started with {command.request.inputs}, not {expected}")


def inputs_of(path: str, graph: Graph, record: RunRecord) -> dict[str, Datum]:
    """What a task run is given, by the rows of what it comes after."""
    rows = {row.path: row for row in record.task_runs}
    given = {spec.name: Inline(spec.default.value) for spec in graph.inputs if spec.default} | dict(record.run.inputs)
    try:
        return _inputs_of(path.split("/"), graph, given, rows, "")
    except KeyError as missing:
        raise Violation(f"{path}: taken up before {missing} ended") from missing


def _inputs_of(
    segments: list[str], graph: Graph, inputs: Mapping[str, Datum], rows: Mapping[str, TaskRunRow], prefix: str
) -> dict[str, Datum]:
    name = segments[0].partition("~")[0]
    node = next(node for node in graph.nodes if node.name == name)
    scope = scope_of(graph, inputs, rows, prefix)
    inside = f"{prefix}{segments[0]}/"
    match node:
        case Map():
            index = int(segments[1])
            item = items_of(node.items, scope)[index]
            bound = bind(node.body.inputs, node.inputs, replace(scope, item=item, index=index))
            return _inputs_of(segments[2:], node.body, bound, rows, f"{inside}{index}/")
        case Branch():
            case = node.cases[int(segments[1])]
            bound = bind(case.body.inputs, case.inputs, scope)
            return _inputs_of(segments[2:], case.body, bound, rows, f"{inside}{segments[1]}/")
        case Loop():
            bound = _round_inputs(node, int(segments[1]), scope, rows, inside)
            return _inputs_of(segments[2:], node.body, bound, rows, f"{inside}{segments[1]}/")
        case Call() | Finally():
            if isinstance(node, Finally):
                scope = replace(scope, watched=node.watch)
            bound = bind(node.component.inputs, node.inputs, scope)
            if not isinstance(node.component, Graph):
                return bound
            return _inputs_of(segments[1:], node.component, bound, rows, inside)


def scope_of(graph: Graph, inputs: Mapping[str, Datum], rows: Mapping[str, TaskRunRow], prefix: str) -> Scope:
    """A graph's nodes as far as they have ended by the rows."""
    ended = {}
    for node in graph.nodes:
        row = rows.get(prefix + node.name)
        if row is not None and row.state in TERMINAL_TASK_STATES:
            ended[node.name] = Ended(row.state.value, row.cause.code, row.outputs)
    return Scope(inputs, ended)


def _round_inputs(
    node: Loop, number: int, scope: Scope, rows: Mapping[str, TaskRunRow], inside: str
) -> dict[str, Datum]:
    bound = bind(node.body.inputs, node.inputs, replace(scope, round=number))
    if number == 1:
        return bound
    before = _round_inputs(node, number - 1, scope, rows, inside)
    body = scope_of(node.body, before, rows, f"{inside}{number - 1}/")
    values = {output.name: output.value for output in node.body.outputs}
    return bound | {into: value_of(values[name], body) for name, into in node.carry.items()}


# -- the end -----------------------------------------------------------------------------------------------------------


def final_task_runs(record: RunRecord) -> dict[str, TaskRunRow]:
    """Task runs of the last generations, by path without generations."""
    generation = {row.path: row.generation for row in record.task_runs}
    found = {}
    for row in record.task_runs:
        segments = row.path.split("/")
        for depth, segment in enumerate(segments[:-1]):
            name, _, number = segment.partition("~")
            holder = "/".join([*segments[:depth], name])
            if generation.get(holder, 0) != int(number or 0):
                break
        else:
            found[GENERATION.sub("", row.path)] = row
    return found


def check_end(
    record: RunRecord,
    expected: naive.Result,
    graph: Graph,
    *,
    timed: bool = False,
    cancelled: bool = False,
    killed: bool = False,
) -> None:
    """A run that has ended gave what its graph means. Where a person, `fail_fast` or limits on time (`timed`) shaped
    it, only what is determined counts."""
    run = record.run
    demand(run.state in TERMINAL_RUN_STATES, f"{run.run_id} did not end: {run.state}")
    for row in record.task_runs:
        demand(row.state in TERMINAL_TASK_STATES, f"{run.run_id} ended while {row.path} is {row.state}")
    for attempt in record.attempts:
        demand(attempt.state is AttemptState.ENDED, f"{run.run_id} ended while {attempt.path}#{attempt.number} is open")
    rows = final_task_runs(record)
    direct = {node.name for node in graph.nodes}
    demand(direct <= set(rows), f"{run.run_id} ended without {sorted(direct - set(rows))}")
    if not killed:
        for node in graph.nodes:
            stopped = isinstance(node, Finally) and rows[node.name].state is TaskState.CANCELLED
            demand(not stopped, f"finally node {node.name} did not run")
    if cancelled:
        demand(run.state is RunState.CANCELLED or run.stopping == "", f"{run.run_id} was cancelled and is {run.state}")
        return
    if timed:
        return
    demand(run.state.value == expected.state, f"{run.run_id} is {run.state}, and should be {expected.state}")
    if graph.fail_fast and run.state is RunState.FAILED:
        return
    demand(set(rows) == set(expected.task_runs), _difference(set(rows), set(expected.task_runs)))
    for path, ended in expected.task_runs.items():
        check_task_run(rows[path], ended)
    demand(dict(run.outputs) == dict(expected.outputs), f"outputs {run.outputs}, and should be {expected.outputs}")


def check_task_run(row: TaskRunRow, ended: Ended) -> None:
    code = row.cause.code if row.state is not TaskState.SUCCEEDED else ""
    found = (row.state.value, code, dict(row.outputs))
    expected = (ended.state, ended.cause, dict(ended.outputs) if ended.state == "succeeded" else {})
    demand(found == expected, f"{row.path} is {found}, and should be {expected}")


def _difference(found: set[str], expected: set[str]) -> str:
    return f"task runs missing: {sorted(expected - found)}; too many: {sorted(found - expected)}"


def difference(found: Any, expected: Any, where: str = "") -> str:
    """Where two nested pictures differ, as lines."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        return "\n".join(difference(found.get(key), expected.get(key), f"{where}/{key}") for key in keys)
    return f"  {where}: rebuilt {found!r}\n  {where}: in memory {expected!r}"
