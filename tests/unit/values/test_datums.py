"""What travels inline, what becomes an artifact, what is refused."""

from __future__ import annotations

import collections
import datetime
import enum
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from penstock.base.errors import StoreUnavailable
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values import ValueRefused, register
from penstock.values.datums import ANYTHING, Staging, from_datum, to_datum
from penstock.values.names import class_name, is_of
from penstock.values.refusals import ContentLost
from penstock.wire import PARAMETER_BYTES_MAX, Artifact, Counted, Inline, Struct, datum_from_json, datum_to_json

Through = Callable[..., Any]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Trip:
    """A user's own type that writes itself."""

    def __init__(self, stops: list[str]) -> None:
        self.stops = stops

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trip) and other.stops == self.stops

    def __hash__(self) -> int:
        return 0

    def __penstock_write__(self, folder: Path) -> None:
        (folder / "stops.txt").write_text("\n".join(self.stops))

    @classmethod
    def __penstock_read__(cls, folder: Path) -> Trip:
        return cls((folder / "stops.txt").read_text().split("\n"))


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        (3, "int", 3),
        (True, "bool", True),
        (True, "int", 1),
        (3, "float", 3.0),
        (np.float32(0.5), "float", 0.5),
        (np.int64(7), "int", 7),
        (np.bool_(True), "bool", True),
        (np.str_("a"), "str", "a"),
        ("red", "enum", "red"),
        (Colour.RED, "enum", "red"),
        ({"a": (1, np.int32(2))}, "struct", {"a": [1, 2]}),
        ([1, "b", None], "json", [1, "b", None]),
        (None, "null", None),
    ],
)
def test_a_parameter_is_stored_inline_as_its_type_says(
    stored: Through, value: Any, declared: str, expected: Any
) -> None:
    datum = stored(value, name=declared, options=["red", "blue"])
    assert datum == Inline(expected)
    assert type(datum.value) is type(expected)


@pytest.mark.parametrize(
    ("value", "declared", "text"),
    [
        ("3", "int", "expected int, got str"),
        (3.0, "int", "expected int, got float"),
        (None, "int", "expected int, got None"),
        (1, "str", "expected str, got int"),
        (1, "bool", "expected bool, got int"),
        ("green", "enum", "expected one of 'red', 'blue', got 'green'"),
        ({1: 2}, "struct", "the key 1 of a dictionary is not text"),
        ({"a": {1, 2}}, "struct", "builtins:set is not JSON data"),
        ("text", "path", "expected path, got str"),
        (10**400, "float", "too large for a float"),
        ("\ud800", "str", "surrogate"),
        (1, "polars:DataFrame", "expected polars:DataFrame, got int"),
        (pd.DataFrame(), "polars:DataFrame", "expected polars:DataFrame, got pandas:DataFrame"),
    ],
)
def test_a_value_of_another_type_is_refused(stored: Through, value: Any, declared: str, text: str) -> None:
    with pytest.raises(ValueRefused, match=text):
        stored(value, name=declared, options=["red", "blue"])


def test_optional_takes_none(stored: Through) -> None:
    assert stored(None, name="polars:DataFrame", optional=True) == Inline(None)


@pytest.mark.parametrize("declared", ["str", "json"])
def test_a_parameter_travels_inline_up_to_the_limit(stored: Through, declared: str) -> None:
    assert stored("x" * (PARAMETER_BYTES_MAX - 2), name=declared) == Inline("x" * (PARAMETER_BYTES_MAX - 2))


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        ("x" * 70_000, {"name": "str"}, "x" * 70_000),
        ({"a": ["x" * 70_000, (1, np.int64(2))]}, {"name": "struct"}, {"a": ["x" * 70_000, [1, 2]]}),
        (["x" * 70_000, 1], {"name": "json"}, ["x" * 70_000, 1]),
    ],
)
def test_a_larger_one_is_an_artifact(
    stored: Through, pass_through: Through, value: Any, declared: dict[str, Any], expected: Any
) -> None:
    datum = stored(value, **declared)
    assert isinstance(datum, Artifact)
    assert (datum.form, datum.type.partition(":")[0]) == ("data", "builtins")
    assert pass_through(value, **declared) == expected


def test_a_large_list_is_counted_so_that_a_map_may_be_over_it(stored: Through, pass_through: Through) -> None:
    value = ["x" * 1_000] * 100
    datum = stored(value, name="list")
    assert isinstance(datum, Counted) and len(datum.items) == 100
    assert pass_through(value, name="list") == value


def test_an_undeclared_value_too_large_for_a_parameter_is_an_artifact(stored: Through, pass_through: Through) -> None:
    value = {"rows": list(range(30_000))}
    assert isinstance(stored(value), Artifact)
    assert pass_through(value) == value


def test_a_whole_number_becomes_a_float_where_one_was_declared(store: MemoryArtifactStore, staging: Staging) -> None:
    floats = {"name": "list", "item": {"name": "float"}}
    for datum in (Inline([1, 2]), Counted((Inline(1), Inline(2)))):
        value = from_datum(datum, floats, artifacts=store, staging=staging)
        assert value == [1.0, 2.0]
        assert all(type(each) is float for each in value)


def test_what_a_task_is_given_is_its_own_copy(store: MemoryArtifactStore, staging: Staging) -> None:
    datum = Inline({"a": [1]})
    value = from_datum(datum, ANYTHING, artifacts=store, staging=staging)
    value["a"].append(2)
    assert datum == Inline({"a": [1]})


def test_a_list_with_a_declared_item_is_counted(stored: Through) -> None:
    datum = stored([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], name="list", item={"name": "polars:DataFrame"})
    assert isinstance(datum, Counted)
    assert [item.type for item in datum.items] == ["polars:DataFrame"] * 2
    with pytest.raises(ValueRefused, match="item 1: expected int, got str"):
        stored([1, "b"], name="list", item={"name": "int"})


def test_files_and_folders_are_given_out_as_own_copies(
    store: MemoryArtifactStore, staging: Staging, stored: Through, pass_through: Through, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.csv").write_text("x,y\n")
    back = pass_through(folder, name="path")
    assert back.name == "report"
    (back / "deep" / "a.csv").write_text("changed")
    (back / "new").write_text("more")
    assert (pass_through(folder) / "deep" / "a.csv").read_text() == "x,y\n"
    one = stored(folder / "deep" / "a.csv", name="path")
    assert (one.form, one.type, one.metadata) == ("file", "path", {"name": "a.csv"})
    assert from_datum(one, ANYTHING, artifacts=store, staging=staging).suffix == ".csv"
    with pytest.raises(ValueRefused, match="does not exist"):
        stored(tmp_path / "nothing", name="path")


def test_a_type_with_its_own_methods_and_a_registered_one(pass_through: Through, stored: Through) -> None:
    assert pass_through(Trip(["a", "b"])) == Trip(["a", "b"])
    assert pass_through({"trip": (Trip(["c"]),)}) == {"trip": (Trip(["c"]),)}

    register(
        _Registered,
        write=lambda value, path: path.write_text(value.text),
        read=lambda path: _Registered(path.read_text()),
    )
    assert pass_through(_Registered("hello")).text == "hello"
    assert stored(_Registered("x")).form == f"custom:{__name__}:_Registered"


class _Registered:
    def __init__(self, text: str) -> None:
        self.text = text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Unknown(), "test_datums:Unknown cannot be stored(.|\n)*__penstock_write__"),
        (class_name, "Return data; code is found by importing it"),
        (
            type("Late", (datetime.datetime,), {})(2020, 1, 1),
            "Late cannot be stored(.|\n)*Convert it to a plain datetime",
        ),
        (collections.Counter("abc"), "Convert it to a plain dict"),
        ((i for i in ()), r"Return a list: list\(...\)"),
        ({"a": [Unknown()]}, "Unknown cannot be stored"),
    ],
)
def test_a_value_of_no_known_type_is_refused_with_advice(stored: Through, value: Any, text: str) -> None:
    with pytest.raises(ValueRefused, match=text):
        stored(value)


def test_lost_and_damaged_content_names_the_digest(store: MemoryArtifactStore, staging: Staging) -> None:
    digest = "blake3:" + "0" * 64
    with pytest.raises(ContentLost) as lost:
        from_datum(Artifact(digest, "numpy:ndarray", "npy", 1), ANYTHING, artifacts=store, staging=staging)
    assert lost.value.digest == digest


def test_a_full_disk_is_told_apart_from_a_bad_value(store: MemoryArtifactStore, tmp_path: Path) -> None:
    class Full(Staging):
        __slots__ = ()

        def fresh(self) -> Path:
            return Path("/dev/full")

    with pytest.raises(StoreUnavailable, match="No space left"):
        to_datum(pa.table({"a": list(range(100_000))}), ANYTHING, artifacts=store, staging=Full(tmp_path, "full"))


def test_the_names_of_classes_are_the_shortest_public_ones() -> None:
    assert class_name(pl.DataFrame) == "polars:DataFrame"
    assert class_name(pd.Series) == "pandas:Series"
    assert class_name(Ridge) == "sklearn.linear_model:Ridge"
    assert is_of(Ridge, "sklearn.base:BaseEstimator")
    assert not is_of(Ridge, "polars:DataFrame")
    assert not is_of(int, "nowhere:Thing")


def test_plain_values_need_no_third_party_package() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from penstock.values.datums import to_datum, ANYTHING, Staging\n"
        "from penstock.values.families import family_of\n"
        "import pathlib; family_of((1, {2}))\n"
        "third = {m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names - {'penstock'}\n"
        "assert not third, third"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FRAMES = {"name": "dict", "item": {"name": "pandas:DataFrame"}}


def test_a_dict_of_artifacts_keeps_its_order_and_each_its_own_digest(
    store: MemoryArtifactStore, staging: Staging
) -> None:
    frames = {"b": pd.DataFrame({"x": [1]}), "a": pd.DataFrame({"x": [2, 3]})}
    datum = to_datum(frames, FRAMES, artifacts=store, staging=staging)
    assert isinstance(datum, Struct)
    alone = to_datum(frames["a"], FRAMES["item"], artifacts=store, staging=staging)  # type: ignore[arg-type]
    assert datum.fields["a"] == alone
    assert datum_from_json(json.loads(json.dumps(datum_to_json(datum), sort_keys=True))) == datum
    again = from_datum(datum_from_json(datum_to_json(datum)), FRAMES, artifacts=store, staging=staging)
    assert list(again) == ["b", "a"]
    assert again["a"].equals(frames["a"])
    assert to_datum({}, FRAMES, artifacts=store, staging=staging) == Struct({})


def test_what_is_no_dict_of_such_artifacts_says_where(store: MemoryArtifactStore, staging: Staging) -> None:
    frame = pd.DataFrame()
    for value, told in (
        ({"a": frame, "b": 1}, "key 'b': expected pandas:DataFrame, got int"),
        ({1: frame}, "the key 1, which is not text"),
        ([frame], r"expected dict\[pandas:DataFrame\], got list"),
    ):
        with pytest.raises(ValueRefused, match=told):
            to_datum(value, FRAMES, artifacts=store, staging=staging)


def test_a_tuple_has_as_many_items_as_it_says_each_of_its_own_type(
    store: MemoryArtifactStore, staging: Staging
) -> None:
    parts = [["0", {"name": "pandas:DataFrame"}], ["1", {"name": "float"}]]
    pair = {"name": "list", "item": {"name": "any"}, "parts": parts}
    datum = to_datum((pd.DataFrame(), 1), pair, artifacts=store, staging=staging)
    assert isinstance(datum, Counted)
    assert datum.items[1] == Inline(1.0)
    for value, told in (
        ((pd.DataFrame(), 1, 2), "expected a tuple of 2, got 3 values"),
        ((1, 1), "item 0: expected pandas:DataFrame, got int"),
    ):
        with pytest.raises(ValueRefused, match=told):
            to_datum(value, pair, artifacts=store, staging=staging)
