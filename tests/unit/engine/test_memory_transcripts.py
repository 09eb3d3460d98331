"""Memory that was learned: hints that pack and never kill, and sizes that worked when an attempt had run out of memory."""

from __future__ import annotations

from penstock.base.instants import Instant
from penstock.engine.events import CapacityReported
from penstock.plan.learning import input_class, learned_from_json, learned_to_json, start_bytes
from penstock.plan.model import Remembered
from penstock.plan.passes import make_plan
from penstock.testing.notation import graph
from penstock.testing.transcript import Transcript
from penstock.wire import Artifact, OutOfMemory, Succeeded

GIB = 1 << 30
MACHINE = {"cpu": 8000, "memory": 8 * GIB}


def amounts(t: Transcript, path: str) -> dict[str, int]:
    return dict(t.requests[t.attempt_of(path)].amounts)


def test_without_history_everybody_gets_an_equal_share() -> None:
    t = Transcript(graph("m*9"), amounts={"cpu": 4000, "memory": 8 * GIB})
    assert len(t.in_flight()) == 4
    t = Transcript(graph("a[memory=7000000000]; m*9[priority=-1]"), amounts={"cpu": 4000, "memory": 8 * GIB})
    assert len(t.in_flight()) == 1, "the share of each of the others is 2 GiB"


def test_what_was_learned_is_kept_room_for_and_not_enforced() -> None:
    memories = {"fit": Remembered(GIB)}
    t = Transcript(graph("m*20"), amounts=MACHINE, memories=memories)
    assert len(t.in_flight()) == 8
    t = Transcript(graph("a[memory=7000000000]; m*20[priority=-1]"), amounts=MACHINE, memories=memories)
    assert len(t.in_flight()) == 2, "1 GiB is left beside a"
    assert amounts(t, "m/0/fit") == {"cpu": 1000, "memory": GIB}
    assert t.requests["run/m/0/fit#1"].memory_bytes_max is None
    assert t.requests["run/a#1"].memory_bytes_max == 7_000_000_000


def test_a_hint_larger_than_the_machine_is_no_reason_to_wait_forever() -> None:
    t = Transcript(graph("a; b"), amounts=MACHINE, memories={"a": Remembered(100 * GIB), "b": Remembered(100 * GIB)})
    assert t.said() == ["start a#1"]
    assert amounts(t, "a")["memory"] == 8 * GIB
    t.ends("a")
    assert t.said() == ["start b#1"]
    assert make_plan(graph("a"), capacity=MACHINE, memories={"notation:a": Remembered(100 * GIB)}).diagnostics == ()


def test_a_declaration_is_not_overruled_by_a_hint() -> None:
    t = Transcript(graph("a[memory=1000]"), amounts=MACHINE, memories={"a": Remembered(GIB)})
    assert amounts(t, "a") == {"cpu": 1000, "memory": 1000}


def test_the_next_run_starts_with_what_worked_for_inputs_of_that_size() -> None:
    memories = {"b": Remembered(0, ((input_class(1_000), 4 * GIB), (input_class(10_000), 6 * GIB)))}
    for given, expected in ((100, 1000), (1_000, 4 * GIB), (1_023, 4 * GIB), (5_000, 4 * GIB), (1 << 40, 6 * GIB)):
        t = Transcript(graph("a -> b[memory=1000]"), amounts=MACHINE, memories=memories)
        t.ends("a", Succeeded({"out": Artifact("blake3:1", "any", "file", given)}))
        assert amounts(t, "b")["memory"] == expected
        assert t.requests["run/b#1"].memory_bytes_max == expected, "declared memory is a limit, also when it has grown"
        assert t.attempts["b#1"].input_bytes == given
        assert t.rebuilt().outstanding() == t.engine.outstanding()


def test_what_worked_is_at_most_what_there_is_and_never_less_than_declared() -> None:
    plan = make_plan(graph("a"), capacity=MACHINE, memories={"notation:a": Remembered(0, ((3, 100 * GIB), (9, GIB)))})
    remembered = plan.root.nodes[0].remembered
    assert remembered.worked == ((3, 8 * GIB), (9, GIB))
    assert [start_bytes(remembered, size) for size in (0, 3, 4, 1 << 20)] == [0, 0, 8 * GIB, 8 * GIB]
    t = Transcript(graph("a[memory=2000]"), amounts=MACHINE, memories={"a": Remembered(0, ((0, 1000),))})
    assert amounts(t, "a")["memory"] == 2000


def test_memory_that_was_not_enough_again_grows_from_what_was_tried() -> None:
    t = Transcript(graph("a"), amounts=MACHINE, memories={"a": Remembered(GIB, ((0, 2 * GIB),))})
    assert amounts(t, "a")["memory"] == 2 * GIB
    t.ends("a", OutOfMemory("killed"))
    assert amounts(t, "a")["memory"] == 4 * GIB
    assert t.rebuilt().dump() == t.engine.dump()


def test_hints_are_known_again_from_rows() -> None:
    memories = {"fit": Remembered(3 * GIB)}
    t = Transcript(graph("m*5"), amounts=MACHINE, memories=memories)
    assert len(t.in_flight()) == 2
    engine = t.rebuilt()
    assert engine.dump() == t.engine.dump()
    assert engine._placement.room("local").free == t.engine._placement.room("local").free
    for e in (engine, t.engine):
        decision = e.handle(CapacityReported("local", {"cpu": 8000, "memory": 16 * GIB}), now=Instant(t.now + 1))
        assert len(decision.commands) == 3


def test_what_a_run_keeps_of_what_was_known_comes_back() -> None:
    durations = {"m:f": (3, 10.5), "m:g": (1, 2.0)}
    memories = {"m:f": Remembered(1_200, ((3, 4_000), (9, 8_000))), "m:h": Remembered(5)}
    assert learned_from_json(learned_to_json(durations, memories)) == (durations, memories)
    assert learned_from_json({}) == ({}, {})


def test_what_goes_first_anyhow_is_not_held_against_those_behind_a_reservation() -> None:
    """Only who overtakes the one that waits can delay it: a was before it in the line and ends whatever the others do."""
    text = "a[memory=6 priority=3]; big[memory=6 priority=2]; c[memory=1]; d[memory=1]; e[memory=5]"
    t = Transcript(graph(text), amounts={"cpu": 8000, "memory": 10})
    assert t.said() == ["start a#1", "start c#1", "start d#1"], (
        "beside c and d there is room for big, beside e there is not"
    )
    t.ends("a")
    assert t.said() == ["start big#1"]
    t.ends("c")
    t.ends("d")
    assert t.said() == []
    t.ends("big")
    assert t.said() == ["start e#1"]


def test_components_take_turns_where_no_path_is_long() -> None:
    """By rank all of the map that comes first would go before the other begins."""
    text = "long*8{a[cpu=1]}; wide*8{b[cpu=1 memory=1]}"
    t = Transcript(graph(text), amounts={"cpu": 4000, "memory": 100})
    assert sorted(line.partition("/")[0] for line in t.said()) == ["start long"] * 2 + ["start wide"] * 2


def test_a_long_path_goes_first_and_nobody_takes_turns_with_it() -> None:
    history = {"notation:a": (5, 9_000_000.0), "notation:b": (5, 1_000_000.0)}
    t = Transcript(graph("m*2{a}; n*4{b[memory=1]}"), amounts={"cpu": 2000, "memory": 100}, history=history)
    assert t.said() == ["start m/0/a#1", "start m/1/a#1"]
