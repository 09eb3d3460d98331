"""Random graphs of every node kind and feature, from a seed: valid by `graph.check`, with functions that answer by
`testing.fakes`. Nothing here depends on anything but the seed and the size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

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
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Reference, Select, Tree
from penstock.graph.model import (
    DEFAULT_ORDER,
    DEFAULT_POLICY,
    Branch,
    Call,
    Case,
    Command,
    CommandOutput,
    Finally,
    Function,
    Gpu,
    Graph,
    GraphOutput,
    InputSpec,
    Loop,
    Map,
    Node,
    Order,
    OutputSpec,
    Policy,
    Resources,
    Retry,
    Trigger,
    Work,
    bodies_of,
    outputs_of,
)
from penstock.graph.types import ANY, BOOL, FLOAT, INT, STR, Type, dict_of, list_of
from penstock.testing import fakes
from penstock.wire import Datum, Inline

LOST_MAX = 1_000_000
"""Losses are the simulator's doing, never the graph's: no run may fail of them."""

WIDE_MIN = 65
"""A map over so many items begins them in more than one window."""

COMMANDS = 0.2
"""How many of the functions that could be are commands."""

TOGETHER = 3
"""One graph in so many has lists and structs of artifacts written out, and dicts of artifacts as outputs."""

_PARAMETERS = (INT, INT, BOOL, FLOAT, STR, list_of(INT))
_ANY = (*_PARAMETERS, fakes.FRAME, list_of(fakes.FRAME))
_INDEXES = "indexes"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A graph with what to run it on. `timed`: it has limits on time that faults could use up, so that what it comes to
    does not follow from the graph alone; `fail_fast` leaves only its state determined."""

    graph: Graph
    inputs: Mapping[str, Datum]
    timed: bool


def random_scenario(seed: int, *, size: int = 14) -> Scenario:
    """A graph of about `size` nodes, those in bodies counted once; a smaller size gives a simpler graph."""
    together = Random(f"together {seed} {size}") if seed % TOGETHER == 0 else None
    maker = _Maker(Random(f"graph {seed} {size}"), size, Random(f"kinds {seed} {size}"), together)
    return maker.scenario(f"g{seed}")


@dataclass(slots=True)
class _Maker:
    rng: Random
    left: int
    """How many more nodes the whole graph may have."""
    kinds: Random
    """Says which functions are commands."""
    together: Random | None = None
    """Says what is put together and picked apart, where anything is."""
    functions: int = 0
    timed: bool = False

    def scenario(self, name: str) -> Scenario:
        inputs = tuple(self._input(f"p{index}", self.rng.choice(_PARAMETERS)) for index in range(self.rng.randrange(4)))
        graph = self._graph(name, inputs, {}, depth=0)
        if self._often(0.08):
            graph = replace(graph, fail_fast=True)
        given: dict[str, Datum] = {
            spec.name: Inline(fakes.plain_for(spec.type, f"{name}/{spec.name}"))
            for spec in inputs
            if spec.default is None or self._often(0.5)
        }
        return Scenario(graph, given, self.timed)

    def _often(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _input(self, name: str, of_type: Type) -> InputSpec:
        has_default = of_type.is_parameter and self._often(0.3)
        return InputSpec(name, of_type, Constant(fakes.plain_for(of_type, name)) if has_default else None)

    # -- a graph -------------------------------------------------------------------------------------------------------

    def _graph(self, name: str, inputs: tuple[InputSpec, ...], wanted: Mapping[str, Type], *, depth: int) -> Graph:
        """A graph that offers outputs of the `wanted` types."""
        scope = _Scope(self.rng, [(Input(spec.name), spec.type) for spec in inputs])
        count = self.rng.randint(2, 7) if depth == 0 else self.rng.randint(1, 3)
        for number in range(max(1, min(count, self.left))):
            scope.add(self._node(f"n{number}", scope, depth))
        if depth == 0:
            while self.left > 0:
                scope.add(self._node(f"n{len(scope.nodes)}", scope, depth))
        if self._often(0.25 if depth == 0 else 0.08):
            scope.nodes.append(self._finally("last", scope, depth))
        outputs = tuple(
            GraphOutput(out, of_type, scope.pick(of_type, constant=0.05)) for out, of_type in wanted.items()
        )
        if depth == 0:
            picked = [self.rng.choice(_ANY) for _ in range(self.rng.randrange(3))]
            outputs = tuple(
                GraphOutput(f"out{i}", of_type, scope.pick(of_type))
                for i, of_type in enumerate(picked)
                if scope.has(of_type)
            )
        fail_fast = depth > 0 and self._often(0.02)
        self.timed = self.timed or fail_fast
        return Graph(name, inputs, tuple(scope.nodes), outputs, fail_fast)

    def _node(self, name: str, scope: _Scope, depth: int) -> Node:
        self.left -= 1
        deep = (0.55, 0.4, 0.25)[depth] if depth < 3 and self.left > 0 else 0.0
        kind = self.rng.choice(("call", "map", "map", "branch", "loop")) if self._often(deep) else "function"
        order, policy = self._order(scope), self._node_policy(scope, holds_graph=kind != "function")
        match kind:
            case "call":
                body, inputs = self._body(name, scope, (), self._wanted(), depth)
                return Call(name, body, inputs, order, policy)
            case "map":
                return self._map(name, scope, order, policy, depth)
            case "branch":
                return self._branch(name, scope, order, policy, depth)
            case "loop":
                return self._loop(name, scope, order, policy, depth)
            case _:
                function, inputs = self._function(scope)
                work = self._work(function)
                if self.together is not None and isinstance(work, Function):
                    work, inputs = _with_collections(self.together, scope, work, inputs)
                return Call(name, work, inputs, order, policy)

    def _wanted(self) -> dict[str, Type]:
        return {f"r{index}": self.rng.choice(_PARAMETERS) for index in range(self.rng.randrange(3))}

    def _body(
        self, name: str, scope: _Scope, special: tuple[tuple[Value, Type], ...], wanted: Mapping[str, Type], depth: int
    ) -> tuple[Graph, dict[str, Value]]:
        """A body graph and what binds it: `special` Values (an item, a round) and some of the scope's."""
        sources = [*special]
        for _ in range(self.rng.randrange(3)):
            sources.append(scope.any_value())
        specs, bound = [], dict[str, Value]()
        for index, (value, of_type) in enumerate(sources):
            specs.append(self._input(f"i{index}", of_type))
            bound[f"i{index}"] = value
        if self._often(0.15):
            spec = InputSpec("spare", INT, Constant(3))
            specs.append(spec)
        return self._graph(name, tuple(specs), wanted, depth=depth + 1), bound

    def _map(self, name: str, scope: _Scope, order: Order, policy: Policy, depth: int) -> Map:
        if depth == 0 and self._often(0.03):
            return self._wide_map(name, order)
        lists = [(value, of_type) for value, of_type in scope.values if of_type.is_counted]
        fallback: tuple[Value, Type] = (Constant([0, 1, 2, 3][: self.rng.randrange(5)]), list_of(INT))
        items, of_type = self.rng.choice(lists) if lists and self._often(0.8) else fallback
        special: list[tuple[Value, Type]] = [(Item(), of_type.item or INT)]
        if of_type.item == INT and self._often(0.15):
            special = [(Expression(_operation("_/_", Literal(12), Reference(Item()))), INT)]  # an error for item 0
        if of_type.item == INT and self._often(0.15):
            special.append((Text(("i", scope.pick(INT), "-", Item())), STR))
        if self._often(0.3):
            special.append((Index(), INT))
        body, inputs = self._body(name, scope, tuple(special), self._wanted(), depth)
        parallel_max = self.rng.choice((None, None, 1, 2))
        failures_max = self.rng.choice((0, 0, 0, 1, 2, 10))
        return Map(name, body, items, inputs, parallel_max, failures_max, order, policy)

    def _wide_map(self, name: str, order: Order) -> Map:
        """More items than are begun at once (semantics 11), and little to do for each."""
        scope = _Scope(self.rng, [(Input("i0"), INT)])
        inputs = (InputSpec("x", INT),)
        function = Function(
            fakes.MODULE, f"moody_w{self.left}", inputs, (OutputSpec("y0", INT),), Policy(Resources(0.5))
        )
        retry = Policy(retry=Retry(2, 0, lost_max=LOST_MAX))
        scope.add(Call("n0", function, {"x": Input("i0")}, policy=retry))
        outputs = (GraphOutput("r0", INT, Output("n0", "y0")),)
        body = Graph(name, (InputSpec("i0", INT),), tuple(scope.nodes), outputs)
        items = Constant(list(range(self.rng.randint(WIDE_MIN + 1, 110))))
        return Map(name, body, items, {"i0": Item()}, self.rng.choice((None, None, 70)), 1_000, order)

    def _branch(self, name: str, scope: _Scope, order: Order, policy: Policy, depth: int) -> Branch:
        wanted = self._wanted()
        cases = []
        for number in range(self.rng.randint(1, 3)):
            body, inputs = self._body(f"{name}_{number}", scope, (), wanted, depth)
            condition = scope.condition()
            if self._often(0.12):  # may well be an error
                condition = Expression(_operation("_>_", _operation("_/_", Literal(12), scope.number()), Literal(2)))
            cases.append(Case(condition, body, inputs))
        if self._often(0.5):
            cases[-1] = replace(cases[-1], when=None)
        return Branch(name, tuple(cases), order, policy)

    def _loop(self, name: str, scope: _Scope, order: Order, policy: Policy, depth: int) -> Loop:
        of_type = self.rng.choice((INT, STR, FLOAT))
        first = scope.pick(of_type)
        special: list[tuple[Value, Type]] = [(first, of_type)]
        if self._often(0.4):
            special.append((Round(), INT))
        wanted = {"next": of_type, "done": BOOL, "score": INT}
        body, inputs = self._body(name, scope, tuple(special), wanted, depth)
        carry = {"next": "i0"} if self._often(0.85) else {}
        own: list[tuple[Value, Type]] = [(Output("", "score"), INT), (Output("", "done"), BOOL), (Round(), INT)]
        until = _Scope(self.rng, own).condition() if self._often(0.9) else None
        exhausted = "fail" if self._often(0.2) else "succeed"
        return Loop(name, body, inputs, carry, until, self.rng.randint(1, 3), exhausted, order, policy)

    def _finally(self, name: str, scope: _Scope, depth: int) -> Finally:
        self.left -= 1
        names = [node.name for node in scope.nodes]
        watch = tuple(sorted(self.rng.sample(names, self.rng.randint(1, len(names)))))
        inputs: dict[str, Value] = {"how": StateOf("")}
        specs = [InputSpec("how", STR)]
        if self._often(0.4):
            inputs["one"], specs = StateOf(self.rng.choice(watch)), [*specs, InputSpec("one", STR)]
        if self._often(0.5):
            value, of_type = scope.any_value()
            inputs["value"] = value
            specs.append(self._input("value", of_type))
        function = replace(self._function(scope)[0], inputs=tuple(specs))
        return Finally(name, self._work(function), inputs, watch)

    # -- a function ----------------------------------------------------------------------------------------------------

    def _function(self, scope: _Scope) -> tuple[Function, dict[str, Value]]:
        behaviour = self.rng.choices(tuple(fakes.BEHAVIOURS), tuple(fakes.BEHAVIOURS.values()))[0]
        self.functions += 1
        specs, bound = [], dict[str, Value]()
        for index in range(self.rng.choice((0, 1, 1, 1, 2, 3))):
            value, of_type = scope.any_value(new=0.35)
            spec = self._input(f"x{index}", of_type)
            specs.append(spec)
            if spec.default is None or self._often(0.7):
                bound[spec.name] = value
        types = [self.rng.choice(_ANY) for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        outputs = tuple(OutputSpec(f"y{index}", of_type) for index, of_type in enumerate(types))
        name = f"{behaviour}_f{self.functions}"
        return Function(fakes.MODULE, name, tuple(specs), outputs, self._function_policy(behaviour)), bound

    def _work(self, function: Function) -> Work:
        """The function, or now and then a command that answers as it would."""
        if self.kinds.random() > COMMANDS or not all(output.type.is_parameter for output in function.outputs):
            return function
        words = tuple((Input(spec.name),) for spec in function.inputs)
        outputs = tuple(CommandOutput(each.name, each.type, "json", "out.json", each.name) for each in function.outputs)
        return Command(function.name, (("fake",), *words), function.inputs, outputs, policy=function.policy)

    def _function_policy(self, behaviour: str) -> Policy:
        attempts_max = self.rng.choice((1, 1, 2, 3))
        backoff_ms = self.rng.choice((0, 10, 500, 5_000))
        retry_on = ("LookupError",) if behaviour in ("lookup", "flaky1") and self._often(0.5) else ()
        retry = Retry(attempts_max, backoff_ms, backoff_max_ms=20_000, retry_on=retry_on, lost_max=LOST_MAX)
        cpu = self.rng.choice((1.0, 1.0, 1.0, 0.5, 2.0, 0.0))
        memory = self.rng.choice((None, None, None, 100_000_000, 1_000_000_000))
        disk = None if self.functions % 3 else 10_000_000  # drawn from nothing: old seeds make their old graphs
        custom = {"licence": self.rng.choice((1.0, 0.5))} if self._often(0.1) else {}
        timeout_ms = 3_000 if behaviour == "slow" else (86_400_000 if self._often(0.05) else None)
        return Policy(
            resources=Resources(cpu, memory, custom, self._gpu(), disk),
            retry=retry,
            timeout_ms=timeout_ms,
            fresh=True if self._often(0.05) else None,
        )

    def _gpu(self) -> Gpu | None:
        if self._often(0.85):
            return None
        return Gpu(self.rng.choice((1.0, 0.5, 2.0)), self.rng.choice((None, None, 10 << 30)))

    def _node_policy(self, scope: _Scope, *, holds_graph: bool) -> Policy:
        policy = DEFAULT_POLICY
        if self._often(0.15):
            policy = replace(policy, priority=self.rng.randint(-2, 5))
        if holds_graph and self._often(0.15):
            policy = replace(policy, retry=Retry(2, self.rng.choice((0, 1_000)), lost_max=LOST_MAX))
        if holds_graph and self._often(0.03):
            policy, self.timed = replace(policy, timeout_ms=self.rng.choice((500, 5_000))), True
        if not holds_graph and self._often(0.05):
            size: Value = Expression(_operation("_+_", Literal(1), Literal(1)))
            policy = replace(policy, resources=Resources(cpu=size))
        return policy

    def _order(self, scope: _Scope) -> Order:
        order = DEFAULT_ORDER
        names = [node.name for node in scope.nodes]
        if names and self._often(0.25):
            after = tuple(sorted(self.rng.sample(names, min(len(names), self.rng.randint(1, 2)))))
            order = replace(order, after=after)
        if self._often(0.2):
            order = replace(order, when=scope.condition())
        if self._often(0.3):
            order = replace(order, trigger=self.rng.choice(tuple(Trigger)))
        return order


@dataclass(slots=True)
class _Scope:
    """What may be referred to from one place in a graph."""

    rng: Random
    values: list[tuple[Value, Type]]
    nodes: list[Node] = field(default_factory=list)
    structs: list[Value] = field(default_factory=list)

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        if isinstance(node, Call) and COLLECTION in outputs_of(node):
            self.structs.append(Output(node.name, COLLECTION))
        if isinstance(node, Map) and isinstance(node.items, Constant) and len(node.items.value) > WIDE_MIN:
            return  # nobody goes over its lists again: the graph would be too large
        own = [(Output(node.name, name), type_) for name, type_ in outputs_of(node).items() if name != COLLECTION]
        self.values += [*own, *own]

    def has(self, of_type: Type) -> bool:
        return of_type.is_parameter or any(each == of_type for _, each in self.values)

    def pick(self, of_type: Type, *, constant: float = 0.15) -> Value:
        """A value of a type: one there is, one of several, something computed, or a constant."""
        found = [value for value, each in self.values if each == of_type]
        if found and (not of_type.is_parameter or self.rng.random() > constant):
            if self.rng.random() < 0.2:
                sources = self.rng.sample(found, min(2, len(found)))
                if of_type.is_parameter and self.rng.random() < 0.3:
                    sources.append(Constant(fakes.plain_for(of_type, "in the end")))
                return OneOf(tuple(each for index, each in enumerate(sources) if each not in sources[:index]))
            return self.rng.choice(found)
        if of_type == INT and self.rng.random() < 0.5:
            return Expression(_operation("_+_", self.number(), Literal(1)))
        if of_type == STR and self.rng.random() < 0.6:
            return Text(("v=", self.pick(INT), ";"))
        return Constant(fakes.plain_for(of_type, f"constant {self.rng.randrange(5)}"))

    def any_value(self, *, new: float = 0.2) -> tuple[Value, Type]:
        of_type = self.rng.choice(_PARAMETERS)
        if self.values and self.rng.random() > new:
            of_type = self.rng.choice(self.values)[1]
        return self.pick(of_type), of_type

    def condition(self) -> Value:
        kind = self.rng.randrange(10)
        flags = [value for value, of_type in self.values if of_type == BOOL]
        if kind < 4 and flags:
            return self.rng.choice(flags)
        if kind < 6:
            joined = _operation(self.rng.choice(("_&&_", "_||_")), self._comparison(), self._comparison())
            return Expression(joined)
        return Expression(self._comparison())

    def _comparison(self) -> Tree:
        operator = self.rng.choice(("_<_", "_>=_", "_==_", "_!=_"))
        return _operation(operator, self.number(), Literal(self.rng.randrange(5)))

    def number(self) -> Tree:
        lists = [value for value, of_type in self.values if of_type.is_counted]
        if lists and self.rng.random() < 0.2:
            return _operation("size", Reference(self.rng.choice(lists)))
        numbers = [value for value, of_type in self.values if of_type == INT]
        number: Tree = Reference(self.rng.choice(numbers)) if numbers else Literal(self.rng.randrange(4))
        if self.rng.random() < 0.12:
            return _operation("_/_", Literal(12), number)  # an error where the number is 0
        return number


def _operation(operator: str, *arguments: Tree) -> Operation:
    return Operation(operator, arguments)


COLLECTION = "together"


def _with_collections(
    rng: Random, scope: _Scope, function: Function, inputs: dict[str, Value]
) -> tuple[Function, dict[str, Value]]:
    """The function with an input that several values are put together for, and a dict of artifacts as an output."""
    if scope.values and rng.random() < 0.5:
        function = replace(function, inputs=(*function.inputs, InputSpec(COLLECTION, ANY)))
        inputs = {**inputs, COLLECTION: Expression(_collection(rng, scope))}
    if rng.random() < 0.3:
        function = replace(function, outputs=(*function.outputs, OutputSpec(COLLECTION, dict_of(fakes.FRAME))))
    return function, inputs


def _collection(rng: Random, scope: _Scope, depth: int = 0) -> Tree:
    """A list or struct of values of a scope, nested now and then; or what is picked from one."""
    values = [value for value, _ in scope.values] + scope.structs
    parts: list[Tree] = [Reference(rng.choice(values)) for _ in range(rng.randint(1, 3))]
    if depth < 2 and rng.random() < 0.3:
        parts.append(_collection(rng, scope, depth + 1))
    if scope.structs and rng.random() < 0.5:
        parts.append(Select(Reference(rng.choice(scope.structs)), rng.choice(fakes.FIELDS)))
    named = MapTree(tuple([(Literal("zyxwv"[index]), part) for index, part in enumerate(parts)]))
    match rng.randrange(4):
        case 0:
            return ListTree(tuple(parts))
        case 1:
            return _operation("_[_]", ListTree(tuple(parts)), Literal(rng.randrange(len(parts))))
        case 2:
            return Select(named, "z")
        case _:
            return named


def nodes_within(graph: Graph) -> int:
    """How many nodes a graph has at every depth, bodies counted once."""
    return sum(1 + sum(nodes_within(body) for body, _ in bodies_of(node)) for node in graph.nodes)


def answer(tried_by_path: dict[str, int]) -> Any:
    """What the naive evaluator asks: the functions of `testing.fakes`, tries counted per task run."""

    def call(work: Work, inputs: Mapping[str, Datum], path: str) -> Any:
        tried = tried_by_path.get(path, 0)
        tried_by_path[path] = tried + 1
        outputs = {spec.name: spec.type for spec in work.outputs}
        return fakes.outcome_of(work.name, outputs, inputs, tried)

    return call
