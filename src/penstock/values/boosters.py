"""Boosted trees of LightGBM, XGBoost and CatBoost, each in the format that its own library promises to read again. Their
estimators in the manner of scikit-learn are `estimators`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.values.names import class_name, find_class

MODEL, REST = "model.txt", "rest.json"


def form_of(value: Any) -> str | None:
    for base in type(value).__mro__:
        name = class_name(base)
        if name == "lightgbm:Booster":
            return "lightgbm"
        if name == "xgboost:Booster":
            return "xgboost"
        if name == "catboost:CatBoost":
            return "catboost"
    return None


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    """A model of LightGBM is a folder: its text lacks which round was the best."""
    if form == "lightgbm":
        path.mkdir()
        (path / MODEL).write_text(value.model_to_string(num_iteration=-1), encoding="utf-8")
        rest = {"best_iteration": value.best_iteration, "best_score": value.best_score}
        (path / REST).write_text(json.dumps(rest, default=float), encoding="utf-8")
        return {"trees": value.num_trees(), "features": value.num_feature()}
    if form == "xgboost":
        path.write_bytes(value.save_raw("ubj"))
        return {"rounds": value.num_boosted_rounds(), "features": value.num_features()}
    value.save_model(str(path), format="cbm")
    return {"trees": value.tree_count_}


def read(path: Path, form: str, type_name: str) -> Any:
    if form == "lightgbm":
        booster = import_module("lightgbm").Booster(model_str=(path / MODEL).read_text(encoding="utf-8"))
        for name, kept in json.loads((path / REST).read_text(encoding="utf-8")).items():
            setattr(booster, name, kept)
        return booster
    if form == "xgboost":
        booster = import_module("xgboost").Booster()
        booster.load_model(bytearray(path.read_bytes()))
        return booster
    return find_class(type_name)().load_model(str(path), format="cbm")
