"""What the tasks of a stored run were given: the run is played again from its rows, every attempt answered with what is
stored of it. Inputs are not stored; they follow from the graph and from outputs, and the engine is what knows how."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.app.rehearsing import play_unlimited
from penstock.base.ids import split_attempt_id
from penstock.effects import StateStore
from penstock.engine.rows import RunRow
from penstock.engine.states import TaskState
from penstock.graph.codec import graph_from_json
from penstock.graph.model import Graph
from penstock.plan.model import Plan
from penstock.plan.passes import make_plan
from penstock.wire import AttemptRequest, Datum, Failed, Failure, Outcome, Skipped, Succeeded

# The end of an attempt of which nothing is stored that could be answered.
UNTOLD = Failed(Failure("", ""), final=True)


def graph_of(store: StateStore, run: RunRow) -> Graph:
    return graph_from_json(dict(store.graph(run.graph_digest)))


def plan_of(store: StateStore, run: RunRow) -> Plan:
    """The plan of a run's graph, without keys."""
    return make_plan(graph_of(store, run))


def inputs_of_run(store: StateStore, run: RunRow, plan: Plan) -> Mapping[str, Mapping[str, Datum]]:
    """The inputs of every function that was ready in a run, by path. The plan is changed by it."""
    rows = {row.path: row for row in store.task_runs(run.run_id)}
    inputs: dict[str, Mapping[str, Datum]] = {}

    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        _, path, _ = split_attempt_id(request.attempt_id)
        inputs[path] = request.inputs
        row = rows.get(path)
        if row is not None and row.state is TaskState.SUCCEEDED:
            return Succeeded(row.outputs), 0.0
        if row is not None and row.state is TaskState.SKIPPED:
            return Skipped(), 0.0
        return UNTOLD, 0.0

    play_unlimited(run, plan, respond=respond)
    return inputs
