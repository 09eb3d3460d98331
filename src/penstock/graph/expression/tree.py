"""CEL as a typed tree. The leaves that come from outside are graph Values, so one tree serves Python operators, YAML
text and compiled Kubeflow conditions alike. Language: https://github.com/google/cel-spec (doc/langdef.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.graph.bindings import Value


class UInt(int):
    """A CEL uint literal (`1u`): an int of 0 to 2**64-1 that never mixes with int in arithmetic."""


@dataclass(frozen=True, slots=True)
class Literal:
    """null, bool, int (64 bit), UInt, double, string or bytes."""

    value: bool | int | float | str | bytes | None

    def references(self) -> Iterator[Value]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Reference:
    """A value from the graph."""

    value: Value

    def references(self) -> Iterator[Value]:
        yield self.value


@dataclass(frozen=True, slots=True)
class Name:
    """A variable bound inside the expression by a macro (`items.all(i, i > 0)`)."""

    name: str

    def references(self) -> Iterator[Value]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator by its CEL name: `_+_ _-_ _*_ _/_ _%_ -_ !_ _==_ _!=_ _<_ _<=_ _>_ _>=_ _&&_ _||_ _in_ _?_:_ _[_]`,
    or a global function (`size`, `int`, `string`, ...); a method call `x.f(y)` is the function with the receiver first
    and `method=True`."""

    operator: str
    arguments: tuple[Tree, ...]
    method: bool = False

    def references(self) -> Iterator[Value]:
        return references(self)


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; with `test_only`, the macro `has(operand.field)`."""

    operand: Tree
    field: str
    test_only: bool = False

    def references(self) -> Iterator[Value]:
        return references(self)


@dataclass(frozen=True, slots=True)
class ListTree:
    items: tuple[Tree, ...]

    def references(self) -> Iterator[Value]:
        return references(self)


@dataclass(frozen=True, slots=True)
class MapTree:
    entries: tuple[tuple[Tree, Tree], ...]

    def references(self) -> Iterator[Value]:
        return references(self)


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A macro over a list or a map's keys: `all`, `exists`, `exists_one`, `filter`, or `map` (with an optional filter
    as the first of two steps)."""

    macro: str
    over: Tree
    variable: str
    steps: tuple[Tree, ...]

    def references(self) -> Iterator[Value]:
        return references(self)


Tree = Literal | Reference | Name | Operation | Select | ListTree | MapTree | Comprehension


def children(tree: Tree) -> tuple[Tree, ...]:
    """The direct parts, left to right as written."""
    match tree:
        case Operation():
            return tree.arguments
        case Select():
            return (tree.operand,)
        case ListTree():
            return tree.items
        case MapTree():
            return tuple(part for entry in tree.entries for part in entry)
        case Comprehension():
            return (tree.over, *tree.steps)
        case Literal() | Reference() | Name():
            return ()


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and all its parts, each before its own parts, left to right. Uses no Python stack, however deep."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def references(tree: Tree) -> Iterator[Value]:
    """Every value from the graph in the tree, left to right, with repeats."""
    return (node.value for node in walk(tree) if isinstance(node, Reference))


def depth(tree: Tree) -> int:
    """How many nodes lie on the longest way down; a leaf is 1. Uses no Python stack."""
    deepest = 0
    waiting = [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        waiting.extend((part, level + 1) for part in children(node))
    return deepest
