"""The only way to make graphs; every front end goes through it.

A `GraphBuilder` makes one graph. Body graphs are made by child builders: a value of an outer graph that is used in a
body is lifted into an input of the body (a body graph is closed, semantics 1), and a value made in a case of a branch
that is used outside becomes an output of that branch. An author's mistake is recorded as a Diagnostic and stands as
`UNKNOWN` from then on; whatever can be said of a finished graph is left to `graph.check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Constant, Input, Output, StateOf, Value
from penstock.graph.model import (
    DEFAULT_ORDER,
    NOTHING,
    Branch,
    Call,
    Case,
    Finally,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Node,
    Order,
    Trigger,
    Work,
)
from penstock.graph.names import NAME_FIX, UniqueNames, is_name, made_valid, name_of_value
from penstock.graph.scoped import NO_OPTIONS, UNKNOWN_SCOPED, NodeOptions, NodeRef, Scoped
from penstock.graph.types import ANY, BOOL, INT, Type, list_of
from penstock.graph.value_types import type_of_value

__all__ = ["NO_OPTIONS", "UNKNOWN_SCOPED", "BranchBuilder", "GraphBuilder", "NodeOptions", "NodeRef", "Scoped"]


class GraphBuilder:
    """Builds one graph. `diagnostics` is shared by a builder and its children."""

    def __init__(self, name: str, *, location: Location | None = None, parent: GraphBuilder | None = None) -> None:
        self.diagnostics: list[Diagnostic] = parent.diagnostics if parent else []
        self.parent = parent
        self.location = location
        self.name = self._valid_name(name, location)
        self.branch: BranchBuilder | None = None  # the branch that this is the body of a case of
        self.holder = ""  # the node of the parent's graph that holds this body
        self.outer_after: list[str] = []  # nodes of the parent's graph that the holder must wait for
        self.declared_outputs: dict[str, GraphOutput] = {}
        self._inputs: dict[str, InputSpec] = {}
        self._lifted: dict[object, tuple[Input, Value]] = {}
        self._nodes: dict[str, Node | Callable[[], Node]] = {}
        self._refs: dict[str, NodeRef] = {}
        self._finally_names: set[str] = set()
        self._names = UniqueNames()
        self._input_names = UniqueNames()
        self._outputs_by_component: dict[int, tuple[Work | Graph, Mapping[str, Type]]] = {}
        self._last_branch: BranchBuilder | None = None
        self._graph: Graph | None = None

    def child(self, name: str, *, location: Location | None = None) -> GraphBuilder:
        """A builder for a body graph of a node of this graph."""
        return GraphBuilder(name, location=location, parent=self)

    def report(self, code: str, message: str, fix: str = "", location: Location | None = None) -> None:
        self.diagnostics.append(Diagnostic(code, message, fix, location or self.location))

    # -- values --------------------------------------------------------------------------------------------------------

    def scoped(self, value: Value, location: Location | None = None) -> Scoped:
        """A Value of this graph with its type; a mistake in an expression is recorded."""
        try:
            return Scoped(self, value, type_of_value(value, self._type_of_leaf))
        except ExpressionError as error:
            self.report(
                "bad-expression", str(error), "Put together values of the same kind, or do it in a task.", location
            )
            return UNKNOWN_SCOPED

    def common_owner(self, operands: Iterable[Scoped]) -> GraphBuilder:
        """The builder in which these can be put together: the one where all of them stand, else this one."""
        owners = {id(operand.owner): operand.owner for operand in operands if operand.owner is not None}
        (owner, *others) = owners.values() or (self,)
        return self if others else owner

    def bring(self, scoped: Scoped, location: Location | None = None, *, called: str = "value") -> Value:
        """The Value that `scoped` is in this graph: lifted into inputs and exported from branches as needed. What has no
        name of its own is `called` so then."""
        owner = scoped.owner
        if owner is self or owner is None:
            return scoped.value
        lineage = self._lineage()
        while owner not in lineage:
            if owner.branch is None:
                return self._out_of_scope(location).value
            scoped = owner.branch.export(owner, scoped, called)
            owner = owner.branch.owner
        for child in reversed(lineage[: lineage.index(owner)]):
            scoped = child._lift(scoped, called)
        return scoped.value

    def _lift(self, scoped: Scoped, called: str) -> Scoped:
        """Make a value of the parent's graph an input of this one."""
        value = scoped.value
        # Expressions are told apart by identity: equal ones may hold 1 and True, which Python finds equal.
        key: object = value if isinstance(value, (Output, Input, StateOf)) else id(value)
        if key not in self._lifted:
            name = self._input_names.unique(name_of_value(value, called))
            self._inputs[name] = InputSpec(name, scoped.type)
            self._lifted[key] = (Input(name), value)
        return Scoped(self, self._lifted[key][0], scoped.type)

    def _lineage(self) -> list[GraphBuilder]:
        """This builder, its parent, and so on to the root."""
        lineage = [self]
        while (parent := lineage[-1].parent) is not None:
            lineage.append(parent)
        return lineage

    def _out_of_scope(self, location: Location | None) -> Scoped:
        self.report(
            "value-out-of-scope",
            "a value is used outside the pipeline that it was made in",
            "Return it from the pipeline that makes it, or give it to this one as a parameter.",
            location,
        )
        return UNKNOWN_SCOPED

    def _type_of_leaf(self, value: Value) -> Type:
        if isinstance(value, Input) and value.name in self._inputs:
            return self._inputs[value.name].type
        if isinstance(value, Output) and value.node in self._refs:
            return self._refs[value.node].outputs.get(value.name, ANY)
        return ANY

    # -- the graph's ends ----------------------------------------------------------------------------------------------

    def add_input(
        self, name: str, type_: Type, *, default: Constant | None = None, location: Location | None = None
    ) -> Scoped:
        if not self._input_names.claim(name):
            self.report("duplicate-name", f"two inputs are named {name!r}", "Rename one of them.", location)
        self._inputs[name] = InputSpec(name, type_, default)
        return Scoped(self, Input(name), type_)

    def add_output(
        self, name: str, scoped: Scoped, *, type_: Type | None = None, location: Location | None = None
    ) -> None:
        """Declare an output of the graph; `type_` is what the author says that it is, if anything."""
        if name in self.declared_outputs:
            self.report("duplicate-name", f"two outputs are named {name!r}", "Rename one of them.", location)
            return
        self.declared_outputs[name] = GraphOutput(name, type_ or scoped.type, self.bring(scoped, location, called=name))

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def add_call(
        self, component: Work | Graph, inputs: Mapping[str, Scoped], options: NodeOptions = NO_OPTIONS
    ) -> NodeRef:
        name = self._node_name(component.name, options)
        bound, order = self._bind(inputs, options), self._order(options)
        node = Call(name, component, bound, order, options.policy, options.labels, options.location)
        return self._add(name, node, self._outputs_of(component))

    def add_map(
        self,
        body: Graph | GraphBuilder,
        items: Scoped,
        inputs: Mapping[str, Scoped],
        *,
        parallel_max: int | None = None,
        failures_max: int = 0,
        options: NodeOptions = NO_OPTIONS,
    ) -> NodeRef:
        """Add a Map. A `body` that is a child builder must have its outputs by now; what it captured is bound as
        well."""
        name = self._node_name(body.name, options)
        order, bound, items_value = (
            self._order(options),
            self._bind(inputs, options),
            self.bring(items, options.location),
        )

        def finish() -> Node:
            graph, lifted, after = _finish_body(body)
            return Map(
                name,
                graph,
                items_value,
                {**bound, **lifted},
                parallel_max,
                failures_max,
                _with_after(order, after),
                options.policy,
                options.labels,
                options.location,
            )

        outputs = {output: list_of(type_) for output, type_ in _outputs_so_far(body).items()}
        return self._add_holder(name, finish, {**outputs, "indexes": list_of(INT)}, body)

    def add_loop(
        self,
        body: Graph | GraphBuilder,
        inputs: Mapping[str, Scoped],
        until: Scoped | None,
        *,
        carry: Mapping[str, str],
        rounds_max: int,
        exhausted: str = "succeed",
        options: NodeOptions = NO_OPTIONS,
    ) -> NodeRef:
        """Add a Loop; `until` is made of what `round_of` answers and of values of this graph."""
        name = self._node_name(body.name, options)
        order, bound = self._order(options), self._bind(inputs, options)
        until_value = None if until is None else self.bring(until, options.location)

        def finish() -> Node:
            graph, lifted, after = _finish_body(body)
            return Loop(
                name,
                graph,
                {**bound, **lifted},
                dict(carry),
                until_value,
                rounds_max,
                exhausted,
                _with_after(order, after),
                options.policy,
                options.labels,
                options.location,
            )

        return self._add_holder(name, finish, {**_outputs_so_far(body), "met": BOOL, "rounds": INT}, body)

    def round_of(self, body: Graph | GraphBuilder) -> NodeRef:
        """The round just ended of a loop over `body`, for its `until`."""
        self._refs[""] = NodeRef(self, "", _outputs_so_far(body))
        return self._refs[""]

    def add_branch(self, options: NodeOptions = NO_OPTIONS) -> BranchBuilder:
        """Add a Branch; its cases are added to what this answers."""
        name = self._node_name("branch", options)
        branch = BranchBuilder(self, name, self._order(options), options)
        self._add_holder(name, branch.finish, branch.outputs, None)
        self._last_branch = branch
        return branch

    def open_branch(self) -> BranchBuilder | None:
        """The branch that was added last, if nothing was added since and it can have another case."""
        branch = self._last_branch
        if branch is None or branch.is_closed or next(reversed(self._nodes)) != branch.name:
            return None
        return branch

    def add_finally(
        self,
        component: Work | Graph,
        inputs: Mapping[str, Scoped],
        watch: Sequence[NodeRef] | None = None,
        options: NodeOptions = NO_OPTIONS,
    ) -> NodeRef:
        """Add a Finally; `watch` None: every node of the finished graph that is not one itself."""
        name = self._node_name(component.name, options)
        bound = self._bind(inputs, options)
        watched = None if watch is None else self._local_names(watch, options.location)

        def finish() -> Node:
            others = tuple(node for node in self._nodes if node not in self._finally_names)
            chosen = others if watched is None else watched
            return Finally(name, component, bound, chosen, options.policy, options.labels, options.location)

        self._finally_names.add(name)
        return self._add(name, finish, self._outputs_of(component))

    def finish(
        self,
        *,
        fail_fast: bool = False,
        timeout_ms: int | None = None,
        labels: Mapping[str, str] = NOTHING,
        description: str = "",
        order: Sequence[str] = (),
    ) -> Graph:
        """The graph. Nothing may be added afterwards; asking again gives the same graph. `order`: names of nodes in the order
        that they are to have, where they were added in another; what has no place in it stays before what it was added
        before."""
        if self._graph is None:
            self._graph = Graph(
                self.name,
                tuple(self._inputs.values()),
                tuple([node() if callable(node) else node for node in self._in_order(order)]),
                tuple(self.declared_outputs.values()),
                fail_fast,
                timeout_ms,
                labels,
                self.location,
                description,
            )
        return self._graph

    def lifted(self) -> dict[str, Value]:
        """What this body captured: Values of the parent's graph by the names of the inputs they were made."""
        return {name.name: value for name, value in self._lifted.values()}

    # -- inside --------------------------------------------------------------------------------------------------------

    def _in_order(self, order: Sequence[str]) -> Iterable[Node | Callable[[], Node]]:
        if not order:
            return self._nodes.values()
        groups: dict[str, list[str]] = {}
        waiting: list[str] = []
        placed = set(order)
        for name in self._nodes:
            waiting.append(name)
            if name in placed:
                groups[name], waiting = waiting, []
        names = [name for first in order if first in groups for name in groups[first]]
        return [self._nodes[name] for name in (*names, *waiting)]

    def _add(self, name: str, node: Node | Callable[[], Node], outputs: Mapping[str, Type]) -> NodeRef:
        self._nodes[name] = node
        ref = self._refs[name] = NodeRef(self, name, outputs)
        return ref

    def _add_holder(
        self, name: str, finish: Callable[[], Node], outputs: Mapping[str, Type], body: Graph | GraphBuilder | None
    ) -> NodeRef:
        if isinstance(body, GraphBuilder):
            body.holder = name
        return self._add(name, finish, outputs)

    def _outputs_of(self, component: Work | Graph) -> Mapping[str, Type]:
        known = self._outputs_by_component.get(id(component))
        if known is None:
            outputs = {output.name: output.type for output in component.outputs}
            known = self._outputs_by_component[id(component)] = (component, outputs)
        return known[1]

    def _bind(self, inputs: Mapping[str, Scoped], options: NodeOptions) -> dict[str, Value]:
        return {name: self.bring(scoped, options.location, called=name) for name, scoped in inputs.items()}

    def _order(self, options: NodeOptions) -> Order:
        if not options.after and options.when is None and options.trigger is Trigger.ALL_SUCCEEDED:
            return DEFAULT_ORDER
        when = None if options.when is None else self.bring(options.when, options.location, called="condition")
        return Order(self._local_names(options.after, options.location), when, options.trigger)

    def _local_names(self, refs: Sequence[NodeRef], location: Location | None) -> tuple[str, ...]:
        names = [self._local_name(ref, location) for ref in refs]
        return tuple(dict.fromkeys(name for name in names if name))

    def _local_name(self, ref: NodeRef, location: Location | None) -> str:
        """The node of this graph that stands for `ref`: itself, or what holds it. Empty where there is none: an outer
        node, for which the holder of this body waits instead, or a mistake."""
        owner, name, lineage = ref.owner, ref.name, self._lineage()
        while owner not in lineage:
            if owner.branch is None:
                self._out_of_scope(location)
                return ""
            name, owner = owner.holder, owner.branch.owner
        if owner is self:
            return name
        lineage[lineage.index(owner) - 1].outer_after.append(name)
        return ""

    def _node_name(self, base: str, options: NodeOptions) -> str:
        if options.name is None:
            return self._names.unique(base if is_name(base) else made_valid(base.rpartition(".")[2]))
        name = self._valid_name(options.name, options.location)
        if self._names.claim(name):
            return name
        self.report(
            "duplicate-name",
            f"another node of {self.name!r} is named {name!r}",
            "Give it another name, or none: names are made from what the node calls.",
            options.location,
        )
        return self._names.unique(name)

    def free_name(self, base: str) -> str:
        """The name nearest to `base` that no node has yet."""
        return self._names.nearest_free(base if is_name(base) else made_valid(base))

    def free_input_name(self, base: str) -> str:
        """The name nearest to `base` that no input has yet."""
        return self._input_names.nearest_free(base)

    def _valid_name(self, name: str, location: Location | None) -> str:
        if is_name(name):
            return name
        self.report("bad-name", f"{name!r} cannot be a name", NAME_FIX, location)
        return made_valid(name)


class BranchBuilder:
    """A Branch being made: its cases, and the outputs that were asked of them."""

    def __init__(self, owner: GraphBuilder, name: str, order: Order, options: NodeOptions) -> None:
        self.owner = owner
        self.name = name
        self.outputs: dict[str, Type] = {}
        self._order = order
        self._options = options
        self._cases: list[tuple[Value | None, GraphBuilder, Mapping[str, Value]]] = []
        self._output_names = UniqueNames()
        self._exported: dict[tuple[int, object], str] = {}

    @property
    def is_closed(self) -> bool:
        """Whether it has its last case: the one without a condition."""
        return bool(self._cases) and self._cases[-1][0] is None

    def case(
        self,
        when: Scoped | None,
        *,
        name: str | None = None,
        inputs: Mapping[str, Scoped] | None = None,
        location: Location | None = None,
    ) -> GraphBuilder:
        """Add a case and answer the builder of its body; `when` None: otherwise. `inputs` binds inputs that the body is
        given beside what it captures."""
        condition = None if when is None else self.owner.bring(when, location, called="condition")
        body = self.owner.child(name or f"case-{len(self._cases)}", location=location)
        body.branch, body.holder = self, self.name
        bound = {each: self.owner.bring(scoped, location, called=each) for each, scoped in (inputs or {}).items()}
        self._cases.append((condition, body, bound))
        return body

    def offer(self, case: GraphBuilder) -> None:
        """Make the declared outputs of a case outputs of the branch; what an earlier case has keeps its type."""
        for output in case.declared_outputs.values():
            self._output_names.claim(output.name)
            self.outputs.setdefault(output.name, output.type)

    def export(self, case: GraphBuilder, scoped: Scoped, called: str) -> Scoped:
        """Make a value of a case an output of the branch."""
        value = scoped.value
        kept = value if isinstance(value, (Output, Input, StateOf)) else id(value)
        name = self._exported.get((id(case), kept))
        if name is None:
            name = self._exported[id(case), kept] = self._output_names.unique(name_of_value(value, called))
            case.add_output(name, scoped)
            self.outputs[name] = scoped.type
        return Scoped(self.owner, Output(self.name, name), scoped.type)

    def finish(self) -> Branch:
        after = [name for _when, body, _bound in self._cases for name in body.outer_after]
        cases = tuple(Case(when, body.finish(), {**bound, **body.lifted()}) for when, body, bound in self._cases)
        options = self._options
        order = _with_after(self._order, after)
        return Branch(self.name, cases, order, options.policy, options.labels, options.location)


def _outputs_so_far(body: Graph | GraphBuilder) -> dict[str, Type]:
    outputs = body.outputs if isinstance(body, Graph) else body.declared_outputs.values()
    return {output.name: output.type for output in outputs}


def _finish_body(body: Graph | GraphBuilder) -> tuple[Graph, dict[str, Value], list[str]]:
    """A body's graph, what binds the inputs that were lifted into it, and the nodes that its holder must wait for."""
    if isinstance(body, Graph):
        return body, {}, []
    return body.finish(), body.lifted(), body.outer_after


def _with_after(order: Order, names: Sequence[str]) -> Order:
    return replace(order, after=tuple(dict.fromkeys((*order.after, *names)))) if names else order
