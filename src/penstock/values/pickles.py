"""Pickles: only of what the author has asked to be pickled (`Form("pickle")`), and read only from our own store."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused

_PROTOCOL = 5


def form_of(value: Any) -> str | None:
    """Nothing is pickled that nobody has asked for."""
    return None


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    name = class_name(type(value))
    try:
        with open(path, "wb") as file:
            pickle.dump(value, file, protocol=_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueRefused(
            f"{name} cannot be pickled: {error}",
            fix="It may hold only functions and classes that stand at the top of a module; no lambdas, locks, open files.",
        ) from error
    return {"class": name}


def read(path: Path, form: str, type_name: str) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)
