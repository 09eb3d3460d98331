"""Graphs in a line."""

from __future__ import annotations

import pytest

from penstock.graph.bindings import Item, Output, StateOf
from penstock.graph.check import check
from penstock.graph.model import Branch, Call, Finally, Function, Gpu, Graph, Loop, Map, Trigger
from penstock.testing.notation import graph

EXAMPLE = """
a -> b[cpu=2 retry=3 priority=1] -> train*[parallel=2 failures=1]{fit -> score}
a => d[trigger=all_ended timeout=500 gpu=1]
b -> choose?{one | two}; b -> prepare{clean}; tune@2{g}
train, choose -> end!
"""


def test_every_kind_of_node_can_be_written() -> None:
    nodes = {node.name: node for node in graph(EXAMPLE).nodes}
    assert {name: type(node) for name, node in nodes.items()} == {
        "a": Call,
        "b": Call,
        "train": Map,
        "d": Call,
        "choose": Branch,
        "prepare": Call,
        "tune": Loop,
        "end": Finally,
    }
    train, tune, end, prepare = nodes["train"], nodes["tune"], nodes["end"], nodes["prepare"]
    assert isinstance(train, Map)
    assert (train.items, train.inputs, train.parallel_max, train.failures_max) == (
        Output("b", "out"),
        {"x": Item()},
        2,
        1,
    )
    assert isinstance(tune, Loop)
    assert tune.rounds_max == 2
    assert isinstance(end, Finally)
    assert (end.watch, end.inputs) == (("train", "choose"), {"how": StateOf("")})
    assert isinstance(prepare, Call)
    assert isinstance(prepare.component, Graph)


def test_options_become_order_and_policy() -> None:
    nodes = {node.name: node for node in graph(EXAMPLE).nodes}
    b, d = nodes["b"], nodes["d"]
    assert isinstance(b, Call)
    assert isinstance(b.component, Function)
    assert b.policy.resources is not None
    assert b.policy.retry is not None
    assert (b.policy.resources.cpu, b.policy.retry.attempts_max, b.policy.priority) == (2.0, 3, 1)
    assert isinstance(d, Call)
    assert d.order.after == ("a",)
    assert d.order.trigger is Trigger.ALL_ENDED
    assert d.policy.timeout_ms == 500
    assert d.policy.resources is not None
    assert d.policy.resources.gpu == Gpu(1.0)


def test_what_it_makes_is_valid() -> None:
    assert [d for d in check(graph(EXAMPLE)) if d.severity == "error"] == []


@pytest.mark.parametrize("text", ["a -> %", "a } b", "a b"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|what is"):
        graph(text)
