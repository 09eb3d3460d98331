"""What may be given to a pipeline's inputs, as text and as values."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum, IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Constant
from penstock.graph.model import Graph, InputSpec
from penstock.graph.parameters import (
    bind_parameters,
    check_parameter,
    option_of,
    options_of,
    parse_parameter,
    plain_parameter,
)
from penstock.graph.types import ANY, BOOL, FLOAT, INT, JSON, NULL, PATH, STR, STRUCT, Field, Type, enum_of, list_of
from penstock.wire import Inline

PAIR = replace(list_of(INT), parts=(("0", INT), ("1", INT)))
CONFIGURED = Type("Config", fields=(Field("pair", PAIR, required=False), Field("rate", FLOAT)))
OPTIONAL_INT = replace(INT, optional=True)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (BOOL, "true", True),
        (BOOL, "Yes", True),
        (BOOL, "on", True),
        (BOOL, "1", True),
        (BOOL, "FALSE", False),
        (BOOL, "no", False),
        (BOOL, "off", False),
        (BOOL, "0", False),
        (INT, "12", 12),
        (INT, " -3 ", -3),
        (INT, "1_000", 1000),
        (FLOAT, "0.5", 0.5),
        (FLOAT, "1e-3", 0.001),
        (FLOAT, "3", 3.0),
        (FLOAT, "inf", math.inf),
        (STR, "a b", "a b"),
        (STR, "", ""),
        (STR, "3", "3"),
        (enum_of("a", "b"), "b", "b"),
        (list_of(INT), "[1, 2]", [1, 2]),
        (Type("list"), '[1, "a"]', [1, "a"]),
        (STRUCT, '{"a": [1]}', {"a": [1]}),
        (JSON, "null", None),
        (ANY, "3", 3),
        (ANY, "data.csv", "data.csv"),
        (NULL, "null", None),
        (OPTIONAL_INT, "null", None),
        (OPTIONAL_INT, "3", 3),
        (replace(STR, optional=True), "None", None),
    ],
)
def test_text_means_this_value(type_: Type, text: str, value: Any) -> None:
    parsed = parse_parameter(type_, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("type_", "text", "complaint"),
    [
        (BOOL, "maybe", "must be true or false, not 'maybe'"),
        (INT, "3.5", "must be a whole number, not '3.5'"),
        (INT, "", "must be a whole number, not ''"),
        (FLOAT, "x", "must be a number, not 'x'"),
        (enum_of("a", "b"), "c", "must be one of a, b, not 'c'"),
        (list_of(INT), "[1, 2.5]", r"item 1 must be a whole number, not 2.5 \(float\)"),
        (list_of(INT), "1, 2", "must be a list as JSON such as"),
        (STRUCT, "[1]", "must be a struct, not"),
        (STRUCT, "{a: 1}", "must be a struct as JSON such as"),
        (PATH, "x.csv", "is a file or folder; what is given from outside is declared so"),
        (Type("pandas:DataFrame"), "x", "is pandas:DataFrame, an artifact, which cannot be given"),
        (list_of(PATH), "[]", "cannot be given from outside"),
        (INT, "null", "must be a whole number"),
        (PAIR, "[1]", "must have 2 items, not 1"),
        (PAIR, "[1, 2, 3]", "must have 2 items, not 3"),
        (PAIR, '["a", 2]', r"item 0 must be a whole number, not 'a' \(str\)"),
        (CONFIGURED, '{"pair": [1]}', "field pair must have 2 items, not 1"),
        (CONFIGURED, "{", r'must be Config as JSON such as {"rate": 0.5}: '),
    ],
)
def test_text_that_means_nothing(type_: Type, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_parameter(type_, text)


@pytest.mark.parametrize(
    ("type_", "value", "is_good"),
    [
        (INT, 3, True),
        (INT, True, False),
        (INT, 3.0, False),
        (FLOAT, 3, True),
        (FLOAT, True, False),
        (BOOL, True, True),
        (BOOL, 1, False),
        (STR, "x", True),
        (STR, b"x", False),
        (OPTIONAL_INT, None, True),
        (INT, None, False),
        (JSON, None, True),
        (ANY, {"a": [1, None, {"b": "c"}]}, True),
        (ANY, {1: 2}, False),
        (ANY, {"a": {1}}, False),
        (ANY, object(), False),
        (STRUCT, {"a": 1}, True),
        (STRUCT, {1: 1}, False),
        (STRUCT, [], False),
        (list_of(FLOAT), [1, 2.5], True),
        (list_of(FLOAT), [1, "a"], False),
        (Type("list"), [1, "a", None], True),
        (list_of(list_of(INT)), [[1], [2, "x"]], False),
        (enum_of("a"), "a", True),
        (enum_of("a"), 1, False),
        (PATH, "x", False),
    ],
)
def test_values_are_checked(type_: Type, value: Any, is_good: bool) -> None:
    assert (check_parameter(type_, value) is None) is is_good


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    A = "a-word"


def test_enums_are_their_texts_or_their_names() -> None:
    assert options_of(Colour) == ("red", "blue")
    assert options_of(Level) == ("LOW", "HIGH")
    assert option_of(Colour.RED) == "red"
    assert option_of(Level.HIGH) == "HIGH"
    assert options_of(Word) == ("a-word",)


def test_options_agree_with_those_of_values() -> None:
    from penstock.values import parameters

    for member in (*Colour, *Level, *Word):
        assert parameters.option_of(member) == option_of(member)


def test_plain_data() -> None:
    made = plain_parameter(
        {"a": (1, Colour.RED), "b": np.float64(0.5), "c": np.int64(3), Colour.BLUE: [np.bool_(True)]}
    )
    assert made == {"a": [1, "red"], "b": 0.5, "c": 3, "blue": [True]}
    assert [type(made[name]) for name in "bc"] == [float, int]
    assert type(plain_parameter(Word.A)) is str
    odd = object()
    assert plain_parameter(odd) is odd
    array = np.zeros(3)
    assert plain_parameter(array) is array


GRAPH = Graph(
    "train",
    (
        InputSpec("seed", INT, Constant(3)),
        InputSpec("rate", FLOAT),
        InputSpec("kind", enum_of("a", "b"), Constant("a")),
    ),
    (),
    (),
)


def test_defaults_fill_up_in_the_order_of_the_inputs() -> None:
    assert bind_parameters(GRAPH, texts={"rate": "0.5"}) == {
        "seed": Inline(3),
        "rate": Inline(0.5),
        "kind": Inline("a"),
    }
    bound = bind_parameters(GRAPH, values={"kind": "b", "rate": np.float32(1), "seed": 4})
    assert bound == {"seed": Inline(4), "rate": Inline(1.0), "kind": Inline("b")}
    assert list(bound) == ["seed", "rate", "kind"]


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        bind_parameters(GRAPH, texts={"sed": "3", "seed": "x", "kind": "c"})
    assert caught.value.message.splitlines() == [
        "parameter 'seed' must be a whole number, not 'x'",
        "parameter 'kind' must be one of a, b, not 'c'",
        "'train' has no parameter 'sed'. Did you mean 'seed'?",
        "parameter 'rate' (float) must be given",
    ]
    assert caught.value.fix == 'train takes seed: int = 3, rate: float, kind: enum[a, b] = "a".'
    assert caught.value.exit_status == 2
    with pytest.raises(InvalidInput) as caught:
        bind_parameters(GRAPH, texts={"seed": "x", "rate": "0.5"})
    assert caught.value.fix == "train takes seed: int = 3 (and 2 more)."


def test_values_are_complained_about_like_texts() -> None:
    with pytest.raises(InvalidInput) as caught:
        bind_parameters(GRAPH, values={"rate": object, "seed": None})
    assert "parameter 'rate' must be a number, not <class 'object'> (type)" in caught.value.message
    assert "parameter 'seed' must be a whole number, not null" in caught.value.message


def test_a_large_parameter_names_the_limit() -> None:
    with pytest.raises(InvalidInput, match="parameter_bytes_max"):
        bind_parameters(Graph("g", (InputSpec("x", STR),), (), ()), values={"x": "y" * 70_000})


def test_an_artifact_that_must_be_given_says_why_it_cannot() -> None:
    graph = Graph("g", (InputSpec("data", PATH),), (), ())
    with pytest.raises(InvalidInput, match="parameter 'data' is a file or folder; what is given from outside"):
        bind_parameters(graph)
    with pytest.raises(InvalidInput, match="takes no parameters"):
        bind_parameters(Graph("g", (), (), ()), texts={"x": "1"})


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_data)
def test_json_data_may_be_given_anywhere_untyped(value: Any) -> None:
    assert check_parameter(ANY, value) is None
    assert plain_parameter(value) == value
