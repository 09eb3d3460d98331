"""The kinds of scalars: what each takes, in words, as JSON Schema, and what is wrong with one that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.authoring.yaml.tree import Scalar, plain_value
from penstock.authoring.yaml.types import type_of_text
from penstock.base.ids import NAME
from penstock.base.instants import duration_ms
from penstock.base.sizes import size_bytes

Json = dict[str, Any]
Complaint = tuple[str, str] | None
"""(what is wrong, reading on from the key; what to do), or None."""

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Kind:
    """`says` names it in a sentence ("must be ..."); `complain` is given the value and the scalar."""

    says: str
    schema: Json
    complain: Callable[[Any, Scalar], Complaint]


def shown(scalar: Scalar) -> str:
    """A scalar as it is written, cut when long."""
    text = scalar.text if len(scalar.text) <= 60 else f"{scalar.text[:57]}..."
    text = text.replace("\n", " ")
    return f"`{text}`" if scalar.is_plain else f"`{text}` (text)"


def _read_by(reads: Callable[[Any], Any], says: str, fix: str) -> Callable[[Any, Scalar], Complaint]:
    def complain(value: Any, scalar: Scalar) -> Complaint:
        try:
            reads(value)
        except ValueError:
            return f"must be {says}, not {shown(scalar)}", fix
        return None

    return complain


def _text(value: Any, scalar: Scalar) -> Complaint:
    if isinstance(value, str):
        return None
    if value is None:
        return "is null, where text is wanted", "Write text; in quotes if it is the word null."
    what = "true or false" if isinstance(value, bool) else f"the number {value!r}"
    return f"must be text; `{scalar.text}` is {what} to YAML", f'Put it into quotes: "{scalar.text}".'


def _word(value: Any, scalar: Scalar) -> Complaint:
    return None if value is not None else ("has a word that is null", "Write it in quotes.")


def _name(value: Any, scalar: Scalar) -> Complaint:
    if isinstance(value, str) and NAME.fullmatch(value):
        return None
    fix = "Use ASCII letters, digits, underscores and hyphens, a letter or underscore first."
    return f"must be a name, not {shown(scalar)}", fix


def _of_class(class_: Any, says: str) -> Callable[[Any, Scalar], Complaint]:
    def complain(value: Any, scalar: Scalar) -> Complaint:
        fits = isinstance(value, class_) and (class_ is bool or not isinstance(value, bool))
        if fits:
            return None
        fix = f"Write {says}."
        if isinstance(value, str) and not scalar.is_plain:
            fix = f"Write {says}, without quotes."
        elif class_ is bool and isinstance(value, str) and value.lower() in ("yes", "no", "on", "off", "y", "n"):
            truth = "true" if value.lower() in ("yes", "on", "y") else "false"
            return f"must be true or false; `{value}` is text in YAML 1.2", f"Write {truth}."
        return f"must be {says}, not {shown(scalar)}", fix

    return complain


_duration = _read_by(duration_ms, "a length of time", 'Write seconds, or text such as 90s, 1.5h, "1h 30m".')
_size = _read_by(size_bytes, "a size", "Write bytes, or text such as 512MiB, 4GB.")


def _or_value(otherwise: Callable[[Any, Scalar], Complaint]) -> Callable[[Any, Scalar], Complaint]:
    def complain(value: Any, scalar: Scalar) -> Complaint:
        return None if isinstance(value, str) and "${" in value else otherwise(value, scalar)

    return complain


def _type(value: Any, scalar: Scalar) -> Complaint:
    if value is None:
        value = "null" if scalar.text == "null" else ""
    if not isinstance(value, str):
        return f"must be a type, not {shown(scalar)}", "Write int, float, str, bool, list[int], path, ..."
    try:
        type_of_text(value)
    except ValueError as error:
        return str(error.args[0]), str(error.args[1])
    return None


def _function(value: Any, scalar: Scalar) -> Complaint:
    if isinstance(value, str) and _FUNCTION.fullmatch(value):
        return None
    text = str(value)
    if "lambda" in text or "<locals>" in text:
        fix = "Write it as a function at the top of a module, and name it module:function."
        return f"must name a function that can be imported, not the closure {shown(scalar)}", fix
    fix = "Write module:function, as in `churn.models:train`."
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", text):
        module, _, name = text.rpartition(".")
        fix = f"Write {module}:{name}."
    return f"must be a function as module:function, not {shown(scalar)}", fix


def _condition(value: Any, scalar: Scalar) -> Complaint:
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return None
    return f"must be a condition, not {shown(scalar)}", "Write an expression, as in `fit.score > 0.8`."


def _cache(value: Any, scalar: Scalar) -> Complaint:
    if isinstance(value, bool) or value == "trust":
        return None
    return f"must be true, false or trust, not {shown(scalar)}", "Write false to run it always."


def _version(value: Any, scalar: Scalar) -> Complaint:
    if value == 1 and isinstance(value, int) and not isinstance(value, bool):
        return None
    return f"must be 1, not {shown(scalar)}", "Write `penstock: 1`: this Penstock reads version 1 of the format."


_NUMBER, _INTEGER = _of_class((int, float), "a number"), _of_class(int, "a whole number")
_LENGTH: Json = {"type": ["number", "string"]}

KINDS: Mapping[str, Kind] = {
    "text": Kind("text", {"type": "string"}, _text),
    "word": Kind("text or a number", {"type": ["string", "number", "boolean"]}, _word),
    "name": Kind("a name", {"type": "string", "pattern": f"^{NAME.pattern}$"}, _name),
    "integer": Kind("a whole number", {"type": "integer"}, _INTEGER),
    "number": Kind("a number", {"type": "number"}, _NUMBER),
    "amount": Kind("a number, or a value `${...}`", _LENGTH, _or_value(_NUMBER)),
    "boolean": Kind("true or false", {"type": "boolean"}, _of_class(bool, "true or false")),
    "duration": Kind("a length of time: seconds, or text such as `90s`, `1h 30m`", _LENGTH, _duration),
    "duration_value": Kind("a length of time, or a number of seconds `${...}`", _LENGTH, _or_value(_duration)),
    "size_value": Kind("a size: bytes, or text such as `4GiB`, or bytes as `${...}`", _LENGTH, _or_value(_size)),
    "type": Kind("a type", {"type": ["string", "null"]}, _type),
    "function": Kind("`module:function`", {"type": "string", "pattern": "^[\\w.]+:\\w+$"}, _function),
    "condition": Kind("a condition in CEL", {"type": ["string", "boolean"]}, _condition),
    "cache": Kind("true, false or `trust`", {"enum": [True, False, "trust"]}, _cache),
    "version": Kind("1", {"const": 1}, _version),
}


def complaint_of(kind: str, least: float | None, scalar: Scalar) -> Complaint:
    """What is wrong with a scalar that should be of a kind."""
    value = plain_value(scalar)
    wrong = KINDS[kind].complain(value, scalar)
    if wrong is None and least is not None and isinstance(value, (int, float)) and not value >= least:
        return f"must be at least {least:g}, not {shown(scalar)}", f"Write {least:g} or more."
    return wrong
