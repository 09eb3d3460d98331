"""A graph's plan: from its own pin, what earlier runs have taught, and what this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.app.caching import codes_of
from penstock.base.errors import InvalidPipeline
from penstock.graph.components import names_in
from penstock.plan.learning import Durations, Memories, hint_of
from penstock.plan.model import Plan, Remembered
from penstock.plan.passes import make_plan

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor
    from penstock.graph.model import Graph
    from penstock.values.store import ArtifactStore


def plan_for(
    graph: Graph,
    *,
    pin: str,
    code: str,
    learned: tuple[Durations, Memories],
    artifacts: ArtifactStore,
    executor: LocalExecutor,
) -> Plan:
    """A graph's plan, with what earlier runs have taught about its components. `code` is the blob of their code digests."""
    durations, memories = learned
    return make_plan(
        graph,
        pin=pin,
        history=durations,
        memories=memories,
        capacity=executor.largest,
        codes=codes_of(artifacts, code),
        code_digest=code,
    )


def refuse_unmeetable(plan: Plan) -> None:
    """Raises InvalidPipeline for requests that this machine could never meet."""
    errors = tuple(item for item in plan.diagnostics if item.severity == "error")
    if errors:
        raise InvalidPipeline(errors)


def learned_in(store: StateStore | None, graph: Graph) -> tuple[Durations, Memories]:
    """What runs in the store have taught until now. A run keeps it (`RunRow.learned`)."""
    known = store.history(sorted(components_of(graph))) if store is not None else {}
    durations = {
        name: (item.succeeded_count, item.duration_us_mean) for name, item in known.items() if item.succeeded_count
    }
    memories = {
        name: Remembered(hint_of(item.memory.peak_bytes_p95), item.memory.worked)
        for name, item in known.items()
        if item.memory.attempts_count
    }
    return durations, memories


def components_of(graph: Graph) -> set[str]:
    """The names of the functions and commands of a graph at every depth."""
    return set(names_in(graph).values())
