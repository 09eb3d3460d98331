"""A tree back to CEL text, with the fewest brackets. `parse(to_text(tree, name_of), ...)` gives the same tree as long
as the names from `name_of` are told apart by the parser's rule of the longest name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import (
    CONDITIONAL,
    DEPTH_MAX,
    INDEX,
    MEMBER_PRECEDENCE,
    OPERATORS,
    RESERVED,
    SYMBOLS,
    TERNARY_PRECEDENCE,
    UNARY_PRECEDENCE,
    is_name,
)
from penstock.graph.expression.tree import (
    Comprehension,
    ListTree,
    Literal,
    MapTree,
    Name,
    Operation,
    Reference,
    Select,
    Tree,
    UInt,
    depth,
)

if TYPE_CHECKING:
    from penstock.graph.bindings import Value

_QUOTABLE = r"[A-Za-z0-9_.\-/ ]+"
_SHOWN_MAX = 120


def to_text(tree: Tree, name_of: Callable[[Value], str]) -> str:
    """CEL text of `tree`; `name_of` gives the dotted name of a value, quoted here where it has to be.

    A double that is infinite or not a number has no literal and prints as `double("...")`. Raises ExpressionError for
    what no text can say (a field tested by has() whose name can't be quoted, half a surrogate pair) and for trees too
    deep.
    """
    if (levels := depth(tree)) > DEPTH_MAX:
        raise ExpressionError(f"the expression is {levels} operations deep; at most {DEPTH_MAX} are allowed")
    return _Printer(name_of).at(tree, TERNARY_PRECEDENCE)


def shown(tree: Tree) -> str:
    """Text for a message: names as a person knows them, cut when long. Never raises."""
    try:
        text = to_text(tree, name_shown)
    except ExpressionError:
        text = "the expression"
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def name_shown(value: Value) -> str:
    """What a person calls a value: `train.loss` for an output, the name of an input; else the kind of value."""
    node, name = getattr(value, "node", None), getattr(value, "name", None)
    if node is not None:
        return f"{node}.{name}" if node and name else name or f"state_of({node})"
    return name if isinstance(name, str) else type(value).__name__.lower()


def literal_text(value: bool | int | float | str | bytes | None) -> str:
    """One literal as CEL writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case UInt():
            return f"{int(value)}u"
        case int():
            return str(value)
        case float():
            if math.isfinite(value):
                return repr(value)
            return 'double("NaN")' if math.isnan(value) else f'double("{"-" if value < 0 else ""}Infinity")'
        case str():
            return _quoted(value)
        case bytes():
            return 'b"' + "".join(_octet(octet) for octet in value) + '"'


def _quoted(text: str) -> str:
    parts = []
    for character in text:
        if character in '"\\\n\r\t':
            parts.append(json.dumps(character)[1:-1])
        elif 0xD800 <= ord(character) <= 0xDFFF:
            raise ExpressionError(f"\\u{ord(character):04x} is half a character; no expression can hold it")
        elif character.isprintable():
            parts.append(character)
        else:
            parts.append(f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}")
    return '"' + "".join(parts) + '"'


def _octet(octet: int) -> str:
    plain = 0x20 <= octet < 0x7F and octet not in b'"\\'
    return chr(octet) if plain else f"\\x{octet:02x}"


class _Printer:
    __slots__ = ("_name_of", "_variables")

    def __init__(self, name_of: Callable[[Value], str]) -> None:
        self._name_of = name_of
        self._variables: list[str] = []

    def at(self, tree: Tree, precedence: int) -> str:
        """Text of `tree` for a place that takes operators of at least `precedence`."""
        text, own = self._text(tree)
        return text if own >= precedence else f"({text})"

    def _text(self, tree: Tree) -> tuple[str, int]:
        match tree:
            case Literal(value):
                signed = isinstance(value, int | float) and not isinstance(value, bool)
                return literal_text(value), UNARY_PRECEDENCE if signed else MEMBER_PRECEDENCE
            case Name(name):
                return name, MEMBER_PRECEDENCE
            case Reference(value):
                return self._name(self._name_of(value)), MEMBER_PRECEDENCE
            case ListTree(items):
                return f"[{self._items(items)}]", MEMBER_PRECEDENCE
            case MapTree(entries):
                pairs = ", ".join(f"{self.at(key, 0)}: {self.at(value, 0)}" for key, value in entries)
                return "{" + pairs + "}", MEMBER_PRECEDENCE
            case Select():
                return self._select(tree), MEMBER_PRECEDENCE
            case Comprehension():
                return self._comprehension(tree), MEMBER_PRECEDENCE
            case Operation():
                return self._operation(tree)

    def _items(self, items: tuple[Tree, ...]) -> str:
        return ", ".join(self.at(item, TERNARY_PRECEDENCE) for item in items)

    def _name(self, name: str) -> str:
        segments = name.split(".")
        first = segments[0]
        hidden = "." if first in self._variables else ""
        head = first if is_name(first) and first not in RESERVED else self._in_backticks(first)
        return hidden + ".".join([head, *(s if is_name(s) else self._in_backticks(s) for s in segments[1:])])

    def _in_backticks(self, text: str) -> str:
        if not re.fullmatch(_QUOTABLE, text):
            raise ExpressionError(f"{text!r} can't be written as a name in an expression")
        return f"`{text}`"

    def _select(self, tree: Select) -> str:
        operand = self.at(tree.operand, MEMBER_PRECEDENCE)
        if not is_name(tree.field) and not re.fullmatch(_QUOTABLE, tree.field) and not tree.test_only:
            return f"{operand}[{_quoted(tree.field)}]"
        selected = f"{operand}.{tree.field if is_name(tree.field) else self._in_backticks(tree.field)}"
        return f"has({selected})" if tree.test_only else selected

    def _comprehension(self, tree: Comprehension) -> str:
        over = self.at(tree.over, MEMBER_PRECEDENCE)
        self._variables.append(tree.variable)
        steps = self._items(tree.steps)
        self._variables.pop()
        return f"{over}.{tree.macro}({tree.variable}, {steps})"

    def _operation(self, tree: Operation) -> tuple[str, int]:
        arguments = tree.arguments
        if OPERATORS.get(tree.operator, len(arguments)) != len(arguments):
            raise ExpressionError(f"there is no operation {tree.operator} with {len(arguments)} arguments")
        if found := SYMBOLS.get(tree.operator):
            symbol, precedence = found
            left, right = self.at(arguments[0], precedence), self.at(arguments[1], precedence + 1)
            return f"{left} {symbol} {right}", precedence
        if tree.operator == CONDITIONAL:
            condition, taken = (self.at(part, TERNARY_PRECEDENCE + 1) for part in arguments[:2])
            return f"{condition} ? {taken} : {self.at(arguments[2], TERNARY_PRECEDENCE)}", TERNARY_PRECEDENCE
        if tree.operator == INDEX:
            return f"{self.at(arguments[0], MEMBER_PRECEDENCE)}[{self.at(arguments[1], 0)}]", MEMBER_PRECEDENCE
        if tree.operator in ("!_", "-_"):
            return self._unary(tree.operator[0], arguments[0]), UNARY_PRECEDENCE
        if tree.method and arguments:
            receiver = self.at(arguments[0], MEMBER_PRECEDENCE)
            return f"{receiver}.{tree.operator}({self._items(arguments[1:])})", MEMBER_PRECEDENCE
        return f"{tree.operator}({self._items(arguments)})", MEMBER_PRECEDENCE

    def _unary(self, sign: str, operand: Tree) -> str:
        """`!` and `-` repeat themselves but do not follow each other, and `-1` is a number rather than an operation."""
        text, precedence = self._text(operand)
        if precedence == UNARY_PRECEDENCE and sign == "-" and not text.startswith("!"):
            number = isinstance(operand, Literal) and not isinstance(operand.value, UInt)
            return f"-({text})" if number and not text.startswith("-") else f"-{text}"
        repeated = precedence == UNARY_PRECEDENCE and text.startswith(sign)
        unsigned = precedence >= MEMBER_PRECEDENCE or (isinstance(operand, Literal) and not text.startswith("-"))
        return f"{sign}{text}" if repeated or unsigned else f"{sign}({text})"
