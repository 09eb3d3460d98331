"""What is written at the place of a value: data, `${references}`, expressions, text with values in it.

`${fit.score}` alone is the value itself, `${fit.score * 100.0}` a CEL expression, `at ${fit.score}` text; `$${` is a plain `${`.
In an expression `one_of(a.x, b.x)`, `text(...)`, `constant(...)` and `value(...)` say what CEL has no words for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.authoring.yaml.scopes import Scope, UnknownReference
from penstock.authoring.yaml.tree import (
    Dictionary,
    Part,
    Scalar,
    Sequence,
    plain_value,
    scalars,
    told_surprise,
    value_of,
)
from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Constant, Expression, OneOf, Text, Value
from penstock.graph.builder import UNKNOWN_SCOPED, Scoped
from penstock.graph.expression.parse import UnknownName, parse
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Reference, Tree
from penstock.graph.parameters import given_parameter
from penstock.graph.sources import resolve
from penstock.graph.types import SOURCE, Type
from penstock.graph.value_trees import tree_of_value
from penstock.graph.value_types import type_of_constant

OPEN = "${"
_WHOLE = re.compile(r"\$\{\s*([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\s*\}")
_NAME = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text: literal, or what stands in `${}` and where that begins in the text."""

    text: str
    is_reference: bool
    offset: int = 0


def split(text: str) -> list[Piece]:
    """Text and references in turn. Raises ValueError at a `${` that is not closed, with its offset."""
    pieces: list[Piece] = []
    literal, position = "", 0
    while (start := text.find(OPEN, position)) >= 0:
        if start > 0 and text[start - 1] == "$":
            literal += text[position : start - 1] + OPEN
            position = start + 2
            continue
        literal += text[position:start]
        end = _end_of(text, start + 2)
        if end < 0:
            raise ValueError(start)
        if literal:
            pieces.append(Piece(literal, is_reference=False))
        pieces.append(Piece(text[start + 2 : end], is_reference=True, offset=start + 2))
        literal, position = "", end + 1
    literal += text[position:]
    if literal:
        pieces.append(Piece(literal, is_reference=False))
    return pieces


def _end_of(text: str, position: int) -> int:
    """Where the `}` is that closes what begins at `position`; -1: nowhere."""
    depth, quote = 0, ""
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    return -1


def has_references(part: Part) -> bool:
    """Whether a text in it refers to something; an escaped `$${` does not."""
    return any(OPEN in scalar.text.replace(f"${OPEN}", "") for scalar in scalars(part))


def data_of(part: Part) -> Any:
    """What is written as JSON data, where nothing refers to anything."""
    data = value_of(part)
    return _unescaped(data) if any(OPEN in scalar.text for scalar in scalars(part)) else data


def _unescaped(data: Any) -> Any:
    if isinstance(data, str):
        return data.replace(f"${OPEN}", OPEN)
    if isinstance(data, list):
        return [_unescaped(item) for item in data]
    return {name: _unescaped(item) for name, item in data.items()} if isinstance(data, dict) else data


class Values:
    """Reads values in one scope. `contents` remembers what was resolved of sources, for each graph."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._builder = scope.builder
        self._source = scope.source
        self._contents: dict[Any, Scoped] = {}

    def inside(self, scope: Scope) -> Values:
        """The same graph, with other names."""
        made = Values(scope)
        made._contents = self._contents
        return made

    # -- values --------------------------------------------------------------------------------------------------------

    def bound(self, part: Part, wanted: Type | None = None) -> Scoped:
        """What an input of a type is given. A source is given as its content, unless a source is what is wanted."""
        if not isinstance(part, Scalar):
            return self._collection(part, wanted)
        if OPEN in part.text:
            return self._settled(self._text(part), wanted, part)
        self._check_surprise(part, wanted)
        return self._constant(plain_value(part), wanted)

    def condition(self, part: Part) -> Scoped:
        """A condition: CEL, with or without `${}` around it, or true or false."""
        value = plain_value(part) if isinstance(part, Scalar) else None
        if not isinstance(part, Scalar) or value is None:
            return UNKNOWN_SCOPED  # told by the check of forms
        if not isinstance(value, str):
            return self._constant(value, None)
        whole = _WHOLE.fullmatch(value.strip())
        if whole is not None:
            return self.reference(whole[1], part, 0)
        text = value.strip()
        if text.startswith(OPEN) and _end_of(text, 2) == len(text) - 1:
            return self._content(text[2:-1], part, 2)
        if OPEN in text:
            fix = "Names stand in a condition as they are: when: fit.score > 0.8"
            self._source.report(
                "bad-expression", "a condition is one expression, not text with values in it", fix, part
            )
            return UNKNOWN_SCOPED
        if _NAME.fullmatch(text):
            return self.reference(text, part, 0)
        return self._content(value, part, 0)

    def _constant(self, value: Any, wanted: Type | None) -> Scoped:
        if wanted is not None and (wanted.item or wanted).name == SOURCE:
            return Scoped(None, Constant(given_parameter(wanted, value)), wanted)
        return Scoped(None, Constant(value), type_of_constant(value))

    def _collection(self, part: Sequence | Dictionary, wanted: Type | None) -> Scoped:
        if not has_references(part):
            item = wanted.item if wanted is not None else None
            for scalar in scalars(part):
                self._check_surprise(scalar, item)
            return self._constant(data_of(part), wanted)
        if isinstance(part, Sequence):
            listed = self._listed_sources(part)
            if listed is not None and (wanted is None or (wanted.item or wanted).name == SOURCE):
                return listed
            inner = wanted.item if wanted is not None else None
            bound = [self.bound(item, None if has_references(item) else inner) for item in part.items]
            return self._combined(bound, part, ListTree)
        parts = []
        for name, (_key, value) in part.entries.items():
            parts += [Scoped(None, Constant(name), type_of_constant(name)), self.bound(value)]
        return self._combined(parts, part, lambda trees: MapTree(tuple(zip(trees[::2], trees[1::2], strict=True))))

    def _listed_sources(self, part: Sequence) -> Scoped | None:
        """A list of sources that is written out: each is looked at where its item is."""
        found: list[Scoped] = []
        for item in part.items:
            whole = _WHOLE.fullmatch(item.text.strip()) if isinstance(item, Scalar) else None
            if not isinstance(item, Scalar) or whole is None or not whole[1].startswith("sources."):
                return None
            named = self.reference(whole[1], item, 0)
            if named.type.name != SOURCE or not isinstance(named.value, Constant):
                return None
            found.append(named)
        kinds = tuple(dict.fromkeys(kind for each in found for kind in each.type.options))
        values = [each.value.value for each in found if isinstance(each.value, Constant)]
        return Scoped(None, Constant(values), Type("list", item=Type(SOURCE, options=kinds)))

    def _check_surprise(self, scalar: Scalar, wanted: Type | None) -> None:
        """Say where a plain word means something else than it seems to, unless a type makes sure of what is meant."""
        found = told_surprise(scalar, wanted.name if wanted is not None else "any")
        if found is not None:
            self._source.report("yaml-surprise", found[0], found[1], scalar, severity="warning")

    # -- text ----------------------------------------------------------------------------------------------------------

    def _text(self, part: Scalar) -> Scoped:
        whole = _WHOLE.fullmatch(part.text)
        if whole is not None:
            return self.reference(whole[1], part, 2)
        try:
            pieces = split(part.text)
        except ValueError as error:
            fix = "Write ${task.output}; for a plain `${` write `$${`."
            self._source.report("bad-reference", "`${` without its `}`", fix, self._place(part, int(error.args[0])))
            return UNKNOWN_SCOPED
        if len(pieces) == 1:
            piece = pieces[0]
            if piece.is_reference:
                return self._content(piece.text, part, piece.offset)
            return Scoped(None, Constant(piece.text), type_of_constant(piece.text))
        found = [self._content(p.text, part, p.offset) if p.is_reference else None for p in pieces]
        operands = [each for each in found if each is not None]
        if any(each is UNKNOWN_SCOPED for each in operands):
            return UNKNOWN_SCOPED
        owner = self._builder.common_owner(operands)
        location = self._source.location(part.start)
        parts = tuple(
            piece.text if each is None else owner.bring(each, location)
            for piece, each in zip(pieces, found, strict=True)
        )
        return owner.scoped(Text(parts), location)

    def reference(self, name: str, part: Scalar, offset: int) -> Scoped:
        """The value of a name, or of a field of it."""
        try:
            found = self.scope.named(name)
            if found is not None:
                return found
        except UnknownReference as error:
            self._source.report(error.code, error.message, error.fix, self._place(part, offset))
            return UNKNOWN_SCOPED
        segments = name.split(".")
        if "-" in name and self.scope.find(segments[0]) is None and not self.scope.is_written(segments[0]):
            try:
                return self._expression(name, part)
            except ExpressionError:
                pass
        return self._content(".".join(f"`{s}`" if "-" in s else s for s in segments), part, offset)

    def _content(self, text: str, part: Scalar, offset: int) -> Scoped:
        """What stands in `${}`."""
        stripped = text.strip()
        offset += len(text) - len(text.lstrip())
        if _NAME.fullmatch(stripped) and "`" not in stripped:
            try:
                found = self.scope.named(stripped)
            except UnknownReference as error:
                self._source.report(error.code, error.message, error.fix, self._place(part, offset))
                return UNKNOWN_SCOPED
            if found is not None:
                return found
        try:
            return self._expression(stripped, part)
        except UnknownReference as error:
            self._source.report(error.code, error.message, error.fix, self._place(part, offset))
        except UnknownName as error:
            unknown = self.scope.unknown(error.name)
            self._source.report(unknown.code, unknown.message, unknown.fix, self._place(part, offset + error.position))
        except ExpressionError as error:
            message = f"`{stripped}` is no expression: {error.message}" if stripped else "`${}` is empty"
            fix = "Expressions are CEL; docs/yaml.md shows what they can say."
            self._source.report("bad-expression", message, fix, self._place(part, offset + error.position))
        return UNKNOWN_SCOPED

    def _place(self, part: Scalar, offset: int) -> int:
        """Where an offset of a scalar's text is in the file, as well as it can be told."""
        raw = self._source.text[part.start : part.end]
        position = raw.find(part.text)
        return part.start + (position + offset if position >= 0 and "\n" not in part.text else 0)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _expression(self, text: str, part: Scalar) -> Scoped:
        """Raises ExpressionError."""
        found: list[Scoped] = []

        def collect(name: str) -> Value | None:
            scoped = self.scope.named(name)
            if scoped is None:
                return None
            found.append(scoped)
            return scoped.value

        tree = parse(text, collect, _FUNCTIONS)
        if any(scoped is UNKNOWN_SCOPED for scoped in found):
            return UNKNOWN_SCOPED
        location = self._source.location(part.start)
        owner = self._builder.common_owner(found)
        if any(scoped.owner is not owner and scoped.owner is not None for scoped in found):

            def bring(name: str) -> Value | None:
                scoped = self.scope.named(name)
                return None if scoped is None else owner.bring(scoped, location)

            tree = parse(text, bring, _FUNCTIONS)
        own = isinstance(tree, Reference) and isinstance(tree.value, (OneOf, Text, Constant, Expression))
        return owner.scoped(tree.value if own and isinstance(tree, Reference) else Expression(tree), location)

    def _combined(self, parts: list[Scoped], at: Part, make: Callable[[tuple[Tree, ...]], Tree]) -> Scoped:
        if any(each is UNKNOWN_SCOPED for each in parts):
            return UNKNOWN_SCOPED
        owner, location = self._builder.common_owner(parts), self._source.location(at.start)
        trees = tuple([tree_of_value(owner.bring(each, location)) for each in parts])
        return owner.scoped(Expression(make(trees)), location)

    # -- sources -------------------------------------------------------------------------------------------------------

    def _settled(self, scoped: Scoped, wanted: Type | None, part: Part) -> Scoped:
        """A source as what stands behind it; anything else as it is."""
        if scoped.type.name != SOURCE or (wanted is not None and wanted.name == SOURCE):
            return scoped
        kind = wanted.name if wanted is not None and scoped.type.options == ("table",) else ""
        known = repr(scoped.value.value) if isinstance(scoped.value, Constant) else scoped.value
        key = (id(self._builder), id(scoped.owner), known, kind)
        if key not in self._contents:
            location = self._source.location(part.start)
            self._contents[key] = resolve(self._builder, scoped, wanted=wanted, location=location)
        return self._contents[key]


def _value_of_tree(tree: Tree) -> Value:
    if isinstance(tree, Reference):
        return tree.value
    return Constant(tree.value) if isinstance(tree, Literal) else Expression(tree)


def _one_of(arguments: tuple[Tree, ...]) -> Tree:
    if not arguments:
        raise ExpressionError("one_of() takes the values to choose from: one_of(a.model, b.model)")
    return Reference(OneOf(tuple(_value_of_tree(tree) for tree in arguments)))


def _text_of(arguments: tuple[Tree, ...]) -> Tree:
    parts = (
        tree.value if isinstance(tree, Literal) and isinstance(tree.value, str) else _value_of_tree(tree)
        for tree in arguments
    )
    return Reference(Text(tuple(parts)))


def _constant_of(arguments: tuple[Tree, ...]) -> Tree:
    if len(arguments) != 1:
        raise ExpressionError("constant() takes one piece of data: constant([1, 2])")
    return Reference(Constant(_data_of(arguments[0])))


def _data_of(tree: Tree) -> Any:
    match tree:
        case Literal(value) if not isinstance(value, bytes):
            return value
        case ListTree(items):
            return [_data_of(item) for item in items]
        case MapTree(entries):
            return {str(_data_of(key)): _data_of(value) for key, value in entries}
        case Operation("double", (Literal(str(text)),)):
            return float(text)
        case _:
            raise ExpressionError("constant() takes data that is written out")


def _value(arguments: tuple[Tree, ...]) -> Tree:
    if len(arguments) != 1:
        raise ExpressionError("value() takes one expression")
    return Reference(Expression(arguments[0]))


def _number(arguments: tuple[Tree, ...]) -> Tree:
    if len(arguments) == 1 and isinstance(arguments[0], Literal) and arguments[0].value in ("nan", "inf", "-inf"):
        return Literal(float(arguments[0].value))
    raise ExpressionError('number() takes "nan", "inf" or "-inf"')


_FUNCTIONS: Mapping[str, Callable[[tuple[Tree, ...]], Tree]] = {
    "one_of": _one_of,
    "text": _text_of,
    "constant": _constant_of,
    "value": _value,
    "number": _number,
}
