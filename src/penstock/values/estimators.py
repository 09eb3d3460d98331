"""Estimators: whatever inherits from scikit-learn's BaseEstimator, by joblib. A joblib file is a pickle: it is read
only from our own store and only where the form says so."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pickle import PicklingError
from typing import Any

from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused

PARAMETERS_SHOWN_BYTES_MAX = 4_096


def form_of(value: Any) -> str | None:
    bases = type(value).__mro__
    if any(base.__name__ == "BaseEstimator" and base.__module__.startswith("sklearn.") for base in bases):
        return "joblib"
    return None


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    joblib = import_module("joblib")
    try:
        joblib.dump(value, path, compress=0)
    except (PicklingError, AttributeError, TypeError) as error:
        raise ValueRefused(
            f"{class_name(type(value))} cannot be stored: {error}",
            fix="An estimator may hold only functions and classes that stand at the top of a module; no lambdas.",
        ) from error
    return {"class": class_name(type(value)), "parameters": _parameters(value)}


def _parameters(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= PARAMETERS_SHOWN_BYTES_MAX else text[:PARAMETERS_SHOWN_BYTES_MAX] + "…"


def read(path: Path, form: str, type_name: str) -> Any:
    return import_module("joblib").load(path)
