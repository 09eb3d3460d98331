"""What a call gives inside a pipeline: a handle on values that will be known in a run.

Operators on handles build CEL expressions. Asking a handle for what only a run can know (its truth, its length, its
items) is recorded as a diagnostic, and building goes on."""

from __future__ import annotations

import opcode
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from penstock.authoring.dsl.building import current_building
from penstock.authoring.dsl.combining import MARK, building_needed, combined, report_mistake, text_with_tokens
from penstock.authoring.dsl.sources import is_source, kind_of
from penstock.graph.bindings import Constant
from penstock.graph.builder import UNKNOWN_SCOPED, NodeRef, Scoped
from penstock.graph.expression.tree import ListTree, Literal, MapTree, Operation, Select, Tree
from penstock.graph.names import nearest
from penstock.graph.parameters import check_parameter, given_parameter, plain_parameter
from penstock.graph.sources import source_of
from penstock.graph.types import DICT, SOURCE, Type
from penstock.graph.value_types import type_of_constant

_UNPACK = opcode.opmap["UNPACK_SEQUENCE"]
_EXTRAS = frozenset({"indexes", "met", "rounds"})  # outputs that a map or loop adds to those of its component


class Handle:
    """Values to come: the outputs of a node (by attribute; a single one is the handle itself), a pipeline's parameter,
    or what operators made of them.

    `== != < <= > >=`, `+ - * / %`, `& | ~` (and, or, not), `[index]` and `.field` build expressions; so do `contains`,
    `is_in`, `size`, `starts_with`, `ends_with`, `matches`, `to_int`, `to_float` and `to_text`. `.state` is how the node
    ended, as text. In an f-string a handle stands for its value in a run. An output or field whose name is taken here
    is reached by `handle["name"]`.
    """

    __slots__ = ("_ref", "_scoped")
    __array_ufunc__ = None  # NumPy numbers leave operators to us

    def __init__(self, ref: NodeRef | None, scoped: Scoped | None = None) -> None:
        self._ref = ref
        self._scoped = scoped

    # -- parts ---------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        ref = self._ref if name not in Handle.__slots__ else None
        if ref is not None and name in ref.outputs:
            return Handle(ref, ref.output(name))
        if name.startswith("_"):  # what libraries ask of any object, never a field
            raise AttributeError(name)
        if self._scoped is None and ref is not None and len(primary_outputs(ref)) != 1:
            report_mistake("unknown-output", f"{ref.name!r} has no output {name!r}", nearest(name, ref.outputs))
            return UNKNOWN_HANDLE
        return _select(self, name)

    def __getitem__(self, key: Any) -> Handle:
        ref = self._ref
        if self._scoped is None and ref is not None and isinstance(key, str) and len(primary_outputs(ref)) != 1:
            return Handle(ref, ref.output(key)) if key in ref.outputs else self.__getattr__(key)
        if isinstance(key, slice):
            return _unsupported("a slice")
        return operate("_[_]", self, key)

    @property
    def state(self) -> Handle:
        """How the node ended: succeeded, failed, skipped or cancelled."""
        if self._ref is None:
            report_mistake(
                "no-state", "only a task run has a state, not a parameter or expression", "Use a task's .state."
            )
            return UNKNOWN_HANDLE
        return Handle(None, self._ref.state())

    def __iter__(self) -> Iterator[Any]:
        unpacked = _unpacked_count(sys._getframe(1))
        ref, outputs = self._ref, self._several()
        if ref is not None and outputs and unpacked in (None, len(outputs)):
            return iter([Handle(ref, ref.output(name)) for name in outputs])
        if self._is_unknown():
            return iter([UNKNOWN_HANDLE] * (unpacked or 1))
        count = self._tuple_length()
        if count is not None and unpacked in (None, count):
            return iter([self[index] for index in range(count)])
        if outputs:
            message = f"{self!r} has {len(outputs)} outputs, not {unpacked}"
            report_mistake(
                "cannot-unpack", message, f"Unpack it into {', '.join(outputs)}, or name one: x.{outputs[0]}."
            )
        elif count is not None:
            fix = f"Unpack it into {count} names; _ is a name for what is not needed."
            report_mistake(
                "cannot-unpack", f"{self!r} is a tuple of {count}, which cannot be unpacked into {unpacked}", fix
            )
        elif unpacked is not None:
            message = f"{self!r} is one value, which cannot be unpacked into {unpacked}"
            fix = "Give it one name; items of a list are reached by index: x[0]."
            if value_of(self).type.name in ("list", "any"):
                fix = "Annotate how many there are: -> tuple[A, B]; items of a list are reached by index: x[0]."
            report_mistake("cannot-unpack", message, fix)
        else:
            report_mistake(
                "not-known-yet",
                f"the items of {self!r} are not known while the pipeline is built",
                "Use map_over(component, items) to do something for each of them.",
            )
        return iter([UNKNOWN_HANDLE] * (unpacked or 1))

    def _several(self) -> tuple[str, ...]:
        """The names of the outputs, if it stands for more than one."""
        outputs = primary_outputs(self._ref) if self._ref is not None and self._scoped is None else ()
        return outputs if len(outputs) > 1 else ()

    def _tuple_length(self) -> int | None:
        """How many items it has, if it is known to be a tuple."""
        ref = self._ref
        if self._scoped is None and (ref is None or len(primary_outputs(ref)) != 1):
            return None
        type_ = value_of(self).type
        return len(type_.parts) if type_.name == "list" and type_.parts and not type_.optional else None

    def _is_unknown(self) -> bool:
        """Whether a mistake that has been told left no value."""
        return self._scoped is UNKNOWN_SCOPED

    # -- what only a run knows -------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        building = building_needed()
        location = building.where()
        first = building.is_first_answer(location)
        if first and not self._is_unknown():
            building.report(
                "not-known-yet",
                f"the truth of {self!r} is not known while the pipeline is built",
                "Instead of `if` use `with when(...):`; for and, or, not use & | ~; "
                "for a < b < c use (a < b) & (b < c); for `in` use .contains(...) or .is_in(...).",
                location,
            )
        return not first

    def __len__(self) -> int:
        outputs = self._several()
        if outputs or self._is_unknown():
            return len(outputs)
        count = self._tuple_length()
        if count is not None:
            return count
        report_mistake(
            "not-known-yet", f"the length of {self!r} is not known while the pipeline is built", "Use .size()."
        )
        return 1

    def __index__(self) -> int:
        return int(_number_asked(self))

    def __int__(self) -> int:
        return int(_number_asked(self))

    def __float__(self) -> float:
        return _number_asked(self)

    def __round__(self, digits: int = 0) -> Handle:
        return _unsupported("round()")

    def __abs__(self) -> Handle:
        return _unsupported("abs()")

    # -- text ----------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if self._scoped is not None:
            value, type_ = self._scoped.value, self._scoped.type
            names = [getattr(value, part) for part in ("node", "name") if hasattr(value, part)]
            return f"<{'.'.join(names) or 'expression'}: {type_}>"
        return f"<{self._ref.name if self._ref else 'value'}>"

    def __str__(self) -> str:
        building = current_building()
        if building is None:
            return repr(self)
        building.tokens.append(value_of(self))
        return f"{MARK}{{{repr(self)[1:-1].split(':')[0]}#{len(building.tokens) - 1}}}{MARK}"

    def __format__(self, format_spec: str) -> str:
        if format_spec:
            report_mistake(
                "format-not-supported",
                f"{self!r} cannot be formatted as {format_spec!r}: its value is not known while the pipeline is built",
                "Leave the format out, or make the text in a task.",
            )
        return str(self)

    # -- operators -----------------------------------------------------------------------------------------------------

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Handle:  # type: ignore[override]
        return operate("_==_", self, other)

    def __ne__(self, other: object) -> Handle:  # type: ignore[override]
        return operate("_!=_", self, other)

    def __lt__(self, other: Any) -> Handle:
        return operate("_<_", self, other)

    def __le__(self, other: Any) -> Handle:
        return operate("_<=_", self, other)

    def __gt__(self, other: Any) -> Handle:
        return operate("_>_", self, other)

    def __ge__(self, other: Any) -> Handle:
        return operate("_>=_", self, other)

    def __and__(self, other: Any) -> Handle:
        return operate("_&&_", self, other)

    def __rand__(self, other: Any) -> Handle:
        return operate("_&&_", other, self)

    def __or__(self, other: Any) -> Handle:
        return operate("_||_", self, other)

    def __ror__(self, other: Any) -> Handle:
        return operate("_||_", other, self)

    def __invert__(self) -> Handle:
        return operate("!_", self)

    def __neg__(self) -> Handle:
        return operate("-_", self)

    def __add__(self, other: Any) -> Handle:
        return _calculate("_+_", self, other)

    def __radd__(self, other: Any) -> Handle:
        return _calculate("_+_", other, self)

    def __sub__(self, other: Any) -> Handle:
        return _calculate("_-_", self, other)

    def __rsub__(self, other: Any) -> Handle:
        return _calculate("_-_", other, self)

    def __mul__(self, other: Any) -> Handle:
        return _calculate("_*_", self, other)

    def __rmul__(self, other: Any) -> Handle:
        return _calculate("_*_", other, self)

    def __truediv__(self, other: Any) -> Handle:
        return _calculate("_/_", self, other)

    def __rtruediv__(self, other: Any) -> Handle:
        return _calculate("_/_", other, self)

    def __mod__(self, other: Any) -> Handle:
        return operate("_%_", self, other)

    def __rmod__(self, other: Any) -> Handle:
        return operate("_%_", other, self)

    def __floordiv__(self, other: Any) -> Handle:
        return _unsupported("//")

    def __pow__(self, other: Any) -> Handle:
        return _unsupported("**")

    __rfloordiv__, __rpow__ = __floordiv__, __pow__

    def __contains__(self, item: Any) -> bool:
        return bool(self.contains(item))

    # -- functions -----------------------------------------------------------------------------------------------------

    def contains(self, item: Any) -> Handle:
        """Whether a list has this item, a struct this key, or text this part."""
        if value_of(self).type.name in ("str", "enum"):
            return operate("contains", self, item, method=True)
        return operate("_in_", item, self)

    def is_in(self, options: Any) -> Handle:
        """Whether the value is one of a list."""
        return operate("_in_", self, options)

    def size(self) -> Handle:
        """The number of items of a list or struct, or of characters of text."""
        return operate("size", self)

    def starts_with(self, text: Any) -> Handle:
        return operate("startsWith", self, text, method=True)

    def ends_with(self, text: Any) -> Handle:
        return operate("endsWith", self, text, method=True)

    def matches(self, pattern: Any) -> Handle:
        """Whether a regular expression is found anywhere in the text."""
        return operate("matches", self, pattern, method=True)

    def to_int(self) -> Handle:
        """The value as a whole number, fractions cut off."""
        return operate("int", self)

    def to_float(self) -> Handle:
        return operate("double", self)

    def to_text(self) -> Handle:
        return operate("string", self)


UNKNOWN_HANDLE = Handle(None, UNKNOWN_SCOPED)


def primary_outputs(ref: NodeRef) -> tuple[str, ...]:
    """The outputs that a node has from its component."""
    names = tuple(ref.outputs)
    if "indexes" in names or ("met" in names and "rounds" in names):
        return tuple(name for name in names if name not in _EXTRAS)
    return names


def ref_of(handle: Handle) -> NodeRef | None:
    """The node that a handle is of; None for parameters and expressions."""
    return handle._ref


def value_of(handle: Handle) -> Scoped:
    """The one value that a handle stands for; a node with none or several is recorded."""
    if handle._scoped is not None:
        return handle._scoped
    ref = handle._ref
    if ref is None:
        return UNKNOWN_SCOPED
    names = primary_outputs(ref)
    if len(names) == 1:
        return ref.output(names[0])
    if names:
        name = ref.name or "last"  # the round of a loop that has just ended has no name of its own
        fix = f"Name one: {' or '.join(f'{name}.{output}' for output in names[:5])}."
        what = repr(ref.name) if ref.name else "the round of a loop"
        report_mistake("ambiguous-output", f"{what} has several outputs, where one value is asked for", fix)
    else:
        fix = "Annotate what it returns, or use after= if only the order matters."
        report_mistake("no-output", f"{ref.name!r} gives no output, where a value is asked for", fix)
    return UNKNOWN_SCOPED


def as_scoped(value: Any, wanted: Type | None = None) -> Scoped:
    """Any Python value as a Value of the graph: handles as what they stand for, lists and dicts with handles in them as
    expressions, text with handles in it as Text, anything else as a constant. A source is resolved, unless a source is
    what is `wanted`."""
    if isinstance(value, Handle):
        whole = _whole(value, wanted) if wanted is not None else None
        return whole or _settled(value_of(value), wanted)
    if is_source(value):
        constant = Scoped(None, Constant(plain_parameter(value)), source_of(kind_of(value)))
        return _settled(constant, wanted)
    if wanted is not None and (wanted.item or wanted).name == SOURCE and not _holds_handles(value, sources=False):
        return Scoped(None, Constant(given_parameter(wanted, value)), wanted)
    if wanted is not None and wanted.is_configured:
        value = given_parameter(wanted, value)
    if _holds_handles(value):
        return text_with_tokens(value) if isinstance(value, str) else _collection(value, wanted)
    plain = plain_parameter(value)
    fits = wanted is not None and wanted.is_configured and check_parameter(wanted, plain) is None
    return Scoped(None, Constant(plain), wanted if wanted is not None and fits else type_of_constant(plain))


def _whole(handle: Handle, wanted: Type) -> Scoped | None:
    """The outputs of a node together, where an object with such fields is wanted, or a dict; of a map, a list of those."""
    ref = ref_of(handle) if handle._scoped is None else None
    if ref is None:
        return None
    item = wanted.item if wanted.name == "list" and "indexes" in ref.outputs else wanted
    if item is None or (item is wanted and "indexes" in ref.outputs):
        return None
    outputs = primary_outputs(ref)
    is_dict = item.name in ("struct", DICT) and len(outputs) > 1
    fields = outputs if is_dict else tuple(name for name, _ in item.parts if ":" in item.name)
    one = len(outputs) == 1 and wanted.accepts(ref.outputs[outputs[0]])
    if one or not fields or not set(fields) <= set(outputs):
        return None

    def make(trees: tuple[Tree, ...]) -> Tree:
        together = MapTree(tuple(zip(map(Literal, fields), trees, strict=True)))
        return together if item is wanted else Operation("zip", (together,))

    return combined([ref.output(name) for name in fields], make)


def _combine(operands: Sequence[Scoped], make: Callable[[tuple[Tree, ...]], Tree]) -> Handle:
    scoped = combined(operands, make)
    return UNKNOWN_HANDLE if scoped is UNKNOWN_SCOPED else Handle(None, scoped)


def _settled(scoped: Scoped, wanted: Type | None) -> Scoped:
    """A source as what stands behind it; anything else as it is."""
    if scoped.type.name != SOURCE or (wanted is not None and wanted.name == SOURCE):
        return scoped
    return building_needed().content_of(scoped, wanted)


def operate(operator: str, *operands: Any, method: bool = False) -> Handle:
    """The handle of a CEL operation over values and handles."""
    return _combine([as_scoped(operand) for operand in operands], lambda trees: Operation(operator, trees, method))


def _select(handle: Handle, field: str) -> Handle:
    scoped = value_of(handle)
    name = scoped.type.name
    if name not in ("struct", DICT, "json", "any") and scoped.type.fields is None:
        what = f"{handle!r} has no field {field!r}"
        fix = "Only structs (a dict, a TypedDict) have fields; read an artifact in a task that returns what is needed."
        ref = handle._ref
        if ref is not None and set(ref.outputs) != {"output"}:
            fix = f"{ref.name!r} has the output{'s' if len(ref.outputs) > 1 else ''} {', '.join(ref.outputs)}. {fix}"
        report_mistake("unknown-output", what, fix)
        return UNKNOWN_HANDLE
    return _combine([scoped], lambda trees: Select(trees[0], field))


def _calculate(operator: str, left: Any, right: Any) -> Handle:
    """Arithmetic as Python means it. CEL has no `1.5 + 1` and cuts `1 / 2` to 0, so numbers become floats where one of them is
    a float, or may be one."""
    operands = [as_scoped(left), as_scoped(right)]
    names = {operand.type.name for operand in operands}
    open_ = not names.isdisjoint(("any", "json"))
    as_floats = not names.isdisjoint(("int", "float")) and names <= {"int", "float", "any", "json"}
    if as_floats and (operator == "_/_" or open_ or "float" in names):
        from penstock.graph.expression.check import as_double

        return _combine(operands, lambda trees: Operation(operator, tuple([as_double(tree) for tree in trees])))
    return _combine(operands, lambda trees: Operation(operator, trees))


def _holds_handles(value: Any, *, sources: bool = True) -> bool:
    """Whether there are handles in a value, or (`sources`) what becomes one."""

    def is_one(item: Any) -> bool:
        return isinstance(item, Handle) or (sources and is_source(item)) or _holds_handles(item, sources=sources)

    if isinstance(value, str):
        return MARK in value
    if isinstance(value, (list, tuple)):
        return any(is_one(item) for item in value)
    if isinstance(value, dict):
        return any(is_one(item) for pair in value.items() for item in pair)
    return False


def _collection(value: Any, wanted: Type | None) -> Scoped:
    """A list or dict with handles in it."""
    if isinstance(value, dict):
        known = wanted.known_parts if wanted is not None else {}
        item = wanted.item if wanted is not None and wanted.name == DICT else None
        pairs = [(as_scoped(name), as_scoped(part, known.get(name, item))) for name, part in value.items()]
        parts = [part for pair in pairs for part in pair]
        return combined(parts, lambda t: MapTree(tuple(zip(t[::2], t[1::2], strict=True))))
    item = wanted.item if wanted is not None and wanted.name == "list" else None
    return combined([as_scoped(part, item) for part in value], ListTree)


def _number_asked(handle: Handle) -> float:
    if value_of(handle) is not UNKNOWN_SCOPED:
        message = f"the number that {handle!r} stands for is not known while the pipeline is built"
        fix = "Calculate with operators on it, or in a task; .to_int() and .to_float() convert in a run."
        report_mistake("not-known-yet", message, fix)
    return 1.0


def _unsupported(what: str) -> Handle:
    report_mistake("unsupported-operator", f"{what} cannot be used on values of a pipeline", "Do it in a task.")
    return UNKNOWN_HANDLE


def _unpacked_count(frame: Any) -> int | None:
    """How many names the values are unpacked into by the instruction that `frame` is at; None if it unpacks nothing."""
    code, position = frame.f_code.co_code, frame.f_lasti
    return code[position + 1] if position >= 0 and code[position] == _UNPACK else None
