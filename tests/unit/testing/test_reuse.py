"""What the simulator knows of the cache: changed graphs, codes from names, and checkers that see what is wrong."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from penstock.base.instants import Instant
from penstock.effects import Commit, Holder, Lease
from penstock.engine.events import LookedUp, LookUp, Transition
from penstock.engine.rows import AttemptRow, CacheEntry, Cause, Claim, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, TaskState
from penstock.graph.bindings import Input
from penstock.graph.check import check
from penstock.graph.model import Call, Function, Graph, InputSpec, OutputSpec, Policy
from penstock.graph.types import INT
from penstock.testing import fakes, graphs, reuse
from penstock.testing.checkers import Violation
from penstock.wire import Artifact, Inline, Succeeded

NOW = Instant(1_000)
FUNCTION = Function(fakes.MODULE, "ok_f1", (InputSpec("x0", INT),), (OutputSpec("y0", INT),))
GRAPH = Graph("g", (InputSpec("p", INT),), (Call("a", FUNCTION, {"x0": Input("p")}),), ())
RIGHT = fakes.outcome_of("ok_f1", {"y0": INT}, {"x0": Inline(3)}, 0)
assert isinstance(RIGHT, Succeeded)
ENTRY = CacheEntry("key", "m:ok_f1", "run", "a", 1, RIGHT.outputs, "c", "e", {}, {}, NOW)
TASK = TaskRunRow(
    "run", "a", "m:ok_f1", TaskState.RUNNING, Cause("placed"), NOW, Origin.CACHED, RIGHT.outputs, 1, key="key"
)
ATTEMPT = AttemptRow("run", "a", 1, AttemptState.SUBMITTED, "local", (), NOW)
RECORD = RunRecord(RunRow("run", "g", "d", {"p": Inline(3)}, "pin", 1, NOW), (TASK,), (ATTEMPT,))
LEASE = Lease("run", 1, Holder("h", "b", 1, 0), NOW)
QUERY = LookUp("run", "a", "key", "m:ok_f1", None, True)
HIT = LookedUp("run", "a", "key", "hit", RIGHT.outputs, "run/a")


@pytest.fixture
def ledger() -> reuse.Ledger:
    return reuse.Ledger(reuse.Things(), 1, {"run": GRAPH})


def test_an_edited_graph_is_valid_and_differs_in_functions_only() -> None:
    changed = 0
    for seed in range(60):
        scenario = graphs.random_scenario(seed, size=20)
        edited = reuse.edited(reuse.with_policies(scenario, Random(seed)), Random(seed))
        assert [found for found in check(edited.graph) if found.severity == "error"] == []
        before, after = list(reuse.functions_in(scenario.graph)), list(reuse.functions_in(edited.graph))
        assert [function.inputs for function in before] == [function.inputs for function in after]
        assert [fakes.behaviour_of(f.name) for f in before] == [fakes.behaviour_of(f.name) for f in after]
        changed += before != after
    assert changed > 30


def test_a_name_says_what_was_changed() -> None:
    def code(name: str) -> tuple[str, str, str | None]:
        graph = reuse.rewrite(GRAPH, lambda function: replace(function, name=name))
        found = reuse.codes_of(graph, 1)[f"{fakes.MODULE}:{name}"]
        return found.digest, found.environment, found.version

    assert code("ok_f1_v1")[1:] == code("ok_f1")[1:]
    assert code("ok_f1_e1")[::2] == code("ok_f1")[::2]
    assert code("ok_f1_w1")[:2] == code("ok_f1")[:2]
    assert len({code(name) for name in ("ok_f1", "ok_f1_v1", "ok_f1_v2", "ok_f1_e1", "ok_f1_w1", "ok_f1_v1_e1")}) == 6


def test_every_name_gives_something_else() -> None:
    names = ("ok_f1", "ok_f1_v1", "ok_f1_e1")
    outcomes = [fakes.outcome_of(name, {"out": fakes.FRAME}, {}, 0) for name in names]
    assert len({repr(outcome) for outcome in outcomes}) == 3


def test_a_hit_is_of_a_valid_entry_and_none_is_missed(ledger: reuse.Ledger) -> None:
    with pytest.raises(Violation, match="no valid entry"):
        ledger.check_answer(QUERY, HIT, NOW, ())
    ledger.entries["key"] = [ENTRY]
    ledger.check_answer(QUERY, HIT, NOW, ())
    with pytest.raises(Violation, match="no valid entry"):
        ledger.check_answer(QUERY, replace(HIT, outputs={"y0": Inline(99)}), NOW, ())
    for how in ("miss", "claimed"):
        with pytest.raises(Violation, match="and there is"):
            ledger.check_answer(QUERY, LookedUp("run", "a", "key", how), NOW, ())
    with pytest.raises(Violation, match="answers"):
        ledger.check_answer(QUERY, replace(HIT, path="b"), NOW, ())


@pytest.mark.parametrize(
    "invalid",
    [
        replace(ENTRY, expires_at=NOW),
        replace(ENTRY, reads={reuse.FILES[0]: "something else"}),
        replace(ENTRY, outputs={"y0": Artifact("blake3:gone", "T", "fake", 1)}),
    ],
)
def test_an_entry_that_does_not_hold_is_no_hit(ledger: reuse.Ledger, invalid: CacheEntry) -> None:
    ledger.things.gone.add("blake3:gone")
    ledger.entries["key"] = [invalid]
    with pytest.raises(Violation, match="no valid entry"):
        ledger.check_answer(QUERY, replace(HIT, outputs=invalid.outputs), NOW, ())
    ledger.check_answer(QUERY, LookedUp("run", "a", "key", "miss"), NOW, ())


def test_what_is_adopted_was_there(ledger: reuse.Ledger) -> None:
    adopted = replace(HIT, how="adopted")
    with pytest.raises(Violation, match="nowhere"):
        ledger.check_answer(QUERY, adopted, NOW, [TASK])
    ledger.check_answer(QUERY, adopted, NOW, [replace(TASK, state=TaskState.SUCCEEDED)])


def test_an_entry_is_entered_with_the_outcome_that_is_accepted(ledger: reuse.Ledger) -> None:
    ended = replace(ATTEMPT, state=AttemptState.ENDED, outcome="succeeded")
    changes = (
        Transition("attempt", "run", "a#1", "started", "ended", Cause("succeeded"), ended),
        Transition("task", "run", "a", "running", "succeeded", Cause("succeeded"), TASK),
    )
    commit = Commit(NOW, (LEASE,), changes, entries=(ENTRY,))
    ledger.follow(commit, lambda run_id, at: True)
    assert ledger.entries == {"key": [ENTRY]}
    for wrong in (replace(ENTRY, key="other"), replace(ENTRY, attempt=2), replace(ENTRY, outputs={})):
        with pytest.raises(Violation, match="was not accepted"):
            ledger.follow(replace(commit, entries=(wrong,)), lambda run_id, at: True)
    with pytest.raises(Violation, match="was not accepted"):
        ledger.follow(replace(commit, transitions=changes[1:]), lambda run_id, at: True)


def test_a_key_is_claimed_by_one_live_run(ledger: reuse.Ledger) -> None:
    ledger.follow(Commit(NOW, (LEASE,), (), claims=(Claim("key", "other", "a"),)), lambda run_id, at: True)
    mine = Commit(NOW, (LEASE,), (), claims=(Claim("key", "run", "a"),))
    with pytest.raises(Violation, match="is claimed by other"):
        ledger.follow(mine, lambda run_id, at: True)
    ledger.follow(mine, lambda run_id, at: False)
    assert ledger.claims == {"key": "run"}
    ledger.follow(Commit(NOW, (LEASE,), (), released=("key",)), lambda run_id, at: True)
    assert ledger.claims == {}


def test_what_is_shared_is_computed_once_and_under_a_claim(ledger: reuse.Ledger) -> None:
    with pytest.raises(Violation, match="without a claim"):
        ledger.check_submitted(ATTEMPT, TASK, (), aside=())
    ledger.claims["key"] = "run"
    ledger.check_submitted(ATTEMPT, TASK, {"run/a#1"}, aside=())
    with pytest.raises(Violation, match="computes what"):
        ledger.check_submitted(replace(ATTEMPT, number=2), TASK, {"run/a#1"}, aside=())
    uncached = reuse.rewrite(GRAPH, lambda function: replace(function, policy=Policy(cache=False)))
    other = reuse.Ledger(reuse.Things(), 1, {"run": uncached})
    other.check_submitted(ATTEMPT, TASK, (), aside=())


def test_what_is_found_is_what_the_function_gives(ledger: reuse.Ledger) -> None:
    ledger.check_found(TASK, RECORD)
    with pytest.raises(Violation, match="and it gives"):
        ledger.check_found(replace(TASK, outputs={"y0": Inline(99)}), RECORD)
