"""An engine's memory from stored rows: what was committed is put back, the rest is derived again (semantics 27)."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.base.errors import ExpressionError
from penstock.base.ids import attempt_id
from penstock.engine.attempts import deadline_of
from penstock.engine.binding import Unbound, bind, value_of
from penstock.engine.caching import reads_cache
from penstock.engine.control import (
    bind_item,
    fate_of,
    fill,
    give_up_rest,
    is_of_item,
    items_of,
    live_keys,
    open_body,
    progress_of,
    round_inputs,
    settle_item,
)
from penstock.engine.memory import FAILED, Progress, Run, Scope, TaskRun
from penstock.engine.outcomes import count_success
from penstock.engine.packing import Flight, predicted_ms, rank_of
from penstock.engine.progress import (
    EARLY,
    begin,
    count_end,
    frame_of,
    graph_ended,
    is_looked_up,
    judge,
    outputs_of,
    queue,
    restore_request,
    run_deadline,
    take_up_ready,
    timeout_of,
    verdict_of,
)
from penstock.engine.rows import AttemptRow, RunRecord, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, AttemptState, TaskState
from penstock.engine.turn import Ended, Turn
from penstock.graph.model import Branch, Map
from penstock.plan.model import Plan
from penstock.plan.passes import bounds
from penstock.wire import Datum


def rebuild(turn: Turn, record: RunRecord, plan: Plan) -> Run:
    """The run of a record as it was in memory when the record's last commit was made. What had not been decided yet
    stands on the agenda."""
    run = Run(record.run, plan)
    rows: dict[str, dict[str, TaskRunRow]] = {}
    component_by_path: dict[str, str] = {}
    for row in record.task_runs:
        parent, _, name = row.path.rpartition("/")
        rows.setdefault(parent + "/" if parent else "", {})[name] = row
        component_by_path[row.path] = row.component
    newest: dict[str, AttemptRow] = {}
    for attempt in record.attempts:
        if attempt.path not in newest or attempt.number > newest[attempt.path].number:
            newest[attempt.path] = attempt
        if attempt.outcome == "succeeded":
            count_success(run, component_by_path[attempt.path], attempt.duration_us)
    root = Scope(run, plan.root, holder=None, key=0, path="", inputs=dict(record.run.inputs))
    root.stopping = {"": "", "kill": "kill"}.get(run.stopping, "stopped")
    run.root = root
    if run.state in TERMINAL_RUN_STATES:
        return run
    _restore_scope(turn, root, rows, newest)
    deadline = run_deadline(run)
    if deadline is not None:
        turn.timers.add(deadline, run)
    return run


Rows = Mapping[str, Mapping[str, TaskRunRow]]


def _restore_scope(turn: Turn, scope: Scope, rows: Rows, newest: Mapping[str, AttemptRow]) -> None:
    own = rows.get(scope.path, {})
    running: list[TaskRun] = []
    for name, row in own.items():
        index = scope.plan.index_by_name[name]
        task = scope.runs[index] = TaskRun(scope, scope.plan.nodes[index])
        task.restore(row)
        if task.is_terminal:
            count_end(scope, task)
            for consumer in scope.plan.consumers[index]:
                scope.pending[consumer] -= 1
        else:
            running.append(task)
    if scope.failed and scope.plan.graph.fail_fast and not scope.stopping:
        scope.stopping = "stopped"
    running.sort(key=lambda task: task.node.index)
    for task in running:
        task.timeout_ms = timeout_of(task.node, frame_of(task))
        if task.node.work is not None:
            _restore_function(turn, task, newest.get(task.path))
        else:
            _restore_bodies(turn, task, rows, newest)
    _take_up(turn, scope)


def _take_up(turn: Turn, scope: Scope) -> None:
    """Put what the last decision left undone back on the agenda."""
    if scope.open == 0:
        turn.agenda.append((graph_ended, scope, 0))
        return
    for node in scope.plan.nodes:
        if scope.runs[node.index] is not None:
            continue
        stopped = scope.stopping and (not node.is_finally or scope.stopping == "kill")
        if scope.pending[node.index] == 0 or node.trigger in EARLY or stopped:
            turn.agenda.append((judge, scope, node.index))


def _restore_function(turn: Turn, task: TaskRun, attempt: AttemptRow | None) -> None:
    frame = frame_of(task)
    inputs = bind(task.node.inputs, frame)
    assert not isinstance(inputs, Unbound), "it was bound once"
    task.inputs = inputs
    restore_request(task, frame)
    task.current = attempt
    if task.state is TaskState.READY:
        if is_looked_up(task):
            turn.agenda.append((take_up_ready, task.scope, task.node.index))
        else:
            queue(turn, task)
        return
    if task.key is not None and reads_cache(task):
        # Where somebody leads already, this one was taken over from a controller that had lost its claim: it goes on.
        turn.flights.leader_by_key.setdefault(task.key, task)
    if task.state is TaskState.BACKOFF:
        assert task.retry_at is not None
        turn.timers.add(task.retry_at, task)
    else:
        assert attempt is not None and attempt.state is not AttemptState.ENDED
        identity = attempt_id(attempt.run_id, task.path, attempt.number)
        task.scope.run.in_flight[identity] = task
        room = turn.placement.room(attempt.executor)
        flight = Flight(
            room.need(attempt.amounts), attempt.submitted_at, predicted_ms(task), rank_of(task), task.node.component
        )
        if len(room.ahead) < room.ahead_max and not room.fits(flight.amounts) and room.joins(attempt.amounts):
            room.add_ahead(identity, flight, attempt.amounts)
        else:
            room.add(identity, flight)
        deadline = deadline_of(task)
        if deadline is not None:
            turn.timers.add(deadline, task)
        if attempt.stop_at is not None:
            turn.timers.add(turn.now, task)


def _restore_bodies(turn: Turn, task: TaskRun, rows: Rows, newest: Mapping[str, AttemptRow]) -> None:
    if task.state is TaskState.BACKOFF:
        assert task.retry_at is not None
        turn.timers.add(task.retry_at, task)
        return
    deadline = deadline_of(task)
    if deadline is not None:
        turn.timers.add(deadline, task)
    if isinstance(task.node.node, Map):
        _restore_map(turn, task, task.node.node, rows, newest)
        return
    for key in live_keys(task):
        scope = open_body(task, key, body_inputs(task, key))
        _restore_or_begin(turn, scope, rows, newest)


def body_inputs(task: TaskRun, key: int) -> dict[str, Datum]:
    """What a body of a node that has begun is given: of a branch the case `key`, of a loop the present round. Not for maps."""
    node = task.node.node
    if "round" in task.detail:
        return round_inputs(task)
    frame = frame_of(task)
    if isinstance(node, Branch):
        inputs = bind(bounds(node.cases[key].body.inputs, node.cases[key].inputs), frame)
    else:
        inputs = bind(task.node.inputs, frame)
    assert not isinstance(inputs, Unbound), "it was bound once"
    return inputs


def _restore_or_begin(turn: Turn, scope: Scope, rows: Rows, newest: Mapping[str, AttemptRow]) -> None:
    if scope.path in rows:
        _restore_scope(turn, scope, rows, newest)
    else:
        begin(turn, scope)


def bind_map(task: TaskRun, node: Map) -> Progress:
    """The items of a map that has begun, none of them created; what all of them share becomes its inputs."""
    frame = frame_of(task)
    items = items_of(value_of(node.items, frame))  # type: ignore[arg-type]
    assert not isinstance(items, str)
    shared = bind((bound for bound in task.node.inputs if not is_of_item(bound)), frame)
    assert not isinstance(shared, Unbound)
    task.inputs = shared
    return progress_of(node, items)


def _restore_map(turn: Turn, task: TaskRun, node: Map, rows: Rows, newest: Mapping[str, AttemptRow]) -> None:
    task.progress = progress = bind_map(task, node)
    progress.cursor = task.detail["cursor"]
    for position in live_keys(task):
        inputs = bind_item(task, position)
        if isinstance(inputs, (Unbound, ExpressionError)):
            settle_item(progress, position, FAILED)
            continue
        scope = open_body(task, position, inputs)
        _restore_or_begin(turn, scope, rows, newest)
        if scope.open == 0 and scope.plan.nodes:
            _settle_restored(task, scope)
    if (task.scope.stopping and not task.node.is_finally) or "timed_out" in task.detail:
        give_up_rest(progress)
    turn.agenda.append((fill, task.scope, task.node.index))


def _settle_restored(task: TaskRun, scope: Scope) -> None:
    """An item that had ended: collected again."""
    assert task.progress is not None
    scope.ended = True
    del task.live[scope.key]
    state, cause = verdict_of(scope)
    outputs = {}
    try:
        outputs = outputs_of(scope)
    except ExpressionError:
        state = TaskState.FAILED if state is TaskState.SUCCEEDED else state
    settle_item(task.progress, scope.key, fate_of(Ended(state, cause, outputs)), outputs)
