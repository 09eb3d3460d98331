"""The words that the schema is written in: what can stand at a place of a file. The JSON Schema, the checker of files and
the page of reference are made of the same `SCHEMA` (`schema.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plain:
    """One scalar of a `kind` (see `kinds.KINDS`). `least`: the smallest number."""

    kind: str
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `or_one`, a single item may stand without one."""

    item: Form
    or_one: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping with keys of the author's choice: names (of `kind` name), or any text."""

    item: Form
    keys: str = "name"


@dataclass(frozen=True, slots=True)
class Use:
    """A record of the schema, by its name."""

    record: str


@dataclass(frozen=True, slots=True)
class Either:
    """One of several forms that differ in whether a scalar, a list or a mapping is written."""

    forms: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Anything:
    """Any data; `references`: texts in it may refer to values, as `${task.output}`."""

    references: bool = False


Form = Plain | Choice | ListOf | MapOf | Use | Either | Anything


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record. `unset`: null is allowed and takes back what the component says."""

    name: str
    form: Form
    says: str
    required: bool = False
    unset: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys. `exactly_one`: one of these keys must be there, and no two. `others`: what keys of the
    author's choice hold. `only_with`: keys that make sense beside one of certain others alone. `instead`: forms that keys
    have where a certain key is there."""

    name: str
    says: str
    keys: tuple[Key, ...]
    exactly_one: tuple[str, ...] = ()
    others: Form | None = None
    only_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    instead: Mapping[str, Mapping[str, Form]] = field(default_factory=dict)

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name), None)
