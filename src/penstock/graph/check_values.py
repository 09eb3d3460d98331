"""Judges Values one by one: that what they refer to exists, that constants can be written down, that types fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.base.diagnostics import Location
from penstock.base.errors import ExpressionError
from penstock.base.limits import LIMITS
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
from penstock.graph.model import Graph, InputSpec
from penstock.graph.names import nearest
from penstock.graph.parameters import check_parameter, parameter_bytes, short_repr
from penstock.graph.types import ANY, DICT, INT, STR, Type
from penstock.graph.value_types import UNKNOWN, merge_types, type_of_constant, type_of_tree, type_of_value

Report = Callable[[str, str, str, Location | None], None]

_SMALL = (bool, int, float, type(None))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Value stands: the node's name, and `context` (map, loop, until or finally) where more may be referred
    to."""

    node: str
    location: Location | None
    context: str = ""
    item: Type = ANY
    round_outputs: Mapping[str, Type] | None = None


class ValueChecker:
    """Checks the Values of one graph. `referred` collects the names of the nodes that they refer to."""

    def __init__(
        self, graph: Graph, inputs: Mapping[str, Type], outputs: Mapping[str, Mapping[str, Type]], report: Report
    ) -> None:
        self.referred: list[str] = []
        self.finally_names: set[str] = set()
        self._graph = graph
        self._inputs = inputs
        self._outputs = outputs
        self._report = report

    def check_input(self, value: Value, spec: InputSpec, place: Place) -> None:
        """Check a Value that an input of this kind is bound to."""
        if isinstance(value, Constant):
            if value is not UNKNOWN:
                self._check_constant_input(value, spec, place)
            return
        what = f"input {spec.name!r}"
        given, wanted = self.type_at(value, what, place), spec.type
        if wanted is given or wanted.accepts(given):
            return
        fix = "Give a value of that type, or change the annotation of the function."
        if given.optional and wanted.accepts(_certain(given)):
            fix = f"It may be null: annotate the parameter `{wanted} | None`, or make sure of a value."
        message = f"{what} of {place.node!r} takes {wanted}, but {shown(value)} is {given}"
        self._report("wrong-type", message, fix, place.location)

    def type_at(self, value: Value, what: str, place: Place) -> Type:
        """The type of a Value; whatever is wrong with it is reported, and it is `any` then."""
        if isinstance(value, Output):
            return self._output_type(value, what, place)
        if isinstance(value, Input):
            known = self._inputs.get(value.name)
            if known is None:
                message = f"{what} of {place.node!r} refers to an input {value.name!r} that {self._graph.name!r} does not have"
                self._report("unknown-input", message, nearest(value.name, self._inputs), place.location)
            return known or ANY
        if isinstance(value, Constant):
            if value is not UNKNOWN:
                self._check_constant(value, what, place)
            return type_of_constant(value.value)
        if isinstance(value, OneOf):
            if not value.sources:
                self._report(
                    "one-of-nothing", f"{what} of {place.node!r} is one of nothing", "Name sources.", place.location
                )
            return merge_types([self.type_at(source, what, place) for source in value.sources])
        if isinstance(value, Text):
            for part in value.parts:
                if not isinstance(part, str):
                    self._check_part(part, what, place)
            return STR
        if isinstance(value, Expression):
            return self._expression_type(value, what, place)
        return self._bare_type(value, what, place)

    def _output_type(self, value: Output, what: str, place: Place) -> Type:
        outputs = self._outputs.get(value.node)
        if value.node == "" and place.context == "until":
            outputs = place.round_outputs
        elif value.node == "":
            message = f"{what} of {place.node!r} is a value of a loop's round, which only the loop's condition can use"
            self._report(
                "value-out-of-scope", message, "Use the outputs of the loop: the last round's.", place.location
            )
            return ANY
        elif outputs is None:
            message = (
                f"{what} of {place.node!r} refers to a node {value.node!r} that {self._graph.name!r} does not have"
            )
            self._report("unknown-node", message, nearest(value.node, self._outputs), place.location)
            return ANY
        else:
            self.referred.append(value.node)
            if value.node in self.finally_names:
                message = (
                    f"{what} of {place.node!r} is an output of {value.node!r}, which runs only when all else has ended"
                )
                self._report("finally-used", message, "Use outputs of other tasks.", place.location)
        type_ = (outputs or {}).get(value.name)
        if type_ is None:
            owner = repr(value.node) if value.node else "a round"
            message = f"{what} of {place.node!r} refers to an output {value.name!r} that {owner} does not have"
            self._report("unknown-output", message, nearest(value.name, outputs or {}), place.location)
        return type_ or ANY

    def _bare_type(self, value: Item | Index | Round | StateOf, what: str, place: Place) -> Type:
        allowed = True
        if isinstance(value, (Item, Index)):
            allowed = place.context == "map"
        elif isinstance(value, Round):
            allowed = place.context in ("loop", "until")
        elif value.node == "":
            allowed = place.context == "finally"
        elif value.node not in self._outputs:
            message = (
                f"{what} of {place.node!r} is the state of {value.node!r}, which is no node of {self._graph.name!r}"
            )
            self._report("unknown-node", message, nearest(value.node, self._outputs), place.location)
        else:
            self.referred.append(value.node)
            if value.node in self.finally_names:
                message = (
                    f"{what} of {place.node!r} is the state of {value.node!r}, which runs only when all else has ended"
                )
                self._report("finally-used", message, "Use the state of other tasks.", place.location)
        if not allowed:
            name = type(value).__name__
            message = f"{what} of {place.node!r} is {name}, which means nothing there"
            fix = "Item and Index belong into the inputs of a map, Round into those of a loop."
            self._report("value-out-of-scope", message, fix, place.location)
        if isinstance(value, Item):
            return place.item
        return STR if isinstance(value, StateOf) else INT

    def _expression_type(self, value: Expression, what: str, place: Place) -> Type:
        type_by_leaf: dict[int, Type] = {}
        for leaf in leaves(value):
            type_by_leaf[id(leaf)] = self.type_at(leaf, what, place)

        def type_of_leaf(leaf: Value) -> Type:
            known = type_by_leaf.get(id(leaf))
            return type_of_value(leaf, lambda _other: ANY) if known is None else known

        try:
            return type_of_tree(value.tree, type_of_leaf)
        except ExpressionError as error:
            message = f"{what} of {place.node!r}: {error.message}"
            self._report(
                "bad-expression", message, "Put together values of the same kind, or do it in a task.", place.location
            )
            return ANY

    def _check_part(self, part: Value, what: str, place: Place) -> None:
        type_ = self.type_at(part, what, place)
        if type_.name != "any" and not type_.is_parameter:
            message = f"{what} of {place.node!r} is text with {shown(part)} in it, which is {type_}, an artifact"
            self._report("artifact-in-text", message, "Make the text in a task.", place.location)

    # -- constants -----------------------------------------------------------------------------------------------------

    def _check_constant_input(self, constant: Constant, spec: InputSpec, place: Place) -> None:
        what, wanted, value = f"input {spec.name!r}", spec.type, constant.value
        if not self._check_constant(constant, what, place):
            return
        if wanted.is_given or value is None:
            complaint = check_parameter(wanted, value)
            if complaint:
                message = f"{what} of {place.node!r} {complaint}"
                self._report(
                    "wrong-type", message, "Give a value of that type, or change the annotation.", place.location
                )
        elif not (wanted.name in ("list", DICT) and value in ([], {})):
            fix = "Give the output of a task that makes one."
            if wanted.name == "path":
                fix = "Annotate the parameter str, or give the output of a task that returns a Path."
            message = (
                f"{what} of {place.node!r} takes {wanted}, which cannot be given as a constant: {short_repr(value)}"
            )
            self._report("wrong-type", message, fix, place.location)

    def _check_constant(self, constant: Constant, what: str, place: Place) -> bool:
        value = constant.value
        if isinstance(value, _SMALL):
            return True
        complaint = check_parameter(ANY, value)
        if complaint:
            fix = "Make the object in a task and give its output, or give JSON data that says how to make it."
            if hasattr(value, "__fspath__"):
                fix = "Give str(...) of it, and make it a path in the task."
            self._report("unserialisable-constant", f"{what} of {place.node!r} {complaint}", fix, place.location)
            return False
        size = parameter_bytes(value)
        if size > LIMITS.parameter_bytes_max:
            message = (
                f"{what} of {place.node!r} is a constant of {size:,} bytes; at most "
                f"{LIMITS.parameter_bytes_max:,} are allowed (parameter_bytes_max)"
            )
            self._report(
                "constant-too-large",
                message,
                "Read it from a file in a task.",
                place.location,
            )
        return True


def shown(value: Value) -> str:
    """A Value as its author knows it."""
    if isinstance(value, Output):
        return value.node if value.name == "output" else f"{value.node}.{value.name}"
    if isinstance(value, Input):
        return value.name
    return {"Item": "the item", "Index": "the index", "Round": "the round", "StateOf": "a state"}.get(
        type(value).__name__, "what is given"
    )


def _certain(type_: Type) -> Type:
    return Type(type_.name, type_.item, type_.options, False, type_.bases)
