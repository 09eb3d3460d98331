"""What is made of several values of a pipeline: an expression over them, a text with them in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from penstock.authoring.dsl.building import Building, current_building
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Expression, Text, Value
from penstock.graph.builder import UNKNOWN_SCOPED, Scoped
from penstock.graph.expression.tree import Tree
from penstock.graph.value_trees import tree_of_value

MARK = "\u2063"  # INVISIBLE SEPARATOR around the stand-in for a value in text
_TOKEN = re.compile(f"{MARK}{{[^{{}}{MARK}]*#([0-9]+)}}{MARK}")


def combined(operands: Sequence[Scoped], make: Callable[[tuple[Tree, ...]], Tree]) -> Scoped:
    """An expression over some values; unknown where one of them is."""
    if any(operand is UNKNOWN_SCOPED for operand in operands):
        return UNKNOWN_SCOPED
    building = building_needed()
    owner, location = building.builder.common_owner(operands), building.where()
    trees = tuple([tree_of_value(owner.bring(operand, location)) for operand in operands])
    return owner.scoped(Expression(make(trees)), location)


def text_with_tokens(text: str) -> Scoped:
    """Text in which tokens are where values are to be."""
    building = building_needed()
    location = building.where()
    pieces = _TOKEN.split(text)
    numbers = [int(number) for number in pieces[1::2]]
    if any(number >= len(building.tokens) for number in numbers):
        building.report("value-out-of-scope", "text holds a value of another pipeline", "Make the text here.", location)
        return UNKNOWN_SCOPED
    operands = [building.tokens[number] for number in numbers]
    if any(operand is UNKNOWN_SCOPED for operand in operands):
        return UNKNOWN_SCOPED
    owner = building.builder.common_owner(operands)
    values = iter([owner.bring(operand, location) for operand in operands])
    parts: list[str | Value] = [piece if i % 2 == 0 else next(values) for i, piece in enumerate(pieces)]
    return owner.scoped(Text(tuple(part for part in parts if part != "")), location)


def building_needed() -> Building:
    """The pipeline whose body runs now. Raises InvalidInput outside of one."""
    building = current_building()
    if building is None:
        raise InvalidInput(
            "a value of a pipeline is used after its pipeline was built",
            fix="What a run gave is in pipeline.run(...).outputs.",
        )
    return building


def report_mistake(code: str, message: str, fix: str) -> None:
    building_needed().report(code, message, fix)
