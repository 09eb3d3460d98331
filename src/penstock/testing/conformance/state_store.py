"""What every state store keeps to. `CHECKS` are functions of an `OpenStore`; a test runs each of them over its own
store:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_store(check, tmp_path): check(lambda: open_state(tmp_path / "state.db"))

Each check begins with an empty store. A store that fails a check raises AssertionError."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from penstock.base.errors import InvalidInput, LeaseLost
from penstock.base.instants import Instant
from penstock.effects import Commit, ComponentHistory, Lease, MemoryHistory, Message, RunOutline, StateStore, Submission
from penstock.engine.rows import AttemptRow, Cause, TaskRunRow
from penstock.engine.states import Origin, RunState, TaskState
from penstock.testing.conformance.state_rows import (
    ADA,
    BOB,
    EVE,
    GRAPH,
    LEASE_MS,
    NOW,
    ODD_TEXT,
    attempt,
    begun,
    changed,
    commit,
    full_attempt,
    full_task_run,
    refused,
    run_row,
    submission,
    succeeded,
    task_run,
)
from penstock.wire import Inline, Observation, Usage

OpenStore = Callable[[], StateStore]
"""The store as a new process sees it: all that it opens share their contents."""


# -- submitting and the inbox ------------------------------------------------------------------------------------------


def a_submitted_run_is_pending_and_waits_in_the_inbox(open_store: OpenStore) -> None:
    open_store().submit(*submission(run_row()))
    store = open_store()
    assert store.run("run1") == run_row()
    assert store.graph("a" * 64) == GRAPH
    assert store.inbox(["run1"]) == [Message("run1/submit", "submit", "run1", NOW)]
    record = store.load("run1")
    assert (record.run, record.task_runs, record.attempts) == (run_row(), (), ())
    assert store.lease_of("run1") is None
    assert list(store.journal("run1")) == []


def submitting_and_posting_twice_is_once(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    store.submit(*submission(run_row()))
    cancel = Message("c1", "cancel", "run1", Instant(NOW + 1), {"force": True})
    store.post(cancel)
    store.post(replace(cancel, body={"force": False}))
    assert [m.message_id for m in store.inbox(["run1"])] == ["run1/submit", "c1"]
    assert store.inbox(["run1"])[1] == cancel
    running = replace(run_row(), state=RunState.RUNNING)
    commit(store, lease, changed(running, "pending"), consumed=("run1/submit", "c1"))
    store.submit(*submission(run_row()))
    store.post(cancel)
    assert list(open_store().inbox(["run1"])) == []
    assert store.run("run1") == running


def an_id_is_not_given_to_two_runs(open_store: OpenStore) -> None:
    store = open_store()
    begun(store)
    other = replace(run_row(), pipeline="other")
    refused(InvalidInput, lambda: store.submit(Submission(other, GRAPH), Message("m2", "submit", "run1", NOW)))
    assert store.run("run1") == run_row()
    assert [m.message_id for m in store.inbox(["run1"])] == ["run1/submit"]


def messages_are_per_run_and_oldest_first(open_store: OpenStore) -> None:
    store = open_store()
    for number, run_id in enumerate(["run1", "run2", "run3"]):
        store.submit(*submission(run_row(run_id)))
        # the sender's clock is behind: what counts is the order of arrival
        store.post(Message(f"c{number}", "cancel", run_id, Instant(NOW - 1_000 * number)))
    assert [m.message_id for m in store.inbox(["run3", "run1"])] == ["run1/submit", "c0", "run3/submit", "c2"]
    assert list(store.inbox([])) == []


def what_no_commit_could_consume_is_refused(open_store: OpenStore) -> None:
    store = open_store()
    begun(store)
    refused(ValueError, lambda: store.post(Message("m", "greeting", "run1", NOW)))
    refused(KeyError, lambda: store.post(Message("m", "cancel", "nobody", NOW)))
    assert [m.message_id for m in store.inbox(["run1"])] == ["run1/submit"]


# -- leases --------------------------------------------------------------------------------------------------------


def a_lease_has_one_holder(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    lease = begun(store)
    assert lease == Lease("run1", 1, ADA, Instant(NOW + LEASE_MS))
    assert store.lease_of("run1") == other.lease_of("run1") == lease
    last = Instant(NOW + LEASE_MS - 1)
    assert other.acquire("run1", BOB, now=last, lease_ms=LEASE_MS) is None
    again = store.acquire("run1", ADA, now=last, lease_ms=LEASE_MS)
    assert again == Lease("run1", 1, ADA, Instant(last + LEASE_MS)), "the same holder keeps its epoch"
    taken = other.acquire("run1", BOB, now=Instant(last + LEASE_MS), lease_ms=LEASE_MS)
    assert taken == Lease("run1", 2, BOB, Instant(last + 2 * LEASE_MS))
    same_process = store.acquire("run1", replace(BOB, token="another"), now=last, lease_ms=LEASE_MS)
    assert same_process is None, "two controllers of one process are two holders"


def a_dead_holder_is_superseded_once(open_store: OpenStore) -> None:
    store = open_store()
    begun(store)
    taken = store.acquire("run1", BOB, now=NOW, lease_ms=LEASE_MS, dead=ADA)
    assert taken is not None
    assert (taken.epoch, taken.holder) == (2, BOB)
    assert store.acquire("run1", EVE, now=NOW, lease_ms=LEASE_MS, dead=ADA) is None, "Ada is dead, Bob is not"
    assert store.lease_of("run1") == taken


def a_released_lease_is_free_and_its_epoch_is_over(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    store.release([lease])
    store.release([lease])
    assert store.lease_of("run1") is None
    assert list(store.renew([lease], now=NOW, lease_ms=LEASE_MS)) == []
    refusal = refused(LeaseLost, lambda: commit(store, lease, changed(task_run("fit"), "waiting")))
    assert isinstance(refusal, LeaseLost)
    assert refusal.run_ids == ("run1",)
    again = store.acquire("run1", ADA, now=NOW, lease_ms=LEASE_MS)
    assert again is not None
    assert again.epoch == 2
    store.release([lease])
    assert store.lease_of("run1") == again, "an old lease releases nothing"


def renewing_answers_what_is_still_held(open_store: OpenStore) -> None:
    store = open_store()
    kept, lost = begun(store, "run1"), begun(store, "run2")
    store.acquire("run2", BOB, now=NOW, lease_ms=LEASE_MS, dead=ADA)
    later = Instant(NOW + 5)
    renewed = store.renew([lost, kept], now=later, lease_ms=LEASE_MS)
    assert list(renewed) == [replace(kept, expires_at=Instant(later + LEASE_MS))]
    assert store.lease_of("run1") == renewed[0]
    taken = store.lease_of("run2")
    assert taken is not None
    assert taken.holder == BOB
    assert list(store.renew([], now=NOW, lease_ms=LEASE_MS)) == []


# -- commit --------------------------------------------------------------------------------------------------------


def every_field_comes_back(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    run = replace(
        run_row(),
        state=RunState.FAILED,
        cause=Cause("failed", by="fit", text=ODD_TEXT),
        stopping="fail_fast",
        started_at=Instant(NOW + 1),
        ended_at=Instant(NOW + 2),
        outputs={"best": Inline({"loss": math.inf})},
    )
    whole = (
        changed(run, "running"),
        changed(full_task_run("split/3/fit"), "x"),
        changed(full_attempt("split/3/fit"), ""),
    )
    commit(store, lease, *whole, changed(task_run("plain"), "waiting"), changed(attempt("plain"), ""))
    record = open_store().load("run1")
    assert record.run == store.run("run1") == run
    assert record.task_runs == (task_run("plain"), full_task_run("split/3/fit"))
    assert record.attempts == (attempt("plain"), full_attempt("split/3/fit"))
    assert store.outline("run1") == RunOutline.of(record)
    assert list(store.task_runs("run1")) == list(record.task_runs)
    assert list(store.attempts("run1")) == list(record.attempts)
    assert list(store.attempts("run1", "plain")) == [attempt("plain")]
    assert list(store.attempts("run1", outside=True)) == [full_attempt("split/3/fit")]
    assert isinstance(record.run.state, RunState)
    assert isinstance(record.task_runs[1].origin, Origin)


def a_path_is_read_alone_or_with_all_below_it(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    paths = ["fit", "fit-2/1/step", "fit.x", "fit/1", "fit/1/step", "fit/\U0010ffff", "fit0", "fitting"]
    rows = [(task_run(path), attempt(path), attempt(path, 2)) for path in paths]
    commit(store, lease, *(changed(row, "") for each in rows for row in each))
    inside = ["fit", "fit/1", "fit/1/step", "fit/\U0010ffff"]
    assert [row.path for row in store.task_runs("run1", "fit")] == ["fit"]
    assert [row.path for row in store.task_runs("run1", "fit", below=True)] == inside
    assert [row.path for row in store.task_runs("run1", "fit/1", below=True)] == ["fit/1", "fit/1/step"]
    assert [row.path for row in store.task_runs("run1", below=True)] == paths
    assert list(store.task_runs("run1", "fi", below=True)) == []
    numbered = [(row.path, row.number) for row in store.attempts("run1", "fit", below=True)]
    assert numbered == [(path, number) for path in inside for number in (1, 2)]


def not_a_number_comes_back(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    commit(store, lease, changed(replace(task_run("fit"), outputs={"loss": Inline(math.nan)}), "waiting"))
    value = store.task_runs("run1")[0].outputs["loss"]
    assert isinstance(value, Inline)
    assert math.isnan(value.value)


def the_last_row_of_each_identity_is_kept_and_all_enter_the_journal(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    ready, running = task_run("fit"), task_run("fit", TaskState.RUNNING, attempt=1)
    done = task_run("fit", TaskState.SUCCEEDED, attempt=1)
    why = Cause("trigger", by="load", text=ODD_TEXT)
    commit(store, lease, changed(ready, "waiting", cause=why), changed(running, "ready"), changed(attempt("fit"), ""))
    commit(store, lease, changed(succeeded("fit"), "submitted"), changed(done, "running"))
    assert list(store.task_runs("run1")) == [done]
    assert list(store.attempts("run1")) == [succeeded("fit")]
    journal = open_store().journal("run1")
    assert [entry.sequence for entry in journal] == [1, 2, 3, 4, 5]
    assert [(e.machine, e.id, e.before, e.after) for e in journal] == [
        ("task", "fit", "waiting", "ready"),
        ("task", "fit", "ready", "running"),
        ("attempt", "fit#1", "", "submitted"),
        ("attempt", "fit#1", "submitted", "ended"),
        ("task", "fit", "running", "succeeded"),
    ]
    assert journal[0].cause == ("trigger", "load", ODD_TEXT)
    assert {entry.at for entry in journal} == {NOW}


def the_journal_is_read_in_pieces(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    paths = [f"t{number}" for number in range(12)]
    for first, size in ((0, 5), (5, 1), (6, 6)):
        commit(store, lease, *(changed(task_run(path), "waiting") for path in paths[first : first + size]))
    whole = list(store.journal("run1"))
    assert [(e.sequence, e.id) for e in whole] == list(enumerate(paths, 1))
    for after in range(14):
        for limit in (1, 2, 5, 100):
            assert list(store.journal("run1", after=after, limit=limit)) == whole[after : after + limit]


def runs_are_kept_apart(open_store: OpenStore) -> None:
    store = open_store()
    leases = begun(store, "run1"), begun(store, "run2")
    first, second = task_run("fit", run_id="run1"), task_run("fit", TaskState.SKIPPED, run_id="run2")
    commit(store, leases, changed(first, "waiting"), changed(second, "waiting"), changed(task_run("x"), "waiting"))
    assert list(store.task_runs("run1")) == [first, task_run("x")]
    assert list(store.task_runs("run2")) == [second]
    assert [(e.sequence, e.id) for e in store.journal("run1")] == [(1, "fit"), (2, "x")]
    assert [(e.sequence, e.id) for e in store.journal("run2")] == [(1, "fit")]


def a_commit_of_a_lost_lease_writes_nothing(open_store: OpenStore) -> None:
    store = open_store()
    kept, lost, gone = begun(store, "run1"), begun(store, "run2"), begun(store, "run3")
    store.acquire("run2", BOB, now=NOW, lease_ms=LEASE_MS, dead=ADA)
    store.release([gone])
    changes = [changed(task_run("fit", run_id=run_id), "waiting") for run_id in ("run1", "run2", "run3")]
    refusal = refused(LeaseLost, lambda: commit(store, (kept, lost, gone), *changes, consumed=("run1/submit",)))
    assert isinstance(refusal, LeaseLost)
    assert set(refusal.run_ids) == {"run2", "run3"}
    for run_id in ("run1", "run2", "run3"):
        assert list(store.task_runs(run_id)) == []
        assert list(store.journal(run_id)) == []
        assert [m.message_id for m in store.inbox([run_id])] == [f"{run_id}/submit"]


def only_the_epoch_counts_not_the_hour(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    late = Commit(Instant(NOW + 10 * LEASE_MS), (lease,), (changed(task_run("fit"), "waiting"),))
    store.commit(late)
    assert list(store.task_runs("run1")) == [task_run("fit")], "nobody took it, so it may go on"


def messages_are_consumed_with_their_effect(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    other = begun(store, "run2")
    commit(store, lease, changed(task_run("fit"), "waiting"), consumed=("run1/submit",))
    assert list(store.inbox(["run1"])) == []
    late = changed(task_run("late"), "waiting")
    for message_id in ("run1/submit", "nothing", "run2/submit"):
        refused(ValueError, partial(commit, store, lease, late, consumed=(message_id,)))
        assert list(store.task_runs("run1")) == [task_run("fit")]
    commit(store, other, consumed=("run2/submit",))
    assert list(store.inbox(["run2"])) == []
    assert list(store.journal("run2")) == []


def nothing_is_changed_without_a_lease(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    begun(store, "run2")
    refused(ValueError, lambda: commit(store, lease, changed(task_run("fit", run_id="run2"), "waiting")))
    refused(ValueError, lambda: commit(store, (), changed(task_run("fit"), "waiting")))
    assert list(store.task_runs("run1")) + list(store.task_runs("run2")) == []


def a_value_that_is_not_json_spoils_the_whole_commit(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    bad = replace(task_run("b"), detail={"x": object()})
    refused(TypeError, lambda: commit(store, lease, changed(task_run("a"), "waiting"), changed(bad, "waiting")))
    bad = replace(task_run("b"), detail={"x": math.nan})
    refused(ValueError, lambda: commit(store, lease, changed(task_run("a"), "waiting"), changed(bad, "waiting")))
    assert list(store.task_runs("run1")) == []
    assert list(store.journal("run1")) == []
    commit(store, lease, changed(task_run("a"), "waiting"))
    assert list(store.task_runs("run1")) == [task_run("a")]


# -- history, metrics, listing -----------------------------------------------------------------------------------------


def history_is_folded_once_when_a_run_ends(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    rows: list[TaskRunRow | AttemptRow] = []
    for path, component, durations in (("a", "m:f", (10, 30)), ("b", "m:f", (50,)), ("c", "m:g", (7,))):
        rows.append(replace(task_run(path), component=component))
        rows += [succeeded(path, n, duration_us=us) for n, us in enumerate(durations, 1)]
    others = zip(range(2, 5), ("failed", "timed_out", None), strict=True)
    rows += [replace(succeeded("c", number, duration_us=1_000), outcome=outcome) for number, outcome in others]
    commit(store, lease, *(changed(row, "waiting") for row in rows))
    assert store.history(["m:f"]) == {}
    ended = replace(run_row(), state=RunState.SUCCEEDED)
    commit(store, lease, changed(ended, "running"))
    expected = {"m:f": ComponentHistory("m:f", 3, 30.0), "m:g": ComponentHistory("m:g", 1, 7.0)}
    assert open_store().history(["m:g", "m:f", "m:h"]) == expected
    commit(store, lease, changed(replace(ended, stopping="cancel"), "succeeded"))
    assert store.history(["m:f", "m:g"]) == expected, "a run that has ended does not end again"

    second = begun(store, "run2")
    cancelled = replace(run_row("run2"), state=RunState.CANCELLED)
    task = replace(task_run("a", run_id="run2"), component="m:f")
    done = succeeded("a", run_id="run2", duration_us=310)
    commit(store, second, changed(task, "waiting"), changed(done, "submitted"), changed(cancelled, "running"))
    assert store.history(["m:f"]) == {"m:f": ComponentHistory("m:f", 4, 100.0)}, "the commit that ends it counts too"


def memory_is_learned_as_attempts_end(open_store: OpenStore) -> None:
    """Each measured success counts once, in the commit that ends it; sizes that worked after an attempt ran out of memory
    are kept by class of input, and forgotten when they prove far too large."""
    store = open_store()

    def end(lease: Lease, path: str, peak: int, *, oom: int = 0, memory: int = 0, given: int = 0) -> None:
        run_id = lease.run_id
        task = replace(task_run(path, TaskState.SUCCEEDED, run_id=run_id), component="m:f", oom_count=oom)
        amounts = (("cpu", 1000), ("memory", memory)) if memory else (("cpu", 1000),)
        row = replace(succeeded(path, run_id=run_id), usage=Usage(0.0, peak), amounts=amounts, input_bytes=given)
        commit(store, lease, changed(row, "submitted"), changed(task, "running"))

    first = begun(store)
    assert store.history(["m:f"]) == {}
    for number in range(1, 41):
        end(first, f"p{number}", number)
    assert open_store().history(["m:f"]) == {"m:f": ComponentHistory("m:f", 0, 0.0, MemoryHistory(1, 40, 38, 40))}
    end(first, "not-measured", 0)
    second = begun(store, "run2")
    end(second, "a", 3_000, oom=1, memory=4_000, given=1_000)
    known = store.history(["m:f"])["m:f"].memory
    assert (known.runs_count, known.attempts_count, known.peak_bytes_max) == (2, 41, 3_000)
    assert known.worked == ((10, 4_000),)
    end(second, "b", 1_000, given=4_000)
    assert store.history(["m:f"])["m:f"].memory.worked == ((10, 4_000),), "a quarter is no proof"
    end(second, "c", 900, given=500)
    assert store.history(["m:f"])["m:f"].memory.worked == ((10, 4_000),), "smaller inputs prove nothing"
    end(second, "d", 900, given=1_000)
    assert store.history(["m:f"])["m:f"].memory.worked == ()


def runs_are_listed_last_submitted_first(open_store: OpenStore) -> None:
    store = open_store()
    # The clock goes back meanwhile.
    for run_id, created_at in (("c", 1), ("aa1", 9), ("b%_", 7), ("ab1", 7), ("ab2", 5)):
        store.submit(*submission(run_row(run_id, created_at=created_at)))
    lease = store.acquire("ab1", ADA, now=NOW, lease_ms=LEASE_MS)
    assert lease is not None
    commit(store, lease, changed(replace(run_row("ab1", created_at=7), state=RunState.RUNNING), "pending"))

    def listed(limit: int = 100, state: str | None = None, prefix: str = "") -> list[str]:
        return [run.run_id for run in store.runs(limit=limit, state=state, prefix=prefix)]

    assert listed() == ["ab2", "ab1", "b%_", "aa1", "c"]
    assert store.run("aa1") == run_row("aa1", created_at=9)
    assert listed(limit=2) == ["ab2", "ab1"]
    assert listed(prefix="a") == ["ab2", "ab1", "aa1"]
    assert listed(prefix="ab") == ["ab2", "ab1"]
    assert listed(prefix="ab1") == ["ab1"]
    assert listed(prefix="%") == listed(prefix="_") == listed(prefix="é") == listed(prefix="\ud800") == []
    assert listed(state="running") == ["ab1"]
    assert listed(state=RunState.PENDING, prefix="ab") == ["ab2"]
    assert store.run("a") is None
    assert store.run("\ud800") is None


def what_is_unknown_is_named(open_store: OpenStore) -> None:
    store = open_store()
    asks: list[Callable[[], object]] = [
        lambda: store.load("nobody"),
        lambda: store.task_runs("nobody"),
        lambda: store.attempts("nobody"),
        lambda: store.journal("nobody"),
        lambda: store.metrics("nobody"),
        lambda: store.exhibits("nobody"),
        lambda: store.progress("nobody"),
        lambda: store.lease_of("nobody"),
        lambda: store.inbox(["nobody"]),
        lambda: store.acquire("nobody", ADA, now=NOW, lease_ms=LEASE_MS),
        lambda: store.observe([Observation("nobody/fit#1", "loss", 1.0, None, NOW)]),
        lambda: commit(store, Lease("nobody", 1, ADA, NOW)),
    ]
    for ask in asks:
        assert "nobody" in str(refused(KeyError, ask))
    assert "e" * 64 in str(refused(KeyError, lambda: store.graph("e" * 64)))
    assert store.history(["m:f"]) == {}
    assert list(store.runs()) == []


def a_closed_store_stays_closed(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    begun(store)
    store.close()
    store.close()
    refused(ValueError, lambda: store.run("run1"))
    assert other.run("run1") == run_row()


CHECKS: tuple[Callable[[OpenStore], None], ...] = (
    a_submitted_run_is_pending_and_waits_in_the_inbox,
    submitting_and_posting_twice_is_once,
    an_id_is_not_given_to_two_runs,
    messages_are_per_run_and_oldest_first,
    what_no_commit_could_consume_is_refused,
    a_lease_has_one_holder,
    a_dead_holder_is_superseded_once,
    a_released_lease_is_free_and_its_epoch_is_over,
    renewing_answers_what_is_still_held,
    every_field_comes_back,
    a_path_is_read_alone_or_with_all_below_it,
    not_a_number_comes_back,
    the_last_row_of_each_identity_is_kept_and_all_enter_the_journal,
    the_journal_is_read_in_pieces,
    runs_are_kept_apart,
    a_commit_of_a_lost_lease_writes_nothing,
    only_the_epoch_counts_not_the_hour,
    messages_are_consumed_with_their_effect,
    nothing_is_changed_without_a_lease,
    a_value_that_is_not_json_spoils_the_whole_commit,
    history_is_folded_once_when_a_run_ends,
    memory_is_learned_as_attempts_end,
    runs_are_listed_last_submitted_first,
    what_is_unknown_is_named,
    a_closed_store_stays_closed,
)
