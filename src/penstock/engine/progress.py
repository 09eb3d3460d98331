"""How a graph goes on: nodes are judged, begin and end; ends are told to their consumers; a graph that has ended is
told to the node that holds it. Everything that can cascade goes over the agenda, so no graph is too deep."""

from __future__ import annotations

from collections.abc import Callable

from penstock.base.errors import ExpressionError
from penstock.base.instants import Instant
from penstock.engine.attempts import deadline_of, look_up, stop_attempt, timed_out
from penstock.engine.binding import ABSENT, Frame, Unbound, Unknown, bind, condition, plain, value_of
from penstock.engine.caching import CLAIMED_WAIT_MS, Missed, key_of, reads_cache
from penstock.engine.events import Given, LookedUp
from penstock.engine.judge import GO, Counters, Go, Skip, Tried, Wait, triggered, wait_ms
from penstock.engine.memory import NO_OUTPUTS, NO_SCOPES, Run, Scope, TaskRun, caused
from penstock.engine.rows import Amounts, Cause
from penstock.engine.states import TERMINAL_TASK_STATES, Origin, RunState, TaskState
from penstock.engine.turn import Ended, Turn
from penstock.graph.bindings import OneOf, Output, StateOf, Value, leaves
from penstock.graph.model import GPU_NAMES, Finally, Trigger
from penstock.plan.learning import MEMORY_HINT, hinted, start_bytes
from penstock.plan.model import PlanNode
from penstock.plan.passes import amounts_of, lacking, resources_of
from penstock.wire import Datum, artifact_bytes

KILL = "kill"
EARLY = (Trigger.ONE_SUCCEEDED, Trigger.ONE_FAILED)


# -- graphs ------------------------------------------------------------------------------------------------------------


def begin(turn: Turn, scope: Scope) -> None:
    """Take up a graph: every node that waits for nothing is judged."""
    turn.agenda.extend((judge, scope, index) for index in scope.plan.sources)
    if not scope.plan.nodes:
        turn.agenda.append((graph_ended, scope, 0))


def node_ended(turn: Turn, scope: Scope, index: int) -> None:
    """Tell a node's end to what waits for it, and to its graph."""
    task = scope.runs[index]
    assert task is not None
    count_end(scope, task)
    if task.state is TaskState.FAILED and scope.plan.graph.fail_fast and not scope.stopping:
        stop(turn, scope, "fail_fast")
    for consumer in scope.plan.consumers[index]:
        scope.pending[consumer] -= 1
        if scope.runs[consumer] is None and (
            scope.pending[consumer] == 0 or scope.plan.nodes[consumer].trigger in EARLY
        ):
            judge(turn, scope, consumer)
    if scope.open == 0:
        turn.agenda.append((graph_ended, scope, 0))


def count_end(scope: Scope, task: TaskRun) -> None:
    scope.open -= 1
    if task.state is TaskState.FAILED:
        scope.failed += 1
    elif task.state is TaskState.CANCELLED:
        scope.cancelled += 1


def graph_ended(turn: Turn, scope: Scope, _: int) -> None:
    """Every node of a graph has ended: tell the holder, or end the run."""
    if scope.ended:
        return
    scope.ended = True
    state, cause = verdict_of(scope)
    outputs: dict[str, Datum] = {}
    try:
        outputs = outputs_of(scope)
    except ExpressionError as error:
        if state is TaskState.SUCCEEDED:
            state, cause = TaskState.FAILED, Cause("expression_error", text=error.message)
    if scope.holder is None:
        _end_run(turn, scope.run, state, cause, outputs)
    else:
        turn.bodies.ended(turn, scope, Ended(state, cause, outputs))


def verdict_of(scope: Scope) -> tuple[TaskState, Cause]:
    """How a graph ended (S8: failed iff a node failed, else cancelled iff one was)."""
    if scope.failed:
        first = next(run for run in scope.runs if run is not None and run.state is TaskState.FAILED)
        return TaskState.FAILED, Cause("body_failed", first.path, first.cause.text)
    if scope.cancelled:
        return TaskState.CANCELLED, caused("cancelled")
    return TaskState.SUCCEEDED, caused("succeeded")


def outputs_of(scope: Scope) -> dict[str, Datum]:
    """The outputs of an ended graph that have a value. Raises ExpressionError."""
    frame = Frame(scope)
    found = ((output.name, value_of(output.value, frame)) for output in scope.plan.graph.outputs)
    return {name: datum for name, datum in found if datum is not ABSENT}  # type: ignore[misc]


def _end_run(turn: Turn, run: Run, state: TaskState, cause: Cause, outputs: dict[str, Datum]) -> None:
    if run.stopping in ("cancel", KILL):
        state, cause = TaskState.CANCELLED, caused("cancelled")
    elif run.stopping == "timed_out":
        state, cause = TaskState.FAILED, timed_out(run.plan.root.graph.timeout_ms)
    run.outputs = outputs
    turn.move_run(run, RunState(state.value), cause)


# -- nodes -------------------------------------------------------------------------------------------------------------


def judge(turn: Turn, scope: Scope, index: int) -> None:
    """Decide about a waiting node: not yet, begin, skip, fail, or cancel because its graph is being stopped."""
    if scope.runs[index] is not None:
        return
    node = scope.plan.nodes[index]
    if scope.stopping and not (node.is_finally and scope.stopping != KILL):
        end(turn, _enter(scope, node), TaskState.CANCELLED, caused("stopped"))
        return
    verdict = _verdict(scope, node)
    if isinstance(verdict, Wait):
        return
    task = _enter(scope, node)
    if isinstance(verdict, Skip):
        end(turn, task, TaskState.SKIPPED, verdict.cause)
        return
    try:
        if node.when is not None:
            holds = condition(node.when, Frame(scope))
            if isinstance(holds, Unknown):
                end(turn, task, TaskState.SKIPPED, Cause("upstream_skipped", scope.path + holds.by))
                return
            if not holds:
                end(turn, task, TaskState.SKIPPED, caused("condition"))
                return
    except ExpressionError as error:
        end(turn, task, TaskState.FAILED, Cause("condition_error", text=error.message))
        return
    try:
        _begin_node(turn, task)
    except ExpressionError as error:
        end(turn, task, TaskState.FAILED, Cause("expression_error", text=error.message))


def _enter(scope: Scope, node: PlanNode) -> TaskRun:
    task = scope.runs[node.index] = TaskRun(scope, node)
    return task


def _begin_node(turn: Turn, task: TaskRun) -> None:
    """The trigger and the condition say go. Raises ExpressionError while nothing has changed yet."""
    frame = frame_of(task)
    task.timeout_ms = timeout_of(task.node, frame)
    if task.node.work is None:
        turn.bodies.begin(turn, task, frame)
        return
    inputs = bind(task.node.inputs, frame)
    if isinstance(inputs, Unbound):
        skip_unbound(turn, task, inputs)
        return
    task.inputs = inputs
    restore_request(task, frame)
    complaint = lacking(task.amounts, task.scope.run.plan.capacity) if task.scope.run.plan.capacity else ""
    if complaint:
        end(turn, task, TaskState.FAILED, Cause("request_too_large", text=complaint))
        return
    if task.node.key_base is not None:
        task.key = key_of(task.node.key_base, turn.flights.identities.of(inputs))
    turn.move(task, TaskState.READY, caused("inputs_exist"))
    take_up_ready(turn, task.scope, task.node.index)


def frame_of(task: TaskRun) -> Frame:
    """Where a node's own Values are evaluated."""
    node = task.node.node
    return Frame(task.scope, watched=node.watch if isinstance(node, Finally) else ())


def make_ready(turn: Turn, task: TaskRun, cause: Cause) -> None:
    """A function's task run stands in line for a room again."""
    turn.move(task, TaskState.READY, cause)
    queue(turn, task)


def take_up_ready(turn: Turn, scope: Scope, index: int) -> None:
    """A ready task run is looked up, if its key may be, and otherwise computed."""
    task = scope.runs[index]
    if task is None or task.state is not TaskState.READY:
        return
    if is_looked_up(task):
        ask(turn, task)
    else:
        queue(turn, task)


def is_looked_up(task: TaskRun) -> bool:
    """Whether a ready task run may be found instead of computed: in the cache, or in the run that its run retries."""
    return task.key is not None and (reads_cache(task) or bool(task.scope.run.fixed.retry_of))


def ask(turn: Turn, task: TaskRun) -> None:
    """Look the key of a ready task run up, unless another here computes it already (semantics 33)."""
    assert task.key is not None
    if reads_cache(task) and turn.flights.leader_by_key.get(task.key, task) is not task:
        queue(turn, task)
    else:
        look_up(turn, task)


def queue(turn: Turn, task: TaskRun) -> None:
    """A ready task run that has to be computed stands in line for a room, or waits for whoever computes its key."""
    assert task.state is TaskState.READY
    if task.key is None or not reads_cache(task) or turn.flights.lead(task.key, task):
        turn.placement.add(task)


def looked_up(turn: Turn, run: Run, answer: LookedUp) -> None:
    """What a look-up found; an answer to what nobody asks any more changes nothing."""
    task = turn.flights.asking.get((run.run_id, answer.path))
    if task is None or task.key != answer.key or task.state is not TaskState.READY:
        return
    turn.flights.forget_questions(task)
    if answer.how == "claimed":
        turn.flights.elsewhere[run.run_id, answer.path] = task
        turn.timers.add(turn.now + CLAIMED_WAIT_MS, task)
        return
    if answer.how == "miss":
        turn.flights.missed[run.run_id, answer.path] = Missed(turn.now, answer.newest)
        queue(turn, task)
        return
    task.origin = Origin.CACHED
    end(turn, task, TaskState.SUCCEEDED, Cause(answer.how, answer.source), dict(answer.outputs))


def skip_unbound(turn: Turn, task: TaskRun, unbound: Unbound) -> None:
    by = task.scope.path + unbound.by if unbound.by else ""
    end(turn, task, TaskState.SKIPPED, Cause("upstream_skipped", by, f"input '{unbound.input}' has no value"))


def restore_request(task: TaskRun, frame: Frame) -> None:
    """What a function's next attempt asks for, its inputs being bound. Raises ExpressionError."""
    node = task.node
    task.amounts = node.amounts if node.amounts is not None else _evaluated(node, frame)
    if node.disk is not None:
        task.disk_bytes_max = round(_number_in(frame)(node.disk))
    gpus = {name: task.detail[name] for name in GPU_NAMES if name in task.detail}
    if gpus:
        task.amounts = tuple(sorted({**dict(task.amounts), **gpus}.items()))
    memory = task.detail.get("memory", 0)
    if not memory and node.remembered.worked:
        memory = start_bytes(node.remembered, artifact_bytes(task.inputs))
    amounts = dict(task.amounts) if memory else {}
    if memory > amounts.get("memory", 0):
        amounts.pop(MEMORY_HINT, None)
        task.amounts = tuple(sorted({**amounts, "memory": memory}.items()))


def _evaluated(node: PlanNode, frame: Frame) -> Amounts:
    return hinted(amounts_of(resources_of(node.node), _number_in(frame)), node.remembered)


def timeout_of(node: PlanNode, frame: Frame) -> int | None:
    """Milliseconds; a Value says seconds, as authors write timeouts. Raises ExpressionError."""
    if node.timeout is None or isinstance(node.timeout, int):
        return node.timeout
    return round(_number_in(frame)(node.timeout) * 1000)


def _number_in(frame: Frame) -> Callable[[float | Value], float]:
    def number_of(amount: float | Value) -> float:
        if isinstance(amount, (int, float)):
            return amount
        datum = value_of(amount, frame)
        data = None if datum is ABSENT else plain(datum)  # type: ignore[arg-type]
        if isinstance(data, bool) or not isinstance(data, (int, float)) or not data >= 0:
            raise ExpressionError(f"a resource or timeout must be a number of at least 0, not {data!r}")
        return float(data)

    return number_of


def end(turn: Turn, task: TaskRun, after: TaskState, cause: Cause, outputs: dict[str, Datum] = NO_OUTPUTS) -> None:
    """A task run reaches a terminal state: what only a live one needs is dropped, and what waits for it is told."""
    task.outputs = outputs
    turn.move(task, after, cause)
    if task.origin is not None and task.inputs:
        turn.given.append(Given(task.scope.run.run_id, task.path, task.inputs))
    task.inputs, task.live, task.progress = NO_OUTPUTS, NO_SCOPES, None
    task.amounts, task.timeout_ms, task.disk_bytes_max = (), None, None
    if task.key is not None:
        turn.flights.forget_questions(task)
        if after is TaskState.SUCCEEDED and turn.flights.leads(task):
            if task.origin is Origin.CACHED:
                release_claim(turn, task)
            _share(turn, task, task.key)
        elif after is not TaskState.SUCCEEDED or task.origin is Origin.CACHED:
            give_up_key(turn, task)
    turn.agenda.append((node_ended, task.scope, task.node.index))


def _share(turn: Turn, task: TaskRun, key: str) -> None:
    """What a leader computed or found is a hit for those that waited for it."""
    source = task.cause.by if task.origin is Origin.CACHED else f"{task.scope.run.run_id}/{task.path}"
    cause = Cause("hit", source)
    for other in turn.flights.share(key):
        other.origin = Origin.CACHED
        end(turn, other, TaskState.SUCCEEDED, cause, task.outputs)


def give_up_key(turn: Turn, task: TaskRun) -> None:
    """A task run comes to no entry: its claim ends, and the next one that waits computes the key. Failures are never
    shared."""
    assert task.key is not None
    release_claim(turn, task)
    if turn.flights.leads(task):
        next_ = turn.flights.pass_on(task.key)
        if next_ is not None:
            turn.placement.add(next_)


def release_claim(turn: Turn, task: TaskRun) -> None:
    """End the claim that a task run's attempts were made under, unless another of its run computes the key now."""
    assert task.key is not None
    leader = turn.flights.leader_by_key.get(task.key)
    if task.attempt and reads_cache(task) and (leader in (None, task) or leader.scope.run is not task.scope.run):
        turn.released.append(task.key)


# -- triggers ----------------------------------------------------------------------------------------------------------


def _verdict(scope: Scope, node: PlanNode) -> Wait | Go | Skip:
    if node.is_finally or not node.tallies:
        return Wait() if scope.pending[node.index] else GO
    if node.trigger is Trigger.ALL_SUCCEEDED:
        if scope.pending[node.index]:
            return Wait()
        runs = scope.runs
        if all(t.one_of is None and runs[t.index].state is TaskState.SUCCEEDED for t in node.tallies):  # type: ignore[union-attr]
            return GO
    return triggered(node.trigger, _counters(scope, node))


def _counters(scope: Scope, node: PlanNode) -> Counters:
    counts = {"succeeded": 0, "failed": 0, "skipped": 0, "open": 0}
    first = {"failed": "", "skipped": ""}
    for tally in node.tallies:
        fate, by = _fate_of(scope, tally.index) if tally.one_of is None else _fate_of_group(scope, tally.one_of)
        counts[fate] += 1
        if fate in first and not first[fate]:
            first[fate] = scope.path + by
    data_open = any(not _has_ended(scope, index) for index in node.data)
    if scope.pending[node.index] and not counts["open"]:
        counts["open"] = 1  # only a StateOf is still to come
    return Counters(
        counts["succeeded"],
        counts["failed"],
        counts["skipped"],
        counts["open"],
        data_open,
        first["failed"],
        first["skipped"],
    )


def _has_ended(scope: Scope, index: int) -> bool:
    run = scope.runs[index]
    return run is not None and run.state in TERMINAL_TASK_STATES


def _fate_of(scope: Scope, index: int) -> tuple[str, str]:
    run = scope.runs[index]
    name = scope.plan.nodes[index].name
    if run is None or run.state not in TERMINAL_TASK_STATES:
        return "open", name
    return ("failed" if run.state is TaskState.CANCELLED else run.state.value), name


def _fate_of_group(scope: Scope, group: OneOf) -> tuple[str, str]:
    """A OneOf counts once: open until all its sources have ended, then as the first that has a value (semantics 9)."""
    names = [leaf.node for leaf in leaves(group) if isinstance(leaf, (Output, StateOf)) and leaf.node]
    fates = [_fate_of(scope, scope.plan.index_by_name[name]) for name in names]
    if any(fate == "open" for fate, _ in fates):
        return "open", ""
    try:
        has_value = value_of(group, Frame(scope)) is not ABSENT
    except ExpressionError:
        has_value = True  # the error shows where the value is bound
    if has_value:
        return "succeeded", ""
    return next(((fate, name) for fate, name in fates if fate == "failed"), ("skipped", names[0] if names else ""))


# -- stopping ----------------------------------------------------------------------------------------------------------


def stop(turn: Turn, scope: Scope, why: str) -> None:
    """Nothing new starts in a graph and below it, attempts are asked to end; finally nodes still run, unless `why` is
    kill."""
    if scope.ended or (scope.stopping and (why != KILL or scope.stopping == KILL)):
        return
    scope.stopping = KILL if why == KILL else "stopped"
    for node in scope.plan.nodes:
        if node.is_finally and why != KILL:
            continue
        task = scope.runs[node.index]
        if task is None:
            turn.agenda.append((judge, scope, node.index))
        elif task.state in (TaskState.READY, TaskState.BACKOFF):
            end(turn, task, TaskState.CANCELLED, caused(why))
        elif task.state is TaskState.RUNNING and task.node.work is None:
            turn.bodies.stop(turn, task, why)
        elif task.state is TaskState.RUNNING:
            stop_attempt(turn, task, 0 if why == KILL else turn.grace_ms, caused(why))


def stop_run(turn: Turn, run: Run, why: str) -> None:
    """Stop a run as a whole; the reason is kept in its row."""
    if run.stopping == KILL or (run.stopping and why != KILL):
        return
    run.stopping = why
    turn.move_run(run, run.state, caused(why))
    assert run.root is not None
    stop(turn, run.root, why)


# -- backoff -----------------------------------------------------------------------------------------------------------


def back_off(turn: Turn, task: TaskRun, at: Instant, cause: Cause) -> None:
    task.retry_at = at
    turn.move(task, TaskState.BACKOFF, cause)
    turn.timers.add(at, task)


def retry_body(turn: Turn, task: TaskRun, cause: Cause) -> bool:
    """Whether a node with a graph that failed is begun again, as a new generation (semantics 17)."""
    retry = task.node.retry
    if task.scope.stopping or task.failed_count + 1 >= retry.attempts_max:
        return False
    run = task.scope.run
    tried = Tried(task.failed_count, 0, 0, f"{run.run_id}/{task.path}~{task.generation}", run.fixed.seed)
    task.failed_count += 1
    task.generation += 1
    task.live, task.progress, task.detail, task.inputs = NO_SCOPES, None, {}, NO_OUTPUTS
    back_off(turn, task, Instant(turn.now + wait_ms(retry, tried)), cause)
    return True


def due(turn: Turn, subject: TaskRun | Run) -> None:
    """A timer went off: see whether anything is due. The run's machine asks for it; stale timers find nothing to do."""
    if isinstance(subject, Run):
        deadline = run_deadline(subject)
        if subject.state is RunState.RUNNING and deadline is not None and turn.now >= deadline:
            stop_run(turn, subject, "timed_out")
        return
    task = subject
    if task.state is TaskState.BACKOFF and task.retry_at is not None and turn.now >= task.retry_at:
        if task.node.work is not None:
            make_ready(turn, task, caused("backoff_over"))
        else:
            turn.move(task, TaskState.READY, caused("backoff_over"))
            _begin_node(turn, task)
    elif turn.flights.elsewhere.get((task.scope.run.run_id, task.path)) is task:
        turn.flights.forget_questions(task)
        ask(turn, task)
    elif task.state is TaskState.RUNNING:
        _look_at_deadline(turn, task)


def _look_at_deadline(turn: Turn, task: TaskRun) -> None:
    deadline = deadline_of(task)
    row = task.current
    if task.node.work is None:
        if deadline is not None and turn.now >= deadline and "timed_out" not in task.detail:
            task.detail = {**task.detail, "timed_out": True}
            turn.move(task, TaskState.RUNNING, caused("timed_out"))
            turn.bodies.stop(turn, task, "timed_out")
    elif row is not None and row.stop_at is not None and turn.now >= row.stop_at + turn.grace_ms:
        stop_attempt(turn, task, 0, caused("stop_repeated"))
    elif deadline is not None and turn.now >= deadline:
        stop_attempt(turn, task, turn.grace_ms, caused("timed_out"))


def run_deadline(run: Run) -> Instant | None:
    timeout = run.plan.root.graph.timeout_ms
    return Instant(run.started_at + timeout) if timeout is not None and run.started_at is not None else None
