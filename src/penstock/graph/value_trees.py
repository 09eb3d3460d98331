"""Values as expressions: how what is written as data with values in it becomes one tree. Every front end builds the same."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

from penstock.graph.bindings import Constant, Expression, Text, Value
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Reference, Tree


def tree_of_value(value: Value) -> Tree:
    if isinstance(value, Expression):
        return value.tree
    if isinstance(value, Text):
        parts = [
            Literal(part) if isinstance(part, str) else Operation("string", (tree_of_value(part),))
            for part in value.parts
        ]
        return reduce(lambda left, right: Operation("_+_", (left, right)), parts)
    return constant_tree(value.value) if isinstance(value, Constant) and value.value is not ... else Reference(value)


def lists_tree(combination: str, lists: Iterable[tuple[str, Value]]) -> Tree:
    """Lists by name as one list of structs: in step ("zip"), or every item with every other ("product")."""
    named = [
        (Literal(name), Reference(value) if isinstance(value, Constant) else tree_of_value(value))
        for name, value in lists
    ]
    return Operation(combination, (MapTree(tuple(named)),))


def constant_tree(value: Any) -> Tree:
    """JSON data as an expression; anything else as a constant that `graph.check` complains about."""
    if isinstance(value, list):
        return ListTree(tuple(constant_tree(item) for item in value))
    if isinstance(value, dict):
        return MapTree(tuple((constant_tree(key), constant_tree(item)) for key, item in value.items()))
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return Literal(value)
    return Reference(Constant(value))
