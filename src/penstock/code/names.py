"""What a chain means across modules: re-exports, wildcards, submodules, `__getattr__` of modules."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from penstock.code.facts import Facts

ALL_STARS = "import *"
"""What several wildcard imports of a module bind: their order decides."""

_OF_MODULES = frozenset(
    ("__name__", "__file__", "__path__", "__package__", "__spec__", "__loader__", "__cached__", "__version__")
)


class Target(NamedTuple):
    """`kind` is `unit` (key `module:name`), `module` (all of a first-party one) or `foreign` (a module of somebody
    else's). `left`: how many attributes the chain asks of what was found."""

    kind: str
    key: str
    left: int = 0


@dataclass(slots=True)
class Names:
    """`units`: the statements that bind each name, by module; `packages`: every name that first-party modules stand
    below."""

    facts: Mapping[str, Facts]
    units: Mapping[str, Mapping[str, list[int]]]
    packages: frozenset[str]
    dynamic: set[str]

    def meaning(self, chain: str, module: str) -> list[Target]:
        """What a chain found in `module` means. Empty for the standard library, Penstock, and what is nowhere."""
        if chain[0] == "=":
            name, _, rest = chain[1:].partition("|")
            return self._in_module(name, rest.split(".") if rest else [], set())
        root, *rest_ = chain.split(".")
        found = self._of_name(module, root, rest_, set())
        return found if found or module not in self.dynamic else [Target("module", module)]

    def _in_module(self, module: str, attributes: list[str], seen: set[tuple[str, str]]) -> list[Target]:
        if module in self.facts:
            if not attributes:
                return [Target("module", module)]
            found = self._of_name(module, attributes[0], attributes[1:], seen)
            if found or attributes[0] in _OF_MODULES or (module, attributes[0]) in seen:
                return found
            return self._unknown(module, attributes[0])
        if module in self.packages:
            return self._in_module(f"{module}.{attributes[0]}", attributes[1:], seen) if attributes else []
        top = module.partition(".")[0]
        if not top or top in sys.stdlib_module_names or top in ("penstock", "__main__"):
            return []
        return [Target("foreign", module, len(attributes))]

    def _unknown(self, module: str, name: str) -> list[Target]:
        """An attribute that is nowhere to be seen: it may come from anything in the module, or be an extension module
        that stands beside it."""
        found = [Target("module", module)]
        if "__getattr__" in self.units[module]:
            found.append(Target("unit", f"{module}:__getattr__"))
        if self.facts[module].is_package:
            found.append(Target("foreign", f"{module}.{name}"))
        return found

    def _of_name(self, module: str, name: str, rest: list[str], seen: set[tuple[str, str]]) -> list[Target]:
        if (module, name) in seen:
            return []
        seen = seen | {(module, name)}
        found: list[Target] = []
        if name in self.units[module]:
            found.append(Target("unit", f"{module}:{name}", len(rest)))
        facts = self.facts[module]
        for chain in facts.imports.get(name, ()):
            imported, _, attribute = chain[1:].partition("|")
            found += self._in_module(imported, [attribute, *rest] if attribute else rest, seen)
        if not found and f"{module}.{name}" in self.packages:
            found = self._in_module(f"{module}.{name}", rest, seen)
        if not found:
            for star in facts.stars:
                found += self._of_star(star, name, rest, seen)
            if found and ALL_STARS in self.units[module]:
                found.append(Target("unit", f"{module}:{ALL_STARS}"))
        return found

    def _of_star(self, star: str, name: str, rest: list[str], seen: set[tuple[str, str]]) -> list[Target]:
        if star in self.facts:
            found = self._of_name(star, name, rest, seen)
            if not found and name in self.facts[star].imports:
                found = [
                    Target("module", star)
                ]  # what it imports of the standard library goes by the name it has there
            listed = "__all__" in self.units[star] and found
            return [*found, Target("unit", f"{star}:__all__")] if listed else found
        return self._in_module(star, [name, *rest], seen) if star not in self.packages else []


def names_of(facts: Mapping[str, Facts]) -> Names:
    units: dict[str, dict[str, list[int]]] = {}
    packages: dict[str, None] = {}
    dynamic = set()
    for module, each in facts.items():
        binds: dict[str, list[int]] = {}
        for position, statement in enumerate(each.statements):
            for name in statement.binds:
                binds.setdefault(name, []).append(position)
        units[module] = binds
        parts = module.split(".")
        packages.update(dict.fromkeys(".".join(parts[:length]) for length in range(1, len(parts) + 1)))
        if each.dynamic:
            dynamic.add(module)
    return Names(facts, units, frozenset(packages), dynamic)
