"""The type of a Value, as far as it is known before a run. Knows nothing about which names exist: what a leaf refers to
is asked of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from penstock.graph.bindings import Constant, Expression, Index, OneOf, Round, StateOf, Text, Value
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Reference, Tree
from penstock.graph.types import ANY, BOOL, FLOAT, INT, JSON, NULL, STR, STRUCT, Type, dict_of, list_of

UNKNOWN = Constant(...)
"""Stands where an author's mistake left no value, so that building can go on. It has type `any`, nothing complains
about it again, and a graph that holds it always has a diagnostic already: it is never written, planned or run."""

TypeOfLeaf = Callable[[Value], Type]
"""The type of an `Input`, `Output` or `Item`."""


def type_of_value(value: Value, type_of_leaf: TypeOfLeaf) -> Type:
    """The type of `value`; `any` where it depends on what comes. Raises ExpressionError where an expression makes no
    sense for the types of its leaves."""
    if isinstance(value, Constant):
        return type_of_constant(value.value)
    if isinstance(value, (Text, StateOf)):
        return STR
    if isinstance(value, (Index, Round)):
        return INT
    if isinstance(value, OneOf):
        return merge_types([type_of_value(source, type_of_leaf) for source in value.sources])
    if isinstance(value, Expression):
        return type_of_tree(value.tree, type_of_leaf)
    return type_of_leaf(value)


def type_of_tree(tree: Tree, type_of_leaf: TypeOfLeaf) -> Type:
    """The type of an expression. A list or dict that is written out keeps the types of its items, artifacts included."""
    if isinstance(tree, Reference):
        return type_of_value(tree.value, type_of_leaf)
    if isinstance(tree, ListTree):
        types = [type_of_tree(item, type_of_leaf) for item in tree.items]
        return replace(list_type(types), parts=tuple([(str(index), type_) for index, type_ in enumerate(types)]))
    if isinstance(tree, MapTree):
        for key, _entry in tree.entries:
            type_of_tree(key, type_of_leaf)
        return struct_type([(key, type_of_tree(entry, type_of_leaf)) for key, entry in tree.entries])
    from penstock.graph.expression.check import type_of

    return type_of(tree, lambda value: type_of_value(value, type_of_leaf))


def type_of_constant(value: Any) -> Type:
    """The type of JSON data; `any` for anything else."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, str):
        return STR
    if isinstance(value, (list, tuple)):
        return list_type([type_of_constant(item) for item in value])
    return STRUCT if isinstance(value, dict) else ANY


def list_type(items: Sequence[Type]) -> Type:
    """The type of a list of such items."""
    return list_of(merge_types(items)) if items else Type("list")


def struct_type(fields: Sequence[tuple[Tree, Type]]) -> Type:
    """The type of a dict with such entries."""
    named = [(key.value, type_) for key, type_ in fields if isinstance(key, Literal)]
    parts = tuple([(name, type_) for name, type_ in named if isinstance(name, str)])
    parts = parts if len(parts) == len(fields) else ()
    types = [type_ for _, type_ in fields]
    if all(type_.is_parameter or type_.name == "any" for type_ in types):
        return replace(STRUCT, parts=parts)
    return dict_of(merge_types(types), parts)


def merge_types(types: Iterable[Type]) -> Type:
    """The narrowest type that every one of `types` may be given for; `any` where only that would do."""
    given = list(types)
    distinct = list(dict.fromkeys(given))
    if len(distinct) == 1:
        return distinct[0] if all(_knows_the_same(type_, distinct[0]) for type_ in given) else _bare(distinct[0])
    if any(type_.name == "any" for type_ in distinct):
        return ANY
    optional = any(type_.optional or type_.name == "null" for type_ in distinct)
    concrete = list(dict.fromkeys(replace(type_, optional=False) for type_ in distinct if type_.name != "null"))
    if not concrete:
        return NULL if distinct else ANY
    merged = _narrowest(concrete)
    return replace(merged, optional=True) if optional and merged.name != "any" else merged


def _knows_the_same(one: Type, other: Type) -> bool:
    """Whether equal types have equal parts as well."""
    if one is other:
        return True
    items = (one.item, other.item)
    return one.parts == other.parts and (items[0] is None or items[1] is None or _knows_the_same(*items))  # type: ignore[arg-type]


def _bare(type_: Type) -> Type:
    """A type without what is known of its parts."""
    return replace(type_, item=type_.item and _bare(type_.item), parts=())


def _narrowest(concrete: list[Type]) -> Type:
    if len(concrete) == 1:
        return concrete[0]
    if {type_.name for type_ in concrete} <= {"enum", "str"}:
        return STR
    for candidate in concrete:
        if all(candidate.accepts(other) for other in concrete):
            return candidate
    return JSON if all(type_.is_parameter for type_ in concrete) else ANY
