"""Estimators: as skops where that is safe and gives back the very same, else by joblib; and the forms that are asked for."""

from __future__ import annotations

import copy
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values import ValueRefused, estimators, skops_files
from penstock.values.alike import alike
from penstock.values.datums import Staging, from_datum

pytest.importorskip("skops", reason="skops is not installed")

Through = Callable[..., Any]
X, Y = np.random.default_rng(0).random((20, 3)), np.arange(20.0)


class Scaled(BaseEstimator):
    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def predict(self, x: Any) -> Any:
        return x * self.factor


class Plain:
    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.held == other.held


def scaled(x: Any) -> Any:
    return x * 2


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), Ridge(alpha=0.3)).fit(X, Y)


def test_a_pipeline_is_written_as_skops_and_equal_ones_have_the_same_bytes(
    pass_through: Through, stored: Through
) -> None:
    model = pipeline()
    np.testing.assert_array_equal(pass_through(model).predict(X), model.predict(X))
    datum = stored(model)
    assert (datum.form, datum.type) == ("skops", "sklearn.pipeline:Pipeline")
    assert datum.metadata["class"] == "sklearn.pipeline:Pipeline"
    assert datum.digest == stored(pipeline()).digest == stored(copy.deepcopy(model)).digest


def test_skops_does_not_import_other_array_libraries(tmp_path: Path) -> None:
    """The package `torch` is a stand-in: what is shown is that nothing asks for it, and that one may import it afterwards."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("print('torch is imported')")
    code = (
        "import sys; from sklearn.linear_model import Ridge; from penstock.values import skops_files\n"
        "print(len(skops_files.dumped(Ridge())) > 0, 'torch' in sys.modules)\n"
        "print([name for name, module in sys.modules.items() if module is None and 'array_api' in name])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["True False", "[]"], done.stderr


def test_a_skops_file_says_neither_when_nor_where_it_was_written() -> None:
    content = skops_files.dumped(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y > 9))
    with ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert names == [*(f"{n}.npy" for n in range(len(names) - 1)), "schema.json"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        ids = [int(each) for each in re.findall(r'"__id__": (\d+)', archive.read("schema.json").decode())]
    assert ids and max(ids) < len(ids)


def test_the_author_s_own_estimator_is_trusted(pass_through: Through, stored: Through) -> None:
    assert stored(Scaled(2.0)).form == "skops"
    assert pass_through(Scaled(2.0)).predict(3) == 6.0
    assert stored(FunctionTransformer(scaled)).form == "skops"
    assert pass_through(FunctionTransformer(scaled)).transform(X)[0, 0] == X[0, 0] * 2


def test_what_skops_does_not_take_is_written_by_joblib(stored: Through, pass_through: Through) -> None:
    forest = RandomForestRegressor(3, random_state=0).fit(X, Y)  # skops trusts no trees
    assert stored(forest).form == "joblib"
    np.testing.assert_array_equal(pass_through(forest).predict(X), forest.predict(X))
    generator = Ridge(random_state=np.random.RandomState(1))  # given back, it begins anew
    assert stored(generator).form == "joblib"
    assert pass_through(generator).random_state.randint(10**9) == np.random.RandomState(1).randint(10**9)


def test_what_is_large_is_written_by_joblib(stored: Through, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "SKOPS_BYTES_MAX", 1_000)
    assert stored(pipeline()).form == "skops"
    assert stored(Ridge().fit(np.ones((4, 500)), np.ones(4))).form == "joblib"
    monkeypatch.setattr(estimators, "SKOPS_OBJECTS_MAX", 2)
    assert stored(pipeline()).form == "joblib"


def test_the_form_that_is_asked_for(stored: Through, pass_through: Through) -> None:
    model = pipeline()
    for form in ("joblib", "skops", "pickle"):
        assert stored(model, name="sklearn.pipeline:Pipeline", form=form).form == form
        back = pass_through(model, name="any", form=form)
        np.testing.assert_array_equal(back.predict(X), model.predict(X))
    with pytest.raises(ValueRefused, match=r"RandomForestRegressor cannot be stored as skops: skops does not trust"):
        stored(RandomForestRegressor(3).fit(X, Y), name="any", form="skops")
    with pytest.raises(ValueRefused, match=r"expected sklearn.linear_model:Lasso, got sklearn.pipeline:Pipeline"):
        stored(model, name="sklearn.linear_model:Lasso", form="joblib")


def test_anything_may_be_pickled_where_that_is_asked_for(stored: Through, pass_through: Through) -> None:
    with pytest.raises(ValueRefused, match="the type is not known"):
        stored(Plain(1))
    assert pass_through(Plain({1: X[:2].tolist()}), name="any", form="pickle").held == {1: X[:2].tolist()}
    assert stored(Plain(1), name="any", form="pickle").metadata["class"].endswith(":Plain")
    with pytest.raises(ValueRefused, match="Plain cannot be pickled: "):
        stored(Plain(Lock()), name="any", form="pickle")


def test_a_list_of_them(stored: Through) -> None:
    datum = stored([Ridge(), Lasso()], name="list", item={"name": "any", "form": "joblib"})
    assert [item.form for item in datum.items] == ["joblib", "joblib"]


def test_what_was_written_before_skops_came_is_read(
    stored: Through, store: MemoryArtifactStore, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skops_files, "is_installed", lambda: False)
    datum = stored(pipeline())
    assert datum.form == "joblib"
    with pytest.raises(ValueRefused, match="skops: it is not installed"):
        stored(Ridge(), name="any", form="skops")
    monkeypatch.undo()
    back = from_datum(datum, {"name": "any"}, artifacts=store, staging=staging)
    np.testing.assert_array_equal(back.predict(X), pipeline().predict(X))


def test_an_estimator_goes_where_a_base_of_it_is_declared(stored: Through) -> None:
    assert stored(Ridge(), name="sklearn.base:BaseEstimator").form == "skops"
    with pytest.raises(ValueRefused, match=r"expected sklearn.linear_model:Lasso, got sklearn.linear_model:Ridge"):
        stored(Ridge(), name="sklearn.linear_model:Lasso")


def test_what_nothing_can_store_is_refused(stored: Through) -> None:
    with pytest.raises(ValueRefused, match="cannot be stored"):
        stored(FunctionTransformer(lambda v: v))


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
OTHER_CYCLE: list[Any] = []
OTHER_CYCLE.append(OTHER_CYCLE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, True, False),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        ([1, (2, {"a": {3}})], [1, (2, {"a": {3}})], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        (X, X.copy(), True),
        (X, X.astype("float32"), False),
        (X, X + 1e-12, False),
        (np.array([1, "a"], dtype=object), np.array([1, "a"], dtype=object), True),
        (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object), False),
        (np.float64(1), np.float64(1), True),
        (np.float64(1), np.float32(1), False),
        (np.random.RandomState(1), np.random.RandomState(1), True),
        (np.random.RandomState(1), np.random.RandomState(2), False),
        (np.random.default_rng(1), np.random.default_rng(1), True),
        (np.random.default_rng(1), np.random.default_rng(2), False),
        (scipy.sparse.csr_array(X), scipy.sparse.csr_array(X.copy()), True),
        (scipy.sparse.csr_array(X), scipy.sparse.csr_array(X * 2), False),
        (partial(scaled, x=1), partial(scaled, x=1), True),
        (partial(scaled, x=1), partial(scaled, x=2), False),
        (Plain(1), Plain(1), True),
        (Plain(Plain(1)), Plain(Plain(2)), False),
        (date(2026, 1, 1), date(2026, 1, 1), True),
        (Decimal(1), Decimal(2), False),
        (Path("a"), Path("a"), True),
        (re.compile("a"), re.compile("b"), False),
        (scaled, pipeline, False),
        (Lock(), Lock(), False),
        (CYCLE, OTHER_CYCLE, True),
        (pipeline(), pipeline(), True),
        (Ridge(1.0), Ridge(2.0), False),
        (RandomForestRegressor(2, random_state=0).fit(X, Y), RandomForestRegressor(2, random_state=0).fit(X, Y), True),
        (RandomForestRegressor(2, random_state=0).fit(X, Y), RandomForestRegressor(2, random_state=1).fit(X, Y), False),
    ],
)
def test_alike(one: Any, other: Any, same: bool) -> None:
    assert alike(one, other) is same
    assert alike(one, one)
