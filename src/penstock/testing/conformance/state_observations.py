"""What every state store keeps of what attempts log: metrics, figures and tables, how far they are. Used like `state_store`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from penstock.testing.conformance.state_rows import NOW, begun
from penstock.testing.conformance.state_store import OpenStore
from penstock.wire import Artifact, Exhibit, Observation, Progress


def metrics_come_back_in_order(open_store: OpenStore) -> None:
    store = open_store()
    begun(store)
    first = [Observation("run1/train/3/fit#2", "loss", value, number, NOW) for number, value in enumerate((0.5, 0.25))]
    odd = Observation("run1/fit#1", "größe", -math.inf, None, NOW)
    store.observe(first)
    store.observe([odd, first[0]])
    store.observe([])
    assert list(open_store().metrics("run1")) == [*first, odd, first[0]]
    assert list(store.metrics("run1", "fit")) == [odd]
    assert list(store.metrics("run1", "train")) == []
    store.observe([replace(odd, value=math.nan, name="\ud800\0", step=2**70)])
    strange = store.metrics("run1", "fit")[1]
    assert math.isnan(strange.value)
    assert strange.step is None, "nothing that is logged may make the store fail"


def exhibits_and_progress_are_the_last_of_their_name(open_store: OpenStore) -> None:
    store = open_store()
    begun(store)
    figures = [Artifact(f"tree:{letter * 64}", "path", "tree", 10, {"name": "roc"}) for letter in "ab"]
    fit = [Exhibit("run1/fit#1", "figure", "roc", each, NOW) for each in figures]
    others = [
        Exhibit("run1/fit#1", "table", "roc", Artifact("blake3:" + "c" * 64, "polars:DataFrame", "arrow", 5), NOW),
        Exhibit("run1/fit#2", "figure", "größe", figures[1], NOW),
        Exhibit("run1/train/3/fit#1", "figure", "roc", figures[1], NOW),
    ]
    far = Progress("run1/fit#1", 1, None, "rows", NOW)
    store.observe([fit[0], far, *reversed(others)])
    store.observe([fit[1], replace(far, done=7, total=10), replace(far, attempt_id="run1/fit#2", done=2**70)])
    assert list(open_store().exhibits("run1")) == [fit[1], *others]
    assert list(store.exhibits("run1", "fit")) == [fit[1], *others[:2]]
    assert list(store.exhibits("run1", "train")) == []
    assert [(o.attempt_id, o.done, o.total, o.text) for o in store.progress("run1")] == [
        ("run1/fit#1", 7, 10, "rows"),
        ("run1/fit#2", 2**63 - 1, None, "rows"),
    ], "nothing that is said may make the store fail"
    assert [o.attempt_id for o in store.progress("run1", "fit")] == ["run1/fit#1", "run1/fit#2"]
    assert list(store.progress("run1", "train")) == []
    assert figures[1].digest in set(store.digests_in_use())
    assert figures[0].digest not in set(store.digests_in_use())


CHECKS: tuple[Callable[[OpenStore], None], ...] = (
    metrics_come_back_in_order,
    exhibits_and_progress_are_the_last_of_their_name,
)
