"""Several lists that a map goes over together: `in_step` and `product`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.authoring.dsl.building import Building
from penstock.authoring.dsl.handles import as_scoped
from penstock.base.diagnostics import Location
from penstock.graph.builder import UNKNOWN_SCOPED, Scoped
from penstock.graph.lists import combined_lists
from penstock.graph.types import ANY, Type, list_of


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists by the names of the parameters that get their items. `combination` is "step" or "product"."""

    combination: str
    lists: Mapping[str, Any]

    def __iter__(self) -> Any:
        raise TypeError("in_step(...) and product(...) are for map_over: map_over(fit, in_step(x=xs, y=ys))")


def in_step(**lists: Any) -> Lists:
    """Lists for `map_over` to go over in step: `map_over(fit, in_step(data=tables, name=names))` uses `fit` for the first
    item of each list, for the second of each, and so on. Each goes to the parameter that it is named after. Lists of
    different lengths fail the map; `check` reports those that are known. `map_over(fit, data=tables, name=names)` is short
    for it, where no other parameter is given."""
    return Lists("step", lists)


def product(**lists: Any) -> Lists:
    """Lists for `map_over` to go over in every combination: `map_over(fit, product(depth=[3, 5], rate=[0.1, 0.3]),
    data=table)` uses `fit` four times. The last list changes fastest, as with `itertools.product`."""
    return Lists("product", lists)


def list_and_items(
    building: Building, given: Lists, types: Mapping[str, Type], location: Location
) -> tuple[Scoped, dict[str, Scoped]]:
    """The one list that a map goes over, and what each parameter gets of an item of it."""
    found = {name: as_scoped(value, list_of(types.get(name, ANY))) for name, value in given.lists.items()}
    if not found:
        fix = "Name the lists by the parameters that get their items: map_over(fit, in_step(x=xs, y=ys))."
        building.report("no-lists", "map_over is given no list", fix, location)
        return UNKNOWN_SCOPED, {}
    return combined_lists(building.builder, given.combination, found, location)
