"""Tasks of a file as nodes of a graph, through the builder: what stands below `tasks:` of a pipeline, or of a task that holds
others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from penstock.authoring.yaml.components import Components, scoped_specs, specs_of, type_of_part
from penstock.authoring.yaml.facts import (
    body_name,
    constantly,
    graph_facts,
    holds_item,
    in_signature_order,
    labels_of,
    listed_sources,
    whole_number,
)
from penstock.authoring.yaml.inline import command_in_task, declared_in_task
from penstock.authoring.yaml.ordering import in_order
from penstock.authoring.yaml.policies import DECLARED, Policies
from penstock.authoring.yaml.schema import USES
from penstock.authoring.yaml.scopes import Scope, UnknownReference, round_number, watched_state
from penstock.authoring.yaml.tree import NO_ENTRIES, Dictionary, Part, Scalar, Sequence, Source, is_null, plain_value
from penstock.authoring.yaml.values import Values
from penstock.base.diagnostics import Location
from penstock.graph.bindings import Index, Item
from penstock.graph.builder import GraphBuilder, NodeOptions, NodeRef, Scoped
from penstock.graph.lists import combined_lists
from penstock.graph.model import Command, Function, Graph, Policy, Trigger
from penstock.graph.names import is_name, nearest
from penstock.graph.sources import resolve
from penstock.graph.types import ANY, INT, SOURCE, Type

_POLICY_KEYS = ("resources", "retry", "timeout", "priority", "fresh", "cache", "environment")


class Library(Protocol):
    """Where a file finds what tasks use. `places` are tasks by where they stand, `failed` those that could not be made, which
    must have been told."""

    @property
    def components(self) -> Components: ...

    @property
    def failed(self) -> set[str]: ...

    @property
    def places(self) -> dict[Location, tuple[Source, Dictionary]]: ...

    def pipeline(self, written: Scalar) -> Graph | None: ...

    def component(self, written: Scalar) -> Function | Command | None: ...


@dataclass(slots=True)
class Given:
    """What a task is given, by input; and, for a body, what stands for the item, the index or the round in it."""

    inputs: dict[str, Scoped] = field(default_factory=dict)
    special: Mapping[str, Scoped] = field(default_factory=dict)


class Tasks:
    """Adds the tasks of one level to a graph."""

    def __init__(self, scope: Scope, library: Library) -> None:
        self._scope = scope
        self._source = scope.source
        self._builder = scope.builder
        self._library = library
        self._values = Values(scope)

    def add_all(self, tasks: Part | None) -> list[str]:
        """Add the tasks. The order that they are written in, if it is another than they had to be added in."""
        if not isinstance(tasks, Dictionary):
            return []
        scope = self._scope
        scope.written = tasks.entries
        names, cycles = in_order(tasks)
        scope.cycles.update(cycles)
        for name in names:
            part = tasks.get(name)
            if isinstance(part, Dictionary) and is_name(name) and sum(use in part.entries for use in USES) == 1:
                self._add(name, part, tasks.key(name))
            if name not in scope.tasks:
                scope.failed.add(name)
                self._library.failed.add(name)
        written = list(tasks.entries)
        return [] if names == written else written

    def add_outputs(self, outputs: Part | None) -> None:
        for name, (_key, value) in outputs.entries.items() if isinstance(outputs, Dictionary) else ():
            location = self._source.location(value.start)
            written: Part | None = value
            type_: Type | None = None
            if isinstance(value, Dictionary):
                written = value.get("value")
                type_ = type_of_part(value.get("type"), ANY) if value.get("type") is not None else None
            if written is not None:
                self._builder.add_output(name, self._values.bound(written, type_), type_=type_, location=location)

    # -- one task ------------------------------------------------------------------------------------------------------

    def _add(self, name: str, part: Dictionary, key: Scalar) -> None:
        location = self._source.location(key.start)
        self._library.places[location] = (self._source, part)
        if part.get("branch") is not None:
            made: NodeRef | None = self._branch(name, part, location)
        elif part.get("finally") is not None:
            made = self._finally(name, part, location)
        elif part.get("map") is not None:
            made = self._map(name, part, location)
        elif part.get("loop") is not None:
            made = self._loop(name, part, location)
        else:
            made = self._call(name, part, location)
        if made is not None:
            self._scope.tasks[name] = made

    def _call(self, name: str, part: Dictionary, location: Location) -> NodeRef | None:
        values = self._values
        if part.get("tasks") is not None:
            graph, bound, after = self._closed(name, part, values, location)
            options = self._options(name, part, location, policy=self._policy(part, None))
            return self._builder.add_call(graph, bound, replace(options, after=(*options.after, *after)))
        if part.get("command") is not None:
            bound = self._bound(part, (), values)
            component: Any = command_in_task(name, part, bound, values, components=self._library.components)
        else:
            component = self._component(part)
            if component is None:
                return None
            bound = self._bound(part, component.inputs, values)
        if component is None:
            return None
        options = self._options(name, part, location, policy=self._policy(part, component))
        return self._builder.add_call(component, bound, options)

    def _finally(self, name: str, part: Dictionary, location: Location) -> NodeRef | None:
        for other in ("map", "loop", "after", "when", "trigger"):
            if part.get(other) is not None:
                message = f"`{name}` runs `finally`, which takes no `{other}`"
                self._source.report("bad-finally", message, "It runs whatever happened; watch tasks.", part.key(other))
        values = self._inner_values({"state": watched_state(self._builder)})
        if part.get("tasks") is not None:
            component, bound, _after = self._closed(name, part, values, location)
        else:
            found = self._command_or_component(name, part, values)
            if found is None:
                return None
            component, bound = found
        if "state" not in bound and any(spec.name == "state" for spec in component.inputs):
            bound["state"] = watched_state(self._builder)
        options = NodeOptions(
            name=name, policy=self._policy(part, component), labels=self._labels(part), location=location
        )
        return self._builder.add_finally(component, bound, self._watched(part), options)

    def _command_or_component(
        self, name: str, part: Dictionary, values: Values
    ) -> tuple[Any, dict[str, Scoped]] | None:
        if part.get("command") is not None:
            bound = self._bound(part, (), values)
            command = command_in_task(name, part, bound, values, components=self._library.components)
            return None if command is None else (command, bound)
        component = self._component(part)
        return None if component is None else (component, self._bound(part, component.inputs, values))

    def _component(self, part: Dictionary) -> Function | Command | Graph | None:
        """The component that a task names. What it declares of its code goes to that, where it holds the component."""
        library = self._library
        written = part.get("function")
        if written is not None:
            found = library.components.found(written)
            if not isinstance(found, (Function, Command)):
                return None
            made: Function | Command = library.components.with_policy(found, declared_in_task(self._source, part))
            return made
        written = part.get("component") or part.get("pipeline")
        if not isinstance(written, Scalar):
            return None
        return library.component(written) if part.get("component") is not None else library.pipeline(written)

    # -- map, loop, branch -----------------------------------------------------------------------------------------------

    def _map(self, name: str, part: Dictionary, location: Location) -> NodeRef | None:
        written = part.get("map")
        facts = written if isinstance(written, Dictionary) else NO_ENTRIES
        over = facts.get("over")
        if over is None or part.get("branch") is not None:
            return None
        if part.get("loop") is not None:
            self._source.report(
                "yaml-two-of-one", f"`{name}` has both `map` and `loop`", "Put one into the other.", part.key("loop")
            )
        fields: dict[str, Scoped] = {}
        if isinstance(over, Dictionary) and over.entries:
            lists = {each: self._values.bound(value) for each, (_key, value) in over.entries.items()}
            items, fields = combined_lists(self._builder, _combination(facts), lists, location)
        else:
            items = self._values.bound(over, listed_sources(over))
        item_type = items.type.item or ANY
        special = {"item": Scoped(None, Item(), item_type), "index": Scoped(None, Index(), INT)}
        values = self._inner_values(special)
        body: Graph | GraphBuilder
        if part.get("tasks") is not None:
            body, bound = self._open_body(name, part, values, location, special)
            policy = self._policy(part, None)
        else:
            found = self._command_or_component(name, part, values)
            if found is None:
                return None
            component, bound = found
            sources = self._bind_item(name, facts, component, fields, bound=bound, special=special)
            body, policy = self._around(component, part, location, sources), Policy()
            bound = {each: bound[each] for each in in_signature_order(component, bound)}
        parallel_max, failures_max = (
            whole_number(facts.get("parallel_max"), 1),
            whole_number(facts.get("failures_max"), 0) or 0,
        )
        options = self._options(name, part, location, policy=policy)
        return self._builder.add_map(
            body, items, bound, parallel_max=parallel_max, failures_max=failures_max, options=options
        )

    def _bind_item(
        self,
        name: str,
        facts: Dictionary,
        component: Any,
        fields: Mapping[str, Scoped],
        *,
        bound: dict[str, Scoped],
        special: Mapping[str, Scoped],
    ) -> dict[str, Type]:
        """Give the item, or the fields of one of several lists, and its position to inputs. The inputs whose item is a source
        that they take the content of."""
        bound.update({each: scoped for each, scoped in fields.items() if each not in bound})
        types = {spec.name: spec.type for spec in component.inputs}
        for key, what in (("index_as", "index"), ("as", "item")):
            written = facts.get(key)
            if isinstance(written, Scalar):
                if written.text not in types:
                    message = f"`{component.name}` has no input `{written.text}`"
                    self._source.report("unknown-input", message, nearest(written.text, types), written)
                    continue
                bound[written.text] = special[what]
        if not fields and not any(holds_item(scoped) for scoped in bound.values()):
            free = [each for each in types if each not in bound]
            if not free:
                message = f"every input of `{component.name}` is given in `{name}`, so there is none for the item"
                fix = "Leave one out, say `as:`, or give one `${item}`."
                self._source.report("no-input-for-item", message, fix, facts)
                return {}
            bound[free[0]] = special["item"]
        return {
            each: scoped.type
            for each, scoped in bound.items()
            if scoped is special["item"] and scoped.type.name == SOURCE and each in types and types[each].name != SOURCE
        }

    def _loop(self, name: str, part: Dictionary, location: Location) -> NodeRef | None:
        written = part.get("loop")
        facts = written if isinstance(written, Dictionary) else NO_ENTRIES
        special = {"round": round_number()}
        values = self._inner_values(special)
        body: Graph | GraphBuilder
        if part.get("tasks") is not None:
            body, bound = self._open_body(name, part, values, location, special)
            policy = self._policy(part, None)
            ends: Any = body
        else:
            found = self._command_or_component(name, part, values)
            if found is None:
                return None
            component, bound = found
            numbered = facts.get("round_as")
            if isinstance(numbered, Scalar):
                bound[numbered.text] = special["round"]
            body, policy, ends = self._around(component, part, location, {}), Policy(), component
            bound = {each: bound[each] for each in in_signature_order(component, bound)}
        round_ = self._builder.round_of(body)
        scope = replace(self._scope, special={**self._scope.special, "round": round_number}, round_outputs=round_)
        until = facts.get("until")
        exhausted = facts.get("exhausted")
        return self._builder.add_loop(
            body,
            bound,
            None if until is None else self._values.inside(scope).condition(until),
            carry=self._carry(name, facts, ends, round_),
            rounds_max=whole_number(facts.get("rounds_max"), 1) or 1,
            exhausted=exhausted.text if isinstance(exhausted, Scalar) else "succeed",
            options=self._options(name, part, location, policy=policy),
        )

    def _carry(self, name: str, facts: Dictionary, ends: Any, round_: NodeRef) -> Mapping[str, str]:
        outputs = round_.outputs
        inputs = {s.name: s.type for s in (ends.inputs if not isinstance(ends, GraphBuilder) else ends.finish().inputs)}
        carry = facts.get("carry")
        if carry is None:
            return {each: each for each, type_ in inputs.items() if outputs.get(each) == type_}
        if isinstance(carry, Scalar):
            if len(outputs) == 1:
                return {next(iter(outputs)): carry.text}
            message = (
                f"`carry: {carry.text}` of `{name}` does not say which of {', '.join(outputs) or 'no outputs'} to carry"
            )
            self._source.report("unknown-carry", message, f"Write {{OUTPUT: {carry.text}}}.", carry)
            return {}
        assert isinstance(carry, Dictionary)
        return {output: value.text for output, (_key, value) in carry.entries.items() if isinstance(value, Scalar)}

    def _branch(self, name: str, part: Dictionary, location: Location) -> NodeRef | None:
        for other in ("map", "loop", "finally", "inputs"):
            if part.get(other) is not None:
                self._source.report(
                    "yaml-stray-key", f"a branch has no `{other}`", "Put it into its cases.", part.key(other)
                )
        branch = self._builder.add_branch(self._options(name, part, location, policy=self._policy(part, None)))
        cases = part.get("branch")
        for case in cases.items if isinstance(cases, Sequence) else ():
            if not isinstance(case, Dictionary):
                continue
            place = self._source.location(case.start)
            when = case.get("when")
            condition = None if when is None else self._values.condition(when)
            bound = self._bound(case, (), self._values)
            body = branch.case(condition, name=body_name(case), inputs=bound, location=place)
            self._fill(body, case, bound, {})
            branch.offer(body)
        return NodeRef(self._builder, name, branch.outputs)

    # -- bodies --------------------------------------------------------------------------------------------------------

    def _open_body(
        self, name: str, part: Dictionary, values: Values, location: Location, special: Mapping[str, Scoped]
    ) -> tuple[GraphBuilder, dict[str, Scoped]]:
        """A body that is written in its task, and what binds its inputs; what it captured is the builder's to bind."""
        body = self._builder.child(body_name(part) or name, location=location)
        bound = self._bound(part, (), values)
        own = {word: self._lifted(body, word, scoped, bound) for word, scoped in special.items()}
        self._fill(body, part, bound, own)
        return body, bound

    def _lifted(self, body: GraphBuilder, word: str, scoped: Scoped, bound: dict[str, Scoped]) -> Callable[[], Scoped]:
        """What makes `item`, `index` or `round` an input of a body when it is first used there."""
        made: list[Scoped] = []

        def asked() -> Scoped:
            if not made:
                name = body.free_input_name(word)
                bound[name] = scoped
                made.append(body.add_input(name, scoped.type))
            return made[0]

        return asked

    def _closed(
        self, name: str, part: Dictionary, values: Values, location: Location
    ) -> tuple[Graph, dict[str, Scoped], list[NodeRef]]:
        """A body as a graph of its own: with what binds its inputs, and outer tasks that it waits for."""
        special = {word: value() for word, value in values.scope.special.items() if word == "state"}
        body, bound = self._open_body(name, part, values, location, special)
        graph = body.finish()
        types = {spec.name: spec.type for spec in graph.inputs}
        lifted = {each: Scoped(self._builder, value, types[each]) for each, value in body.lifted().items()}
        return graph, {**bound, **lifted}, [NodeRef(self._builder, each, {}) for each in body.outer_after]

    def _fill(
        self,
        body: GraphBuilder,
        part: Dictionary,
        bound: Mapping[str, Scoped],
        special: Mapping[str, Callable[[], Scoped]],
    ) -> None:
        """Give a body its inputs, tasks and outputs, and finish it."""
        scope = Scope(body, self._source, parent=self._scope, special=special)
        for spec in scoped_specs(specs_of(part.get("takes")), bound):
            scope.inputs[spec.name] = body.add_input(spec.name, spec.type, default=spec.default)
        inner = Tasks(scope, self._library)
        order = inner.add_all(part.get("tasks"))
        inner.add_outputs(part.get("outputs"))
        facts = part.get("body")
        body.finish(**graph_facts(facts if isinstance(facts, Dictionary) else NO_ENTRIES), order=order)

    def _around(
        self, component: Any, part: Dictionary, location: Location, sources: Mapping[str, Type]
    ) -> Graph | GraphBuilder:
        """The body of a map or loop over a component: what is said of attempts goes to the call inside."""
        is_plain = not any(part.get(key) is not None for key in _POLICY_KEYS)
        if isinstance(component, Graph) and is_plain and component.timeout_ms is None and not sources:
            return component
        body = self._builder.child(body_name(part) or component.name, location=location)
        inputs = {}
        for spec in component.inputs:
            if spec.name in sources:
                given = body.add_input(spec.name, sources[spec.name])
                inputs[spec.name] = resolve(body, given, wanted=spec.type, location=location)
            else:
                inputs[spec.name] = body.add_input(spec.name, spec.type, default=spec.default)
        scope = Scope(body, self._source, parent=self._scope)
        policy = self._policy(part, component, Values(scope))
        call = body.add_call(component, inputs, NodeOptions(policy=policy, location=location))
        for output in component.outputs:
            body.add_output(output.name, call.output(output.name))
        return body

    # -- options -------------------------------------------------------------------------------------------------------

    def _inner_values(self, special: Mapping[str, Scoped]) -> Values:
        """Values of this graph in a task's own `inputs`, where `item` and the like stand for themselves."""
        own = {word: constantly(scoped) for word, scoped in special.items()}
        return self._values.inside(replace(self._scope, special={**self._scope.special, **own}))

    def _bound(self, part: Dictionary, specs: tuple[Any, ...], values: Values) -> dict[str, Scoped]:
        """What inputs are given, in the order of the component's; unknown ones last."""
        written = part.get("inputs")
        entries = written.entries if isinstance(written, Dictionary) else {}
        if not entries:
            return {}
        bound: dict[str, Scoped] = {}
        for spec in specs or specs_of(part.get("takes")):
            if spec.name in entries:
                bound[spec.name] = values.bound(entries[spec.name][1], spec.type)
        for name, (_key, value) in entries.items():
            if name not in bound:
                bound[name] = values.bound(value)
        return bound

    def _options(self, name: str, part: Dictionary, location: Location, *, policy: Policy) -> NodeOptions:
        trigger, when = part.get("trigger"), part.get("when")
        return NodeOptions(
            name=name,
            after=self._refs(part.get("after")) if part.get("after") is not None else (),
            when=None
            if when is None or not isinstance(when, Scalar) or is_null(when)
            else self._values.condition(when),
            trigger=Trigger(trigger.text)
            if isinstance(trigger, Scalar) and trigger.text in set(Trigger)
            else Trigger.ALL_SUCCEEDED,
            policy=policy,
            labels=self._labels(part),
            location=location,
        )

    def _policy(self, part: Dictionary, component: Any, values: Values | None = None) -> Policy:
        """How this use is made: what is written, and of a nested pipeline the limit that it declares for itself."""
        base = Policy() if not isinstance(component, Graph) else Policy(timeout_ms=component.timeout_ms)
        if not any(key in part.entries for key in _POLICY_KEYS):
            return base
        below = base if component is None or isinstance(component, Graph) else component.policy
        given = Policies(self._source, values or self._values).given(part, below)
        if part.get("function") is not None or part.get("command") is not None:
            given = {name: value for name, value in given.items() if name not in DECLARED}
        return replace(base, **given)

    def _labels(self, part: Dictionary) -> Mapping[str, str]:
        return labels_of(part)

    def _refs(self, part: Part | None) -> list[NodeRef]:
        refs = []
        for item in part.items if isinstance(part, Sequence) else (part,):
            if not isinstance(item, Scalar):
                continue
            ref = self._scope.find(item.text)
            if ref is not None:
                refs.append(ref)
                continue
            try:
                unknown = None if self._scope.is_written(item.text) else self._scope.unknown(f"tasks.{item.text}")
            except UnknownReference as error:
                unknown = error
            if unknown is not None:
                self._source.report(unknown.code, unknown.message, unknown.fix, item)
        return refs

    def _watched(self, part: Dictionary) -> list[NodeRef] | None:
        written = part.get("finally")
        if isinstance(written, Scalar) and plain_value(written) is True:
            return None
        return self._refs(written)


def _combination(facts: Dictionary) -> str:
    """How several lists are gone over; another word has been reported."""
    written = facts.get("combine")
    return "product" if isinstance(written, Scalar) and written.text == "product" else "step"
