"""Every family's values go into a store and come back as what they were."""

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
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from penstock.base.errors import StoreUnavailable
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values import ValueRefused, ValueUnreadable, register
from penstock.values.datums import ANYTHING, Staging, from_datum, to_datum
from penstock.values.names import class_name, is_of
from penstock.values.refusals import ContentLost
from penstock.wire import PARAMETER_BYTES_MAX, Artifact, Counted, Inline


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


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)


@pytest.fixture
def store(tmp_path: Path) -> MemoryArtifactStore:
    (tmp_path / "store").mkdir()
    return MemoryArtifactStore(tmp_path / "store")


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path, "staging")


Trip_ = Callable[..., Any]


@pytest.fixture
def pass_through(store: MemoryArtifactStore, staging: Staging) -> Trip_:
    def go(value: Any, **declared: Any) -> Any:
        datum = to_datum(value, declared or ANYTHING, artifacts=store, staging=staging)
        return from_datum(datum, declared or ANYTHING, artifacts=store, staging=staging)

    return go


@pytest.fixture
def stored(store: MemoryArtifactStore, staging: Staging) -> Trip_:
    def go(value: Any, **declared: Any) -> Any:
        return to_datum(value, declared or ANYTHING, artifacts=store, staging=staging)

    return go


# -- parameters ------------------------------------------------------------------------------------------------------


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
def test_a_parameter_is_stored_inline_as_its_type_says(stored: Trip_, value: Any, declared: str, expected: Any) -> None:
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
def test_a_value_of_another_type_is_refused(stored: Trip_, value: Any, declared: str, text: str) -> None:
    with pytest.raises(ValueRefused, match=text):
        stored(value, name=declared, options=["red", "blue"])


def test_optional_takes_none(stored: Trip_) -> None:
    assert stored(None, name="polars:DataFrame", optional=True) == Inline(None)


@pytest.mark.parametrize("declared", ["str", "json"])
def test_a_large_parameter_names_the_setting(stored: Trip_, declared: str) -> None:
    assert stored("x" * (PARAMETER_BYTES_MAX - 2), name=declared) == Inline("x" * (PARAMETER_BYTES_MAX - 2))
    with pytest.raises(ValueRefused, match="parameter_bytes_max"):
        stored("x" * PARAMETER_BYTES_MAX, name=declared)


def test_an_undeclared_value_too_large_for_a_parameter_is_an_artifact(stored: Trip_, pass_through: Trip_) -> None:
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


def test_a_list_with_a_declared_item_is_counted(stored: Trip_) -> None:
    datum = stored([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], name="list", item={"name": "polars:DataFrame"})
    assert isinstance(datum, Counted)
    assert [item.type for item in datum.items] == ["polars:DataFrame"] * 2
    with pytest.raises(ValueRefused, match="item 1: expected int, got str"):
        stored([1, "b"], name="list", item={"name": "int"})


# -- data ------------------------------------------------------------------------------------------------------------

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
def test_data_of_each_kind(pass_through: Trip_, value: Any) -> None:
    back = pass_through(value)
    assert back == value
    assert repr(type(back)) == repr(type(value))


def test_equal_sets_give_equal_bytes(stored: Trip_) -> None:
    names = [f"n{i}" for i in range(50)]
    backwards = names[::-1]
    assert stored(set(names)).digest == stored(set(backwards)).digest


def test_a_table_and_a_path_inside_a_dataclass(pass_through: Trip_, stored: Trip_, tmp_path: Path) -> None:
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


def test_a_class_inside_a_function_is_refused(stored: Trip_) -> None:
    @dataclass
    class Local:
        a: int = 1

    with pytest.raises(ValueRefused, match="inside a function"):
        stored(Local())


def test_a_list_that_contains_itself_is_refused(stored: Trip_) -> None:
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


# -- tables ----------------------------------------------------------------------------------------------------------


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
            "price": pl.Series([decimal.Decimal("1.10")] * 3),
        }
    )


def test_polars_tables_keep_every_column_type(pass_through: Trip_, stored: Trip_) -> None:
    frame = _polars()
    back = pass_through(frame)
    assert back.schema == frame.schema
    assert back.equals(frame)
    assert stored(frame).metadata["rows"] == 3
    chunked = pl.concat([frame.head(1), frame.tail(2)], rechunk=False)
    full = frame.select("struct", "level", "price")
    assert stored(chunked.select(full.columns)).digest == stored(full).digest


def test_polars_lazy_frames_series_and_empty_tables(pass_through: Trip_) -> None:
    lazy = pass_through(_polars().lazy().filter(pl.col("whole") == 1))
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().height == 1
    series = pass_through(pl.Series("s", [1, 2]))
    assert isinstance(series, pl.Series)
    assert series.to_list() == [1, 2]
    empty = pass_through(_polars().clear())
    assert empty.schema == _polars().schema
    assert pass_through(pl.DataFrame()).shape == (0, 0)


def test_polars_object_columns_are_refused(stored: Trip_) -> None:
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
def test_pandas_tables_keep_their_index(pass_through: Trip_, index: pd.Index) -> None:
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


def test_pandas_columns_that_are_not_text_and_series(pass_through: Trip_) -> None:
    frame = pd.DataFrame(np.eye(3), columns=[2020, 2021, 2022])
    pd.testing.assert_frame_equal(pass_through(frame), frame)
    for series in (pd.Series([1, 2], index=["a", "b"]), pd.Series([1.0], name="n"), pd.Series(["a"], name=0)):
        pd.testing.assert_series_equal(pass_through(series), series)


def test_pandas_tables_that_arrow_cannot_hold_are_refused_with_advice(stored: Trip_) -> None:
    with pytest.raises(ValueRefused, match="cannot be stored"):
        stored(pd.DataFrame({"a": [1, "b", object()]}))
    with pytest.raises(ValueRefused, match="several columns called 'a'"):
        stored(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_pyarrow_tables_and_batches(pass_through: Trip_) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": ["x", None, "z"]}, metadata={"who": "me"})
    back = pass_through(table)
    assert back.equals(table, check_metadata=True)
    batch = table.combine_chunks().to_batches()[0]
    assert pass_through(batch).equals(batch)
    assert pass_through(batch.slice(0, 0)).schema == batch.schema


# -- arrays, estimators, tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array(["a", "bc"]),
        np.array([("a", 1)], dtype=[("n", "U1"), ("i", "i4")]),
        np.empty((0, 3)),
        np.array(5.0),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
)
def test_arrays_come_back_read_only(pass_through: Trip_, array: Any) -> None:
    back = pass_through(array)
    np.testing.assert_array_equal(back, array)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert not back.flags.writeable


def test_a_large_array_is_a_memory_map(pass_through: Trip_) -> None:
    back = pass_through(np.zeros(1_000_000))
    assert isinstance(back.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_other_numpy_values(pass_through: Trip_) -> None:
    assert pass_through(np.datetime64("2020-01-01")) == np.datetime64("2020-01-01")
    assert pass_through(np.complex64(1 + 2j)) == np.complex64(1 + 2j)
    matrix = scipy.sparse.csr_array(np.eye(3))
    assert (pass_through(matrix).toarray() == np.eye(3)).all()
    assert type(pass_through(matrix)) is type(matrix)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([object()]), "dtype object"),
        (np.ma.masked_array([1, 2], [True, False]), "special kind of array"),
    ],
)
def test_arrays_that_would_lose_something_are_refused(stored: Trip_, value: Any, text: str) -> None:
    with pytest.raises(ValueRefused, match=text):
        stored(value)


def test_estimators_with_all_that_they_learned(pass_through: Trip_, stored: Trip_) -> None:
    x, y = np.random.default_rng(0).random((20, 3)), np.arange(20.0)
    model = make_pipeline(StandardScaler(), Ridge(alpha=0.3)).fit(x, y)
    np.testing.assert_array_equal(pass_through(model).predict(x), model.predict(x))
    datum = stored(model)
    assert (datum.form, datum.type) == ("joblib", "sklearn.pipeline:Pipeline")
    assert datum.digest == stored(make_pipeline(StandardScaler(), Ridge(alpha=0.3)).fit(x, y)).digest
    with pytest.raises(ValueRefused, match="cannot be stored"):
        stored(FunctionTransformer(lambda v: v))


def test_an_estimator_goes_where_a_base_of_it_is_declared(stored: Trip_) -> None:
    assert stored(Ridge(), name="sklearn.base:BaseEstimator").form == "joblib"
    with pytest.raises(ValueRefused, match=r"expected sklearn.linear_model:Lasso, got sklearn.linear_model:Ridge"):
        stored(Ridge(), name="sklearn.linear_model:Lasso")


def test_tensors_and_states_and_modules(pass_through: Trip_, stored: Trip_) -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(pass_through(tensor), tensor)
    row = tensor[1]
    assert torch.equal(pass_through(row), row)
    assert stored(row).size_bytes < stored(torch.zeros(10_000)).size_bytes
    assert stored(row).digest == stored(row.clone()).digest
    net = Net()
    state = pass_through(net.state_dict())
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())
    assert stored({"model": net.state_dict(), "epoch": 3}).form == "torch-state"
    back = pass_through(net)
    assert torch.equal(back.layer.weight, net.layer.weight)
    assert stored(net).metadata["parameters_count"] == 8


def test_changing_a_tensor_that_was_read_leaves_the_store_alone(
    store: MemoryArtifactStore, staging: Staging, stored: Trip_
) -> None:
    datum = stored(torch.zeros(1_000))
    from_datum(datum, ANYTHING, artifacts=store, staging=staging).add_(1)
    assert from_datum(datum, ANYTHING, artifacts=store, staging=staging).sum() == 0


# -- files, own types, what cannot pass ------------------------------------------------------------------------------


def test_files_and_folders_are_given_out_as_own_copies(
    store: MemoryArtifactStore, staging: Staging, stored: Trip_, pass_through: Trip_, tmp_path: Path
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


def test_a_type_with_its_own_methods_and_a_registered_one(pass_through: Trip_, stored: Trip_) -> None:
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
        (test_equal_sets_give_equal_bytes, "Return data; code is found by importing it"),
        ((i for i in ()), r"Return a list: list\(...\)"),
        ({"a": [Unknown()]}, "Unknown cannot be stored"),
    ],
)
def test_a_value_of_no_known_type_is_refused_with_advice(stored: Trip_, value: Any, text: str) -> None:
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
