"""Data from outside in a graph, told as its author did: by `sources:` and parameters, not by the tasks that look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.graph.bindings import Constant, Input, Output, Value
from penstock.graph.model import DEFAULT_ORDER, Call, Function, Graph
from penstock.graph.names import made_valid
from penstock.graph.sources import MODULE


@dataclass(slots=True)
class Folded:
    """`hidden` are tasks that are left out, `instead` what stands in place of their outputs."""

    hidden: set[str] = field(default_factory=set)
    instead: dict[Value, tuple[str, ...]] = field(default_factory=dict)


class Sources:
    """The sources that a pipeline and its bodies declare, as they are found."""

    def __init__(self) -> None:
        self.declared: dict[str, Any] = {}
        self.said: dict[str, str] = {}


def folded_sources(graph: Graph, sources: Sources, *, inputs: str) -> Folded:
    """What can be told by sources in a graph, whose inputs are called `inputs`. Whether that comes to the same is for the
    writer to see."""
    folded = Folded()
    calls = {node.name: node for node in graph.nodes if isinstance(node, Call)}
    for call in calls.values():
        if not _is_ours(call) or call.order != DEFAULT_ORDER:
            continue
        given = call.inputs.get("source")
        folded.hidden.add(call.name)
        if call.component.name.startswith("probe_"):
            continue  # what reads after it stands for both
        while isinstance(given, Output) and given.node in calls and _is_ours(calls[given.node]):
            given = calls[given.node].inputs.get("source")
        output = Output(call.name, "output")
        if isinstance(given, Input):
            folded.instead[output] = (inputs, given.name)
        elif isinstance(given, Constant) and isinstance(given.value, Mapping):
            folded.instead[output] = ("sources", _declared(given.value, sources.declared, sources.said))
        else:
            return Folded()
    return folded


def _is_ours(call: Call) -> bool:
    return isinstance(call.component, Function) and call.component.module == MODULE


def _declared(source: Mapping[str, Any], sources: dict[str, Any], said: dict[str, str]) -> str:
    known = repr(sorted(source.items()))
    if known not in said:
        kind = str(source["source"])
        place = str(source.get("path") or source.get("url", ""))
        stem = place.rstrip("/").partition("?")[0].rpartition("/")[2].partition(".")[0]
        base = made_valid(stem).strip("_") or "data"
        name, number = base, 1
        while name in sources:
            number += 1
            name = f"{base}-{number}"
        said[known] = name
        written: dict[str, Any] = {kind: place}
        written.update({key: source[key] for key in ("query", "version") if source.get(key) is not None})
        sources[name] = written
    return said[known]
