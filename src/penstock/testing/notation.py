"""Graphs in a line, for tests that read as transcripts.

    a -> b -> c              b takes what a gives, c what b gives
    a, b -> c; a => d        c takes both; d only comes after a
    train*{fit -> score}     a map; its body's first nodes take the item
    tune@3{fit}              a loop of at most three rounds, until `fit` gives true
    choose?{one | two}       a branch; case n is taken when what comes in is n, the last one otherwise
    prepare{clean}           a nested pipeline
    end!                     a finally, watching what points at it
    fit[cpu=2 retry=3 trigger=all_ended priority=1 timeout=500 memory=100 gpu=1 gpu_memory=50 cache=no expires=1000]

Every function is `notation:NAME` with one output `out` of any type; a node with a body gives its last node's `out`. A
map without an upstream goes over `[0, 1, 2]`, or `[0 .. n-1]` when written `name*n`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.graph.bindings import Constant, Expression, Input, Item, Output, StateOf, Value
from penstock.graph.expression.tree import Literal, Operation, Reference
from penstock.graph.model import (
    Branch,
    Call,
    Case,
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
)
from penstock.graph.types import ANY, STR

MODULE = "notation"
_TOKEN = re.compile(r"\s*(->|=>|[;,|{}!?]|\*\d*|@\d*|\[[^\]]*\]|[A-Za-z_][A-Za-z0-9_-]*(?<!-)|\n)")


@dataclass(slots=True)
class _Draft:
    name: str
    kind: str = ""
    count: int = 0
    options: dict[str, str] = field(default_factory=dict)
    bodies: list[Graph] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def graph(text: str, *, name: str = "test", fail_fast: bool = False) -> Graph:
    """The graph that `text` writes. Raises ValueError where it cannot be read."""
    reader = _Reader(_tokens(text))
    drafts = reader.clauses()
    if reader.tokens:
        raise ValueError(f"what is {reader.tokens[0]!r} doing in {text!r}?")
    return _graph(name, drafts, takes=False, fail_fast=fail_fast)


def function(name: str, inputs: tuple[InputSpec, ...] = ()) -> Function:
    return Function(MODULE, name, inputs, (OutputSpec("out", ANY),))


def _tokens(text: str) -> list[str]:
    tokens, position, text = [], 0, text.strip().replace("\n", ";")
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read {text[position:]!r}")
        tokens.append(match[1])
        position = match.end()
    return tokens


@dataclass(slots=True)
class _Reader:
    tokens: list[str]

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def clauses(self) -> list[_Draft]:
        drafts: dict[str, _Draft] = {}
        while True:
            self._clause(drafts)
            if self.peek() != ";":
                return list(drafts.values())
            self.tokens.pop(0)

    def _clause(self, drafts: dict[str, _Draft]) -> None:
        left = self._group(drafts)
        while self.peek() in ("->", "=>"):
            arrow = self.tokens.pop(0)
            right = self._group(drafts)
            for draft in right:
                edges = draft.data if arrow == "->" else draft.after
                edges.extend(upstream.name for upstream in left)
            left = right

    def _group(self, drafts: dict[str, _Draft]) -> list[_Draft]:
        group = [self._node(drafts)]
        while self.peek() == ",":
            self.tokens.pop(0)
            group.append(self._node(drafts))
        return group

    def _node(self, drafts: dict[str, _Draft]) -> _Draft:
        name = self.tokens.pop(0)
        draft = drafts.setdefault(name, _Draft(name))
        while self.peek()[:1] in tuple("*@!?[{") and self.tokens:
            token = self.tokens.pop(0)
            if token == "{":
                draft.bodies = self._bodies(draft)
            elif token[0] == "[":
                draft.options = dict(option.split("=") for option in token[1:-1].split())
            else:
                draft.kind, draft.count = token[0], int(token[1:] or 3)
        return draft

    def _bodies(self, draft: _Draft) -> list[Graph]:
        bodies: list[Graph] = []
        while True:
            bodies.append(_graph(f"{draft.name}_{len(bodies)}", self.clauses(), takes=True))
            if self.tokens.pop(0) == "}":
                return bodies


def _graph(name: str, drafts: list[_Draft], *, takes: bool, fail_fast: bool = False) -> Graph:
    """`takes`: a body, whose first nodes take the input `x`."""
    nodes = tuple(_node(draft, takes=takes) for draft in drafts)
    pointed_at = {upstream for draft in drafts for upstream in draft.data}
    ends = [draft.name for draft in drafts if draft.kind != "!" and draft.name not in pointed_at]
    outputs = (GraphOutput("out", ANY, Output(ends[-1], "out")),) if ends else ()
    return Graph(name, (InputSpec("x", ANY, Constant(None)),) if takes else (), nodes, outputs, fail_fast=fail_fast)


def _node(draft: _Draft, *, takes: bool) -> Node:
    inputs: dict[str, Value] = {f"x{i}": Output(up, "out") for i, up in enumerate(draft.data)}
    if takes and not inputs and not draft.after:
        inputs = {"x0": Input("x")}
    specs = tuple(InputSpec(key, ANY) for key in inputs)
    order = Order(tuple(draft.after), trigger=Trigger(draft.options.get("trigger", "all_succeeded")))
    policy = _policy(draft.options)
    first = next(iter(inputs.values()), None)
    if not draft.bodies and draft.kind in ("*", "@"):
        draft.bodies = [_graph(draft.name, [_Draft("fit")], takes=True)]
    body = draft.bodies[0] if draft.bodies else Graph(draft.name, (), (), ())
    match draft.kind:
        case "*":
            parallel = int(draft.options["parallel"]) if "parallel" in draft.options else None
            items = first or Constant(list(range(draft.count)))
            failures_max = int(draft.options.get("failures", 0))
            return Map(draft.name, body, items, {"x": Item()}, parallel, failures_max, order, policy)
        case "@":
            until = Output("", "out")
            return Loop(
                draft.name, body, {"x": first} if first else {}, {}, until, draft.count, "succeed", order, policy
            )
        case "?":
            assert first is not None, f"what does {draft.name} choose by?"
            return Branch(draft.name, _cases(draft.bodies, first), order, policy)
        case "!":
            component = function(draft.name, (InputSpec("how", STR),))
            return Finally(draft.name, component, {"how": StateOf("")}, (*draft.data, *draft.after), policy)
        case _ if draft.bodies:
            return Call(draft.name, body, {"x": first} if first else {}, order, policy)
        case _:
            return Call(draft.name, function(draft.name, specs), inputs, order, policy)


def _cases(bodies: list[Graph], value: Value) -> tuple[Case, ...]:
    cases = []
    for number, body in enumerate(bodies):
        condition = Expression(Operation("_==_", (Reference(value), Literal(number))))
        last = number == len(bodies) - 1 and number > 0
        cases.append(Case(None if last else condition, body, {"x": value}))
    return tuple(cases)


def _policy(options: Mapping[str, str]) -> Policy:
    known = {"retry", "trigger", "priority", "timeout", "parallel", "failures", "backoff", "cpu", "memory"}
    known |= {"cache", "expires", "gpu", "gpu_memory"}
    custom = {name: float(amount) for name, amount in options.items() if name not in known}
    resources, retry = None, None
    if custom or not options.keys().isdisjoint(("cpu", "memory", "gpu", "gpu_memory")):
        memory = int(options["memory"]) if "memory" in options else None
        gpu_memory = int(options["gpu_memory"]) if "gpu_memory" in options else None
        gpu = Gpu(float(options.get("gpu", 1)), gpu_memory) if "gpu" in options or gpu_memory else None
        resources = Resources(float(options.get("cpu", 1)), memory, custom, gpu)
    if "retry" in options:
        retry = Retry(int(options["retry"]), int(options.get("backoff", 1_000)))
    return Policy(
        resources=resources,
        retry=retry,
        timeout_ms=int(options["timeout"]) if "timeout" in options else None,
        priority=int(options["priority"]) if "priority" in options else None,
        cache=False if options.get("cache") == "no" else None,
        expires_ms=int(options["expires"]) if "expires" in options else None,
    )
