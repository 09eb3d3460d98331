"""The store in memory fails when it is told to: before, after, or saying that it does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.base.errors import CommitUnknown, StoreUnavailable
from penstock.testing.conformance.state_rows import begun, changed, commit, run_row, task_run
from penstock.testing.memory_state import Fault, Interrupt, MemoryStateStore, Moment, interrupt_of, never


def once(call: str, fault: Fault) -> Interrupt:
    left = [fault]
    return interrupt_of(lambda called: left.pop() if called == call and left else None)


@pytest.mark.parametrize(
    ("fault", "error", "kept"),
    [
        (Fault.UNAVAILABLE, StoreUnavailable, False),
        (Fault.UNKNOWN_LOST, CommitUnknown, False),
        (Fault.UNKNOWN_KEPT, CommitUnknown, True),
    ],
)
def test_a_commit_fails_and_is_kept_or_not(fault: Fault, error: type[StoreUnavailable], kept: bool) -> None:
    store = MemoryStateStore()
    lease = begun(store)
    store.interrupt = once("commit", fault)
    with pytest.raises(StoreUnavailable) as refusal:
        commit(store, lease, changed(task_run("fit"), "waiting"), consumed=("run1/submit",))
    assert type(refusal.value) is error
    assert list(store.task_runs("run1")) == [task_run("fit")] * kept
    assert len(store.inbox(["run1"])) == (not kept)
    assert len(store.journal("run1")) == kept
    commit(store, lease, changed(task_run("next"), "waiting"))
    assert [entry.sequence for entry in store.journal("run1")] == list(range(1, 2 + kept))


@pytest.mark.parametrize("call", ["load", "runs", "inbox", "acquire", "renew", "history", "graph"])
def test_any_call_may_fail(call: str) -> None:
    store = MemoryStateStore()
    begun(store)
    store.interrupt = once(call, Fault.UNAVAILABLE)
    asks: dict[str, Callable[[], object]] = {
        "load": lambda: store.load("run1"),
        "runs": lambda: store.runs(),
        "inbox": lambda: store.inbox(["run1"]),
        "acquire": lambda: begun(store),
        "renew": lambda: store.renew([], now=run_row().created_at, lease_ms=1),
        "history": lambda: store.history([]),
        "graph": lambda: store.graph("a" * 64),
    }
    with pytest.raises(StoreUnavailable):
        asks[call]()
    asks[call]()


def test_a_crash_strikes_before_or_after_the_effect() -> None:
    class Crash(Exception):
        pass

    for moment in Moment:

        def strike(call: str, at: Moment, moment: Moment = moment) -> None:
            if (call, at) == ("submit", moment):
                raise Crash

        store = MemoryStateStore(interrupt=strike)
        with pytest.raises(Crash):
            begun(store)
        assert (store.run("run1") is not None) is (moment is Moment.AFTER)
        store.interrupt = never
        begun(store)
        assert store.run("run1") == run_row()
