"""Evaluation where the specification's vectors do not reach: what is asked of the caller, errors, limits, text."""

from __future__ import annotations

import enum
import math
from typing import Any

import pytest

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Value
from penstock.graph.expression.evaluate import evaluate, text_of
from penstock.graph.expression.grammar import DEPTH_MAX, SIZE_MAX, STEPS_MAX
from penstock.graph.expression.parse import parse
from penstock.graph.expression.tree import Literal, Name, Operation, Reference, Tree, UInt
from penstock.wire import Artifact


class Absent(Exception):
    pass


def value_of(text: str, /, **bound: Any) -> Any:
    def resolve(leaf: Value) -> Any:
        assert isinstance(leaf, Input)
        if leaf.name not in bound:
            raise Absent(leaf.name)
        return bound[leaf.name]

    return evaluate(parse(text, lambda name: None if "." in name else Input(name)), resolve)


def failure(text: str, /, **bound: Any) -> str:
    with pytest.raises(ExpressionError) as caught:
        value_of(text, **bound)
    return caught.value.message


def test_errors_say_what_and_where() -> None:
    assert failure("1 + (x + 1.5)", x=1) == (
        "`+` does not take int and double; write the whole number as a double (2.0) or convert it: double(x), in `x + 1.5`"
    )
    assert failure("[1, 2][x]", x=2) == "position 2 of a list with 2 items, in `[1, 2][x]`"
    assert failure("x.c", x={"a": 1, "b": 2}) == "no key c; there are: a, b, in `x.c`"
    assert failure("x ? 1 : 2", x=1) == "`? :` needs a bool, not a int, in `x`"
    assert failure("x.all(i, i)", x=[1]) == "`all()` needs a bool, not a int, in `i`"
    assert failure("x.map(i, i)", x=1) == "map() goes over a list or a map, not a int, in `x.map(i, i)`"
    assert failure("x.a", x=[1]) == "a list has no fields, in `x.a`"
    assert failure("double(x)", x="1 kg") == '"1 kg" is no double, in `double(x)`'
    assert failure("x < 1.0", x=math.nan) == "NaN has no order, in `x < 1.0`"
    assert failure("{x: 1}", x=1.5) == "a double can't be the key of a map, in `{x: 1}`"
    assert failure("{true: 1, 1: 2}") == "true and 1 as keys of one map, in `{true: 1, 1: 2}`"


def test_values_are_asked_for_only_when_they_are_needed() -> None:
    assert value_of("yes ? a : b", yes=True, a=1) == 1
    assert value_of("yes || absent", yes=True) is True
    assert value_of("no && absent", no=False) is False
    assert value_of("[].map(i, absent)") == []


def test_what_the_caller_raises_passes_through() -> None:
    for text in ("absent || true", "yes && absent", "[absent]", "[1].exists(i, absent)"):
        with pytest.raises(Absent):
            value_of(text, yes=True)


def test_an_expression_error_of_the_caller_is_one_of_the_expression() -> None:
    def resolve(leaf: Value) -> Any:
        raise ExpressionError("this is an artifact")

    assert evaluate(parse("x || true", Input), resolve) is True
    with pytest.raises(ExpressionError, match="this is an artifact"):
        evaluate(parse("x || false", Input), resolve)


def test_a_variable_hides_a_value_only_inside_its_macro() -> None:
    assert value_of("[1, 2].map(x, x + .x) + [x]", x=10) == [11, 12, 10]
    assert value_of("[[1], [2]].map(x, x.map(x, x * 2)[0] + x[0])") == [3, 6]
    # An error inside a macro that is absorbed outside leaves nothing behind.
    assert value_of("([1, 0].map(x, 1 / x) == [1] || [5].exists(y, y == x)) && x == 5", x=5) is True


def test_data_from_python_may_be_of_a_kind_of_its_own() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Ratio(float):
        pass

    assert value_of("x == 'red' && x.size() == 3", x=Colour.RED) is True
    assert value_of("x / 0.0 > 1.0", x=Ratio(1.5)) is True
    assert value_of("x[1] == x[0] + 1", x=(1, 2)) is True
    assert "set can't be used" in failure("x == 1", x={1})
    assert "does not fit into 64 bits" in failure("x == 1", x=2**63)


def test_uint_stays_uint() -> None:
    found = value_of("1u + 2u")
    assert found == 3
    assert type(found) is UInt
    assert type(value_of("int(3u)")) is int


def test_limits_hold_and_can_not_be_absorbed() -> None:
    nested = "[0, 1].all(a, " * 25 + "1 / 0 == 0" + ")" * 25
    assert failure(f"{nested} || true") == f"the expression takes more than {STEPS_MAX} steps"
    doubled = "[x]" + ".map(i, i + i)" * 20
    assert f"more than {SIZE_MAX} parts" in failure(doubled, x="text")
    assert f"takes more than {STEPS_MAX} steps" in failure("x.all(i, i in x)", x=list(range(3_000)))
    assert f"takes more than {STEPS_MAX} steps" in failure("x.matches('(a?){100}b')", x="a" * 30_000)


def test_a_tree_too_deep_is_refused_rather_than_overflowing() -> None:
    tree: Tree = Literal(1)
    for _ in range(100_000):
        tree = Operation("_+_", (tree, Literal(1)))
    with pytest.raises(ExpressionError, match=f"100001 operations deep; at most {DEPTH_MAX}"):
        evaluate(tree, lambda leaf: None)
    while isinstance(tree, Operation):  # taken apart by hand: Python frees nested objects recursively
        tree = tree.arguments[0]


def test_data_nested_too_deep_is_an_error() -> None:
    data: list[Any] = []
    for _ in range(100_000):
        data = [data]
    assert "nested too deeply" in failure("x == x", x=data)
    with pytest.raises(ExpressionError, match=f"nested more than {DEPTH_MAX} deep"):
        text_of(data)
    while data:
        data = data[0]


def test_trees_that_no_text_gives_are_errors() -> None:
    for tree in (Name("x"), Operation("nope", (Literal(1),)), Operation("_+_", (Literal(1),))):
        with pytest.raises(ExpressionError):
            evaluate(tree, lambda leaf: None)
    assert evaluate(Reference(Input("x")), lambda leaf: "value") == "value"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-3, "-3"),
        (UInt(3), "3"),
        ("text", "text"),
        ("ÿ".encode(), "ÿ"),
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (-4.5e-3, "-0.0045"),
        (123.456, "123.456"),
        (1e6, "1000000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740993.0, "9007199254740992"),
        (1.25e-5, "0.0000125"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        ([1, 2.0, "a\n", None], '[1,2,"a\\n",null]'),
        ({"é": [True], "b": b"\xff", "c": math.nan}, '{"é":[true],"b":"/w==","c":"NaN"}'),
        ({1: {}}, '{"1":{}}'),
    ],
)
def test_text_of_values(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("exponent", range(-330, 309, 7))
def test_the_text_of_a_double_reads_back_as_it(exponent: int) -> None:
    for digits in ("1", "1.5", "7.123456789012345", "9.999999999999999"):
        value = float(f"{digits}e{exponent}")
        assert float(text_of(value)) == value
        assert value_of(f"double('{text_of(value)}')") == value


def test_bytes_that_are_no_text_have_no_text() -> None:
    with pytest.raises(ExpressionError, match="not UTF-8"):
        text_of(b"\xff")


FRAME = Artifact("blake3:0", "pandas:DataFrame", "arrow", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", FRAME),
        ("[x, 1]", [FRAME, 1]),
        ("{'a': [x]}", {"a": [FRAME]}),
        ("{'a': [x]}.a[0]", FRAME),
        ("true ? x : 1", FRAME),
        ("[{'s': 0.7, 'f': x}, {'s': 0.2, 'f': 1}].filter(i, i.s > 0.5)[0].f", FRAME),
        ("size([x] + [x])", 2),
        ("'a' in {'a': x}", True),
        ("zip({'a': [x, 2], 'b': [3, 4]})", [{"a": FRAME, "b": 3}, {"a": 2, "b": 4}]),
        ("product({'a': [1, 2], 'b': [3, 4]}).map(i, i.a * 10 + i.b)", [13, 14, 23, 24]),
        ("product({'a': [], 'b': [3]})", []),
    ],
)
def test_artifacts_are_put_together_and_picked(text: str, expected: Any) -> None:
    assert value_of(text, x=FRAME) == expected


@pytest.mark.parametrize(
    "text",
    ["x == x", "[x] == [x]", "x < 1", "x + 1", "!x", "x && true", "size(x)", "x.rows", "x in [x]", "string(x)", "-x"],
)
def test_whatever_reads_an_artifact_names_the_setting_that_may_help(text: str) -> None:
    with pytest.raises(ExpressionError, match="not an artifact: raise the setting parameter_bytes_max"):
        value_of(text, x=FRAME)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zip({'a': [1], 'b': [1, 2]})", "lists in step must have as many items as each other: a has 1, b has 2"),
        ("zip({})", "takes lists by name, not a map of none"),
        ("zip([1])", "takes lists by name, not a list"),
        ("product({'a': 1})", "takes lists by name; a is a int"),
        ("product({'a': [1].map(i, i), 'b': 'x'})", "b is a string"),
    ],
)
def test_what_cannot_be_combined_says_why(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        value_of(text, x=FRAME)
