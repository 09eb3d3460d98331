"""Data as YAML text that a person likes to read: mappings line by line, small ones of words in braces, text in quotes only
where it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.authoring.yaml.tree import Scalar, plain_value, surprise

WIDTH = 110
_FLOW_ITEMS_MAX = 6
_FIRST = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`=<]|-(?=[^\s\d.])")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*")
_BLOCK = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*")


def emit(data: Mapping[str, Any]) -> str:
    """A mapping of text to JSON data as YAML."""
    return "\n".join(_mapping(data, "")) + "\n"


def scalar_text(value: Any, *, in_flow: bool = False) -> str:
    """One value on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return value if _is_plain(value, in_flow=in_flow) else quoted(value)
    return str(value)


def key_text(key: str, *, in_flow: bool = False) -> str:
    """A key: text whatever it looks like to who reads values."""
    return key if key.isidentifier() and key.isascii() else scalar_text(key, in_flow=in_flow)


def quoted(text: str) -> str:
    """Text in quotes: single ones where it holds double ones and nothing that must be escaped."""
    if '"' in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return f'"{"".join(map(_escaped, text))}"'


def flow(value: Any) -> str:
    """Data on one line, lists and mappings in brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key_text(str(k), in_flow=True)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar_text(value, in_flow=True)


def lines_of(key: str, value: Any, indent: str) -> Iterator[str]:
    """A key and its value, as lines."""
    head = f"{indent}{key_text(key)}:"
    if isinstance(value, str) and "\n" in value and _is_block(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping) and value and not _fits(value, len(head)):
        yield head
        yield from _mapping(value, indent + "  ")
    elif isinstance(value, (list, tuple)) and value and not _fits(value, len(head)):
        yield head
        yield from _sequence(value, indent + "  ")
    elif isinstance(value, (Mapping, list, tuple)):
        yield f"{head} {flow(value)}"
    else:
        yield f"{head} {scalar_text(value)}"


def _mapping(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        yield from lines_of(str(key), value, indent)


def _sequence(items: Any, indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping) and item and not _fits(item, len(indent)):
            first, *rest = _mapping(item, indent + "  ")
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        elif isinstance(item, (Mapping, list, tuple)):
            yield f"{indent}- {flow(item)}"
        else:
            yield f"{indent}- {scalar_text(item)}"


def _fits(value: Any, before: int) -> bool:
    """Whether data is simple and short enough for one line. What holds references is told line by line, where it needs no
    quotes."""
    parts = list(value.values()) if isinstance(value, Mapping) else list(value)
    if len(parts) > _FLOW_ITEMS_MAX and isinstance(value, Mapping):
        return False
    if any(isinstance(part, str) and ("\n" in part or (isinstance(value, Mapping) and "${" in part)) for part in parts):
        return False
    if any(isinstance(part, Mapping) and part for part in parts):
        return False
    if any(
        isinstance(part, (list, tuple)) and any(isinstance(i, (Mapping, list, tuple)) for i in part) for part in parts
    ):
        return False
    return before + 1 + len(flow(value)) <= WIDTH


def _is_plain(text: str, *, in_flow: bool) -> bool:
    if not text or not _FIRST.match(text) or not _PLAIN.fullmatch(text) or text != text.strip():
        return False
    if ": " in text or " #" in text or text.endswith(":") or text.startswith(("---", "...")):
        return False
    if in_flow and any(character in text for character in ",[]{}"):
        return False
    scalar = Scalar(text, True, 0, 0)
    return isinstance(plain_value(scalar), str) and surprise(scalar) is None


def _is_block(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    return (
        bool(_BLOCK.fullmatch(text))
        and bool(lines[0].strip())
        and not lines[0].startswith(" ")
        and bool(lines[-1].strip())
    )


def _float_text(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(character: str) -> str:
    known = _ESCAPES.get(character)
    if known is not None:
        return known
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
