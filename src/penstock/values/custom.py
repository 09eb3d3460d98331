"""A user's own types: registered with `register`, or with the methods `__penstock_write__(self, folder)` and
`__penstock_read__(cls, folder)`. The form says which way it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.values.names import class_name, find_class
from penstock.values.refusals import ValueRefused, ValueUnreadable

_METHODS = "methods"


@dataclass(frozen=True, slots=True)
class _Registered:
    write: Callable[[Any, Path], Any]
    read: Callable[[Path], Any]
    form: str


_BY_CLASS: dict[type, _Registered] = {}
_BY_FORM: dict[str, _Registered] = {}


def register(
    cls: type, *, write: Callable[[Any, Path], Any], read: Callable[[Path], Any], form: str | None = None
) -> None:
    """Teach Penstock a type. `write(value, path)` makes a file or a folder at `path`; `read(path)` gives the value
    back and must not change what it reads. Both apply to subclasses too. `form` names the way of writing; give it a
    new name when that changes. Call it where the type is defined, so that every process that has the type has it
    registered."""
    way = _Registered(write, read, f"custom:{form or class_name(cls)}")
    known = _BY_FORM.get(way.form)
    if known is not None and _BY_CLASS.get(cls) is not known:
        raise ValueError(f"the form {form!r} is already registered for another type")
    _BY_CLASS[cls] = _BY_FORM[way.form] = way


def is_custom(form: str) -> bool:
    return form == _METHODS or form.startswith("custom:")


def is_of_custom(cls: type) -> bool:
    """Whether values of a class are written by a way of the user's own."""
    return hasattr(cls, "__penstock_write__") or any(base in _BY_CLASS for base in cls.__mro__)


def form_of(value: Any) -> str | None:
    cls = type(value)
    if _BY_CLASS:
        for base in cls.__mro__:
            if base in _BY_CLASS:
                return _BY_CLASS[base].form
    if not hasattr(cls, "__penstock_write__"):
        return None
    if not hasattr(cls, "__penstock_read__"):
        raise ValueRefused(
            f"{class_name(cls)} has __penstock_write__ without __penstock_read__",
            fix="Add the class method __penstock_read__(cls, folder).",
        )
    return _METHODS


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    if form == _METHODS:
        path.mkdir()
        value.__penstock_write__(path)
    else:
        _BY_FORM[form].write(value, path)
    if not path.exists():
        raise ValueRefused(f"the writer of {class_name(type(value))} made no file or folder at the path it was given")
    return {}


def read(path: Path, form: str, type_name: str) -> Any:
    cls = find_class(type_name)
    if form == _METHODS:
        reader = getattr(cls, "__penstock_read__", None)
        if reader is None:
            raise ValueUnreadable(f"{type_name} has no __penstock_read__ any more")
        return reader(path)
    if form not in _BY_FORM:
        raise ValueUnreadable(
            f"nothing is registered for the form {form.removeprefix('custom:')!r}",
            fix=f"Call penstock.values.register(...) in the module that defines {type_name}.",
        )
    return _BY_FORM[form].read(path)
