"""A graph as a person reads it: an indented tree, and a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.base.sizes import size_text
from penstock.graph.bindings import (
    Constant,
    Expression,
    Index,
    Input,
    Item,
    OneOf,
    Output,
    Round,
    StateOf,
    Text,
    Value,
    leaves,
)
from penstock.graph.check_order import values_of
from penstock.graph.components import command_text
from penstock.graph.model import (
    DEFAULT_POLICY,
    Branch,
    Call,
    Command,
    Finally,
    Gpu,
    Graph,
    InputSpec,
    Loop,
    Map,
    Node,
    Policy,
    Trigger,
    Work,
    bodies_of,
    outputs_of,
)
from penstock.graph.policies import DECLARED, TRUST

_TEXT_MAX = 60
_REPEATED_NODES_MAX = 3  # a body up to this size is written out again where it is used again


def graph_text(graph: Graph) -> str:
    """The graph as indented lines: inputs, nodes with what they are given and give, bodies below their nodes, outputs. A large
    body that is used again is told by where it stands."""
    return "\n".join(_Tree().lines_of(graph)) + "\n"


def graph_mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart: a subgraph for every node that holds one, full arrows for values, dotted ones for
    order."""
    return "\n".join(_Flowchart().lines_of(graph)) + "\n"


def value_text(value: Value) -> str:
    """A Value as its author would write it, roughly."""
    if isinstance(value, Constant):
        return _constant_text(value.value)
    if isinstance(value, OneOf):
        return f"one_of({', '.join(value_text(source) for source in value.sources)})"
    if isinstance(value, Text):
        parts = [part if isinstance(part, str) else f"{{{value_text(part)}}}" for part in value.parts]
        return json.dumps("".join(parts), ensure_ascii=False)
    if isinstance(value, Expression):
        return _expression_text(value)
    return _reference_text(value)


def _expression_text(value: Expression) -> str:
    from penstock.graph.expression.print import to_text

    compound: dict[str, str] = {}

    def name_of(leaf: Value) -> str:
        if not isinstance(leaf, (OneOf, Text, Expression, Constant)):
            return _reference_text(leaf)
        # CEL has no words for these: a name that stands for them while printing, put right afterwards.
        name = f"compound_{len(compound)}_"
        compound[name] = value_text(leaf)
        return name

    text = to_text(value.tree, name_of)
    for name, meant in compound.items():
        text = text.replace(name, meant)
    return text


def _reference_text(value: Input | Output | Item | Index | Round | StateOf) -> str:
    if isinstance(value, Output):
        node = value.node or "round"
        return node if value.name == "output" else f"{node}.{value.name}"
    if isinstance(value, Input):
        return value.name
    if isinstance(value, StateOf):
        return f"{value.node}.state" if value.node else "state_of_all"
    return type(value).__name__.lower()


def _constant_text(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 3]}..."


class _Tree:
    """Writes lines; remembers where each body was written."""

    def __init__(self) -> None:
        self._place_by_graph: dict[int, str] = {}

    def lines_of(self, graph: Graph) -> Iterator[str]:
        facts = ["fails fast"] if graph.fail_fast else []
        if graph.timeout_ms is not None:
            facts.append(f"at most {_duration_text(graph.timeout_ms)}")
        yield f"pipeline {graph.name}{_braced(graph.labels)}" + (f" ({', '.join(facts)})" if facts else "")
        if graph.description:
            yield from (f"  # {line}".rstrip() for line in graph.description.splitlines())
        yield from self._body(graph, "  ", graph.name)

    def _body(self, graph: Graph, indent: str, path: str) -> Iterator[str]:
        if id(graph) in self._place_by_graph and len(graph.nodes) > _REPEATED_NODES_MAX:
            yield f"{indent}(as in {self._place_by_graph[id(graph)]})"
            return
        self._place_by_graph[id(graph)] = path
        for spec in graph.inputs:
            yield f"{indent}input {input_text(spec)}"
        for node in graph.nodes:
            yield from self._node(node, indent, f"{path}/{node.name}")
        for output in graph.outputs:
            yield f"{indent}output {output.name}: {output.type} = {value_text(output.value)}"

    def _node(self, node: Node, indent: str, path: str) -> Iterator[str]:
        outputs = ", ".join(f"{name}: {type_}" for name, type_ in outputs_of(node).items())
        yield (
            f"{indent}{node.name} = {_what(node)}{_bindings(node)}"
            + (f" -> {outputs}" if outputs else "")
            + _order_text(node)
            + policy_text(node)
            + _braced(node.labels)
        )
        inner = indent + "  "
        if isinstance(node, Branch):
            for position, case in enumerate(node.cases):
                condition = "otherwise" if case.when is None else f"case {value_text(case.when)}"
                yield f"{inner}{condition}{_bound_text(case.inputs)}"
                yield from self._body(case.body, inner + "  ", f"{path}/{position}")
        else:
            for body, _inputs in bodies_of(node):
                yield from self._body(body, inner, path)


def _what(node: Node) -> str:
    if isinstance(node, Map):
        limits = []
        if node.parallel_max is not None:
            limits.append(f", {node.parallel_max} at a time")
        if node.failures_max:
            limits.append(f", {node.failures_max} may fail")
        return f"map {node.body.name} over {value_text(node.items)}{''.join(limits)} "
    if isinstance(node, Branch):
        return "branch"
    if isinstance(node, Loop):
        until = f" until {value_text(node.until)}" if node.until is not None else ""
        carried = ", ".join(f"{output} to {input_}" for output, input_ in node.carry.items())
        fails = ", else fail" if node.exhausted == "fail" else ""
        return (
            f"loop {node.body.name}{until}, at most {node.rounds_max} rounds{fails}"
            + (f", carry {carried}" if carried else "")
            + " "
        )
    prefix = f"finally after {', '.join(node.watch) or 'nothing'}: " if isinstance(node, Finally) else ""
    return prefix + component_text(node.component)


def component_text(component: Work | Graph) -> str:
    """What a node uses, in a word."""
    if isinstance(component, Graph):
        return f"pipeline {component.name}"
    if isinstance(component, Command):
        text = " ".join(command_text(component).split())
        text = text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 3]}..."
        return f"{'shell' if component.script else 'command'} `{text}`"
    return f"{component.module}:{component.name}"


def _bindings(node: Node) -> str:
    return "" if isinstance(node, Branch) else _bound_text(node.inputs, always=True)


def _bound_text(inputs: Mapping[str, Value], *, always: bool = False) -> str:
    text = ", ".join(f"{name}={value_text(value)}" for name, value in inputs.items())
    if always:
        return f"({text})"
    return f" ({text})" if text else ""


def input_text(spec: InputSpec) -> str:
    """An input as it is declared."""
    default = "" if spec.default is None else f" = {_constant_text(spec.default.value)}"
    return f"{spec.name}: {spec.type}{default}"


def _order_text(node: Node) -> str:
    if isinstance(node, Finally):
        return ""
    order = node.order
    parts = [f" after {', '.join(order.after)}"] if order.after else []
    if order.when is not None:
        parts.append(f" when {value_text(order.when)}")
    if order.trigger is not Trigger.ALL_SUCCEEDED:
        parts.append(f" if {order.trigger}")
    return "".join(parts)


def policy_text(node: Node) -> str:
    """How a node is run, in brackets; nothing where nothing was said."""
    component = node.component if isinstance(node, (Call, Finally)) else None
    below = component.policy if isinstance(component, Work) else DEFAULT_POLICY
    own = node.policy
    resources = own.resources or below.resources
    parts = []
    if resources is not None:
        parts.append(f"cpu {_amount_text(resources.cpu)}")
        memory = resources.memory_bytes
        if memory is not None:
            parts.append(f"memory {_size_text(memory)}")
        if resources.gpu is not None:
            parts.append(_gpu_text(resources.gpu))
        if resources.disk_bytes is not None:
            parts.append(f"disk {_size_text(resources.disk_bytes)}")
        parts += [f"{name} {_amount_text(amount)}" for name, amount in resources.custom.items()]
    retry = own.retry or below.retry
    if retry is not None:
        parts.append(f"{retry.attempts_max} attempts")
    timeout = own.timeout_ms if own.timeout_ms is not None else below.timeout_ms
    if timeout is not None:
        parts.append(f"timeout {_duration_text(timeout) if isinstance(timeout, int) else value_text(timeout) + ' ms'}")
    parts += _plain_policy(own, below)
    return f" [{', '.join(parts)}]" if parts else ""


def _size_text(amount: int | Value) -> str:
    return size_text(amount) if isinstance(amount, int) else value_text(amount)


def _gpu_text(gpu: Gpu) -> str:
    each = "" if gpu.memory_bytes is None else f" with {_size_text(gpu.memory_bytes)}"
    return f"gpu {_amount_text(gpu.count)}{each}"


def _plain_policy(own: Policy, below: Policy) -> Iterator[str]:
    priority = own.priority if own.priority is not None else below.priority
    if priority:
        yield f"priority {priority}"
    cache = own.cache if own.cache is not None else below.cache
    if cache is False:
        yield "not cached"
    elif cache == TRUST:
        yield "trusted"
    version = own.version if own.version is not None else below.version
    if version is not None:
        yield f"version {version}"
    expires = own.expires_ms if own.expires_ms is not None else below.expires_ms
    if expires is not None:
        yield f"expires after {_duration_text(expires)}"
    for what in DECLARED:
        declared = (*getattr(below, what), *getattr(own, what))
        if declared:
            yield f"{what} {' '.join(declared)}"
    environment = own.environment or below.environment
    if environment is not None:
        facts = [f"Python {environment.python}"] if environment.python else []
        facts += [*environment.packages, *([environment.requirements] if environment.requirements else [])]
        yield f"environment of {' '.join(facts)}"
    if own.fresh if own.fresh is not None else below.fresh:
        yield "fresh process"


def _amount_text(amount: float | Value) -> str:
    return f"{amount:g}" if isinstance(amount, (int, float)) else value_text(amount)


def _duration_text(duration_ms: int) -> str:
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if duration_ms >= length and duration_ms % length == 0:
            return f"{duration_ms // length}{unit}"
    return f"{duration_ms}ms"


def _braced(labels: Mapping[str, str]) -> str:
    return f" {{{', '.join(f'{key}={text}' for key, text in labels.items())}}}" if labels else ""


# -- Mermaid -----------------------------------------------------------------------------------------------------------


class _Flowchart:
    """Writes a flowchart. Ids are `n1`, `n2`, ...; every name stands in an escaped label."""

    def __init__(self) -> None:
        self._count = 0
        self._edges: list[str] = []

    def lines_of(self, graph: Graph) -> Iterator[str]:
        yield "flowchart TD"
        ids: dict[str, str] = {}
        for spec in graph.inputs:
            ids[f"<{spec.name}"] = self._id()
            yield f"  {ids[f'<{spec.name}']}([{_label(input_text(spec))}])"
        yield from self._nodes(graph, "  ", ids)
        for output in graph.outputs:
            end = self._id()
            yield f"  {end}([{_label(f'{output.name}: {output.type}')}])"
            self._connect(output.value, end, ids)
        yield from self._edges

    def _nodes(self, graph: Graph, indent: str, ids: dict[str, str]) -> Iterator[str]:
        for node in graph.nodes:
            ids[node.name] = self._id()
            yield from self._node(node, indent, ids[node.name])
        for node in graph.nodes:
            self._edges_of(node, ids)

    def _node(self, node: Node, indent: str, own: str) -> Iterator[str]:
        bodies = bodies_of(node)
        if not bodies:
            shape = ("{{", "}}") if isinstance(node, Finally) else ("[", "]")
            below = "" if isinstance(node, Branch) else component_text(node.component)  # type: ignore[union-attr]
            yield f"{indent}{own}{shape[0]}{_label(node.name, below)}{shape[1]}"
            return
        yield f"{indent}subgraph {own}[{_label(f'{node.name}: {frame_text(node)}')}]"
        for position, (body, _inputs) in enumerate(bodies):
            if isinstance(node, Branch):
                case = node.cases[position]
                title = "otherwise" if case.when is None else value_text(case.when)
                yield f"{indent}  subgraph {self._id()}[{_label(title)}]"
                yield from self._body(body, indent + "    ")
                yield f"{indent}  end"
            else:
                yield from self._body(body, indent + "  ")
        yield f"{indent}end"

    def _body(self, body: Graph, indent: str) -> Iterator[str]:
        if not body.nodes:
            yield f"{indent}{self._id()}[{_label('nothing')}]"  # Mermaid draws no empty subgraph
        yield from self._nodes(body, indent, {})

    def _edges_of(self, node: Node, ids: Mapping[str, str]) -> None:
        own = ids[node.name]
        for value in values_of(node):
            self._connect(value, own, ids)
        before = node.watch if isinstance(node, Finally) else node.order.after
        for name in before:
            if name in ids:
                self._edge(f"  {ids[name]} -.-> {own}")

    def _connect(self, value: Value, own: str, ids: Mapping[str, str]) -> None:
        for leaf in leaves(value):
            if isinstance(leaf, Output) and leaf.node in ids:
                named = "" if leaf.name == "output" else f"|{_label(leaf.name)}|"
                self._edge(f"  {ids[leaf.node]} -->{named} {own}")
            elif isinstance(leaf, StateOf) and leaf.node in ids:
                self._edge(f"  {ids[leaf.node]} -.->|{_label('state')}| {own}")
            elif isinstance(leaf, Input) and f"<{leaf.name}" in ids:
                self._edge(f"  {ids[f'<{leaf.name}']} --> {own}")

    def _edge(self, line: str) -> None:
        if line not in self._edges[-20:]:
            self._edges.append(line)

    def _id(self) -> str:
        self._count += 1
        return f"n{self._count}"


def frame_text(node: Node) -> str:
    """How often and when the inside of a node runs, in a few words."""
    if isinstance(node, Map):
        return f"for each of {value_text(node.items)}"
    if isinstance(node, Loop):
        until = f"until {value_text(node.until)}, " if node.until is not None else ""
        return f"{until}at most {node.rounds_max} rounds"
    if isinstance(node, Branch):
        return "the first case that holds"
    return ("finally " if isinstance(node, Finally) else "") + component_text(node.component)


def _label(*lines: str) -> str:
    """A quoted label; whatever Mermaid or HTML could read as syntax is written as a character code."""
    escaped = [
        "".join(c if c.isalnum() or c in " .,:=_/()-" else f"#{ord(c)};" for c in line) for line in lines if line
    ]
    return '"' + "<br>".join(escaped) + '"'
