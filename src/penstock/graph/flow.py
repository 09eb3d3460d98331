"""The order of the flow: what comes first comes first, items by number. A key by which paths of task runs are sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from penstock.graph.bindings import Output, StateOf, leaves
from penstock.graph.check_order import values_of
from penstock.graph.model import Branch, Finally, Graph, Loop, Map, Node, bodies_of

if TYPE_CHECKING:
    Places = Mapping[str, tuple[int, Node]]

Key = tuple[tuple[int, str], ...]
# What the graph does not know comes last.
LAST = 1 << 60


def flow_key(graph: Graph) -> Callable[[str], Key]:
    """Sorts paths: a node after what it waits for, otherwise as it was written; what is inside of it right after it, items,
    cases and rounds by their numbers. Work for each path is that of its length."""
    known: dict[int, Places] = {}

    def places(part: Graph) -> Places:
        if id(part) not in known:
            known[id(part)] = {node.name: (place, node) for place, node in enumerate(_ordered(part))}
        return known[id(part)]

    def key(path: str) -> Key:
        part: Graph | None = graph
        told: list[tuple[int, str]] = []
        segments = iter(path.split("/"))
        for segment in segments:
            found = places(part).get(segment.partition("~")[0]) if part is not None else None
            told.append((found[0], "") if found else (int(segment), "") if segment.isdigit() else (LAST, segment))
            part, bodies = None, bodies_of(found[1]) if found else ()
            if found is not None and isinstance(found[1], (Map, Loop, Branch)):
                number = next(segments, "")
                if number:
                    told.append((int(number), "") if number.isdigit() else (-1, number))
                case = int(number) if isinstance(found[1], Branch) and number.isdigit() else 0
                part = bodies[case][0] if case < len(bodies) else None
            elif bodies:
                part = bodies[0][0]
        return tuple(told)

    return key


def _ordered(graph: Graph) -> Iterable[Node]:
    """The nodes, each after all that it waits for, otherwise as they were written."""
    by_name = {node.name: node for node in graph.nodes}
    done: dict[str, Node] = {}
    for first in graph.nodes:
        agenda = [(first, False)]
        while agenda:
            node, is_left = agenda.pop()
            if node.name in done:
                continue
            if is_left:
                done[node.name] = node
                continue
            agenda.append((node, True))
            waited = [by_name[name] for name in _upstreams(node) if name in by_name and name not in done]
            agenda += [(each, False) for each in reversed(waited)]
    return done.values()


def _upstreams(node: Node) -> dict[str, None]:
    names = {
        leaf.node: None
        for value in values_of(node)
        for leaf in leaves(value)
        if isinstance(leaf, (Output, StateOf)) and leaf.node
    }
    return names | dict.fromkeys(node.watch if isinstance(node, Finally) else node.order.after)
