"""A graph as JSON, and its digest.

Components and body graphs, orders, policies and file names stand once in tables and are referred to by position, so ten
thousand uses of one component stay small. Locations, labels and descriptions are written beside and never enter the
digest, which is a tree of digests: it does not depend on how the tables came out."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from operator import itemgetter
from typing import Any

from penstock.base.diagnostics import Location
from penstock.base.digests import canonical_json, digest_of
from penstock.base.errors import InvalidInput
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
)
from penstock.graph.command_codec import command_from_json, command_to_json
from penstock.graph.model import (
    DEFAULT_ORDER,
    DEFAULT_POLICY,
    NOTHING,
    Branch,
    Call,
    Case,
    Command,
    Finally,
    Function,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Node,
    Order,
    OutputSpec,
    Policy,
    Trigger,
    Work,
)
from penstock.graph.policies import policy_from_json, policy_to_json
from penstock.graph.types import Field, Type
from penstock.wire import parameter_from_json, parameter_to_json

GRAPH_VERSION = 1

Json = dict[str, Any]


def graph_to_json(graph: Graph) -> Json:
    """The whole graph as plain data for `json.dumps`; `graph_from_json` gives an equal graph back, labels and locations
    included. Raises TypeError on a constant that is not JSON."""
    writer = _Writer()
    root = writer.graph_data(graph)
    return {"version": GRAPH_VERSION, "root": root, **writer.tables}


def graph_from_json(data: Mapping[str, Any]) -> Graph:
    """The graph of `graph_to_json`'s data. Raises InvalidInput when a newer Penstock wrote it."""
    if data.get("version") != GRAPH_VERSION:
        raise InvalidInput(
            f"this graph has version {data.get('version')!r}; this Penstock reads version {GRAPH_VERSION}",
            fix="Use the version of Penstock that wrote it, or a newer one.",
        )
    return _Reader(data).graph(data["root"])


def graph_digest(graph: Graph) -> str:
    """sha256 (hex) of what the graph computes and how it is controlled: equal for the same pipeline written twice,
    whatever its labels, descriptions and places in files."""
    return digest_of(["penstock graph", GRAPH_VERSION, _Writer(identity=True).graph_data(graph)])


def command_digest(command: Command) -> str:
    """sha256 (hex) of what a command does and how it is run: equal for the same command written twice."""
    return digest_of(_Writer(identity=True).command_data(command))


def type_to_json(type_: Type) -> Json:
    """`{"name": ...}`, with `item`, `options`, `optional`, `form`, `bases` and `parts` only where set."""
    data = _type_identity(type_)
    if type_.bases:
        data["bases"] = list(type_.bases)
    if type_.parts:
        data["parts"] = [[name, type_to_json(part)] for name, part in type_.parts]
    if type_.item is not None:
        data["item"] = type_to_json(type_.item)
    if type_.fields is not None:
        data["fields"] = [[f.name, type_to_json(f.type), f.required, *f.default] for f in type_.fields]
    return data


def type_from_json(data: Mapping[str, Any]) -> Type:
    item = data.get("item")
    return Type(
        data["name"],
        item=None if item is None else type_from_json(item),
        options=tuple(data.get("options", ())),
        optional=data.get("optional", False),
        bases=tuple(data.get("bases", ())),
        form=data.get("form", ""),
        parts=tuple([(name, type_from_json(part)) for name, part in data.get("parts", ())]),
        fields=_fields_from(data["fields"]) if "fields" in data else None,
    )


def _fields_from(data: list[list[Any]]) -> tuple[Field, ...]:
    return tuple([Field(name, type_from_json(type_), needed, tuple(default)) for name, type_, needed, *default in data])


def value_to_json(value: Value) -> Json:
    """A Value as `{kind: content}`. Raises TypeError on a constant that is not JSON."""
    if isinstance(value, Output):
        return {"output": [value.node, value.name]}
    if isinstance(value, Constant):
        return {"constant": parameter_to_json(value.value)}
    if isinstance(value, Input):
        return {"input": value.name}
    if isinstance(value, OneOf):
        return {"one_of": [value_to_json(source) for source in value.sources]}
    if isinstance(value, Text):
        return {"text": [part if isinstance(part, str) else value_to_json(part) for part in value.parts]}
    if isinstance(value, Expression):
        from penstock.graph.expression.codec import tree_to_json

        return {"expression": tree_to_json(value.tree, value_to_json)}
    if isinstance(value, StateOf):
        return {"state_of": value.node}
    return {_BARE_NAMES[type(value)]: True}


def value_from_json(data: Mapping[str, Any]) -> Value:
    ((kind, content),) = data.items()
    if kind == "output":
        return Output(content[0], content[1])
    if kind == "constant":
        return Constant(parameter_from_json(content))
    if kind == "input":
        return Input(content)
    if kind == "one_of":
        return OneOf(tuple(value_from_json(source) for source in content))
    if kind == "text":
        return Text(tuple(part if isinstance(part, str) else value_from_json(part) for part in content))
    if kind == "expression":
        from penstock.graph.expression.codec import tree_from_json

        return Expression(tree_from_json(content, value_from_json))
    if kind == "state_of":
        return StateOf(content)
    return _BARE_VALUES[kind]


_BARE_VALUES: Mapping[str, Value] = {"item": Item(), "index": Index(), "round": Round()}
_BARE_NAMES = {type(value): name for name, value in _BARE_VALUES.items()}


def _type_identity(type_: Type) -> Json:
    data: Json = {"name": type_.name}
    if type_.item is not None:
        data["item"] = _type_identity(type_.item)
    if type_.options:
        data["options"] = list(type_.options)
    if type_.optional:
        data["optional"] = True
    if type_.form:
        data["form"] = type_.form
    return data


# -- writing -----------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes graphs. With `identity`, references are digests and notes (locations, labels, descriptions, bases of
    types) are left out; else references are positions in `tables`."""

    def __init__(self, *, identity: bool = False) -> None:
        self.identity = identity
        names = ("functions", "commands", "graphs", "orders", "policies", "files")
        self.tables: dict[str, list[Any]] = {name: [] for name in names}
        self._position_by_text: dict[tuple[str, bytes], Any] = {}
        self._reference_by_id: dict[tuple[str, int], Any] = {}

    def graph_data(self, graph: Graph) -> Json:
        data: Json = {
            "name": graph.name,
            "inputs": [self._input_data(spec) for spec in graph.inputs],
            "nodes": self._nodes_data(graph.nodes),
            "outputs": [
                {"name": output.name, "type": self._type_data(output.type), "value": value_to_json(output.value)}
                for output in graph.outputs
            ],
        }
        if graph.fail_fast:
            data["fail_fast"] = True
        if graph.timeout_ms is not None:
            data["timeout_ms"] = graph.timeout_ms
        self._add_notes(data, graph.location, graph.labels, graph.description)
        return data

    def _nodes_data(self, nodes: tuple[Node, ...]) -> list[Json] | str:
        if not self.identity:
            return [self._node_data(node) for node in nodes]
        # One at a time: a hundred thousand nodes as data at once cost memory and the garbage collector's time.
        digest = sha256()
        for node in nodes:
            digest.update(canonical_json(self._node_data(node)) + b"\n")
        return digest.hexdigest()

    def _refer(self, table: str, thing: Work | Graph | Order | Policy) -> Any:
        known = self._reference_by_id.get((table, id(thing)))
        if known is not None:
            return known
        if isinstance(thing, Graph):
            data = self.graph_data(thing)
        elif isinstance(thing, Function):
            data = self._function_data(thing)
        elif isinstance(thing, Command):
            data = self.command_data(thing)
        elif isinstance(thing, Order):
            data = _order_data(thing)
        else:
            data = policy_to_json(thing, value_to_json)
        reference = self._put(table, data)
        self._reference_by_id[table, id(thing)] = reference
        return reference

    def _put(self, table: str, data: Json) -> Any:
        if self.identity:
            return digest_of(data)
        key = (table, canonical_json(data))
        position = self._position_by_text.get(key)
        if position is None:
            position = self._position_by_text[key] = len(self.tables[table])
            self.tables[table].append(data)
        return position

    def _component_data(self, component: Work | Graph) -> Json:
        if isinstance(component, Graph):
            return {"graph": self._refer("graphs", component)}
        if isinstance(component, Command):
            return {"command": self._refer("commands", component)}
        return {"function": self._refer("functions", component)}

    def _function_data(self, function: Function) -> Json:
        data: Json = {
            "module": function.module,
            "name": function.name,
            "inputs": [self._input_data(spec) for spec in function.inputs],
            "outputs": [{"name": spec.name, "type": self._type_data(spec.type)} for spec in function.outputs],
        }
        if function.policy != DEFAULT_POLICY:
            data["policy"] = self._refer("policies", function.policy)
        self._add_notes(data, function.location, NOTHING, function.description)
        return data

    def command_data(self, command: Command) -> Json:
        data = command_to_json(command, self._type_data, sort=self.identity)
        data["inputs"] = [self._input_data(spec) for spec in command.inputs]
        if command.policy != DEFAULT_POLICY:
            data["policy"] = self._refer("policies", command.policy)
        self._add_notes(data, command.location, NOTHING, command.description)
        return data

    def _input_data(self, spec: InputSpec) -> Json:
        data: Json = {"name": spec.name, "type": self._type_data(spec.type)}
        if spec.default is not None:
            data["default"] = parameter_to_json(spec.default.value)
        return data

    def _type_data(self, type_: Type) -> Json:
        return _type_identity(type_) if self.identity else type_to_json(type_)

    def _node_data(self, node: Node) -> Json:
        data: Json = {"kind": _KIND_BY_NODE[type(node)], "name": node.name}
        if isinstance(node, Call):
            data.update(self._component_data(node.component), inputs=self._bindings(node.inputs))
        else:
            self._add_control(data, node)
        if not isinstance(node, Finally) and node.order is not DEFAULT_ORDER and node.order != DEFAULT_ORDER:
            data["order"] = self._refer("orders", node.order)
        if node.policy is not DEFAULT_POLICY and node.policy != DEFAULT_POLICY:
            data["policy"] = self._refer("policies", node.policy)
        self._add_notes(data, node.location, node.labels, "")
        return data

    def _add_control(self, data: Json, node: Map | Branch | Loop | Finally) -> None:
        if isinstance(node, Map):
            data.update(
                graph=self._refer("graphs", node.body),
                inputs=self._bindings(node.inputs),
                items=value_to_json(node.items),
                parallel_max=node.parallel_max,
                failures_max=node.failures_max,
            )
        elif isinstance(node, Branch):
            data["cases"] = [
                {
                    "when": _optional_value(case.when),
                    "graph": self._refer("graphs", case.body),
                    "inputs": self._bindings(case.inputs),
                }
                for case in node.cases
            ]
        elif isinstance(node, Loop):
            data.update(
                graph=self._refer("graphs", node.body),
                inputs=self._bindings(node.inputs),
                carry=self._pairs([list(pair) for pair in node.carry.items()]),
                until=_optional_value(node.until),
                rounds_max=node.rounds_max,
                exhausted=node.exhausted,
            )
        else:
            watch = sorted(node.watch) if self.identity else list(node.watch)
            data.update(self._component_data(node.component), inputs=self._bindings(node.inputs), watch=watch)

    def _bindings(self, inputs: Mapping[str, Value]) -> list[Any]:
        return self._pairs([[name, value_to_json(value)] for name, value in inputs.items()])

    def _pairs(self, pairs: list[Any]) -> list[Any]:
        # Pairs rather than an object: the written order of bindings decides which upstream a cause names, and must
        # survive a store that sorts keys. It is no part of what is computed, so the identity has one order.
        return sorted(pairs, key=itemgetter(0)) if self.identity else pairs

    def _add_notes(self, data: Json, location: Location | None, labels: Mapping[str, str], description: str) -> None:
        if self.identity:
            return
        if location is not None:
            data["location"] = [self._file(location.file), location.line, location.column]
        if labels:
            data["labels"] = dict(labels)
        if description:
            data["description"] = description

    def _file(self, file: str) -> int:
        known = self._reference_by_id.get((file, 0))
        if known is None:
            known = self._reference_by_id[file, 0] = len(self.tables["files"])
            self.tables["files"].append(file)
        return int(known)


_KIND_BY_NODE: Mapping[type, str] = {Call: "call", Map: "map", Branch: "branch", Loop: "loop", Finally: "finally"}


def _order_data(order: Order) -> Json:
    return {"after": list(order.after), "when": _optional_value(order.when), "trigger": str(order.trigger)}


def _optional_value(value: Value | None) -> Json | None:
    return None if value is None else value_to_json(value)


# -- reading -----------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads graphs. Every table entry is made once and shared; so are equal references and names."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._files: list[str] = data["files"]
        self._names: dict[str, str] = {}
        self._outputs: dict[tuple[str, str], Output] = {}
        self._inputs: dict[str, Input] = {}
        self._locations: dict[tuple[int, int, int], Location] = {}
        self._graphs: list[Graph] = []
        self._orders: list[Order] = [self._order(entry) for entry in data["orders"]]
        self._policies: list[Policy] = [policy_from_json(entry, self._value) for entry in data["policies"]]
        self._functions: list[Function] = [self._function(entry) for entry in data["functions"]]
        self._commands: list[Command] = [self._command(entry) for entry in data.get("commands", ())]
        for entry in data["graphs"]:  # an entry refers to earlier ones only
            self._graphs.append(self.graph(entry))

    def graph(self, data: Mapping[str, Any]) -> Graph:
        return Graph(
            name=data["name"],
            inputs=tuple(self._input(spec) for spec in data["inputs"]),
            nodes=tuple([self._node(node) for node in data["nodes"]]),
            outputs=tuple(
                GraphOutput(spec["name"], type_from_json(spec["type"]), self._value(spec["value"]))
                for spec in data["outputs"]
            ),
            fail_fast=data.get("fail_fast", False),
            timeout_ms=data.get("timeout_ms"),
            labels=data.get("labels", NOTHING),
            location=self._location(data),
            description=data.get("description", ""),
        )

    def _node(self, data: Mapping[str, Any]) -> Node:
        kind, name = data["kind"], self._name(data["name"])
        common: dict[str, Any] = {
            "policy": self._policies[data["policy"]] if "policy" in data else DEFAULT_POLICY,
            "labels": data.get("labels", NOTHING),
            "location": self._location(data),
        }
        if kind == "finally":
            inputs = self._bindings(data["inputs"])
            watch = tuple(self._name(watched) for watched in data["watch"])
            return Finally(name, self._component(data), inputs, watch, **common)
        common["order"] = self._orders[data["order"]] if "order" in data else DEFAULT_ORDER
        if kind == "call":
            return Call(name, self._component(data), self._bindings(data["inputs"]), **common)
        if kind == "branch":
            return Branch(name, tuple(self._case(case) for case in data["cases"]), **common)
        body, inputs = self._graphs[data["graph"]], self._bindings(data["inputs"])
        if kind == "map":
            limits = {"parallel_max": data["parallel_max"], "failures_max": data["failures_max"]}
            return Map(name, body, self._value(data["items"]), inputs, **limits, **common)
        until = None if data["until"] is None else self._value(data["until"])
        limits = {"rounds_max": data["rounds_max"], "exhausted": data["exhausted"]}
        return Loop(name, body, inputs, carry=dict(data["carry"]), until=until, **limits, **common)

    def _case(self, data: Mapping[str, Any]) -> Case:
        when = None if data["when"] is None else self._value(data["when"])
        return Case(when, self._graphs[data["graph"]], self._bindings(data["inputs"]))

    def _component(self, data: Mapping[str, Any]) -> Work | Graph:
        if "command" in data:
            return self._commands[int(data["command"])]
        if "function" in data:
            return self._functions[int(data["function"])]
        return self._graphs[int(data["graph"])]

    def _bindings(self, pairs: list[Any]) -> dict[str, Value]:
        return {self._name(name): self._value(value) for name, value in pairs}

    def _value(self, data: Mapping[str, Any]) -> Value:
        if "output" in data:
            key = tuple(data["output"])
            output = self._outputs.get(key)
            if output is None:
                output = self._outputs[key] = Output(self._name(key[0]), self._name(key[1]))
            return output
        if "input" in data:
            name = data["input"]
            value = self._inputs.get(name)
            if value is None:
                value = self._inputs[name] = Input(self._name(name))
            return value
        return value_from_json(data)

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, name)

    def _location(self, data: Mapping[str, Any]) -> Location | None:
        place = data.get("location")
        if place is None:
            return None
        key = tuple(place)
        location = self._locations.get(key)
        if location is None:
            location = self._locations[key] = Location(self._files[place[0]], place[1], place[2])
        return location

    def _input(self, data: Mapping[str, Any]) -> InputSpec:
        default = Constant(parameter_from_json(data["default"])) if "default" in data else None
        return InputSpec(self._name(data["name"]), type_from_json(data["type"]), default)

    def _function(self, data: Mapping[str, Any]) -> Function:
        return Function(
            module=data["module"],
            name=data["name"],
            inputs=tuple(self._input(spec) for spec in data["inputs"]),
            outputs=tuple(
                OutputSpec(self._name(spec["name"]), type_from_json(spec["type"])) for spec in data["outputs"]
            ),
            policy=self._policies[data["policy"]] if "policy" in data else DEFAULT_POLICY,
            location=self._location(data),
            description=data.get("description", ""),
        )

    def _command(self, data: Mapping[str, Any]) -> Command:
        inputs = tuple(self._input(spec) for spec in data["inputs"])
        policy = self._policies[data["policy"]] if "policy" in data else DEFAULT_POLICY
        notes = {"location": self._location(data), "description": data.get("description", "")}
        return command_from_json(data, type_from_json, inputs=inputs, policy=policy, notes=notes)

    def _order(self, data: Mapping[str, Any]) -> Order:
        when = None if data["when"] is None else self._value(data["when"])
        return Order(tuple(self._name(node) for node in data["after"]), when, Trigger(data["trigger"]))
