"""Values given to a pipeline's inputs from outside: as text (`-p seed=3`) or as Python data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from penstock.base.errors import InvalidInput
from penstock.base.limits import LIMITS
from penstock.graph.model import Graph, InputSpec
from penstock.graph.names import nearest
from penstock.graph.records import record_of
from penstock.graph.sources import plain_source, source_complaint, source_from_text, words_for
from penstock.graph.types import ANY, DICT, SOURCE, Field, Type
from penstock.wire import Datum, Inline, parameter_to_json

AS_PARAMETER = "__penstock_parameter__"
"""The method by which an object of ours says which parameter it stands for."""

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_parameter(type_: Type, text: str) -> Any:
    """The value that `text` says for an input of this type: `true`/`yes`/`on`/`1` and their opposites, numbers, text as
    it is, one of an enum's options, JSON for lists and structs, the path or address of a source; `null` for an optional
    one. For `any`: JSON where it is JSON, else the text. Raises ValueError with a complaint that reads on from the
    parameter's name."""
    if type_.optional and text in ("null", "none", "None"):
        return None
    name, stripped = type_.name, text.strip()
    if name in ("str", "enum"):
        value: Any = text
    elif name == "bool":
        value = _bool(stripped)
    elif name in ("int", "float"):
        value = _number(name, stripped)
    elif name == "any":
        value = _json_or_text(text)
    elif name == SOURCE:
        value = plain_source(type_, source_from_text(type_, stripped))
    elif type_.is_given:
        value = given_parameter(type_, _json(type_, stripped))
    else:
        raise ValueError(_not_a_parameter(type_))
    complaint = check_parameter(type_, value)
    if complaint:
        raise ValueError(complaint)
    return value


def check_parameter(type_: Type, value: Any) -> str | None:
    """Why JSON data `value` may not be given where `type_` is asked for, as words that follow the parameter's name;
    None: it may."""
    name = type_.name
    if value is None:
        return None if type_.optional or name in ("null", "json", "any") else f"must be {_article(type_)}, not null"
    if name in ("any", "json"):
        return _json_complaint(value)
    if type_.fields is not None:
        return _fields_complaint(type_, type_.fields, value)
    if not type_.is_given:
        return _not_a_parameter(type_)
    if name == "enum":
        options = ", ".join(type_.options)
        return None if isinstance(value, str) and value in type_.options else f"must be one of {options}, not {value!r}"
    if name == SOURCE:
        return source_complaint(type_, value)
    if name == "list" and isinstance(value, (list, tuple)):
        return _list_complaint(type_, value)
    if name == DICT and type_.item is not None and isinstance(value, dict):
        return next(
            (f"field {key} {c}" for key, each in value.items() if (c := check_parameter(type_.item, each))), None
        )
    if name == "struct" and isinstance(value, dict):
        return _json_complaint(value)
    if type(value) in _CLASSES_BY_NAME.get(name, ()):
        return None
    return f"must be {_article(type_)}, not {_shown(value)}"


def plain_parameter(value: Any) -> Any:
    """`value` with what stands for JSON data turned into it: tuples and ranges into lists, members of enums into their
    option, NumPy scalars into numbers. Anything else is left as it is, for `check_parameter` to complain about."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return option_of(value)
    if hasattr(type(value), AS_PARAMETER):
        return getattr(value, AS_PARAMETER)()
    if isinstance(value, (list, tuple, range)):
        return [plain_parameter(item) for item in value]
    if isinstance(value, Mapping):
        return {plain_parameter(key): plain_parameter(item) for key, item in value.items()}
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain_parameter(value.item())
    return value


def given_parameter(type_: Type, value: Any) -> Any:
    """`plain_parameter` of a value that is given for a type: what stands for a source there becomes one, and fields of a
    configuration that are left out get their defaults."""
    if type_.fields is not None:
        value = record_of(type_, value)
        if isinstance(value, Mapping):
            types = type_.known_parts
            given = {str(name): given_parameter(types.get(name, ANY), each) for name, each in value.items()}
            return given | {f.name: f.default[0] for f in type_.fields if f.default and f.name not in given}
    elif type_.item is not None and type_.item.is_given and isinstance(value, (list, tuple)):
        return [given_parameter(type_.item, item) for item in value]
    elif type_.item is not None and type_.item.is_given and type_.name == DICT and isinstance(value, Mapping):
        return {plain_parameter(key): given_parameter(type_.item, each) for key, each in value.items()}
    plain = plain_parameter(value)
    if type_.name == SOURCE:
        return plain_source(type_, plain)
    if type_.item is not None and type_.item.name == SOURCE and isinstance(plain, list):
        return [plain_source(type_.item, item) for item in plain]
    return plain


def options_of(enum: type[Enum]) -> tuple[str, ...]:
    """The options of an enum type: its members' values where all of them are text, else their names."""
    members = list(enum)
    if all(isinstance(member.value, str) for member in members):
        return tuple(str(member.value) for member in members)
    return tuple(member.name for member in members)


def option_of(member: Enum) -> str:
    """The option that stands for a member."""
    members = list(type(member))
    return str(member.value) if all(isinstance(other.value, str) for other in members) else member.name


def bind_parameters(
    graph: Graph, *, texts: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None
) -> dict[str, Datum]:
    """A Datum for every input of `graph`, from texts (a command line), Python values and defaults.

    Raises InvalidInput that says everything that is wrong at once, each with the parameter's name.
    """
    specs = {spec.name: spec for spec in graph.inputs}
    bound: dict[str, Datum] = {}
    complaints: list[str] = []
    for name, text in (texts or {}).items():
        if name in specs:
            try:
                bound[name] = Inline(parse_parameter(specs[name].type, text))
            except ValueError as error:
                complaints.append(f"parameter {name!r} {error}")
    inner = {name: text for name, text in (texts or {}).items() if is_inner(name, specs)}
    for name, given in (values or {}).items():
        if name in specs and name not in bound:
            value = given_parameter(specs[name].type, given)
            bound[name] = Inline(value)
            complaint = check_parameter(specs[name].type, value)
            if complaint:
                complaints.append(f"parameter {name!r} {complaint}")
    for name in dict.fromkeys((*(texts or ()), *(values or ()))):
        if name not in specs and name not in inner:
            complaints.append(f"{graph.name!r} has no parameter {name!r}. {nearest(name, specs)}")
    given_names = {*(texts or ()), *(values or ())}
    complaints += _with_inner(inner, specs, bound)
    complaints += _missing([spec for spec in graph.inputs if spec.name not in (*given_names, *bound)], bound)
    complaints += _too_large(bound)
    if complaints:
        raise InvalidInput("\n".join(complaints), fix=_signature(graph, complaints))
    return {spec.name: bound[spec.name] for spec in graph.inputs}


def is_inner(name: str, specs: Mapping[str, InputSpec]) -> bool:
    """Whether a name stands for a field of an input: `config.lr`."""
    return name not in specs and "." in name and name.partition(".")[0] in specs


def _with_inner(texts: Mapping[str, str], specs: Mapping[str, InputSpec], bound: dict[str, Datum]) -> list[str]:
    """Lay fields that are given by themselves over what an input is given, or over its default. Complaints."""
    complaints: list[str] = []
    changed: dict[str, Any] = {}
    for name, text in texts.items():
        head, *path = name.split(".")
        spec = specs[head]
        if head not in changed:
            given = bound.get(head)
            base = given.value if isinstance(given, Inline) else spec.default.value if spec.default else {}
            changed[head] = json.loads(json.dumps(base)) if isinstance(base, Mapping) else {}
        try:
            _lay(changed[head], spec.type, path, text)
        except ValueError as error:
            complaints.append(f"parameter {name!r} {error}")
    for head, laid in changed.items():
        value = given_parameter(specs[head].type, laid)
        complaint = None if complaints else check_parameter(specs[head].type, value)
        if complaint:
            complaints.append(f"parameter {head!r} {complaint}")
        bound[head] = Inline(value)
    return complaints


def _lay(value: dict[str, Any], type_: Type, path: list[str], text: str) -> None:
    """Set the field at a path to what a text says for its type."""
    for position, name in enumerate(path):
        if type_.fields is None and type_.name not in ("struct", "json", "any"):
            raise ValueError(f"names a field, but {type_} has none")
        types = type_.known_parts
        if type_.fields is not None and name not in types:
            raise ValueError(f"has no field {name!r}. {nearest(name, types)}")
        type_ = types.get(name, ANY)
        if position == len(path) - 1:
            value[name] = parse_parameter(type_, text)
        else:
            inner = value.get(name)
            value[name] = dict(inner) if isinstance(inner, Mapping) else {}
            value = value[name]


def _fields_complaint(type_: Type, fields: tuple[Field, ...], value: Any) -> str | None:
    """What is wrong with a configuration; fields of fields are named with a dot."""
    if not isinstance(value, Mapping):
        names = ", ".join(each.name for each in fields)
        return f"must be a {type_.name.rpartition(':')[2]} (a struct with the fields {names}), not {_shown(value)}"
    known = {each.name: each for each in fields}
    for name, each in value.items():
        if name not in known:
            return f"has no field {name!r}. {nearest(str(name), known)}"
        if complaint := check_parameter(known[name].type, each):
            inner = complaint.removeprefix("field ")
            return f"field {name}.{inner}" if inner != complaint else f"field {name} {complaint}"
    missing = [f"{each.name} ({each.type})" for each in fields if each.required and each.name not in value]
    return f"has no value for the field {', '.join(missing)}: give it" if missing else None


def _missing(specs: list[InputSpec], bound: dict[str, Datum]) -> list[str]:
    """Complaints about inputs that were not given; those with a default are bound to it."""
    complaints = []
    for spec in specs:
        if spec.default is not None:
            bound[spec.name] = Inline(spec.default.value)
        elif spec.type.is_given:
            words = words_for(spec.type) if spec.type.name == SOURCE else spec.type
            complaints.append(f"parameter {spec.name!r} ({words}) must be given")
        else:
            complaints.append(f"parameter {spec.name!r} {_not_a_parameter(spec.type)}")
    return complaints


def _too_large(bound: Mapping[str, Datum]) -> list[str]:
    complaints = []
    for name, datum in bound.items():
        size = parameter_bytes(datum.value) if isinstance(datum, Inline) else 0
        if size > LIMITS.parameter_bytes_max:
            complaints.append(
                f"parameter {name!r} is {size:,} bytes; a parameter has at most {LIMITS.parameter_bytes_max:,} "
                "(parameter_bytes_max): put it into a file and give the file's name, or raise that setting"
            )
    return complaints


def parameter_bytes(value: Any) -> int:
    """The size of a parameter as it is kept: bytes of its JSON. 0 for what is not JSON."""
    if value is None or isinstance(value, (bool, int, float)):
        return 8
    if isinstance(value, str) and len(value) * 6 < LIMITS.parameter_bytes_max:
        return len(value)  # far below any limit: no need to be exact
    try:
        return len(json.dumps(parameter_to_json(value), ensure_ascii=False).encode())
    except (TypeError, AttributeError, UnicodeEncodeError, RecursionError):
        return 0


def _signature(graph: Graph, complaints: Sequence[str]) -> str:
    """The parameters that complaints are about; all where one of them is that there is no such parameter."""
    if not graph.inputs:
        return f"{graph.name!r} takes no parameters."
    named = [re.match(r"parameter '(\w+)", complaint) for complaint in complaints]
    names = {each[1] for each in named if each is not None}
    wanted = [spec for spec in graph.inputs if spec.name in names] if all(named) else []
    parts = [
        f"{spec.name}: {spec.type}" + (f" = {_shown_default(spec)}" if spec.default else "")
        for spec in wanted or graph.inputs
    ]
    others = f" (and {len(graph.inputs) - len(wanted)} more)" if 0 < len(wanted) < len(graph.inputs) else ""
    return f"{graph.name} takes {', '.join(parts)}{others}."


def _shown_default(spec: InputSpec) -> str:
    value = spec.default.value if spec.default else None
    if spec.type.name == SOURCE and isinstance(value, Mapping):
        value = value.get("path") or value.get("url")
    return json.dumps(value)


_CLASSES_BY_NAME: Mapping[str, tuple[type, ...]] = {
    "null": (),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
}


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if name == "int" else float(text)
    except ValueError:
        raise ValueError(f"must be {'a whole number' if name == 'int' else 'a number'}, not {text!r}") from None


def _json(type_: Type, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        example = "[1, 2, 3]" if type_.name == "list" else _example(type_)
        raise ValueError(f"must be {_article(type_)} as JSON such as {example}: {error}") from None


def _example(type_: Type) -> str:
    """A struct as JSON: of a configuration one of its fields, a plain one if it has any."""
    if not type_.fields:
        return '{"depth": 3}'
    values = {"bool": True, "int": 3, "float": 0.5, "str": "text"}
    known = {each.name: each.default[0] if each.default else values.get(each.type.name) for each in type_.fields}
    name = next((each for each, value in known.items() if value is not None), type_.fields[0].name)
    return json.dumps({name: known[name]}, ensure_ascii=False)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_complaint(value: Any) -> str | None:
    """Why `value` is not JSON data; None: it is."""
    if value is None or type(value) in (bool, int, float, str):
        return None
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_json_complaint, value)), None)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"must have text as keys, not {key!r}"
            if complaint := _json_complaint(item):
                return complaint
        return None
    return f"must be JSON data, not {_shown(value)}"


def _list_complaint(type_: Type, value: list[Any] | tuple[Any, ...]) -> str | None:
    if type_.item is None:
        return _json_complaint(value)
    types = type_.known_parts  # of a tuple of fixed length
    if types and len(value) != len(types):
        return f"must have {len(types)} {'item' if len(types) == 1 else 'items'}, not {len(value):,}"
    for position, item in enumerate(value):
        complaint = check_parameter(types.get(str(position), type_.item), item)
        if complaint:
            return f"item {position} {complaint}"
    return None


def short_repr(value: Any) -> str:
    """A value as Python shows it, cut when long, without addresses in memory."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _article(type_: Type) -> str:
    words = {
        "null": "null",
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "struct": "a struct",
        "list": "a list",
        "path": "a file or folder",
    }
    return words_for(type_) if type_.name == SOURCE else words.get(type_.name, str(type_))


def _shown(value: Any) -> str:
    return f"{short_repr(value)} ({type(value).__name__})"


def _not_a_parameter(type_: Type) -> str:
    if type_.name == "path":
        return "is a file or folder; what is given from outside is declared so: annotate the parameter penstock.File or Folder"
    return f"is {type_}, an artifact, which cannot be given from outside: take a penstock.File and read it in a task"
