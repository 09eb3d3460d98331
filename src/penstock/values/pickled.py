"""Which classes and functions a pickle of a value would name."""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from types import FunctionType
from typing import Any

from penstock.values.names import class_name

OBJECTS_MAX = 1_000_000


def names_in_pickle(value: Any) -> list[str]:
    """`module:qualname` of every class and function outside of the standard library that a pickle of the value would name.
    The pickle is made and thrown away, without the arrays; of a value with more than a million objects, what the first
    million name."""
    found: dict[str, None] = {}
    scanner = _Scanner(found)
    with suppress(_Enough):
        scanner.dump(value)
    return list(found)


class _Enough(Exception):
    """So many objects have been looked at that the rest is left."""


class _Nowhere:
    """Takes what a pickler writes."""

    def write(self, data: Any) -> int:
        return len(data)


class _Scanner(pickle.Pickler):  # the C pickler asks a subclass about every object, and nobody else
    def __init__(self, found: dict[str, None]) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda buffer: None)
        self._found = found
        self._count = 0

    def reducer_override(self, value: Any) -> Any:
        self._count += 1
        if self._count > OBJECTS_MAX:
            raise _Enough
        named = value if isinstance(value, (type, FunctionType)) else type(value)
        module = getattr(named, "__module__", None) or ""
        if module.partition(".")[0] not in sys.stdlib_module_names:
            self._found[_name(named)] = None
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(
            value, (getattr(torch, "Tensor", ()), getattr(torch, "UntypedStorage", ()))
        ):
            return int, ()  # its numbers name nothing
        return NotImplemented


def _name(named: Any) -> str:
    if isinstance(named, type):
        return class_name(named)
    return f"{named.__module__}:{named.__qualname__}"
