"""What an attempt is expected to run: the closure of its component, and of the classes that its inputs name (cache rules 10
and 14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.base.digests import digest_of, digest_of_bytes
from penstock.base.errors import PenstockError
from penstock.code.model import ComponentCode, code_from_json, units_of
from penstock.values.store import ArtifactStore

SourceOf = Callable[[str], bytes | None]
"""The source of a pinned module."""


class Holds(Protocol):
    """Says of modules and functions whether they are expected to run."""

    def covers(self, module: str, qualname: str, line: int) -> bool: ...

    def covers_module(self, module: str) -> bool: ...


@dataclass(slots=True)
class Covered:
    """A closure that can be asked for single functions. `functions` are `module:qualname`, `units` `module:name`."""

    functions: frozenset[str]
    units: frozenset[str]
    modules: frozenset[str]
    source_of: SourceOf
    files: frozenset[str] = frozenset()
    """Paths that are declared, relative to the project."""
    is_answered_for: bool = False
    _known: dict[tuple[str, str, int], bool] = field(default_factory=dict)

    def covers(self, module: str, qualname: str, line: int) -> bool:
        """Whether a function stands in the closure: by itself, or in a function or class that does."""
        key = (module, qualname, line)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._covers(module, qualname, line)
        return known

    def covers_module(self, module: str) -> bool:
        """Whether a module, or one below it, stands in the closure."""
        return module in self.modules or any(other.startswith(f"{module}.") for other in self.modules)

    def _covers(self, module: str, qualname: str, line: int) -> bool:
        if module not in self.modules:
            return False
        parts = qualname.split(".")
        if parts[0].startswith("<"):  # a lambda or generator at the top of a module has no name of its own
            names = _names_bound_at(self.source_of(module), line)
            return not names or any(f"{module}:{name}" in self.units for name in names)
        if f"{module}:{parts[0]}" in self.units:
            return True
        return any(f"{module}:{'.'.join(parts[:length])}" in self.functions for length in range(1, len(parts) + 1))

    def with_more(self, others: Iterable[Covered]) -> Covered:
        """This closure and others."""
        all_ = (self, *others)
        return Covered(
            frozenset().union(*(each.functions for each in all_)),
            frozenset().union(*(each.units for each in all_)),
            frozenset().union(*(each.modules for each in all_)),
            self.source_of,
            self.files,
            self.is_answered_for,
        )


def covered_by(code: ComponentCode, source_of: SourceOf) -> Covered:
    files = frozenset(part.removeprefix("file:") for part in code.parts if part.startswith("file:"))
    return Covered(
        frozenset(code.functions),
        frozenset(code.units),
        frozenset(code.modules),
        source_of,
        files,
        code.is_answered_for,
    )


def _names_bound_at(source: bytes | None, line: int) -> Collection[str]:
    """The names that the top-level statement at a line binds; empty for one that binds none, or is not found."""
    import ast

    try:
        body = ast.parse(source or b"").body
    except (SyntaxError, ValueError):
        return ()
    for statement in body:
        first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))])
        if first <= line <= (statement.end_lineno or first):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                return (statement.name,)
            stores = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            return {node.id for node in stores if isinstance(node.ctx, ast.Store)}
    return ()


class Closures:
    """The closures of a run's components, read from the blob that the plan names; the last blob is kept."""

    def __init__(self, artifacts: ArtifactStore, source_of: SourceOf) -> None:
        self._artifacts = artifacts
        self._source_of = source_of
        self._digest = ""
        self._data: Mapping[str, Any] = {}
        self._codes: dict[str, ComponentCode | None] = {}
        self._covered: dict[str, Covered | None] = {}

    def open(self, digest: str) -> None:
        """Read a blob. Raises PenstockError where that cannot be done."""
        if digest == self._digest:
            return
        try:
            data = json.loads(self._artifacts.get_bytes(digest))
        except ValueError as error:
            raise PenstockError(f"the code of this run is damaged: {error}") from error
        self._digest, self._data, self._codes, self._covered = digest, data, {}, {}

    def code(self, component: str) -> ComponentCode | None:
        """The code of a component by `module:name`; None where the blob does not have it."""
        if component not in self._codes:
            self._codes[component] = code_from_json(self._data, component)
        return self._codes[component]

    def of(self, component: str) -> Covered | None:
        """The closure of a component."""
        if component not in self._covered:
            code = self.code(component)
            self._covered[component] = None if code is None else covered_by(code, self._source_of)
        return self._covered[component]

    def of_names(self, names: Collection[str]) -> Covered:
        """The closures of classes and functions that an input names. Of one that the blob does not know by itself, what
        stands in it."""
        tops = {f"{module}:{name.partition('.')[0]}" for module, _, name in (each.partition(":") for each in names)}
        units = [unit for top in sorted(tops) for unit in units_of(self._data, top) or ()]
        return Covered(
            frozenset(f"{unit.module}:{name}" for unit in units for name in unit.functions),
            frozenset(tops).union(unit.name for unit in units),
            frozenset(each.partition(":")[0] for each in names).union(unit.module for unit in units),
            self._source_of,
        )

    def named_code(self, component: str, names: Collection[str]) -> Named:
        """What the author's own classes and functions of these names count as (cache rule 10): a digest over the units that
        they reach. One that the blob does not know by itself counts with all that its maker reaches; one that its maker
        does not reach counts by the text of its module, and is `missing`."""
        code = self.code(component)
        counted: dict[str, str] = {}
        missing = []
        for name in names:
            module, _, qualname = name.partition(":")
            top = f"{module}:{qualname.partition('.')[0]}"
            own = units_of(self._data, top)
            reached = code is not None and top in code.units
            if own is not None:
                counted.update((unit.name, unit.digest) for unit in own)
            elif code is not None and reached:
                counted[component] = code.digest
            else:
                counted[module] = digest_of_bytes(self._source_of(module) or b"")
            if not reached:
                missing.append(name)
        return Named(digest_of(sorted(counted.items())), tuple(missing))


@dataclass(frozen=True, slots=True)
class Named:
    """A code digest, and the names that their maker's closure does not hold."""

    digest: str
    missing: tuple[str, ...]
