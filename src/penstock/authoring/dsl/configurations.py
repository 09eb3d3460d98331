"""Classes whose values are given as structs: TypedDicts, dataclasses, models of pydantic. A class is a configuration if each of
its fields is a parameter, a path or another configuration; a class that holds tables or models is an artifact."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

from penstock.graph.types import PATH, STR, Field, Type

_in_work: set[type] = set()
"""Classes whose fields are being read: one that holds itself is no configuration."""


def fields_of(class_: type) -> tuple[Field, ...] | None:
    """The fields of a configuration; None for any other class."""
    if class_ in _in_work:
        return None
    from penstock.authoring.dsl.annotations import type_of_annotation

    _in_work.add(class_)
    try:
        required = _required(class_)
        if required is None:
            return None
        hints = typing.get_type_hints(class_, include_extras=True)
        types = {name: type_of_annotation(hints[name]) for name in required}
    except Exception:  # noqa: BLE001 - an author's annotation that does not evaluate: the value is an artifact
        return None
    finally:
        _in_work.discard(class_)
    if not all(type_.is_given or _is_path(type_) for type_ in types.values()):
        return None
    return tuple(Field(name, _as_given(types[name]), needed) for name, needed in required.items())


def _required(class_: type) -> dict[str, bool] | None:
    """Whether each field must be given, by name; None for a class that has no fields to give."""
    if typing.is_typeddict(class_):
        return _required_keys(class_)
    if dataclasses.is_dataclass(class_):
        missing = dataclasses.MISSING
        required = {
            each.name: each.default is missing and each.default_factory is missing
            for each in dataclasses.fields(class_)
            if each.init
        }
        return required if required.keys() == inspect.signature(class_).parameters.keys() else None
    fields: Any = getattr(class_, "model_fields", None) if hasattr(class_, "__pydantic_fields_set__") else None
    return {name: bool(each.is_required()) for name, each in fields.items()} if isinstance(fields, dict) else None


def _required_keys(class_: Any) -> dict[str, bool]:
    """Whether each key of a TypedDict must be given. Under `from __future__ import annotations` Python does not see what is
    marked Required or NotRequired, as annotations are texts there, and takes the class's `total` for them."""
    hints = typing.get_type_hints(class_, include_extras=True)
    marks = {typing.Required: True, typing.NotRequired: False}
    return {name: marks.get(typing.get_origin(hint), name in class_.__required_keys__) for name, hint in hints.items()}


def _is_path(type_: Type) -> bool:
    return type_.name == PATH.name


def _as_given(type_: Type) -> Type:
    """A path in a configuration is given as text."""
    return dataclasses.replace(STR, optional=type_.optional) if _is_path(type_) else type_
