"""Tables of three libraries, through Arrow files."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from penstock.values import ValueRefused

Through = Callable[..., Any]


def _polars() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "whole": [1, 2, None],
            "text": ["a", None, "long text that is not inlined in a view"],
            "when": [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)],
            "list": [[1, 2], [], None],
            "struct": [{"a": 1, "b": "x"}] * 3,
            "kind": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
            "level": pl.Series(["lo", "hi", "lo"], dtype=pl.Enum(["lo", "hi"])),
            "price": pl.Series([decimal.Decimal("1.10")] * 3, dtype=pl.Decimal(10, 2)),
        }
    )


def test_polars_tables_keep_every_column_type(pass_through: Through, stored: Through) -> None:
    frame = _polars()
    back = pass_through(frame)
    assert back.schema == frame.schema
    assert back.equals(frame)
    assert stored(frame).metadata["rows"] == 3
    chunked = pl.concat([frame.head(1), frame.tail(2)], rechunk=False)
    full = frame.select("struct", "level")  # elsewhere polars leaves what lies behind a null as it is
    assert stored(chunked.select(full.columns)).digest == stored(full).digest


def test_polars_lazy_frames_series_and_empty_tables(pass_through: Through) -> None:
    lazy = pass_through(_polars().lazy().filter(pl.col("whole") == 1))
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().height == 1
    series = pass_through(pl.Series("s", [1, 2]))
    assert isinstance(series, pl.Series)
    assert series.to_list() == [1, 2]
    empty = pass_through(_polars().clear())
    assert empty.schema == _polars().schema
    assert pass_through(pl.DataFrame()).shape == (0, 0)


def test_polars_object_columns_are_refused(stored: Through) -> None:
    with pytest.raises(ValueRefused, match="'o' has the dtype Object"):
        stored(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3),
        pd.Index(["x", "y", "z"], name="key"),
        pd.date_range("2020-01-01", periods=3, tz="Europe/Paris", name="day"),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["l", "n"]),
    ],
)
def test_pandas_tables_keep_their_index(pass_through: Through, index: pd.Index) -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "part": [1.5, None, 2.5],
            "text": ["a", None, "c"],
            "kind": pd.Categorical(["u", "v", "u"]),
            "when": pd.to_datetime(["2020-01-01"] * 3),
        }
    ).set_axis(index)
    back = pass_through(frame)
    pd.testing.assert_frame_equal(back, frame, check_freq=False)
    back.loc[back.index[0], "part"] = 9.0  # the reader's own, whatever is mapped below
    assert frame["part"].iloc[0] == 1.5


def test_pandas_columns_that_are_not_text_and_series(pass_through: Through) -> None:
    frame = pd.DataFrame(np.eye(3), columns=[2020, 2021, 2022])
    pd.testing.assert_frame_equal(pass_through(frame), frame)
    for series in (pd.Series([1, 2], index=["a", "b"]), pd.Series([1.0], name="n"), pd.Series(["a"], name=0)):
        pd.testing.assert_series_equal(pass_through(series), series)


def test_pandas_tables_that_arrow_cannot_hold_are_refused_with_advice(stored: Through) -> None:
    with pytest.raises(ValueRefused, match="cannot be stored"):
        stored(pd.DataFrame({"a": [1, "b", object()]}))
    with pytest.raises(ValueRefused, match="several columns called 'a'"):
        stored(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_pyarrow_tables_and_batches(pass_through: Through) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": ["x", None, "z"]}, metadata={"who": "me"})
    back = pass_through(table)
    assert back.equals(table, check_metadata=True)
    batch = table.combine_chunks().to_batches()[0]
    assert pass_through(batch).equals(batch)
    assert pass_through(batch.slice(0, 0)).schema == batch.schema
