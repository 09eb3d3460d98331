"""Functions and commands as a file says them: as they are defined, or declared below `components:` with what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.values import OPEN
from penstock.authoring.yaml.write_policies import written_policy
from penstock.authoring.yaml.write_types import written_specs, written_type
from penstock.graph.model import Call, Command, CommandOutput, Finally, Function, Graph, Policy, Word, bodies_of
from penstock.graph.names import made_valid
from penstock.graph.sources import MODULE
from penstock.graph.types import JSON, PATH, STR

Data = dict[str, Any]
_SCRIPT = re.compile(r"\$\$\{|\$\{\s*inputs\.")


class ComponentWriter:
    """Collects the components of a graph as they are written."""

    def __init__(self, graph: Graph, functions: Mapping[str, Function] | None) -> None:
        self._defined = dict(functions or {})
        self._declared: dict[str, Data] = {}
        self._name_by_component: list[tuple[Function | Command, str]] = []
        self._uses: dict[int, tuple[Function | Command, Data]] = {}
        for function in _functions(graph, {}):
            key = f"{function.module}:{function.name}"
            if function.module == MODULE:
                # What looks at a source is made for its kind; its definition says nothing of that.
                self._defined[key] = Function(function.module, function.name, (), ())
            else:
                self._defined.setdefault(key, function)

    def finder(self) -> Mapping[str, Found]:
        """What `module:name` is, for who reads the file."""
        return {name: Found(function) for name, function in self._defined.items()}

    def data(self) -> Data:
        return self._declared

    def use(self, component: Function | Command) -> Data:
        """The keys of a task that use a component."""
        known = self._uses.get(id(component))
        if known is None:
            known = self._uses[id(component)] = (component, self._use(component))
        return dict(known[1])

    def _use(self, component: Function | Command) -> Data:
        if isinstance(component, Function):
            key = f"{component.module}:{component.name}"
            if self._defined[key] == component:
                return {"function": key}
        for known, name in self._name_by_component:
            if known == component:
                return {"component": name}
        base = made_valid(component.name.rpartition(".")[2])
        name, number = base, 1
        while name in self._declared:
            number += 1
            name = f"{base}-{number}"
        data = self._command(component, name) if isinstance(component, Command) else self._function(component)
        self._declared[name] = data
        self._name_by_component.append((component, name))
        return {"component": name}

    def _function(self, function: Function) -> Data:
        key = f"{function.module}:{function.name}"
        base = self._defined[key]
        data: Data = {"function": key}
        if function.inputs != base.inputs:
            data["inputs"] = written_specs(function.inputs)
        if function.outputs != base.outputs:
            data["outputs"] = {spec.name: written_type(spec.type) for spec in function.outputs}
        return {**data, **_policy(function.policy, base.policy)}

    def _command(self, command: Command, name: str) -> Data:
        data: Data = {}
        if command.script:
            data["command"] = _SCRIPT.sub(lambda match: f"${match[0]}", command.script)
            data["shell"] = True
        else:
            data["command"] = [written_word(word) for word in command.argv]
        if command.name != name:
            data["name"] = command.name
        if command.description:
            data["description"] = command.description
        if command.inputs:
            data["inputs"] = written_specs(command.inputs)
        if command.outputs:
            data["outputs"] = {output.name: _output(output) for output in command.outputs}
        if command.env:
            data["variables"] = {key: written_word(word) for key, word in command.env.items()}
        if command.given:
            data["input_files"] = dict(command.given)
        return {**data, **_policy(command.policy, Policy())}


def written_word(word: Word) -> str:
    """A word of a command as text."""
    return "".join(
        part.replace(OPEN, f"${OPEN}") if isinstance(part, str) else f"${{inputs.{part.name}}}" for part in word
    )


def _output(output: CommandOutput) -> Any:
    otherwise = {"file": PATH, "json": JSON}.get(output.source, STR)
    data: Data = {"from": output.source}
    if output.path:
        data["path"] = output.path
    if output.key:
        data["key"] = output.key
    if output.type != otherwise:
        data["type"] = written_type(output.type)
    return written_type(output.type) if output.source == "last_line" else data


def _policy(policy: Policy, base: Policy) -> Data:
    return written_policy(policy, _no_amount, base=base)


def _no_amount(value: Any) -> str:
    return "${value}"  # no component has one; were there one, reading the file again would tell


def _functions(graph: Graph, seen: dict[int, Graph]) -> Iterator[Function]:
    """The functions of a graph at every depth."""
    if id(graph) in seen:
        return
    seen[id(graph)] = graph
    for node in graph.nodes:
        if isinstance(node, (Call, Finally)) and isinstance(node.component, Function):
            yield node.component
        for body, _inputs in bodies_of(node):
            yield from _functions(body, seen)
