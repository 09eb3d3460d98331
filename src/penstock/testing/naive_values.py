"""What Values stand for, in the plainest way: the part of the naive evaluator that knows no nodes. See `testing.naive`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.base.errors import ExpressionError
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
from penstock.graph.expression.evaluate import evaluate as evaluate_tree
from penstock.graph.expression.evaluate import text_of
from penstock.graph.model import InputSpec
from penstock.wire import ITEMS_MAX, Artifact, Counted, Datum, Inline, Struct


@dataclass(frozen=True, slots=True)
class Ended:
    """How a node, or a graph, ended."""

    state: str
    cause: str = ""
    outputs: Mapping[str, Datum] = field(default_factory=dict)


class Absent(Exception):
    """A value that there is none of."""


class Stop(Exception):
    """A node ends here and now."""

    def __init__(self, state: str, cause: str) -> None:
        self.ended = Ended(state, cause)


@dataclass(frozen=True, slots=True)
class Scope:
    """What Values refer to: inputs of the graph, its nodes that have ended, and what only one node's own Values see."""

    inputs: Mapping[str, Datum]
    ended: Mapping[str, Ended]
    watched: tuple[str, ...] = ()
    own: Mapping[str, Datum] = field(default_factory=dict)
    item: Datum | None = None
    index: int = 0
    round: int = 0


# -- values ------------------------------------------------------------------------------------------------------------


def value_of(value: Value, scope: Scope) -> Datum:
    """Raises Absent, and ExpressionError."""
    match value:
        case Constant(data):
            return Inline(data)
        case Input(name):
            return scope.inputs[name]
        case Output(node, name):
            offered = scope.ended[node].outputs if node else scope.own
            if name not in offered:
                raise Absent
            return offered[name]
        case OneOf(sources):
            for source in sources:
                try:
                    return value_of(source, scope)
                except Absent:
                    continue
            raise Absent
        case Text(parts):
            texts = [part if isinstance(part, str) else text_of(plain(value_of(part, scope))) for part in parts]
            return Inline("".join(texts))
        case Expression(tree):
            return _datum(evaluate_tree(tree, lambda leaf: plain(value_of(leaf, scope))))
        case Item():
            assert scope.item is not None
            return scope.item
        case Index():
            return Inline(scope.index)
        case Round():
            return Inline(scope.round)
        case StateOf(node):
            return Inline(scope.ended[node].state if node else together([scope.ended[n] for n in scope.watched]))


def plain(datum: Datum) -> Any:
    """A value as expressions see it. An artifact stands for itself: it can be counted, picked and passed on (S12)."""
    if isinstance(datum, Inline):
        return datum.value
    if isinstance(datum, Struct):
        return {name: plain(field) for name, field in datum.fields.items()}
    return [plain(item) for item in datum.items] if isinstance(datum, Counted) else datum


def _datum(data: Any) -> Datum:
    """What an expression gave: an artifact that it picked, or a list or struct with some in it, stays what it is."""
    if isinstance(data, Artifact):
        return data
    if isinstance(data, list):
        items = [_datum(item) for item in data]
        return Inline(data) if all(isinstance(item, Inline) for item in items) else Counted(tuple(items))
    if isinstance(data, dict):
        fields = {name: _datum(field) for name, field in data.items()}
        return Inline(data) if all(isinstance(field, Inline) for field in fields.values()) else Struct(fields)
    return Inline(data)


def parameter(value: Value, scope: Scope) -> Any:
    datum = value_of(value, scope)
    if isinstance(datum, Artifact):
        raise ExpressionError("an artifact is no parameter")
    return plain(datum)


def together(ended: Iterable[Ended]) -> str:
    states = {each.state for each in ended}
    return next((state for state in ("failed", "cancelled") if state in states), "succeeded")


# -- what nodes are bound to -----------------------------------------------------------------------------------------------


def bind(specs: tuple[InputSpec, ...], bound: Mapping[str, Value], scope: Scope) -> dict[str, Datum]:
    """The inputs of a component or body; raises Stop when they cannot be had (S3)."""
    data: dict[str, Datum] = {}
    for spec in specs:
        try:
            if spec.name not in bound:
                raise Absent
            data[spec.name] = value_of(bound[spec.name], scope)
        except Absent:
            if spec.default is None:
                raise Stop("skipped", "upstream_skipped") from None
            data[spec.name] = Inline(spec.default.value)
        except ExpressionError:
            raise Stop("failed", "expression_error") from None
    return data


def holds(condition: Value, scope: Scope) -> bool:
    """A condition; raises Stop when it has no answer (S3, S5, S7)."""
    try:
        answer = parameter(condition, scope)
    except Absent:
        raise Stop("skipped", "upstream_skipped") from None
    except ExpressionError:
        raise Stop("failed", "condition_error") from None
    if not isinstance(answer, bool):
        raise Stop("failed", "condition_error")
    return answer


def items_of(items: Value, scope: Scope) -> tuple[Datum, ...]:
    """The items of a map (S6, S12)."""
    try:
        datum = value_of(items, scope)
    except Absent:
        raise Stop("skipped", "upstream_skipped") from None
    except ExpressionError:
        raise Stop("failed", "expression_error") from None
    found: tuple[Datum, ...] | None = None
    if isinstance(datum, Counted):
        found = datum.items
    elif isinstance(datum, Inline) and isinstance(datum.value, list):
        found = tuple(Inline(value) for value in datum.value)
    if found is None or len(found) > ITEMS_MAX:
        raise Stop("failed", "items_invalid")
    return found
