"""Kills writers of a state store with SIGKILL, again and again, and looks at what is left. A program of its own, with
one thread, so that it may fork: `python state_killer.py DATABASE ROUNDS SEED`. Prints one line of JSON."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from penstock.base.instants import Instant
from penstock.engine.rows import ArtifactUse, Claim
from penstock.engine.states import TaskState
from penstock.stores.sql import open_state
from penstock.testing.conformance.state_rows import (
    ADA,
    BOB,
    LEASE_MS,
    NOW,
    attempt,
    changed,
    commit,
    entry,
    run_row,
    submission,
    succeeded,
    table,
    task_run,
)
from penstock.wire import Datum, Inline

ROWS_PER_COMMIT = 4


def key_of(number: int) -> str:
    return f"{number:064x}"


def write(path: Path, round_number: int, acknowledge: int) -> None:
    """Take the run from whoever had it, then commit one task after the other; each commit that returned is
    acknowledged."""
    store = open_state(path)
    store.submit(*submission(run_row()))
    holder = replace(ADA, token=str(round_number))
    lease = store.acquire("run1", holder, now=Instant(NOW + round_number * 2 * LEASE_MS), lease_ms=LEASE_MS)
    assert lease is not None
    number = len(store.task_runs("run1"))
    os.write(acknowledge, b"r")
    while True:
        name = f"t{number:06}"
        started = [changed(task_run(name), "waiting"), changed(attempt(name), "")]
        outputs: dict[str, Datum] = {"text": Inline("x" * (number % 50) * 100), "model": table("a")}
        done = replace(task_run(name, TaskState.SUCCEEDED), outputs=outputs, key=key_of(number))
        ended = [changed(succeeded(name), "submitted"), changed(done, "ready")]
        entries = (replace(entry(key_of(number), path=name), outputs=outputs),)
        claims = (Claim(key_of(number + 1), "run1", f"t{number + 1:06}"),)
        uses = (ArtifactUse(table("b").digest, "run1", name, "rows"),)
        commit(store, lease, *started, *ended, entries=entries, claims=claims, uses=uses)
        os.write(acknowledge, b"c")
        number += 1


def one_round(path: Path, round_number: int, chance: random.Random) -> int:
    """A writer's life: how many commits it acknowledged. Every third is killed while it opens or makes the database."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            write(path, round_number, writer)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(1)
    os.close(writer)
    acknowledged = b""
    if round_number % 3:
        wanted = chance.randint(1, 500)
        while len(acknowledged) < wanted:
            piece = os.read(reader, wanted - len(acknowledged))
            if not piece:
                raise AssertionError(f"the writer of round {round_number} ended by itself")
            acknowledged += piece
    until = time.perf_counter() + chance.random() * 0.004
    while time.perf_counter() < until:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(reader, 65_536):
        acknowledged += piece
    os.close(reader)
    return acknowledged.count(b"c")


def inspect(path: Path, acknowledged: int) -> int:
    """How many task runs are there; raises AssertionError when anything is missing, half there or damaged."""
    store = open_state(path)
    store.submit(*submission(run_row()))
    record, journal = store.load("run1"), store.journal("run1", limit=10_000_000)
    lease = store.lease_of("run1")
    keys = [key_of(number) for number in range(len(record.task_runs) + 2)]
    found = store.look_up(keys, now=NOW)
    made, given = store.producers(table("a").digest), store.consumers(table("b").digest)
    assert store.acquire("run1", BOB, now=NOW, lease_ms=LEASE_MS, dead=lease.holder if lease else None) is not None
    store.close()
    assert len(record.task_runs) in (acknowledged, acknowledged + 1), (len(record.task_runs), acknowledged)
    assert [row.path for row in record.task_runs] == [f"t{number:06}" for number in range(len(record.task_runs))]
    assert {row.state for row in record.task_runs} <= {TaskState.SUCCEEDED}
    assert [row.outcome for row in record.attempts] == ["succeeded"] * len(record.task_runs)
    paths = [row.path for row in record.task_runs]
    assert {key: (one.entry.path, one.claimed_by) for key, one in found.items() if one.entry} == {
        row.key: (row.path, None) for row in record.task_runs
    }
    # The lease of the dead still lasts at NOW, and with it the one claim that no entry has ended.
    assert [one.claimed_by for key, one in found.items() if one.entry is None] == ["run1"] * bool(paths)
    assert [link.path for link in made] == [link.path for link in given] == paths
    assert [one.sequence for one in journal] == list(range(1, ROWS_PER_COMMIT * len(record.task_runs) + 1))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return len(record.task_runs)


def main() -> None:
    path, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    found, unacknowledged = 0, 0
    for round_number in range(rounds):
        acknowledged = found + one_round(path, round_number, chance)
        found = inspect(path, acknowledged)
        unacknowledged += found - acknowledged
    print(json.dumps({"rounds": rounds, "task_runs": found, "unacknowledged": unacknowledged}))


if __name__ == "__main__":
    main()
