"""What a task run was given is found from the rows that it depends on: the same as the whole run played again says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from penstock.app.paths import place_of
from penstock.app.playing import UNTOLD, inputs_of_run, inputs_of_task
from penstock.app.rehearsing import play_unlimited
from penstock.base.ids import split_attempt_id
from penstock.base.instants import Instant
from penstock.effects import StateStore
from penstock.engine.rows import RunRow, TaskRunRow
from penstock.graph.codec import type_from_json
from penstock.plan.passes import make_plan
from penstock.testing.fakes import outcome_of
from penstock.testing.graphs import random_scenario
from penstock.wire import AttemptRequest, Datum, Inline, Outcome, Skipped, Succeeded

SEEDS = range(40)


class Rows:
    """The rows of one run; `whole` counts how often all of them were asked for."""

    def __init__(self, rows: Sequence[TaskRunRow]) -> None:
        self._rows = rows
        self.whole = 0

    def task_runs(self, run_id: str, path: str | None = None, *, below: bool = False) -> Sequence[TaskRunRow]:
        self.whole += path is None
        return [row for row in self._rows if path in (None, row.path)]


def played(seed: int) -> tuple[Any, RunRow, Rows, dict[str, dict[str, Datum]]]:
    scenario = random_scenario(seed)
    defaults: dict[str, Datum] = {
        spec.name: Inline(spec.default.value) for spec in scenario.graph.inputs if spec.default
    }
    run = RunRow("1" * 13, "p", "d", defaults | dict(scenario.inputs), "pin", 0, Instant(1_000))
    given: dict[str, dict[str, Datum]] = {}

    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        path = split_attempt_id(request.attempt_id)[1]
        given[path] = dict(request.inputs)
        outputs = {name: type_from_json(data) for name, data in request.component.outputs.items()}
        outcome = outcome_of(request.component.name, outputs, request.inputs, 5)
        return outcome if isinstance(outcome, (Succeeded, Skipped)) else UNTOLD, 1.0

    ended = play_unlimited(run, make_plan(scenario.graph), respond=respond)
    return scenario.graph, run, Rows(ended.task_runs), given


@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_of_one_task_run_are_those_that_it_was_given(seed: int) -> None:
    graph, run, rows, given = played(seed)
    store = cast("StateStore", rows)
    again = inputs_of_run(store, run, make_plan(graph))
    kinds = {row.path: row.component for row in rows.task_runs(run.run_id)}
    for path, inputs in given.items():
        rows.whole = 0
        assert inputs_of_task(store, run, make_plan(graph), path) == again[path] == inputs, path
        assert rows.whole == ("loop" in holders_of(path, kinds)), path


def holders_of(path: str, kinds: dict[str, str]) -> list[str]:
    """The kinds of the nodes that hold a task run."""
    found = []
    while path := place_of(path).holder:
        found.append(kinds[path])
    return found


def test_there_are_maps_branches_loops_and_nested_pipelines_among_them() -> None:
    found: set[str] = set()
    for seed in SEEDS:
        _, run, rows, given = played(seed)
        kinds = {row.path: row.component for row in rows.task_runs(run.run_id)}
        found.update(kind for path in given for kind in holders_of(path, kinds))
    assert found >= {"map", "branch", "loop", "call"}
