"""What a graph means, in the plainest way: one node after another, nothing kept, nothing in parallel, no clock.

This is the executable form of `docs/semantics.md`; the engine, the simulator and the property tests are held against it. It
knows graphs and wire values, and nothing of the engine. Generations and attempts are collapsed: a task run is found
under its path without `~n`, with what its last try gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Expression, Index, Item, OneOf, Output, StateOf, Text, Value, leaves
from penstock.graph.model import (
    DEFAULT_POLICY,
    Branch,
    Call,
    Finally,
    Graph,
    Loop,
    Map,
    Node,
    Policy,
    Retry,
    Trigger,
    Work,
)
from penstock.testing.naive_values import Absent, Ended, Scope, Stop, bind, holds, items_of, together, value_of
from penstock.wire import (
    KIND_BY_OUTCOME,
    Counted,
    Datum,
    Failed,
    Inline,
    Lost,
    NotYet,
    Outcome,
    OutOfMemory,
    Refused,
    Skipped,
    Succeeded,
    TimedOut,
)

Answer = Callable[[Work, Mapping[str, Datum], str], Outcome]
"""What a function or command answers to its inputs; the third is the task run's path. Asked again while retries remain."""


@dataclass(frozen=True, slots=True)
class Result:
    """The run's state and outputs, and every task run that was made, by path. A node whose graph was never begun has
    none of its body's."""

    state: str
    outputs: Mapping[str, Datum]
    task_runs: Mapping[str, Ended]


def evaluate(graph: Graph, inputs: Mapping[str, Datum], call: Answer) -> Result:
    """Run `graph` to its end. `inputs` are by name; those left out take their default."""
    evaluator = _Evaluator(call, {})
    given = {spec.name: Inline(spec.default.value) for spec in graph.inputs if spec.default} | dict(inputs)
    ended = evaluator.graph(graph, given, "")
    return Result(ended.state, ended.outputs, evaluator.task_runs)


# -- order -------------------------------------------------------------------------------------------------------------


def values_in(node: Node) -> Iterator[Value]:
    """Every Value that a node is bound to, in written order."""
    match node:
        case Map():
            yield node.items
            yield from node.inputs.values()
        case Branch():
            for case in node.cases:
                if case.when is not None:
                    yield case.when
                yield from case.inputs.values()
        case Loop():
            yield from node.inputs.values()
            if node.until is not None:
                yield node.until
        case Call() | Finally():
            yield from node.inputs.values()
    if not isinstance(node, Finally) and node.order.when is not None:
        yield node.order.when
    yield from _values_in_policy(node.policy)
    if isinstance(node, (Call, Finally)) and not isinstance(node.component, Graph):
        yield from _values_in_policy(node.component.policy)


def _values_in_policy(policy: Policy) -> Iterator[Value]:
    asked: list[Any] = [policy.timeout_ms]
    if policy.resources is not None:
        asked += policy.resources.said().values()
    yield from (each for each in asked if each is not None and not isinstance(each, (int, float)))


def _before(node: Node) -> set[str]:
    """Names of the nodes that must have ended before this one is looked at."""
    named = {leaf.node for value in values_in(node) for leaf in leaves(value) if isinstance(leaf, (Output, StateOf))}
    named.update(node.watch if isinstance(node, Finally) else node.order.after)
    return named - {""}


def in_order(graph: Graph) -> list[Node]:
    """The nodes, each after those that it waits for; else as written."""
    waiting, done, ordered = list(graph.nodes), set[str](), list[Node]()
    while waiting:
        node = next(node for node in waiting if _before(node) <= done)
        waiting.remove(node)
        done.add(node.name)
        ordered.append(node)
    return ordered


def _referred(value: Value) -> Iterator[Value]:
    """The upstreams in one Value: Outputs, and each OneOf as one (S1)."""
    match value:
        case Output() | OneOf():
            yield value
        case Text(parts):
            for part in parts:
                if not isinstance(part, str):
                    yield from _referred(part)
        case Expression(tree):
            for leaf in tree.references():
                yield from _referred(leaf)
        case _:
            pass


def tally(node: Call | Map | Branch | Loop, scope: Scope) -> list[str]:
    """How each upstream of a node ended; cancelled counts as failed (S1)."""
    states: dict[str | OneOf, str] = {}
    for value in values_in(node):
        for upstream in _referred(value):
            if isinstance(upstream, OneOf):
                states[f"{upstream!r}"] = _state_of_one_of(upstream, scope)
            elif isinstance(upstream, Output) and upstream.node:
                states[upstream.node] = scope.ended[upstream.node].state
    for name in node.order.after:
        states[name] = scope.ended[name].state
    return ["failed" if state == "cancelled" else state for state in states.values()]


def _state_of_one_of(value: OneOf, scope: Scope) -> str:
    try:
        value_of(value, scope)
        return "succeeded"
    except Absent:
        nodes = [leaf.node for leaf in leaves(value) if isinstance(leaf, Output)]
        return "failed" if {scope.ended[node].state for node in nodes} & {"failed", "cancelled"} else "skipped"
    except ExpressionError:
        return "succeeded"  # there is a value, and it is wrong: the node says so when it is bound


def pull(trigger: Trigger, states: list[str]) -> str:
    """The cause to skip for, or "" to run (S2). A node without upstreams runs under every trigger."""
    failed, skipped, succeeded = (kind in states for kind in ("failed", "skipped", "succeeded"))
    upstream = "upstream_failed" if failed else "upstream_skipped"
    if not states:
        return ""
    match trigger:
        case Trigger.ALL_SUCCEEDED:
            return upstream if failed or skipped else ""
        case Trigger.ALL_ENDED:
            return ""
        case Trigger.NONE_FAILED:
            return upstream if failed else ""
        case Trigger.ONE_SUCCEEDED:
            return "" if succeeded else upstream
        case Trigger.ONE_FAILED:
            return "" if failed else "upstream_skipped"
        case Trigger.NONE_FAILED_ONE_SUCCEEDED:
            return "" if succeeded and not failed else upstream


# -- nodes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Evaluator:
    call: Answer
    task_runs: dict[str, Ended]

    def graph(self, graph: Graph, inputs: Mapping[str, Datum], prefix: str) -> Ended:
        """A graph's end (S8)."""
        ended: dict[str, Ended] = {}
        scope = Scope(inputs, ended)
        for node in in_order(graph):
            stopped = graph.fail_fast and any(each.state == "failed" for each in ended.values())
            if stopped and not isinstance(node, Finally):
                ended[node.name] = Ended("cancelled", "fail_fast")
            else:
                ended[node.name] = self._node(node, scope, prefix + node.name)
            self.task_runs[prefix + node.name] = ended[node.name]
        state, outputs = together(list(ended.values())), {}
        for output in graph.outputs:
            try:
                outputs[output.name] = value_of(output.value, scope)
            except Absent:
                continue
            except ExpressionError:
                return Ended("failed", "expression_error") if state == "succeeded" else Ended(state, f"body_{state}")
        return Ended(state, "" if state == "succeeded" else f"body_{state}", outputs)

    def _node(self, node: Node, scope: Scope, path: str) -> Ended:
        try:
            if isinstance(node, Finally):
                scope = replace(scope, watched=node.watch)
            else:
                cause = pull(node.order.trigger, tally(node, scope))
                if cause:
                    raise Stop("skipped", cause)
                if node.order.when is not None and not holds(node.order.when, scope):
                    raise Stop("skipped", "condition")
            if isinstance(node, (Call, Finally)) and not isinstance(node.component, Graph):
                return self._work(node.component, node, scope, path)
            return self._again(node, scope, path)
        except Stop as stop:
            return stop.ended

    def _work(self, work: Work, node: Call | Finally, scope: Scope, path: str) -> Ended:
        inputs = bind(work.inputs, node.inputs, scope)
        retry = node.policy.retry or work.policy.retry or Retry()
        failed = oom = lost = 0
        while True:
            outcome = self.call(work, inputs, path)
            match outcome:
                case Succeeded(outputs):
                    return Ended("succeeded", "", outputs)
                case Skipped():
                    return Ended("skipped", "asked")
                case NotYet() | Refused():
                    continue
                case Failed() | TimedOut():
                    failed += 1
                    again = failed < retry.attempts_max and may_retry(retry, outcome)
                case OutOfMemory():
                    oom += 1
                    again = oom <= retry.oom_max
                case Lost():
                    lost += 1
                    again = lost <= retry.lost_max
                case _:
                    again = False
            if not again:
                return Ended("failed", KIND_BY_OUTCOME[type(outcome)])

    def _again(self, node: Node, scope: Scope, path: str) -> Ended:
        """A node with a graph, begun again while it fails and may (S10)."""
        attempts_max = (node.policy.retry or DEFAULT_POLICY.retry or Retry()).attempts_max
        for last in range(attempts_max):
            for inner in [inner for inner in self.task_runs if inner.startswith(path + "/")]:
                del self.task_runs[inner]
            ended = self._holder(node, scope, path)
            if ended.state != "failed" or last == attempts_max - 1:
                break
        return ended

    def _holder(self, node: Node, scope: Scope, path: str) -> Ended:
        try:
            match node:
                case Map():
                    return self._map(node, scope, path)
                case Branch():
                    return self._branch(node, scope, path)
                case Loop():
                    return self._loop(node, scope, path)
                case Call() | Finally():
                    assert isinstance(node.component, Graph)
                    inputs = bind(node.component.inputs, node.inputs, scope)
                    return _held(self.graph(node.component, inputs, f"{path}/"))
        except Stop as stop:
            return stop.ended

    def _map(self, node: Map, scope: Scope, path: str) -> Ended:
        items = items_of(node.items, scope)
        per_item = {
            name for name, value in node.inputs.items() if any(isinstance(v, (Item, Index)) for v in leaves(value))
        }
        shared = bind(tuple(spec for spec in node.body.inputs if spec.name not in per_item), node.inputs, scope)
        own = tuple(spec for spec in node.body.inputs if spec.name in per_item)
        whole: dict[int, Mapping[str, Datum]] = {}
        failures = 0
        for index, item in enumerate(items):
            try:
                inputs = shared | bind(own, node.inputs, replace(scope, item=item, index=index))
            except Stop:  # what only this item lacks fails this item
                failures += 1
                continue
            body = self.graph(node.body, inputs, f"{path}/{index}/")
            if body.state != "succeeded":
                failures += 1
            elif all(output.name in body.outputs for output in node.body.outputs):
                whole[index] = body.outputs
        if failures > node.failures_max:
            return Ended("failed", "body_failed")
        collected: dict[str, Datum] = {
            output.name: Counted(tuple(outputs[output.name] for outputs in whole.values()))
            for output in node.body.outputs
        }
        return Ended("succeeded", "", collected | {"indexes": Counted(tuple(Inline(index) for index in whole))})

    def _branch(self, node: Branch, scope: Scope, path: str) -> Ended:
        for number, case in enumerate(node.cases):
            if case.when is None or holds(case.when, scope):
                inputs = bind(case.body.inputs, case.inputs, scope)
                return _held(self.graph(case.body, inputs, f"{path}/{number}/"))
        return Ended("succeeded")

    def _loop(self, node: Loop, scope: Scope, path: str) -> Ended:
        carried: dict[str, Datum] = {}
        for number in range(1, node.rounds_max + 1):
            seen = replace(scope, round=number)
            inputs = bind(node.body.inputs, node.inputs, seen) | carried
            body = self.graph(node.body, inputs, f"{path}/{number}/")
            if body.state != "succeeded":
                return _held(body)
            met = node.until is not None and holds(node.until, replace(seen, own=body.outputs))
            if met or number == node.rounds_max:
                break
            if not set(node.carry) <= set(body.outputs):
                raise Stop("skipped", "upstream_skipped")
            carried = {into: body.outputs[name] for name, into in node.carry.items()}
        if not met and node.exhausted == "fail":
            return Ended("failed", "rounds_exhausted")
        return Ended("succeeded", "", {**body.outputs, "met": Inline(met), "rounds": Inline(number)})


def _held(body: Ended) -> Ended:
    """The end of a node by the end of the graph that it holds."""
    return body if body.state == "succeeded" else Ended(body.state, body.cause)


def may_retry(retry: Retry, outcome: Failed | TimedOut) -> bool:
    if isinstance(outcome, TimedOut):
        return True
    if outcome.final:
        return False
    names = {outcome.failure.type, outcome.failure.type.rpartition(":")[2], *outcome.failure.bases}
    return not retry.retry_on or bool(names & set(retry.retry_on))
