"""Random expressions against a published implementation (`cel`, common-expression-language on PyPI, over the Rust
crate). Where it and `celpy` (cel-python) are known to differ from the specification is written down here, and checked
to be still so."""

from __future__ import annotations

import math
from typing import Any

import cel
import celpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import ExpressionError
from penstock.graph import types
from penstock.graph.bindings import Input, Value
from penstock.graph.expression.check import coerced, type_of
from penstock.graph.expression.evaluate import evaluate
from penstock.graph.expression.parse import parse
from penstock.graph.expression.print import to_text
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
    walk,
)

BOUND: dict[str, Any] = {
    "i": 7,
    "j": -3,
    "d": 2.5,
    "e": -0.25,
    "s": "abc",
    "t": "b",
    "yes": True,
    "no": False,
    "none": None,
    "xs": [3, 1, 2],
    "words": ["a", "abc"],
    "m": {"a": 1, "b": 2},
}
ERROR = "error"


INT, DOUBLE, STRING, BOOL, INTS, STRUCT = KINDS = ("int", "double", "string", "bool", "ints", "struct")

LEAVES: dict[str, tuple[Any, ...]] = {
    INT: ("$i", "$j", -5, -1, 0, 1, 2, 9, 2**62, 2**63 - 1, -(2**62)),
    DOUBLE: ("$d", "$e", 0.0, 1.0, -1.5, 0.1, 3.75, 1e9),
    STRING: ("$s", "$t", "", "a", "b", "abc", "cab", '"\\', "1"),
    BOOL: ("$yes", "$no", True, False),
    INTS: ("$xs", ListTree(())),
    STRUCT: ("$m", MapTree(())),
}
ARITHMETIC = ("_+_", "_-_", "_*_", "_/_", "_%_")
COMPARISONS = ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")
# What gives each kind: an operator and the kinds of its parts; "number" is int or double. The smallest int is not made
# by negation, and macros look at their items without failing: `cel` differs there (see DIFFERENCES).
MADE_BY: dict[str, list[tuple[str, ...]]] = {
    INT: [
        *[(operator, INT, INT) for operator in ARITHMETIC],
        *[("size", part) for part in (STRING, INTS, STRUCT)],
        *[
            ("int", "number"),
            ("_[_]", INTS, INT),
            ("_[_]", STRUCT, STRING),
            ("select", STRUCT),
            ("_?_:_", BOOL, INT, INT),
        ],
    ],
    DOUBLE: [
        *[(operator, DOUBLE, DOUBLE) for operator in ARITHMETIC[:4]],
        *[("-_", DOUBLE), ("double", INT), ("_?_:_", BOOL, DOUBLE, DOUBLE)],
    ],
    STRING: [("_+_", STRING, STRING), ("string", INT), ("_?_:_", BOOL, STRING, STRING)],
    INTS: [("list", INT), ("list", INT, INT), ("_+_", INTS, INTS), ("map", INTS), ("filter", INTS)],
    STRUCT: [("struct", INT), ("struct", INT, INT), ("_?_:_", BOOL, STRUCT, STRUCT)],
    BOOL: [
        *[(operator, "number", "number") for operator in COMPARISONS],
        *[(operator, STRING, STRING) for operator in ("startsWith", "endsWith", "contains", "_<_", "_>=_")],
        *[("_==_", part, part) for part in (STRING, INTS, STRUCT, BOOL)],
        *[("_in_", INT, INTS), ("_in_", STRING, STRUCT), ("!_", BOOL), ("_&&_", BOOL, BOOL), ("_||_", BOOL, BOOL)],
        *[("has", STRUCT), ("all", INTS), ("exists", INTS), ("exists_one", INTS), ("_?_:_", BOOL, BOOL, BOOL)],
    ],
}


def leaf(written: Any) -> Tree:
    if isinstance(written, ListTree | MapTree):
        return written
    named = isinstance(written, str) and written.startswith("$")
    return Reference(Input(written[1:])) if named else Literal(written)


def built(operator: str, parts: list[Tree], choice: int) -> Tree:
    item = Name("x")
    match operator:
        case "select" | "has":
            return Select(parts[0], "a", test_only=operator == "has")
        case "list":
            return ListTree(tuple(parts))
        case "struct":
            return MapTree(tuple((Literal(key), part) for key, part in zip("ab", parts, strict=False)))
        case "map":
            return Comprehension("map", parts[0], "x", (Operation("_%_", (item, Literal(5))) if choice % 2 else item,))
        case "filter" | "all" | "exists" | "exists_one":
            test = Operation(("_>_", "_==_", "_<=_")[choice % 3], (item, Literal(2)))
            return Comprehension(operator, parts[0], "x", (test,))
        case _:
            method = operator in ("startsWith", "endsWith", "contains")
            return Operation(operator, tuple(parts), method=method)


@st.composite
def trees(draw: st.DrawFn, kind: str = "any", depth: int = 3) -> Tree:
    """Sound expressions of a kind; of "any" kind also operators over parts that they do not take."""
    if kind == "any":
        kinds = draw(st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)))
        one, other = (draw(trees(part, depth)) for part in kinds)
        # Maps are neither searched for nor added to what is no text, no map: see DIFFERENCES.
        odd = {"_in_", "_+_"} if STRUCT in kinds else set()
        operator = draw(
            st.sampled_from([o for o in (*ARITHMETIC, *COMPARISONS, "_in_", "_&&_", "_||_") if o not in odd])
        )
        return Operation(operator, (one, other)) if draw(st.booleans()) else one
    if kind == "number":
        kind = draw(st.sampled_from((INT, DOUBLE)))
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return leaf(draw(st.sampled_from(LEAVES[kind])))
    operator, *parts = draw(st.sampled_from(MADE_BY[kind]))
    return built(operator, [draw(trees(part, depth - 1)) for part in parts], draw(st.integers(0, 5)))


def ours(text: str) -> Any:
    def resolve(leaf: Value) -> Any:
        assert isinstance(leaf, Input)
        return BOUND[leaf.name]

    try:
        return plain(evaluate(parse(text, lambda name: Input(name) if name in BOUND else None), resolve))
    except ExpressionError:
        return ERROR


def theirs(text: str) -> Any:
    try:
        return plain(cel.evaluate(text, BOUND))
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError, OverflowError, ZeroDivisionError):
        return ERROR


def of_celpy(text: str) -> Any:
    environment = celpy.Environment()
    try:
        program = environment.program(environment.compile(text))
        return plain(program.evaluate({name: celpy.json_to_cel(value) for name, value in BOUND.items()}))
    except (celpy.CELEvalError, ValueError):
        return ERROR


def plain(value: Any) -> Any:
    """Comparable across libraries: kinds of number kept apart, NaN equal to itself, celpy's own types taken off."""
    if isinstance(value, bool | celpy.celtypes.BoolType):
        return bool(value)
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("double", float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


@settings(max_examples=400, deadline=None)
@given(trees())
def test_random_expressions_give_what_cel_gives(tree: Tree) -> None:
    text = to_text(tree, lambda leaf: leaf.name if isinstance(leaf, Input) else "")
    assert ours(text) == theirs(text), text


TYPES = {
    "i": types.INT,
    "j": types.INT,
    "d": types.FLOAT,
    "e": types.FLOAT,
    "s": types.STR,
    "t": types.STR,
    "yes": types.BOOL,
    "no": types.BOOL,
    "xs": types.list_of(types.INT),
    "m": types.STRUCT,
}
GIVES = {INT: "int", DOUBLE: "float", STRING: "str", BOOL: "bool", INTS: "list", STRUCT: "struct"}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), trees(kind))))
def test_the_checker_gives_sound_expressions_their_type(made: tuple[str, Tree]) -> None:
    kind, tree = made

    def type_of_value(value: Value) -> types.Type:
        assert isinstance(value, Input)
        return TYPES[value.name]

    try:
        found = type_of(tree, type_of_value)
    except ExpressionError as error:
        # A list or struct that is written in the expression is known not to have such a part.
        if not error.message.startswith(("no key ", "position ")):
            raise
        return
    # A field of a struct is of no known type, and so may be what is made of it.
    assert found.name in (GIVES[kind], "json")
    if not any(isinstance(node, Select) or "_[_]" in str(node) for node in walk(tree)):
        assert found.name == GIVES[kind]
    assert type_of(coerced(tree, type_of_value), type_of_value) == found


# Expression, what it gives here, what the library gives, why it is right here.
DIFFERENCES_OF_CEL: list[tuple[str, Any, Any, str]] = [
    ("-(-9223372036854775808)", ERROR, -(2**63), "vector integer_math: overflow is an error"),
    ("-true", ERROR, False, "vector integer_math: no negation of bool"),
    ("size('é')", 1, 2, "vector string: code points are counted, not bytes"),
    ("[0, 1].exists(x, 1 / x == 1)", True, ERROR, "langdef, Macros: exists() combines with ||, which absorbs errors"),
    ("{1: 2}[1u]", 2, ERROR, "vector fields: numbers are keys whatever their kind"),
    ("{1: 2}[1.0]", 2, ERROR, "vector fields: numbers are keys whatever their kind"),
    ("{'a': 1, 'a': 2}", ERROR, {"a": 2}, "vector fields: a key twice is an error"),
    ("string(true)", "true", ERROR, "langdef: string(bool)"),
    ("bool('t')", True, ERROR, "vector conversions"),
    ("2.5 in m", False, ERROR, "vector fields: a key of another kind is not there"),
    ("xs + m", ERROR, [3, 1, 2, "a", "b"], "langdef: there is no list + map"),
    ("string(1e21)", "1e+21", "1000000000000000000000", "left open by CEL: JSON's canonical form here"),
]
DIFFERENCES_OF_CELPY: list[tuple[str, Any, Any, str]] = [
    ("1.5 + 1", ERROR, ("double", 2.5), "langdef, Numeric Values: no mixed arithmetic"),
    ("1 + 1u", ERROR, 2, "langdef, Numeric Values: no mixed arithmetic"),
    ("1 == 1.0", True, ERROR, "vector comparisons: numbers compare across kinds"),
    ("1 == 'a'", False, ERROR, "langdef, Equality: across kinds is false at run time"),
    ("true == 1", False, True, "vector comparisons: a bool is no number"),
    ("0.0 / 0.0 == 0.0 / 0.0", False, True, "vector comparisons"),
    ("[1, 2][-1]", ERROR, 2, "vector lists: positions are not negative"),
    ("int('1_0')", ERROR, 10, "Python's notation, not CEL's"),
    ("string(true)", "true", "True", "langdef: string(bool)"),
    ("{true: 1}[1]", ERROR, 1, "vector fields: bool and int are different keys"),
    ("[1].map(x, x > 0, x)", [1], ERROR, "langdef, Macros: map() with a filter"),
]


def sorted_texts(value: Any) -> Any:
    """`cel` gives the keys of maps in any order."""
    if not isinstance(value, list):
        return value
    return sorted(value, key=str)


@pytest.mark.parametrize(("text", "here", "there", "why"), DIFFERENCES_OF_CEL)
def test_known_differences_of_cel(text: str, here: Any, there: Any, why: str) -> None:
    assert (ours(text), sorted_texts(theirs(text))) == (here, sorted_texts(there)), why


@pytest.mark.parametrize(("text", "here", "there", "why"), DIFFERENCES_OF_CELPY)
def test_known_differences_of_celpy(text: str, here: Any, there: Any, why: str) -> None:
    assert (ours(text), of_celpy(text)) == (here, there), why
