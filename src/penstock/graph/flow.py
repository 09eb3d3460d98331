"""The order of the flow: what comes first comes first, items by number. A key by which paths of task runs are sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from penstock.graph.bindings import Output, StateOf, leaves
from penstock.graph.check_order import values_of
from penstock.graph.model import Branch, Finally, Graph, Loop, Map, Node, bodies_of

Key = tuple[int | str, ...]
# What the graph does not know comes last.
LAST = 1 << 60


class Stop(NamedTuple):
    """A node, as paths go through it: its place in its graph, whether a number follows its name, and what the numbers lead to
    (every case of a branch to its own graph, all items and rounds to one)."""

    place: int
    is_numbered: bool
    is_branch: bool
    bodies: Sequence[Graph]


def flow_key(graph: Graph) -> Callable[[str], Key]:
    """Sorts paths: a node after what it waits for, otherwise as it was written; what is inside of it right after it, items,
    cases and rounds by their numbers. Work for each path is that of its length."""
    known: dict[int, Mapping[str, Stop]] = {}

    def stops_in(part: Graph) -> Mapping[str, Stop]:
        stops = known.get(id(part))
        if stops is None:
            stops = known[id(part)] = {node.name: _stop(place, node) for place, node in enumerate(_ordered(part))}
        return stops

    def key(path: str) -> Key:
        part: Graph | None = graph
        told: list[int | str] = []  # for each segment a number and a text
        segments = iter(path.split("/"))
        for segment in segments:
            stop = (
                None if part is None else stops_in(part).get(segment.partition("~")[0] if "~" in segment else segment)
            )
            if stop is None:
                told += (int(segment), "") if segment.isdigit() else (LAST, segment)
                part = None
                continue
            told += (stop.place, "")
            case = 0
            if stop.is_numbered:
                number = next(segments, "")
                if number:
                    told += (int(number), "") if number.isdigit() else (-1, number)
                case = int(number) if stop.is_branch and number.isdigit() else 0
            part = stop.bodies[case] if case < len(stop.bodies) else None
        return tuple(told)

    return key


def _stop(place: int, node: Node) -> Stop:
    bodies = [body for body, *_ in bodies_of(node)]
    return Stop(place, isinstance(node, (Map, Loop, Branch)), isinstance(node, Branch), bodies)


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
