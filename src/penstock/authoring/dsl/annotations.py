"""What the annotations of a function say: typed inputs, named and typed outputs.

`None`, `bool`, `int`, `float`, `str`, `list[T]`, `dict`, `TypedDict`, `Literal`, `Enum`, `Any` and `| None` are
parameter types; `pathlib.Path` is a file or folder; any other class is an artifact type under the shortest public
module that has it."""

from __future__ import annotations

import collections.abc
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from os import PathLike, fspath
from pathlib import PurePath
from typing import Any

from penstock.authoring.dsl.configurations import fields_of
from penstock.authoring.dsl.forms import Form
from penstock.authoring.dsl.places import function_location, importable_module, unwrapped
from penstock.authoring.dsl.sources import KIND_BY_CLASS
from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.scratch import is_scratch
from penstock.graph.bindings import Constant
from penstock.graph.model import InputSpec, OutputSpec
from penstock.graph.parameters import check_parameter, given_parameter, options_of, short_repr
from penstock.graph.sources import source_of
from penstock.graph.types import (
    ANY,
    BOOL,
    FLOAT,
    FORMS,
    INT,
    JSON,
    NULL,
    PATH,
    SOURCE,
    STR,
    STRUCT,
    Type,
    dict_of,
    enum_of,
    list_of,
)
from penstock.graph.value_types import merge_types


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives. `outputs` None: the annotation does not say (a pipeline then says by what it
    returns). `output_class`: the NamedTuple or dataclass whose fields the outputs are."""

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...] | None
    output_class: type | None
    diagnostics: tuple[Diagnostic, ...]


def signature_of(function: Callable[..., Any], *, of_pipeline: bool = False) -> Signature:
    """Read a function's parameters and annotations; what cannot be used is a diagnostic at its definition."""
    reader = _Reader(function_location(function), getattr(function, "__name__", str(function)), of_pipeline=of_pipeline)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        reader.report("not-a-function", f"{function!r} has no signature", "Write a function with named parameters.")
        return Signature((), None, None, tuple(reader.diagnostics))
    hints = reader.hints(function)
    inputs = tuple(spec for p in signature.parameters.values() if (spec := reader.input(p, hints)) is not None)
    outputs, output_class = reader.outputs(hints.get("return", inspect.Signature.empty))
    return Signature(inputs, outputs, output_class, tuple(reader.diagnostics))


def path_parameter(
    pipeline: str, name: str, location: Location | None, default: str | PathLike[str] | None = None
) -> Diagnostic:
    """For a parameter of a pipeline that is annotated `Path`: no run could be given it."""
    kind = type(default).__name__ if type(default) in KIND_BY_CLASS else "File"
    given = f" = {kind}({json.dumps(fspath(default))})" if default is not None else ""
    fix = f"Write `{name}: {kind}{given}` with `from penstock import {kind}`; tasks are given it as a Path."
    message = f"parameter {name!r} of the pipeline {pipeline!r} is a Path, which no run can be given"
    return Diagnostic("path-parameter", message, fix, location)


def type_of_annotation(annotation: Any) -> Type:
    """The type that an annotation stands for; `any` for one that has no other meaning here."""
    if annotation is None:
        return NULL
    simple = _SIMPLE.get(annotation) if isinstance(annotation, collections.abc.Hashable) else None
    if simple is not None:
        return simple
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _generic_type(origin, annotation)
    if hasattr(annotation, "__supertype__"):  # NewType
        return type_of_annotation(annotation.__supertype__)
    if type(annotation).__name__ == "TypeAliasType":
        return type_of_annotation(annotation.__value__)
    return _class_type(annotation) if isinstance(annotation, type) else ANY


_SIMPLE: dict[Any, Type] = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: STR,
    list: Type("list"),
    tuple: Type("list"),
    dict: STRUCT,
    Any: ANY,
    object: ANY,
    inspect.Parameter.empty: ANY,
    typing.Mapping: STRUCT,
    collections.abc.Mapping: STRUCT,
    collections.abc.MutableMapping: STRUCT,
    PathLike: PATH,
}
_LISTS = (list, *(getattr(collections.abc, n) for n in ("Sequence", "MutableSequence", "Iterable", "Collection")))
_STRUCTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_STREAMS = tuple(getattr(collections.abc, n) for n in ("Iterator", "Generator", "AsyncIterator", "AsyncGenerator"))
_TYPE_BY_CLASS: dict[type, Type] = {}


def _generic_type(origin: Any, annotation: Any) -> Type:
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotated_type(type_of_annotation(arguments[0]), arguments[1:])
    if origin in (typing.Final, typing.ClassVar, typing.Required, typing.NotRequired):
        return type_of_annotation(arguments[0])
    if origin is typing.Literal:
        return _literal_type(arguments)
    if origin is typing.Union or origin is types.UnionType:
        return _union_type([type_of_annotation(argument) for argument in arguments])
    if origin in _LISTS:
        return list_of(type_of_annotation(arguments[0])) if arguments else Type("list")
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return list_of(type_of_annotation(arguments[0]))
        items = [type_of_annotation(argument) for argument in arguments]
        return replace(list_of(merge_types(items)), parts=tuple([(str(n), item) for n, item in enumerate(items)]))
    if origin in _STRUCTS:
        value = type_of_annotation(arguments[-1]) if len(arguments) == 2 else ANY
        return STRUCT if value.is_parameter or value.name == "any" else dict_of(value)
    if type(origin).__name__ == "TypeAliasType":
        return type_of_annotation(origin.__value__)
    return _class_type(origin) if isinstance(origin, type) and origin.__module__ != "collections.abc" else ANY


def _annotated_type(type_: Type, notes: tuple[Any, ...]) -> Type:
    for note in notes:
        if isinstance(note, Form):
            type_ = replace(type_, form=note.name)
    return type_


def without_form(type_: Type) -> Type:
    """A type as inputs have it: how a value is stored is no affair of who reads it."""
    item = type_.item if type_.item is None else without_form(type_.item)
    parts = tuple([(name, without_form(part)) for name, part in type_.parts])
    same = item is type_.item and all(new is old for (_, new), (_, old) in zip(parts, type_.parts, strict=True))
    return replace(type_, item=item, form="", parts=parts) if type_.form or not same else type_


def _stored(type_: Type) -> Type:
    """A type as outputs have it: an object that a task returns is an artifact, whose fields no expression reads."""
    item = type_.item if type_.item is None else _stored(type_.item)
    given = type_.fields if ":" not in type_.name else None
    return type_ if item is type_.item and given is type_.fields else replace(type_, item=item, fields=given)


def _literal_type(options: tuple[Any, ...]) -> Type:
    given = [option for option in options if option is not None]
    if given and all(isinstance(option, str) for option in given):
        literal = enum_of(*given)
    else:
        literal = merge_types([_SIMPLE.get(type(option), JSON) for option in given]) if given else NULL
    return literal if len(given) == len(options) or literal is NULL else replace(literal, optional=True)


def _union_type(members: list[Type]) -> Type:
    given = [member for member in members if member.name != "null"]
    if given and all(member.name == SOURCE for member in given):
        kinds = dict.fromkeys(kind for member in given for kind in member.options)
        return replace(source_of(*kinds), optional=len(given) < len(members))
    merged = merge_types(members)
    # A union of classes keeps none of their names: what comes decides.
    return merged if merged.is_parameter or len([m for m in members if m.name != "null"]) == 1 else ANY


def _class_type(class_: type) -> Type:
    known = _TYPE_BY_CLASS.get(class_)
    if known is None:
        known = _TYPE_BY_CLASS[class_] = _new_class_type(class_)
    return known


def _new_class_type(class_: type) -> Type:
    if class_ in KIND_BY_CLASS:
        return source_of(KIND_BY_CLASS[class_])
    if issubclass(class_, Enum):
        return enum_of(*options_of(class_))
    if issubclass(class_, PurePath):
        return PATH
    if typing.is_typeddict(class_):
        return replace(STRUCT, fields=fields_of(class_))
    if getattr(class_, "_is_protocol", False) or class_.__module__ in ("typing", "numbers", "collections.abc"):
        return ANY  # what satisfies it does not inherit from it
    bases = [base for base in class_.__mro__[1:-1] if base.__module__ not in ("typing", "abc")]
    plain = Type(public_name(class_), bases=tuple(public_name(base) for base in bases))
    _TYPE_BY_CLASS[class_] = plain  # a field of its own type has none of its parts
    named = output_fields(class_) or {}
    parts = tuple([(name, type_of_annotation(hint)) for name, hint in named.items()])
    return replace(plain, parts=parts, fields=fields_of(class_))


def public_name(class_: type) -> str:
    """`module:QualifiedName` under the shortest module above the class's own that has the same class under that
    name."""
    parts = class_.__module__.split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        found: Any = sys.modules.get(name)
        for part in class_.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is class_:
            return f"{name}:{class_.__qualname__}"
    return f"{importable_module(class_.__module__)}:{class_.__qualname__}"


class _Reader:
    """Reads one function; collects what is wrong with it."""

    def __init__(self, location: Location | None, name: str, *, of_pipeline: bool) -> None:
        self.location = location
        self.name = name
        self.of_pipeline = of_pipeline
        self.diagnostics: list[Diagnostic] = []

    def report(self, code: str, message: str, fix: str, *, warning: bool = False) -> None:
        severity: typing.Literal["error", "warning"] = "warning" if warning else "error"
        self.diagnostics.append(Diagnostic(code, message, fix, self.location, severity))

    def hints(self, function: Callable[..., Any]) -> Mapping[str, Any]:
        """The annotations by parameter, those written as text evaluated; one that cannot be is left out."""
        try:
            return typing.get_type_hints(function, include_extras=True)
        except Exception:  # noqa: BLE001 - whatever an author's annotation raises; which one is found out below
            pass
        hints: dict[str, Any] = {}
        names = getattr(unwrapped(function), "__globals__", {})
        for name, annotation in getattr(function, "__annotations__", {}).items():
            try:
                hints[name] = eval(annotation, names) if isinstance(annotation, str) else annotation
            except Exception as error:  # noqa: BLE001 - as above
                where = "its return value" if name == "return" else f"{name!r}"
                self.report(
                    "unresolved-annotation",
                    f"the annotation {annotation!r} of {where} in {self.name!r} cannot be evaluated: {error}",
                    "Define or import that name at the top of the module; until then the type is any.",
                    warning=True,
                )
        return hints

    def input(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> InputSpec | None:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            self.report(
                "variable-parameters",
                f"{self.name!r} takes {str(parameter).split(':')[0]}: inputs must be named one by one",
                "Give every input a parameter of its own, or take one list or dict.",
            )
            return None
        if parameter.kind is parameter.POSITIONAL_ONLY:
            self.report(
                "positional-only-parameter",
                f"parameter {name!r} of {self.name!r} is positional only, but inputs are given by name",
                "Remove the '/' from the parameters.",
            )
        if is_scratch(hints.get(name)):
            return None  # given by the launcher
        type_ = without_form(type_of_annotation(hints.get(name, Any)))
        if parameter.default is parameter.empty:
            return InputSpec(name, type_)
        if self.of_pipeline and type_ == PATH and isinstance(parameter.default, (str, PathLike)):
            self.diagnostics.append(path_parameter(self.name, name, self.location, parameter.default))
            return InputSpec(name, type_)
        default = given_parameter(type_, parameter.default)
        if check_parameter(ANY, default) is not None:
            self.report(
                "unserialisable-default",
                f"the default of parameter {name!r} of {self.name!r} is not JSON data: {short_repr(parameter.default)}",
                "Use None, numbers, text, lists or dicts as defaults and make the object in the function; "
                "until then the input must be given.",
                warning=True,
            )
            return InputSpec(name, type_)
        if default is None and type_.name not in ("null", "any"):
            type_ = replace(type_, optional=True)
        return InputSpec(name, type_, Constant(default))

    def outputs(self, annotation: Any) -> tuple[tuple[OutputSpec, ...] | None, type | None]:
        if annotation is inspect.Signature.empty:
            return None, None
        if annotation in (None, type(None), typing.NoReturn, typing.Never):
            return (), None
        while typing.get_origin(annotation) is typing.Annotated and not _forms_in(annotation):
            annotation = typing.get_args(annotation)[0]
        self._check_form(annotation)
        named = output_fields(annotation)
        if named is not None:
            for field_annotation in named.values():
                self._check_form(field_annotation)
            return tuple(OutputSpec(name, _stored(type_of_annotation(a))) for name, a in named.items()), annotation
        if typing.get_origin(annotation) in _STREAMS or annotation in _STREAMS:
            self.report(
                "generator-function",
                f"{self.name!r} returns a generator, which cannot be kept",
                "Return a list, or write a file and return its Path.",
            )
        return (OutputSpec("output", _stored(type_of_annotation(annotation))),), None

    def _check_form(self, annotation: Any) -> None:
        for note in _forms_in(annotation):
            if note.name not in FORMS:
                near = f"the forms are {', '.join(FORMS)}"
                self.report("bad-form", f"{self.name!r} asks for the form {note.name!r}; {near}", "Name one of them.")
            elif typing.get_origin(annotation) is typing.Annotated:
                type_ = type_of_annotation(typing.get_args(annotation)[0])
                if type_.is_parameter or type_.name in ("path", "list"):
                    self.report(
                        "bad-form",
                        f"{self.name!r} asks for a form of {type_}, which is not stored as an object",
                        "Ask for the form of a class; in a list, of its items: list[Annotated[Model, Form(...)]].",
                    )
        for argument in typing.get_args(annotation):
            if typing.get_origin(annotation) is not typing.Annotated:
                self._check_form(argument)


def _forms_in(annotation: Any) -> list[Form]:
    """What the author asks for in an annotation itself."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return []
    return [note for note in typing.get_args(annotation)[1:] if isinstance(note, Form)]


def output_fields(annotation: Any) -> dict[str, Any] | None:
    """The annotations by name of a NamedTuple's or dataclass's fields; None for anything else."""
    if not isinstance(annotation, type):
        return None
    if is_dataclass(annotation):
        names = [field.name for field in fields(annotation)]
    elif issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        names = list(annotation._fields)
    else:
        return None
    try:
        hints = typing.get_type_hints(annotation, include_extras=True)
    except Exception:  # noqa: BLE001 - an author's annotation that does not evaluate: such fields are of type any
        hints = {n: a for n, a in getattr(annotation, "__annotations__", {}).items() if not isinstance(a, str)}
    return {name: hints.get(name, Any) for name in names}
