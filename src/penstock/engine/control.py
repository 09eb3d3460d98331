"""Nodes that hold graphs: nested calls, maps, branches and loops. They use the task-run machine without attempts
(semantics 10 to 12, 15); what they must remember is in `detail`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from penstock.base.errors import ExpressionError
from penstock.base.limits import LIMITS
from penstock.engine.attempts import timed_out
from penstock.engine.binding import ABSENT, Frame, Unbound, Unknown, bind, blamed, condition, value_of
from penstock.engine.memory import DROPPED, FAILED, KEPT, NO_SCOPES, Progress, Scope, TaskRun, caused
from penstock.engine.progress import begin, end, retry_body, skip_unbound, stop
from penstock.engine.rows import Cause
from penstock.engine.states import TaskState
from penstock.engine.turn import Ended, Turn
from penstock.graph.bindings import Index, Item, leaves
from penstock.graph.model import Branch, Call, Finally, Loop, Map
from penstock.plan.model import Bound
from penstock.plan.passes import bounds
from penstock.wire import Counted, Datum, Inline, data_from_json, data_to_json

WINDOW_MIN, WINDOW_MAX = 64, 1_024


class Control:
    """The `Bodies` of the engine."""

    def begin(self, turn: Turn, task: TaskRun, frame: Frame) -> None:
        match task.node.node:
            case Map() as node:
                begin_map(turn, task, node, frame)
            case Branch() as node:
                begin_branch(turn, task, node, frame)
            case Loop():
                begin_loop(turn, task, frame)
            case Call() | Finally():
                inputs = bind(task.node.inputs, frame)
                if isinstance(inputs, Unbound):
                    skip_unbound(turn, task, inputs)
                    return
                _run(turn, task)
                begin(turn, open_body(task, 0, inputs))
            case _:
                assert_never(task.node.node)

    def ended(self, turn: Turn, scope: Scope, ended: Ended) -> None:
        task = scope.holder
        assert task is not None
        match task.node.node:
            case Map():
                _item_ended(turn, task, scope, ended)
            case Loop() as node:
                _round_ended(turn, task, node, scope, ended)
            case _:
                _finish(turn, task, ended)

    def stop(self, turn: Turn, task: TaskRun, why: str) -> None:
        progress = task.progress
        if progress is not None and progress.cursor < len(progress.items):
            give_up_rest(progress)
            if progress.open == 0:
                _finish_map(turn, task)
        for scope in list(task.live.values()):
            stop(turn, scope, "kill" if why == "kill" else "stopped")


# -- bodies ------------------------------------------------------------------------------------------------------------


def body_path(task: TaskRun, key: int) -> str:
    """What the paths in a body begin with (S11): generations, items, cases and rounds have their place in it."""
    node = task.node.node
    base = f"{task.path}~{task.generation}" if task.generation else task.path
    return f"{base}/{key}/" if isinstance(node, (Map, Branch, Loop)) else f"{base}/"


def open_body(task: TaskRun, key: int, inputs: dict[str, Datum]) -> Scope:
    """Make the scope of one body, without beginning it."""
    body = task.node.bodies[key if isinstance(task.node.node, Branch) else 0]
    scope = Scope(task.scope.run, body, holder=task, key=key, path=body_path(task, key), inputs=inputs)
    if not task.node.is_finally:
        scope.stopping = task.scope.stopping
    elif task.scope.stopping == "kill":
        scope.stopping = "kill"
    if "timed_out" in task.detail:
        scope.stopping = scope.stopping or "stopped"
    if task.live is NO_SCOPES:
        task.live = {}
    task.live[key] = scope
    return scope


def _run(turn: Turn, task: TaskRun) -> None:
    """A control node runs from the moment it begins."""
    if task.state is TaskState.WAITING:
        turn.move(task, TaskState.READY, caused("inputs_exist"))
    turn.move(task, TaskState.RUNNING, caused("begun"))
    if task.timeout_ms is not None:
        turn.timers.add(turn.now + task.timeout_ms, task)


def _finish(turn: Turn, task: TaskRun, ended: Ended) -> None:
    """The node ends as its body did; a failure may begin it again."""
    if "timed_out" in task.detail and ended.state is not TaskState.SUCCEEDED:
        ended = Ended(TaskState.FAILED, timed_out(task.timeout_ms), {})
    if ended.state is TaskState.FAILED and retry_body(turn, task, ended.cause):
        return
    end(turn, task, ended.state, ended.cause, ended.outputs if ended.state is TaskState.SUCCEEDED else {})


# -- map ---------------------------------------------------------------------------------------------------------------


def begin_map(turn: Turn, task: TaskRun, node: Map, frame: Frame) -> None:
    found = value_of(node.items, frame)
    if found is ABSENT:
        end(turn, task, TaskState.SKIPPED, Cause("upstream_skipped", task.scope.path + blamed(node.items)))
        return
    items = items_of(found)  # type: ignore[arg-type]
    if isinstance(items, str):
        end(turn, task, TaskState.FAILED, Cause("items_invalid", text=items))
        return
    shared = bind((bound for bound in task.node.inputs if not is_of_item(bound)), frame)
    if isinstance(shared, Unbound):
        skip_unbound(turn, task, shared)
        return
    task.detail = {"length": len(items), "cursor": 0}
    _run(turn, task)
    task.inputs = shared
    task.progress = progress_of(node, items)
    if not items:
        _finish_map(turn, task)
    else:
        fill(turn, task.scope, task.node.index)


def items_of(datum: Datum) -> tuple[Datum, ...] | str:
    """The items of a list, or what is wrong with it."""
    if isinstance(datum, Counted):
        items: tuple[Datum, ...] = datum.items
    elif isinstance(datum, Inline) and isinstance(datum.value, list):
        items = tuple(Inline(item) for item in datum.value)
    else:
        return "a map needs a list of items"
    if len(items) > LIMITS.items_max:
        return f"{len(items):,} items; a map takes at most {LIMITS.items_max:,}; the setting items_max raises that"
    return items


def progress_of(node: Map, items: tuple[Datum, ...]) -> Progress:
    return Progress(items, {output.name: {} for output in node.body.outputs}, node.failures_max)


def is_of_item(bound: Bound) -> bool:
    return bound.value is not None and any(isinstance(leaf, (Item, Index)) for leaf in leaves(bound.value))


def fill(turn: Turn, scope: Scope, index: int) -> None:
    """Create items up to the window (semantics 11). Wide windows are filled again when they are half empty, so that the
    cursor is written once for many items."""
    task = scope.runs[index]
    if task is None or task.state is not TaskState.RUNNING or task.progress is None:
        return
    progress = task.progress
    node = task.node.node
    assert isinstance(node, Map)
    window = min(WINDOW_MAX, max(WINDOW_MIN, 4 * turn.placement.slots))
    if node.parallel_max is not None:
        window = min(window, node.parallel_max)
    elif len(task.live) > window // 2:
        return
    before = progress.cursor
    while len(task.live) < window and progress.cursor < len(progress.items):
        position = progress.cursor
        progress.cursor += 1
        inputs = bind_item(task, position)
        if isinstance(inputs, (Unbound, ExpressionError)):
            settle_item(progress, position, FAILED)
            continue
        begin(turn, open_body(task, position, inputs))
    if progress.cursor != before:
        task.detail = {**task.detail, "cursor": progress.cursor}
        turn.move(task, TaskState.RUNNING, caused("items_begun"))
    if progress.open == 0:
        _finish_map(turn, task)


def bind_item(task: TaskRun, position: int) -> dict[str, Datum] | Unbound | ExpressionError:
    """The inputs of one item: the shared ones, and those that its value or position goes into."""
    assert task.progress is not None
    frame = Frame(task.scope, item=task.progress.items[position], index=position)
    try:
        own = bind((bound for bound in task.node.inputs if is_of_item(bound)), frame)
    except ExpressionError as error:
        return error
    return own if isinstance(own, Unbound) else {**task.inputs, **own}


def settle_item(progress: Progress, position: int, fate: int, outputs: dict[str, Datum] | None = None) -> None:
    """An item has ended; its outputs are kept only if all of them are there (S6)."""
    if fate == KEPT:
        if outputs is None or len(outputs) < len(progress.collected):
            fate = DROPPED
        else:
            for name, datum in outputs.items():
                progress.collected[name][position] = datum
    progress.fates[position] = fate
    progress.open -= 1
    progress.failed += fate == FAILED


def fate_of(ended: Ended) -> int:
    return {TaskState.SUCCEEDED: KEPT, TaskState.FAILED: FAILED}.get(ended.state, DROPPED)


def give_up_rest(progress: Progress) -> None:
    """Items that have not begun never will."""
    rest = range(progress.cursor, len(progress.items))
    progress.cursor = len(progress.items)
    for position in rest:
        settle_item(progress, position, DROPPED)


def _item_ended(turn: Turn, task: TaskRun, scope: Scope, ended: Ended) -> None:
    del task.live[scope.key]
    assert task.progress is not None
    settle_item(task.progress, scope.key, fate_of(ended), ended.outputs)
    if task.progress.open == 0:
        _finish_map(turn, task)
    elif task.progress.cursor < len(task.progress.items):
        turn.agenda.append((fill, task.scope, task.node.index))


def _finish_map(turn: Turn, task: TaskRun) -> None:
    progress = task.progress
    assert progress is not None
    if progress.failed > progress.tolerance:
        text = f"{progress.failed} of {len(progress.items)} items failed"
        ended = Ended(TaskState.FAILED, Cause("body_failed", text=text), {})
    elif (task.scope.stopping and not task.node.is_finally) or "timed_out" in task.detail:
        ended = Ended(TaskState.CANCELLED, caused("cancelled"), {})
    else:
        kept = [position for position, fate in enumerate(progress.fates) if fate == KEPT]
        outputs: dict[str, Datum] = {
            name: Counted(tuple(datum_by_position[position] for position in kept))
            for name, datum_by_position in progress.collected.items()
        }
        outputs["indexes"] = Counted(tuple(Inline(position) for position in kept))
        ended = Ended(TaskState.SUCCEEDED, caused("succeeded"), outputs)
    _finish(turn, task, ended)


# -- branch ------------------------------------------------------------------------------------------------------------


def begin_branch(turn: Turn, task: TaskRun, node: Branch, frame: Frame) -> None:
    for number, case in enumerate(node.cases):
        try:
            holds = condition(case.when, frame) if case.when is not None else True
        except ExpressionError as error:
            end(turn, task, TaskState.FAILED, Cause("condition_error", text=f"case {number}: {error.message}"))
            return
        if isinstance(holds, Unknown):
            end(turn, task, TaskState.SKIPPED, Cause("upstream_skipped", task.scope.path + holds.by))
            return
        if holds:
            inputs = bind(bounds(case.body.inputs, case.inputs), frame)
            if isinstance(inputs, Unbound):
                skip_unbound(turn, task, inputs)
                return
            task.detail = {"case": number}
            _run(turn, task)
            begin(turn, open_body(task, number, inputs))
            return
    task.detail = {"case": None}
    _run(turn, task)
    end(turn, task, TaskState.SUCCEEDED, caused("no_case"))


# -- loop --------------------------------------------------------------------------------------------------------------


def begin_loop(turn: Turn, task: TaskRun, frame: Frame) -> None:
    frame.round = 1
    inputs = bind(task.node.inputs, frame)
    if isinstance(inputs, Unbound):
        skip_unbound(turn, task, inputs)
        return
    task.detail = {"round": 1, "carried": {}}
    _run(turn, task)
    begin(turn, open_body(task, 1, inputs))


def round_inputs(task: TaskRun) -> dict[str, Datum]:
    """The inputs of the present round: the loop's bindings, the carried ones replaced. Raises ExpressionError."""
    inputs = bind(task.node.inputs, Frame(task.scope, round=task.detail["round"]))
    assert not isinstance(inputs, Unbound), "bound in round 1"
    return {**inputs, **data_from_json(task.detail["carried"])}


def _round_ended(turn: Turn, task: TaskRun, node: Loop, scope: Scope, ended: Ended) -> None:
    number = scope.key
    if ended.state is not TaskState.SUCCEEDED or (task.scope.stopping and not task.node.is_finally):
        failed = ended.state is TaskState.FAILED
        _finish(turn, task, ended if failed else Ended(TaskState.CANCELLED, caused("cancelled"), {}))
        return
    try:
        met = node.until is not None and condition(node.until, Frame(task.scope, round=number, body=ended.outputs))
    except ExpressionError as error:
        _finish(turn, task, Ended(TaskState.FAILED, Cause("condition_error", text=f"until: {error.message}"), {}))
        return
    if isinstance(met, Unknown):
        end(turn, task, TaskState.SKIPPED, caused("upstream_skipped", text="until has no value"))
    elif met or number >= node.rounds_max:
        _end_loop(turn, task, node, ended, met=met)
    else:
        _next_round(turn, task, node, ended)


def _end_loop(turn: Turn, task: TaskRun, node: Loop, ended: Ended, *, met: bool) -> None:
    rounds = task.detail["round"]
    if not met and node.exhausted == "fail":
        _finish(turn, task, Ended(TaskState.FAILED, caused("rounds_exhausted", text=f"not met in {rounds} rounds"), {}))
        return
    outputs = {**ended.outputs, "met": Inline(met), "rounds": Inline(rounds)}
    task.live = NO_SCOPES
    end(turn, task, TaskState.SUCCEEDED, caused("succeeded"), outputs)


def _next_round(turn: Turn, task: TaskRun, node: Loop, ended: Ended) -> None:
    missing = [output for output in sorted(node.carry) if output not in ended.outputs]
    if missing:
        end(
            turn,
            task,
            TaskState.SKIPPED,
            caused("upstream_skipped", text=f"carried output '{missing[0]}' has no value"),
        )
        return
    carried = {node.carry[output]: ended.outputs[output] for output in sorted(node.carry)}
    number = task.detail["round"] + 1
    task.detail = {**task.detail, "round": number, "carried": data_to_json(carried)}
    task.live = {}
    turn.move(task, TaskState.RUNNING, caused("next_round"))
    begin(turn, open_body(task, number, round_inputs(task)))


def live_keys(task: TaskRun) -> Iterable[int]:
    """The keys of the bodies that a running node may have open, as its row says."""
    match task.node.node:
        case Map():
            return range(task.detail["cursor"])
        case Branch():
            return (task.detail["case"],)
        case Loop():
            return (task.detail["round"],)
        case _:
            return (0,)
