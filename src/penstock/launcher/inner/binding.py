"""From a component to a call: the function behind its name, the arguments for it, and its answer as named outputs."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

from penstock.base.errors import PenstockError
from penstock.base.scratch import is_scratch
from penstock.launcher.inner.configurations import is_configuration, to_configuration
from penstock.values import data
from penstock.values.datums import DeclaredType
from penstock.values.names import class_name
from penstock.values.parameters import option_of
from penstock.values.refusals import ValueRefused
from penstock.wire import FunctionRequest

WRAPPERS_MAX = 20
_PLAIN: Mapping[Any, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,)}
_LISTS = (list, Sequence, Iterable, Collection, MutableSequence)
_DICTS = (dict, Mapping, MutableMapping)


class ComponentMissing(PenstockError):
    """The module has no such function."""


@dataclass(frozen=True, slots=True)
class Component:
    """A function ready to be called. `conversions` turn the JSON of an input into what its annotation says."""

    function: Callable[..., Any]
    inputs: Mapping[str, DeclaredType]
    outputs: Mapping[str, DeclaredType]
    conversions: Mapping[str, Callable[[Any], Any]]
    scratch: tuple[str, ...] = ()
    """Parameters that are no inputs: each gets the attempt's scratch folder."""


def load_component(request: FunctionRequest) -> Component:
    """Import a component's module and find its function. Raises what the module raises, and ComponentMissing."""
    module = sys.modules.get(request.module) or import_module(request.module)
    found: Any = module
    for part in request.name.split("."):
        if part == "<locals>" or not hasattr(found, part):
            raise ComponentMissing(
                f"the module {request.module} has no {request.name}", fix="Define the task at the top of its module."
            )
        found = getattr(found, part)
    function = plain_function(found)
    conversions, scratch = _conversions(function, request.inputs), _scratch(function, request.inputs)
    return Component(function, request.inputs, request.outputs, conversions, scratch)


def plain_function(found: Any) -> Callable[..., Any]:
    """The function behind a task object (it keeps it as `function`)."""
    for _ in range(WRAPPERS_MAX):
        inner = None if isinstance(found, types.FunctionType) else getattr(found, "function", None)
        if inner is None:
            break
        found = inner
    if not callable(found):
        raise ComponentMissing(f"{found!r:.200} is not a function")
    function: Callable[..., Any] = found
    return function


def _scratch(function: Callable[..., Any], inputs: Mapping[str, DeclaredType]) -> tuple[str, ...]:
    others = getattr(function, "__annotations__", {}).keys() - inputs.keys() - {"return"}
    if not others:
        return ()
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - as with conversions
        return ()
    return tuple(name for name in hints if name in others and is_scratch(hints[name]))


# -- arguments ---------------------------------------------------------------------------------------------------------

Conversion = Callable[[Any], Any]


def _conversions(function: Callable[..., Any], inputs: Mapping[str, DeclaredType]) -> Mapping[str, Conversion]:
    if not any(_may_convert(declared) for declared in inputs.values()):
        return {}
    try:
        hints = get_type_hints(function)
    except Exception:  # noqa: BLE001 - whatever an author's annotation raises; it was a diagnostic when the graph was made
        return {}
    found = {name: _conversion(hints[name], given=_is_given(inputs[name])) for name in inputs if name in hints}
    return {name: conversion for name, conversion in found.items() if conversion is not None}


def _may_convert(declared: DeclaredType) -> bool:
    """Enumerations travel as text, tuples as lists, configurations, and dataclasses and named tuples that are passed on
    whole, as structs."""
    return declared["name"] in ("enum", "list", "dict") or "parts" in declared or "fields" in declared


def _is_given(declared: DeclaredType) -> bool:
    """Whether a type is a configuration, or a list or dict of them."""
    return "fields" in declared or ("item" in declared and _is_given(declared["item"]))


def _conversion(annotation: Any, *, given: bool = False) -> Conversion | None:
    """What makes the JSON of a parameter into what an annotation says; None: it is that already. `given`: its classes are
    configurations, made by calling them; the objects of others are made as reading makes them."""
    members = getattr(annotation, "__members__", None)
    if isinstance(annotation, type) and members is not None:
        return _to_member({option_of(member): member for member in members.values()})
    if given and isinstance(annotation, type) and is_configuration(annotation):
        return to_configuration(annotation, _field_conversion)
    fields = record_fields(annotation)
    if fields is not None:
        return _to_record(annotation, fields)
    origin = get_origin(annotation)
    inner = [_conversion(argument, given=given) for argument in get_args(annotation) if argument is not Ellipsis]
    if annotation is tuple or origin is tuple:
        return _to_tuple(inner)
    some = next((conversion for conversion in inner if conversion is not None), None)
    if some is None:
        return None
    if origin is types.UnionType or getattr(origin, "__name__", "") in ("Union", "Annotated"):
        return some
    if origin in _DICTS:
        return _to_dict(inner[-1])
    return _to_list(some) if origin in _LISTS else None


def _field_conversion(annotation: Any) -> Conversion | None:
    """As `_conversion`, for a field of a configuration: it may be a path, which travels as text. A number or text is checked,
    as a struct that a task has returned has not been looked at yet."""
    if annotation in _PLAIN:
        return _to_plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Path):
        return lambda value: annotation(value) if isinstance(value, str) else value
    if get_origin(annotation) in (Required, NotRequired):
        return _field_conversion(get_args(annotation)[0])
    if Path in get_args(annotation) and type(None) in get_args(annotation):
        return _field_conversion(Path)
    return _conversion(annotation, given=True)


def _to_plain(cls: type) -> Conversion:
    def convert(value: Any) -> Any:
        if value is None or type(value) in _PLAIN[cls]:
            return float(value) if cls is float and type(value) is int else value
        raise TypeError(f"expected {cls.__name__}, got {value!r:.60}")

    return convert


def record_fields(annotation: Any) -> dict[str, Any] | None:
    """The annotations by name of a NamedTuple's or dataclass's fields; None for anything else."""
    if not isinstance(annotation, type):
        return None
    if dataclasses.is_dataclass(annotation):
        names = [field.name for field in dataclasses.fields(annotation)]
    elif issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        names = list(annotation._fields)
    else:
        return None
    try:
        hints = get_type_hints(annotation)
    except Exception:  # noqa: BLE001 - as above
        hints = {}
    return {name: hints.get(name, Any) for name in names}


def _to_record(cls: type, fields: Mapping[str, Any]) -> Conversion:
    """An object of its fields, as it was when they were taken from one: without its `__init__`, as reading makes it."""

    @cache
    def conversion(name: str) -> Conversion | None:  # found late: a class may have a field of its own type
        return _conversion(fields.get(name, Any))

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return data.record(cls, {name: _converted(conversion(name), item) for name, item in value.items()})

    return convert


def _converted(conversion: Conversion | None, value: Any) -> Any:
    return value if conversion is None else conversion(value)


def _to_dict(conversion: Conversion | None) -> Conversion | None:
    if conversion is None:
        return None
    return lambda value: {k: conversion(v) for k, v in value.items()} if isinstance(value, dict) else value


def _to_member(member_by_option: Mapping[str | None, Any]) -> Conversion:
    return lambda value: member_by_option.get(value, value) if isinstance(value, str) else value


def _to_list(conversion: Conversion) -> Conversion:
    return lambda value: [conversion(item) for item in value] if isinstance(value, list) else value


def _to_tuple(inner: list[Conversion | None]) -> Conversion:
    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        by_item = inner * len(value) if len(inner) == 1 else [*inner, *[None] * len(value)]
        return tuple(each(item) if each else item for item, each in zip(value, by_item, strict=False))

    return convert


# -- answers -----------------------------------------------------------------------------------------------------------


def named_outputs(value: Any, outputs: Mapping[str, DeclaredType]) -> Mapping[str, Any]:
    """What a function returned, by output name: the fields of a NamedTuple or dataclass, or the one value. Raises
    ValueRefused when it is not of the declared shape."""
    if _has_fields(value, outputs):
        return {name: getattr(value, name) for name in outputs}
    if len(outputs) == 1:
        return dict.fromkeys(outputs, value)
    if not outputs:
        if value is not None:
            raise ValueRefused(
                f"the task declares no outputs and returned {class_name(type(value)).removeprefix('builtins:')}",
                fix="Annotate what it returns (`-> ...`), or return None.",
            )
        return {}
    got = "None" if value is None else class_name(type(value)).removeprefix("builtins:")
    raise ValueRefused(
        f"expected the outputs {', '.join(outputs)} as a NamedTuple or dataclass, got {got}",
        fix="Return an instance of the class that the return annotation names.",
    )


def _has_fields(value: Any, outputs: Mapping[str, DeclaredType]) -> bool:
    cls = type(value)
    if isinstance(value, tuple):
        return outputs.keys() == set(getattr(cls, "_fields", ()))
    if not dataclasses.is_dataclass(cls):
        return False
    return bool(outputs) and outputs.keys() <= {field.name for field in dataclasses.fields(cls)}
