"""Which classes and functions a stored value names, so that reading it runs their code (cache rule 10): those of a pickle, of
a joblib file, of a torch module, of dataclasses, enumerations and a user's own types."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any

from penstock.values.custom import is_custom
from penstock.values.names import class_name

OBJECTS_MAX = 1_000_000
PICKLED = frozenset({"joblib", "torch-module"})
_TAGS = ("$record", "$enum", "$flags")


def names_in_pickle(value: Any) -> list[str]:
    """`module:qualname` of every class and function that a pickle of the value would name, itself and nothing of the
    standard library excepted. The pickle is made and thrown away, without the arrays."""
    found: dict[str, None] = {}
    scanner = _Scanner(found)
    with suppress(_Enough):
        scanner.dump(value)
    return list(found)


def names_in_data(encoded: Any) -> Iterator[str]:
    """The names of the classes in JSON that `values.data` has made, and of what stands beside it."""
    pending = [encoded]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            for tag in _TAGS:
                if isinstance(item.get(tag), str):
                    yield item[tag]
            pending.extend(item.values())


def names_of(value: Any, form: str) -> list[str]:
    """What a value that is stored in this form names."""
    if form in PICKLED:
        return names_in_pickle(value)
    return [class_name(type(value))] if is_custom(form) else []


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


def metadata_with(metadata: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Metadata of an artifact that says which code of the author's it names."""
    return {**metadata, "names": list(names)} if names else dict(metadata)
