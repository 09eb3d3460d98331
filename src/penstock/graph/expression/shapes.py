"""What is known of a value before it exists: finer than graph types in numbers and maps, "dyn" where nothing is
known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.base.errors import ExpressionError
from penstock.graph.types import ANY, BOOL, DICT, FLOAT, INT, JSON, NULL, STR, STRUCT, Type, dict_of, enum_of, list_of

NUMBERS = frozenset({"int", "uint", "double"})


@dataclass(frozen=True, slots=True)
class Shape:
    """`kind` is a CEL kind, "dyn", or "artifact"; `of` is the graph type of an artifact, and of a "dyn" that may be one;
    `item` is the shape of a list's items or a map's values; `parts` are the shapes of the items or fields that are known
    one by one; `key` the kind of a map's keys ("" unknown); `options` the texts that an enum can be."""

    kind: str
    item: Shape | None = None
    key: str = ""
    options: tuple[str, ...] = ()
    optional: bool = False
    of: Type | None = None
    parts: tuple[tuple[str, Shape], ...] = ()

    def __str__(self) -> str:
        if self.kind == "list" and self.item and self.item.kind != "dyn":
            return f"list of {self.item}"
        return str(self.of) if self.kind == "artifact" else self.kind

    @property
    def holds_artifacts(self) -> bool:
        """Whether it is an artifact, or a list or map of some."""
        return self.kind == "artifact" or (self.item is not None and self.item.holds_artifacts)


DYN = Shape("dyn")
OPEN = Shape("dyn", of=ANY)
"""Nothing is known, not even that it is a parameter."""
_OF_NAMES = {
    "null": Shape("null"),
    "bool": Shape("bool"),
    "int": Shape("int"),
    "float": Shape("double"),
    "str": Shape("string"),
    "json": DYN,
    "any": OPEN,
}
_TYPES = {"null": NULL, "bool": BOOL, "int": INT, "uint": INT, "double": FLOAT, "string": STR, "dyn": JSON}


def shape_of(given: Type) -> Shape:
    """The shape of values of a graph type."""
    parts = tuple([(name, shape_of(part)) for name, part in given.known_parts.items()])
    if given.name == "list":
        found = Shape("list", item=shape_of(given.item) if given.item else DYN, parts=parts)
    elif given.name in (DICT, "struct") or given.fields is not None:
        found = Shape("map", item=shape_of(given.item) if given.item else DYN, key="string", parts=parts)
    elif given.name == "enum":
        found = Shape("string", options=given.options)
    else:
        found = _OF_NAMES.get(given.name) or Shape("artifact", of=given)
    return replace(found, optional=True) if given.optional else found


def type_of_shape(shape: Shape) -> Type:
    """The graph type of values of a shape. Raises ExpressionError where they can't leave an expression: bytes, and maps
    whose keys are no text, are not JSON."""
    if shape.kind == "list":
        item = type_of_shape(shape.item) if shape.item else JSON
        found = list_of(item) if shape.item and (shape.item.kind != "dyn" or shape.item.of) else Type("list")
        found = replace(found, parts=_types_of(shape.parts))
    elif shape.kind == "map":
        if shape.key not in ("string", ""):
            raise ExpressionError(f"a map with {shape.key} keys can't leave the expression; only text keys can")
        item = type_of_shape(shape.item or DYN)
        parts = _types_of(shape.parts)
        artifacts = [type_ for _, type_ in (("", item), *parts) if not type_.is_parameter and type_.name != "any"]
        found = dict_of(item if item in artifacts else ANY, parts) if artifacts else replace(STRUCT, parts=parts)
    elif shape.kind == "bytes":
        raise ExpressionError("bytes can't leave the expression; string(...) makes text of them")
    elif shape.options:
        found = enum_of(*shape.options)
    else:
        found = shape.of or _TYPES[shape.kind]
    return replace(found, optional=True) if shape.optional and found.name not in ("json", "any") else found


def _types_of(parts: tuple[tuple[str, Shape], ...]) -> tuple[tuple[str, Type], ...]:
    return tuple([(name, type_of_shape(part)) for name, part in parts])


def joined(one: Shape, other: Shape) -> Shape | None:
    """The shape of a value that has one shape or the other; None when they have nothing in common."""
    optional = one.optional or other.optional
    if replace(one, optional=optional) == replace(other, optional=optional):
        return replace(one, optional=optional)
    if "dyn" in (one.kind, other.kind):
        unknown = any(shape.of is not None or shape.holds_artifacts for shape in (one, other))
        return OPEN if unknown else DYN
    if "null" in (one.kind, other.kind):
        return replace(other if one.kind == "null" else one, optional=True)
    if {one.kind, other.kind} == {"int", "double"}:
        return Shape("double", optional=optional)
    if one.kind != other.kind or one.kind == "artifact":
        return None
    if one.kind == "string":
        options = tuple(dict.fromkeys(one.options + other.options)) if one.options and other.options else ()
        return Shape("string", options=options, optional=optional)
    mixed = OPEN if one.holds_artifacts or other.holds_artifacts else DYN
    item = joined(one.item or DYN, other.item or DYN) or mixed
    return Shape(one.kind, item=item, key=one.key if one.key == other.key else "", optional=optional)


def comparable(one: Shape, other: Shape) -> bool:
    """Whether two values can ever be equal."""
    kinds = {one.kind, other.kind}
    return len(kinds) == 1 or bool(kinds & {"dyn", "null"}) or kinds <= NUMBERS
