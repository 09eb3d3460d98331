"""The passes that make a plan, in order: link (who waits for whom), settle (policies and requests), learn (memory), rank (longest
paths), key (what code counts as), refuse (requests that no executor could ever meet). Each fills its fields of every node;
none looks at the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from penstock.base.diagnostics import Diagnostic
from penstock.base.digests import digest_of
from penstock.base.sizes import size_text
from penstock.graph.bindings import Expression, OneOf, Output, StateOf, Text, Value, leaves
from penstock.graph.components import names_in
from penstock.graph.model import (
    GPU_NAMES,
    Branch,
    Call,
    Finally,
    Graph,
    InputSpec,
    Loop,
    Map,
    Node,
    Policy,
    Resources,
    Retry,
    Work,
    bodies_of,
)
from penstock.plan.devices import gpus_lacking
from penstock.plan.learning import MEMORY_HINT, Memories, remember
from penstock.plan.model import Amounts, Bound, CodeKey, Plan, PlanGraph, PlanNode, Tally
from penstock.plan.requests import work_request
from penstock.wire import Inline, WorkRequest

OWN_MS_UNKNOWN = 1_000.0
"""What a component counts as in longest paths while nothing is known of it."""

DEFAULT_RESOURCES = Resources()
DEFAULT_RETRY = Retry()


@dataclass(slots=True)
class Planning:
    """What the passes share: facts given from outside, and what is the same for every use of a component."""

    pin: str
    history: Mapping[str, tuple[int, float]]
    capacity: Mapping[str, int] | None
    codes: Mapping[str, CodeKey] = field(default_factory=dict)
    code_digest: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    graphs: dict[int, PlanGraph] = field(default_factory=dict)
    requests: dict[int, WorkRequest] = field(default_factory=dict)
    policies: dict[tuple[int, int], _Settled] = field(default_factory=dict)
    memories: Memories = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


@dataclass(slots=True)
class _Settled:
    amounts: Amounts | None
    memory_bytes_max: int | None
    disk: int | Value | None
    retry: Retry
    timeout: int | Value | None
    priority: int | None
    fresh: bool
    cache: bool | str | None
    expires_ms: int | None


def make_plan(
    graph: Graph,
    *,
    graph_digest: str = "",
    pin: str = "",
    history: Mapping[str, tuple[int, float]] | None = None,
    capacity: Mapping[str, int] | None = None,
    codes: Mapping[str, CodeKey] | None = None,
    code_digest: str = "",
    memories: Memories | None = None,
) -> Plan:
    """The plan of a checked graph. `history` is component -> (attempts, mean duration in microseconds) of earlier runs;
    `capacity` the largest amounts that any one executor has. Requests above it are in `Plan.diagnostics`. `codes` is what the
    code of each component counts as in keys, `code_digest` the blob that they come from; a component without has no key.
    `memories` is what earlier runs have taught about the memory of components."""
    planning = Planning(pin, history or {}, capacity, codes or {}, code_digest, names_in(graph))
    planning.memories = memories or {}
    root = _plan_graph(graph, planning)
    for run_pass in PASSES:
        for part in planning.graphs.values():
            run_pass(part, planning)
    diagnostics = tuple(planning.diagnostics)
    return Plan(root, graph_digest, pin, capacity, planning.history, planning.memories, diagnostics)


def _plan_graph(graph: Graph, planning: Planning) -> PlanGraph:
    """The skeleton of a graph and, before it, of the graphs inside it: so bodies come first in `planning.graphs`."""
    known = planning.graphs.get(id(graph))
    if known is not None:
        return known
    nodes = []
    for index, node in enumerate(graph.nodes):
        bodies = tuple(_plan_graph(body, planning) for body, _ in bodies_of(node))
        work = _work_of(node)
        component = planning.names[id(work)] if work else type(node).__name__.lower()
        nodes.append(PlanNode(index, node, node.name, component, work=work, bodies=bodies))
    plan = PlanGraph(graph, tuple(nodes), {node.name: index for index, node in enumerate(graph.nodes)})
    planning.graphs[id(graph)] = plan
    return plan


def _work_of(node: Node) -> Work | None:
    if isinstance(node, (Call, Finally)) and not isinstance(node.component, Graph):
        return node.component
    return None


# -- link --------------------------------------------------------------------------------------------------------------


def link(plan: PlanGraph, planning: Planning) -> None:
    """Who waits for whom, and how the trigger counts it."""
    consumers: list[list[int]] = [[] for _ in plan.nodes]
    for entry in plan.nodes:
        node = entry.node
        entry.is_finally = isinstance(node, Finally)
        if not isinstance(node, Finally):
            entry.trigger = node.order.trigger
            entry.when = node.order.when
        _link_node(entry, plan.index_by_name)
        entry.inputs = _bounds(node)
        for upstream in _upstreams(entry, plan.index_by_name):
            consumers[upstream].append(entry.index)
            entry.waits += 1
    plan.consumers = tuple(tuple(each) for each in consumers)
    plan.waits = tuple(entry.waits for entry in plan.nodes)
    plan.sources = tuple(entry.index for entry in plan.nodes if entry.waits == 0)


def values_of(node: Node) -> Iterator[Value]:
    """Every Value of a node that is evaluated in the graph the node stands in."""
    if not isinstance(node, Finally) and node.order.when is not None:
        yield node.order.when
    if isinstance(node, Map):
        yield node.items
    if isinstance(node, Branch):
        for case in node.cases:
            if case.when is not None:
                yield case.when
            yield from case.inputs.values()
    else:
        yield from node.inputs.values()
    if isinstance(node, Loop) and node.until is not None:
        yield node.until
    for policy in _policies_of(node):
        if policy.timeout_ms is not None and not isinstance(policy.timeout_ms, int):
            yield policy.timeout_ms
        if policy.resources is not None:
            yield from (a for a in policy.resources.said().values() if not isinstance(a, (int, float)))


def _policies_of(node: Node) -> tuple[Policy, ...]:
    work = _work_of(node)
    return (node.policy, work.policy) if work else (node.policy,)


def _link_node(entry: PlanNode, index_by_name: Mapping[str, int]) -> None:
    tallied: dict[int, None] = {}
    groups: list[OneOf] = []
    data: dict[int, None] = {}
    for value in values_of(entry.node):
        for leaf in _tallied(value):
            if isinstance(leaf, OneOf):
                if leaf not in groups:
                    groups.append(leaf)
                data.update((index_by_name[n], None) for n in _named(leaf))
            elif isinstance(leaf, Output) and leaf.node:
                tallied[index_by_name[leaf.node]] = None
                data[index_by_name[leaf.node]] = None
            elif isinstance(leaf, StateOf) and leaf.node:
                data[index_by_name[leaf.node]] = None
    node = entry.node
    if not isinstance(node, Finally):
        for name in node.order.after:
            tallied[index_by_name[name]] = None
    entry.data = tuple(data)
    entry.tallies = (*(Tally(i) for i in tallied), *(Tally(-1, group) for group in groups))


def _tallied(value: Value) -> Iterator[Value]:
    """The leaves of a Value, where a OneOf counts as one leaf."""
    if isinstance(value, Text):
        for part in value.parts:
            if not isinstance(part, str):
                yield from _tallied(part)
    elif isinstance(value, Expression):
        for reference in value.tree.references():
            yield from _tallied(reference)
    else:
        yield value


def _named(group: OneOf) -> Iterator[str]:
    for leaf in leaves(group):
        if isinstance(leaf, (Output, StateOf)) and leaf.node:
            yield leaf.node


def _upstreams(entry: PlanNode, index_by_name: Mapping[str, int]) -> tuple[int, ...]:
    if isinstance(entry.node, Finally):
        watched = {index_by_name[name]: None for name in entry.node.watch}
        return tuple({**watched, **dict.fromkeys(entry.data)})
    direct = {tally.index: None for tally in entry.tallies if tally.one_of is None}
    return tuple({**direct, **dict.fromkeys(entry.data)})


def _bounds(node: Node) -> tuple[Bound, ...]:
    """How each input of what the node runs is bound. A branch binds per case, when the case is taken."""
    if isinstance(node, Branch):
        return ()
    specs = node.body.inputs if isinstance(node, (Map, Loop)) else node.component.inputs
    return bounds(specs, node.inputs)


def bounds(specs: tuple[InputSpec, ...], given: Mapping[str, Value]) -> tuple[Bound, ...]:
    return tuple(
        Bound(spec.name, given.get(spec.name), Inline(spec.default.value) if spec.default is not None else None)
        for spec in specs
    )


# -- settle ------------------------------------------------------------------------------------------------------------


def settle(plan: PlanGraph, planning: Planning) -> None:
    """Policies: the node's own field, else its component's, else the default."""
    for entry in plan.nodes:
        work = entry.work
        key = (id(entry.node.policy), id(work.policy) if work else 0)
        settled = planning.policies.get(key)
        if settled is None:
            settled = planning.policies[key] = _settled(entry.node.policy, work.policy if work else None)
        entry.amounts, entry.memory_bytes_max = settled.amounts, settled.memory_bytes_max
        entry.retry, entry.timeout, entry.disk = settled.retry, settled.timeout, settled.disk
        entry.priority, entry.fresh = settled.priority, settled.fresh
        # A finally node is there for what it does, not for what it gives: it is cached only where its author says so.
        entry.cache = settled.cache is not False and (settled.cache is not None or not entry.is_finally)
        entry.expires_ms = settled.expires_ms
        if work is not None:
            entry.request = planning.requests.get(id(work)) or _request(work, planning)


def _settled(own: Policy, inherited: Policy | None) -> _Settled:
    other = inherited or Policy()
    resources = own.resources or other.resources or DEFAULT_RESOURCES
    timeout = own.timeout_ms if own.timeout_ms is not None else other.timeout_ms
    memory = resources.memory_bytes
    static = all(isinstance(amount, (int, float)) for amount in resources.amounts().values())
    return _Settled(
        amounts=amounts_of(resources, _static_number) if static else None,
        memory_bytes_max=memory if isinstance(memory, int) else None,
        disk=resources.disk_bytes,
        retry=own.retry or other.retry or DEFAULT_RETRY,
        timeout=timeout,
        priority=own.priority if own.priority is not None else other.priority,
        fresh=bool(own.fresh if own.fresh is not None else other.fresh),
        cache=own.cache if own.cache is not None else other.cache,
        expires_ms=_expires_ms(own, other),
    )


def _expires_ms(own: Policy, other: Policy) -> int | None:
    return own.expires_ms if own.expires_ms is not None else other.expires_ms


def _static_number(amount: object) -> float:
    assert isinstance(amount, (int, float))
    return amount


def amounts_of(resources: Resources, number_of: Callable[[float | Value], float]) -> Amounts:
    """What a request takes, once every amount is a number."""
    amounts = {
        name: round(number_of(amount) * (1 if name in ("memory", "gpu_memory") else 1000))
        for name, amount in resources.amounts().items()
    }
    if not amounts.get("gpu", 1):
        del amounts["gpu"]
        amounts.pop("gpu_memory", None)
    return tuple(sorted(amounts.items()))


def resources_of(node: Node) -> Resources:
    """The resources that a node asks for, its own or its component's."""
    return next((p.resources for p in _policies_of(node) if p.resources is not None), DEFAULT_RESOURCES)


def _request(work: Work, planning: Planning) -> WorkRequest:
    request = planning.requests[id(work)] = work_request(
        work, component=planning.names[id(work)], pin=planning.pin, code=planning.code_digest
    )
    return request


def learn(plan: PlanGraph, planning: Planning) -> None:
    """What is remembered of the memory that components need."""
    largest = planning.capacity.get("memory") if planning.capacity is not None else None
    remember(plan, planning.memories, largest)


# -- rank --------------------------------------------------------------------------------------------------------------


def rank(plan: PlanGraph, planning: Planning) -> None:
    """Longest remaining paths, from the ends backwards. Bodies have been ranked before the graphs that hold them."""
    missing = [len(consumers) for consumers in plan.consumers]
    agenda = [index for index, count in enumerate(missing) if count == 0]
    upstreams: list[list[int]] = [[] for _ in plan.nodes]
    for index, consumers in enumerate(plan.consumers):
        for consumer in consumers:
            upstreams[consumer].append(index)
    while agenda:
        index = agenda.pop()
        entry = plan.nodes[index]
        entry.own_ms = _own_ms(entry, planning)
        after = max((plan.nodes[consumer].remaining_ms for consumer in plan.consumers[index]), default=0.0)
        entry.remaining_ms = after + (entry.own_ms if entry.own_ms is not None else OWN_MS_UNKNOWN)
        for upstream in upstreams[index]:
            missing[upstream] -= 1
            if missing[upstream] == 0:
                agenda.append(upstream)
    plan.path_ms = max((entry.remaining_ms for entry in plan.nodes), default=0.0)


def _own_ms(entry: PlanNode, planning: Planning) -> float | None:
    if entry.bodies:
        return max(body.path_ms for body in entry.bodies)
    known = planning.history.get(entry.component)
    return known[1] / 1000 if known else None


# -- key ---------------------------------------------------------------------------------------------------------------


def key(plan: PlanGraph, planning: Planning) -> None:
    """The part of every key that does not depend on inputs (semantics 30). Code that could not be resolved gives no key,
    unless the author trusts it (cache rule 13)."""
    for entry in plan.nodes:
        code = planning.codes.get(entry.component) if entry.work is not None else None
        trusted = entry.node.policy.cache == "trust"
        if code is not None and (trusted or not code.unresolved):
            entry.code = code
            entry.key_base = digest_of([code.digest, code.environment, code.version])


# -- refuse ------------------------------------------------------------------------------------------------------------


def refuse(plan: PlanGraph, planning: Planning) -> None:
    """Requests that no executor could ever meet (semantics 28)."""
    if planning.capacity is None:
        return
    seen: dict[Amounts, str] = {}
    for entry in plan.nodes:
        if entry.work is None or not entry.amounts:
            continue
        if entry.amounts not in seen:
            seen[entry.amounts] = lacking(entry.amounts, planning.capacity)
        if seen[entry.amounts]:
            planning.diagnostics.append(
                Diagnostic(
                    "request-too-large",
                    f"task '{entry.name}' asks for {seen[entry.amounts]}",
                    "ask for less in the task's resources, or raise the limit in the settings where the machine has more",
                    entry.node.location or entry.work.location,
                )
            )


def lacking(amounts: Amounts, capacity: Mapping[str, int]) -> str:
    """What of a request is more than the largest that there is, as text; empty when it fits."""
    complaints = []
    for name, amount in amounts:
        if name in GPU_NAMES or name == MEMORY_HINT:
            continue
        largest = capacity.get(name, 0)
        if amount > largest:
            complaints.append(f"{amount_text(name, amount)}, the largest there is: {amount_text(name, largest)}")
    without = gpus_lacking(dict(amounts), capacity)
    return "; ".join([*complaints, without] if without else complaints)


def amount_text(name: str, amount: int) -> str:
    return f"{size_text(amount)} memory" if name == "memory" else f"{amount / 1000:g} {name}"


PASSES: tuple[Callable[[PlanGraph, Planning], None], ...] = (link, settle, learn, rank, key, refuse)
