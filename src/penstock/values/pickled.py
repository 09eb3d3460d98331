"""What a pickle of a value would hold: which classes and functions it would name, how much it is."""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from penstock.values.names import class_name

OBJECTS_MAX = 1_000_000


@dataclass(slots=True)
class Contents:
    """What a pickle would hold: `names` are `module:qualname` of every class and function outside of the standard library,
    `count` is the number of objects that are made of classes, `size_bytes` counts arrays as well. `names_paths`: there are paths
    of files among them."""

    names: dict[str, None] = field(default_factory=dict)
    count: int = 0
    size_bytes: int = 0
    names_paths: bool = False


def contents_of_pickle(value: Any) -> Contents:
    """The pickle is made and thrown away, without the arrays; of a value with more than a million objects, what the first
    million are. Raises what making it raises."""
    contents = Contents()
    with suppress(_Enough):
        _Scanner(contents).dump(value)
    return contents


class _Enough(Exception):
    """So many objects have been looked at that the rest is left."""


class _Nowhere:
    """Takes what a pickler writes."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def write(self, data: Any) -> int:
        self._contents.size_bytes += len(data)
        return len(data)


class _Scanner(pickle.Pickler):  # the C pickler asks a subclass about every object, and nobody else
    def __init__(self, contents: Contents) -> None:
        super().__init__(_Nowhere(contents), protocol=5, buffer_callback=self._weigh)
        self._contents = contents

    def _weigh(self, buffer: pickle.PickleBuffer) -> None:
        self._contents.size_bytes += buffer.raw().nbytes

    def reducer_override(self, value: Any) -> Any:
        self._contents.count += 1
        if self._contents.count > OBJECTS_MAX:
            raise _Enough
        named = value if isinstance(value, (type, FunctionType)) else type(value)
        module = getattr(named, "__module__", None) or ""
        if module.partition(".")[0] == "pathlib":
            self._contents.names_paths = True
        if module.partition(".")[0] not in sys.stdlib_module_names:
            self._contents.names[_name(named)] = None
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
