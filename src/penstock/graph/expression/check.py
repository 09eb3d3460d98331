"""The type of a tree before anything has run, and the conversions to double that Python's arithmetic implies and CEL's
does not make. As CEL's checker: sure mistakes are errors, "dyn" (graph types `json` and `any`) is left to evaluation.
Wider than it: numbers of different kinds may be compared, anything may be compared with null, lists may mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import (
    ARITHMETIC,
    COMBINATIONS,
    CONDITIONAL,
    CONVERSIONS,
    DEPTH_MAX,
    EQUALITY,
    FUNCTIONS,
    INDEX,
    MACROS,
    METHODS,
    OPERATORS,
    ORDERING,
)
from penstock.graph.expression.print import shown
from penstock.graph.expression.shapes import (
    DYN,
    NUMBERS,
    OPEN,
    Shape,
    comparable,
    joined,
    shape_of,
    type_of_shape,
)
from penstock.graph.expression.tree import (
    Comprehension,
    ListTree,
    Literal,
    MapTree,
    Name,
    Operation,
    Reference,
    Select,
    Tree,
    UInt,
    depth,
)
from penstock.graph.expression.values import kind_of

if TYPE_CHECKING:
    from penstock.graph.bindings import Value
    from penstock.graph.types import Type

_PASSING = frozenset({CONDITIONAL, INDEX, "size", "dyn", *COMBINATIONS})
"""What passes artifacts on, or counts them."""
_KEYS = frozenset({"bool", "int", "uint", "string"})
_SIZED = frozenset({"string", "bytes", "list", "map"})
_CONVERTIBLE = {
    "bool": {"bool", "string"},
    "bytes": {"bytes", "string"},
    "double": {"double", "int", "uint", "string"},
    "int": {"int", "uint", "double", "string"},
    "uint": {"uint", "int", "double", "string"},
    "string": {"string", "bool", "int", "uint", "double", "bytes"},
}
_TAKES = {
    "_+_": {"int", "uint", "double", "string", "bytes", "list"},
    "_-_": NUMBERS,
    "_*_": NUMBERS,
    "_/_": NUMBERS,
    "_%_": {"int", "uint"},
}


def type_of(tree: Tree, type_of_value: Callable[[Value], Type]) -> Type:
    """The graph type of what `tree` evaluates to; `json` where it can't be known.

    Raises ExpressionError for what would fail, or could never be true, whatever the values: operators on types that
    they do not take, an artifact where a parameter is needed, a comparison with a text that an enum does not have, a
    result that is no JSON. Its message ends with the part that is wrong. Errors of `type_of_value` pass through.
    """
    if (levels := depth(tree)) > DEPTH_MAX:
        raise ExpressionError(f"the expression is {levels} operations deep; at most {DEPTH_MAX} are allowed")
    _, shape = _Typing(type_of_value, coerce=False).at(tree)
    try:
        return type_of_shape(shape)
    except ExpressionError as error:
        raise ExpressionError(f"{error.message}, in `{shown(tree)}`") from None


def coerced(tree: Tree, type_of_value: Callable[[Value], Type]) -> Tree:
    """`tree` with doubles wherever `+ - * /` has a double on one side, as Python's arithmetic would: whole literals
    become doubles, and `double(...)` goes around whatever could be an int at run time. That includes values of type
    float: Python code may give 1 for a float, and without it `loss / 2` would then fail, and `hits / total` cut to a
    whole number.

    Division of two ints is left alone (CEL cuts to a whole number; for Python's `/` wrap an operand with `as_double`).
    Never raises for a wrong type: that is for `type_of` to say. Doing it twice changes nothing.
    """
    if depth(tree) > DEPTH_MAX:
        return tree
    return _Typing(type_of_value, coerce=True).at(tree)[0]


def as_double(tree: Tree) -> Tree:
    """`tree` as a double: a whole literal becomes one, what is surely a double stays, all else goes into
    `double(...)`."""
    match tree:
        case Literal(int(value)) if not isinstance(value, bool | UInt):
            return Literal(float(value))
        case Operation("-_", (operand,)):
            return Operation("-_", (as_double(operand),))
        case Operation(operator, (condition, one, other)) if operator == CONDITIONAL:
            return Operation(CONDITIONAL, (condition, as_double(one), as_double(other)))
    return tree if _surely_double(tree) else Operation("double", (tree,))


def _surely_double(tree: Tree) -> bool:
    if isinstance(tree, Literal):
        return isinstance(tree.value, float)
    if not isinstance(tree, Operation):
        return False
    return tree.operator == "double" or (
        tree.operator in ARITHMETIC and len(tree.arguments) == 2 and all(_surely_double(a) for a in tree.arguments)
    )


class _Typing:
    """One pass from the leaves up, giving each part its shape and, when coercing, its new form."""

    __slots__ = ("_coerce", "_type_of_value", "_variables")

    def __init__(self, type_of_value: Callable[[Value], Type], *, coerce: bool) -> None:
        self._type_of_value = type_of_value
        self._coerce = coerce
        self._variables: dict[str, Shape] = {}

    def at(self, tree: Tree) -> tuple[Tree, Shape]:
        """The part and its shape."""
        match tree:
            case Comprehension():
                tree, shape = self._comprehension(tree)
            case Operation(_, arguments):
                parts = [self.at(argument) for argument in arguments]
                tree, shape = self._operation(
                    replace(tree, arguments=tuple(p for p, _ in parts)), [s for _, s in parts]
                )
            case Select(operand):
                part, of_operand = self.at(operand)
                tree = replace(tree, operand=part)
                shape = self._checked(tree, _select, tree, of_operand)
            case ListTree(items):
                parts = [self.at(item) for item in items]
                tree = ListTree(tuple(p for p, _ in parts))
                numbered = tuple([(str(index), s) for index, (_, s) in enumerate(parts)])
                shape = Shape("list", item=_together([s for _, s in parts]), parts=numbered)
            case MapTree():
                tree, shape = self._map(tree)
            case Literal() | Name() | Reference():
                shape = self._checked(tree, self._leaf, tree)
        return tree, shape

    def _checked(self, tree: Tree, rule: Callable[..., Shape], *arguments: object) -> Shape:
        try:
            return rule(*arguments)
        except ExpressionError as error:
            if self._coerce:
                return DYN
            raise ExpressionError(f"{error.message}, in `{shown(tree)}`") from None

    def _leaf(self, tree: Literal | Name | Reference) -> Shape:
        match tree:
            case Literal(value):
                return Shape(kind_of(value))
            case Reference(value):
                return shape_of(self._type_of_value(value))
            case Name(name):
                if name not in self._variables:
                    raise ExpressionError(f"`{name}` is bound by no macro")
                return self._variables[name]

    def _map(self, tree: MapTree) -> tuple[MapTree, Shape]:
        entries = [(self.at(key), self.at(value)) for key, value in tree.entries]
        rebuilt = MapTree(tuple((key, value) for (key, _), (value, _) in entries))
        kinds = {shape.kind for (_, shape), _ in entries}

        def rule() -> Shape:
            if wrong := sorted(kinds - _KEYS - {"dyn"}):
                raise ExpressionError(f"a {wrong[0]} can't be the key of a map")
            item = _together([shape for _, (_, shape) in entries])
            key = next(iter(kinds)) if len(kinds) == 1 and "dyn" not in kinds else ""
            named = [(part.value, shape) for (part, _), (_, shape) in entries if isinstance(part, Literal)]
            parts = tuple([(name, shape) for name, shape in named if isinstance(name, str)])
            return Shape("map", item=item, key=key, parts=parts if len(parts) == len(entries) else ())

        return rebuilt, self._checked(rebuilt, rule)

    def _comprehension(self, tree: Comprehension) -> tuple[Comprehension, Shape]:
        over, shape = self.at(tree.over)
        outer = self._variables
        items = {"list": shape.item or DYN, "map": Shape(shape.key) if shape.key else DYN}
        self._variables = {**outer, tree.variable: items.get(shape.kind, DYN)}
        parts = [self.at(step) for step in tree.steps]
        rebuilt = replace(tree, over=over, steps=tuple(p for p, _ in parts))
        found = self._checked(rebuilt, _macro, rebuilt, shape, self._variables[tree.variable], [s for _, s in parts])
        self._variables = outer
        return rebuilt, found

    def _operation(self, tree: Operation, shapes: list[Shape]) -> tuple[Operation, Shape]:
        if self._coerce and tree.operator in ARITHMETIC and tree.operator != "_%_" and len(shapes) == 2:
            kinds = {shape.kind for shape in shapes}
            if "double" in kinds and kinds <= {"double", "int", "dyn"}:
                return replace(tree, arguments=tuple(as_double(a) for a in tree.arguments)), Shape("double")
        return tree, self._checked(tree, _call, tree, shapes)


def _refuse_artifacts(operator: str, shapes: list[Shape]) -> None:
    """Artifacts can be put into lists and maps, counted, picked and passed on; whatever reads them is refused."""
    for number, shape in enumerate(shapes):
        keys_only = operator == "_in_" and number == 1 and shape.kind == "map"
        joins = operator == "_+_" and shape.kind == "list"
        if shape.holds_artifacts and not keys_only and not joins:
            raise ExpressionError(f"expressions read parameters; {shape} is an artifact")


def _together(shapes: list[Shape]) -> Shape:
    found: Shape | None = shapes[0] if shapes else DYN
    for shape in shapes[1:]:
        found = joined(found, shape) if found else None
    return found or (OPEN if any(shape.of is not None or shape.holds_artifacts for shape in shapes) else DYN)


def _select(tree: Select, operand: Shape) -> Shape:
    if operand.kind not in ("map", "dyn") or operand.key not in ("string", ""):
        raise ExpressionError(f"{operand} has no fields")
    return Shape("bool") if tree.test_only else _part(operand, tree.field)


def _part(container: Shape, name: str) -> Shape:
    """What a list or map is known to have at a position or under a key."""
    if not container.parts:
        return container.item or replace(container, optional=False)
    known = dict(container.parts)
    if name not in known:
        if container.kind == "list":
            raise ExpressionError(f"position {name} of a list with {len(known)} items")
        raise ExpressionError(f"no key {name}; there are: {', '.join(known)}")
    return known[name]


def _macro(tree: Comprehension, over: Shape, item: Shape, steps: list[Shape]) -> Shape:
    macro = f"{tree.macro}()"
    if len(steps) not in MACROS.get(tree.macro, ()):
        raise ExpressionError(f"there is no macro {macro} with {len(steps)} expressions")
    if over.kind not in ("list", "map", "dyn"):
        raise ExpressionError(f"{macro} goes over a list or a map, not {over}")
    for condition in steps[:-1] if tree.macro == "map" else steps:
        if condition.kind not in ("bool", "dyn"):
            raise ExpressionError(f"{macro} needs a bool, not {condition}")
    if tree.macro == "map":
        return Shape("list", item=steps[-1])
    return Shape("list", item=item) if tree.macro == "filter" else Shape("bool")


def _call(tree: Operation, shapes: list[Shape]) -> Shape:
    operator = tree.operator
    if operator not in _PASSING:
        _refuse_artifacts(operator, shapes)
    known = METHODS if tree.method else {**OPERATORS, **FUNCTIONS}
    if known.get(operator) != len(shapes):
        raise ExpressionError(f"there is no operation {operator} with {len(shapes)} arguments")
    if operator in ARITHMETIC:
        return _arithmetic(operator, *shapes)
    if operator in EQUALITY:
        return _equality(tree, *shapes)
    if operator in ORDERING:
        return _ordering(operator, *shapes)
    if operator in ("_&&_", "_||_", "!_"):
        return _needs({"bool"}, operator.strip("_"), *shapes)
    if operator == CONDITIONAL:
        return _conditional(*shapes)
    if operator == "-_":
        _needs({"int", "double"}, "-", *shapes)
        return replace(shapes[0], optional=False)
    if operator == "_in_":
        return _membership(*shapes)
    if operator == INDEX:
        return _index(shapes[0], shapes[1], tree.arguments[1])
    if operator in COMBINATIONS:
        return _combination(operator, shapes[0])
    if operator == "size":
        _needs(_SIZED, "size()", *shapes)
        return Shape("int")
    if operator == "dyn":
        return OPEN if shapes[0].holds_artifacts or shapes[0].of else DYN
    if operator in CONVERSIONS:
        _needs(_CONVERTIBLE[operator], f"{operator}()", *shapes)
        return Shape(operator)
    return _needs({"string"}, f"{operator}()", *shapes)


def _needs(kinds: set[str] | frozenset[str], what: str, *shapes: Shape) -> Shape:
    for shape in shapes:
        if shape.kind not in kinds and shape.kind != "dyn":
            raise ExpressionError(f"`{what}` does not take {shape}")
    return Shape("bool")


def _arithmetic(operator: str, left: Shape, right: Shape) -> Shape:
    symbol, kinds = operator[1], {left.kind, right.kind} - {"dyn"}
    if kinds == {"int", "double"} and symbol != "%":
        raise ExpressionError(
            f"`{symbol}` does not mix int and double; write the whole number as a double (2.0) or convert it: double(x)"
        )
    if len(kinds) > 1 or not kinds <= _TAKES[operator]:
        raise ExpressionError(f"`{symbol}` does not take {left} and {right}")
    if not kinds:
        return DYN
    kind = kinds.pop()
    if kind == "list":
        one, other = (s.item or DYN if s.kind == "list" else DYN for s in (left, right))
        return Shape("list", item=joined(one, other) or DYN)
    return Shape(kind)


def _equality(tree: Operation, left: Shape, right: Shape) -> Shape:
    if not comparable(left, right):
        raise ExpressionError(f"{left} is never equal to {right}")
    for shape, other in ((left, tree.arguments[1]), (right, tree.arguments[0])):
        text = other.value if isinstance(other, Literal) else None
        if shape.options and isinstance(text, str) and text not in shape.options:
            raise ExpressionError(f"{text!r} is none of {', '.join(shape.options)}")
    return Shape("bool")


def _ordering(operator: str, left: Shape, right: Shape) -> Shape:
    kinds = {left.kind, right.kind} - {"dyn"}
    if not (kinds <= NUMBERS or (len(kinds) == 1 and kinds <= {"bool", "string", "bytes"})):
        raise ExpressionError(f"`{operator.strip('_')}` does not take {left} and {right}")
    return Shape("bool")


def _conditional(condition: Shape, one: Shape, other: Shape) -> Shape:
    _needs({"bool"}, "? :", condition)
    found = joined(one, other)
    if found is None:
        raise ExpressionError(f"the values of `? :` are {one} and {other}; dyn(...) around one allows that")
    return found


def _membership(item: Shape, container: Shape) -> Shape:
    _needs({"list", "map"}, "in", container)
    held = {"list": container.item or DYN, "map": Shape(container.key) if container.key else DYN}
    if not comparable(item, held.get(container.kind, DYN)):
        raise ExpressionError(f"{item} is never in {container}")
    return Shape("bool")


def _index(container: Shape, index: Shape, written: Tree) -> Shape:
    _needs({"list", "map"}, "[ ]", container)
    if container.kind == "list":
        _needs({"int", "uint"}, "[ ] of a list", index)
    elif container.key and not comparable(index, Shape(container.key)):
        raise ExpressionError(f"the keys are {container.key}, not {index}")
    known = written.value if isinstance(written, Literal) else None
    if isinstance(known, (int, str)) and not isinstance(known, bool):
        return _part(container, str(known))
    return container.item or replace(container, optional=False)


def _combination(function: str, lists: Shape) -> Shape:
    """`zip({"x": xs, "y": ys})` and `product(...)`: a list of maps with an item of each list."""
    _needs({"map"}, f"{function}()", lists)
    for _, shape in lists.parts:
        _needs({"list"}, f"{function}()", shape)
    parts = tuple([(name, shape.item or replace(shape, optional=False)) for name, shape in lists.parts])
    return Shape("list", item=Shape("map", item=_together([part for _, part in parts]), key="string", parts=parts))
