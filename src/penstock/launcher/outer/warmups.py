"""Which functions were called, on Python 3.11, where `sys.monitoring` is missing: without any cost to those that run.

CPython 3.11 counts in each code object how often it was entered, or went back in a loop, until it is warm enough to be made
faster (`co_warmup`, Include/cpython/code.h: from a negative number up to 0, where it stays). The number is lowered when code
is watched, so that it does not reach its end soon; code that has reached it is replaced by a copy before it is watched again.
Whether all this holds is tried once; where it does not, nobody counts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from functools import cache
from types import CodeType, FunctionType
from typing import Any

_OFFSET = 52
_LOWEST = -(1 << 15)
_WARM = 0
_UNNAMED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


def watch(code: CodeType) -> Any:
    """The counter of a code object that lives on: its `value` is another one when the code has run since."""
    from ctypes import c_short

    counter = c_short.from_address(id(code) + _OFFSET)
    if counter.value != _WARM:
        counter.value = _LOWEST
    return counter


def is_warm(counter: Any) -> bool:
    """Whether a counter counts no more."""
    return bool(counter.value == _WARM)


def renewed(
    codes: Iterable[CodeType], named: Callable[[CodeType], FunctionType | None]
) -> list[tuple[CodeType, CodeType]]:
    """Give the functions of these code objects copies of them, which count from the start: pairs of old and new, those
    inside them too. `named` finds a function by its name; others are looked for among all objects."""
    pairs: list[tuple[CodeType, CodeType]] = []
    sought: list[CodeType] = []
    for code in codes:
        copies: list[tuple[CodeType, CodeType]] = []
        copy = _copy(code, copies)
        pairs += copies
        sought += [old for old, _ in copies if old is not code and old.co_name not in _UNNAMED]
        function = named(code)
        if function is not None and function.__code__ is code:
            function.__code__ = copy
        else:
            sought.append(code)
    new_by_id = {id(old): new for old, new in pairs}  # code objects are equal to their copies
    for holder in gc.get_referrers(*sought) if sought else ():
        if isinstance(holder, FunctionType) and id(holder.__code__) in new_by_id:
            holder.__code__ = new_by_id[id(holder.__code__)]
    return pairs


def _copy(code: CodeType, copies: list[tuple[CodeType, CodeType]]) -> CodeType:
    inner = tuple([_copy(each, copies) if isinstance(each, CodeType) else each for each in code.co_consts])
    copy = code.replace(co_consts=inner)
    copies.append((code, copy))
    return copy


@cache
def can_count() -> bool:
    """Whether this interpreter counts as it is said above."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11):
        return False
    names: dict[str, Any] = {}
    exec(compile("def tried(n):\n    for _ in range(n):\n        pass\n    return n\n", "<tried>", "exec"), names)
    tried = names["tried"]
    try:
        counter = watch(tried.__code__)
        seen = [counter.value, tried(0), counter.value, tried(2), counter.value]
        counter.value = -2
        seen += [tried(0), tried(0), tried(3), counter.value]
    except (ImportError, ValueError):  # no ctypes
        return False
    return seen == [_LOWEST, 0, _LOWEST + 1, 2, _LOWEST + 4, 0, 0, 3, _WARM]
