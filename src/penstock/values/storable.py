"""Whether values of a class can be stored, as far as the class shows. What a run finds out when the work is done is found out
here before."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from penstock.values import custom, data
from penstock.values.families import advice
from penstock.values.names import class_name

# Of libraries that a family of ours writes, nearly every class can be written or is refused with advice of its own.
_WHOLE = frozenset({"polars", "pandas", "pyarrow", "scipy", "torch", "sklearn"})
# The state of a torch module is an ordered dict.
_BASES = frozenset(
    {
        "catboost:CatBoost",
        "collections:OrderedDict",
        "lightgbm:Booster",
        "numpy:generic",
        "numpy:ndarray",
        "xgboost:Booster",
    }
)


def unstorable(name: str) -> str | None:
    """What to do about a class, by its name, whose values no form holds; None where one does, or where that cannot be known: a
    class that is not loaded, or one with a subclass that can be stored."""
    module, _, qualified = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or any(map(_is_storable, (found, *_below(found)))):
        return None
    return advice(found)


def _below(cls: type) -> Iterator[type]:
    try:
        direct: list[type] = type.__subclasses__(cls)
    except TypeError:
        return
    for each in direct:
        yield each
        yield from _below(each)


def _is_storable(cls: type) -> bool:
    if custom.is_of_custom(cls) or data.is_known(cls) or issubclass(cls, PurePath) or dataclasses.is_dataclass(cls):
        return True
    for base in cls.__mro__:
        package = base.__module__.partition(".")[0]
        if package in _WHOLE or class_name(base) in _BASES:
            return True
    return False
