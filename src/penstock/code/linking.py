"""From the facts of all sources to one graph of units: who reaches whom, what touches what (cache rules 3 to 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.code.facts import Facts, Statement
from penstock.code.happenings import is_registration, is_setting, is_shared
from penstock.code.names import Names, Target, names_of
from penstock.code.references import (
    ASKS_SUBCLASSES,
    CHANGING,
    READS_WHAT_IS_TOLD,
    TELLS_LITTLE,
    TELLS_SUBCLASSES,
)

_CALLED_DEPTH = 4
# Calls in a definition that compute nothing from outside of it.
_DECLARING = frozenset({"field", "auto", "TypeVar", "namedtuple", "property", "partial", "frozenset", "tuple", "range"})


@dataclass(slots=True)
class Linked:
    """A node of the graph. `key` is `module:name` for a unit, `module:*` for what importing a module does beside
    binding names (rule 5), `module:**` for all of a module, and `=name` for a module of somebody else's. The digests
    are None where there is nothing to count. `spans` are (module, first line, last line) of its text; `is_data`: it
    may count by its value; `is_decorated`: what a decorator holds counts too; `is_literal`: the text says all that can
    be known of it. The rest is as in `facts`."""

    key: str
    kind: str
    module: str
    plain: str | None = None
    named: str | None = None
    full: str | None = None
    raw: str | None = None
    edges: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    """The edges that hold also when it counts by its value."""
    returned: tuple[str, ...] = ()
    """The edges that only the return annotation gives."""
    annotations: tuple[str, ...] = ()
    flags: int = 0
    variables: tuple[str, ...] = ()
    suspects: tuple[tuple[str, int], ...] = ()
    natives: tuple[tuple[str, str, int], ...] = ()
    functions: tuple[str, ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()
    is_data: bool = False
    is_decorated: bool = False
    is_literal: bool = False


Place = tuple[str, int]
"""A statement: its module, its position there."""


@dataclass(slots=True)
class Linker:
    """Links once. `active` are the modules that are loaded, and those that these may load."""

    facts: Mapping[str, Facts]
    active: list[str]
    names: Names
    touches: dict[str, dict[Place, None]] = field(default_factory=dict)
    effects: dict[str, dict[Place, None]] = field(default_factory=dict)
    derived: dict[str, dict[str, None]] = field(default_factory=dict)
    _targets: dict[tuple[str, str], list[Target]] = field(default_factory=dict)

    def meaning(self, chain: str, module: str) -> list[Target]:
        known = self._targets.get((module, chain))
        if known is None:
            known = self._targets[module, chain] = self.names.meaning(chain, module)
        return known

    def statement(self, place: Place) -> Statement:
        return self.facts[place[0]].statements[place[1]]

    # -- what happens at import --------------------------------------------------------------------------------------

    def look_at_imports(self) -> None:
        statements = (each for module in self.active for each in self.facts[module].statements)
        is_heard = any(each.flags & READS_WHAT_IS_TOLD for each in statements)
        for module in self.active:
            for position, statement in enumerate(self.facts[module].statements):
                place = (module, position)
                is_effect = statement.has_effect
                for chain in statement.stores:
                    is_effect |= not self._touch(chain, place, statement)
                for chain, how in statement.calls:
                    is_effect |= not self._call(chain, how, place, statement)
                if is_effect and (is_heard or not statement.flags & TELLS_LITTLE):
                    self.effects.setdefault(module, {})[place] = None
                for chain in statement.bases:
                    for target in self.meaning(chain, module):
                        if target.kind == "unit":
                            units = (f"{module}:{name}" for name in statement.binds)
                            self.derived.setdefault(target.key, {}).update(dict.fromkeys(units))

    def _touch(self, chain: str, place: Place, statement: Statement) -> bool:
        """Whether a store belongs to some binding of the author's."""
        own = {f"{place[0]}:{name}" for name in statement.binds}
        is_known = False
        for target in self.meaning(chain, place[0]):
            if target.kind == "unit" and target.key not in own:
                self.touches.setdefault(target.key, {})[place] = None
                is_known = not self._is_shared(target.key)
            elif target.kind == "module":
                # under a computed name, or one that the module does not bind itself: it may be any of its units
                self.effects.setdefault(target.key, {})[place] = None
                self.names.dynamic.add(target.key)
                is_known = True
        return is_known

    def _call(self, chain: str, how: str, place: Place, statement: Statement) -> bool:
        """Whether nothing more than this call's object is changed by it, as far as rule 4 goes."""
        targets = self.meaning(chain, place[0])
        own = {f"{place[0]}:{name}" for name in statement.binds}
        for target in targets:
            if target.kind != "unit" or target.key in own:
                continue
            if target.left and (how != "inside" or chain.rpartition(".")[2] in CHANGING):
                self.touches.setdefault(target.key, {})[place] = None
            for changed in self._changed_by(target.key):
                if changed not in own:
                    self.touches.setdefault(changed, {})[place] = None
        is_own = bool(targets) and all(target.kind == "unit" for target in targets)
        if how == "inside":
            return is_own or not is_setting(self._spelled(chain, place[0]))
        if how == "decorator":
            return is_own or not is_registration(self._spelled(chain, place[0]))
        if self._spelled(chain, place[0]).startswith("penstock."):
            return True
        return is_own and all(target.left and not self._is_shared(target.key) for target in targets)

    def _is_shared(self, key: str) -> bool:
        """Whether a binding is another name for something of somebody else's, which all share: `options = pd.options`."""
        module, _, name = key.partition(":")
        own = [self.facts[module].statements[position] for position in self.names.units[module].get(name, ())]
        return any(
            is_shared(self._spelled(chain, module), is_called=bool(statement.calls))
            for statement in own
            if statement.kind == "data"
            for chain in ((chain for chain, _ in statement.calls) if statement.calls else statement.refs)
            if not any(target.kind == "unit" for target in self.meaning(chain, module))
        )

    def _spelled(self, chain: str, module: str) -> str:
        """A chain as it would be written from the module that is imported: `numpy.seterr`."""
        root, dot, rest = chain.partition(".")
        imported = self.facts[module].imports.get(root)
        return f"{imported[0] if imported else root}{dot}{rest}".lstrip("=").replace("|", ".")

    def _changed_by(self, key: str) -> Iterator[str]:
        """The bindings that calling a function or class changes, itself or through others that it calls."""
        pending, seen = [(key, 0)], {key}
        while pending:
            unit, depth = pending.pop()
            module, _, name = unit.partition(":")
            for position in self.names.units[module].get(name, ()):
                statement = self.facts[module].statements[position]
                if statement.kind not in ("def", "class"):
                    continue
                for chain in statement.mutates:
                    yield from (each.key for each in self.meaning(chain, module) if each.kind == "unit")
                for chain in statement.refs if depth < _CALLED_DEPTH else ():
                    for each in self.meaning(chain, module):
                        if each.kind == "unit" and each.key not in seen:
                            seen.add(each.key)
                            pending.append((each.key, depth + 1))

    # -- nodes -------------------------------------------------------------------------------------------------------

    def nodes(self) -> Iterator[Linked]:
        foreign: dict[str, None] = {}
        asked = any(each.flags & ASKS_SUBCLASSES for m in self.active for each in self.facts[m].statements)
        for module, units in self.names.units.items():
            for name, positions in units.items():
                yield self._unit(module, name, [(module, position) for position in positions], foreign, asked)
            yield self._effects(module, foreign)
            yield self._whole(module, foreign)
        for name in foreign:
            yield Linked(f"={name}", "foreign", name)

    def _unit(self, module: str, name: str, own: list[Place], foreign: dict[str, None], asked: bool) -> Linked:
        key = f"{module}:{name}"
        places = [*own, *(place for place in sorted(self.touches.get(key, ())) if place not in own)]
        statements = [self.statement(place) for place in places]
        edges = dict.fromkeys(self._edges(places, foreign))
        flags = _either(statement.flags for statement in statements)
        if asked or flags & TELLS_SUBCLASSES:
            edges.update(dict.fromkeys(self._descendants(key)))
        mine = statements[: len(own)]
        lasting = f"{module}:*"
        linked = self._from_places(key, "unit", places, foreign)
        linked.edges = (*edges, lasting)
        linked.lasting = (lasting,)
        if (returned := mine[0].returned) and len(places) == 1:
            others = [(chain, module) for chain in mine[0].refs if chain not in returned]
            kept = {lasting, *self._edges_of(others, foreign)}
            more = self._edges_of(((chain, module) for chain in returned), foreign)
            linked.returned = tuple([edge for edge in more if edge not in kept])
        annotations = ((chain, module) for statement in mine for chain in statement.annotations)
        linked.annotations = tuple(self._edges_of(annotations, foreign))
        if any(self._is_read(statement, module) for statement in mine):
            linked.edges = (*linked.edges, *linked.annotations)
        linked.is_data = all(statement.kind == "data" for statement in mine)
        linked.is_decorated = not linked.is_data and any(statement.readers for statement in mine)
        linked.is_literal = len(places) == 1 and not (mine[0].refs if linked.is_data else self._computes(places[0]))
        linked.kind = mine[0].kind if len({statement.kind for statement in mine}) == 1 else "data"
        return linked

    def _computes(self, place: Place) -> bool:
        """Whether a definition computes something when it is made."""
        for chain, how in self.statement(place).calls:
            if how == "inside" and chain.rpartition(".")[2] not in _DECLARING:
                return True
            if how == "decorator" and any(target.kind == "unit" for target in self.meaning(chain, place[0])):
                return True
        return False

    def _from_places(self, key: str, kind: str, places: list[Place], foreign: dict[str, None]) -> Linked:
        statements = [self.statement(place) for place in places]
        module = key.rpartition(":")[0]
        own = [statement for statement, place in zip(statements, places, strict=True) if place[0] == module]
        full = [statement.full for statement in statements]
        plain = [
            statement.full if self._is_read(statement, place[0]) else statement.plain
            for statement, place in zip(statements, places, strict=True)
        ]
        return Linked(
            key,
            kind,
            module,
            plain=_digest(plain),
            named=_digest(statement.named for statement in statements),
            full=_digest(full),
            raw=_digest(statement.raw for statement in statements),
            flags=_either(statement.flags for statement in statements),
            variables=_flat(statement.variables for statement in statements),
            suspects=_flat(statement.suspects for statement in statements),
            natives=_flat(statement.natives for statement in statements),
            functions=_flat(statement.functions for statement in own),
            spans=tuple((place[0], s.first, s.last) for s, place in zip(statements, places, strict=True)),
        )

    def _is_read(self, statement: Statement, module: str) -> bool:
        """Whether a third-party decorator or base may read docstrings (rule 7)."""
        return any(target.kind == "foreign" for chain in statement.readers for target in self.meaning(chain, module))

    def _effects(self, module: str, foreign: dict[str, None]) -> Linked:
        places = sorted(self.effects.get(module, ()))
        facts = self.facts[module]
        if places or facts.error:
            linked = self._from_places(f"{module}:*", "effects", places, foreign)
        else:
            linked = Linked(f"{module}:*", "effects", module)
        if facts.error:
            linked.suspects = (*linked.suspects, (facts.error, 0))
        runs = [name for name in self._run(module, facts.runs) if name != module]
        linked.edges = tuple(dict.fromkeys((*self._edges(places, foreign), *(f"{name}:*" for name in runs))))
        return linked

    def _run(self, module: str, imported: Iterable[str]) -> Iterator[str]:
        """The first-party modules that are run by importing modules: those above them as well."""
        for name in (module, *imported):
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                prefix = ".".join(parts[:length])
                if prefix in self.facts:
                    yield prefix

    def _whole(self, module: str, foreign: dict[str, None]) -> Linked:
        """All that a module offers, what it has imported included."""
        facts = self.facts[module]
        chains = [*facts.imports, *(f"={star}" for star in facts.stars if star in self.facts)]
        edges = [f"{module}:{name}" for name in self.names.units[module]]
        own = f"{module}:**"
        imported = (edge for edge in self._edges_of(((chain, module) for chain in chains), foreign) if edge != own)
        names = _digest(f"{name} {chains}\n" for name, chains in sorted(facts.imports.items()))
        return Linked(
            own, "module", module, plain=names, edges=tuple(dict.fromkeys((*edges, *imported, f"{module}:*")))
        )

    def _edges(self, places: Iterable[Place], foreign: dict[str, None]) -> Iterator[str]:
        for place in places:
            module, statement = place[0], self.statement(place)
            yield from self._edges_of(((chain, module) for chain in statement.refs), foreign)
            yield from (f"{name}:*" for name in self._run(module, statement.imports))
            yield from (f"{module}:{name}" for name in statement.binds)
            for name in statement.imports:  # a third-party module that is only imported still runs
                if name.partition(".")[0] not in self.names.packages:
                    yield from self._edges_of(((f"={name}", module),), foreign)

    def _edges_of(self, chains: Iterable[tuple[str, str]], foreign: dict[str, None]) -> Iterator[str]:
        for chain, module in chains:
            for target in self.meaning(chain, module):
                if target.kind == "foreign":
                    foreign[target.key] = None
                    yield f"={target.key}"
                else:
                    yield target.key if target.kind == "unit" else f"{target.key}:**"

    def _descendants(self, key: str) -> Iterator[str]:
        pending, seen = [key], {key}
        while pending:
            for below in self.derived.get(pending.pop(), ()):
                if below not in seen:
                    seen.add(below)
                    pending.append(below)
                    yield below


def link(facts: Mapping[str, Facts], loaded: Iterable[str]) -> dict[str, Linked]:
    """The graph of all units, by key."""
    linker = Linker(facts, _active(facts, loaded), names_of(facts))
    linker.look_at_imports()
    return {linked.key: linked for linked in linker.nodes()}


def _active(facts: Mapping[str, Facts], loaded: Iterable[str]) -> list[str]:
    pending = [name for name in loaded if name in facts]
    found = dict.fromkeys(pending)
    while pending:
        each = facts[pending.pop()]
        for name in (*each.runs, *(name for statement in each.statements for name in statement.imports)):
            if name in facts and name not in found:
                found[name] = None
                pending.append(name)
    return sorted(found)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _either(flags: Iterable[int]) -> int:
    answer = 0
    for each in flags:
        answer |= each
    return answer


def _flat(groups: Iterable[tuple[object, ...]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for group in groups for item in group))
