"""Values as a file says them: the inverse of `values`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from penstock.authoring.yaml.scopes import RESERVED
from penstock.authoring.yaml.values import OPEN
from penstock.graph.bindings import Constant, Expression, Index, Input, Item, OneOf, Output, Round, StateOf, Text, Value
from penstock.graph.expression.print import to_text
from penstock.graph.expression.tree import (
    Comprehension,
    ListTree,
    Literal,
    MapTree,
    Operation,
    Reference,
    Select,
    Tree,
    UInt,
    walk,
)
from penstock.graph.value_trees import constant_tree


class Writer:
    """Writes the values of one graph. `inputs` is how its inputs are called: `parameters`, or `inputs` of a body. `single`
    are nodes with one output, which need not name it; `instead` are the names that certain outputs and inputs have here."""

    def __init__(self, inputs: str, single: Mapping[str, str], instead: Mapping[Value, tuple[str, ...]]) -> None:
        self._inputs = inputs
        self._single = single
        self._instead = instead

    def written(self, value: Value) -> Any:
        """What stands at the place of a value: data, or text with references."""
        if isinstance(value, Constant):
            return escaped(value.value)
        if isinstance(value, Text):
            return self._text(value)
        if isinstance(value, Expression):
            collection = self._collection(value.tree)
            return f"${{{self._cel(value.tree)}}}" if collection is None else collection[0]
        return f"${{{self._whole(value)}}}"

    def condition(self, value: Value) -> Any:
        if isinstance(value, Constant):
            return value.value if isinstance(value.value, bool) else self._leaf(value)
        if isinstance(value, Expression):
            return self._cel(value.tree)
        return self._whole(value)

    def amount(self, value: Value) -> str:
        return f"${{{self._cel(value.tree) if isinstance(value, Expression) else self._whole(value)}}}"

    # -- references ----------------------------------------------------------------------------------------------------

    def _whole(self, value: Value) -> str:
        """A value that is no expression, alone."""
        if isinstance(value, Output) and self._single.get(value.node) == value.name and value not in self._instead:
            return f"tasks.{value.node}" if value.node in RESERVED else value.node
        return self._leaf(value, alone=True)

    def _leaf(self, value: Value, *, alone: bool = False) -> str:
        """How an expression calls a value; names of nodes may have dashes."""
        if isinstance(value, (Output, Input, StateOf)):
            segments = self.segments(value)
            return ".".join(segments if alone else [f"`{s}`" if not s.isidentifier() else s for s in segments])
        if isinstance(value, OneOf):
            return f"one_of({', '.join(self._argument(source) for source in value.sources)})"
        if isinstance(value, Text):
            parts = (self._literal(part) if isinstance(part, str) else self._argument(part) for part in value.parts)
            return f"text({', '.join(parts)})"
        if isinstance(value, Constant):
            return f"constant({self._cel(constant_tree(value.value), bare=True)})"
        if isinstance(value, Expression):
            return f"value({self._cel(value.tree, bare=True)})"
        return {Item: "item", Index: "index", Round: "round"}[type(value)]

    def segments(self, value: Output | Input | StateOf) -> list[str]:
        """The name of a value, as the words between its dots."""
        if value in self._instead:
            return list(self._instead[value])
        if isinstance(value, Input):
            return [self._inputs, value.name]
        if isinstance(value, StateOf):
            return ["states", value.node] if value.node else ["state"]
        if value.node == "":
            return ["outputs", value.name]
        return [*(["tasks"] if value.node in RESERVED else []), value.node, value.name]

    def _argument(self, value: Value) -> str:
        """A value as an argument of `one_of` and `text`, where a literal is a constant and an operation an expression."""
        if isinstance(value, Expression):
            plain = not isinstance(value.tree, (Reference, Literal))
            return self._cel(value.tree, bare=True) if plain else self._leaf(value)
        if isinstance(value, Constant) and _is_literal(value.value) and not isinstance(value.value, str):
            return self._cel(Literal(value.value), bare=True)
        return self._leaf(value)

    def _literal(self, text: str) -> str:
        return to_text(Literal(text), str)

    # -- text ----------------------------------------------------------------------------------------------------------

    def _text(self, value: Text) -> str:
        parts = value.parts
        kinds = [isinstance(part, str) for part in parts]
        regular = all(part != "" for part in parts) and not any(a and b for a, b in pairwise(kinds))
        if len(parts) < 2 or not regular or all(kinds):
            return f"${{{self._leaf(value)}}}"
        texts = []
        for part in parts:
            if isinstance(part, str):
                texts.append(part.replace(OPEN, f"${OPEN}"))
            elif isinstance(part, Expression):
                texts.append(f"${{{self._cel(part.tree)}}}")
            else:
                texts.append(f"${{{self._whole(part)}}}")
        joined = "".join(texts)
        # A dollar before a reference would be read as an escape.
        return f"${{{self._leaf(value)}}}" if any(_ends_in_dollar(part) for part in parts) else joined

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _cel(self, tree: Tree, *, bare: bool = False) -> str:
        """CEL text. Where a name alone would be read as the value itself (unless `bare`), it is wrapped in `value()`."""
        named: dict[str, str] = {}

        def name_of(leaf: Value) -> str:
            if isinstance(leaf, (Output, Input, StateOf)):
                return ".".join(self.segments(leaf))
            name = f"compound_{len(named)}_"
            named[name] = self._leaf(leaf)
            return name

        text = to_text(_finite(tree, named), name_of)
        for name, meant in named.items():
            text = text.replace(name, meant)
        return f"value({text})" if isinstance(tree, Reference) and not bare else text

    def _collection(self, tree: Tree) -> tuple[Any] | None:
        """A list or mapping that holds references, as one of the file; None for what must be an expression."""
        if not isinstance(tree, (ListTree, MapTree)) or not any(isinstance(part, Reference) for part in walk(tree)):
            return None
        parts = tree.items if isinstance(tree, ListTree) else [item for _, item in tree.entries]
        written = [self._item(part) for part in parts]
        if isinstance(tree, ListTree):
            return None if any(part is None for part in written) else ([part[0] for part in written if part],)
        keys = [key.value if isinstance(key, Literal) else None for key, _item in tree.entries]
        regular = all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys) and None not in written
        return ({key: part[0] for key, part in zip(keys, written, strict=True) if part},) if regular else None

    def _item(self, tree: Tree) -> tuple[Any] | None:
        """An item of a collection; None: only an expression says it."""
        if isinstance(tree, Literal):
            plain = _is_literal(tree.value) and not isinstance(tree.value, UInt)
            return (escaped(tree.value),) if plain else (f"${{{self._cel(tree)}}}",)
        if isinstance(tree, (ListTree, MapTree)):
            if not any(isinstance(part, Reference) for part in walk(tree)):
                data = _data(tree)
                return None if data is None else (escaped(data[0]),)
            return self._collection(tree)
        if isinstance(tree, Reference):
            if isinstance(tree.value, (Constant, Text, Expression)):
                return None
            return (f"${{{self._whole(tree.value)}}}",)
        return (f"${{{self._cel(tree)}}}",)


def escaped(value: Any) -> Any:
    """Data in which no text is read as a reference."""
    if isinstance(value, str):
        return value.replace(OPEN, f"${OPEN}")
    if isinstance(value, (list, tuple)):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _ends_in_dollar(part: str | Value) -> bool:
    return isinstance(part, str) and part.endswith("$")


def _is_literal(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _data(tree: Tree) -> tuple[Any] | None:
    """What a tree without references says as data; None: it computes something."""
    if isinstance(tree, Literal):
        return (tree.value,) if _is_literal(tree.value) and not isinstance(tree.value, UInt) else None
    if isinstance(tree, ListTree):
        items = [_data(item) for item in tree.items]
        return None if None in items else ([item[0] for item in items if item],)
    if isinstance(tree, MapTree):
        pairs = [(_data(key), _data(item)) for key, item in tree.entries]
        if any(key is None or item is None or not isinstance(key[0], str) for key, item in pairs):
            return None
        return ({key[0]: item[0] for key, item in pairs if key and item},)
    return None


def _finite(tree: Tree, named: dict[str, str]) -> Tree:
    """The tree with `number("NaN")` and the like for numbers that CEL has no literals for."""

    def odd(part: Tree) -> bool:
        return isinstance(part, Literal) and isinstance(part.value, float) and not math.isfinite(part.value)

    if not any(odd(part) for part in walk(tree)):
        return tree

    def changed(part: Tree) -> Tree:
        if isinstance(part, Literal):
            if not odd(part) or not isinstance(part.value, float):
                return part
            from penstock.graph.expression.tree import Name

            name = f"number_{len(named)}_"
            named[name] = f'number("{part.value!r}")'
            return Name(name)
        return _rebuilt(part, changed)

    return changed(tree)


def _rebuilt(tree: Tree, changed: Callable[[Tree], Tree]) -> Tree:
    match tree:
        case Operation():
            return replace(tree, arguments=tuple(changed(part) for part in tree.arguments))
        case Select():
            return replace(tree, operand=changed(tree.operand))
        case ListTree():
            return ListTree(tuple(changed(part) for part in tree.items))
        case MapTree():
            return MapTree(tuple((changed(key), changed(item)) for key, item in tree.entries))
        case Comprehension():
            return replace(tree, over=changed(tree.over), steps=tuple(changed(part) for part in tree.steps))
        case _:
            return tree
