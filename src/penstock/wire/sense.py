"""Whether something that was decoded is what its types say. What a worker reports comes from a process in which user code has
run: it is not trusted before it has been looked at."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

Check = Callable[[Any], bool]

INTEGER_MAX = 2**63 - 1
"""What a row can hold."""


def is_sensible(value: object, of: Any) -> bool:
    """Whether a value of a wire class has fields of the types that its class says, at any depth: whole numbers that a row can
    hold, text that can be encoded."""

    return _check_of(of)(value)


@cache
def _check_of(hint: Any) -> Check:
    if hint is Any or isinstance(hint, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return lambda value: True
    simple: Check | None = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    if is_dataclass(hint):
        return _check_of_class(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _check_of_union(arguments)
    if origin is tuple:
        return _check_of_tuple(arguments)
    if origin in (Mapping, dict):
        of_name, of_item = map(_check_of, arguments)
        return lambda value: isinstance(value, Mapping) and all(of_name(k) and of_item(v) for k, v in value.items())
    if origin in (Sequence, list):
        of_item = _check_of(arguments[0])
        return lambda value: isinstance(value, (list, tuple)) and all(map(of_item, value))
    return lambda value: True  # values of parameters: whatever JSON can say


def _check_of_class(kind: Any) -> Check:
    known: Any = kind  # hashable, which `type(value) is kind` would make it forget

    def check(value: Any) -> bool:
        if type(value) is not known:
            return False
        for name, of_field in _fields_of(kind):  # a loop: this is done for every report
            if not of_field(getattr(value, name)):
                return False
        return True

    return check


@cache
def _fields_of(kind: Any) -> list[tuple[str, Check]]:
    """Made when the first value is looked at: classes refer to each other in circles."""
    hints = typing.get_type_hints(kind)
    return [(field.name, _check_of(hints[field.name])) for field in fields(kind)]


def _check_of_union(arguments: tuple[Any, ...]) -> Check:
    checks = {argument: _check_of(argument) for argument in arguments}
    others = [check for argument, check in checks.items() if not is_dataclass(argument)]

    def check(value: Any) -> bool:
        of_class = checks.get(type(value))
        return of_class(value) if of_class is not None else any(other(value) for other in others)

    return check


def _check_of_tuple(arguments: tuple[Any, ...]) -> Check:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        of_item = _check_of(arguments[0])
        return lambda value: isinstance(value, tuple) and all(map(of_item, value))
    checks = [_check_of(argument) for argument in arguments]
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(checks)
        and all(check(each) for check, each in zip(checks, value, strict=True))
    )


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_SIMPLE: dict[Any, Check] = {
    str: _is_text,
    bool: lambda value: type(value) is bool,
    int: lambda value: type(value) is int and -INTEGER_MAX <= value <= INTEGER_MAX,
    float: lambda value: type(value) is float or (type(value) is int and -INTEGER_MAX <= value <= INTEGER_MAX),
    type(None): lambda value: value is None,
}
