"""Rows, transitions and commits for tests of state stores: a run called `run1`, some with every field set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.base.instants import Instant
from penstock.effects import Commit, Holder, Lease, Message, StateStore, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import NO_CAUSE, ArtifactUse, AttemptRow, CacheEntry, Cause, Claim, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, TaskState
from penstock.wire import Artifact, Counted, Inline, LogSegment, Struct, Usage

NOW = Instant(1_700_000_000_000)
LEASE_MS = 30_000
ADA = Holder("ada", "boot-1", 101, 5_000, "one")
BOB = Holder("bob", "boot-1", 102, 6_000)
EVE = Holder("eve", "boot-9", 103, 7_000)
GRAPH = {"name": "flights", "nodes": [{"name": "fit", "share": 0.1}], "outputs": {}, "title": "Flüge ✈"}
ODD_TEXT = "it broke: \ud800 \0 'quoted' \"twice\" \\ \n ✈"


def run_row(run_id: str = "run1", *, created_at: int = NOW) -> RunRow:
    """A run as it is submitted."""
    return RunRow(
        run_id=run_id,
        pipeline="flights",
        graph_digest="a" * 64,
        inputs={"seed": Inline(3), "odd": Inline([math.inf, "\ud800", {"$float": "x"}])},
        pin="b" * 64,
        seed=2**80 + 1,
        created_at=Instant(created_at),
        priority=-2,
        retry_of="run0",
        labels={"team": "é"},
        provenance={"packages": {"numpy": "2.1"}, "cores": 8, "dirty": True},
        code="blake3:" + "e" * 64,
        cache="write",
        learned={"flights:fit": [3, 10.5, 1_000, [[20, 4_096]]]},
    )


def task_run(path: str, state: TaskState = TaskState.READY, *, run_id: str = "run1", attempt: int = 0) -> TaskRunRow:
    return TaskRunRow(run_id, path, "flights:fit", state, Cause("trigger"), NOW, attempt=attempt)


def full_task_run(path: str) -> TaskRunRow:
    """A task run with every field set."""
    table = Artifact("blake3:" + "c" * 64, "polars:DataFrame", "parquet", 123, {"rows": 9, "columns": ["a"]}, "d" * 64)
    return TaskRunRow(
        run_id="run1",
        path=path,
        component="flights:fit",
        state=TaskState.SUCCEEDED,
        cause=Cause("ended", by="split/3/fit", text=ODD_TEXT),
        changed_at=Instant(NOW + 9),
        origin=Origin.COMPUTED,
        outputs={
            "model": table,
            "each": Counted((Inline(1.5), table)),
            "loss": Inline(-math.inf),
            "none": Inline(None),
        },
        attempt=4,
        failed_count=1,
        oom_count=2,
        lost_count=3,
        generation=5,
        ready_at=Instant(NOW + 1),
        retry_at=Instant(NOW + 2),
        started_at=Instant(NOW + 3),
        ended_at=Instant(NOW + 4),
        key="5" * 64,
        detail={"cursor": 7, "carried": {"x": {"value": [1, 2.5, None]}}, "amounts": [["cpu", 1000]]},
    )


def table(letter: str) -> Artifact:
    """An artifact whose digest is made of this hexadecimal digit."""
    return Artifact("blake3:" + letter * 64, "polars:DataFrame", "parquet", 3, {"rows": 1})


def entry(key: str, *, run_id: str = "run1", path: str = "fit", at: int = NOW) -> CacheEntry:
    """An entry that never expires."""
    return CacheEntry(
        key=key,
        component="flights:fit",
        run_id=run_id,
        path=path,
        attempt=1,
        outputs={"loss": Inline(0.5)},
        code="c" * 64,
        environment="e" * 64,
        inputs={"rows": "f" * 64},
        reads={},
        created_at=Instant(at),
    )


def full_entry(key: str) -> CacheEntry:
    """An entry with every field set."""
    return replace(
        entry(key, path="split/3/fit"),
        attempt=3,
        outputs={
            "model": table("a"),
            "each": Counted((Inline(-math.inf), table("b"))),
            "none": Inline(None),
            "both": Struct({"z": table("b"), "a": Inline([1])}),
        },
        inputs={"rows": "1" * 64, "größe": "2" * 64},
        reads={"data/x.csv": "blake3:" + "3" * 64, "odd \ud800": "blake3:" + "4" * 64},
        expires_at=Instant(NOW + 1_000),
        duration_us=1_234_567,
    )


def attempt(path: str, number: int = 1, *, run_id: str = "run1") -> AttemptRow:
    return AttemptRow(run_id, path, number, AttemptState.SUBMITTED, "local", (("cpu", 1000),), NOW)


def succeeded(path: str, number: int = 1, *, run_id: str = "run1", duration_us: int = 0) -> AttemptRow:
    submitted = attempt(path, number, run_id=run_id)
    return replace(submitted, state=AttemptState.ENDED, outcome="succeeded", duration_us=duration_us)


def full_attempt(path: str) -> AttemptRow:
    """An attempt with every field set."""
    return AttemptRow(
        run_id="run1",
        path=path,
        number=2,
        state=AttemptState.ENDED,
        executor="local",
        amounts=(("cpu", 1500), ("licence", 1000), ("memory", 2**40)),
        submitted_at=NOW,
        started_at=Instant(NOW + 1),
        ended_at=Instant(NOW + 2),
        duration_us=1_234_567,
        worker="w-1",
        outcome="failed",
        failure={"kind": "failed", "final": False, "message": ODD_TEXT, "bases": ["Exception"]},
        usage=Usage(12.5, 2**33, 2**34, 87.5, 2**35),
        log=LogSegment("local/x/log", 10, 20),
        stop_at=Instant(NOW + 5),
        input_bytes=2**36,
        reads={"data/x.csv": "blake3:00", "data/": "names:00", "odd": ODD_TEXT},
        outside=("helper:f", ODD_TEXT),
    )


def changed(row: RunRow | TaskRunRow | AttemptRow, before: str, *, cause: Cause = NO_CAUSE) -> Transition:
    """The transition that leads to a row."""
    match row:
        case RunRow():
            return Transition("run", row.run_id, row.run_id, before, row.state, cause, row)
        case TaskRunRow():
            return Transition("task", row.run_id, row.path, before, row.state, cause, row)
        case AttemptRow():
            return Transition("attempt", row.run_id, f"{row.path}#{row.number}", before, row.state, cause, row)


def submission(run: RunRow) -> tuple[Submission, Message]:
    return Submission(run, GRAPH), Message(f"{run.run_id}/submit", "submit", run.run_id, run.created_at)


def begun(store: StateStore, run_id: str = "run1", holder: Holder = ADA) -> Lease:
    """Submit a run and take its lease."""
    store.submit(*submission(run_row(run_id)))
    lease = store.acquire(run_id, holder, now=NOW, lease_ms=LEASE_MS)
    assert lease is not None
    return lease


def refused(error: type[Exception], action: Callable[[], object]) -> Exception:
    """The error that an action raises. AssertionError: it did not."""
    try:
        action()
    except error as refusal:
        return refusal
    raise AssertionError(f"{error.__name__} was not raised")


def commit(
    store: StateStore,
    lease: Lease | Sequence[Lease],
    *transitions: Transition,
    consumed: tuple[str, ...] = (),
    at: Instant = NOW,
    entries: tuple[CacheEntry, ...] = (),
    claims: tuple[Claim, ...] = (),
    released: tuple[str, ...] = (),
    uses: tuple[ArtifactUse, ...] = (),
) -> None:
    leases = (lease,) if isinstance(lease, Lease) else tuple(lease)
    store.commit(Commit(at, leases, transitions, consumed, entries, claims, released, uses))
