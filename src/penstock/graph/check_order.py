"""How the nodes of a graph hang together: cycles, values that can never be there, work that a loop does again for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock.graph.bindings import Constant, Input, OneOf, Output, Round, Value, leaves
from penstock.graph.model import Branch, Call, Finally, Graph, Loop, Map, Node, bodies_of

Cases = Mapping[str, frozenset[int]]
"""Which cases of which branches must have been taken for a value to be there."""

_NO_CASES: Cases = {}


def cycle_among(upstreams: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Nodes that wait for each other, in that order; empty if none do. Names that are no nodes are left aside."""
    position = {name: index for index, name in enumerate(upstreams)}
    if all(position.get(up, -1) < index for name, index in position.items() for up in upstreams[name]):
        return ()  # written in an order in which they can run, as every front end but YAML does
    waiting_for = {name: {up for up in ups if up in position} for name, ups in upstreams.items()}
    consumers: dict[str, list[str]] = {}
    for name, ups in waiting_for.items():
        for up in sorted(ups):
            consumers.setdefault(up, []).append(name)
    free = [name for name, ups in waiting_for.items() if not ups]
    while free:
        done = free.pop()
        del waiting_for[done]
        for consumer in consumers.get(done, ()):
            waiting_for[consumer].discard(done)
            if not waiting_for[consumer]:
                free.append(consumer)
    return _one_cycle(waiting_for)


def _one_cycle(waiting_for: Mapping[str, set[str]]) -> tuple[str, ...]:
    """A cycle among nodes each of which waits for another of them."""
    if not waiting_for:
        return ()
    path = [next(iter(waiting_for))]
    seen = {path[0]: 0}
    while True:
        following = min(waiting_for[path[-1]] & waiting_for.keys())
        if following in seen:
            return tuple(reversed(path[seen[following] :]))
        seen[following] = len(path)
        path.append(following)


def invariant_nodes(loop: Loop) -> Iterator[Node]:
    """The nodes of a loop's body that would do the same in every round: neither a carried value nor the round's number reaches
    them, and they may be cached."""
    varying_inputs = set(loop.carry.values())
    for name, value in loop.inputs.items():
        if any(isinstance(leaf, Round) for leaf in leaves(value)):
            varying_inputs.add(name)
    varying: set[str] = set()
    nodes = list(loop.body.nodes)
    pending = True
    while pending:  # once more than needed if the nodes are written in an order in which they can run
        pending = False
        for node in nodes:
            if node.name not in varying and _reads(node, varying_inputs, varying):
                varying.add(node.name)
                pending = True
    for node in nodes:
        if node.name not in varying and not isinstance(node, Finally) and _may_be_cached(node):
            yield node


def _reads(node: Node, inputs: set[str], nodes: set[str]) -> bool:
    for value in values_of(node):
        for leaf in leaves(value):
            if isinstance(leaf, Input) and leaf.name in inputs:
                return True
            if isinstance(leaf, Output) and leaf.node in nodes:
                return True
    return False


def _may_be_cached(node: Node) -> bool:
    if node.policy.cache is False:
        return False
    if isinstance(node, Call) and not isinstance(node.component, Graph):
        return node.component.policy.cache is not False
    return any(_may_be_cached(inner) for body, _inputs in bodies_of(node) for inner in body.nodes)


def values_of(node: Node) -> Iterator[Value]:
    """The Values that decide what a node computes: bindings, items and conditions."""
    if isinstance(node, Branch):
        for case in node.cases:
            if case.when is not None:
                yield case.when
            yield from case.inputs.values()
    else:
        yield from node.inputs.values()
    if isinstance(node, Map):
        yield node.items
    if isinstance(node, Loop) and node.until is not None:
        yield node.until
    if not isinstance(node, Finally) and node.order.when is not None:
        yield node.order.when


def never_present(graph: Graph, upstreams: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Nodes that could never run because a value that they need can never be there, each with why. Only what is sure: values of
    different cases of one branch, and outputs of what never runs. What follows from one found is not told again."""
    if not any(isinstance(node, Branch) or _is_never(node) for node in graph.nodes):
        return
    tracer = _Presence(graph)
    for node in _in_order(graph, upstreams):
        complaint = tracer.judge(node)
        if complaint:
            yield node.name, complaint


def _is_never(node: Node) -> bool:
    return not isinstance(node, Finally) and _is_constant(node.order.when, False)


def _is_constant(value: Value | None, wanted: bool) -> bool:
    return isinstance(value, Constant) and value.value is wanted


def _in_order(graph: Graph, upstreams: Mapping[str, Sequence[str]]) -> Iterator[Node]:
    """The nodes, each after all that it waits for. There is no cycle."""
    nodes = {node.name: node for node in graph.nodes}
    done: set[str] = set()
    for first in nodes:
        stack = [first]
        while stack:
            name = stack[-1]
            missing = [up for up in upstreams[name] if up in nodes and up not in done and up != name]
            if name in done or not missing:
                stack.pop()
                if name not in done:
                    done.add(name)
                    yield nodes[name]
            else:
                stack.extend(missing)


class _Presence:
    """Follows which cases must have been taken for each node to have run. Where it can never run, it is why, as text."""

    def __init__(self, graph: Graph) -> None:
        self._cases_by_node: dict[str, Cases | str] = {}
        self._live_by_branch = {node.name: _live_outputs(node) for node in graph.nodes if isinstance(node, Branch)}

    def judge(self, node: Node) -> str:
        """Work out one node whose upstreams are known; why it can never run, or an empty text. What a node that never
        runs leads to is told of the first that needs it only."""
        needed: Cases | str = _NO_CASES
        complaint = ""
        for value, what in _needed_values(node):
            needed = _both(needed, self._needs(value))
            if isinstance(needed, str):
                complaint = f"{what} of {node.name!r} can never have a value: {needed}" if needed else ""
                needed = ""
                break
        self._cases_by_node[node.name] = f"{node.name!r} never runs" if _is_never(node) else needed
        return complaint

    def _needs(self, value: Value) -> Cases | str:
        """Which cases a Value needs; text: why it can never be there (empty: that has been told)."""
        if isinstance(value, OneOf):
            reasons = [found for source in value.sources if isinstance(found := self._needs(source), str)]
            return reasons[0] if reasons and len(reasons) == len(value.sources) else _NO_CASES
        needed: Cases | str = _NO_CASES
        for leaf in leaves(value):
            if isinstance(leaf, Output):
                needed = _both(needed, self._output_needs(leaf))
        return needed

    def _output_needs(self, value: Output) -> Cases | str:
        needed = self._cases_by_node.get(value.node, _NO_CASES)
        offered = self._live_by_branch.get(value.node)
        if isinstance(needed, str) or offered is None:
            return needed
        cases = offered.get(value.name)
        return (
            _both(needed, {value.node: cases}) if cases else f"the case of {value.node!r} that gives it is never taken"
        )


def _needed_values(node: Node) -> Iterator[tuple[Value, str]]:
    """The Values without which a node is skipped. A branch needs none of what only its cases take."""
    if isinstance(node, Finally):
        return
    if node.order.when is not None:
        yield node.order.when, "when"
    if isinstance(node, Branch):
        for case in node.cases[:1]:
            if case.when is not None:
                yield case.when, "the condition"
        return
    defaults = set()
    ends = node.component.inputs if isinstance(node, Call) else node.body.inputs
    for spec in ends:
        if spec.default is not None:
            defaults.add(spec.name)
    if isinstance(node, Map):
        yield node.items, "the list of items"
    for name, value in node.inputs.items():
        if name not in defaults:
            yield value, f"input {name!r}"


def _live_outputs(branch: Branch) -> dict[str, frozenset[int]]:
    """The cases that can be taken at all, by each output that they offer."""
    live: dict[str, frozenset[int]] = {}
    for position, case in enumerate(branch.cases):
        if not _is_constant(case.when, False):
            for output in case.body.outputs:
                live[output.name] = live.get(output.name, frozenset()) | {position}
        if case.when is None or _is_constant(case.when, True):
            break
    return live


def _both(one: Cases | str, other: Cases | str) -> Cases | str:
    """The cases that two things need together; text: why they can never be there together."""
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else other
    if not other or one is other:
        return one
    if not one:
        return other
    merged = dict(one)
    for branch, cases in other.items():
        merged[branch] = merged[branch] & cases if branch in merged else cases
        if not merged[branch]:
            return f"it takes values of different cases of {branch!r}, of which only one is taken"
    return merged
