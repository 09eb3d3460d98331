"""What an input can be bound to: `Value` is the closed union of semantics 2. Conditions, `until`, graph outputs,
resources and timeouts are Values too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.graph.expression.tree import Tree


@dataclass(frozen=True, slots=True)
class Constant:
    """A parameter known when the graph is made: JSON data (`None`, bool, int, float, str, list, dict with text
    keys)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the graph that the binding stands in."""

    name: str


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a node in the same graph. In `Loop.until`, node `""` means the loop's own body in the round just
    ended."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The first of the sources, in written order, that has a value once all of them have ended (semantics 9)."""

    sources: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Text with values in it; each part is literal text or a Value of a parameter type, printed as CEL's `string()`
    does."""

    parts: tuple[str | Value, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A CEL expression; its leaves refer to other Values."""

    tree: Tree


@dataclass(frozen=True, slots=True)
class Item:
    """The item of the enclosing `Map` (only in the map's own `inputs`)."""


@dataclass(frozen=True, slots=True)
class Index:
    """The item's position in the enclosing `Map`, from 0 (only in the map's own `inputs`)."""


@dataclass(frozen=True, slots=True)
class Round:
    """The number of the round of the enclosing `Loop`, from 1 (only in the loop's own `inputs` and `until`)."""


@dataclass(frozen=True, slots=True)
class StateOf:
    """How a node ended, as text: succeeded, failed, skipped or cancelled. Node `""` means the watched nodes of a
    `Finally` together: failed if any failed, else cancelled if any was, else succeeded."""

    node: str


Value = Constant | Input | Output | OneOf | Text | Expression | Item | Index | Round | StateOf


def leaves(value: Value) -> Iterator[Value]:
    """Every Value that `value` is made of and that is not itself made of others, left to right, with repeats."""
    if isinstance(value, OneOf):
        for source in value.sources:
            yield from leaves(source)
    elif isinstance(value, Text):
        for part in value.parts:
            if not isinstance(part, str):
                yield from leaves(part)
    elif isinstance(value, Expression):
        for reference in value.tree.references():
            yield from leaves(reference)
    else:
        yield value
