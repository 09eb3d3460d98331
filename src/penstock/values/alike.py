"""Whether two values are the same as far as a pickle of them could tell: type by type, array by array, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_PLAIN = (type(None), bool, int, str, bytes, complex, type(Ellipsis))
_NAMED = (type, FunctionType, BuiltinFunctionType, ModuleType)
_REDUCED_BY = 4  # a protocol of pickles that tells states apart from how they are made


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same. False also for what cannot be looked into."""
    pending = [(one, other)]
    seen: dict[tuple[int, int], Any] = {}
    try:
        while pending:
            left, right = pair = pending.pop()
            if left is right or (id(left), id(right)) in seen:
                continue
            seen[id(left), id(right)] = pair  # kept, so that nobody else gets their ids
            parts = _parts(left, right)
            if parts is None:
                return False
            pending.extend(parts)
    except Exception:  # noqa: BLE001 - whatever comparing somebody's objects raises
        return False
    return True


def _parts(left: Any, right: Any) -> list[tuple[Any, Any]] | None:
    """The pairs that have to be alike for two values to be; None where they are not."""
    if type(left) is not type(right) or isinstance(left, _NAMED):
        return None
    if isinstance(left, float):
        return [] if left.hex() == right.hex() else None
    if isinstance(left, _PLAIN):
        return [] if left == right else None
    if type(left) in (list, tuple):
        return _pairs(left, right)
    if type(left) is dict:
        return _pairs([*left, *left.values()], [*right, *right.values()])
    if type(left) in (set, frozenset):
        return [] if left == right else None
    if type(left).__module__ == "numpy":
        return _numpy_parts(left, right)
    if isinstance(left, partial):
        return [(left.func, right.func), (left.args, right.args), (left.keywords, right.keywords)]
    return _pairs([*_reduced(left)], [*_reduced(right)])


def _pairs(left: Any, right: Any) -> list[tuple[Any, Any]] | None:
    return list(zip(left, right, strict=True)) if len(left) == len(right) else None


def _numpy_parts(left: Any, right: Any) -> list[tuple[Any, Any]] | None:
    kind = type(left).__name__
    if kind == "ndarray":
        if left.dtype != right.dtype or left.shape != right.shape:
            return None
        if left.dtype.hasobject:
            return _pairs(left.ravel().tolist(), right.ravel().tolist())
        return [] if left.tobytes() == right.tobytes() else None
    if kind == "ufunc":
        return None
    if hasattr(left, "dtype") and hasattr(left, "tobytes"):  # a scalar
        return [] if left.dtype == right.dtype and left.tobytes() == right.tobytes() else None
    return _pairs([*_reduced(left)], [*_reduced(right)])


def _reduced(value: Any) -> Iterator[Any]:
    """What a pickle would hold of an object: how it is made, of what, its state, its items."""
    reduced = value.__reduce_ex__(_REDUCED_BY)
    if isinstance(reduced, str):
        yield reduced
        return
    for part in reduced:
        yield list(part) if hasattr(part, "__next__") else part
