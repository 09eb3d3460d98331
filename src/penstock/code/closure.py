"""What a component reaches, over the graph of units and the live values behind it (cache rules 3 to 6): for each
node what it counts as, and for each start the set of nodes that it reaches."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from penstock.base.secrets import is_secret
from penstock.code.linking import Linked
from penstock.code.live_values import Live, counts_by_value, live_value
from penstock.code.programs import PROGRAMS

BY_TEXT = "#"
"""At the end of a key: the same node, counted by its text whatever its value: a lambda in a table is nowhere else."""

_MISSING = object()
_HELD = (dict, list, set, deque, defaultdict, OrderedDict, int, float, str, bytes, bool, tuple, frozenset)


@dataclass(slots=True)
class Counted:
    """What a node counts as: `digest` (None: nothing), and where it goes on. `by_value`: its text does not count, nor
    what its text reads."""

    digest: str | None
    edges: tuple[str, ...]
    by_value: bool = False


@dataclass(slots=True)
class Closure:
    """Works out nodes when they are reached, once. `path_by_module` are the sources that are first-party."""

    linked: Mapping[str, Linked]
    path_by_module: Mapping[str, str]
    project: str
    counted: dict[str, Counted] = field(default_factory=dict)
    _module_by_path: dict[str, str] = field(default_factory=dict)
    _lines: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._module_by_path = {path: module for module, path in self.path_by_module.items()}

    # -- live values -------------------------------------------------------------------------------------------------

    def locate(self, value: Any) -> str | None:
        """The chain of a first-party function or class; None for one of somebody else's."""
        if isinstance(value, FunctionType):
            code = value.__code__
            module = self._module_by_path.get(code.co_filename)
            if module is None:
                return None
            name = code.co_qualname.partition(".")[0]
            node = self.linked.get(f"{module}:{name}")
            if node is not None and any(m == module and a <= code.co_firstlineno <= b for m, a, b in node.spans):
                return f"={module}|{name}"
            return f"@{module}:{code.co_firstlineno}"
        module = getattr(value, "__module__", None)
        if not isinstance(module, str) or module not in self.path_by_module:
            return None
        return f"={module}|{value.__qualname__.partition('.')[0]}"

    def _live(self, value: Any) -> Live:
        return live_value(value, locate=self.locate, project=self.project)

    def _edges_of(self, live: Live) -> list[str]:
        return [key for chain in live.refs for key in self.keys_of(chain)]

    def keys_of(self, chain: str) -> list[str]:
        """The nodes behind a chain that a live value, a type or `depends=` gave."""
        if chain[0] == "@":
            module, _, line = chain[1:].rpartition(":")
            return self._at_line(module, int(line))
        module, _, name = chain[1:].partition("|")
        if module in self.path_by_module:
            key = f"{module}:{name.partition('.')[0]}"
            return [key] if key in self.linked else [f"{module}:**"]
        top = module.partition(".")[0]
        if not top or top in sys.stdlib_module_names or top in ("penstock", "__main__", "builtins"):
            return []
        return [f"={module}"]

    def _at_line(self, module: str, line: int) -> list[str]:
        spans = self._lines.get(module)
        if spans is None:
            spans = self._lines[module] = [
                (first, last, key)
                for key, node in self.linked.items()
                for other, first, last in node.spans
                if other == module
            ]
        return [f"{key}{BY_TEXT}" for first, last, key in spans if first <= line <= last] or [f"{module}:**"]

    # -- nodes -------------------------------------------------------------------------------------------------------

    def node(self, key: str) -> Linked | None:
        return self.linked.get(key.removesuffix(BY_TEXT))

    def count(self, key: str) -> Counted:
        known = self.counted.get(key)
        if known is None:
            known = self.counted[key] = self._count(key)
        return known

    def _count(self, key: str) -> Counted:
        node = self.node(key)
        if node is not None and key.endswith(BY_TEXT):
            return Counted(node.plain, node.edges)
        if node is None or node.kind in ("foreign", "module", "effects", "doc"):
            return Counted(node.plain if node else None, node.edges if node else ())
        value = self._value(key)
        if value is _MISSING:
            return Counted(node.plain, node.edges)
        if node.is_data:
            return self._data(node, value)
        live = self._of_class(node, value) if node.kind == "class" else self._of_function(node, key, value)
        if live is None:
            return Counted(node.plain, node.edges)
        return Counted(_joined(node.plain, live), (*node.edges, *self._edges_of(live)))

    def _value(self, key: str) -> Any:
        module, _, name = key.partition(":")
        loaded = sys.modules.get(module)
        return vars(loaded).get(name, _MISSING) if isinstance(loaded, ModuleType) else _MISSING

    def _data(self, node: Linked, value: Any) -> Counted:
        reads_secret = any(is_secret(name) for name in node.variables)
        if reads_secret or isinstance(value, (type, ModuleType)):
            return Counted(node.plain, node.edges)
        live = self._live(value)
        edges = self._edges_of(live)
        if not live.is_opaque and counts_by_value(value) and not any(map(_starts_programs, live.refs)):
            return Counted(live.digest, (*node.lasting, *edges), by_value=True)
        return Counted(_joined(node.plain, live), (*node.edges, *edges))

    def _of_function(self, node: Linked, key: str, value: Any) -> Live | None:
        """What a decorated function holds beside its text; and another one that was put in its place."""
        if type(value).__module__.startswith("penstock."):
            value = getattr(value, "function", value)
        if isinstance(value, FunctionType):
            module, _, name = key.partition(":")
            return None if self.locate(value) == f"={module}|{name}" and not value.__closure__ else self._live(value)
        return self._live(value) if node.is_decorated else None

    def _of_class(self, node: Linked, value: Any) -> Live | None:
        """Data in a class may have been computed, containers filled by others, methods put in from elsewhere."""
        if not isinstance(value, type) or value.__module__ != node.module:
            return None
        own = f"={node.key.replace(':', '|')}"
        held = {
            name: item
            for name, item in vars(value).items()
            if type(item) in _HELD or (isinstance(item, FunctionType) and self.locate(item) not in (own, None))
            if not name.startswith(("__", "_abc")) and not (name.startswith("_") and name.endswith("_"))
        }
        return self._live(held) if held else None

    # -- reach -------------------------------------------------------------------------------------------------------

    def edges(self, key: str, *, annotated: bool) -> tuple[str, ...]:
        """Where a node goes on; `annotated`: to what its annotations name as well."""
        counted = self.count(key)
        node = self.node(key) if annotated and not counted.by_value else None
        return counted.edges if node is None else (*counted.edges, *node.annotations)

    def reached(self, starts: Iterable[str], *, annotated: bool) -> list[str]:
        """Every node that can be reached, in the order of keys."""
        pending = list(starts)
        seen = set(pending)
        while pending:
            for key in self.edges(pending.pop(), annotated=annotated):
                if key not in seen:
                    seen.add(key)
                    pending.append(key)
        return sorted(seen)

    def reached_by_text(self, starts: Iterable[str]) -> set[str]:
        """The nodes that can be reached as far as the text goes, no value being looked at."""
        pending = list(starts)
        seen = set(pending)
        while pending:
            node = self.linked.get(pending.pop())
            for key in node.edges if node is not None else ():
                if key not in seen:
                    seen.add(key)
                    pending.append(key)
        return seen


def reach_by_key(order: list[str], edges_of: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """For each node the set of those that it reaches, itself included, as bits in the given order: Tarjan's strongly
    connected components, each of which has one set."""
    bit = {key: 1 << position for position, key in enumerate(order)}
    reach: dict[str, int] = {}
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    for start in order:
        if start in number:
            continue
        number[start] = lowest[start] = len(number)
        path.append(start)
        walks = [(start, iter(edges_of(start)))]
        while walks:
            key, edges = walks[-1]
            for below in edges:
                if below not in number:
                    number[below] = lowest[below] = len(number)
                    path.append(below)
                    walks.append((below, iter(edges_of(below))))
                    break
                if below not in reach:
                    lowest[key] = min(lowest[key], number[below])
            else:
                walks.pop()
                if walks:
                    lowest[walks[-1][0]] = min(lowest[walks[-1][0]], lowest[key])
                if lowest[key] == number[key]:
                    _close(key, path, bit, reach, edges_of)
    return reach


def _close(
    key: str, path: list[str], bit: Mapping[str, int], reach: dict[str, int], edges_of: Callable[[str], Iterable[str]]
) -> None:
    """A component is complete: its set is its members' bits and what these reach."""
    members = path[path.index(key) :] if path[-1] != key else [key]
    del path[len(path) - len(members) :]
    together = 0
    for member in members:
        together |= bit[member]
        for below in edges_of(member):
            together |= reach.get(below, 0)
    for member in members:
        reach[member] = together


def _starts_programs(chain: str) -> bool:
    return PROGRAMS.fullmatch(chain[1:].replace("|", ".")) is not None


def _joined(plain: str | None, live: Live) -> str:
    return hashlib.sha256(f"{plain}\0{live.digest}".encode()).hexdigest()
