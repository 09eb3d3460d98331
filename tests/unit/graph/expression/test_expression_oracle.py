"""Random expressions against a published implementation (`cel`, common-expression-language on PyPI, over the Rust crate). Where
it and `celpy` (cel-python) are known to differ from the specification is written down here, and checked to be still so."""

from __future__ import annotations

import math
from typing import Any

import cel
import celpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Value
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
INT, DOUBLE, STRING, BOOL, INTS, STRUCT = "int", "double", "string", "bool", "ints", "struct"


def reference(*names: str) -> st.SearchStrategy[Tree]:
    return st.sampled_from([Reference(Input(name)) for name in names])


def literals(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    return values.map(Literal)


LEAVES: dict[str, st.SearchStrategy[Tree]] = {
    INT: reference("i", "j") | literals(st.integers(-5, 9) | st.sampled_from([2**62, 2**63 - 1, -(2**62)])),
    DOUBLE: reference("d", "e") | literals(st.sampled_from([0.0, 1.0, -1.5, 0.1, 3.75, 1e9])),
    STRING: reference("s", "t") | literals(st.sampled_from(["", "a", "b", "abc", "cab", '"\\', "1"])),
    BOOL: reference("yes", "no") | literals(st.booleans()),
    INTS: reference("xs") | st.just(ListTree(())),
    STRUCT: reference("m") | st.just(MapTree(())),
}


def operation(operator: str, *parts: st.SearchStrategy[Tree], method: bool = False) -> st.SearchStrategy[Tree]:
    return st.tuples(*parts).map(lambda arguments: Operation(operator, arguments, method=method))


def compound(kind: str, size: int) -> st.SearchStrategy[Tree]:
    """Operations that give `kind` when their parts are of the right kind."""

    def of(part: str) -> st.SearchStrategy[Tree]:
        return expression(part, size // 2)

    def numbers() -> st.SearchStrategy[Tree]:
        return of(INT) | of(DOUBLE)

    choice = operation("_?_:_", of(BOOL), of(kind), of(kind))
    if kind in (INT, DOUBLE):
        # The smallest int is not made by negation: `cel` wraps around there (see DIFFERENCES).
        found = [operation(o, of(kind), of(kind)) for o in ("_+_", "_-_", "_*_", "_/_", "_%_")] + [choice]
        if kind == DOUBLE:
            return st.one_of(*found, operation("-_", of(DOUBLE)), operation("double", of(INT)))
        sizes = [operation("size", of(part)) for part in (STRING, INTS, STRUCT)]
        by_key = operation("_[_]", of(STRUCT), of(STRING)) | of(STRUCT).map(lambda m: Select(m, "a"))
        return st.one_of(*found, *sizes, operation("int", numbers()), operation("_[_]", of(INTS), of(INT)), by_key)
    if kind == STRING:
        return operation("_+_", of(STRING), of(STRING)) | operation("string", of(INT)) | choice
    if kind == INTS:
        listed = st.lists(of(INT), max_size=3).map(lambda items: ListTree(tuple(items)))
        return st.one_of(
            listed, operation("_+_", of(INTS), of(INTS)), macro("map", INT, size), macro("filter", BOOL, size), choice
        )
    if kind == STRUCT:
        keys = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
        return keys.flatmap(
            lambda ks: st.tuples(*[of(INT) for _ in ks]).map(
                lambda vs: MapTree(tuple((Literal(k), v) for k, v in zip(ks, vs, strict=True)))
            )
        )
    comparisons = [operation(o, numbers(), numbers()) for o in ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")]
    texts = [operation(o, of(STRING), of(STRING), method=True) for o in ("startsWith", "endsWith", "contains")]
    return st.one_of(
        *comparisons,
        *texts,
        operation("_<_", of(STRING), of(STRING)),
        *[operation("_==_", of(part), of(part)) for part in (STRING, INTS, STRUCT, BOOL)],
        operation("_in_", of(INT), of(INTS)),
        operation("_in_", of(STRING), of(STRUCT)),
        operation("!_", of(BOOL)),
        operation("_&&_", of(BOOL), of(BOOL)),
        operation("_||_", of(BOOL), of(BOOL)),
        of(STRUCT).map(lambda m: Select(m, "a", test_only=True)),
        *[macro(name, BOOL, size) for name in ("all", "exists", "exists_one")],
        choice,
    )


def macro(name: str, step: str, size: int) -> st.SearchStrategy[Tree]:
    """`list.macro(x, ...)` whose step looks at x without failing: `cel` does not absorb errors there (see DIFFERENCES)."""
    item = Name("x")
    if step == INT:
        steps = st.sampled_from([item, Operation("_%_", (item, Literal(5)))])
    else:
        steps = st.sampled_from([Operation(o, (item, Literal(2))) for o in ("_>_", "_==_", "_<=_")])
    return st.tuples(expression(INTS, size // 2), steps).map(lambda ls: Comprehension(name, ls[0], "x", (ls[1],)))


def expression(kind: str, size: int) -> st.SearchStrategy[Tree]:
    if size <= 1:
        return LEAVES[kind]
    return LEAVES[kind] | st.deferred(lambda: compound(kind, size))


def of_any_kind(size: int) -> st.SearchStrategy[Tree]:
    """Mostly sound expressions, and operators over parts of kinds that they do not take."""
    kinds = st.sampled_from([INT, DOUBLE, STRING, BOOL, INTS, STRUCT]).flatmap(lambda kind: expression(kind, size))
    operators = ["_+_", "_-_", "_*_", "_/_", "_%_", "_<_", "_>=_", "_==_", "_!=_", "_in_", "_&&_", "_||_"]
    mixed = st.tuples(st.sampled_from(operators), kinds, kinds).map(lambda made: Operation(made[0], made[1:]))
    return kinds | mixed


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
    except celpy.CELEvalError:
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


@settings(max_examples=600, deadline=None)
@given(of_any_kind(8))
def test_random_expressions_give_what_cel_gives(tree: Tree) -> None:
    text = to_text(tree, lambda leaf: leaf.name if isinstance(leaf, Input) else "")
    assert ours(text) == theirs(text), text
