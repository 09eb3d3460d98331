"""A pipeline's body while it runs: which graph is being built, and what went wrong so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from penstock.authoring.dsl.places import caller_location
from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.digests import canonical_json
from penstock.graph.bindings import Constant
from penstock.graph.builder import GraphBuilder, Scoped
from penstock.graph.model import Graph, Work
from penstock.graph.types import Type


class Component(Protocol):
    """What can be used in a pipeline: a task or a pipeline."""

    @property
    def name(self) -> str: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def built(self) -> tuple[Work | Graph, tuple[Diagnostic, ...]]:
        """The component as the graph holds it, and what is wrong with its definition."""
        ...


class Building:
    """One pipeline's graph in the making. `builder` is the innermost: the pipeline's own, or that of the `when` block
    that the body is in."""

    def __init__(self, root: GraphBuilder) -> None:
        self.root = root
        self.builder = root
        self.tokens: list[Scoped] = []
        self.place: Location | None = None  # where everything is said to be, once the body has ended
        self.unopened: dict[int, tuple[object, Location]] = {}  # `when(...)` that no `with` has opened yet
        self._asked: dict[Location, int] = {}
        self._used: dict[int, tuple[Component, Work | Graph]] = {}
        self._inherited: dict[int, Diagnostic] = {}
        self._contents: dict[Any, tuple[GraphBuilder, Scoped]] = {}

    def report(self, code: str, message: str, fix: str = "", location: Location | None = None) -> None:
        self.root.report(code, message, fix, location or self.where())

    def where(self) -> Location:
        """The author's line that is being looked at."""
        return self.place or caller_location()

    def use(self, component: Component) -> Work | Graph:
        """The component as the graph holds it; its own diagnostics become this pipeline's, once."""
        known = self._used.get(id(component))
        if known is None:
            built, diagnostics = component.built()
            for diagnostic in diagnostics:
                located = diagnostic.location is not None and diagnostic.location.line > 0
                self._inherited[id(diagnostic)] = diagnostic if located else replace(diagnostic, location=self.where())
            known = self._used[id(component)] = (component, built)
        return known[1]

    def content_of(self, source: Scoped, wanted: Type | None) -> Scoped:
        """What stands behind a source, for a consumer of type `wanted`; looked at once, however often it is used where the
        body is now."""
        from penstock.graph.sources import TABLE, resolve

        kind = wanted.name if wanted is not None and source.type.options == (TABLE,) else ""
        name = canonical_json(source.value.value) if isinstance(source.value, Constant) else source.value
        key = (id(self.builder), id(source.owner), name, kind)
        known = self._contents.get(key)
        if known is None:
            found = resolve(self.builder, source, wanted=wanted, location=self.where())
            known = self._contents[key] = (self.builder, found)
        return known[1]

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was recorded here and in the components used."""
        for _block, location in self.unopened.values():
            self.report("when-without-with", "when or otherwise without `with`", "Write `with when(...):`.", location)
        self.unopened.clear()
        return (*self._inherited.values(), *self.root.diagnostics)

    def is_first_answer(self, location: Location) -> bool:
        """Whether a value is asked for its truth at this place for the first, third, ... time: answers must differ for
        a `while` to end."""
        self._asked[location] = self._asked.get(location, 0) + 1
        return self._asked[location] % 2 == 1

    @contextmanager
    def inside(self, builder: GraphBuilder) -> Iterator[None]:
        """Build with `builder` for the length of a block."""
        outer, self.builder = self.builder, builder
        try:
            yield
        finally:
            self.builder = outer


_CURRENT: ContextVar[Building | None] = ContextVar("penstock_building", default=None)


def current_building() -> Building | None:
    """The pipeline whose body runs now; None outside of one."""
    return _CURRENT.get()


@contextmanager
def building_of(root: GraphBuilder) -> Iterator[Building]:
    """Let calls of tasks add to the graph of `root` instead of running."""
    building = Building(root)
    token = _CURRENT.set(building)
    try:
        yield building
    finally:
        _CURRENT.reset(token)
