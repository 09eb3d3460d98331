"""What a plan works out before anything runs."""

from __future__ import annotations

import pytest

from penstock.graph.bindings import Constant, Input, OneOf, Output
from penstock.graph.model import Call, Function, Graph, InputSpec, OutputSpec, Policy, Resources, Retry
from penstock.graph.types import ANY
from penstock.plan import make_plan
from penstock.plan.devices import placed
from penstock.testing.notation import graph


def test_every_node_knows_whom_it_waits_for() -> None:
    plan = make_plan(graph("a, b -> c; c => d")).root
    assert [node.waits for node in plan.nodes] == [0, 0, 2, 1]
    assert plan.consumers == ((2,), (2,), (3,), ())
    assert plan.sources == (0, 1)


def test_a_one_of_counts_once() -> None:
    f = Function("m", "f", (InputSpec("x", ANY, Constant(None)),), (OutputSpec("out", ANY),))
    either = OneOf((Output("a", "out"), Output("b", "out")))
    nodes = (Call("a", f, {}), Call("b", f, {}), Call("c", f, {"x": either}))
    node = make_plan(Graph("g", (), nodes, ())).root.nodes[2]
    assert node.waits == 2
    assert len(node.tallies) == 1


def test_the_longest_remaining_path_uses_history() -> None:
    history = {"notation:b": (3, 5_000_000.0)}
    plan = make_plan(graph("a -> b; a -> c"), history=history).root
    a, b, c = plan.nodes
    assert (b.remaining_ms, c.remaining_ms) == (5_000, 1_000)
    assert a.remaining_ms == 6_000
    assert plan.path_ms == 6_000


def test_a_node_takes_its_own_policy_before_its_components() -> None:
    component = Function("m", "f", (), (), Policy(resources=Resources(cpu=2), retry=Retry(5), priority=3))
    nodes = (Call("a", component, {}), Call("b", component, {}, policy=Policy(resources=Resources(cpu=0.5))))
    a, b = make_plan(Graph("g", (), nodes, ())).root.nodes
    assert a.amounts == (("cpu", 2000),)
    assert b.amounts == (("cpu", 500),)
    assert b.retry.attempts_max == 5
    assert b.priority == 3


def test_a_request_that_nobody_could_meet_is_refused_at_plan_time() -> None:
    plan = make_plan(graph("a[cpu=64]; b[gpu=1]; c[memory=1000]"), capacity={"cpu": 2000, "memory": 10_000})
    assert [diagnostic.code for diagnostic in plan.diagnostics] == ["request-too-large"] * 2
    assert "64 cpu, the largest there is: 2 cpu" in plan.diagnostics[0].message
    assert "asks for 1 gpu, and there is no GPU" in plan.diagnostics[1].message


def test_an_amount_that_is_a_value_is_left_open() -> None:
    component = Function("m", "f", (), (), Policy(resources=Resources(cpu=Input("n"))))
    plan = make_plan(Graph("g", (InputSpec("n", ANY),), (Call("a", component, {}),), ()), capacity={"cpu": 1000})
    assert plan.root.nodes[0].amounts is None
    assert plan.diagnostics == ()


def test_bodies_are_planned_once() -> None:
    f = Function("m", "f", (), ())
    body = Graph("body", (), (Call("fit", f, {}),), ())
    plan = make_plan(Graph("g", (), (Call("a", body, {}), Call("b", body, {})), ())).root
    assert plan.nodes[0].bodies[0] is plan.nodes[1].bodies[0]


TWO_GPUS = {"cpu": 2000, "gpu:A": 1000, "gpu_memory:A": 40 << 30, "gpu:B": 1000, "gpu_memory:B": 80 << 30}


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("gpu=1", ""),
        ("gpu=2", ""),
        ("gpu=0.5", ""),
        (f"gpu=2 gpu_memory={40 << 30}", ""),
        (f"gpu=1 gpu_memory={80 << 30}", ""),
        ("gpu=0", ""),
        ("gpu=3", "3 gpu, the largest there is: 2 with 40.0 GiB"),
        (f"gpu=2 gpu_memory={60 << 30}", "2 gpu with 60.0 GiB memory each, the largest there is: 1 with 80.0 GiB"),
        (f"gpu=1 gpu_memory={81 << 30}", "1 gpu with 81.0 GiB memory each, the largest there is: 1 with 80.0 GiB"),
        ("gpu=1 cpu=3", "3 cpu, the largest there is: 2 cpu"),
    ],
)
def test_gpus_that_no_machine_has_are_refused_naming_the_largest(asked: str, complaint: str) -> None:
    plan = make_plan(graph(f"a[{asked}]"), capacity=TWO_GPUS)
    assert [diagnostic.message.partition(" asks for ")[2] for diagnostic in plan.diagnostics] == [complaint] * bool(
        complaint
    )


def test_devices_are_packed_tightly_and_shared_by_memory() -> None:
    free = dict(TWO_GPUS)
    half = {"cpu": 1000, "gpu": 500}
    assert placed(half, free) == {"cpu": 1000, "gpu:A": 500}
    free["gpu:B"] = 700
    assert placed(half, free) == {"cpu": 1000, "gpu:B": 500}, "the one with the least room that is enough"
    assert placed({"gpu": 1000}, free) == {"gpu:A": 1000}
    assert placed({"gpu": 2000}, free) is None
    free["gpu:B"] = 1000
    assert placed({"gpu": 2000, "gpu_memory": 20 << 30}, free) == {"gpu:A": 500, "gpu:B": 250}
    assert placed({"gpu": 1000, "gpu_memory": 60 << 30}, free) == {"gpu:B": 750}
    assert placed({"gpu": 1000, "cpu": 3000}, free) is None
    assert placed({"cpu": 3000}, free) is None
