"""Models of pydantic, scalars of numpy and pandas, and indexes come back as what they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from penstock.wire import Artifact

Through = Callable[..., Any]


class Inner(BaseModel):
    rate: float = Field(0.1, alias="learningRate")


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    inner: Inner
    names: tuple[str, ...] = ()
    frame: Any = None
    _secret: int = PrivateAttr(default=3)


@pytest.mark.parametrize("declared", [{"name": "any"}, {"name": f"{__name__}:Outer"}])
def test_a_model_of_pydantic(stored: Through, pass_through: Through, declared: dict[str, Any]) -> None:
    value = Outer(inner=Inner(learningRate=0.5), names=("a",), other=[1, 2])  # type: ignore[call-arg]
    value._secret = 7
    datum = stored(value, **declared)
    assert isinstance(datum, Artifact) and datum.form == "data"
    back = pass_through(value, **declared)
    assert back == value and type(back.inner) is Inner and back.names == ("a",)
    assert (back._secret, back.model_extra, back.model_fields_set) == (
        7,
        {"other": [1, 2]},
        {"inner", "names", "other"},
    )


def test_a_table_in_a_model_of_pydantic(pass_through: Through) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    back = pass_through(Outer(inner=Inner(), frame=frame))
    pd.testing.assert_frame_equal(back.frame, frame)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(2.5),
        np.float32(0.1),
        np.int8(-3),
        np.uint64(2**63),
        np.bool_(True),
        np.str_("a"),
        np.datetime64("2024-01-01T00:00:01", "ms"),
        np.complex64(1 + 2j),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_scalar_of_numpy(pass_through: Through, value: Any) -> None:
    back = pass_through(value, name=f"numpy:{type(value).__qualname__}")
    assert back == value and type(back) is type(value) and back.dtype == value.dtype


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp("2024-01-01 12:00:00.123456789"),
        pd.Timestamp("1500-01-01").as_unit("s"),
        pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Paris"),
        pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timedelta("3 days 00:00:00.000000001"),
        pd.Timedelta(5, unit="s").as_unit("ms"),
    ],
    ids=str,
)
def test_a_scalar_of_pandas(pass_through: Through, value: Any) -> None:
    for back in (pass_through(value, name=f"pandas:{type(value).__name__}"), pass_through({"a": (value,)})["a"][0]):
        assert back == value and type(back) is type(value) and back.unit == value.unit
        assert str(getattr(back, "tz", None)) == str(getattr(value, "tz", None)) and repr(back) == repr(value)


def test_no_time_of_pandas(pass_through: Through) -> None:
    assert pass_through({"a": (pd.NaT,)})["a"][0] is pd.NaT


@pytest.mark.parametrize(
    "value",
    [
        pd.Index([1, 2]),
        pd.Index(["a", "b"], name="letter"),
        pd.RangeIndex(3, 30, 3, name="n"),
        pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC"),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", None]),
        pd.CategoricalIndex(["a", "b", "a"], categories=["b", "a"]),
        pd.Index([], dtype="int64"),
    ],
    ids=lambda value: f"{type(value).__name__}-{len(value)}",
)
def test_an_index_of_pandas(pass_through: Through, value: Any) -> None:
    back = pass_through(value, name="pandas:Index")
    pd.testing.assert_index_equal(back, value, exact=True)
    assert getattr(back, "freq", None) == getattr(value, "freq", None)
