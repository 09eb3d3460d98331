"""A graph's plan: from its own pin, what earlier runs have taught, and what this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.base.errors import InvalidPipeline
from penstock.graph.model import Call, Finally, Function, Graph, bodies_of
from penstock.plan.model import Plan
from penstock.plan.passes import make_plan

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor


def plan_for(graph: Graph, *, pin: str, store: StateStore | None, executor: LocalExecutor) -> Plan:
    """A graph's plan, with what earlier runs in the store have taught about its components."""
    return make_plan(
        graph,
        pin=pin,
        history=_history(store, graph) if store is not None else {},
        capacity=executor.largest,
    )


def refuse_unmeetable(plan: Plan) -> None:
    """Raises InvalidPipeline for requests that this machine could never meet."""
    errors = tuple(item for item in plan.diagnostics if item.severity == "error")
    if errors:
        raise InvalidPipeline(errors)


def _history(store: StateStore, graph: Graph) -> Mapping[str, tuple[int, float]]:
    known = store.history(sorted(_components(graph)))
    return {name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items()}


def _components(graph: Graph) -> set[str]:
    found: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, (Call, Finally)) and isinstance(node.component, Function):
            found.add(f"{node.component.module}:{node.component.name}")
        for body, _ in bodies_of(node):
            found |= _components(body)
    return found
