"""Several lists that a map goes over together: in step, or every item of one with every item of the others."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.base.diagnostics import Location
from penstock.graph.bindings import Constant, Expression, Item
from penstock.graph.builder import GraphBuilder
from penstock.graph.expression.tree import Reference, Select
from penstock.graph.scoped import UNKNOWN_SCOPED, Scoped
from penstock.graph.types import ANY
from penstock.graph.value_trees import lists_tree

COMBINATIONS = {"step": "zip", "product": "product"}
"""How lists are combined, in the words of authors, and the function of expressions that does it."""


def combined_lists(
    builder: GraphBuilder, combination: str, lists: Mapping[str, Scoped], location: Location
) -> tuple[Scoped, dict[str, Scoped]]:
    """The one list of structs that a map goes over, and the field of its item for each of `lists`. Lists in step whose
    lengths are known and differ, and what is no list, are recorded."""
    _report_lengths(builder, combination, lists, location)
    known = UNKNOWN_SCOPED not in lists.values()
    for name, each in lists.items():
        if each.type.name not in ("list", "json", "any"):
            fix = f"Give a list, or give what is the same for every item as an input beside the lists: {name}=..."
            builder.report("not-a-list", f"a map goes over {name!r}, which is {each.type}, not a list", fix, location)
            known = False
    if not known:
        return UNKNOWN_SCOPED, dict.fromkeys(lists, UNKNOWN_SCOPED)
    owner = builder.common_owner(list(lists.values()))
    tree = lists_tree(COMBINATIONS[combination], [(name, owner.bring(each, location)) for name, each in lists.items()])
    items = {
        name: Scoped(None, Expression(Select(Reference(Item()), name)), each.type.item or ANY)
        for name, each in lists.items()
    }
    return owner.scoped(Expression(tree), location), items


def _report_lengths(builder: GraphBuilder, combination: str, lists: Mapping[str, Scoped], location: Location) -> None:
    constants = {name: each.value.value for name, each in lists.items() if isinstance(each.value, Constant)}
    lengths = {name: len(value) for name, value in constants.items() if isinstance(value, list)}
    if combination == "step" and len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        fix = "Give lists of one length, or their product for every combination."
        builder.report("lists-differ", f"lists in step must have as many items as each other: {told}", fix, location)
