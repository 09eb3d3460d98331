"""A part of a graph: what one task needs and that task, that task alone, or the graph with outputs that are given instead of
computed. Pure: a graph and names in, a graph out. What is given is an input of the new graph; so keys, plan, recovery and
provenance follow from the graph and its inputs as always."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Constant, Input, OneOf, Output, StateOf, Value, leaves
from penstock.graph.model import (
    DEFAULT_ORDER,
    Call,
    Finally,
    Graph,
    GraphOutput,
    InputSpec,
    Node,
    bodies_of,
    outputs_of,
)
from penstock.graph.names import name_of_value, nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of a graph, by names of its nodes. `given` are outputs that have a value already. A task
    in a nested pipeline is named by its path."""

    until: str = ""
    only: str = ""
    given: frozenset[Output] = frozenset()

    def of(self, graph: Graph) -> Graph:
        """The part of a graph that is asked for. Raises InvalidInput for names that the graph does not have, and where
        `only` is asked for with something that is not given."""
        until, only = _path(self.until), _path(self.only)
        for name in (until, only):
            if name:
                require_node(graph, name)
        own = frozenset(output for output in self.given if "/" not in output.node)
        chosen = _Substitution(_inside(graph, until, only, self.given), own).graph()
        if only:
            head = _head(only)
            return _shown(_kept(_alone(chosen, head), {head}), head)
        if until:
            head = _head(until)
            return _shown(_kept(chosen, _needed(chosen, {head})), head)
        return _kept(chosen, _wanted(graph, chosen, {_head(output.node) for output in self.given}))


def _path(name: str) -> str:
    """A task as task runs are called: `outer/inner`."""
    return name.replace(".", "/")


def _head(path: str) -> str:
    return path.partition("/")[0]


def require_node(graph: Graph, name: str) -> Node:
    """The node of a name, or of a path into nested pipelines: `outer/inner` or `outer.inner`. Raises InvalidInput."""
    first, _, rest = _path(name).partition("/")
    found = {node.name: node for node in graph.nodes}
    if first not in found:
        raise InvalidInput(f"{graph.name!r} has no task {first!r}", fix=nearest(first, found))
    if not rest:
        return found[first]
    nested = _nested(found[first])
    if nested is None:
        what = "runs its tasks as often as a run needs" if bodies_of(found[first]) else "has no tasks in it"
        raise InvalidInput(f"{first!r} of {graph.name!r} {what}, so {name!r} names none", fix=f"Give {first}.")
    return require_node(nested, rest)


def _nested(node: Node) -> Graph | None:
    return node.component if isinstance(node, Call) and isinstance(node.component, Graph) else None


def require_output(graph: Graph, text: str) -> Output:
    """TASK.OUTPUT, or TASK where it has one output; of a task in nested pipelines with its path."""
    *path, last = _path(text).split("/")
    if path and not _is_node(graph, [*path, last]):
        task, dot, name = "/".join(path), ".", last
    else:
        task, dot, name = "/".join([*path, last]), "", ""
    outputs = outputs_of(require_node(graph, task))
    if not dot and len(outputs) == 1:
        name = next(iter(outputs))
    if name not in outputs:
        what = f"has no output {name!r}" if dot else "has several outputs" if outputs else "has no outputs"
        fix = f"Give one of {', '.join(f'{task}.{each}' for each in outputs)}." if outputs else ""
        raise InvalidInput(f"{task} {what}", fix=fix)
    return Output(task, name)


def _is_node(graph: Graph, path: list[str]) -> bool:
    node = next((node for node in graph.nodes if node.name == path[0]), None)
    nested = _nested(node) if node is not None else None
    return node is not None and (len(path) == 1 or (nested is not None and _is_node(nested, path[1:])))


def input_name(output: Output) -> str:
    """The input that a given output becomes; a name that can stand in expressions."""
    return f"given_{output.node}_{output.name}".replace("-", "__").replace("/", "___")


def text_of(output: Output) -> str:
    """As a person names it: TASK.OUTPUT."""
    return f"{output.node}.{output.name}"


def inputs_of_node(graph: Graph, name: str) -> tuple[Output, ...]:
    """The outputs that a node refers to, in the order of the nodes; of one in nested pipelines also those that it refers to
    through their inputs, the outer ones first."""
    found, _ = _referred(graph, _path(name).split("/"))
    return tuple(found)


def _referred(graph: Graph, path: list[str]) -> tuple[list[Output], set[str]]:
    """The outputs that a node at a path refers to, and the inputs of the graph."""
    node = require_node(graph, path[0])
    inner: list[Output] = []
    asked = list(_leaves(node))
    nested = _nested(node)
    if len(path) > 1 and isinstance(node, Call) and nested is not None:
        below, inputs = _referred(nested, path[1:])
        inner = [Output(f"{path[0]}/{each.node}", each.name) for each in below]
        asked = [leaf for name, value in node.inputs.items() if name in inputs for leaf in leaves(value)]
    places = {each.name: index for index, each in enumerate(graph.nodes)}
    outputs = {leaf for leaf in asked if isinstance(leaf, Output) and leaf.node}
    own = sorted(outputs, key=lambda leaf: (places[leaf.node], leaf.name))
    return [*own, *inner], {leaf.name for leaf in asked if isinstance(leaf, Input)}


def _leaves(node: Node) -> Iterator[Value]:
    """Every Value that the node is made of, but those of graphs inside of it."""
    found: list[Value] = []

    def noted(value: Value) -> Value:
        found.append(value)
        return value

    _rewritten(node, noted)
    for value in found:
        yield from leaves(value)


def _upstreams(node: Node) -> set[str]:
    return _asked_by(node) | set(node.watch if isinstance(node, Finally) else ())


def _asked_by(node: Node) -> set[str]:
    """What a node waits for, but what it only watches."""
    names = {leaf.node for leaf in _leaves(node) if isinstance(leaf, (Output, StateOf)) and leaf.node}
    return names | set(() if isinstance(node, Finally) else node.order.after)


def _needed(graph: Graph, roots: Set[str]) -> set[str]:
    """The roots and all that they wait for."""
    by_name = {node.name: node for node in graph.nodes}
    needed: set[str] = set()
    agenda = list(roots)
    while agenda:
        name = agenda.pop()
        if name not in needed:
            needed.add(name)
            agenda += _upstreams(by_name[name])
    return needed


def _wanted(before: Graph, after: Graph, given: Set[str]) -> set[str]:
    """All nodes, but those of which outputs are given and that nobody asks for any more, and those that only they needed."""
    consumers: dict[str, set[str]] = {node.name: set() for node in before.nodes}
    for node in before.nodes:
        for name in _asked_by(node):
            consumers[name].add(node.name)
    asked = {name for node in after.nodes for name in _asked_by(node)}
    dropped = {name for name in given if not _is_output(after, name)} - asked
    more = {name for name, users in consumers.items() if users} - asked
    dropped |= {name for name in more if not _is_output(after, name)}
    while True:
        needless = {
            name
            for name, users in consumers.items()
            if name not in dropped and users and users <= dropped and not _is_output(after, name)
        }
        if not needless:
            return set(consumers) - dropped
        dropped |= needless


def _is_output(graph: Graph, name: str) -> bool:
    found = (leaf for output in graph.outputs for leaf in leaves(output.value))
    return any(isinstance(leaf, (Output, StateOf)) and leaf.node == name for leaf in found)


def _kept(graph: Graph, names: Set[str]) -> Graph:
    """The graph with these nodes alone, the outputs that they give, and what cleans up after them."""
    cleaning = {
        node.name
        for node in graph.nodes
        if isinstance(node, Finally) and _upstreams(node) and _upstreams(node) <= names
    }
    kept = names | cleaning
    nodes = tuple(_without(node, kept) for node in graph.nodes if node.name in kept)
    outputs = tuple(output for output in graph.outputs if _is_there(output.value, {each.name: each for each in nodes}))
    return replace(graph, nodes=nodes, outputs=outputs)


def _is_there(value: Value, nodes: Mapping[str, Node]) -> bool:
    """Whether all that a value refers to is: a part of a nested pipeline has some of its outputs."""
    found = [leaf for leaf in leaves(value) if isinstance(leaf, (Output, StateOf))]
    return all(
        leaf.node in nodes and (isinstance(leaf, StateOf) or leaf.name in outputs_of(nodes[leaf.node]))
        for leaf in found
    )


def _without(node: Node, kept: Set[str]) -> Node:
    if isinstance(node, Finally):
        return replace(node, watch=tuple(name for name in node.watch if name in kept))
    if set(node.order.after) <= kept:
        return node
    order = replace(node.order, after=tuple(name for name in node.order.after if name in kept))
    return cast("Node", replace(node, order=order))


def _shown(graph: Graph, task: str) -> Graph:
    """With what the task gives among the outputs."""
    exposed = {output.value for output in graph.outputs if isinstance(output.value, Output)}
    names = {output.name for output in graph.outputs}
    more = [
        GraphOutput(name_of_value(Output(task, name), name), type_, Output(task, name))
        for name, type_ in outputs_of(require_node(graph, task)).items()
        if Output(task, name) not in exposed
    ]
    return replace(graph, outputs=(*graph.outputs, *(output for output in more if output.name not in names)))


def _alone(graph: Graph, name: str) -> Graph:
    """With this node waiting for nobody. Raises InvalidInput for what it is not given."""
    node = require_node(graph, name)
    if isinstance(node, Finally):
        raise InvalidInput(f"{name} runs when others have ended, and never alone", fix="Run the whole pipeline.")
    left = [leaf for leaf in _leaves(replace(node, order=DEFAULT_ORDER)) if isinstance(leaf, (Output, StateOf))]
    missing = sorted({leaf.node for leaf in left if leaf.node})
    if missing:
        raise InvalidInput(f"{name} needs {', '.join(missing)}, of which there is no result")
    alone = cast("Node", replace(node, order=DEFAULT_ORDER))
    return replace(graph, nodes=tuple(alone if each is node else each for each in graph.nodes))


# -- nested pipelines ----------------------------------------------------------------------------------------------------


def _inside(graph: Graph, until: str, only: str, given: Set[Output]) -> Graph:
    """Give a nested pipeline its own part of what is asked for: a task in it, and outputs in it that are given. These come
    through inputs of the graph and of each pipeline on the way."""
    specs: list[InputSpec] = []
    nodes: list[Node] = []
    for node in graph.nodes:
        nested = _nested(node)
        own = {output for output in given if output.node.startswith(f"{node.name}/")}
        deeper, alone = (path.partition("/")[2] if _head(path) == node.name else "" for path in (until, only))
        if not isinstance(node, Call) or nested is None or not (own or deeper or alone):
            nodes.append(node)
            continue
        below = {Output(output.node.partition("/")[2], output.name): output for output in sorted(own, key=text_of)}
        part = _trimmed(Selection(deeper, alone, frozenset(below)).of(nested))
        specs += [
            InputSpec(input_name(above), outputs_of(require_node(graph, above.node))[above.name])
            for above in below.values()
        ]
        bound = {**node.inputs, **{input_name(inner): Input(input_name(above)) for inner, above in below.items()}}
        names = {spec.name for spec in part.inputs}
        nodes.append(replace(node, component=part, inputs={name: bound[name] for name in bound if name in names}))
    if not specs and all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    return replace(graph, inputs=(*graph.inputs, *specs), nodes=tuple(nodes))


def _trimmed(graph: Graph) -> Graph:
    """Without inputs that nothing reads: what only they needed is not run either."""
    used = {leaf.name for node in graph.nodes for leaf in _leaves(node) if isinstance(leaf, Input)}
    used |= {leaf.name for output in graph.outputs for leaf in leaves(output.value) if isinstance(leaf, Input)}
    return replace(graph, inputs=tuple(spec for spec in graph.inputs if spec.name in used))


class _Substitution:
    """Puts inputs where given outputs are."""

    def __init__(self, graph: Graph, given: Set[Output]) -> None:
        self._graph = graph
        self._given = given
        types = {node.name: outputs_of(node) for node in graph.nodes}
        places = {node.name: index for index, node in enumerate(graph.nodes)}
        ordered = sorted(given, key=lambda output: (places[output.node], output.name))
        self._inputs = tuple(InputSpec(input_name(output), types[output.node][output.name]) for output in ordered)
        self._whole = {name for name, outputs in types.items() if {Output(name, each) for each in outputs} <= given}

    def graph(self) -> Graph:
        if not self._given:
            return self._graph
        nodes = tuple(_rewritten(node, self._value) for node in self._graph.nodes)
        outputs = tuple(_rewritten(output, self._value) for output in self._graph.outputs)
        return replace(self._graph, inputs=(*self._graph.inputs, *self._inputs), nodes=nodes, outputs=outputs)

    def _value(self, value: Value) -> Value:
        if isinstance(value, Output) and value in self._given:
            return Input(input_name(value))
        if isinstance(value, StateOf) and value.node in self._whole:
            return Constant("succeeded")
        if isinstance(value, OneOf):
            given = [source for source in value.sources if isinstance(source, Output) and source in self._given]
            return Input(input_name(given[0])) if given else value
        return value


def _rewritten(thing: T, change: Any) -> T:
    """The thing with every Value in it changed, each before its parts; the same object where nothing changes. Graphs inside
    of it are closed, and stay."""
    if isinstance(thing, Graph):
        return thing
    if isinstance(thing, (Input, Output, OneOf, StateOf, Constant)):
        changed = change(thing)
        if changed is not thing or not isinstance(thing, OneOf):
            return cast("T", changed)
    if isinstance(thing, tuple):
        parts = tuple(_rewritten(part, change) for part in thing)
        same = all(new is old for new, old in zip(parts, thing, strict=True))
        return thing if same else cast("T", parts)
    if isinstance(thing, Mapping):
        entries = {key: _rewritten(part, change) for key, part in thing.items()}
        return thing if all(entries[key] is thing[key] for key in thing) else cast("T", entries)
    if is_dataclass(thing) and not isinstance(thing, type):
        new = {each.name: _rewritten(getattr(thing, each.name), change) for each in fields(thing) if each.init}
        differing = {name: part for name, part in new.items() if part is not getattr(thing, name)}
        return cast("T", replace(cast("Any", thing), **differing)) if differing else thing
    return thing
