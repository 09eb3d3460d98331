"""Attempts: submitted where placement says, asked to stop when time is up or nothing is wanted any more."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from penstock.base.ids import attempt_id
from penstock.base.instants import Instant, duration_text
from penstock.engine.caching import reads_cache
from penstock.engine.events import LookUp, StartAttempt, StopAttempt
from penstock.engine.memory import TaskRun, caused
from penstock.engine.packing import Flight, predicted_ms, rank_of
from penstock.engine.rows import Amounts, AttemptRow, Cause, Claim
from penstock.engine.states import AttemptState, TaskState
from penstock.engine.turn import Turn
from penstock.wire import AttemptRequest, artifact_bytes

STOP_AGAIN_MS = 30_000
"""A stop that was not answered is asked for again after so long beyond its grace."""


def place(turn: Turn) -> None:
    """Start what is ready and fits. Of what others may have computed since it was looked up that is asked first: until the
    answer it keeps its room."""
    for task, room, ahead in turn.placement.picks(turn.now):
        run_id, amounts = task.scope.run.run_id, room.given(task.amounts)
        identity = attempt_id(run_id, task.path, task.attempt + 1)
        flight = Flight(room.need(amounts), turn.now, predicted_ms(task), rank_of(task), task.node.component)
        if ahead:
            room.add_ahead(identity, flight, task.amounts)
        else:
            room.add(identity, flight)
        missed = turn.flights.missed.pop((run_id, task.path), None)
        if turn.flights.leads(task) and (missed is None or missed.at != turn.now):
            turn.flights.kept[run_id, task.path] = room, identity
            look_up(turn, task)
        else:
            _submit(turn, task, room.name, amounts, newest=missed.newest if missed else "")


def look_up(turn: Turn, task: TaskRun) -> None:
    """Ask for what there is under the key of a ready task run."""
    assert task.key is not None
    run = task.scope.run
    turn.flights.asking[run.run_id, task.path] = task
    component, retry_of = task.node.component, run.fixed.retry_of
    turn.queries.append(LookUp(run.run_id, task.path, task.key, component, retry_of, reads_cache(task)))


def _submit(turn: Turn, task: TaskRun, executor: str, amounts: Amounts, *, newest: str) -> None:
    """Make a task run's next attempt, and claim the key that it computes for others too."""
    run = task.scope.run
    task.attempt += 1
    row = AttemptRow(
        run.run_id,
        task.path,
        task.attempt,
        AttemptState.SUBMITTED,
        executor,
        amounts,
        turn.now,
        input_bytes=artifact_bytes(task.inputs),
    )
    turn.move(task, TaskState.RUNNING, caused("placed"))
    if turn.flights.leads(task):
        assert task.key is not None
        turn.claims.append(Claim(task.key, run.run_id, task.path, newest))
    turn.move_attempt(task, row, caused("placed"))
    run.in_flight[attempt_id(run.run_id, task.path, task.attempt)] = task
    turn.commands.append(StartAttempt(executor, request_of(task)))


def request_of(task: TaskRun) -> AttemptRequest:
    """What the current attempt of a task run was asked to do; derived from state, so it can be asked for again."""
    run = task.scope.run
    assert task.current is not None and task.node.request is not None
    amounts = dict(task.current.amounts)
    key = task.key if task.key is not None and task.node.cache else ""
    declared = task.node.amounts is None or task.node.memory_bytes_max is not None
    return AttemptRequest(
        attempt_id(run.run_id, task.path, task.current.number),
        task.node.request,
        task.inputs,
        seed_of(run.fixed.seed, task.path, key),
        amounts,
        amounts.get("memory") if declared else None,
        task.node.fresh,
        run.fixed.pipeline,
        key,
        task.disk_bytes_max,
        reads_cache(task),
    )


def seed_of(run_seed: int, path: str, key: str = "") -> int:
    """The seed of a task run's attempts, 32 bits: the same in every attempt, and in every run for the same key. Without
    a key it follows from the path, so that two draws of one task differ."""
    text = f"key\0{key}" if key else f"{run_seed}\0{path}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def stop_attempt(turn: Turn, task: TaskRun, grace_ms: int, cause: Cause) -> None:
    """Ask the current attempt to stop. It stays what it is until its end is reported."""
    row = task.current
    assert row is not None and row.state is not AttemptState.ENDED
    if row.stop_at is None:
        turn.move_attempt(task, replace(row, stop_at=turn.now), cause)
    identity = attempt_id(row.run_id, task.path, row.number)
    turn.commands.append(StopAttempt(row.executor, identity, grace_ms))
    turn.timers.add(turn.now + grace_ms + STOP_AGAIN_MS, task)


def timed_out(timeout_ms: int | None) -> Cause:
    """Why what took longer than this has failed."""
    return Cause("timed_out", text="timed out" + (f" after {duration_text(timeout_ms)}" if timeout_ms else ""))


def deadline_of(task: TaskRun) -> Instant | None:
    """When the current attempt, or the whole of a node with a graph, has used up its time."""
    if task.timeout_ms is None:
        return None
    if task.node.work is None:
        return Instant(task.started_at + task.timeout_ms) if task.started_at is not None else None
    row = task.current
    if row is None or row.started_at is None or row.state is AttemptState.ENDED:
        return None
    return Instant(row.started_at + task.timeout_ms)
