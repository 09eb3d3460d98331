"""The specification's own conformance vectors (vectors/README.md says where they are from)."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Value
from penstock.graph.expression.check import coerced, type_of
from penstock.graph.expression.codec import tree_from_json, tree_to_json
from penstock.graph.expression.evaluate import evaluate
from penstock.graph.expression.parse import parse
from penstock.graph.expression.print import to_text
from penstock.graph.expression.tree import Tree, UInt
from penstock.graph.expression.values import kind_of
from penstock.graph.types import JSON, Type

FILES = sorted((Path(__file__).parent / "vectors").glob("*.jsonl"))

# CEL finds unknown names and functions when it comes to them; here they are refused when the text is read, because a
# pipeline with a misspelt name must not start. So `x || true` does not evaluate where there is no x.
REFUSED_EARLIER = {"x || true", "f_unknown(17) || true"} | {
    f"a.{word}() || true"
    for word in [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
}


def value(data: list[Any]) -> Any:
    match data:
        case ["list", *items]:
            return [value(item) for item in items]
        case ["map", *entries]:
            return {value(key): value(item) for key, item in entries}
        case ["uint", number]:
            return UInt(number)
        case ["double", number]:
            return float(number)
        case ["bytes", text]:
            return base64.b64decode(text)
        case [_, plain]:
            return plain
        case _:
            return None


def exact(plain: Any) -> Any:
    """Something that is equal only for the same value of the same kind."""
    kind = kind_of(plain)
    if kind == "list":
        return kind, [exact(item) for item in plain]
    if kind == "map":
        return kind, sorted((repr(exact(key)), exact(item)) for key, item in plain.items())
    if kind == "double":
        return kind, "NaN" if math.isnan(plain) else plain, math.copysign(1, plain)
    return kind, repr(plain)


def rows(file: Path) -> list[tuple[str, Any, dict[str, Any], bool]]:
    found = []
    for line in file.read_text().splitlines():
        expression, expected, *rest = json.loads(line)
        bound = {name: value(data) for name, data in (rest[0] if rest else {}).items()}
        found.append((expression, expected and exact(value(expected)), bound, len(rest) > 1))
    return found


def read(expression: str, bound: dict[str, Any]) -> Tree:
    return parse(expression, lambda name: Input(name) if name in bound else None)


def outcome(tree: Tree, bound: dict[str, Any]) -> Any:
    def resolve(leaf: Value) -> Any:
        assert isinstance(leaf, Input)
        return bound[leaf.name]

    try:
        return exact(evaluate(tree, resolve))
    except ExpressionError:
        return None


def named(leaf: Value) -> str:
    assert isinstance(leaf, Input)
    return leaf.name


def anything(leaf: Value) -> Type:
    return JSON


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_vectors_give_what_the_specification_says(file: Path) -> None:
    wrong = {}
    for expression, expected, bound, _ in rows(file):
        try:
            found = outcome(read(expression, bound), bound)
        except ExpressionError as error:
            found = None
            if expected is not None:
                wrong[expression] = error.message
                continue
        if found != expected:
            wrong[expression] = (found, expected)
    refused = {
        expression for expression, message in wrong.items() if "nothing here" in message or "no function" in message
    }
    assert {e: w for e, w in wrong.items() if e not in refused} == {}
    assert refused <= REFUSED_EARLIER


def test_the_vectors_are_there_and_the_exceptions_still_needed() -> None:
    everything = [row for file in FILES for row in rows(file)]
    assert len(everything) > 900
    assert {expression for expression, *_ in everything} >= REFUSED_EARLIER


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_printing_the_codec_and_coercing_keep_every_vector(file: Path) -> None:
    for expression, expected, bound, _ in rows(file):
        try:
            tree = read(expression, bound)
        except ExpressionError:
            continue
        data = json.loads(json.dumps(tree_to_json(tree, named)))
        assert exact_tree(tree_from_json(data, Input)) == exact_tree(tree), expression
        text = to_text(tree, named)
        assert exact_tree(read(text, bound)) == exact_tree(tree), (expression, text)
        if expected is not None:
            assert outcome(coerced(tree, anything), bound) == expected, expression


def exact_tree(tree: Tree) -> str:
    return json.dumps(tree_to_json(tree, named))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_checker_takes_what_has_a_value(file: Path) -> None:
    """Types are as the specification's checker has them, or wider: no vector that it checks and that has a value is
    refused, and the type found accepts the value."""
    for expression, expected, bound, unchecked in rows(file):
        if expected is None or unchecked or expression in REFUSED_EARLIER:
            continue
        tree = read(expression, bound)
        found, complaint = None, ""
        try:
            found = type_of(tree, anything)
        except ExpressionError as error:
            complaint = error.message
        if found is None:
            if complaint.startswith(
                "position "
            ):  # a list that is written out lacks it: an error, whatever stands beside it
                continue
            assert "can't leave the expression" in complaint, (expression, complaint)
            assert expected[0] in ("bytes", "map", "list"), expression
            continue
        kinds = {"double": "float", "string": "str", "uint": "int", "map": "struct"}
        assert found.accepts(Type(kinds.get(expected[0], expected[0]))), (expression, found, expected)
