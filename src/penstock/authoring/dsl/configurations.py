"""Classes whose values are given as structs: TypedDicts, dataclasses, models of pydantic. A class is a configuration if each of
its fields is a parameter, a path or another configuration; a class that holds tables or models is an artifact."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

from penstock.graph.parameters import check_parameter, given_parameter
from penstock.graph.types import PATH, STR, Field, Type

_REQUIRED, _LEFT_OUT = object(), object()
"""Stand for the defaults of fields that have none: those that must be given, and those that are not there if they are not."""

_in_work: set[type] = set()
"""Classes whose fields are being read: a class with a field of its own type is not a configuration."""


def fields_of(class_: type) -> tuple[Field, ...] | None:
    """The fields of a configuration; None for any other class."""
    if class_ in _in_work:
        return None
    from penstock.authoring.dsl.annotations import type_of_annotation

    _in_work.add(class_)
    try:
        fields = _fields(class_)
        if fields is None:
            return None
        hints = typing.get_type_hints(class_, include_extras=True)
        types = {name: type_of_annotation(hints[name]) for name in fields}
    except Exception:  # noqa: BLE001 - an author's annotation that does not evaluate: the value is an artifact
        return None
    finally:
        _in_work.discard(class_)
    if not all(type_.is_given or _is_path(type_) for type_ in types.values()):
        return None
    return tuple([_field(name, _as_given(types[name]), default) for name, default in fields.items()])


def _field(name: str, type_: Type, default: Any) -> Field:
    if default is _REQUIRED or default is _LEFT_OUT:
        return Field(name, type_, default is _REQUIRED)
    if default is None and type_.name not in ("null", "any"):
        type_ = dataclasses.replace(type_, optional=True)  # as for parameters: `rate: float = None` is often written
    given = given_parameter(type_, default)
    return Field(name, type_, False, (given,) if check_parameter(type_, given) is None else ())


def _fields(class_: type) -> dict[str, Any] | None:
    """What each field is if it is not given, by name; None for a class that has no fields to give."""
    if typing.is_typeddict(class_):
        return {name: _REQUIRED if needed else _LEFT_OUT for name, needed in _required_keys(class_).items()}
    if dataclasses.is_dataclass(class_):
        fields = {each.name: _default_of(each) for each in dataclasses.fields(class_) if each.init}
        return fields if fields.keys() == inspect.signature(class_).parameters.keys() else None
    of_model: Any = getattr(class_, "model_fields", None) if hasattr(class_, "__pydantic_fields_set__") else None
    return {name: _default_of_model(each) for name, each in of_model.items()} if isinstance(of_model, dict) else None


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _REQUIRED if field.default is dataclasses.MISSING else field.default


def _default_of_model(field: Any) -> Any:
    if field.is_required():
        return _REQUIRED
    takes_data = getattr(field, "default_factory_takes_validated_data", False)
    return _LEFT_OUT if takes_data else field.get_default(call_default_factory=True)


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
