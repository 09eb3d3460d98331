"""Types of inputs and outputs. The type decides where a value lives: parameter types travel inline, everything else is
an artifact (semantics 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SOURCE = "source"
DICT = "dict"
FORMS = ("joblib", "pickle", "skops")
"""The forms that an author may ask for, where the usual one of a type is not wanted."""

PARAMETER_NAMES = frozenset({"null", "bool", "int", "float", "str", "struct", "enum", "json", SOURCE})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a configuration. One that is not `required` may be left out; `default` is what it is then, as JSON data in a
    tuple of one, empty where only its class knows it."""

    name: str
    type: Type
    required: bool = True
    default: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Type:
    """A parameter type by its short name, `list` with its item type, `dict` with the type of its values (a struct that may
    hold artifacts), `path` (a file or folder), `source` (where data stands outside, of the kinds in `options`; see
    `graph.sources`), `any` (decided by the value that comes), or an artifact type as `module:QualifiedName` of its
    Python class under the shortest public module (`pandas:DataFrame`).

    `bases` holds the names of the class's bases, so that a value may go where a base is asked for; `parts` what is known of
    the items of a tuple (by position: "0", "1") and the fields of a dict, dataclass or NamedTuple; `fields` those of a
    configuration (a TypedDict, a dataclass, a model of pydantic), whose values may be given as structs, None for any
    other type. All three are knowledge about the type, not part of its identity. `form` is how an artifact is to be stored,
    empty for the usual way.
    """

    name: str
    item: Type | None = None
    options: tuple[str, ...] = ()
    optional: bool = False
    bases: tuple[str, ...] = field(default=(), compare=False)
    form: str = ""
    parts: tuple[tuple[str, Type], ...] = field(default=(), compare=False)
    fields: tuple[Field, ...] | None = field(default=None, compare=False)

    @property
    def is_parameter(self) -> bool:
        if self.name == "list":
            return self.item is None or self.item.is_parameter
        return self.name in PARAMETER_NAMES

    @property
    def is_given(self) -> bool:
        """Whether a value may be given from outside or as a constant, as JSON data."""
        if self.name in ("list", DICT) and self.item is not None:
            return self.item.is_given
        return self.is_parameter or self.name == "any" or self.fields is not None

    @property
    def is_configured(self) -> bool:
        """Whether this is a configuration, or a list or dict of them."""
        return self.fields is not None or (self.item is not None and self.item.is_configured)

    @property
    def known_parts(self) -> dict[str, Type]:
        """What is known of fields, by name."""
        return {each.name: each.type for each in self.fields} if self.fields is not None else dict(self.parts)

    @property
    def is_counted(self) -> bool:
        """Whether a value of this type is a counted list (semantics 4)."""
        return self.name == "list" and self.item is not None

    def accepts(self, other: Type) -> bool:
        """Whether a value of type `other` may be given where this type is asked for."""
        if "any" in (self.name, other.name):
            return True
        if other.optional and not self.optional:
            return False
        if other.name == "null":
            return self.optional or self.name in ("null", "json")
        if self.name == "list" and other.name == "list":
            return self._accepts_items(other) and self._accepts_parts(other, exactly=True)
        if self.name == DICT and other.name in (DICT, "struct"):
            return other.name == DICT and self._accepts_items(other)
        if self.name == "struct" and other.name == DICT:
            return True  # looked at when it comes
        if self.fields is not None and other.name in (DICT, "struct"):
            return self._accepts_fields(self.fields, other)
        if self.parts and ":" in self.name and other.name in (DICT, "struct") and other.parts:
            return self._accepts_parts(other)  # the worker makes the object of its fields
        if self.name == "enum":
            return other.name == "str" or (other.name == "enum" and set(other.options) <= set(self.options))
        if self.name == SOURCE and other.name in (SOURCE, "struct"):
            return set(other.options) <= set(self.options)  # a struct is looked at when it comes
        if self.name == "json":
            return other.is_parameter
        if other.name == "json":
            return self.is_parameter
        widened = {"int": ("float",), "enum": ("str",)}.get(other.name, ())
        return self.name == other.name or self.name in widened or self.name in other.bases

    def _accepts_items(self, other: Type) -> bool:
        return self.item is None or other.item is None or self.item.accepts(other.item)

    def _accepts_fields(self, fields: tuple[Field, ...], other: Type) -> bool:
        """Whether a struct may be made into a configuration, as far as is known: what comes is looked at again."""
        known = dict(other.parts)
        if not known:
            return other.name == "struct" or self._accepts_items(other)
        types = self.known_parts
        given = all(name in types and types[name].accepts(type_) for name, type_ in known.items())
        return given and all(each.name in known for each in fields if each.required)

    def _accepts_parts(self, other: Type, *, exactly: bool = False) -> bool:
        """Whether what is known of both agrees; `exactly`: they must have as many parts, as tuples do."""
        if not self.parts or not other.parts:
            return True
        known = dict(other.parts)
        if exactly and len(known) != len(self.parts):
            return False
        return all(name in known and type_.accepts(known[name]) for name, type_ in self.parts)

    def __str__(self) -> str:
        text = self.name
        if self.name in ("list", DICT) and self.item:
            text = f"{self.name}[{self.item}]"
        elif self.name in ("enum", SOURCE):
            text = f"{self.name}[{', '.join(self.options)}]"
        return f"{text}?" if self.optional else text


NULL = Type("null")
BOOL = Type("bool")
INT = Type("int")
FLOAT = Type("float")
STR = Type("str")
STRUCT = Type("struct")
JSON = Type("json")
ANY = Type("any")
PATH = Type("path")


def list_of(item: Type) -> Type:
    return Type("list", item=item)


def dict_of(item: Type, parts: tuple[tuple[str, Type], ...] = ()) -> Type:
    return Type(DICT, item=item, parts=parts)


def enum_of(*options: str) -> Type:
    return Type("enum", options=options)
