"""Python data with structure comes back as what it was."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import subprocess
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values import ValueRefused, ValueUnreadable
from penstock.values.datums import ANYTHING, Staging, from_datum, to_datum
from penstock.wire import Artifact

Through = Callable[..., Any]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float


@dataclass(frozen=True, slots=True)
class Config:
    rate: float
    names: tuple[str, ...] = ()
    nested: Any = None
    made: int = field(default=0, init=False)


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.sampled_from([*Colour, *Rights, Rights.READ | Rights.WRITE])
)
_data = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(alphabet="$ab", max_size=3), inner, max_size=4)
        | st.dictionaries(st.integers() | st.booleans(), inner, max_size=4)
        | st.builds(Config, rate=st.floats(allow_nan=False), nested=inner)
        | st.builds(Point, x=inner, y=inner)
    ),
    max_leaves=12,
)


def _kinds(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value), [_kinds(item) for item in value]
    if isinstance(value, dict):
        return dict, [(_kinds(k), _kinds(v)) for k, v in value.items()]
    return type(value)


@settings(max_examples=150, deadline=None)
@given(_data)
def test_python_data_comes_back_equal_and_of_the_same_types(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.getbasetemp()
    store, staging = MemoryArtifactStore(folder), Staging(folder, "staging")
    datum = to_datum(value, ANYTHING, artifacts=store, staging=staging)
    back = from_datum(datum, ANYTHING, artifacts=store, staging=staging)
    assert back == value
    assert _kinds(back) == _kinds(value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2, 3},
        frozenset({"a"}),
        {("a", 1): 2},
        datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"), fold=1),
        datetime.UTC,
        decimal.Decimal("1.10"),
        Fraction(1, 3),
        uuid.UUID(int=5),
        Colour.BLUE,
        Rights.READ | Rights.WRITE,
        Config(0.1, ("a",), Config(math.inf)),
        {"$tuple": [1], "a": (1,)},
        [10**5_000],
    ],
)
def test_data_of_each_kind(pass_through: Through, value: Any) -> None:
    back = pass_through(value)
    assert back == value
    assert repr(type(back)) == repr(type(value))


def test_equal_sets_give_equal_bytes(stored: Through) -> None:
    names = [f"n{i}" for i in range(50)]
    backwards = names[::-1]
    assert stored(set(names)).digest == stored(set(backwards)).digest


def test_a_table_and_a_path_inside_a_dataclass(pass_through: Through, stored: Through, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    config = Config(
        1.0, nested={"table": pl.DataFrame({"a": [1]}), "file": tmp_path / "note.txt", "rest": [np.arange(3)]}
    )
    assert stored(config).digest.startswith("tree:")
    back = pass_through(config).nested
    assert back["table"].equals(config.nested["table"])
    assert back["rest"][0].tolist() == [0, 1, 2]
    assert back["file"].name == "note.txt"
    assert back["file"] != tmp_path / "note.txt"
    back["file"].write_text("mine to change")
    assert (tmp_path / "note.txt").read_text() == "hello"


def test_a_class_inside_a_function_is_refused(stored: Through) -> None:
    @dataclass
    class Local:
        a: int = 1

    with pytest.raises(ValueRefused, match="inside a function"):
        stored(Local())


def test_a_list_that_contains_itself_is_refused(stored: Through) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueRefused, match="contains itself"):
        stored(endless, name="json")
    with pytest.raises(ValueRefused, match="contains itself"):
        stored({"a": (endless,)})


def test_a_dataclass_that_lost_a_field_says_so(store: MemoryArtifactStore, staging: Staging) -> None:
    digest = store.put_bytes(b'{"$record":"%s:Config","fields":{"gone":1}}' % __name__.encode())
    datum = Artifact(digest, f"{__name__}:Config", "data", 1)
    with pytest.raises(ValueUnreadable, match="no field gone any more"):
        from_datum(datum, ANYTHING, artifacts=store, staging=staging)


def test_a_script_reads_the_values_of_its_own_classes(tmp_path: Path) -> None:
    """Their module is the script's file, as workers know it; the script does not import itself again."""
    script = tmp_path / "flights.py"
    script.write_text(
        """
from dataclasses import dataclass
from penstock.values.names import class_name, find_class
@dataclass
class Config:
    rate: float
if __name__ == "__main__":
    assert class_name(Config) == "flights:Config", class_name(Config)
    assert find_class("flights:Config") is Config
"""
    )
    subprocess.run([sys.executable, str(script)], check=True)
