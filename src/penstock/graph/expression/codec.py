"""Trees as compact JSON lists, the first item the kind of node, and back. Exact: int, uint and double stay apart even
where a reader writes 1.0 as 1; infinities and NaN are text; bytes are base64. Part of what the graph digest is made
over."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import DEPTH_MAX, INT_MAX, INT_MIN, UINT_MAX
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


def tree_to_json(tree: Tree, value_to_json: Callable[[Value], Any]) -> list[Any]:
    """JSON data of `tree`: `["int", 1]`, `["ref", VALUE]`, `["call", "_+_", LEFT, RIGHT]`, ... Raises ExpressionError
    for a tree too deep."""
    if (levels := depth(tree)) > DEPTH_MAX:
        raise ExpressionError(f"the expression is {levels} operations deep; at most {DEPTH_MAX} are allowed")

    def encode(node: Tree) -> list[Any]:
        match node:
            case Literal(value):
                return _literal_to_json(value)
            case Reference(value):
                return ["ref", value_to_json(value)]
            case Name(name):
                return ["name", name]
            case Operation(operator, arguments, method):
                return ["method" if method else "call", operator, *map(encode, arguments)]
            case Select(operand, field, test_only):
                return ["has" if test_only else "select", encode(operand), field]
            case ListTree(items):
                return ["list", *map(encode, items)]
            case MapTree(entries):
                return ["map", *([encode(key), encode(value)] for key, value in entries)]
            case Comprehension(macro, over, variable, steps):
                return ["macro", macro, encode(over), variable, *map(encode, steps)]

    return encode(tree)


def _literal_to_json(value: bool | int | float | str | bytes | None) -> list[Any]:
    match value:
        case None:
            return ["null"]
        case bool():
            return ["bool", value]
        case UInt():
            return ["uint", int(value)]
        case int():
            return ["int", value]
        case float():
            if math.isfinite(value):
                return ["double", value]
            return ["double", "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"]
        case str():
            return ["string", value]
        case bytes():
            return ["bytes", base64.b64encode(value).decode()]


def tree_from_json(data: Any, value_from_json: Callable[[Any], Value]) -> Tree:
    """The tree that `tree_to_json` wrote. Raises ExpressionError for anything else."""

    def decode(node: Any, level: int) -> Tree:
        if level > DEPTH_MAX:
            raise ExpressionError(f"the expression is more than {DEPTH_MAX} operations deep")
        match node:
            case ["ref", value]:
                return Reference(value_from_json(value))
            case ["name", str(name)]:
                return Name(name)
            case ["call" | "method" as kind, str(operator), *arguments]:
                return Operation(operator, tuple(decode(a, level + 1) for a in arguments), method=kind == "method")
            case ["select" | "has" as kind, operand, str(field)]:
                return Select(decode(operand, level + 1), field, test_only=kind == "has")
            case ["list", *items]:
                return ListTree(tuple(decode(item, level + 1) for item in items))
            case ["map", *entries] if all(isinstance(e, list) and len(e) == 2 for e in entries):
                return MapTree(tuple((decode(key, level + 1), decode(value, level + 1)) for key, value in entries))
            case ["macro", str(macro), over, str(variable), *steps]:
                return Comprehension(
                    macro, decode(over, level + 1), variable, tuple(decode(step, level + 1) for step in steps)
                )
            case _:
                return Literal(_literal_from_json(node))

    return decode(data, 1)


def _literal_from_json(node: Any) -> bool | int | float | str | bytes | None:
    match node:
        case ["null"]:
            return None
        case ["bool", bool(value)]:
            return value
        case ["int", int(value)] if not isinstance(value, bool) and INT_MIN <= value <= INT_MAX:
            return value
        case ["uint", int(value)] if not isinstance(value, bool) and 0 <= value <= UINT_MAX:
            return UInt(value)
        case ["double", "NaN" | "Infinity" | "-Infinity" as text]:
            return float(text)
        case ["double", int(number) | float(number)] if not isinstance(number, bool):
            return float(number)
        case ["string", str(text)]:
            return text
        case ["bytes", str(text)]:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise ExpressionError(f"not an expression: {text[:80]!r} is no base64") from None
        case _:
            kind = node[0] if isinstance(node, list) and node and isinstance(node[0], str) else type(node).__name__
            raise ExpressionError(f"not an expression: {kind[:80]!r} with what follows it")
