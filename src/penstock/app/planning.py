"""A graph's plan: from its own pin, what earlier runs have taught, and what this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.app.caching import codes_of
from penstock.base.errors import InvalidPipeline
from penstock.graph.components import names_in
from penstock.plan.model import Plan
from penstock.plan.passes import make_plan

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor
    from penstock.graph.model import Graph
    from penstock.values.store import ArtifactStore


def plan_for(
    graph: Graph, *, pin: str, code: str, store: StateStore | None, artifacts: ArtifactStore, executor: LocalExecutor
) -> Plan:
    """A graph's plan, with what earlier runs in the store have taught about its components. `code` is the blob of their
    code digests."""
    return make_plan(
        graph,
        pin=pin,
        history=history_of(store, graph) if store is not None else {},
        capacity=executor.largest,
        codes=codes_of(artifacts, code),
        code_digest=code,
    )


def refuse_unmeetable(plan: Plan) -> None:
    """Raises InvalidPipeline for requests that this machine could never meet."""
    errors = tuple(item for item in plan.diagnostics if item.severity == "error")
    if errors:
        raise InvalidPipeline(errors)


def history_of(store: StateStore, graph: Graph) -> Mapping[str, tuple[int, float]]:
    known = store.history(sorted(components_of(graph)))
    return {name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items()}


def components_of(graph: Graph) -> set[str]:
    """The names of the functions and commands of a graph at every depth."""
    return set(names_in(graph).values())
