"""Boosted trees come back with the same predictions, in their libraries' own formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penstock.wire import Artifact

Through = Callable[..., Any]
POINTS = np.random.default_rng(0).random((60, 3))
TARGET = POINTS[:, 0] * 2 + POINTS[:, 1]


def test_lightgbm(stored: Through, pass_through: Through) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(POINTS, TARGET)
    booster = lightgbm.train(
        {"verbose": -1, "num_leaves": 3, "min_data_in_leaf": 5, "num_threads": 1, "metric": "l2"},
        data,
        8,
        valid_sets=[lightgbm.Dataset(POINTS[:20], TARGET[:20], reference=data)],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    datum = stored(booster, name="lightgbm:Booster")
    assert isinstance(datum, Artifact) and datum.form == "lightgbm" and datum.metadata["features"] == 3
    back = pass_through(booster, name="lightgbm:Booster")
    assert type(back) is lightgbm.Booster
    assert (back.best_iteration, back.num_trees()) == (booster.best_iteration, booster.num_trees())
    assert np.array_equal(back.predict(POINTS), booster.predict(POINTS))


def test_xgboost(stored: Through, pass_through: Through) -> None:
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(POINTS, TARGET, feature_names=["a", "b", "c"])
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, data, 5)
    booster.set_attr(made="here")
    datum = stored(booster, name="xgboost:Booster")
    assert isinstance(datum, Artifact) and datum.form == "xgboost"
    assert stored(booster, name="xgboost:Booster").digest == datum.digest
    back = pass_through(booster, name="xgboost:Booster")
    assert type(back) is xgboost.Booster
    assert (back.feature_names, back.attr("made")) == (["a", "b", "c"], "here")
    assert np.array_equal(back.predict(data), booster.predict(data))


def test_catboost(stored: Through, pass_through: Through, tmp_path: Any) -> None:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostRegressor(iterations=4, depth=2, verbose=False, train_dir=str(tmp_path), thread_count=1)
    model.fit(POINTS, TARGET)
    datum = stored(model, name="catboost:CatBoostRegressor")
    assert isinstance(datum, Artifact) and datum.form == "catboost"
    back = pass_through(model, name="catboost:CatBoostRegressor")
    assert type(back) is catboost.CatBoostRegressor
    assert np.array_equal(back.predict(POINTS), model.predict(POINTS))
