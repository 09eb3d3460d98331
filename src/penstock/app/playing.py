"""What the tasks of a stored run were given: the run is played again from its rows, every attempt answered with what is
stored of it. Inputs are not stored; they follow from the graph and from outputs, and the engine is what knows how."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.app.paths import place_of
from penstock.app.rehearsing import play_unlimited
from penstock.base.errors import ExpressionError
from penstock.base.ids import split_attempt_id
from penstock.effects import StateStore
from penstock.engine.binding import Unbound, bind
from penstock.engine.control import bind_item, open_body
from penstock.engine.memory import Run, Scope, TaskRun
from penstock.engine.progress import frame_of
from penstock.engine.rebuild import bind_map, body_inputs
from penstock.engine.rows import RunRow
from penstock.engine.states import TaskState
from penstock.graph.codec import graph_from_json
from penstock.graph.model import Graph, Loop, Map
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


def inputs_of_task(store: StateStore, run: RunRow, plan: Plan, path: str) -> Mapping[str, Datum]:
    """The inputs of one function's task run; empty where it was never ready. Only the rows are read that they come from: of a
    map over 100,000 items, one. The round before a round of a loop is not a row, so there the whole run is played. The plan
    is changed by that."""
    task = _task_at(store, Run(run, plan), path)
    if task is None:
        return inputs_of_run(store, run, plan).get(path, {})
    inputs = bind(task.node.inputs, frame_of(task))
    return {} if isinstance(inputs, Unbound) else inputs


def _task_at(store: StateStore, run: Run, path: str) -> TaskRun | None:
    """A task run and what it depends on, as an engine would remember them. None in a loop."""
    scope = _scope_of(store, run, path)
    index = scope.plan.index_by_name.get(place_of(path).name) if scope is not None else None
    if scope is None or index is None:
        return None
    upstreams = [node for node, after in zip(scope.plan.nodes, scope.plan.consumers, strict=True) if index in after]
    for node in [scope.plan.nodes[index], *upstreams]:
        scope.runs[node.index] = task = TaskRun(scope, node)
        for row in store.task_runs(run.run_id, task.path):
            task.restore(row)
    return scope.runs[index]


def _scope_of(store: StateStore, run: Run, path: str) -> Scope | None:
    """The graph that holds a task run, with its inputs. None in a loop."""
    place = place_of(path)
    if not place.holder:
        return Scope(run, run.plan.root, holder=None, key=0, path="", inputs=dict(run.fixed.inputs))
    holder, key = _task_at(store, run, place.holder), int(place.key or 0)
    if holder is None or isinstance(holder.node.node, Loop):
        return None
    if isinstance(holder.node.node, Map):
        holder.progress = bind_map(holder, holder.node.node)
        inputs = bind_item(holder, key)
        return None if isinstance(inputs, (Unbound, ExpressionError)) else open_body(holder, key, inputs)
    return open_body(holder, key, body_inputs(holder, key))


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
