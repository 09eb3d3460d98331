"""What differs between two values of one output, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from penstock.app.differing import Stored, data_differences, plain_differences, value_differences
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.wire import Counted, Inline


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [".b: 2 and 3"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 4]}}, [".a.b[1]: 2 and 4"]),
        ({"a": 1}, {"c": 1}, [".a is there only once", ".c is there only once"]),
        ([1, 2, 3], [3, 2, 1], ["the list: the order of items"]),
        ([1, 2], [1], ["the list: 2 and 1 items"]),
        (1.5, 2.5, ["1.5 and 2.5"]),
        (float("nan"), float("nan"), []),
        ({"x": float("nan")}, {"x": float("nan")}, []),
    ],
)
def test_plain_values(before: object, after: object, said: list[str]) -> None:
    assert plain_differences(before, after) == said


def test_many_differences_are_counted() -> None:
    said = plain_differences(list(range(20)), list(range(1, 21)))
    assert said[0] == "[0]: 0 and 1"
    assert said[-1] == "and 15 more"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_tables_by_column_and_row(make) -> None:
    before = make({"a": [1, 2, 3], "b": [1.0, float("nan"), 3.0]})
    assert value_differences(before, make({"a": [1, 2, 3], "b": [1.0, float("nan"), 3.0]})) == []
    changed = make({"a": [1, 5, 6], "b": [1.0, float("nan"), 3.0]})
    assert value_differences(before, changed) == ["column a: 2 of 3 rows, the first at 1"]
    assert value_differences(before, make({"a": [1], "b": [1.0]})) == ["3 and 1 rows"]
    other = value_differences(before, make({"a": [1, 2, 3], "c": [1.0, 2.0, 3.0]}))
    assert other == ["columns b, c are there only once"]
    assert value_differences(before, make({"b": [1.0, float("nan"), 3.0], "a": [1, 2, 3]})) == ["the order of columns"]


def test_arrays_by_place() -> None:
    assert value_differences(np.array([1, 2, 3]), np.array([1, 0, 0])) == ["2 of 3 values, the first at 1"]
    assert value_differences(np.zeros((2, 2)), np.zeros((4,))) == ["shapes (2, 2) and (4,)"]
    assert value_differences(np.zeros(2), np.zeros(2, dtype="float32")) == ["types float64 and float32"]


def test_data_by_output(tmp_path: Path) -> None:
    stored = Stored(MemoryArtifactStore(tmp_path), tmp_path)
    before = {"same": Inline(1), "value": Inline(1), "items": Counted((Inline(1), Inline(2))), "gone": Inline(0)}
    after = {"same": Inline(1), "value": Inline(2), "items": Counted((Inline(1), Inline(3)))}
    assert data_differences(before, after, stored) == {
        "gone": "is there only once",
        "items": "1 of 2 items, the first at 1: 2 and 3",
        "value": "1 and 2",
    }
