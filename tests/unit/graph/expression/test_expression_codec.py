"""The JSON form is fixed (graph digests are made over it), exact, and refuses what it did not write."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Value
from penstock.graph.expression.codec import tree_from_json, tree_to_json
from penstock.graph.expression.grammar import DEPTH_MAX
from penstock.graph.expression.parse import parse
from penstock.graph.expression.tree import Literal, Operation, Tree, UInt


def encode(value: Value) -> Any:
    assert isinstance(value, Input)
    return {"input": value.name}


def decode(data: Any) -> Value:
    return Input(data["input"])


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("null", ["null"]),
        ("true", ["bool", True]),
        ("-1", ["int", -1]),
        ("1u", ["uint", 1]),
        ("1.0", ["double", 1.0]),
        ("'é'", ["string", "é"]),
        (r"b'\xff'", ["bytes", "/w=="]),
        ("x", ["ref", {"input": "x"}]),
        ("x + 1", ["call", "_+_", ["ref", {"input": "x"}], ["int", 1]]),
        ("'a'.size()", ["method", "size", ["string", "a"]]),
        ("size('a')", ["call", "size", ["string", "a"]]),
        ("{}.a", ["select", ["map"], "a"]),
        ("has({1: 2}.a)", ["has", ["map", [["int", 1], ["int", 2]]], "a"]),
        ("[1, []]", ["list", ["int", 1], ["list"]]),
        ("[].map(i, true, i)", ["macro", "map", ["list"], "i", ["bool", True], ["name", "i"]]),
    ],
)
def test_the_form(text: str, data: list[Any]) -> None:
    tree = parse(text, Input)
    assert tree_to_json(tree, encode) == data
    again = tree_from_json(json.loads(json.dumps(data)), decode)
    assert again == tree
    assert tree_to_json(again, encode) == data


def test_doubles_that_json_lacks() -> None:
    for value, text in ((math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN")):
        data = tree_to_json(Literal(value), encode)
        assert data == ["double", text]
        json.dumps(data, allow_nan=False)
        again = tree_from_json(data, decode)
        assert isinstance(again, Literal)
        assert str(again.value) == str(value)


def test_a_double_stays_one_where_a_reader_writes_it_as_whole() -> None:
    again = tree_from_json(["double", 1], decode)
    assert isinstance(again, Literal)
    assert type(again.value) is float
    kept = tree_from_json(["uint", 1], decode)
    assert isinstance(kept, Literal)
    assert type(kept.value) is UInt


@pytest.mark.parametrize(
    "data",
    [
        *[None, 1, "x", {}, [], ["int"], ["int", 1.5], ["int", True], ["int", 2**63], ["uint", -1], ["bool", 1]],
        *[
            ["double", "x"],
            ["double", True],
            ["string", 1],
            ["bytes", "?"],
            ["name", 1],
            ["call"],
            ["call", 1],
            ["ref"],
        ],
        *[
            ["map", ["int", 1, 2]],
            ["map", 1],
            ["select", ["int", 1]],
            ["list", 1],
            ["macro", "all", ["list"]],
            ["nope", 1],
        ],
    ],
)
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(ExpressionError):
        tree_from_json(data, decode)


def test_depth_is_bounded_both_ways() -> None:
    tree: Tree = Literal(1)
    data: list[Any] = ["int", 1]
    for _ in range(DEPTH_MAX):
        tree = Operation("-_", (tree,))
        data = ["call", "-_", data]
    with pytest.raises(ExpressionError, match="operations deep"):
        tree_to_json(tree, encode)
    with pytest.raises(ExpressionError, match="operations deep"):
        tree_from_json(data, decode)
    assert tree_to_json(tree_from_json(data[2], decode), encode) == data[2]
