"""Instances of dataclasses and of models of pydantic as structs: configurations that an author gives as defaults, constants and
parameters. Fields become JSON data one by one, by their own types."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import Any

from penstock.graph.types import Type


def record_of(type_: Type, value: Any) -> Any:
    """The fields of an instance of the class that a type names; any other value as it is, for a check to complain about."""
    cls = type(value)
    if cls.__qualname__ != type_.name.rpartition(":")[2]:
        return value
    if dataclasses.is_dataclass(cls):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(cls) if each.init}
    if hasattr(cls, "__pydantic_fields_set__"):
        return {name: _plain(getattr(value, name)) for name in cls.model_fields}
    return value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, PurePath) else value
