"""A YAML file as a tree of what is written, with the place of each part, and what plain words mean.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): `no` and `1:30` are text, `012`
is 12. Where YAML 1.1 meant something else, or a number does not keep its digits, `surprise` says so."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.base.diagnostics import Diagnostic, Location

_EXCERPT_MAX = 160


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as written: `text` without quotes. `start` and `end` are offsets in the file's text."""

    text: str
    is_plain: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Part, ...]
    start: int
    end: int
    is_flow: bool = False


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Keys in written order, each with where it stands and what it is given."""

    entries: Mapping[str, tuple[Scalar, Part]]
    start: int
    end: int
    is_flow: bool = False

    def get(self, name: str) -> Part | None:
        entry = self.entries.get(name)
        return None if entry is None else entry[1]

    def key(self, name: str) -> Scalar:
        return self.entries[name][0]


Part = Scalar | Sequence | Dictionary

NO_ENTRIES = Dictionary({}, 0, 0)


@dataclass(slots=True)
class Source:
    """The text of a file, and where complaints about it are collected (one list for all files of a load)."""

    file: str
    text: str
    diagnostics: list[Diagnostic]
    _line_starts: list[int] = field(default_factory=list)

    def location(self, offset: int) -> Location:
        starts = self._starts()
        line = bisect_right(starts, offset)
        return Location(self.file, line, offset - starts[line - 1] + 1)

    def report(
        self, code: str, message: str, fix: str, at: Part | int, *, severity: Literal["error", "warning"] = "error"
    ) -> None:
        offset = at if isinstance(at, int) else at.start
        self.diagnostics.append(Diagnostic(code, message, fix, self.location(offset), severity))

    def excerpt(self, location: Location) -> str:
        """The line of a place, with its number, and a mark below the column."""
        lines = self.text.splitlines()
        if not 0 < location.line <= len(lines):
            return ""
        line, column = lines[location.line - 1], max(location.column, 1)
        first = max(0, column - _EXCERPT_MAX // 2) if len(line) > _EXCERPT_MAX else 0
        shown = line[first : first + _EXCERPT_MAX].replace("\t", " ")
        number = f"{location.line:>5} | "
        return f"{number}{shown}\n{' ' * (len(number) - 2)}| {' ' * (column - 1 - first)}^"

    def _starts(self) -> list[int]:
        if not self._line_starts:
            self._line_starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]
        return self._line_starts


# -- what plain words mean ---------------------------------------------------------------------------------------------

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBERLIKE = frozenset("0123456789+-.")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan")} | {
    f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")
}

_TRUE_11 = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE_11 = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_NUMBER_11 = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|[-+]?0b[01_]+|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
_DATE_11 = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
_LOST_ZEROS = re.compile(r"[-+]?[0-9]*\.[0-9]*0")
_DIGITS_MAX = 4_000  # Python itself reads no longer whole numbers


def plain_value(scalar: Scalar) -> Any:
    """null, bool, int, float or text."""
    text = scalar.text
    if not scalar.is_plain:
        return text
    if text in _NULL:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text[0] in _NUMBERLIKE:
        if _INT.fullmatch(text):
            return int(text) if len(text) < _DIGITS_MAX else text
        if _FLOAT.fullmatch(text):
            return float(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        return _SPECIAL.get(text, text)
    return text


def is_empty(part: Part) -> bool:
    """Whether nothing at all is written."""
    return isinstance(part, Scalar) and part.is_plain and part.text == ""


def is_null(part: Part) -> bool:
    return isinstance(part, Scalar) and part.is_plain and part.text in _NULL


def surprise(scalar: Scalar) -> tuple[str, str] | None:
    """(what is surprising, what to do) about a plain scalar; None: it means what it seems to."""
    text = scalar.text
    if not scalar.is_plain or not text:
        return None
    if text in _TRUE_11 or text in _FALSE_11:
        meant = "true" if text in _TRUE_11 else "false"
        return (
            f"`{text}` is text here; YAML 1.1 reads it as {meant}",
            f'Write "{text}" for the text, {meant} for the truth.',
        )
    if text[0] not in _NUMBERLIKE:
        return None
    if _NUMBER_11.fullmatch(text):
        return f"`{text}` is text here; YAML 1.1 reads it as a number", "Put text into quotes, write numbers plainly."
    if _DATE_11.fullmatch(text):
        return f"`{text}` is text here; YAML 1.1 reads it as a date", f'Write "{text}" in quotes.'
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        return (
            f"`{text}` is the number {int(text)} here; YAML 1.1 reads it as octal",
            "Leave the zero out, or put it into quotes.",
        )
    if _BASED.fullmatch(text) and text.startswith("0o"):
        return (
            f"`{text}` is the number {int(text, 0)} here; YAML 1.1 reads it as text",
            "Write the number in digits of ten.",
        )
    if _LOST_ZEROS.fullmatch(text) and repr(float(text)) != text.lstrip("+"):
        return f"`{text}` is the number {float(text)!r} here", "Put it into quotes to keep it as it is written."
    return None


def told_surprise(scalar: Scalar, type_name: str) -> tuple[str, str] | None:
    """A surprise that must be told where a value of this type is wanted: a type can make sure of what is meant."""
    found = surprise(scalar)
    if found is None:
        return None
    is_text = isinstance(plain_value(scalar), str)
    is_truth = scalar.text in _TRUE_11 or scalar.text in _FALSE_11
    if type_name == "float" and not is_text:
        return None
    return None if type_name in ("str", "enum") and is_text and not is_truth else found


def value_of(part: Part) -> Any:
    """What is written as JSON data: null, bool, int, float, text, list, dict."""
    if isinstance(part, Scalar):
        return plain_value(part)
    if isinstance(part, Sequence):
        return [value_of(item) for item in part.items]
    return {name: value_of(value) for name, (_key, value) in part.entries.items()}


def scalars(part: Part) -> list[Scalar]:
    """Every scalar within, keys left out."""
    found: list[Scalar] = []
    waiting: list[Part] = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Scalar):
            found.append(each)
        elif isinstance(each, Sequence):
            waiting.extend(reversed(each.items))
        else:
            waiting.extend([value for _key, value in reversed(list(each.entries.values()))])
    return found
