"""The cache in the engine, as transcripts: what is looked up, found, waited for, computed and entered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.engine.caching import Identities, identity_of, key_of
from penstock.engine.engine import Engine
from penstock.engine.events import AttemptEnded, CapacityReported, LookedUp, RunSubmitted, StartAttempt
from penstock.engine.rows import RunRecord, RunRow
from penstock.plan import make_plan
from penstock.plan.model import CodeKey
from penstock.testing.notation import graph
from penstock.testing.transcript import START, Shelf, Transcript
from penstock.wire import (
    Artifact,
    Counted,
    Datum,
    Failed,
    Failure,
    Inline,
    Struct,
    Succeeded,
    datum_from_json,
    datum_to_json,
)

A = CodeKey("code of a", "environment")
ABC = {name: CodeKey(f"code of {name}", "environment") for name in "abc"}
SAME = {"a": A, "b": A, "c": A, "d": A}


def done(text: str = "a -> b -> c", shelf: Shelf | None = None, **options: object) -> Transcript:
    """A run in which every attempt has succeeded: a gives 1, b 2, c 3."""
    t = Transcript(graph(text), shelf=shelf or Shelf(), codes=ABC, **options)  # type: ignore[arg-type]
    while t.in_flight():
        path = t.in_flight()[0].partition("#")[0]
        t.ends(path, "abc".index(path[-1]) + 1)
    return t


# -- keys --------------------------------------------------------------------------------------------------------------

FRAME = Artifact("blake3:00", "polars:DataFrame", "parquet", 10, {"rows": 3}, None)


def test_an_identity_is_the_same_for_what_is_the_same() -> None:
    assert identity_of(FRAME) == identity_of(replace(FRAME, metadata={}, size_bytes=11))
    assert identity_of(Inline({"a": 1, "b": 2})) == identity_of(Inline({"b": 2, "a": 1}))
    assert identity_of(Inline(float("nan"))) == identity_of(Inline(float("nan")))


def test_every_part_of_an_input_makes_its_identity() -> None:
    data: list[Datum] = [
        FRAME,
        replace(FRAME, digest="blake3:01"),
        replace(FRAME, type="polars:Series"),
        replace(FRAME, form="npy"),
        replace(FRAME, code="code of what it names"),
        replace(FRAME, form="file", metadata={"name": "x.csv"}),
        replace(FRAME, form="file", metadata={"name": "x.tsv"}),
        Counted((FRAME,)),
        Counted((FRAME, FRAME)),
        Counted((Counted((FRAME,)),)),
        Counted(()),
        Inline(["artifact", "blake3:00", "polars:DataFrame", "parquet", None]),
        *map(Inline, (None, 0, 1, True, False, 1.0, 0.0, "1", "", [], {}, [1], [[1]], float("inf"), "\ud800", "?")),
    ]
    assert len({identity_of(datum) for datum in data}) == len(data)


def test_a_long_list_has_its_own_identity_each_time() -> None:
    long = [Counted(tuple(Inline(number + at) for number in range(100))) for at in range(100)]
    identities = Identities()
    first = [identities.of({"x": datum})["x"] for datum in long]
    assert len(set(first)) == 100
    assert [identities.of({"x": datum})["x"] for datum in long] == first == [identity_of(datum) for datum in long]


def test_a_key_is_made_of_code_and_of_inputs_by_name() -> None:
    keys = [
        key_of("base", {}),
        key_of("other", {}),
        key_of("base", {"x": "1"}),
        key_of("base", {"y": "1"}),
        key_of("base", {"x": "1", "y": "2"}),
        key_of("base", {"x": "2", "y": "1"}),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("base", {"y": "2", "x": "1"}) == keys[4]


def test_a_key_needs_no_name_of_a_node_and_no_policy() -> None:
    t = done("a[retry=3 cpu=2 priority=4 timeout=90000] -> b")
    other = done("a -> b[cache=no]")
    assert [t.tasks[path].key for path in "ab"] == [other.tasks[path].key for path in "ab"]


@pytest.mark.parametrize("code", [CodeKey("new", "environment"), CodeKey("code of a", "new"), replace(A, version="2")])
def test_code_environment_and_version_change_a_key(code: CodeKey) -> None:
    shelf = done("a").shelf
    t = Transcript(graph("a"), codes={"a": code}, shelf=shelf)
    assert t.state("a") == "running"


def test_code_that_could_not_be_resolved_has_no_key() -> None:
    shelf = Shelf()
    for _ in range(2):
        t = Transcript(graph("a -> b"), codes={"a": replace(A, unresolved=("exec",)), "b": ABC["b"]}, shelf=shelf)
        assert t.tasks["a"].key is None
        assert t.asked == []
        t.ends("a", 1)
    assert t.entries == []
    assert t.tasks["b"].key is not None


# -- hit and miss ------------------------------------------------------------------------------------------------------


def test_a_miss_is_computed_and_entered_with_what_it_was_made_of() -> None:
    t = Transcript(graph("a -> b"), codes=ABC)
    t.ends("a", 1)
    decision = t.ends("b", 2, duration_us=77, reads={"data/x.csv": "blake3:1"})
    (entry,) = decision.entries
    assert [change.id for change in decision.transitions if change.after == "succeeded"] == ["b", "run"]
    assert (entry.key, entry.run_id, entry.path, entry.attempt) == (t.tasks["b"].key, "run", "b", 1)
    assert (entry.component, entry.code, entry.environment) == ("notation:b", "code of b", "environment")
    assert entry.outputs == {"out": Inline(2)}
    assert entry.inputs == {"x0": identity_of(Inline(1))}
    assert entry.reads == {"data/x.csv": "blake3:1"}
    assert (entry.created_at, entry.expires_at, entry.duration_us) == (START, None, 77)
    assert t.origin("b") == "computed"


def test_what_was_computed_once_is_found_again() -> None:
    first = done()
    t = Transcript(graph("a -> b -> c"), codes=ABC, shelf=first.shelf, run_id="again")
    assert t.run_state == "succeeded"
    assert t.said() == []
    assert [t.origin(path) for path in "abc"] == ["hit(run/a)", "hit(run/b)", "hit(run/c)"]
    assert t.run is not None
    assert t.run.outputs == {"out": Inline(3)}
    assert t.tasks["c"].attempt == 0
    assert t.entries == []
    assert t.claims == []


def test_a_failure_is_not_entered() -> None:
    shelf = Shelf()
    for _ in range(2):
        t = Transcript(graph("a"), codes=ABC, shelf=shelf)
        t.fails("a")
        assert t.state("a") == "failed(failed)"
    assert shelf.entries == {}


def test_an_entry_says_when_it_expires() -> None:
    t = Transcript(graph("a[expires=5000]"), codes=ABC)
    t.passes(100)
    t.ends("a", 1)
    assert t.entries[0].expires_at == START + 5_100


def test_changed_code_with_an_unchanged_output_stops_there() -> None:
    """Early cut-off: b is computed again and gives what it gave; c is found."""
    shelf = done().shelf
    t = Transcript(graph("a -> b -> c"), codes={**ABC, "b": CodeKey("new", "environment")}, shelf=shelf)
    assert t.said() == ["start b#1"]
    t.ends("b", 2)
    assert t.origin("c") == "hit(run/c)"
    assert t.said() == []
    changed = Transcript(graph("a -> b -> c"), codes={**ABC, "b": CodeKey("newer", "environment")}, shelf=shelf)
    changed.ends("b", 7)
    assert changed.said() == ["start b#1", "start c#1"]


def test_a_thousand_hits_take_one_turn() -> None:
    """Each is asked for when the one before is known; nothing has to be committed in between."""
    names = [f"n{number}" for number in range(1_000)]
    codes = {name: CodeKey(name, "environment") for name in names}
    chain = graph(" -> ".join(names))
    first = Transcript(chain, codes=codes)
    for name in names:
        first.ends(name, 1)
    t = Transcript(chain, codes=codes, shelf=first.shelf, run_id="again")
    assert t.run_state == "succeeded"
    assert [query.path for query in t.asked] == names
    assert t.said() == []
    assert max(change.row.changed_at for change in t.transitions if change.machine == "task") == START  # type: ignore[union-attr]


# -- single flight -----------------------------------------------------------------------------------------------------


def test_equal_keys_are_computed_once() -> None:
    t = Transcript(graph("a; b; c"), codes=SAME, amounts={"cpu": 4000})
    assert t.said() == ["start a#1"]
    assert [(claim.run_id, claim.path) for claim in t.claims] == [("run", "a")]
    t.ends("a", 1)
    assert t.run_state == "succeeded"
    assert [t.origin(path) for path in "abc"] == ["computed", "hit(run/a)", "hit(run/a)"]
    assert t.tasks["c"].outputs == {"out": Inline(1)}
    assert len(t.entries) == 1
    assert t.released == []


def test_one_that_becomes_ready_later_waits_for_who_computes_its_key() -> None:
    t = Transcript(graph("a; d => b"), codes={"a": A, "b": A}, amounts={"cpu": 4000})
    t.ends("d", 0)
    assert t.state("b") == "ready"
    assert [query.path for query in t.asked] == ["a"]
    t.ends("a", 1)
    assert t.origin("b") == "hit(run/a)"


def test_a_failure_is_never_shared_and_the_next_one_computes() -> None:
    t = Transcript(graph("a; b; c"), codes=SAME, amounts={"cpu": 4000})
    key = t.tasks["a"].key
    t.fails("a")
    assert t.said() == ["start a#1", "start b#1"]
    assert t.released == [key]
    assert [claim.path for claim in t.claims] == ["a", "b"]
    t.fails("b")
    t.ends("c", 1)
    assert [t.state(path) for path in "abc"] == ["failed(failed)", "failed(failed)", "succeeded"]
    assert t.origin("c") == "computed"


def test_a_leader_that_tries_again_stays_the_leader() -> None:
    t = Transcript(graph("a[retry=2 backoff=1000]; b"), codes=SAME, amounts={"cpu": 4000})
    t.fails("a")
    assert (t.state("a"), t.state("b"), t.released) == ("backoff", "ready", [])
    t.passes(2_000)
    assert t.said() == ["start a#1", "start a#2"]
    t.ends("a", 1)
    assert t.origin("b") == "hit(run/a)"
    assert t.entries[0].attempt == 2


def test_a_leader_without_a_room_leads_all_the_same() -> None:
    t = Transcript(graph("d; a; b"), codes={"a": A, "b": A}, amounts={"cpu": 1000}, history={"notation:d": (1, 9e9)})
    assert t.said() == ["start d#1"]
    assert t.claims == []
    t.ends("d", 0)
    assert t.said() == ["start a#1"]


def test_what_ran_outside_its_closure_is_used_and_not_entered() -> None:
    t = Transcript(graph("a -> c; b"), codes={**ABC, "b": A, "a": A}, amounts={"cpu": 4000})
    key = t.tasks["a"].key
    t.ends("a", 1, outside=("module:function",))
    assert t.origin("a") == "computed"
    assert t.inputs_of("c") == {"x0": 1}
    assert t.entries == []
    assert t.released == [key]
    assert t.said() == ["start a#1", "start b#1", "start c#1"]


@pytest.mark.parametrize("force", [False, True])
def test_a_cancel_ends_who_asks_and_who_waits(force: bool) -> None:
    t = Transcript(graph("a; b; d -> c"), codes={"a": A, "b": A, "c": ABC["c"]}, amounts={"cpu": 4000})
    t.silent = True
    t.ends("d", 1)
    assert [t.state(path) for path in "abc"] == ["running", "ready", "ready"]
    (question,) = t.queries
    t.cancel(force=force)
    assert [t.state(path) for path in "bc"] == ["cancelled(kill)" if force else "cancelled(cancel)"] * 2
    before = len(t.transitions)
    t.give(LookedUp("run", "c", question.key, "hit", {"out": Inline(9)}, "other/c"))
    assert len(t.transitions) == before
    t.ends("a", Failed(Failure("builtins:ValueError", "stopped")))
    assert t.run_state == "cancelled"
    assert t.claims[0].key in t.released


def test_two_runs_of_one_engine_share_what_one_computes() -> None:
    engine = Engine()
    engine.handle(CapacityReported("local", {"cpu": 4000}), now=START)
    plan = make_plan(graph("a"), codes={"notation:a": A})
    for run_id in ("one", "two"):
        decision = engine.handle(RunSubmitted(RunRow(run_id, "test", "", {}, "", 1, START), plan), now=START)
        for query in decision.queries:
            engine.handle(LookedUp(run_id, "a", query.key, "miss"), now=START)
    assert [c.request.attempt_id for c in engine.outstanding() if isinstance(c, StartAttempt)] == ["one/a#1"]
    decision = engine.handle(AttemptEnded("one/a#1", Succeeded({"out": Inline(1)})), now=START)
    assert [engine.state_of(run_id) for run_id in ("one", "two")] == ["succeeded", "succeeded"]
    assert [entry.run_id for entry in decision.entries] == ["one"]


def test_when_the_leaders_run_goes_to_another_controller_the_next_one_computes() -> None:
    engine = Engine()
    engine.handle(CapacityReported("local", {"cpu": 1000}), now=START)
    plan = make_plan(graph("a"), codes={"notation:a": A})
    for run_id in ("one", "two"):
        for query in engine.handle(RunSubmitted(RunRow(run_id, "t", "", {}, "", 1, START), plan), now=START).queries:
            engine.handle(LookedUp(run_id, "a", query.key, "miss"), now=START)
    engine.forget("one")
    (query,) = engine.handle(CapacityReported("local", {"cpu": 2000}), now=START).queries
    decision = engine.handle(LookedUp("two", "a", query.key, "miss"), now=START)
    assert [command.request.attempt_id for command in decision.commands if isinstance(command, StartAttempt)] == [
        "two/a#1"
    ]


# -- asked again before the start ---------------------------------------------------------------------------------------


def full(text: str, **options: object) -> Transcript:
    """A run whose only room `d` has taken, for long. What else is ready was looked up, and found nowhere."""
    codes = {"a": A, "b": A, "c": ABC["c"]}
    return Transcript(graph(text), codes=codes, amounts={"cpu": 1000}, history={"notation:d": (1, 9e9)}, **options)  # type: ignore[arg-type]


def test_what_was_looked_up_long_ago_is_looked_up_when_it_is_about_to_start() -> None:
    t = full("d; a; c")
    assert [query.path for query in t.asked] == ["a", "c"]
    t.shelf.entries[t.asked[0].key] = [replace(done("a").entries[0], run_id="other")]
    t.passes(10)
    t.ends("d", 0)
    assert [query.path for query in t.asked] == ["a", "c", "a", "c"]
    assert t.origin("a") == "hit(other/a)"
    assert t.said() == ["start d#1", "start c#1"], "its room goes to the next one"


def test_who_is_asked_about_keeps_its_room_until_the_answer() -> None:
    t = full("d; a; c; e", silent=True)
    t.reply()
    t.passes(10)
    t.ends("d", 0)
    assert [query.path for query in t.queries] == ["a"]
    assert t.said() == ["start d#1"]
    t.reply()
    assert t.said() == ["start a#1"]
    assert t.rebuilt().dump() == t.engine.dump()


def test_what_is_stopped_while_it_is_asked_about_gives_its_room_back() -> None:
    t = full("d; a; tidy!", silent=True)
    t.reply()
    t.passes(10)
    t.ends("d", 0)
    question = t.queries[0]
    t.cancel()
    assert t.state("a") == "cancelled(cancel)"
    assert t.said() == ["start d#1", "start tidy#1"]
    t.give(LookedUp("run", "a", question.key, "miss"))
    assert t.said() == []


def test_what_another_controller_took_up_meanwhile_is_waited_for() -> None:
    t = full("d; a; b")
    key = t.asked[0].key
    t.shelf.claimed[key] = "other"
    t.passes(10)
    t.ends("d", 0)
    assert t.said() == ["start d#1"]
    assert t.rebuilt().dump() == t.engine.dump()
    t.shelf.entries[key] = [replace(done("a").entries[0], run_id="other")]
    t.passes(200)
    assert [t.origin(path) for path in "ab"] == ["hit(other/a)"] * 2, "who waited for it finds it too"
    assert (t.run_state, t.claims) == ("succeeded", [])


def test_a_claim_names_the_entry_that_did_not_hold() -> None:
    t = Transcript(graph("a"), codes=ABC, silent=True)
    t.give(LookedUp("run", "a", t.queries[0].key, "miss", newest="old/a#3"))
    assert [claim.newest for claim in t.claims] == ["old/a#3"]


def test_a_leader_that_tries_again_finds_what_was_entered_meanwhile_and_gives_its_claim_back() -> None:
    t = Transcript(graph("a[retry=2 backoff=1000]; b"), codes=SAME, amounts={"cpu": 4000})
    t.fails("a")
    (entry,) = done("a").entries
    t.shelf.entries[t.claims[0].key] = [replace(entry, run_id="other")]
    t.passes(2_000)
    assert [t.origin(path) for path in "ab"] == ["hit(other/a)"] * 2
    assert t.said() == ["start a#1"]
    assert t.released == [t.claims[0].key]


# -- claims of other controllers ---------------------------------------------------------------------------------------


def test_a_key_that_another_controller_computes_is_asked_for_again() -> None:
    t = Transcript(graph("a"), codes=ABC, silent=True)
    (question,) = t.queries
    t.shelf.claimed[question.key] = "other"
    t.reply()
    assert t.wake_at == START + 200
    t.silent = False
    t.passes(199)
    assert len(t.asked) == 1
    t.passes(1)
    t.passes(200)
    assert len(t.asked) == 3
    assert t.said() == []
    (entry,) = done("a").entries
    t.shelf.entries[entry.key] = [replace(entry, run_id="other")]
    t.passes(200)
    assert t.origin("a") == "hit(other/a)"


def test_when_the_other_controller_fails_this_one_computes() -> None:
    t = Transcript(graph("a; b"), codes=SAME, silent=True, amounts={"cpu": 4000})
    key = t.queries[0].key
    t.shelf.claimed[key] = "other"
    t.reply()
    t.silent = False
    del t.shelf.claimed[key]
    t.passes(200)
    assert t.said() == ["start a#1"]
    t.ends("a", 1)
    assert t.origin("b") == "hit(run/a)"


def test_an_answer_given_twice_asks_only_once_more() -> None:
    t = Transcript(graph("a"), codes=ABC, silent=True)
    (question,) = t.queries
    claimed = LookedUp("run", "a", question.key, "claimed", source="other")
    for _ in range(5):
        t.give(claimed)
    t.queries.clear()
    t.passes(200)
    assert len(t.queries) == 1


def test_an_answer_about_another_key_or_path_changes_nothing() -> None:
    t = Transcript(graph("a -> b"), codes=ABC, silent=True)
    for path, key in (("a", "other"), ("b", "key"), ("z", "key")):
        t.give(LookedUp("run", path, key, "hit", {"out": Inline(1)}))
    t.give(LookedUp("other", "a", t.queries[0].key, "hit", {"out": Inline(1)}))
    assert (t.state("a"), t.state("b")) == ("ready", "waiting")


# -- without reading, without anything ---------------------------------------------------------------------------------


def test_no_cache_reads_nothing_and_writes() -> None:
    shelf = done().shelf
    t = Transcript(graph("a -> b"), codes=ABC, shelf=shelf, cache="write", run_id="again")
    assert t.said() == ["start a#1"]
    t.ends("a", 10)
    assert t.asked == []
    assert t.entries[0].outputs == {"out": Inline(10)}
    last = Transcript(graph("a"), codes=ABC, shelf=shelf, run_id="last")
    assert last.origin("a") == "hit(again/a)"


def test_no_cache_waits_for_nobody() -> None:
    t = Transcript(graph("a; b"), codes=SAME, cache="write", amounts={"cpu": 4000})
    assert t.said() == ["start a#1", "start b#1"]
    assert t.claims == []
    t.fails("a")
    t.ends("b", 1)
    assert [len(t.entries), t.released] == [1, []]


def test_a_task_that_is_not_cached_neither_reads_nor_writes() -> None:
    shelf = done().shelf
    t = Transcript(graph("a[cache=no] -> b"), codes=ABC, shelf=shelf)
    assert t.said() == ["start a#1"]
    t.ends("a", 1)
    assert t.origin("b") == "hit(run/b)"
    assert [query.path for query in t.asked] == ["b"]
    assert t.entries == []
    assert t.tasks["a"].key is not None


# -- adoption ----------------------------------------------------------------------------------------------------------


def failed_at_c(text: str, **options: object) -> Shelf:
    """What a run leaves that came to c and failed there."""
    t = Transcript(graph(text), codes=ABC, run_id="first", **options)  # type: ignore[arg-type]
    t.ends("a", 1)
    t.ends("b", 2)
    t.fails("c")
    return Shelf(t.shelf.entries, {}, {str(row.key): row for row in t.tasks.values() if row.state == "succeeded"})


@pytest.mark.parametrize("text", ["a -> b -> c", "a[cache=no] -> b[cache=no] -> c[cache=no]"])
@pytest.mark.parametrize("cache", ["use", "write"])
def test_a_retry_adopts_what_had_succeeded(text: str, cache: str) -> None:
    shelf = failed_at_c(text, cache=cache)
    t = Transcript(graph(text), codes=ABC, shelf=shelf, retry_of="first", run_id="retry", cache=cache)
    assert [t.origin("a"), t.origin("b")] == ["adopted(first/a)", "adopted(first/b)"]
    assert t.said() == ["start c#1"]
    assert {query.adopt_from for query in t.asked} == {"first"}
    assert {query.read for query in t.asked} == {cache == "use" and "no" not in text}
    t.ends("c", 3)
    assert t.run_state == "succeeded"


def test_a_retry_computes_what_has_changed() -> None:
    shelf = failed_at_c("a[cache=no] -> b -> c")
    codes = {**ABC, "a": CodeKey("new", "environment")}
    t = Transcript(graph("a[cache=no] -> b -> c"), codes=codes, shelf=shelf, retry_of="first", run_id="retry")
    assert t.said() == ["start a#1"]
    t.ends("a", 7)
    assert t.said() == ["start b#1"]


def test_what_is_not_cached_and_not_adopted_is_computed_without_a_claim() -> None:
    t = Transcript(graph("a[cache=no]; b[cache=no]"), codes=SAME, retry_of="first", run_id="retry")
    assert t.said() == ["start a#1", "start b#1"]
    assert t.claims == []
    t.ends("a", 1)
    t.fails("b")
    assert (t.entries, t.released) == ([], [])


# -- rebuilt -----------------------------------------------------------------------------------------------------------


def test_rebuilt_while_asking_it_asks_again() -> None:
    t = Transcript(graph("a -> b; c"), codes=ABC, silent=True)
    assert t.rebuilt().dump() == t.engine.dump()
    t.reply()
    t.give(CapacityReported("local", t.amounts))
    t.ends("a", 1)
    assert [query.path for query in t.queries] == ["b"]
    assert t.rebuilt().dump() == t.engine.dump()
    t.engine = t.rebuilt()
    t.give(LookedUp("run", "b", t.queries[0].key, "hit", {"out": Inline(5)}, "other/b"))
    assert t.origin("b") == "hit(other/b)"


def test_rebuilt_while_another_controller_computes() -> None:
    t = Transcript(graph("a"), codes=ABC, silent=True)
    t.shelf.claimed[t.queries[0].key] = "other"
    t.reply()
    assert t.rebuilt().dump() == t.engine.dump()
    t.passes(200)
    assert t.rebuilt().dump() == t.engine.dump()


def test_rebuilt_while_one_computes_and_others_wait() -> None:
    t = Transcript(graph("a[retry=2 backoff=1000]; b; d -> c"), codes=SAME | {"d": ABC["c"]}, amounts={"cpu": 4000})
    assert t.rebuilt().dump() == t.engine.dump()
    t.engine = t.rebuilt()
    t.fails("a")
    assert t.rebuilt().dump() == t.engine.dump()
    t.engine = t.rebuilt()
    t.passes(2_000)
    assert t.state("a") == "running"
    assert t.state("b") == "ready"
    t.ends("a", 1)
    assert t.origin("b") == "hit(run/a)"


def test_two_that_compute_one_key_when_loaded_both_go_on() -> None:
    """A controller takes over a run that had lost its claim to a run of its own: neither ends the other."""
    engine = Engine()
    engine.handle(CapacityReported("local", {"cpu": 4000}), now=START)
    for run_id in ("one", "two"):
        t = Transcript(graph("a"), codes=ABC, run_id=run_id)
        assert t.run is not None
        engine.load(RunRecord(t.run, (t.tasks["a"],), (t.attempts["a#1"],)), t.plan, now=START)
    engine.handle(AttemptEnded("one/a#1", Succeeded({"out": Inline(1)})), now=START)
    assert [engine.state_of(run_id) for run_id in ("one", "two")] == ["succeeded", "running"]
    engine.handle(AttemptEnded("two/a#1", Succeeded({"out": Inline(1)})), now=START)
    assert engine.state_of("two") == "succeeded"


def test_what_is_found_after_an_attempt_gives_its_claim_back() -> None:
    """After a crash, a task run that was about to try again finds what somebody else has entered meanwhile."""
    t = Transcript(graph("a[retry=2 backoff=0]"), codes=ABC)
    t.give(CapacityReported("local", {"cpu": 0}))
    t.fails("a")
    assert t.state("a") == "ready"
    (entry,) = done("a").entries
    t.shelf.entries[entry.key] = [entry]
    t.engine = t.rebuilt()
    t.give(LookedUp("run", "a", entry.key, "hit", entry.outputs, "other/a"))
    assert t.origin("a") == "hit(other/a)"
    assert t.released == [entry.key]


def test_a_finally_node_is_run_every_time() -> None:
    shelf = Shelf()
    codes = {"a": A, "tidy": CodeKey("code of tidy", "environment")}
    first = Transcript(graph("a; a => tidy!"), shelf=shelf, codes=codes)
    first.ends("a", 1)
    first.ends("tidy")
    second = Transcript(graph("a; a => tidy!"), shelf=shelf, codes=codes)
    assert second.said() == ["start tidy#1"]


def test_the_identity_of_a_struct_is_that_of_its_fields_in_their_order() -> None:
    one, other = (Artifact(f"blake3:{digit * 64}", "pandas:DataFrame", "arrow", 1) for digit in "12")
    made = [
        Struct({"a": one, "b": Inline(1)}),
        Struct({"b": Inline(1), "a": one}),
        Struct({"a": other, "b": Inline(1)}),
    ]
    others = [Inline({"a": 1, "b": 1}), Counted((one, Inline(1))), Struct({"a": Struct({"b": one})})]
    assert len({identity_of(datum) for datum in (*made, *others)}) == 6
    assert identity_of(datum_from_json(datum_to_json(made[0]))) == identity_of(made[0])
