"""What the state store costs: commits of many sizes beside a bare full-sync commit, and loading a large run.

    python bench/state_store.py [--folder DIR]

`bare` is one row into a table of two columns, in the same database settings, measured in turns with the rest. Figures
are medians; nothing is asserted."""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from penstock.base.instants import Instant
from penstock.effects import Commit, Holder, Lease, Message, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.stores.sql import SqlStateStore, open_state
from penstock.wire import Inline, LogSegment, Usage

NOW = Instant(1_700_000_000_000)
HOLDER = Holder("host", "boot", 1, 1)
STARTED = Cause("started")
ENDED = Cause("ended")
MICRO = 1e6


def submitted(store: SqlStateStore, run_id: str) -> Lease:
    run = RunRow(run_id, "bench", "a" * 64, {}, "b" * 64, 1, NOW)
    store.submit(Submission(run, {"name": "bench"}), Message(f"{run_id}/submit", "submit", run_id, NOW))
    lease = store.acquire(run_id, HOLDER, now=NOW, lease_ms=30_000)
    assert lease is not None
    return lease


def life(run_id: str, number: int) -> list[list[Transition]]:
    """A task run from ready to succeeded: the transitions of the turn that starts it, and of the turn that ends it."""
    path = f"train/{number}/fit"
    ready = TaskRunRow(run_id, path, "flights:fit", TaskState.READY, STARTED, NOW, ready_at=NOW)
    running = replace(ready, state=TaskState.RUNNING, attempt=1, started_at=NOW)
    outputs = {"score": Inline(number / 7)}
    done = replace(
        running, state=TaskState.SUCCEEDED, cause=ENDED, origin=Origin.COMPUTED, outputs=outputs, ended_at=NOW
    )
    asked = AttemptRow(run_id, path, 1, AttemptState.SUBMITTED, "local", (("cpu", 1000),), NOW)
    log = LogSegment("local/1/worker-1.log", number, 0)
    ended = replace(
        asked,
        state=AttemptState.ENDED,
        started_at=NOW,
        ended_at=NOW,
        duration_us=120,
        worker="worker-1",
        outcome="succeeded",
        usage=Usage(0.1, 0),
        log=log,
    )
    return [
        [
            Transition("task", run_id, path, "waiting", "ready", STARTED, ready),
            Transition("task", run_id, path, "ready", "running", STARTED, running),
            Transition("attempt", run_id, f"{path}#1", "", "submitted", STARTED, asked),
        ],
        [
            Transition("attempt", run_id, f"{path}#1", "submitted", "ended", ENDED, ended),
            Transition("task", run_id, path, "running", "succeeded", ENDED, done),
        ],
    ]


def median_us(actions: Sequence[Callable[[], object]]) -> float:
    taken = []
    gc.collect()
    for action in actions:
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * MICRO


def bare_commits(folder: Path, count: int) -> list[Callable[[], object]]:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE done (number INTEGER PRIMARY KEY, text TEXT)")

    def one(number: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO done VALUES (?, ?)", (number, "x" * 100))
        connection.execute("COMMIT")

    return [partial(one, number) for number in range(count)]


def small_and_large(folder: Path) -> dict[str, float]:
    store = open_state(folder / "state.db")
    lease = submitted(store, "small")
    figures: dict[str, float] = {}

    def commit(transitions: list[Transition], held: Lease) -> Callable[[], None]:
        ready = Commit(NOW, (held,), tuple(transitions))
        return lambda: store.commit(ready)

    singles = [commit(turn, lease) for number in range(1_000) for turn in life("small", number)]
    bare = bare_commits(folder, 2_000)
    in_turns = [action for pair in zip(singles, bare, strict=True) for action in pair]
    taken = [_timed(action) for action in in_turns]
    figures["bare full-sync commit, us"] = statistics.median(taken[1::2])
    figures["commit of one task's turn (2 rows), us"] = statistics.median(taken[::2])
    figures["  above bare, us"] = (
        figures["commit of one task's turn (2 rows), us"] - figures["bare full-sync commit, us"]
    )

    lease = submitted(store, "large")
    for size in (100, 200, 1_000):
        batches = []
        for first in range(0, 20 * size, size):
            turns = [life("large", 1_000_000 * size + number) for number in range(first, first + size)]
            batches += [commit([t for turn in turns for t in turn[part]], lease) for part in (0, 1)]
        whole = median_us(batches)
        figures[f"commit of {size} tasks' turns ({2 * size} rows), us"] = whole
        figures[f"  per row, us ({2 * size} rows)"] = whole / (2 * size)
    store.close()
    return figures


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * MICRO


def large_run(folder: Path, tasks: int) -> dict[str, float]:
    store = open_state(folder / "large.db")
    lease = submitted(store, "run1")
    start = time.perf_counter()
    for first in range(0, tasks, 500):
        turns = [life("run1", number) for number in range(first, min(first + 500, tasks))]
        for part in (0, 1):
            store.commit(Commit(NOW, (lease,), tuple(t for turn in turns for t in turn[part])))
    written = time.perf_counter() - start
    ended = RunRow("run1", "bench", "a" * 64, {}, "b" * 64, 1, NOW, state=RunState.SUCCEEDED)
    last = Commit(NOW, (lease,), (Transition("run", "run1", "run1", "running", "succeeded", ENDED, ended),))
    folding = _timed(lambda: store.commit(last)) / MICRO
    store.close()
    code = (
        "import sys, time, pathlib\n"
        "from penstock.stores.sql import open_state\n"
        "def resident(): return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * 4096\n"
        "store = open_state(pathlib.Path(sys.argv[1]))\n"
        "before = resident()\n"
        "start = time.perf_counter()\n"
        "record = store.load('run1')\n"
        "print(time.perf_counter() - start, resident() - before)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(folder / "large.db")], check=True, capture_output=True, text=True
    )
    seconds, size_bytes = (float(text) for text in answer.stdout.split())
    return {
        f"write {tasks} tasks in turns of 500, s (with making the rows)": written,
        "end the run: fold its history, s": folding,
        f"load {tasks} task runs and attempts, s": seconds,
        "  memory held after it, bytes per task": size_bytes / tasks,
        "database, bytes per task": (folder / "large.db").stat().st_size / tasks,
    }


def opening(folder: Path) -> dict[str, float]:
    def opened(number: int) -> None:
        open_state(folder / f"fresh{number}" / "state.db").close()

    every = [partial(opened, number) for number in range(20)]
    figures = {
        "make a fresh database, ms": median_us(every) / 1e3,
        "open an existing one, ms": median_us(every) / 1e3,
    }
    code = "import time; s = time.process_time(); import penstock.stores.sql; print(time.process_time() - s)"
    taken = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
    figures["import penstock.stores.sql, ms of CPU"] = statistics.median(taken) * 1e3
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--folder", type=Path, help="where to put the databases (default: the system's temporary folder)"
    )
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures = {**opening(folder), **small_and_large(folder), **large_run(folder, options.tasks)}
    if options.json:
        print(json.dumps(figures))
        return
    for text, figure in figures.items():
        print(f"{figure:12.2f}  {text}")


if __name__ == "__main__":
    main()
