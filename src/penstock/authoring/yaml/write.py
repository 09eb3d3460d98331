"""A graph as a pipeline file. What is written is read again and compared, so that a file that is given says the same graph.

Functions stand as `module:function` where they are as their definitions say, else as components with what differs. Nested
graphs that are used as pipelines stand below `pipelines:`, bodies of maps, loops and branches in their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.emit import emit
from penstock.authoring.yaml.load import Loaded, load
from penstock.authoring.yaml.schema import VERSION
from penstock.authoring.yaml.write_components import ComponentWriter
from penstock.authoring.yaml.write_policies import duration_text, written_policy
from penstock.authoring.yaml.write_sources import Folded, Sources, folded_sources
from penstock.authoring.yaml.write_types import written_specs, written_type
from penstock.authoring.yaml.write_values import Writer
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Input, Item, Output, Value, leaves
from penstock.graph.codec import graph_digest
from penstock.graph.model import (
    DEFAULT_POLICY,
    NOTHING,
    Branch,
    Call,
    Finally,
    Function,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Node,
    Policy,
    Trigger,
    outputs_of,
)
from penstock.graph.names import made_valid, name_of_value
from penstock.graph.types import ANY, INT, Type
from penstock.graph.value_types import type_of_value

Data = dict[str, Any]
_PATH = "written.yaml"


def write(graph: Graph, functions: Mapping[str, Function] | None = None) -> str:
    """The text of a file whose pipeline is `graph`. `functions` are Python's components as their definitions say, by
    `module:name`; None: as they first stand in the graph. Raises InvalidInput for a graph that no file can say."""
    wanted = graph_digest(graph)
    reason = ""
    for fold, capture in ((True, True), (True, False), (False, False)):
        components = ComponentWriter(graph, functions)
        text = emit(_File(components, fold=fold, capture=capture).data(graph))
        loaded = _read_again(text, components.finder())
        if loaded.graph is not None and graph_digest(loaded.graph) == wanted:
            return text
        reason = "; ".join(each.message for each in loaded.diagnostics if each.severity == "error")
    raise InvalidInput(
        f"the graph of {graph.name!r} holds something that a pipeline file cannot say{': ' if reason else ''}{reason}",
        fix="`penstock graph --format json` writes any graph.",
    )


def _read_again(text: str, found: Mapping[str, Found]) -> Loaded:
    return load(_PATH, read_file=lambda _path: text.encode(), find=lambda name: found.get(name, Found(None)))


_NONE: Mapping[Value, tuple[str, ...]] = {}


class _File:
    """Writes one file. `fold`: data from outside is told as sources, rather than by the tasks that look at it. `capture`: bodies
    refer to what stands around them where the builder would make the same inputs of that."""

    def __init__(self, components: ComponentWriter, *, fold: bool, capture: bool) -> None:
        self.capture = capture
        self._components = components
        self._fold = fold
        self._pipelines: dict[str, Data] = {}
        self._key_by_graph: dict[int, str] = {}

    def data(self, graph: Graph) -> Data:
        self._key_by_graph[id(graph)] = graph.name
        self._pipelines[graph.name] = {}
        own = self._pipeline(graph)
        data: Data = {"penstock": VERSION, "pipeline": graph.name}
        for name in ("description", "parameters", "sources"):
            if name in own:
                data[name] = own.pop(name)
        components = self._components.data()
        if components:
            data["components"] = components
        data.update(own)
        others = {name: each for name, each in self._pipelines.items() if name != graph.name}
        if others:
            data["pipelines"] = others
        return data

    def _pipeline(self, graph: Graph) -> Data:
        data: Data = {}
        if graph.description:
            data["description"] = graph.description
        if graph.inputs:
            data["parameters"] = written_specs(graph.inputs)
        sources = Sources()
        body = _Body(self, graph, "parameters", sources).data()
        if sources.declared:
            data["sources"] = sources.declared
        data.update(body)
        return {**data, **_facts(graph)}

    def key_of(self, graph: Graph) -> str:
        """The key below `pipelines:` of a nested graph, which is written there the first time."""
        known = self._key_by_graph.get(id(graph))
        if known is None:
            known, number = graph.name, 1
            while known in self._pipelines:
                number += 1
                known = f"{graph.name}-{number}"
            self._pipelines[known] = {}  # taken, while what is nested in it is written
            self._key_by_graph[id(graph)] = known
            named = {} if known == graph.name else {"name": graph.name}
            self._pipelines[known] = {**named, **self._pipeline(graph)}
        return known

    def folded(self, graph: Graph, sources: Sources, inputs: str) -> Folded:
        return folded_sources(graph, sources, inputs=inputs) if self._fold else Folded()

    @property
    def components(self) -> ComponentWriter:
        return self._components


def _facts(graph: Graph) -> Data:
    data: Data = {}
    if graph.fail_fast:
        data["fail_fast"] = True
    if graph.timeout_ms is not None:
        data["timeout"] = duration_text(graph.timeout_ms)
    if graph.labels:
        data["labels"] = dict(graph.labels)
    return data


class _Body:
    """Writes the tasks and outputs of one graph. `inputs` is how its inputs are called."""

    def __init__(
        self,
        file: _File,
        graph: Graph,
        inputs: str,
        sources: Sources,
        captured: Mapping[Value, tuple[str, ...]] = _NONE,
    ) -> None:
        self._file = file
        self._graph = graph
        self._sources = sources
        self._folded = file.folded(graph, sources, inputs)
        self._outputs = {node.name: outputs_of(node) for node in graph.nodes}
        single = {name: "output" for name, outputs in self._outputs.items() if _primary(outputs) == ["output"]}
        self._writer = Writer(inputs, single, {**captured, **self._folded.instead})
        self._types = {spec.name: spec.type for spec in graph.inputs}

    def data(self) -> Data:
        data: Data = {}
        tasks = {node.name: self._task(node) for node in self._graph.nodes if node.name not in self._folded.hidden}
        if tasks or self._graph.outputs == ():
            data["tasks"] = tasks
        if self._graph.outputs:
            data["outputs"] = {output.name: self._output(output) for output in self._graph.outputs}
        return data

    def _output(self, output: GraphOutput) -> Any:
        written = self._writer.written(output.value)
        if self._type(output.value) == output.type and not isinstance(written, Mapping):
            return written
        return {"value": written, "type": written_type(output.type)}

    def _type(self, value: Value, item: Type = ANY) -> Type:
        def of_leaf(leaf: Value) -> Type:
            if isinstance(leaf, Input):
                return self._types.get(leaf.name, ANY)
            if isinstance(leaf, Output):
                return self._outputs.get(leaf.node, {}).get(leaf.name, ANY)
            return item if isinstance(leaf, Item) else INT

        return type_of_value(value, of_leaf)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _task(self, node: Node) -> Data:
        if isinstance(node, Branch):
            cases = [self._case(node, position) for position in range(len(node.cases))]
            return {"branch": cases, **self._order(node), **self._policy(node.policy), **_labels(node)}
        if isinstance(node, Map):
            return self._map(node)
        if isinstance(node, Loop):
            return self._loop(node)
        return self._use(node)

    def _use(self, node: Call | Finally) -> Data:
        component = node.component
        base, below = DEFAULT_POLICY, None
        if isinstance(component, Graph):
            data: Data = {"pipeline": self._file.key_of(component)}
            base = Policy(timeout_ms=component.timeout_ms)
        else:
            data = self._file.components.use(component)
            below = component.policy.resources
        places = {spec.name: place for place, spec in enumerate(component.inputs)}
        named = sorted(node.inputs, key=lambda name: places.get(name, len(places)))
        data.update(self._bound({name: node.inputs[name] for name in named}))
        if isinstance(node, Finally):
            others = [each.name for each in self._graph.nodes if not isinstance(each, Finally)]
            hidden = self._folded.hidden
            data["finally"] = (
                True if sorted(node.watch) == sorted(others) else [w for w in node.watch if w not in hidden]
            )
        else:
            data.update(self._order(node))
        policy = written_policy(node.policy, self._writer.amount, base=base, resources=below)
        return {**data, **policy, **_labels(node)}

    def _bound(self, inputs: Mapping[str, Value]) -> Data:
        return {"inputs": {name: self._writer.written(value) for name, value in inputs.items()}} if inputs else {}

    def _order(self, node: Call | Map | Branch | Loop) -> Data:
        data: Data = {}
        after = [name for name in node.order.after if name not in self._folded.hidden]
        if after:
            data["after"] = after if len(after) > 1 else after[0]
        if node.order.when is not None:
            data["when"] = self._writer.condition(node.order.when)
        if node.order.trigger is not Trigger.ALL_SUCCEEDED:
            data["trigger"] = str(node.order.trigger)
        return data

    def _policy(self, policy: Policy) -> Data:
        return written_policy(policy, self._writer.amount)

    # -- bodies --------------------------------------------------------------------------------------------------------

    def _map(self, node: Map) -> Data:
        facts: Data = {"over": self._writer.written(node.items)}
        if node.parallel_max is not None:
            facts["parallel_max"] = node.parallel_max
        if node.failures_max:
            facts["failures_max"] = node.failures_max
        item = self._type(node.items).item or ANY
        has_item = any(isinstance(leaf, Item) for value in node.inputs.values() for leaf in leaves(value))
        around = self._around(node) if has_item else None
        inputs = dict(node.inputs)
        if around is not None:
            only = [name for name, value in inputs.items() if isinstance(value, Item)]
            first = next(
                (spec.name for spec in node.body.inputs if spec.name not in inputs or inputs[spec.name] == Item()), ""
            )
            if len(only) == 1 and only[0] == first and _items_in(inputs) == 1:
                del inputs[first]
            elif len(only) == 1 and _items_in(inputs) == 1:
                facts["as"] = only[0]
                del inputs[only[0]]
        captured = _NONE if around is not None else self._captured(node.body, node.inputs)
        inputs = {name: value for name, value in inputs.items() if Input(name) not in captured}
        body = around or self._inner(node.name, node.body, inputs, captured, item=item)
        policy = {} if around is not None else self._policy(node.policy)
        what, rest = _parted(body)
        return {**what, "map": facts, **self._bound(inputs), **rest, **self._order(node), **policy, **_labels(node)}

    def _loop(self, node: Loop) -> Data:
        facts: Data = {}
        if node.until is not None:
            facts["until"] = self._writer.condition(node.until)
        facts["rounds_max"] = node.rounds_max
        outputs = {output.name: output.type for output in node.body.outputs}
        named_alike = {spec.name: spec.name for spec in node.body.inputs if outputs.get(spec.name) == spec.type}
        if dict(node.carry) != named_alike:
            facts["carry"] = dict(node.carry)
        if node.exhausted != "succeed":
            facts["exhausted"] = node.exhausted
        around = self._around(node)
        captured = _NONE if around is not None else self._captured(node.body, node.inputs, carried=node.carry)
        inputs = {name: value for name, value in node.inputs.items() if Input(name) not in captured}
        body = around or self._inner(node.name, node.body, inputs, captured)
        policy = {} if around is not None else self._policy(node.policy)
        what, rest = _parted(body)
        return {
            **what,
            "loop": facts,
            **self._bound(inputs),
            **rest,
            **self._order(node),
            **policy,
            **_labels(node),
        }

    def _case(self, node: Branch, position: int) -> Data:
        case = node.cases[position]
        data: Data = {} if case.when is None else {"when": self._writer.condition(case.when)}
        captured = self._captured(case.body, case.inputs)
        inputs = {name: value for name, value in case.inputs.items() if Input(name) not in captured}
        return {**data, **self._bound(inputs), **self._inner(f"case-{position}", case.body, inputs, captured)}

    def _captured(
        self, body: Graph, inputs: Mapping[str, Value], *, carried: Mapping[str, str] = NOTHING
    ) -> Mapping[Value, tuple[str, ...]]:
        """The inputs of a body that it would have anyway if its tasks referred to what stands around: by how they do."""
        found: dict[Value, tuple[str, ...]] = {}
        own = {node.name for node in body.nodes}
        for spec in body.inputs if self._file.capture else ():
            value = inputs.get(spec.name)
            if not isinstance(value, (Output, Input)) or spec.default is not None or spec.name in carried.values():
                continue
            name, segments = name_of_value(value, ""), self._writer.segments(value)
            is_so_named = spec.name == name or spec.name.startswith(f"{name}-")
            if (
                is_so_named
                and spec.type == self._type(value)
                and segments[0] not in own
                and "source" not in str(spec.type)
            ):
                found[Input(spec.name)] = tuple(segments)
        return found

    def _inner(
        self,
        named: str,
        body: Graph,
        inputs: Mapping[str, Value],
        captured: Mapping[Value, tuple[str, ...]],
        *,
        item: Type = ANY,
    ) -> Data:
        """A body as keys of its task. `named` is what it is called if nothing is said, `inputs` binds those that are not
        captured."""
        data: Data = {}
        bound = [InputSpec(name, self._type(value, item)) for name, value in inputs.items()]
        own = [spec for spec in body.inputs if Input(spec.name) not in captured]
        if own != bound or any("source" in str(spec.type) for spec in bound):
            data["takes"] = written_specs(own)
        data.update(_Body(self._file, body, "inputs", self._sources, captured).data())
        facts: Data = {} if body.name == named else {"name": body.name}
        if body.description:
            facts["description"] = body.description
        facts.update(_facts(body))
        if facts:
            data["body"] = facts
        return data

    def _around(self, node: Map | Loop) -> Data | None:
        """The keys that make a body of one use of a component, as the loader makes it; None: it is more than that."""
        body, policy = node.body, node.policy
        is_pipeline = body.location is not None and body.location != node.location
        if is_pipeline and policy == DEFAULT_POLICY and body.timeout_ms is None:
            return {"pipeline": self._file.key_of(body)}
        if policy != DEFAULT_POLICY or body.fail_fast or body.timeout_ms is not None or body.labels or body.description:
            return None
        call = body.nodes[0] if len(body.nodes) == 1 else None
        if not isinstance(call, Call) or call.order.after or call.order.when is not None or call.labels:
            return None
        component, own = call.component, call.policy
        values = (own.timeout_ms, *([] if own.resources is None else [own.resources.cpu, own.resources.memory_bytes]))
        if own.resources is not None and (own.resources.custom or own.resources.gpu or own.resources.disk_bytes):
            return None
        if any(value is not None and not isinstance(value, (int, float)) for value in values):
            return None
        name = made_valid(component.name.rpartition(".")[2])
        passed = {spec.name: Input(spec.name) for spec in component.inputs}
        given = tuple(
            GraphOutput(output.name, output.type, Output(call.name, output.name)) for output in component.outputs
        )
        is_same = body.inputs == component.inputs and dict(call.inputs) == passed and body.outputs == given
        if (
            not is_same
            or call.name != name
            or body.name != component.name
            or call.order.trigger is not Trigger.ALL_SUCCEEDED
        ):
            return None
        if isinstance(component, Graph):
            if own == DEFAULT_POLICY and component.timeout_ms is None:
                return None  # the loader would take the pipeline itself as the body
            base = Policy(timeout_ms=component.timeout_ms)
            return {"pipeline": self._file.key_of(component), **written_policy(own, self._writer.amount, base=base)}
        data = self._file.components.use(component)
        return {**data, **written_policy(own, self._writer.amount, resources=component.policy.resources)}


def _parted(body: Data) -> tuple[Data, Data]:
    """(what is used, the rest) of a body's keys: what is used stands first in a task."""
    first: Data = {name: body[name] for name in ("function", "component", "pipeline") if name in body}
    return first, {name: value for name, value in body.items() if name not in first}


def _items_in(inputs: Mapping[str, Value]) -> int:
    return sum(isinstance(leaf, Item) for value in inputs.values() for leaf in leaves(value))


def _primary(outputs: Mapping[str, Type]) -> list[str]:
    names = list(outputs)
    if "indexes" in names or ("met" in names and "rounds" in names):
        return [name for name in names if name not in ("indexes", "met", "rounds")]
    return names


def _labels(node: Node) -> Data:
    return {"labels": dict(node.labels)} if node.labels else {}
