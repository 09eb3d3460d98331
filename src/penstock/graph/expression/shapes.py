"""What is known of a value before it exists: finer than graph types in numbers and maps, "dyn" where nothing is
known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.base.errors import ExpressionError
from penstock.graph.types import BOOL, FLOAT, INT, JSON, NULL, STR, STRUCT, Type, enum_of, list_of

NUMBERS = frozenset({"int", "uint", "double"})


@dataclass(frozen=True, slots=True)
class Shape:
    """`kind` is a CEL kind, "dyn", or "artifact" (then `artifact` names the type); `item` is the shape of a list's
    items or a map's values; `key` the kind of a map's keys ("" unknown); `options` the texts that an enum can be."""

    kind: str
    item: Shape | None = None
    key: str = ""
    options: tuple[str, ...] = ()
    optional: bool = False
    artifact: str = ""

    def __str__(self) -> str:
        if self.kind == "list" and self.item and self.item.kind != "dyn":
            return f"list of {self.item}"
        return self.artifact or self.kind


DYN = Shape("dyn")
_OF_NAMES = {
    "null": Shape("null"),
    "bool": Shape("bool"),
    "int": Shape("int"),
    "float": Shape("double"),
    "str": Shape("string"),
    "struct": Shape("map", item=DYN, key="string"),
    "json": DYN,
    "any": DYN,
}
_TYPES = {"null": NULL, "bool": BOOL, "int": INT, "uint": INT, "double": FLOAT, "string": STR, "dyn": JSON}


def shape_of(given: Type) -> Shape:
    """The shape of values of a graph type."""
    if given.name == "list":
        found = Shape("list", item=shape_of(given.item) if given.item else DYN)
    elif given.name == "enum":
        found = Shape("string", options=given.options)
    else:
        found = _OF_NAMES.get(given.name) or Shape("artifact", artifact=str(given))
    return replace(found, optional=True) if given.optional else found


def type_of_shape(shape: Shape) -> Type:
    """The graph type of values of a shape. Raises ExpressionError where they can't leave an expression: bytes, and maps
    whose keys are no text, are not JSON."""
    if shape.kind == "list":
        item = type_of_shape(shape.item) if shape.item else JSON
        found = list_of(item) if shape.item and shape.item.kind != "dyn" else Type("list")
    elif shape.kind == "map":
        if shape.key not in ("string", ""):
            raise ExpressionError(f"a map with {shape.key} keys can't leave the expression; only text keys can")
        type_of_shape(shape.item or DYN)
        found = STRUCT
    elif shape.kind == "bytes":
        raise ExpressionError("bytes can't leave the expression; string(...) makes text of them")
    elif shape.options:
        found = enum_of(*shape.options)
    else:
        found = _TYPES[shape.kind]
    return replace(found, optional=True) if shape.optional and found.name != "json" else found


def joined(one: Shape, other: Shape) -> Shape | None:
    """The shape of a value that has one shape or the other; None when they have nothing in common."""
    optional = one.optional or other.optional
    if replace(one, optional=optional) == replace(other, optional=optional):
        return replace(one, optional=optional)
    if "dyn" in (one.kind, other.kind):
        return DYN
    if "null" in (one.kind, other.kind):
        return replace(other if one.kind == "null" else one, optional=True)
    if {one.kind, other.kind} == {"int", "double"}:
        return Shape("double", optional=optional)
    if one.kind != other.kind or one.kind == "artifact":
        return None
    if one.kind == "string":
        options = tuple(dict.fromkeys(one.options + other.options)) if one.options and other.options else ()
        return Shape("string", options=options, optional=optional)
    item = joined(one.item or DYN, other.item or DYN) or DYN
    return Shape(one.kind, item=item, key=one.key if one.key == other.key else "", optional=optional)


def comparable(one: Shape, other: Shape) -> bool:
    """Whether two values can ever be equal."""
    kinds = {one.kind, other.kind}
    return len(kinds) == 1 or bool(kinds & {"dyn", "null"}) or kinds <= NUMBERS
