"""What the cache costs in the state store: looking keys up among many entries, writing entries, claims, and all that a
repeat asks of the store in which every task is a hit.

    python bench/cache_store.py [--folder DIR] [--entries 100000] [--tasks 10000] [--json]

Each figure is taken beside few entries and beside many, as their number should not matter. Figures are medians; nothing
is asserted."""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from penstock.base.instants import Instant
from penstock.effects import Commit, Holder, Lease, Message, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import ArtifactUse, CacheEntry, Cause, Claim, RunRow, TaskRunRow
from penstock.engine.states import Origin, RunState, TaskState
from penstock.stores.sql import SqlStateStore, open_state
from penstock.wire import Artifact, Datum, Inline

NOW = Instant(1_700_000_000_000)
HOLDER = Holder("host", "boot", 1, 1)
FEW = 1_000
TURN = 4_096
"""Transitions that a turn holds at most: a task run that is a hit makes two."""
COMPONENTS = 300


def digest_of(number: int, what: str) -> str:
    return hashlib.sha256(f"{what}{number}".encode()).hexdigest()


def outputs_of(number: int) -> dict[str, Datum]:
    """Every other task makes a table, the rest a number."""
    if number % 2:
        return {"score": Inline(number / 7)}
    content = "blake3:" + digest_of(number, "content")
    return {"table": Artifact(content, "polars:DataFrame", "parquet", 12_345, {"rows": 100, "columns": ["a", "b"]})}


def entry_of(number: int, run_id: str) -> CacheEntry:
    return CacheEntry(
        key=digest_of(number, "key"),
        component=f"flights:fit_{number % COMPONENTS}",
        run_id=run_id,
        path=f"train/{number}/fit",
        attempt=1,
        outputs=outputs_of(number),
        code=digest_of(number % COMPONENTS, "code"),
        environment=digest_of(0, "environment"),
        inputs={"rows": digest_of(number, "rows"), "rate": digest_of(number, "rate")},
        reads={},
        created_at=NOW,
        duration_us=120,
    )


def submitted(store: SqlStateStore, run_id: str) -> Lease:
    run = RunRow(run_id, "bench", "a" * 64, {}, "b" * 64, 1, NOW)
    store.submit(Submission(run, {"name": "bench"}), Message(f"{run_id}/submit", "submit", run_id, NOW))
    lease = store.acquire(run_id, HOLDER, now=NOW, lease_ms=30_000)
    assert lease is not None
    return lease


def filled(store: SqlStateStore, lease: Lease, numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), 2_000):
        entries = tuple(entry_of(number, lease.run_id) for number in numbers[first : first + 2_000])
        store.commit(Commit(NOW, (lease,), (), entries=entries))


def hit(run_id: str, entry: CacheEntry, path: str) -> list[Transition]:
    """A task run that is found instead of computed."""
    ready = TaskRunRow(run_id, path, entry.component, TaskState.READY, Cause("inputs_exist"), NOW, ready_at=NOW)
    cause = Cause("hit", f"{entry.run_id}/{entry.path}")
    done = replace(
        ready,
        state=TaskState.SUCCEEDED,
        cause=cause,
        origin=Origin.CACHED,
        outputs=entry.outputs,
        ended_at=NOW,
        key=entry.key,
    )
    return [
        Transition("task", run_id, path, "waiting", "ready", ready.cause, done),
        Transition("task", run_id, path, "ready", "succeeded", cause, done),
    ]


def timed(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def looking_up(store: SqlStateStore, numbers: Sequence[int], what: str) -> dict[str, float]:
    """Keys that stand together, as those of one run do, keys from anywhere, and keys that are not there."""
    chance = random.Random(3)
    taken: dict[str, list[float]] = {"of one run": [], "from anywhere": [], "unknown": []}
    for turn in range(21):
        first = numbers[chance.randrange(max(1, len(numbers) - 1_000))]
        asked = {
            "of one run": range(first, first + 1_000),
            "from anywhere": chance.choices(numbers, k=1_000),
            "unknown": range(-1_000 * turn - 1_000, -1_000 * turn),
        }
        for name, some in asked.items():
            keys = [digest_of(number, "key") for number in some]
            taken[name].append(timed(lambda keys=keys: store.look_up(keys, now=NOW)))  # type: ignore[misc]
    return {
        f"look up 1,000 keys {name} {what}, us per key": statistics.median(every) * 1e3 for name, every in taken.items()
    }


def repeating(store: SqlStateStore, tasks: int, run_id: str, what: str) -> dict[str, float]:
    """All that a repeat of `tasks` tasks asks of the store: look-ups and commits, one of each per turn."""
    lease = submitted(store, run_id)
    hits = [(f"train/{number}/fit", entry_of(number, "first")) for number in range(tasks)]
    uses = [ArtifactUse("blake3:" + digest_of(0, "content"), run_id, path, "rows") for path, _ in hits]
    per_turn = TURN // 2
    looked, committed = 0.0, 0.0
    for first in range(0, tasks, per_turn):
        some = hits[first : first + per_turn]
        keys = [entry.key for _, entry in some]
        looked += timed(lambda keys=keys: store.look_up(keys, now=NOW))  # type: ignore[misc]
        transitions = tuple(transition for path, entry in some for transition in hit(run_id, entry, path))
        whole = Commit(NOW, (lease,), transitions, uses=tuple(uses[first : first + per_turn]))
        committed += timed(lambda whole=whole: store.commit(whole))  # type: ignore[misc]
    return {
        f"repeat of {tasks} hits {what}: look-ups, s": looked,
        f"repeat of {tasks} hits {what}: commits, s": committed,
    }


def writing(store: SqlStateStore, lease: Lease, first: int, what: str) -> dict[str, float]:
    """A commit of 100 entries, of 100 claims, and of their release."""
    taken: dict[str, list[float]] = {"entries": [], "claims": [], "released claims": []}
    for turn in range(21):
        numbers = range(first + 100 * turn, first + 100 * turn + 100)
        entries = tuple(entry_of(number, lease.run_id) for number in numbers)
        keys = tuple(digest_of(number, "claimed") for number in numbers)
        claims = tuple(Claim(key, lease.run_id, "fit") for key in keys)
        commits = {
            "entries": Commit(NOW, (lease,), (), entries=entries),
            "claims": Commit(NOW, (lease,), (), claims=claims),
            "released claims": Commit(NOW, (lease,), (), released=keys),
        }
        for name, commit in commits.items():
            taken[name].append(timed(lambda commit=commit: store.commit(commit)))  # type: ignore[misc]
    return {f"commit 100 {name} {what}, us each": statistics.median(every) * 1e4 for name, every in taken.items()}


def asking(store: SqlStateStore, run_id: str, tasks: int, what: str) -> dict[str, float]:
    """What `why`, `lineage`, `retry` and `gc` ask."""
    number = tasks // 2 * 2 - 2
    content = "blake3:" + digest_of(number, "content")
    keys = [digest_of(number, "key") for number in range(tasks)]
    one_by_one = [store.adoptable(run_id, keys[:1]) for _ in range(1)]
    assert len(one_by_one[0]) == 1
    return {
        f"20 entries of a component {what}, ms": timed(lambda: store.entries_of("flights:fit_7", limit=20)) * 1e3,
        f"who made an artifact {what}, ms": timed(lambda: store.producers(content)) * 1e3,
        f"adoptable: {tasks} keys of an ended run {what}, us per key": timed(lambda: store.adoptable(run_id, keys))
        / tasks
        * 1e6,
        f"addresses in use {what}, s": timed(lambda: list(store.digests_in_use())),
    }


def measured(folder: Path, entries: int, tasks: int) -> dict[str, float]:
    store = open_state(folder / f"{entries}.db")
    lease = submitted(store, "first")
    numbers = range(max(entries, tasks))
    what = f"among {len(numbers)} entries"
    filled(store, lease, numbers)
    figures = {**looking_up(store, numbers, what), **writing(store, lease, 10**9, what)}
    figures |= repeating(store, tasks, "again", what)
    again = store.lease_of("again")
    assert again is not None
    ended = RunRow("again", "bench", "a" * 64, {}, "b" * 64, 1, NOW, state=RunState.FAILED)
    last = Transition("run", "again", "again", "running", "failed", Cause("failed"), ended)
    store.commit(Commit(NOW, (again,), (last,)))
    figures |= asking(store, "again", tasks, what)
    store.release([again])
    figures[f"delete a run of {tasks} tasks {what}, s"] = timed(lambda: store.delete_runs(["again"], now=NOW))
    size_bytes = (folder / f"{entries}.db").stat().st_size
    store.close()
    figures[f"database {what}, bytes per entry"] = size_bytes / len(numbers)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--folder", type=Path, help="where to put the databases (default: the system's temporary folder)"
    )
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures = {
            **measured(folder, min(options.tasks, options.entries), options.tasks),
            **measured(folder, options.entries, options.tasks),
        }
    if options.json:
        print(json.dumps(figures))
        return
    for text, figure in figures.items():
        print(f"{figure:12.3f}  {text}")


if __name__ == "__main__":
    main()
