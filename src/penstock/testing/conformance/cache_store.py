"""What every state store keeps to as a cache: entries, claims, adoption, lineage, reclaiming. `CHECKS` are as those of
`state_store`, for the same `OpenStore`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.base.errors import ClaimLost, LeaseLost
from penstock.base.instants import Instant
from penstock.effects import ArtifactLink, Found, Nondeterminism, StateStore
from penstock.engine.rows import ArtifactUse, Claim, RunRow, TaskRunRow
from penstock.engine.states import Origin, RunState, TaskState
from penstock.testing.conformance.state_rows import (
    ADA,
    BOB,
    LEASE_MS,
    NOW,
    begun,
    changed,
    commit,
    entry,
    full_attempt,
    full_entry,
    full_task_run,
    refused,
    run_row,
    submission,
    table,
    task_run,
)
from penstock.testing.conformance.state_store import OpenStore
from penstock.wire import Counted, Datum, Exhibit, Inline, Observation, Progress, Struct

KEYS = tuple(digit * 64 for digit in "0123456789")
LATER = Instant(NOW + LEASE_MS)
"""When leases taken at NOW have run out."""


def _done(path: str, key: str | None, *, run_id: str = "run1") -> TaskRunRow:
    return replace(task_run(path, TaskState.SUCCEEDED, run_id=run_id), key=key, outputs={"loss": Inline(1)})


def _ended(run_id: str = "run1") -> RunRow:
    return replace(run_row(run_id), state=RunState.FAILED)


def _claimed(store: StateStore, key: str, *, now: Instant = NOW) -> str | None:
    return store.look_up([key], now=now).get(key, Found()).claimed_by


# -- entries -----------------------------------------------------------------------------------------------------------


def every_field_of_an_entry_comes_back(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    commit(store, lease, entries=(full_entry(KEYS[1]), entry(KEYS[2])))
    found = open_store().look_up([KEYS[3], KEYS[2], KEYS[1], KEYS[2]], now=NOW)
    assert found == {KEYS[1]: Found(full_entry(KEYS[1])), KEYS[2]: Found(entry(KEYS[2]))}
    assert store.look_up([], now=NOW) == {}
    assert store.look_up(["", "'"], now=NOW) == {}
    odd = replace(entry(KEYS[3]), outputs={"loss": Inline(math.nan)})
    commit(store, lease, entries=(odd,))
    value = store.entries(KEYS[3])[0].outputs["loss"]
    assert isinstance(value, Inline)
    assert math.isnan(value.value)


def the_newest_entry_of_a_key_wins(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    # The clock went back: what counts is the order of the commits.
    first, second, third = (replace(entry(KEYS[1], at=NOW - n), attempt=n) for n in (1, 2, 3))
    commit(store, lease, entries=(first,))
    commit(store, lease, entries=(second, entry(KEYS[2]), third))
    assert store.look_up(KEYS[:3], now=NOW) == {KEYS[1]: Found(third), KEYS[2]: Found(entry(KEYS[2]))}
    assert list(open_store().entries(KEYS[1])) == [third, second, first]
    assert list(store.entries(KEYS[1], limit=2)) == [third, second]
    assert store.entered_again(KEYS[:4]) == {KEYS[1]}
    assert store.entered_again([]) == set()
    assert list(store.entries(KEYS[3])) == []


def what_was_written_next_may_be_answered_as_well(open_store: OpenStore) -> None:
    store = open_store()
    lease, other = begun(store), begun(store, "run2")
    commit(store, lease, entries=tuple(entry(key, path=f"t/{n}") for n, key in enumerate(KEYS)))
    newer = replace(entry(KEYS[2]), attempt=2)
    commit(store, lease, entries=(newer,), claims=(Claim(KEYS[3], "run1", "x", "run1/t/3#1"),))
    commit(store, other, entries=(replace(entry("f" * 64), run_id="run2"),))
    found = store.look_up([KEYS[0]], now=NOW, ahead=3)
    assert found.items() <= store.look_up(KEYS, now=NOW).items()
    assert KEYS[0] in found
    assert len(found) <= 4
    assert store.look_up([KEYS[2]], now=NOW, ahead=3) == {KEYS[2]: Found(newer)}
    assert store.look_up(["e" * 64], now=NOW, ahead=3) == {}


def an_entry_counts_until_it_expires(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    lasting = replace(entry(KEYS[1]), expires_at=Instant(NOW + 10))
    oldest = replace(lasting, attempt=9)
    newest = replace(lasting, attempt=2, expires_at=Instant(NOW + 5))
    commit(store, lease, entries=(oldest, lasting, newest))
    answers = [store.look_up([KEYS[1]], now=Instant(NOW + ms)) for ms in (4, 5, 9, 10)]
    expired = Found(has_expired=True)
    assert answers == [{KEYS[1]: found} for found in (Found(newest), Found(lasting), Found(lasting), expired)]
    commit(store, lease, claims=(Claim(KEYS[1], "run1", "fit"),), at=Instant(NOW + 10))
    assert store.look_up([KEYS[1]], now=Instant(NOW + 10)) == {KEYS[1]: Found(None, "run1", has_expired=True)}


def many_keys_are_asked_for_at_once(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    keys = [f"{number:064x}" for number in range(2_500)]
    made = {key: entry(key, path=f"t/{number}") for number, key in enumerate(keys) if number % 5}
    commit(store, lease, entries=tuple(made.values()), claims=tuple(Claim(key, "run1", "x") for key in keys[::250]))
    found = store.look_up(keys, now=NOW)
    claimed = {key: Found(None, "run1") for key in keys[::250]}
    assert found == {key: Found(one) for key, one in made.items()} | claimed


def entries_of_a_component_are_newest_first(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    made = [entry(key, at=NOW + at) for key, at in zip(KEYS, (5, 9, 1, 9), strict=False)]
    other = replace(entry(KEYS[9], at=NOW + 99), component="flights:split")
    commit(store, lease, entries=(*made, other))
    assert list(open_store().entries_of("flights:fit")) == [made[3], made[1], made[0], made[2]]
    assert list(store.entries_of("flights:fit", limit=2)) == [made[3], made[1]]
    assert list(store.entries_of("flights:fit", until=Instant(NOW + 8))) == [made[0], made[2]]
    assert list(store.entries_of("nothing")) == []


def the_entry_of_a_task_run_is_the_one_it_wrote(open_store: OpenStore) -> None:
    store = open_store()
    leases = begun(store, "run1"), begun(store, "run2")
    first, second = entry(KEYS[1]), entry(KEYS[1], run_id="run2", path="other")
    rows = [_done("fit", KEYS[1]), _done("hit", KEYS[1]), _done("bare", None), _done("other", KEYS[1], run_id="run2")]
    commit(store, leases, *(changed(row, "running") for row in rows), entries=(first, second))
    assert store.entry_of("run1", "fit") == first
    assert store.entry_of("run2", "other") == second
    unwritten = [("run1", "hit"), ("run1", "bare"), ("run1", "x"), ("run2", "fit"), ("x", "fit"), ("\ud800", "fit")]
    assert [store.entry_of(*one) for one in unwritten] == [None] * 6


def entries_are_deleted_by_key(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    commit(store, lease, entries=(entry(KEYS[1]), entry(KEYS[1], at=NOW + 9), entry(KEYS[2], at=NOW + 5)))
    assert list(store.keys_unwritten_since(Instant(NOW + 5))) == []
    assert list(store.keys_unwritten_since(Instant(NOW + 6))) == [KEYS[2]]
    assert list(store.keys_unwritten_since(Instant(NOW + 10))) == [KEYS[1], KEYS[2]]
    assert store.delete_entries([KEYS[1], KEYS[3]]) == 2
    assert store.delete_entries([KEYS[1]]) == store.delete_entries([]) == 0
    assert open_store().look_up(KEYS, now=NOW) == {KEYS[2]: Found(entry(KEYS[2], at=NOW + 5))}
    commit(store, lease, entries=(entry(KEYS[1]),))
    assert list(store.entries(KEYS[1])) == [entry(KEYS[1])]


def an_entry_is_written_with_its_effect_or_not_at_all(open_store: OpenStore) -> None:
    store = open_store()
    lease = begun(store)
    begun(store, "run2")
    row, claim = changed(_done("fit", KEYS[1]), "running"), Claim(KEYS[2], "run1", "x")
    use = ArtifactUse("tree:" + "1" * 64, "run1", "fit", "rows")
    store.release([lease])
    refused(LeaseLost, lambda: commit(store, lease, row, entries=(entry(KEYS[1]),), claims=(claim,), uses=(use,)))
    again = store.acquire("run1", ADA, now=NOW, lease_ms=LEASE_MS)
    assert again is not None
    bad = replace(entry(KEYS[1]), inputs={"x": object()})  # type: ignore[dict-item]
    refused(TypeError, lambda: commit(store, again, row, entries=(entry(KEYS[1]), bad), claims=(claim,), uses=(use,)))
    of_another = entry(KEYS[1], run_id="run2")
    refused(ValueError, lambda: commit(store, again, row, entries=(of_another,), claims=(claim,)))
    refused(ValueError, lambda: commit(store, again, row, claims=(claim, replace(claim, run_id="run2"))))
    refused(ValueError, lambda: commit(store, again, row, uses=(use, replace(use, run_id="run2"))))
    refused(ValueError, lambda: commit(store, again, row, entries=(entry(KEYS[1]),), consumed=("nothing",)))
    assert store.look_up(KEYS, now=NOW) == {}
    assert list(store.task_runs("run1")) == []
    assert list(store.consumers(use.digest)) == []


# -- claims ------------------------------------------------------------------------------------------------------------


def a_key_is_claimed_by_one_run(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    ada, bob = begun(store, "run1"), begun(other, "run2", BOB)
    commit(store, ada, claims=(Claim(KEYS[1], "run1", "fit"), Claim(KEYS[2], "run1", "fit2")))
    assert other.look_up(KEYS[:4], now=NOW) == {KEYS[1]: Found(None, "run1"), KEYS[2]: Found(None, "run1")}
    wanted = tuple(Claim(key, "run2", "fit") for key in KEYS[:4])
    row = changed(task_run("fit", run_id="run2"), "waiting")
    refusal = refused(
        ClaimLost, lambda: commit(other, bob, row, claims=wanted, entries=(entry(KEYS[5], run_id="run2"),))
    )
    assert isinstance(refusal, ClaimLost)
    assert set(refusal.keys) == {KEYS[1], KEYS[2]}
    assert list(store.task_runs("run2")) == []
    assert store.look_up(KEYS[3:], now=NOW) == {}, "nothing of the commit was written"
    commit(store, ada, claims=(Claim(KEYS[1], "run1", "fit~1"),))
    assert _claimed(store, KEYS[1]) == "run1", "one's own claim may be made again"


def a_lost_lease_comes_before_a_lost_claim(open_store: OpenStore) -> None:
    store = open_store()
    ada, bob = begun(store, "run1"), begun(store, "run2", BOB)
    commit(store, ada, claims=(Claim(KEYS[1], "run1", "fit"),))
    store.release([bob])
    refused(LeaseLost, lambda: commit(store, bob, claims=(Claim(KEYS[1], "run2", "fit"),)))


def a_claim_lasts_as_long_as_its_runs_lease(open_store: OpenStore) -> None:
    store = open_store()
    ada, bob = begun(store, "run1"), begun(store, "run2", BOB)
    mine, theirs = Claim(KEYS[1], "run1", "fit"), Claim(KEYS[1], "run2", "fit")
    commit(store, ada, claims=(mine,))
    last = Instant(LATER - 1)
    refused(ClaimLost, lambda: commit(store, bob, claims=(theirs,), at=last))
    assert (_claimed(store, KEYS[1], now=last), _claimed(store, KEYS[1], now=LATER)) == ("run1", None)
    commit(store, bob, claims=(theirs,), at=LATER)
    renewed = store.renew([bob], now=LATER, lease_ms=LEASE_MS)
    assert _claimed(store, KEYS[1], now=LATER) == "run2"
    refused(ClaimLost, lambda: commit(store, ada, claims=(mine,), at=LATER))
    store.release(renewed)
    assert _claimed(store, KEYS[1], now=LATER) is None
    commit(store, ada, claims=(mine,), at=LATER)
    store.renew([ada], now=LATER, lease_ms=LEASE_MS)
    assert _claimed(store, KEYS[1], now=LATER) == "run1"


def claims_end_with_release_entry_and_run(open_store: OpenStore) -> None:
    store = open_store()
    leases = ada, bob = begun(store, "run1"), begun(store, "run2", BOB)
    commit(store, ada, claims=tuple(Claim(key, "run1", "fit") for key in KEYS[:4]))
    commit(store, bob, released=(KEYS[0],), entries=(entry(KEYS[1], run_id="run2"),))
    assert [_claimed(store, key) for key in KEYS[:2]] == ["run1", "run1"], "another's claim is left alone"
    commit(store, ada, released=(KEYS[0], KEYS[9]))
    commit(store, ada, entries=(entry(KEYS[1]),))
    assert [_claimed(store, key) for key in KEYS[:4]] == [None, None, "run1", "run1"]
    assert store.look_up([KEYS[1]], now=NOW) == {KEYS[1]: Found(entry(KEYS[1]))}
    commit(store, ada, changed(_ended(), "running"))
    assert [_claimed(store, key) for key in KEYS[:4]] == [None] * 4
    # What one run gives up another may take in the same commit.
    commit(store, bob, claims=(Claim(KEYS[7], "run2", "fit"), Claim(KEYS[8], "run2", "fit")))
    taken = (Claim(KEYS[7], "run1", "fit"), Claim(KEYS[8], "run1", "fit"))
    done = entry(KEYS[8], run_id="run2")
    commit(store, leases, released=(KEYS[7],), entries=(done,), claims=taken)
    assert [_claimed(store, key) for key in KEYS[7:9]] == ["run1", "run1"]


def a_claim_fails_once_its_key_was_entered(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    ada, bob = begun(store, "run1"), begun(other, "run2", BOB)
    first, second = entry(KEYS[1], path="fit"), entry(KEYS[1], path="later")
    row = changed(task_run("fit", run_id="run2"), "waiting")

    def claims(newest: str, *, key: str = KEYS[1], at: Instant = NOW) -> None:
        commit(other, bob, row, claims=(Claim(key, "run2", "fit", newest),), at=at)

    def is_refused(newest: str, *, at: Instant = NOW) -> None:
        refusal = refused(ClaimLost, lambda: claims(newest, at=at))
        assert isinstance(refusal, ClaimLost)
        assert refusal.keys == (KEYS[1],)
        assert list(store.task_runs("run2")) == []

    commit(store, ada, claims=(Claim(KEYS[1], "run1", "fit"),))
    commit(store, ada, entries=(first,))
    is_refused("")
    commit(store, ada, entries=(second,))
    is_refused(first.attempt_id)
    # It was looked up before an entry was deleted, or before one expired: that is another state, too.
    brief = replace(entry(KEYS[1], path="brief"), expires_at=Instant(NOW + 5))
    commit(store, ada, entries=(brief,))
    is_refused(second.attempt_id)
    is_refused(brief.attempt_id, at=Instant(NOW + 5))
    claims(second.attempt_id, at=Instant(NOW + 5))
    assert store.look_up([KEYS[1]], now=Instant(NOW + 5))[KEYS[1]] == Found(second, "run2")
    claims(brief.attempt_id)
    claims("", key=KEYS[2])
    # What a commit enters itself its own claims do not come too late for.
    commit(store, ada, entries=(entry(KEYS[3]),), claims=(Claim(KEYS[3], "run1", "fit"),))
    assert _claimed(store, KEYS[3]) == "run1"


def what_was_absent_is_found_once_it_is_there(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    ada, bob = begun(store, "run1"), begun(other, "run2", BOB)
    for _ in range(2):
        assert store.look_up(KEYS[:4], now=NOW) == {}
    commit(other, bob, entries=(entry(KEYS[0], run_id="run2"),), claims=(Claim(KEYS[1], "run2", "fit"),))
    theirs = {KEYS[0]: Found(entry(KEYS[0], run_id="run2")), KEYS[1]: Found(None, "run2")}
    assert store.look_up(KEYS[:4], now=NOW) == theirs
    commit(store, ada, entries=(entry(KEYS[2]),), claims=(Claim(KEYS[3], "run1", "fit"),))
    assert store.look_up(KEYS[:4], now=NOW) == {**theirs, KEYS[2]: Found(entry(KEYS[2])), KEYS[3]: Found(None, "run1")}
    # A claim counts again once its run has a lease again.
    assert [_claimed(store, KEYS[3], now=LATER) for _ in range(2)] == [None, None]
    renewed = store.renew([ada], now=LATER, lease_ms=LEASE_MS)
    assert _claimed(store, KEYS[3], now=LATER) == "run1"
    store.release(renewed)
    assert [_claimed(store, KEYS[3], now=LATER) for _ in range(2)] == [None, None]
    assert store.acquire("run1", ADA, now=LATER, lease_ms=LEASE_MS) is not None
    assert _claimed(store, KEYS[3], now=LATER) == "run1"


# -- adoption, nondeterminism ------------------------------------------------------------------------------------------


def succeeded_task_runs_are_adopted_by_key(open_store: OpenStore) -> None:
    store = open_store()
    leases = begun(store, "run1"), begun(store, "run2")
    cached = replace(_done("map/10/fit", KEYS[1]), origin=Origin.CACHED)
    rows = [
        cached,
        _done("map/2/fit", KEYS[1]),
        replace(_done("failed", KEYS[2]), state=TaskState.FAILED),
        _done("bare", None),
        _done("other", KEYS[3], run_id="run2"),
    ]
    commit(store, leases, *(changed(row, "running") for row in rows))
    assert store.adoptable("run1", KEYS) == {KEYS[1]: cached}
    late = _done("late", KEYS[4])
    commit(store, leases, changed(late, "running"), changed(_ended(), "running"))
    for _ in range(2):
        assert store.adoptable("run1", [KEYS[4], KEYS[1], KEYS[9]]) == {KEYS[1]: cached, KEYS[4]: late}
        assert store.adoptable("run2", KEYS) == {KEYS[3]: rows[-1]}
    assert open_store().adoptable("run1", [KEYS[4]]) == {KEYS[4]: late}
    assert store.adoptable("run1", []) == store.adoptable("nobody", KEYS) == store.adoptable("\ud800", KEYS) == {}


def the_last_mark_of_a_component_counts(open_store: OpenStore) -> None:
    store = open_store()
    assert store.nondeterministic() == {}
    first, second = (Nondeterminism("m:f", Instant(NOW + n), {"columns": ["größe \ud800"], "n": n}) for n in (1, 2))
    other = Nondeterminism("m:g", NOW)
    for mark in (first, other, second):
        store.mark_nondeterministic(mark)
    assert open_store().nondeterministic() == {"m:f": second, "m:g": other}


# -- lineage -----------------------------------------------------------------------------------------------------------


def artifacts_know_who_made_and_who_was_given_them(open_store: OpenStore) -> None:
    store = open_store()
    leases = begun(store, "run2"), begun(store, "run1")
    outputs: dict[str, Datum] = {
        "each": Counted((table("a"), Inline(1), Struct({"y": table("b"), "x": table("a")}))),
        "model": table("a"),
    }
    made = replace(task_run("split/3/fit", TaskState.SUCCEEDED), outputs=outputs)
    collected = replace(made, path="split", component="map")
    cached = replace(made, run_id="run2", path="again", outputs={"model": table("a")}, origin=Origin.CACHED)
    a, b = table("a").digest, table("b").digest
    uses = (ArtifactUse(b, "run2", "test", "rows"), ArtifactUse(a, "run2", "test", "model"))
    running = replace(made, path="not yet", state=TaskState.RUNNING)
    rows = (made, collected, cached, running)
    commit(store, leases, *(changed(row, "running") for row in rows), uses=(*uses, uses[0]))
    commit(store, leases, changed(made, "running"), uses=uses)
    store = open_store()
    from_fit = [ArtifactLink(a, "run1", "split/3/fit", "out", name) for name in ("each", "model")]
    again = ArtifactLink(a, "run2", "again", "out", "model")
    assert list(store.producers(a)) == [again, *from_fit], "run2 was submitted first"
    assert list(store.producers(b)) == [replace(from_fit[0], digest=b)]
    used = [ArtifactLink(use.digest, "run2", "test", "in", use.name) for use in uses]
    assert list(store.consumers(b)) == used[:1]
    assert list(store.artifacts_of("run2", "test")) == used[::-1]
    assert list(store.artifacts_of("run1", "split/3/fit")) == [from_fit[0], replace(from_fit[0], digest=b), from_fit[1]]
    asks: list[Sequence[ArtifactLink]] = [
        store.producers("x"),
        store.consumers("\ud800"),
        store.artifacts_of("x", "fit"),
    ]
    assert [list(answer) for answer in asks] == [[], [], []]


# -- reclaiming --------------------------------------------------------------------------------------------------------


def whatever_rows_name_is_in_use(open_store: OpenStore) -> None:
    store = open_store()
    assert list(store.digests_in_use()) == []
    assert store.log_files() == set()
    pinned = replace(run_row(), pin="blake3:" + "0" * 64, inputs={"rows": table("1")})
    store.submit(*submission(pinned))
    lease = store.acquire("run1", ADA, now=NOW, lease_ms=LEASE_MS)
    assert lease is not None
    carried = {"carried": {"model": {"artifact": "tree:" + "3" * 64}}}
    row = replace(task_run("tune", TaskState.RUNNING), detail=carried)
    done = replace(_done("fit", None), outputs={"model": table("4"), "each": Struct({"of": Counted((table("5"),))})})
    told = replace(_done("told", None), outputs={"text": Inline({"see": "blake3:" + "6" * 64})})
    odd = replace(_done("odd", None), outputs={"text": Inline("blake3:" + "d" * 65 + " blake3:" + "g" * 64)})
    run = replace(pinned, outputs={"best": table("7")})
    made = replace(entry(KEYS[1]), outputs={"model": table("8")})
    commit(store, lease, *(changed(one, "running") for one in (row, done, told, odd, run)), entries=(made,))
    expected = {table(letter).digest for letter in "014578"} | {pinned.code, "tree:" + "3" * 64, "blake3:" + "6" * 64}
    assert sorted(open_store().digests_in_use()) == sorted(expected)
    store.delete_entries([KEYS[1]])
    assert set(store.digests_in_use()) == expected - {table("8").digest}


def a_run_is_deleted_once_nobody_needs_it(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    leases = [begun(store, run_id) for run_id in ("run1", "run2", "run3")]
    digest = table("a").digest
    use = ArtifactUse(digest, "run1", "fit", "rows")
    rows = (full_task_run("fit"), full_attempt("fit"), replace(_ended(), pin="blake3:" + "0" * 64), _ended("run2"))
    claim, made = Claim(KEYS[2], "run1", "fit"), entry(KEYS[1])
    commit(store, leases, *(changed(row, "") for row in rows), uses=(use,), claims=(claim,), entries=(made,))
    assert store.log_files() == {"local/x/log"}
    store.observe([Observation("run1/fit#1", "loss", 0.5, None, NOW), Progress("run1/fit#1", 1, 2, "", NOW)])
    store.observe([Exhibit("run1/fit#1", "table", "rows", table("e"), NOW)])
    assert other.task_runs("run1"), "the other knows the run, too"
    assert list(store.delete_runs(["run1", "run2", "run3"], now=NOW)) == [], "their leases are held"
    store.release([leases[0], leases[2]])
    assert list(store.delete_runs(["run3", "run1", "nobody", "run1"], now=NOW)) == ["run1"], "run3 has not ended"
    assert list(store.delete_runs(["run2"], now=LATER)) == ["run2"], "its lease has run out"
    assert [run.run_id for run in other.runs()] == ["run3"]
    asks = (other.load, other.task_runs, other.attempts, other.journal, other.metrics, other.exhibits, other.lease_of)
    for ask in asks:
        refused(KeyError, lambda ask=ask: ask("run1"))  # type: ignore[misc]
    assert list(other.consumers(digest)) == []
    assert other.look_up(KEYS, now=NOW) == {KEYS[1]: Found(made)}, "what it computed is still worth having"
    assert other.entry_of("run1", "fit") is None
    assert other.graph("a" * 64), "run3 has the same graph"
    assert set(other.digests_in_use()) == {run_row().code}
    assert other.log_files() == set()


def a_new_run_is_not_taken_for_a_deleted_one(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    lease = begun(store)
    commit(store, lease, changed(_done("fit", KEYS[1]), "running"), changed(_ended(), "running"))
    assert other.adoptable("run1", KEYS) != {}
    store.release([lease])
    assert list(store.delete_runs(["run1"], now=NOW)) == ["run1"]
    refused(KeyError, lambda: store.graph("a" * 64))
    new = begun(store, "run2")
    commit(store, new, changed(_done("other", KEYS[1], run_id="run2"), "running"))
    assert other.adoptable("run1", KEYS) == {}
    for ask in (other.task_runs, other.journal, store.task_runs):
        refused(KeyError, lambda ask=ask: ask("run1"))  # type: ignore[misc]
    refused(KeyError, lambda: commit(other, lease, changed(task_run("fit"), "waiting")))
    assert [row.path for row in other.task_runs("run2")] == ["other"]
    assert store.graph("a" * 64)


CHECKS: tuple[Callable[[OpenStore], None], ...] = (
    every_field_of_an_entry_comes_back,
    the_newest_entry_of_a_key_wins,
    what_was_written_next_may_be_answered_as_well,
    an_entry_counts_until_it_expires,
    many_keys_are_asked_for_at_once,
    entries_of_a_component_are_newest_first,
    the_entry_of_a_task_run_is_the_one_it_wrote,
    entries_are_deleted_by_key,
    an_entry_is_written_with_its_effect_or_not_at_all,
    a_key_is_claimed_by_one_run,
    a_lost_lease_comes_before_a_lost_claim,
    a_claim_lasts_as_long_as_its_runs_lease,
    claims_end_with_release_entry_and_run,
    a_claim_fails_once_its_key_was_entered,
    what_was_absent_is_found_once_it_is_there,
    succeeded_task_runs_are_adopted_by_key,
    the_last_mark_of_a_component_counts,
    artifacts_know_who_made_and_who_was_given_them,
    whatever_rows_name_is_in_use,
    a_run_is_deleted_once_nobody_needs_it,
    a_new_run_is_not_taken_for_a_deleted_one,
)
