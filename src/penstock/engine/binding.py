"""Values become data: what a binding stands for in a scope, once the nodes that it refers to have ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.base.errors import ExpressionError
from penstock.engine.memory import Scope
from penstock.engine.states import TaskState
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
    leaves,
)
from penstock.graph.expression.evaluate import evaluate, text_of
from penstock.plan.model import Bound
from penstock.wire import Artifact, Counted, Datum, Inline, Struct


class _Absent:
    """No value: its producer was skipped, failed, or took another case."""


ABSENT: Final = _Absent()


class _NoValue(Exception):
    """A leaf inside text or an expression has no value."""


@dataclass(slots=True)
class Frame:
    """Where a Value is evaluated: a scope and, inside a map or loop, the item or round; `body` holds the outputs of the
    round that has just ended; `watched` are the nodes that `StateOf("")` speaks of."""

    scope: Scope
    item: Datum | None = None
    index: int = 0
    round: int = 0
    body: Mapping[str, Datum] | None = None
    watched: tuple[str, ...] = ()


def value_of(value: Value, frame: Frame) -> Datum | _Absent:
    """The datum of a Value, or ABSENT. Raises ExpressionError."""
    kind = type(value)
    if kind is Constant:
        return Inline(value.value)  # type: ignore[union-attr]
    if kind is Output:
        return _output(value, frame)  # type: ignore[arg-type]
    if kind is Input:
        return frame.scope.inputs.get(value.name, ABSENT)  # type: ignore[union-attr]
    return _rarer(value, frame)


def _rarer(value: Value, frame: Frame) -> Datum | _Absent:
    match value:
        case Item():
            return frame.item if frame.item is not None else ABSENT
        case Index():
            return Inline(frame.index)
        case Round():
            return Inline(frame.round)
        case StateOf(node):
            return Inline(_state_of(node, frame))
        case OneOf(sources):
            found = (value_of(source, frame) for source in sources)
            return next((datum for datum in found if datum is not ABSENT), ABSENT)
        case Text(parts):
            return _absent_or(lambda: Inline("".join(p if isinstance(p, str) else _text(p, frame) for p in parts)))
        case Expression(tree):
            return _absent_or(lambda: datum_of(evaluate(tree, lambda leaf: _plain_value(leaf, frame))))
        case _:
            raise AssertionError(f"not a value: {value!r}")


def _output(value: Output, frame: Frame) -> Datum | _Absent:
    if not value.node:
        return (frame.body or {}).get(value.name, ABSENT)
    run = frame.scope.runs[frame.scope.plan.index_by_name[value.node]]
    return run.outputs.get(value.name, ABSENT) if run is not None else ABSENT


def _state_of(node: str, frame: Frame) -> str:
    scope = frame.scope
    names = (node,) if node else frame.watched
    states = []
    for name in names:
        run = scope.runs[scope.plan.index_by_name[name]]
        assert run is not None and run.is_terminal, f"state of {scope.path}{name} asked before its end"
        states.append(run.state)
    if node:
        return states[0].value
    for state in (TaskState.FAILED, TaskState.CANCELLED):
        if state in states:
            return state.value
    return TaskState.SUCCEEDED.value


def _absent_or(compute: Any) -> Datum | _Absent:
    try:
        datum: Datum = compute()
    except _NoValue:
        return ABSENT
    return datum


def _plain_value(value: Value, frame: Frame) -> Any:
    datum = value_of(value, frame)
    if isinstance(datum, _Absent):
        raise _NoValue
    return plain(datum)


def _text(value: Value, frame: Frame) -> str:
    data = _plain_value(value, frame)
    if isinstance(data, Artifact):
        raise ExpressionError(f"an artifact ({data.type}) cannot stand in text")
    return text_of(data)


def plain(datum: Datum) -> Any:
    """Plain data for expressions. An artifact stays what it is: it can be put into a list or struct and picked from one, not
    read."""
    if isinstance(datum, Inline):
        return datum.value
    if isinstance(datum, Struct):
        return {name: plain(field) for name, field in datum.fields.items()}
    return [plain(item) for item in datum.items] if isinstance(datum, Counted) else datum


def datum_of(data: Any) -> Datum:
    """The datum of an expression's result: a list or struct with artifacts in it is counted (semantics 4)."""
    if isinstance(data, Artifact):
        return data
    if _holds_artifact(data):
        if isinstance(data, list):
            return Counted(tuple([datum_of(item) for item in data]))
        if not all(isinstance(name, str) for name in data):
            raise ExpressionError("a map with artifacts in it has text as keys")
        return Struct({name: datum_of(field) for name, field in data.items()})
    return Inline(data)


def _holds_artifact(data: Any) -> bool:
    if isinstance(data, list):
        return any(_holds_artifact(item) for item in data)
    if isinstance(data, dict):
        return any(_holds_artifact(item) for item in data.values())
    return isinstance(data, Artifact)


@dataclass(frozen=True, slots=True)
class Unbound:
    """An input has neither a value nor a default; `by` names the node that gave none, where one is to blame."""

    input: str
    by: str


def bind(inputs: Iterable[Bound], frame: Frame) -> dict[str, Datum] | Unbound:
    """The data of every input by name (semantics 6). Raises ExpressionError."""
    data: dict[str, Datum] = {}
    for bound in inputs:
        datum = value_of(bound.value, frame) if bound.value is not None else ABSENT
        if isinstance(datum, _Absent):
            if bound.default is None:
                return Unbound(bound.name, blamed(bound.value))
            datum = bound.default
        data[bound.name] = datum
    return data


def blamed(value: Value | None) -> str:
    """The first node that a Value refers to."""
    if value is None:
        return ""
    return next((leaf.node for leaf in leaves(value) if isinstance(leaf, (Output, StateOf))), "")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A condition has no value because what it refers to has none."""

    by: str


def condition(value: Value, frame: Frame) -> bool | Unknown:
    """Whether a condition holds. Raises ExpressionError, also for an answer that is not a bool: an error is never
    "false"."""
    datum = value_of(value, frame)
    if isinstance(datum, _Absent):
        return Unknown(blamed(value))
    if not isinstance(datum, Inline) or not isinstance(datum.value, bool):
        shown = repr(datum.value) if isinstance(datum, Inline) else "an artifact, a list or a struct"
        raise ExpressionError(f"a condition must be true or false, not {shown}")
    return datum.value
