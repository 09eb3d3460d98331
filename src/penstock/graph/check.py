"""Everything that can be said against a graph before it runs, all at once. `check_values` judges single Values,
`check_order` how nodes hang together; this file walks the graph. A body or component that is used many times is judged
once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.limits import LIMITS
from penstock.graph.bindings import Constant, Value
from penstock.graph.check_commands import check_command
from penstock.graph.check_order import cycle_among, invariant_nodes, never_present
from penstock.graph.check_values import Place, ValueChecker
from penstock.graph.model import (
    DEFAULT_ORDER,
    DEFAULT_POLICY,
    Branch,
    Call,
    Command,
    CommandOutput,
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
    Work,
    outputs_of,
)
from penstock.graph.names import NAME_FIX, is_name, nearest
from penstock.graph.parameters import check_parameter
from penstock.graph.policies import DECLARED, TRUST, check_cache_policy, check_environment, check_gpu, is_too_old
from penstock.graph.types import ANY, Type

_NUMBERS = ("int", "float", "any", "json")


def check(graph: Graph) -> tuple[Diagnostic, ...]:
    """Every Diagnostic of a graph and of all that it holds, in the order of its nodes; none of severity error: it can
    be planned and run."""
    diagnostics: list[Diagnostic] = []
    judged = _Judged({}, {}, {})
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        if id(current) not in judged.graphs:
            judged.graphs[id(current)] = current
            checker = _GraphChecker(current, judged, diagnostics)
            checker.run()
            waiting.extend(reversed(checker.bodies))
    return tuple(diagnostics)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The inputs and outputs of a component, ready to be looked up."""

    component: Work | Graph
    inputs: Mapping[str, InputSpec]
    required: tuple[str, ...]
    outputs: Mapping[str, Type]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What needs no second look, by identity (the objects are kept, so that no id comes twice)."""

    graphs: dict[int, Graph]
    ends: dict[int, _Ends]
    policies: dict[int, Policy]


class _GraphChecker:
    """Checks one graph; the bodies that it comes across are left in `bodies`."""

    def __init__(self, graph: Graph, judged: _Judged, diagnostics: list[Diagnostic]) -> None:
        self.graph = graph
        self.bodies: list[Graph] = []
        self._judged = judged
        self._diagnostics = diagnostics
        self._nodes: dict[str, Node] = {}
        self._outputs: dict[str, Mapping[str, Type]] = {}
        inputs = {spec.name: spec.type for spec in graph.inputs}
        self._values = ValueChecker(graph, inputs, self._outputs, self._report)
        self._upstreams: dict[str, list[str]] = {}

    def run(self) -> None:
        graph = self.graph
        self._check_ends(graph.name, graph.inputs, graph.outputs, graph.location)
        if not is_name(graph.name):
            self._report("bad-name", f"a pipeline cannot be named {graph.name!r}", NAME_FIX, graph.location)
        if graph.timeout_ms is not None and graph.timeout_ms <= 0:
            self._report(
                "bad-timeout", f"timeout of {graph.name!r} is 0", "Give a longer time, or none.", graph.location
            )
        for node in graph.nodes:
            self._add(node)
        self._values.finally_names = {node.name for node in graph.nodes if isinstance(node, Finally)}
        for node in graph.nodes:
            self._check_node(node)
        for output in graph.outputs:
            self._check_output(output)
        self._check_whole()

    def _add(self, node: Node) -> None:
        name = node.name
        if not is_name(name):
            self._report("bad-name", f"a node cannot be named {name!r}", NAME_FIX, node.location)
        if name in self._nodes:
            self._report(
                "duplicate-name",
                f"two nodes of {self.graph.name!r} are named {name!r}",
                "Give one of them another name.",
                node.location,
            )
        self._nodes[name] = node
        if isinstance(node, (Call, Finally)):
            self._outputs[name] = self._ends(node.component).outputs
        else:
            self._outputs[name] = outputs_of(node)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _check_node(self, node: Node) -> None:
        upstreams: list[str] = []
        self._upstreams[node.name] = self._values.referred = upstreams
        if isinstance(node, Call):
            self._check_component(node)
        elif isinstance(node, Map):
            self._check_map(node)
        elif isinstance(node, Branch):
            self._check_branch(node)
        elif isinstance(node, Loop):
            self._check_loop(node)
        else:
            self._check_finally(node)
        if not isinstance(node, Finally) and node.order is not DEFAULT_ORDER:
            self._check_order(node, node.order, upstreams)
        if node.policy is not DEFAULT_POLICY:
            self._check_policy(node.policy, node.name, node.location)
            self._check_declared(node)

    def _check_component(self, node: Call | Finally) -> None:
        context = "finally" if isinstance(node, Finally) else ""
        self._check_bindings(node.inputs, self._ends(node.component), Place(node.name, node.location, context))

    def _check_map(self, node: Map) -> None:
        place = Place(node.name, node.location)
        items = self._values.type_at(node.items, "the list of items", place)
        if items.name not in ("list", "any", "json"):
            fix = "Give a list: the items are the uses that will be made of the component."
            self._report("items-not-a-list", f"{node.name!r} maps over a value of type {items}", fix, node.location)
        if (
            isinstance(node.items, Constant)
            and isinstance(node.items.value, list)
            and len(node.items.value) > LIMITS.items_max
        ):
            count = f"{len(node.items.value):,} items; at most {LIMITS.items_max:,} are allowed (items_max)"
            message = f"{node.name!r} maps over {count}"
            self._report("too-many-items", message, "Put several of them into one item.", node.location)
        self._check_limit(node, "parallel_max", node.parallel_max, 1)
        self._check_limit(node, "failures_max", node.failures_max, 0)
        self._check_reserved(node, node.body, ("indexes",))
        within = Place(node.name, node.location, "map", item=items.item or ANY)
        self._check_bindings(node.inputs, self._ends(node.body), within)

    def _check_branch(self, node: Branch) -> None:
        place = Place(node.name, node.location)
        if not node.cases:
            self._report("no-cases", f"{node.name!r} has no case", "Give it one.", node.location)
        offered: dict[str, Type] = {}
        for position, case in enumerate(node.cases):
            if case.when is not None:
                self._check_condition(case.when, f"the condition of case {position}", place)
            elif position < len(node.cases) - 1:
                message = f"case {position} of {node.name!r} has no condition, so that later ones are never taken"
                self._report("unreachable-case", message, "Put it last.", node.location)
            self._check_bindings(case.inputs, self._ends(case.body), place)
            for output in case.body.outputs:
                known = offered.setdefault(output.name, output.type)
                if not (known.accepts(output.type) or output.type.accepts(known)):
                    message = (
                        f"output {output.name!r} of {node.name!r} is {known} in one case and {output.type} in another"
                    )
                    self._report("wrong-type", message, "Give the two different names.", node.location)

    def _check_loop(self, node: Loop) -> None:
        body = self._ends(node.body)
        self._check_limit(node, "rounds_max", node.rounds_max, 1)
        self._check_reserved(node, node.body, ("met", "rounds"))
        if node.exhausted not in ("succeed", "fail"):
            fix = 'It is "succeed" or "fail".'
            self._report("bad-exhausted", f"exhausted of {node.name!r} is {node.exhausted!r}", fix, node.location)
        self._check_bindings(node.inputs, body, Place(node.name, node.location, "loop"))
        if node.until is not None:
            within = Place(node.name, node.location, "until", round_outputs=body.outputs)
            self._check_condition(node.until, "until", within)
        for output, input_ in node.carry.items():
            self._check_carry(node, body, output, input_)
        for inner in invariant_nodes(node):
            self._report(
                "loop-invariant",
                f"{inner.name!r} in loop {node.name!r} depends on neither a carried value nor the round: "
                "after the first round it does the same again",
                "Move it before the loop, carry an output into it, or give it the round.",
                inner.location or node.location,
                warning=True,
            )

    def _check_carry(self, node: Loop, body: _Ends, output: str, input_: str) -> None:
        spec, given = body.inputs.get(input_), body.outputs.get(output)
        if given is None:
            message = f"{node.name!r} carries {output!r}, which is no output of {node.body.name!r}"
            self._report("unknown-carry", message, nearest(output, body.outputs), node.location)
        elif spec is None:
            message = f"{node.name!r} carries {output!r} into {input_!r}, which is no input of {node.body.name!r}"
            self._report("unknown-carry", message, nearest(input_, body.inputs), node.location)
        elif not spec.type.accepts(given):
            message = f"{node.name!r} carries {output!r}, which is {given}, into {input_!r}, which takes {spec.type}"
            self._report("wrong-type", message, "Carry an output of the same type.", node.location)

    def _check_finally(self, node: Finally) -> None:
        self._check_component(node)
        for watched in node.watch:
            if watched in self._values.finally_names:
                message = f"{node.name!r} watches {watched!r}, which runs at the end as well"
                self._report("bad-watched", message, "Watch other tasks.", node.location)
            elif watched not in self._nodes:
                message = f"{node.name!r} watches {watched!r}, which is no node of {self.graph.name!r}"
                self._report("unknown-node", message, nearest(watched, self._nodes), node.location)
            self._values.referred.append(watched)

    def _check_bindings(self, inputs: Mapping[str, Value], ends: _Ends, place: Place) -> None:
        for name, value in inputs.items():
            spec = ends.inputs.get(name)
            if spec is not None:
                self._values.check_input(value, spec, place)
            else:
                self._values.type_at(value, f"input {name!r}", place)
                message = f"{ends.component.name!r}, which {place.node!r} uses, has no input {name!r}"
                if place.node == ends.component.name:
                    message = f"{place.node!r} has no input {name!r}"
                self._report("unknown-input", message, nearest(name, ends.inputs), place.location)
        for name in ends.required:
            if name not in inputs:
                type_ = ends.inputs[name].type
                message = f"input {name!r} ({type_}) of {place.node!r} is not given and has no default"
                self._report(
                    "missing-input", message, f"Give {name}=..., or a default in the function.", place.location
                )

    def _check_order(self, node: Node, order: Order, upstreams: list[str]) -> None:
        for name in order.after:
            if name in self._values.finally_names:
                message = f"{node.name!r} waits for {name!r}, which runs only when all else has ended"
                self._report("finally-used", message, "Wait for what it watches.", node.location)
            elif name not in self._nodes:
                message = f"{node.name!r} waits for {name!r}, which is no node of {self.graph.name!r}"
                self._report("unknown-node", message, nearest(name, self._nodes), node.location)
            upstreams.append(name)
        if order.when is not None:
            self._check_condition(order.when, "when", Place(node.name, node.location))

    def _check_condition(self, value: Value, what: str, place: Place) -> None:
        type_ = self._values.type_at(value, what, place)
        if type_.name not in ("bool", "any", "json"):
            self._report(
                "condition-not-bool",
                f"{what} of {place.node!r} is {type_}, not true or false",
                "Compare it with something: when(score > 0.9).",
                place.location,
            )

    def _check_policy(self, policy: Policy, name: str, location: Location | None) -> None:
        resources, place = policy.resources, Place(name, location)
        if resources is not None:
            for what, amount in resources.said().items():
                self._check_amount(amount, what, 1 if what in ("memory", "gpu_memory", "disk") else 0, place)
            check_gpu(resources, lambda code, message, fix: self._report(code, f"{name!r} {message}", fix, location))
        self._check_amount(policy.timeout_ms, "timeout", 1, place)
        if id(policy) in self._judged.policies:
            return
        self._judged.policies[id(policy)] = policy
        retry = policy.retry
        if retry is not None:
            good = retry.attempts_max >= 1 and min(retry.backoff_ms, retry.oom_max, retry.lost_max) >= 0
            if not (good and retry.factor >= 1 and 0 <= retry.jitter <= 1):
                message = f"retry of {name!r} has a number out of its range: {retry}"
                self._report("bad-retry", message, "attempts from 1, factor from 1, jitter from 0 to 1.", location)

        def report(code: str, message: str, fix: str) -> None:
            self._report(code, f"{name!r} {message}", fix, location)

        check_cache_policy(policy, report)
        if policy.environment is not None:
            check_environment(policy.environment, report)

    def _check_declared(self, node: Node) -> None:
        """What code depends on is declared with the code: a node that uses it cannot say it for this use alone."""
        policy = node.policy
        given = [name for name in (*DECLARED, "environment") if getattr(policy, name)]
        if isinstance(node, (Call, Finally)) and not isinstance(node.component, Graph):
            if given:
                message = f"{node.name!r} declares {', '.join(given)}, which belong to the component"
                self._report("declared-at-node", message, "Declare them where the component is defined.", node.location)
        elif given or policy.version is not None or policy.expires_ms is not None or policy.cache == TRUST:
            message = f"{node.name!r} holds other tasks, which say for themselves what they depend on"
            self._report("declared-at-node", message, "Declare it on the tasks in it.", node.location)

    def _check_amount(self, amount: float | Value | None, what: str, minimum: int, place: Place) -> None:
        code = "bad-timeout" if what == "timeout" else "bad-resources"
        if amount is None:
            return
        if isinstance(amount, (int, float)):
            if isinstance(amount, bool) or not minimum <= amount < float("inf"):
                least = "more than 0" if minimum else "0 or more"
                message = f"{what} of {place.node!r} is {amount!r}"
                self._report(code, message, f"Give {least}.", place.location)
            return
        type_ = self._values.type_at(amount, what, place)
        if type_.name not in _NUMBERS:
            message = f"{what} of {place.node!r} is a value of type {type_}, not a number"
            self._report(code, message, "Give a number.", place.location)

    def _check_limit(self, node: Map | Loop, what: str, limit: int | None, minimum: int) -> None:
        if limit is not None and (isinstance(limit, bool) or limit < minimum):
            message = f"{what} of {node.name!r} is {limit!r}"
            self._report("bad-limit", message, f"Give a whole number of at least {minimum}.", node.location)

    def _check_reserved(self, node: Map | Loop, body: Graph, names: tuple[str, ...]) -> None:
        for output in body.outputs:
            if output.name in names:
                message = f"{body.name!r} has an output {output.name!r}, a name that {node.name!r} itself needs"
                self._report("reserved-name", message, "Give the output another name.", node.location)

    # -- components and ends -------------------------------------------------------------------------------------------

    def _ends(self, component: Work | Graph) -> _Ends:
        ends = self._judged.ends.get(id(component))
        if ends is None:
            ends = self._judged.ends[id(component)] = _Ends(
                component,
                {spec.name: spec for spec in component.inputs},
                tuple(spec.name for spec in component.inputs if spec.default is None),
                {output.name: output.type for output in component.outputs},
            )
            if isinstance(component, Graph):
                self.bodies.append(component)
            else:
                self._check_ends(component.name, component.inputs, component.outputs, component.location)
                self._check_policy(component.policy, component.name, component.location)
            environment = component.policy.environment if isinstance(component, Function) else None
            if environment is not None and is_too_old(environment):
                message = f"{component.name!r} asks for Python {environment.python}, which Penstock does not run on"
                fix = "Ask for 3.11 or later; a command can use any version."
                self._report("bad-environment", message, fix, component.location)
            if isinstance(component, Command):
                check_command(
                    component, lambda code, message, fix: self._report(code, message, fix, component.location)
                )
        return ends

    def _check_ends(
        self,
        name: str,
        inputs: tuple[InputSpec, ...],
        outputs: tuple[OutputSpec, ...] | tuple[CommandOutput, ...] | tuple[GraphOutput, ...],
        location: Location | None,
    ) -> None:
        for kind, names in (("input", [i.name for i in inputs]), ("output", [o.name for o in outputs])):
            seen: set[str] = set()
            for one in names:
                if one in seen:
                    message = f"{name!r} has two {kind}s named {one!r}"
                    self._report("duplicate-name", message, "Rename one of them.", location)
                seen.add(one)
                if not (is_name(one) or one.isidentifier()):
                    self._report("bad-name", f"an {kind} of {name!r} cannot be named {one!r}", NAME_FIX, location)
        for spec in inputs:
            if spec.default is not None:
                complaint = check_parameter(spec.type, spec.default.value)
                if complaint:
                    message = f"the default of input {spec.name!r} of {name!r} {complaint}"
                    self._report("wrong-type", message, "Change the default, or the annotation.", location)

    def _check_output(self, output: GraphOutput) -> None:
        graph = self.graph
        self._values.referred = []
        what = f"output {output.name!r}"
        type_ = self._values.type_at(output.value, what, Place(graph.name, graph.location))
        if not output.type.accepts(type_):
            message = f"{what} of {graph.name!r} is declared {output.type}, and what it is given is {type_}"
            self._report("wrong-type", message, "Change the annotation, or what is returned.", graph.location)

    # -- the graph as a whole ------------------------------------------------------------------------------------------

    def _check_whole(self) -> None:
        last = self._values.finally_names  # what uses them has been told already
        upstreams = self._upstreams
        if last:
            upstreams = {name: [up for up in ups if up not in last] for name, ups in upstreams.items()}
        cycle = cycle_among(upstreams)
        if cycle:
            node = self._nodes[cycle[0]]
            path = " -> ".join((*cycle, cycle[0]))
            fix = "Take one of these dependencies away; loop_until repeats something."
            self._report("cycle", f"nodes wait for each other: {path}", fix, node.location)
            return
        for name, message in never_present(self.graph, upstreams):
            fix = "Use one_of(...) to take whichever value there is, or give the input a default."
            self._report("never-has-value", message, fix, self._nodes[name].location)

    def _report(self, code: str, message: str, fix: str, location: Location | None, *, warning: bool = False) -> None:
        self._diagnostics.append(
            Diagnostic(code, message, fix, location or self.graph.location, "warning" if warning else "error")
        )
