"""From a component to a call: the function behind its name, the arguments for it, and its answer as named outputs."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

from penstock.base.errors import PenstockError
from penstock.values.datums import DeclaredType
from penstock.values.names import class_name
from penstock.values.parameters import option_of
from penstock.values.refusals import ValueRefused
from penstock.wire import FunctionRequest

WRAPPERS_MAX = 20


class ComponentMissing(PenstockError):
    """The module has no such function."""


@dataclass(frozen=True, slots=True)
class Component:
    """A function ready to be called. `conversions` turn the JSON of an input into what its annotation says."""

    function: Callable[..., Any]
    inputs: Mapping[str, DeclaredType]
    outputs: Mapping[str, DeclaredType]
    conversions: Mapping[str, Callable[[Any], Any]]


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
    return Component(function, request.inputs, request.outputs, _conversions(function, request.inputs))


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


# -- arguments ---------------------------------------------------------------------------------------------------------


def _conversions(
    function: Callable[..., Any], inputs: Mapping[str, DeclaredType]
) -> Mapping[str, Callable[[Any], Any]]:
    if not any(_may_convert(declared) for declared in inputs.values()):
        return {}
    try:
        hints = get_type_hints(function)
    except Exception:  # an annotation that cannot be evaluated was a diagnostic when the graph was made
        return {}
    found = {name: _conversion(hints[name]) for name in inputs if name in hints}
    return {name: conversion for name, conversion in found.items() if conversion is not None}


def _may_convert(declared: DeclaredType) -> bool:
    """Enumerations travel as text, tuples as lists."""
    return declared["name"] in ("enum", "list")


def _conversion(annotation: Any) -> Callable[[Any], Any] | None:
    if isinstance(annotation, type) and hasattr(annotation, "__members__"):
        member_by_option = {option_of(member): member for member in annotation}
        return lambda value: member_by_option.get(value, value) if isinstance(value, str) else value
    origin = get_origin(annotation)
    if annotation is tuple:
        return lambda value: tuple(value) if isinstance(value, list) else value
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if origin is tuple:
        inner = [_conversion(argument) for argument in arguments]
        return lambda value: _to_tuple(value, inner)
    if origin in (list, types.UnionType) or getattr(origin, "__name__", "") in (
        "Union",
        "Sequence",
        "Iterable",
        "Annotated",
    ):
        candidates = [found for found in map(_conversion, arguments) if found is not None]
        if candidates:
            first = candidates[0]
            return (
                (lambda value: _each(value, first)) if origin not in (types.UnionType,) and _is_list(origin) else first
            )
    return None


def _is_list(origin: Any) -> bool:
    return origin is list or getattr(origin, "__name__", "") in ("Sequence", "Iterable")


def _each(value: Any, conversion: Callable[[Any], Any]) -> Any:
    return [conversion(item) for item in value] if isinstance(value, list) else value


def _to_tuple(value: Any, inner: list[Callable[[Any], Any] | None]) -> Any:
    if not isinstance(value, list):
        return value
    if len(inner) == 1:
        return tuple(inner[0](item) if inner[0] else item for item in value)
    pairs = zip(value, [*inner, *[None] * (len(value) - len(inner))], strict=False)
    return tuple(conversion(item) if conversion else item for item, conversion in pairs)


# -- answers -----------------------------------------------------------------------------------------------------------


def named_outputs(value: Any, outputs: Mapping[str, DeclaredType]) -> Mapping[str, Any]:
    """What a function returned, by output name: the fields of a NamedTuple or dataclass, or the one value. Raises
    ValueRefused when it is not of the declared shape."""
    if _has_fields(value, outputs):
        return {name: getattr(value, name) for name in outputs}
    if len(outputs) == 1:
        return {name: value for name in outputs}
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
