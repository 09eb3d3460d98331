"""What functions of user code hold at a moment when memory runs out: sizes of their local names and of their modules' own.

Sizes are estimates, made in bounded work: what libraries say of their tables, arrays and tensors, `sys.getsizeof` of the
rest, and of a container as much as a sample of its items tells. No method of the user's own classes is called."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

from penstock.launcher.inner.traces import is_users
from penstock.wire import Held

FRAMES_MAX = 200
"""So many frames are looked at, from the innermost on."""

KEPT = 5
"""So many are told, the largest."""

NAMES_KEPT = 3
OBJECTS_MAX = 20_000
SAMPLE = 100
DEPTH_MAX = 4
NAME_LENGTH_MAX = 200

_COUNTED = ("numpy", "torch", "pandas", "polars", "pyarrow", "scipy", "xarray", "cupy", "jax", "jaxlib", "tensorflow")
_CODE = (ModuleType, type, FunctionType, BuiltinFunctionType)
_CONTAINERS = (list, tuple, set, frozenset, deque)

Place = tuple[FrameType, int]
"""A frame and the line that it is at."""


def places_of(error: BaseException) -> list[Place]:
    """Where an exception was raised and what had called that, innermost first."""
    places: list[Place] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return places[::-1]


def places_above(frame: FrameType | None) -> Iterator[Place]:
    """A frame and its callers."""
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def held_by(places: Iterable[Place]) -> tuple[Held, ...]:
    """The frames of user code that hold the most, the largest first, and what stands in their modules. Never raises."""
    try:
        return _held_by(places)
    except Exception:  # noqa: BLE001 - libraries asked in the middle of something; what cannot be told is left out
        return ()


def _held_by(places: Iterable[Place]) -> tuple[Held, ...]:
    sizes = _Sizes()
    found: list[Held] = []
    modules: dict[int, FrameType] = {}
    for frame, line in islice(places, FRAMES_MAX):
        code = frame.f_code
        if not is_users(code.co_filename):
            continue
        where = f"{code.co_filename}:{line} in {getattr(code, 'co_qualname', code.co_name)}"
        if frame.f_locals is not frame.f_globals:
            found.append(_held(where, sizes.of_names(frame.f_locals)))
        modules.setdefault(id(frame.f_globals), frame)
    for frame in modules.values():
        told = _held(f"module {frame.f_globals.get('__name__', '?')}", sizes.of_names(frame.f_globals))
        if told.size_bytes:
            found.append(told)
    return tuple(sorted(found, key=lambda held: -held.size_bytes)[:KEPT])


def _held(where: str, sizes: list[tuple[int, str]]) -> Held:
    largest = sorted(sizes, reverse=True)[:NAMES_KEPT]
    return Held(where, sum(size for size, _ in sizes), tuple((name[:NAME_LENGTH_MAX], size) for size, name in largest))


class _Sizes:
    """Sizes of objects, each counted once: for whoever names it first."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        """What was seen lives as long as its identity counts."""

    def of_names(self, names: Any) -> list[tuple[int, str]]:
        return [(self._named(value), name) for name, value in list(names.items()) if not name.startswith("__")]

    def _named(self, value: Any) -> int:
        try:
            return self.of(value)
        except Exception:  # noqa: BLE001 - a library's object in the middle of something: it counts nothing
            return 0

    def of(self, value: Any, depth: int = 0) -> int:
        cls = type(value)  # what an object says of its class is its own affair
        if id(value) in self._seen or len(self._seen) > OBJECTS_MAX or issubclass(cls, _CODE):
            return 0
        self._seen.add(id(value))
        self._kept.append(value)
        if cls.__module__.partition(".")[0] in _COUNTED:
            return _counted(value)
        own = int(sys.getsizeof(value, 0)) if cls.__module__ == "builtins" else object.__sizeof__(value)
        if depth >= DEPTH_MAX:
            return own
        if issubclass(cls, dict):
            return own + self._of_items([*islice(dict.items(value), SAMPLE)], dict.__len__(value), depth)
        if cls in _CONTAINERS:
            return own + self._of_items([*islice(iter(value), SAMPLE)], len(value), depth)
        try:
            held = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return own
        return own + (self.of(held, depth + 1) if type(held) is dict else 0)

    def _of_items(self, sample: list[Any], count: int, depth: int) -> int:
        """All items, as large as those in the sample."""
        if not sample:
            return 0
        seen = sum(self.of(part, depth + 1) for item in sample for part in (item if type(item) is tuple else (item,)))
        return seen * count // len(sample)


def _counted(value: Any) -> int:
    """What a library says of an object of its own."""
    for name in ("nbytes", "estimated_size", "memory_usage"):
        size = getattr(value, name, None)
        if size is None:
            continue
        if name == "memory_usage":
            size = value.memory_usage(deep=False)
        elif callable(size):
            size = size()
        return int(size.sum() if hasattr(size, "sum") else size)
    parts = [getattr(value, name, None) for name in ("data", "indices", "indptr", "row", "col")]  # sparse matrices
    return sum(int(getattr(part, "nbytes", 0)) for part in parts)
