"""Structs as what a task's annotation says: instances of dataclasses, of models of pydantic, TypedDicts. An instance is made by
calling its class with the fields, so that its own checks run; what it lacks gets the class's default."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_type_hints, is_typeddict

Conversion = Callable[[Any], Any]


def is_configuration(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or is_typeddict(cls) or _is_model(cls)


def _is_model(cls: type) -> bool:
    return hasattr(cls, "__pydantic_fields_set__") and hasattr(cls, "model_validate")


def to_configuration(cls: Any, conversion_of: Callable[[Any], Conversion | None]) -> Conversion:
    """What makes a struct into an instance of `cls`; anything else, such as an instance from the store, is left as it is."""
    if _is_model(cls):
        return lambda value: _validated(cls, value) if type(value) is dict else value
    hints = get_type_hints(cls, include_extras=True)
    conversions = {name: made for name, hint in hints.items() if (made := conversion_of(hint)) is not None}
    make = dict if is_typeddict(cls) else cls

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            return value
        fields: dict[str, Any] = {}
        for name, each in value.items():
            try:
                fields[name] = conversions[name](each) if name in conversions else each
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{name}: {error}") from None
        return make(**fields)

    return convert


def _validated(cls: Any, value: dict[str, Any]) -> Any:
    """Fields are given by name, whatever aliases they have."""
    fields = cls.model_fields
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    aliases = {} if by_name else {name: each.alias for name, each in fields.items() if each.alias}
    return cls.model_validate({aliases.get(name, name): each for name, each in value.items()})
