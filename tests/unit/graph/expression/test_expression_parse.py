"""Reading: names, macros, what is refused and where."""

from __future__ import annotations

import pytest

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Output, Value
from penstock.graph.expression.grammar import DEPTH_MAX, NESTING_MAX, TEXT_MAX
from penstock.graph.expression.parse import UnknownName, parse
from penstock.graph.expression.tree import Comprehension, Literal, Name, Operation, Reference, Select, Tree

KNOWN: dict[str, Value] = {
    "x": Input("x"),
    "train": Input("train"),
    "train.loss": Output("train", "loss"),
    "fit-2.loss": Output("fit-2", "loss"),
}
X, LOSS = Reference(Input("x")), Reference(Output("train", "loss"))


def read(text: str) -> Tree:
    return parse(text, KNOWN.get)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("train.loss", LOSS),
        ("train.loss.a", Select(LOSS, "a")),
        ("train.other", Select(Reference(Input("train")), "other")),
        ("(train).loss", Select(Reference(Input("train")), "loss")),
        ("`fit-2`.loss", Reference(Output("fit-2", "loss"))),
        ("train.`loss`", LOSS),
        ("x.if", Select(X, "if")),
        ("x.`a b`", Select(X, "a b")),
        ("train.loss.size()", Operation("size", (LOSS,), method=True)),
        ("has(x.a.b)", Select(Select(X, "a"), "b", test_only=True)),
        ("-5", Literal(-5)),
        ("-x", Operation("-_", (X,))),
        ("--5", Operation("-_", (Literal(-5),))),
        ("x -5", Operation("_-_", (X, Literal(5)))),
        ("x ? x : x ? x : x", Operation("_?_:_", (X, X, Operation("_?_:_", (X, X, X))))),
        ("x // a remark\n + x", Operation("_+_", (X, X))),
        ("x.map(x, x)", Comprehension("map", X, "x", (Name("x"),))),
        ("x.map(x, .x)", Comprehension("map", X, "x", (X,))),
        ("x.map(y, y.a, y)", Comprehension("map", X, "y", (Select(Name("y"), "a"), Name("y")))),
        ("x.all(train, train.loss)", Comprehension("all", X, "train", (Select(Name("train"), "loss"),))),
    ],
)
def test_reading(text: str, tree: Tree) -> None:
    assert read(text) == tree


def test_names_are_offered_longest_first() -> None:
    offered: list[str] = []

    def resolve(name: str) -> Value | None:
        offered.append(name)
        return Input("a") if name == "a" else None

    assert parse("a.b.c", resolve) == Select(Select(Reference(Input("a")), "b"), "c")
    assert offered == ["a.b.c", "a.b", "a"]


def test_precedence_binds_as_the_language_says() -> None:
    assert read("x || x && x == x + x * -x") == read("x || (x && (x == (x + (x * (-x)))))")
    assert read("x - x - x") == read("(x - x) - x") != read("x - (x - x)")


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "expected a value, found the end"),
        ("x +", 3, "expected a value, found the end"),
        ("x x", 2, "expected an operator or the end, found `x`"),
        ("x = 1", 2, "equality is `==`"),
        ("x & x", 2, "and is `&&`"),
        ("x and x", 2, "found `and`"),
        ("(x", 2, "expected `)`"),
        ("[x, x", 5, "expected `,` or `]`"),
        ("{'a' 1}", 5, "between a key and its value"),
        ("x ? x", 5, "expected `:`"),
        ("'abc", 0, "no closing '"),
        ("'a\nb'", 2, "line break inside quotes"),
        (r"'\d'", 1, r"\d is no escape sequence"),
        (r"'\ud800'", 1, "not a character of Unicode"),
        (r"b'\u0041'", 2, "do not exist in bytes"),
        ("9223372036854775808", 0, "does not fit into 64 bits"),
        ("-9223372036854775809", 1, "does not fit into 64 bits"),
        ("18446744073709551616u", 0, "does not fit into 64 bits"),
        ("1e999", 0, "too large"),
        ("1x", 1, "not a number, not a name"),
        ("x + for", 4, "`for` is a reserved word"),
        ("x.size(1)", 2, "takes 0 arguments, got 1"),
        ("size()", 0, "takes 1 arguments, got 0"),
        ("x.double()", 2, "is called as double(value)"),
        ("startsWith(x, 'a')", 0, "is called as value.startsWith(...)"),
        ("all(x, x)", 0, "is called as items.all(item, ...)"),
        ("x.all(1, x)", 6, "takes a name for the item first"),
        ("x.all(i)", 6, "takes a name for the item first"),
        ("x.all(i, i, i)", 2, "all() takes 2 arguments"),
        ("x.map(i, i, i, i)", 2, "map() takes 2 or 3 arguments"),
        ("has(x)", 4, "has() takes a field"),
        ("sum(x)", 0, "there is no function sum(...); there are bool,"),
        ("x.upper()", 2, "there is no function value.upper(...); there are all,"),
        ("timestamp('2020')", 0, "knows no times"),
        ("Point{a: 1}", 5, "messages"),
        ("x.y{}", 3, "messages"),
        ("!-x", 1, "expected a value"),
        ("[1,,2]", 3, "expected a value"),
        ("size(x,)", 7, "expected a value"),
        ("x + '\ud800'", 5, "half of a surrogate pair"),
        ("#", 0, "not part of an expression"),
        ("`a$b`", 0, "not part of an expression"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, position: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert caught.value.position == position
    assert says.replace("knows", "know") in caught.value.message


def test_an_unknown_name_is_handed_to_the_caller() -> None:
    with pytest.raises(UnknownName) as caught:
        read("x + trian.loss.a")
    assert (caught.value.name, caught.value.position) == ("trian.loss.a", 4)
    with pytest.raises(UnknownName) as caught:
        read("x.all(y, z) ")
    assert caught.value.name == "z"
    with pytest.raises(UnknownName):
        read("x.all(y, y) && y")  # a variable ends with its macro


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" " * TEXT_MAX + "x", f"at most {TEXT_MAX}"),
        ("(" * (NESTING_MAX + 1) + "x" + ")" * (NESTING_MAX + 1), f"more than {NESTING_MAX}"),
        ("[" * 5_000, f"more than {NESTING_MAX}"),
        (" + ".join("x" * (DEPTH_MAX + 1)), f"at most {DEPTH_MAX}"),
        ("!" * 10_000 + "x", f"at most {DEPTH_MAX}"),
    ],
)
def test_limits_are_named(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        read(text)


def test_what_lies_within_the_limits_is_read() -> None:
    assert read("(" * (NESTING_MAX - 1) + "x" + ")" * (NESTING_MAX - 1)) == X
    assert read(" + ".join("x" * DEPTH_MAX)) != X
