"""The plan: a graph with everything worked out that does not depend on values. Pure data; `plan.passes` fills it in,
the engine only reads it. Nodes are known by their index in their graph, so that the engine's memory is lists, not
names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock.base.diagnostics import Diagnostic
from penstock.graph.bindings import OneOf, Value
from penstock.graph.model import Graph, Node, Retry, Trigger, Work
from penstock.wire import Inline, WorkRequest

Amounts = tuple[tuple[str, int], ...]
"""What an attempt takes, sorted by name: `cpu` in thousandths, `memory` in bytes, custom resources in thousandths."""


@dataclass(frozen=True, slots=True)
class CodeKey:
    """What a component's code counts as in keys: the digest of its closure and of its environment. `unresolved` says what could
    not be followed (cache rule 13): such a component is never cached."""

    digest: str
    environment: str
    unresolved: tuple[str, ...] = ()
    version: str | None = None


@dataclass(slots=True)
class Tally:
    """One upstream of a trigger: a node by index, or a OneOf over several (semantics 9, counted once)."""

    index: int
    one_of: OneOf | None = None


@dataclass(slots=True)
class Bound:
    """One input of a node: its Value (None: not bound) and the default that stands in where there is no value."""

    name: str
    value: Value | None
    default: Inline | None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What earlier runs have taught about the memory of a component. `hint_bytes`: what room is kept for where nobody
    declared anything (0: not known); `worked`: sizes that were enough after an attempt had run out of memory, by the
    class of its inputs' size (`plan.learning.input_class`), ascending."""

    hint_bytes: int = 0
    worked: tuple[tuple[int, int], ...] = ()


NOTHING_REMEMBERED = Remembered()


@dataclass(slots=True)
class PlanNode:
    """One node made executable. `waits` counts the distinct upstream nodes; `data` are those that a Value refers to,
    for triggers that may act before all have ended. `own_ms` is the predicted duration, `remaining_ms` the longest path
    from this node to the end of its graph, itself included. `amounts` None: some amount is a Value, known only when
    ready."""

    index: int
    node: Node
    name: str
    component: str
    trigger: Trigger = Trigger.ALL_SUCCEEDED
    tallies: tuple[Tally, ...] = ()
    waits: int = 0
    data: tuple[int, ...] = ()
    inputs: tuple[Bound, ...] = ()
    when: Value | None = None
    work: Work | None = None
    request: WorkRequest | None = None
    bodies: tuple[PlanGraph, ...] = ()
    amounts: Amounts | None = ()
    memory_bytes_max: int | None = None
    remembered: Remembered = NOTHING_REMEMBERED
    retry: Retry = field(default_factory=Retry)
    timeout: int | Value | None = None
    disk: int | Value | None = None
    """What an attempt may write below its scratch folder, in bytes."""
    priority: int | None = None
    fresh: bool = False
    is_finally: bool = False
    code: CodeKey | None = None
    key_base: str | None = None
    """The part of the cache key that does not depend on inputs; None: its task runs have no key."""
    cache: bool = True
    """Entries may be used and written."""
    expires_ms: int | None = None
    own_ms: float | None = None
    remaining_ms: float = 0.0


@dataclass(slots=True)
class PlanGraph:
    """One graph made executable. `consumers[i]` are the nodes that wait for node i, ascending; `sources` those that
    wait for none."""

    graph: Graph
    nodes: tuple[PlanNode, ...]
    index_by_name: Mapping[str, int]
    consumers: tuple[tuple[int, ...], ...] = ()
    waits: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    path_ms: float = 0.0
    """The longest path through the graph, predicted."""


@dataclass(slots=True)
class Plan:
    """A whole graph made executable. `capacity` is the largest that any executor has (None: unknown, nothing is
    refused). `diagnostics` name the requests that no executor could ever meet."""

    root: PlanGraph
    graph_digest: str
    pin: str
    capacity: Mapping[str, int] | None = None
    duration_us_by_component: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Mean duration and count of succeeded attempts in earlier runs: component -> (count, mean in microseconds)."""
    memory_by_component: Mapping[str, Remembered] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


def parts_of(root: PlanGraph) -> Iterator[PlanGraph]:
    """Every graph of a plan, once."""
    seen: set[int] = set()
    agenda = [root]
    while agenda:
        part = agenda.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            agenda.extend(body for node in part.nodes for body in node.bodies)
