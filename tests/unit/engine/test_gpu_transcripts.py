"""GPUs as the engine places them: named devices, shared by memory, packed, reserved and remembered in rows."""

from __future__ import annotations

from penstock.engine.events import AttemptStarted
from penstock.testing.notation import graph
from penstock.testing.transcript import Transcript
from penstock.wire import OutOfMemory, Refused

GIB = 1 << 30
TWO = {"cpu": 8000, "gpu:A": 1000, "gpu_memory:A": 40 * GIB, "gpu:B": 1000, "gpu_memory:B": 80 * GIB}


def devices(t: Transcript, path: str) -> dict[str, int]:
    """What the newest attempt at a path was told of devices."""
    amounts = t.requests[t.attempt_of(path)].amounts
    return {name: amount for name, amount in amounts.items() if name.startswith("gpu")}


def test_an_attempt_is_told_the_names_of_its_devices() -> None:
    t = Transcript(graph("a[gpu=1]; b[gpu=2]; c[gpu=1]"), amounts=TWO)
    assert t.said() == ["start a#1"], "b has two devices reserved, which c may not take"
    assert devices(t, "a") == {"gpu:A": 1000}
    t.ends("a")
    assert devices(t, "b") == {"gpu:A": 1000, "gpu:B": 1000}
    t.ends("b")
    assert devices(t, "c") == {"gpu:A": 1000}
    assert t.attempts["c#1"].amounts == (("cpu", 1000), ("gpu:A", 1000))


def test_shares_of_one_device_are_packed_and_whole_ones_stay_whole() -> None:
    t = Transcript(graph("a[gpu=0.5]; b[gpu=0.5]; c[gpu=1]; d[gpu=0.5]"), amounts=TWO)
    assert [devices(t, path) for path in "abc"] == [{"gpu:A": 500}, {"gpu:A": 500}, {"gpu:B": 1000}]
    assert t.state("d") == "ready"
    t.ends("b")
    assert devices(t, "d") == {"gpu:A": 500}


def test_memory_on_a_device_decides_which_and_how_much_of_it() -> None:
    t = Transcript(graph(f"a[gpu_memory={60 * GIB}]; b[gpu_memory={20 * GIB}]; c[gpu_memory={20 * GIB}]"), amounts=TWO)
    assert devices(t, "a") == {"gpu:B": 750}
    assert devices(t, "b") == {"gpu:B": 250}
    assert devices(t, "c") == {"gpu:A": 500}


def test_attempts_with_devices_never_queue_ahead() -> None:
    history = {"notation:fit": (10, 500.0)}
    t = Transcript(graph("m*9{fit[gpu=1]}"), amounts=TWO, ahead_max=4, history=history)
    assert len(t.in_flight()) == 2
    while t.in_flight():
        t.ends(t.in_flight()[-1].rpartition("#")[0], 1, duration_us=500)
    assert t.run_state == "succeeded"


def test_a_device_that_another_controller_took_costs_nothing() -> None:
    t = Transcript(graph("a[gpu=1]"), amounts=TWO)
    t.capacity({**TWO, "gpu:A": 0})
    t.ends("a", Refused("gpu:A is leased by another controller"))
    t.passes(100)
    assert devices(t, "a") == {"gpu:B": 1000}
    t.capacity({**TWO, "gpu:A": 0, "gpu:B": 0})
    t.ends("a", Refused("gpu:B is leased by another controller"))
    t.passes(100)
    assert t.state("a") == "ready", "it waits until a device is there"
    t.capacity(TWO)
    assert devices(t, "a") == {"gpu:A": 1000}
    assert t.tasks["a"].failed_count == t.tasks["a"].lost_count == 0


def test_devices_are_known_again_from_rows() -> None:
    t = Transcript(graph("a[gpu=0.5]; b[gpu=1]; c[gpu=0.5]; d[gpu=1]"), amounts=TWO)
    t.give(AttemptStarted(t.attempt_of("a"), t.now))
    engine = t.rebuilt()
    assert engine.dump() == t.engine.dump()
    assert engine.outstanding() == t.engine.outstanding()
    room = engine._placement.room("local")
    assert {name: room.free[name] for name in ("gpu:A", "gpu:B")} == {"gpu:A": 0, "gpu:B": 0}


def test_want_of_a_devices_memory_asks_for_more_of_it_and_not_for_the_machines() -> None:
    t = Transcript(graph("a[gpu=0.25]; b[gpu_memory=" + str(30 * GIB) + "]; c[gpu=2]; d"), amounts=TWO)
    starved = OutOfMemory("CUDA out of memory", device="gpu")
    for expected in (500, 1000):
        t.ends("a", starved)
        assert list(devices(t, "a").values()) == [expected]
        assert t.rebuilt().dump() == t.engine.dump()
        assert t.requests[t.attempt_of("a")].memory_bytes_max is None
    t.ends("a", starved)
    assert t.state("a") == "failed(out_of_memory)", "there is no more than a whole device"
    t.ends("b", starved)
    assert devices(t, "b") == {"gpu:B": 750}, "60 of 80 GiB"
    t.ends("b", starved)
    assert devices(t, "b") == {"gpu:B": 1000}
    t.ends("b", starved)
    assert t.state("b") == "failed(out_of_memory)"
    t.ends("c", starved)
    t.ends("d", starved)
    assert {t.state("c"), t.state("d")} == {"failed(out_of_memory)"}
