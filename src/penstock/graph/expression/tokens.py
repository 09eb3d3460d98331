"""CEL text cut into tokens with their positions. Knows the lexis (literals, names, punctuation), nothing of the
grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import INT_MAX, TEXT_MAX, UINT_MAX
from penstock.graph.expression.tree import UInt


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is "literal" (with `value`), "name", "quoted" (a name in backticks), "symbol" or "end"; `text` is the name
    or the symbol; `position` counts characters from 0."""

    kind: str
    text: str
    position: int
    value: bool | int | float | str | bytes | None = None


_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"(?:[\t\n\f\r ]+|//[^\n]*)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"`([A-Za-z0-9_.\-/ ]+)`")
_FLOAT = re.compile(r"[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+")
_INT = re.compile(r"(0x[0-9a-fA-F]+|[0-9]+)([uU]?)")
_SYMBOL = re.compile(r"\|\||&&|[=!<>]=|[-+*/%<>!?:.,()\[\]{}]")
_STRING_START = re.compile(r"([bB]?[rR]?|[rR][bB])(\"\"\"|'''|\"|')")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_SIMPLE_ESCAPES = {
    **{mark: mark for mark in "\\?\"'`"},
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_NUMBERED_ESCAPE = re.compile(r"[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}")


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, the last of kind "end". Raises ExpressionError with the position of what is no CEL."""
    if len(text) > TEXT_MAX:
        raise ExpressionError(
            f"the expression has {len(text)} characters; an expression has at most {TEXT_MAX}", position=TEXT_MAX
        )
    if half := _HALF_CHARACTER.search(text):
        raise ExpressionError("half of a surrogate pair is no character", position=half.start())
    found: list[Token] = []
    position = 0
    while True:
        if blank := _BLANK.match(text, position):
            position = blank.end()
        if position == len(text):
            found.append(Token("end", "", position))
            return found
        token, position = _token(text, position)
        found.append(token)


def _token(text: str, at: int) -> tuple[Token, int]:
    if start := _STRING_START.match(text, at):
        return _string(text, start)
    if match := _NAME.match(text, at):
        word = match[0]
        if word in _CONSTANTS:
            return Token("literal", word, at, _CONSTANTS[word]), match.end()
        return Token("symbol" if word == "in" else "name", word, at), match.end()
    if match := _QUOTED.match(text, at):
        return Token("quoted", match[1], at), match.end()
    if (match := _FLOAT.match(text, at)) or (match := _INT.match(text, at)):
        return _number(text, match)
    if match := _SYMBOL.match(text, at):
        return Token("symbol", match[0], at), match.end()
    hints = {"=": "; equality is `==`", "&": "; and is `&&`", "|": "; or is `||`"}
    raise ExpressionError(f"{text[at]!r} is not part of an expression{hints.get(text[at], '')}", position=at)


def _number(text: str, match: re.Match[str]) -> tuple[Token, int]:
    written, at, end = match[0], match.start(), match.end()
    if _NAME.match(text, end):
        raise ExpressionError(f"{written!r} is followed by {text[end]!r}: not a number, not a name", position=end)
    value: int | float
    if match.re is _FLOAT:
        value = float(written)
        if value == float("inf"):
            raise ExpressionError(f"{written} is too large for a double", position=at)
    else:
        hexadecimal = match[1].startswith("0x")
        if len(match[1]) > 40:  # Python refuses to read thousands of digits
            raise ExpressionError("a whole number of more than 64 bits", position=at)
        value = int(match[1], 16 if hexadecimal else 10)
        # One more than INT_MAX is let through: the parser takes it only after a minus sign.
        if value > (UINT_MAX if match[2] else INT_MAX + 1):
            raise ExpressionError(f"{written} does not fit into 64 bits", position=at)
        if match[2]:
            value = UInt(value)
    return Token("literal", written, at, value), end


def _string(text: str, start: re.Match[str]) -> tuple[Token, int]:
    prefix, quote = start[1].lower(), start[2]
    raw, is_bytes = "r" in prefix, "b" in prefix
    parts: list[str | bytes] = []
    at = start.end()
    while not text.startswith(quote, at):
        if at >= len(text):
            raise ExpressionError(f"the text that starts here has no closing {quote}", position=start.start())
        character = text[at]
        if character in "\r\n" and len(quote) == 1:
            raise ExpressionError("a line break inside quotes; use three quotes, or \\n", position=at)
        if character == "\\" and not raw:
            part, at = _escape(text, at, is_bytes=is_bytes)
            parts.append(part)
        else:
            parts.append(character)
            at += 1
    end = at + len(quote)
    if is_bytes:
        octets = b"".join(p if isinstance(p, bytes) else p.encode("utf-8", "surrogatepass") for p in parts)
        return Token("literal", text[start.start() : end], start.start(), octets), end
    value = "".join(p if isinstance(p, str) else p.decode("latin-1") for p in parts)
    return Token("literal", text[start.start() : end], start.start(), value), end


def _escape(text: str, at: int, *, is_bytes: bool) -> tuple[str | bytes, int]:
    """What the escape sequence at `at` stands for, and where it ends."""
    letter = text[at + 1 : at + 2]
    if letter in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[letter], at + 2
    match = _NUMBERED_ESCAPE.match(text, at + 1)
    if match is None:
        raise ExpressionError(f"\\{letter} is no escape sequence; a backslash is written \\\\", position=at)
    written = match[0]
    octal = written[0] in "0123"
    code = int(written, 8) if octal else int(written[1:], 16)
    if is_bytes:
        if written[0] in "uU":
            raise ExpressionError("\\u and \\U do not exist in bytes; use \\x with two digits", position=at)
        return bytes((code,)), match.end()
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ExpressionError(f"\\{written} is not a character of Unicode", position=at)
    return chr(code), match.end()
