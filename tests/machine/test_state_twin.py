"""The database and its twin in memory are asked the same things in the same order, and answer the same."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.base.errors import PenstockError
from penstock.base.instants import Instant
from penstock.effects import Commit, Found, Holder, Lease, Message, Nondeterminism, StateStore, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import ArtifactUse, AttemptRow, CacheEntry, Cause, Claim, RunRow, TaskRunRow
from penstock.engine.states import RunState, TaskState
from penstock.stores.sql import open_state
from penstock.testing.conformance.state_rows import (
    ADA,
    BOB,
    GRAPH,
    NOW,
    changed,
    entry,
    run_row,
    succeeded,
    table,
    task_run,
)
from penstock.testing.memory_state import MemoryState, MemoryStateStore
from penstock.wire import Artifact, Counted, Datum, Exhibit, Inline, Observation, Progress

RUNS = st.sampled_from(["run1"] * 8 + ["run2"] * 4 + ["nobody"])
MESSAGES = st.sampled_from(["m1", "m2", "m3", "run1/submit", "run2/submit"])
HOLDERS = st.sampled_from([ADA, BOB])
PATHS = st.sampled_from(["fit", "train/0/fit", "train/10/fit", "train~1/2/fit", "a-b", "a_b", "A"])
INSTANTS = st.sampled_from([NOW - 60, NOW, NOW + 10, NOW + 50, NOW + 110]).map(Instant)
CAUSES = st.sampled_from([Cause(""), Cause("trigger", "load"), Cause("ended", text="\ud800 \0 ✈")])
OUTPUTS: st.SearchStrategy[dict[str, Datum]] = st.sampled_from(
    [
        {},
        {"loss": Inline(math.nan)},
        {"each": Counted((Inline(-math.inf), Inline({"$float": 1}), table("a")))},
        {"model": table("a"), "test": table("b")},
    ]
)
KEYS = st.sampled_from(["1" * 64, "2" * 64, "3" * 64])
TASK_RUNS = st.builds(
    lambda run_id, path, state, outputs, key: replace(task_run(path, state, run_id=run_id), outputs=outputs, key=key),
    RUNS,
    PATHS,
    st.sampled_from(TaskState) | st.just(TaskState.SUCCEEDED),
    OUTPUTS,
    st.none() | KEYS,
)
ENTRIES = st.builds(
    lambda key, run_id, path, outputs, times: replace(
        entry(key, run_id=run_id, path=path, at=times[0]), outputs=outputs, expires_at=times[1]
    ),
    KEYS,
    RUNS,
    PATHS,
    OUTPUTS,
    st.tuples(INSTANTS, st.none() | INSTANTS),
)
CLAIMS = st.builds(Claim, KEYS, RUNS, PATHS)
USES = st.builds(
    ArtifactUse, st.sampled_from([table("a").digest, table("b").digest]), RUNS, PATHS, st.sampled_from(["x", "y"])
)
ATTEMPTS = st.builds(
    lambda run_id, path, number, outcome: replace(
        succeeded(path, number, run_id=run_id, duration_us=7), outcome=outcome
    ),
    RUNS,
    PATHS,
    st.integers(1, 2),
    st.sampled_from([None, "succeeded", "succeeded", "failed", "lost"]),
)
RUN_ROWS = st.builds(
    lambda run_id, state, outputs: replace(run_row(run_id), state=state, outputs=outputs),
    RUNS,
    st.sampled_from(RunState),
    OUTPUTS,
)
ROWS: st.SearchStrategy[RunRow | TaskRunRow | AttemptRow] = st.one_of(
    TASK_RUNS, TASK_RUNS, ATTEMPTS, ATTEMPTS, RUN_ROWS
)
TRANSITIONS: st.SearchStrategy[Transition] = st.builds(
    lambda row, cause: changed(row, "waiting", cause=cause), ROWS, CAUSES
)
NAMES = st.sampled_from(["loss", "\ud800", "a\0b"])
Answer = tuple[str, Any]


def answer_of(ask: Callable[[], object]) -> Answer:
    """What a store says, or which error with what it names."""
    try:
        value = ask()
    except (PenstockError, KeyError, ValueError) as error:
        names = getattr(error, "run_ids", getattr(error, "keys", None))
        named = names if names is not None else "" if isinstance(error, ValueError) else str(error)
        return type(error).__name__, named
    return "answer", plain(list(value) if isinstance(value, Sequence) else value)


def plain(value: object) -> object:
    """The same value with NaN written out, as NaN equals nothing."""
    return repr(value) if "nan" in repr(value).lower() else value


def first(pair: tuple[str, object]) -> str:
    return pair[0]


def look_up_all(store: StateStore, now: Instant) -> list[tuple[str, Found]]:
    return sorted(store.look_up(["1" * 64, "2" * 64, "3" * 64], now=now).items(), key=first)


class Twins(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.db"
        self.memory = MemoryState()
        self.leases: list[Lease] = []
        self.stores: tuple[StateStore, StateStore] = (open_state(self.path), MemoryStateStore(self.memory))

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def both(self, ask: Callable[[StateStore], object]) -> Answer:
        real, twin = (answer_of(lambda store=store: ask(store)) for store in self.stores)  # type: ignore[misc]
        assert real == twin
        return real

    @initialize()
    def begin(self) -> None:
        """Two runs, their leases taken: what all the rest is about."""
        for run_id in ("run1", "run2"):
            run, message = run_row(run_id), Message(f"{run_id}/submit", "submit", run_id, NOW)
            self.both(lambda store, run=run, message=message: store.submit(Submission(run, GRAPH), message))  # type: ignore[misc]
            self.take(run_id, ADA, now=NOW, lease_ms=50)

    def take(self, run_id: str, holder: Holder, *, now: Instant, lease_ms: int, dead: Holder | None = None) -> None:
        kind, lease = self.both(lambda store: store.acquire(run_id, holder, now=now, lease_ms=lease_ms, dead=dead))
        if kind == "answer" and lease is not None:
            self.leases.append(lease)

    @rule(
        run_id=RUNS.filter(lambda run_id: run_id != "nobody"),
        message_id=MESSAGES,
        priority=st.sampled_from([-2, -2, 5]),
    )
    def submit(self, run_id: str, message_id: str, priority: int) -> None:
        run = replace(run_row(run_id), priority=priority)
        message = Message(message_id, "submit", run_id, NOW)
        self.both(lambda store: store.submit(Submission(run, GRAPH), message))

    @rule(run_id=RUNS, message_id=MESSAGES, kind=st.sampled_from(["cancel", "cancel", "greet"]), force=st.booleans())
    def post(self, run_id: str, message_id: str, kind: str, force: bool) -> None:
        self.both(lambda store: store.post(Message(message_id, kind, run_id, NOW, {"force": force})))

    @rule(run_id=RUNS, holder=HOLDERS, now=INSTANTS, lease_ms=st.sampled_from([0, 50, 100]), dead=st.none() | HOLDERS)
    def acquire(self, run_id: str, holder: Holder, now: Instant, lease_ms: int, dead: Holder | None) -> None:
        self.take(run_id, holder, now=now, lease_ms=lease_ms, dead=dead)

    @rule(data=st.data(), now=INSTANTS)
    def renew(self, data: st.DataObject, now: Instant) -> None:
        leases = data.draw(st.lists(st.sampled_from(self.leases), max_size=2))
        self.both(lambda store: store.renew(leases, now=now, lease_ms=50))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        leases = data.draw(st.lists(st.sampled_from(self.leases), max_size=1))
        self.both(lambda store: store.release(leases))

    @rule(transitions=st.lists(TRANSITIONS, min_size=1, max_size=4))
    def commit(self, transitions: list[Transition]) -> None:
        """Under the newest leases of all runs that are changed."""
        leases = {lease.run_id: lease for lease in self.leases}
        self.write(leases.values(), transitions, ())

    @rule(transitions=st.lists(TRANSITIONS, min_size=1, max_size=4), consumed=st.lists(MESSAGES, max_size=2))
    def commit_and_consume(self, transitions: list[Transition], consumed: list[str]) -> None:
        leases = {lease.run_id: lease for lease in self.leases}
        self.write(leases.values(), [t for t in transitions if t.run_id in leases], consumed)

    @rule(data=st.data(), transitions=st.lists(TRANSITIONS, max_size=2))
    def commit_under_any_leases(self, data: st.DataObject, transitions: list[Transition]) -> None:
        drawn = data.draw(st.lists(st.sampled_from(self.leases), max_size=2))
        self.write({lease.run_id: lease for lease in drawn}.values(), transitions, ())

    @rule(row=RUN_ROWS)
    def commit_the_run(self, row: RunRow) -> None:
        leases = {lease.run_id: lease for lease in self.leases}
        self.write(leases.values(), [changed(row, "running")], ())

    @rule(
        data=st.data(),
        transitions=st.lists(TRANSITIONS, max_size=2),
        entries=st.lists(ENTRIES, max_size=2),
        claims=st.lists(CLAIMS, max_size=2),
        released=st.lists(KEYS, max_size=1),
        uses=st.lists(USES, max_size=2),
        at=INSTANTS,
    )
    def commit_to_the_cache(  # one rule, as it is one transaction
        self,
        data: st.DataObject,
        transitions: list[Transition],
        entries: list[CacheEntry],
        claims: list[Claim],
        released: list[str],
        uses: list[ArtifactUse],
        at: Instant,
    ) -> None:
        leases = {lease.run_id: lease for lease in self.leases}
        # Mostly of runs that are leased, and of one alone: two that claim one key in one commit are rare.
        run_id = data.draw(st.sampled_from(["run1", "run2"]))
        claims = [replace(claim, run_id=run_id) for claim in claims]
        mine = [lease for lease in leases.values() if lease.run_id == run_id]
        held = data.draw(st.sampled_from([tuple(leases.values()), tuple(leases.values()), tuple(mine)]))
        owned = {lease.run_id for lease in held} | data.draw(st.sampled_from([set(), set(), set(), {"nobody"}]))
        whole = Commit(
            at,
            held,
            tuple(t for t in transitions if t.run_id in owned),
            (),
            tuple(one for one in entries if one.run_id in owned),
            tuple(one for one in claims if one.run_id in owned),
            tuple(released),
            tuple(one for one in uses if one.run_id in owned),
        )
        self.both(lambda store: store.commit(whole))

    @rule(keys=st.lists(KEYS, max_size=2))
    def delete_entries(self, keys: list[str]) -> None:
        self.both(lambda store: store.delete_entries(keys))

    @rule(run_ids=st.lists(RUNS, max_size=2), now=INSTANTS)
    def delete_runs(self, run_ids: list[str], now: Instant) -> None:
        self.both(lambda store: store.delete_runs(run_ids, now=now))

    @rule(component=st.sampled_from(["m:f", "m:g"]), at=INSTANTS, name=NAMES)
    def mark(self, component: str, at: Instant, name: str) -> None:
        self.both(lambda store: store.mark_nondeterministic(Nondeterminism(component, at, {"columns": [name]})))

    @rule(keys=st.lists(KEYS, max_size=4), now=INSTANTS, limit=st.integers(0, 3))
    def read_the_cache(self, keys: list[str], now: Instant, limit: int) -> None:
        self.both(lambda store: sorted(store.look_up(keys, now=now).items(), key=first))
        self.both(lambda store: store.entries_of("flights:fit", limit=limit))
        self.both(lambda store: store.entries_of("flights:fit", limit=limit, until=Instant(NOW + limit)))
        self.both(lambda store: store.keys_unwritten_since(now))
        for key in keys:
            self.both(lambda store, key=key: store.entries(key, limit=limit))  # type: ignore[misc]

    @rule(run_id=RUNS, path=PATHS, keys=st.lists(KEYS, max_size=4))
    def read_what_a_task_run_left(self, run_id: str, path: str, keys: list[str]) -> None:
        self.both(lambda store: store.entry_of(run_id, path))
        self.both(lambda store: store.artifacts_of(run_id, path))
        self.both(lambda store: sorted(store.adoptable(run_id, keys).items(), key=first))

    def write(self, leases: Iterable[Lease], transitions: Sequence[Transition], consumed: Sequence[str]) -> None:
        whole = Commit(NOW, tuple(leases), tuple(transitions), tuple(consumed))
        self.both(lambda store: store.commit(whole))

    @rule(
        run_id=RUNS,
        path=PATHS,
        name=NAMES,
        value=st.sampled_from([0.5, math.nan, math.inf]),
        number=st.sampled_from([None, 3, 2**70]),
    )
    def observe(self, run_id: str, path: str, name: str, value: float, number: int | None) -> None:
        seen = Observation(f"{run_id}/{path}#1", name, value, number, NOW)
        shown = Exhibit(seen.attempt_id, "figure", name, Artifact("blake3:" + "d" * 64, "path", "tree", 1), NOW)
        far = Progress(seen.attempt_id, number or 0, number, name, NOW)
        self.both(lambda store: store.observe([seen, shown, far, replace(seen, value=math.pi)]))

    @rule(run_id=RUNS, after=st.integers(0, 12), limit=st.integers(0, 6))
    def read_the_journal(self, run_id: str, after: int, limit: int) -> None:
        self.both(lambda store: store.journal(run_id, after=after, limit=limit))

    @rule(
        limit=st.integers(0, 3),
        state=st.none() | st.sampled_from(RunState),
        prefix=st.sampled_from(["", "run", "run1", "x"]),
    )
    def list_runs(self, limit: int, state: str | None, prefix: str) -> None:
        self.both(lambda store: store.runs(limit=limit, state=state, prefix=prefix))

    @rule(run_id=RUNS, path=PATHS)
    def read_one_path(self, run_id: str, path: str) -> None:
        self.both(lambda store: store.task_runs(run_id, path))
        self.both(lambda store: store.task_runs(run_id, path, below=True))
        self.both(lambda store: store.attempts(run_id, path))
        self.both(lambda store: store.attempts(run_id, path, below=True))
        self.both(lambda store: store.progress(run_id, path))
        self.both(lambda store: store.metrics(run_id, path))
        self.both(lambda store: store.exhibits(run_id, path))

    @rule()
    def open_again(self) -> None:
        for store in self.stores:
            store.close()
        self.stores = (open_state(self.path), MemoryStateStore(self.memory))

    @invariant()
    def everything_is_the_same(self) -> None:
        for run_id in ("run1", "run2"):
            for read in (
                "load",
                "outline",
                "lease_of",
                "run",
                "task_runs",
                "attempts",
                "metrics",
                "exhibits",
                "progress",
                "journal",
            ):
                self.both(lambda store, read=read, run_id=run_id: getattr(store, read)(run_id))  # type: ignore[misc]
            self.both(lambda store, run_id=run_id: store.inbox([run_id]))  # type: ignore[misc]
        self.both(lambda store: store.runs())
        self.both(lambda store: store.inbox(["run2", "run1"]))
        self.both(lambda store: store.history(["m:f", "m:g", "m:h"]))
        self.both(lambda store: store.graph("a" * 64))
        self.both(lambda store: list(store.digests_in_use()))
        self.both(lambda store: list(store.nondeterministic().items()))
        for now in (NOW, Instant(NOW + 70)):
            self.both(lambda store, now=now: look_up_all(store, now))  # type: ignore[misc]
        for digest in (table("a").digest, table("b").digest):
            self.both(lambda store, digest=digest: store.producers(digest))  # type: ignore[misc]
            self.both(lambda store, digest=digest: store.consumers(digest))  # type: ignore[misc]


TestTwins = Twins.TestCase
TestTwins.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes: turn it on when a failure is to be read
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
