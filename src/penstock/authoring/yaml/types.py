"""Types as text: `int`, `list[int]`, `enum[a, b]`, `pandas:DataFrame`, `source[file, url]`,
`struct{rate:float, layers?:list[int]}`; `?` at the end: or null; after the name of a field: it need not be given."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from penstock.graph.names import nearest
from penstock.graph.sources import KINDS
from penstock.graph.types import DICT, SOURCE, STRUCT, Field, Type, dict_of

_SIMPLE = ("int", "float", "str", "bool", "list", "struct", "json", "any", "path", "null")
_FORMS = (*_SIMPLE, *KINDS, "enum", "source")
_ELSEWHERE = {
    "string": "str", "text": "str", "integer": "int", "number": "float", "double": "float", "boolean": "bool",
    "dict": "struct", "object": "struct", "map": "struct", "array": "list", "directory": "folder",
}  # fmt: skip
_TYPES = (
    "The types are int, float, str, bool, list[...], struct, dict[...], json, path, enum[...], file, folder, url, table, any, "
    "and classes as module:Name."
)
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_OPTION = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s,"\[\]][^,"\[\]]*?)\s*(,|\])')
_EXAMPLE = "Write struct{rate:float, layers?:list[int]}."
_FIELD = re.compile(r"([^\W\d]\w*)\s*(\??)\s*:")
_BARE = re.compile(r'[^\s,"\[\]]([^,"\[\]]*[^\s,"\[\]])?')


def type_of_text(text: str) -> Type:
    """Raises ValueError(what is wrong, what to do); the first reads on from the key."""
    reader = _Reader(text)
    found = reader.type()
    if reader.rest.strip():
        known = text[: len(text) - len(reader.rest)].strip()
        raise ValueError(f"names a type that goes on after `{known}`: `{text}`", f"Write {known}.")
    return found


def text_of_type(type_: Type) -> str:
    """What `type_of_text` reads as this type (but for the names of a class's bases)."""
    text = type_.name
    if text in ("list", DICT) and type_.item is not None:
        text = f"{text}[{text_of_type(type_.item)}]"
    elif text == SOURCE and len(type_.options) == 1:
        text = type_.options[0]
    elif type_.options:
        text = f"{text}[{', '.join(_option(option) for option in type_.options)}]"
    if type_.fields is not None:
        text += "{" + ", ".join(map(_text_of_field, type_.fields)) + "}"
    return f"{text}?" if type_.optional else text


def _text_of_field(field: Field) -> str:
    return f"{field.name}{'' if field.required else '?'}:{text_of_type(field.type)}"


def _option(option: str) -> str:
    return option if _BARE.fullmatch(option) else json.dumps(option, ensure_ascii=False)


class _Reader:
    def __init__(self, text: str) -> None:
        self.rest = text

    def type(self) -> Type:
        match = re.match(r"\s*([^\s\[\]{},?]+)", self.rest)
        if match is None:
            raise ValueError("names no type", _TYPES)
        name, self.rest = match[1], self.rest[match.end() :]
        found = self._named(name)
        if self.rest.startswith("{") and (found.name == "struct" or ":" in found.name):
            found = replace(found, fields=self._fields())
        if self.rest.startswith("?"):
            self.rest = self.rest[1:]
            found = replace(found, optional=True)
        return found

    def _named(self, name: str) -> Type:
        if name == "list" and self.rest.startswith("["):
            self.rest = self.rest[1:]
            item = self.type()
            self._close()
            return Type("list", item=item)
        if name == DICT and self.rest.startswith("["):
            self.rest = self.rest[1:]
            item = self.type()
            self._close()
            return STRUCT if item.is_parameter else dict_of(item)
        if name in ("enum", SOURCE):
            return Type(name, options=self._options(name))
        if name in KINDS:
            return Type(SOURCE, options=(name,))
        if name in _SIMPLE or _CLASS.fullmatch(name):
            return Type(name)
        near = f"Did you mean '{_ELSEWHERE[name]}'?" if name in _ELSEWHERE else nearest(name, _FORMS)
        raise ValueError(f"names a type that is not known: `{name}`", near if "mean" in near else _TYPES)

    def _close(self) -> None:
        self.rest = self.rest.lstrip()
        if not self.rest.startswith("]"):
            raise ValueError("names a type with a `[` and no `]`", "Write list[int].")
        self.rest = self.rest[1:]

    def _fields(self) -> tuple[Field, ...]:
        self.rest = self.rest[1:].lstrip()
        fields: list[Field] = []
        while not self.rest.startswith("}"):
            match = _FIELD.match(self.rest)
            if match is None:
                raise ValueError("names a type with fields that cannot be read", _EXAMPLE)
            self.rest = self.rest[match.end() :]
            fields.append(Field(match[1], self.type(), not match[2]))
            self.rest = self.rest.lstrip()
            if not self.rest.startswith((",", "}")):
                raise ValueError("names a type with a `{` and no `}`", _EXAMPLE)
            self.rest = self.rest.removeprefix(",").lstrip()
        self.rest = self.rest[1:]
        return tuple(fields)

    def _options(self, name: str) -> tuple[str, ...]:
        example = "enum[small, large]" if name == "enum" else "source[file, url]"
        if not self.rest.startswith("["):
            raise ValueError(f"names the type `{name}` without its options", f"Write {example}.")
        self.rest = self.rest[1:]
        options: list[str] = []
        end = ","
        while end == ",":
            match = _OPTION.match(self.rest)
            if match is None:
                raise ValueError(f"names the type `{name}` with options that cannot be read", f"Write {example}.")
            options.append(json.loads(match[1]) if match[1].startswith('"') else match[1])
            end, self.rest = match[2], self.rest[match.end() :]
        unknown = [option for option in options if option not in KINDS] if name == SOURCE else []
        if unknown:
            raise ValueError(f"names a source of a kind that is not known: `{unknown[0]}`", nearest(unknown[0], KINDS))
        return tuple(options)
