"""What reports about attempts lead to. A report about anything but the current attempt of a running task run is late,
and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.base.ids import split_attempt_id
from penstock.base.instants import Instant
from penstock.engine.attempts import deadline_of, timed_out
from penstock.engine.judge import Again, Tried, Unsuccessful, follow, memory_after
from penstock.engine.memory import Run, TaskRun, caused
from penstock.engine.progress import back_off, end, frame_of, give_up_key, make_ready, restore_request
from penstock.engine.rows import AttemptRow, CacheEntry
from penstock.engine.states import AttemptState, Origin, TaskState
from penstock.engine.turn import Turn
from penstock.plan.devices import gpus_after
from penstock.wire import (
    KIND_BY_OUTCOME,
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Lost,
    Outcome,
    OutOfMemory,
    Succeeded,
    TimedOut,
    outcome_to_json,
)


def attempt_started(turn: Turn, run: Run, event: AttemptStarted) -> None:
    task = run.in_flight.get(event.attempt_id)
    if task is None or task.current is None or task.current.state is not AttemptState.SUBMITTED:
        return
    row = replace(task.current, state=AttemptState.STARTED, started_at=Instant(event.at), worker=event.worker)
    turn.move_attempt(task, row, caused("started"))
    deadline = deadline_of(task)
    if deadline is not None:
        turn.timers.add(deadline, task)


def attempt_ended(turn: Turn, run: Run, event: AttemptEnded) -> None:
    task = run.in_flight.pop(event.attempt_id, None)
    if task is None:
        return
    row = task.current
    assert row is not None and row.state is not AttemptState.ENDED
    _, _, number = split_attempt_id(event.attempt_id)
    assert number == row.number, "only the current attempt is in flight"
    stopping = is_stopping(task)
    if row.stop_at is not None and not stopping and isinstance(event.outcome, (Cancelled, Lost)):
        # Nothing else stops an attempt of what goes on; how it took that is no outcome of its own.
        event = replace(event, outcome=TimedOut(timed_out(task.timeout_ms).text))
    kind = KIND_BY_OUTCOME[type(event.outcome)]
    turn.placement.rooms[row.executor].remove(event.attempt_id)
    leaves_entry = task.key is not None and task.node.code is not None and task.node.cache and not event.outside
    ended = AttemptRow(
        row.run_id,
        row.path,
        row.number,
        AttemptState.ENDED,
        row.executor,
        row.amounts,
        row.submitted_at,
        Instant(event.started_at) if event.started_at else row.started_at,
        Instant(event.ended_at) if event.ended_at else turn.now,
        event.duration_us,
        event.worker or row.worker,
        kind,
        failure_of(event.outcome),
        event.usage,
        event.log,
        row.stop_at,
        row.input_bytes,
        {} if leaves_entry else event.reads,
        event.outside,
    )
    turn.move_attempt(task, ended, caused(kind))
    if isinstance(event.outcome, Succeeded):
        count_success(run, task.node.component, event.duration_us)
        task.origin = Origin.COMPUTED
        enter(turn, task, event, event.outcome)
        end(turn, task, TaskState.SUCCEEDED, caused("succeeded"), dict(event.outcome.outputs))
    else:
        _follow(turn, task, event, event.outcome, stopping=stopping)


def is_stopping(task: TaskRun) -> bool:
    """Whether nothing new starts any more where a task run is."""
    return bool(task.scope.stopping) and not (task.node.is_finally and task.scope.stopping != "kill")


def enter(turn: Turn, task: TaskRun, event: AttemptEnded, outcome: Succeeded) -> None:
    """Put what was computed into the cache, in the commit that accepts it. What ran outside its closure is not cached (cache rule
    14): those that wait for it compute it themselves."""
    node, code = task.node, task.node.code
    if task.key is None or code is None or not node.cache:
        return
    if event.outside:
        give_up_key(turn, task)
        return
    expires_at = Instant(turn.now + node.expires_ms) if node.expires_ms is not None else None
    turn.entries.append(
        CacheEntry(
            task.key,
            node.component,
            task.scope.run.run_id,
            task.path,
            task.attempt,
            outcome.outputs,
            code.digest,
            code.environment,
            turn.flights.identities.of(task.inputs),
            event.reads,
            turn.now,
            expires_at,
            event.duration_us,
        )
    )


def count_success(run: Run, component: str, duration_us: int) -> None:
    stats = run.stats.setdefault(component, [0, 0])
    stats[0] += 1
    stats[1] += duration_us


def failure_of(outcome: Outcome) -> dict[str, Any] | None:
    """What is kept of an outcome besides its kind and outputs."""
    return None if isinstance(outcome, Succeeded) else outcome_to_json(outcome)


def _follow(turn: Turn, task: TaskRun, event: AttemptEnded, outcome: Unsuccessful, *, stopping: bool) -> None:
    largest = turn.placement.largest("memory")
    had = dict(task.amounts).get("memory", 0)
    tried = Tried(
        failed_count=task.failed_count,
        oom_count=task.oom_count,
        lost_count=task.lost_count,
        attempt_id=event.attempt_id,
        seed=task.scope.run.fixed.seed,
        stopping=stopping,
        can_grow=bool(_more_gpu(turn, task)) if _wants_gpu(outcome) else not largest or had < largest,
    )
    next_ = follow(outcome, task.node.retry, tried, turn.now)
    if isinstance(next_, Again):
        _again(turn, task, next_, event)
        return
    after = TaskState(next_.state)
    if after is TaskState.FAILED and next_.cause.code in ("failed", "timed_out"):
        task.failed_count += 1
    end(turn, task, after, next_.cause)


def _wants_gpu(outcome: Outcome) -> bool:
    return isinstance(outcome, OutOfMemory) and outcome.device == "gpu"


def _more_gpu(turn: Turn, task: TaskRun) -> dict[str, int]:
    return gpus_after(dict(task.amounts), turn.placement.largest_device())


def _again(turn: Turn, task: TaskRun, again: Again, event: AttemptEnded) -> None:
    if again.costs == "failed":
        task.failed_count += 1
    elif again.costs == "lost":
        task.lost_count += 1
    elif again.costs == "oom":
        task.oom_count += 1
        if _wants_gpu(event.outcome):
            task.detail = {**task.detail, **_more_gpu(turn, task)}
        else:
            grown = memory_after(dict(task.amounts), event.usage.memory_bytes_peak, turn.placement.largest("memory"))
            task.detail = {**task.detail, "memory": grown}
        restore_request(task, frame_of(task))
    if again.at <= turn.now:
        make_ready(turn, task, again.cause)
    else:
        back_off(turn, task, again.at, again.cause)
