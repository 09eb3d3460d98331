"""Estimators: whatever inherits from scikit-learn's BaseEstimator. As skops where that is installed, gives back the very
same, and holds only types that it trusts or that are the author's own; else by joblib. A joblib file is a pickle: it is
read only from our own store and only where the form says so."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pickle import PicklingError
from typing import Any

from penstock.values import skops_files
from penstock.values.names import class_name
from penstock.values.pickled import contents_of_pickle
from penstock.values.refusals import ValueRefused, ValueUnreadable

PARAMETERS_SHOWN_BYTES_MAX = 4_096

SKOPS_BYTES_MAX = 64 << 20
SKOPS_OBJECTS_MAX = 5_000
"""What is larger is written by joblib unless skops is asked for: skops needs three times its memory, and time for each
object."""

REFUSED_MAX = 256
_refused: set[frozenset[str]] = set()
"""The classes of estimators that skops has refused: those of a forest are tried once in a process."""


def form_of(value: Any) -> str | None:
    bases = type(value).__mro__
    if not any(base.__name__ == "BaseEstimator" and base.__module__.startswith("sklearn.") for base in bases):
        return None
    return "skops" if skops_files.is_installed() and _fits(value) else "joblib"


def _fits(value: Any) -> bool:
    try:
        contents = contents_of_pickle(value)
    except Exception:  # noqa: BLE001 - what a pickle does not take is said when it is written
        return False
    names = frozenset(contents.names)
    if contents.size_bytes > SKOPS_BYTES_MAX or contents.count > SKOPS_OBJECTS_MAX or names in _refused:
        return False
    try:
        skops_files.dumped(value)
    except skops_files.Unfit:
        if len(_refused) < REFUSED_MAX:
            _refused.add(names)
        return False
    return True


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    name = class_name(type(value))
    if form == "skops":
        path.write_bytes(_dumped(value, name))
    else:
        joblib = import_module("joblib")
        try:
            joblib.dump(value, path, compress=0)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ValueRefused(
                f"{name} cannot be stored: {error}",
                fix="An estimator may hold only functions and classes that stand at the top of a module; no lambdas.",
            ) from error
    return {"class": name, "parameters": _parameters(value)}


def _dumped(value: Any, name: str) -> bytes:
    if not skops_files.is_installed():
        raise ValueRefused(f"{name} cannot be stored as skops: it is not installed", fix="pip install skops")
    try:
        return skops_files.dumped(value)
    except skops_files.Unfit as error:
        raise ValueRefused(f"{name} cannot be stored as skops: {error}", fix='Ask for Form("joblib").') from error


def _parameters(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= PARAMETERS_SHOWN_BYTES_MAX else text[:PARAMETERS_SHOWN_BYTES_MAX] + "…"


def read(path: Path, form: str, type_name: str) -> Any:
    if form == "joblib":
        return import_module("joblib").load(path)
    if not skops_files.is_installed():
        raise ValueUnreadable(f"a value of type {type_name} is stored as skops", fix="pip install skops")
    return skops_files.loaded(path)
