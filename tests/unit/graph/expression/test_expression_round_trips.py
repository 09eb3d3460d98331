"""Any tree, printed and read again, and written as JSON and read again, is the same tree."""

from __future__ import annotations

import json
import math
import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Output, Value
from penstock.graph.expression.check import coerced, type_of
from penstock.graph.expression.codec import tree_from_json, tree_to_json
from penstock.graph.expression.evaluate import evaluate
from penstock.graph.expression.grammar import FUNCTIONS, MACROS, METHODS, OPERATORS, TEXT_MAX
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
    UInt,
)
from penstock.graph.types import ANY, BOOL, FLOAT, INT, STR, STRUCT, Type, list_of

VALUES: dict[str, tuple[Value, Type, Any]] = {
    "x": (Input("x"), INT, 3),
    "rate": (Input("rate"), FLOAT, 1),
    "if": (Input("if"), BOOL, True),
    "train.loss": (Output("train", "loss"), FLOAT, 0.5),
    "fit-2.loss": (Output("fit-2", "loss"), FLOAT, 2),
    "fit-2.size": (Output("fit-2", "size"), ANY, 2.5),
    "in": (Input("in"), STR, "text"),
    "train.in": (Output("train", "in"), list_of(INT), [1, 2]),
    "y": (Input("y"), STRUCT, {"a": 1, "b": [True]}),
}
NAMES = {value: name for name, (value, _, _) in VALUES.items()}

texts = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(
    ["\\", '"', "'", "`", "\n\t\0", "\x7f\u2028"]
)
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 2),
    st.integers(0, 2**64 - 1).map(UInt),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.binary(max_size=4),
).map(Literal)
variables = st.sampled_from(["x", "y", "item", "size", "as_"])
fields = st.sampled_from(["a", "if", "in", "true", "a-b", "x.y", "a/b c"]) | st.text(
    string.ascii_letters, min_size=1, max_size=3
)


def larger(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def call(known: dict[str, int], *, method: bool) -> st.SearchStrategy[Tree]:
        return st.sampled_from(sorted(known)).flatmap(
            lambda name: st.tuples(*[parts] * known[name]).map(lambda found: Operation(name, found, method=method))
        )

    def macro(found: tuple[str, Tree, str, tuple[Tree, ...]]) -> Tree:
        name, over, variable, steps = found
        return Comprehension(name, over, variable, steps[: MACROS[name][-1]])

    return st.one_of(
        call(OPERATORS, method=False),
        call(FUNCTIONS, method=False),
        call(METHODS, method=True),
        st.builds(Select, parts, fields, st.booleans()),
        st.lists(parts, max_size=3).map(lambda items: ListTree(tuple(items))),
        st.lists(st.tuples(parts, parts), max_size=2).map(lambda entries: MapTree(tuple(entries))),
        st.tuples(st.sampled_from(sorted(MACROS)), parts, variables, st.tuples(parts, parts)).map(macro),
    )


trees: st.SearchStrategy[Tree] = st.recursive(
    literals | st.sampled_from(sorted(NAMES, key=str)).map(Reference), larger, max_leaves=12
)


def bound(tree: Tree, names: tuple[str, ...] = ()) -> Tree:
    """`tree` with some of the references below a macro made its variables."""
    match tree:
        case Comprehension(macro, over, variable, steps):
            inner = (*names, variable)
            return Comprehension(macro, bound(over, names), variable, tuple(bound(step, inner) for step in steps))
        case Reference(Output("train", "loss")) if names:
            return Name(names[0])
        case Operation(operator, arguments, method):
            return Operation(operator, tuple(bound(part, names) for part in arguments), method)
        case Select(operand, field, test_only):
            return Select(bound(operand, names), field, test_only)
        case ListTree(items):
            return ListTree(tuple(bound(item, names) for item in items))
        case MapTree(entries):
            return MapTree(tuple((bound(key, names), bound(value, names)) for key, value in entries))
        case _:
            return tree


def name_of(value: Value) -> str:
    return NAMES[value]


def value_of(name: str) -> Value | None:
    return VALUES[name][0] if name in VALUES else None


def exact(tree: Tree) -> str:
    """Equal only for the same tree; trees compare equal when their literals do, and 1 equals 1.0 and true."""
    return json.dumps(tree_to_json(tree, name_of))


@settings(max_examples=300, deadline=None)
@given(trees.map(bound))
def test_printed_and_read_again(tree: Tree) -> None:
    text = to_text(tree, name_of)
    assert exact(parse(text, value_of)) == exact(tree), text


@settings(max_examples=150, deadline=None)
@given(trees.map(bound))
def test_written_as_json_and_read_again(tree: Tree) -> None:
    data = json.loads(json.dumps(tree_to_json(tree, name_of)))
    again = tree_from_json(data, lambda name: VALUES[name][0])
    assert exact(again) == exact(tree)
    assert list(again.references()) == list(tree.references())


@settings(max_examples=300, deadline=None)
@given(trees.map(bound))
def test_nothing_but_an_expression_error_comes_out(tree: Tree) -> None:
    """Whatever the tree, it has a value or an ExpressionError; what the checker gives a type to has that type; what
    coercing makes, the checker takes or refuses for another reason than mixed numbers."""
    doubles = coerced(tree, lambda value: VALUES[NAMES[value]][1])
    assert exact(coerced(doubles, lambda value: VALUES[NAMES[value]][1])) == exact(doubles)
    for one in (tree, doubles):
        expected: Type | None = None
        complaint = ""
        try:
            expected = type_of(one, lambda value: VALUES[NAMES[value]][1])
        except ExpressionError as error:
            complaint = error.message
        assert one is tree or "mix int and double" not in complaint
        try:
            found = evaluate(one, lambda value: VALUES[NAMES[value]][2])
        except ExpressionError:
            continue
        if expected is not None:
            assert fits(found, expected), (found, str(expected))


def fits(value: Any, expected: Type) -> bool:
    if value is None:
        return expected.optional or expected.name in ("null", "json", "any")
    if expected.name == "list":
        return isinstance(value, list) and all(expected.item is None or fits(item, expected.item) for item in value)
    classes: dict[str, Any] = {"bool": bool, "int": int, "float": (int, float), "str": str, "struct": dict}
    if isinstance(value, bool) and expected.name in ("int", "float"):
        return False
    return expected.name in ("json", "any") or isinstance(value, classes[expected.name])


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("ab1.\"'\\()[]{},:?!-+*/%<>=&|nru xX0eE`\n#\u00e9"), max_size=30))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    position, tree = 0, None
    try:
        tree = parse(text, lambda name: Input(name) if name in ("a", "b") else None)
    except ExpressionError as error:
        position = error.position
    assert 0 <= position <= len(text)
    if tree is None:
        return
    printed = to_text(tree, lambda value: getattr(value, "name", ""))
    assert len(printed) <= TEXT_MAX
    again = parse(printed, lambda name: Input(name) if name in ("a", "b") else None)
    assert to_text(again, lambda value: getattr(value, "name", "")) == printed


def test_doubles_without_a_literal_print_as_their_conversion() -> None:
    for written in ("NaN", "Infinity", "-Infinity"):
        text = to_text(Literal(float(written)), name_of)
        assert text == f'double("{written}")'
        value = evaluate(parse(text, value_of), lambda value: None)
        assert math.isnan(value) if written == "NaN" else value == float(written)
