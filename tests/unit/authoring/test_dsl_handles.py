"""Handles: operators, outputs, text."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from penstock import one_of, pipeline
from penstock.authoring.dsl.building import current_building
from penstock.authoring.dsl.handles import Handle
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Constant, Expression, Input, Output, Text
from penstock.graph.expression.tree import ListTree, Literal, Operation, Reference, Select
from penstock.graph.model import Call
from penstock.graph.render import value_text
from penstock.graph.types import BOOL, FLOAT, INT, STR, list_of
from penstock.testing.samples import join, number, real, settings, table, texts, two, untyped


def codes(function: Any) -> list[str]:
    return [diagnostic.code for diagnostic in pipeline(function).diagnostics()]


@pytest.mark.parametrize(
    ("make", "text", "type_"),
    [
        (lambda n, r: n + 1, "number + 1", INT),
        (lambda n, r: 1 + n, "1 + number", INT),
        (lambda n, r: n - r, "double(number) - double(real)", FLOAT),
        (lambda n, r: r * 2, "double(real) * 2.0", FLOAT),
        (lambda n, r: 1.5 - n, "1.5 - double(number)", FLOAT),
        (lambda n, r: n / 2, "double(number) / 2.0", FLOAT),
        (lambda n, r: 1 / n, "1.0 / double(number)", FLOAT),
        (lambda n, r: n % 3, "number % 3", INT),
        (lambda n, r: -n, "-number", INT),
        (lambda n, r: n == 3, "number == 3", BOOL),
        (lambda n, r: n != r, "number != real", BOOL),
        (lambda n, r: n > 3, "number > 3", BOOL),
        (lambda n, r: (n >= 3) & (r <= 0.5), "number >= 3 && real <= 0.5", BOOL),
        (lambda n, r: (n > 3) | ~(r > 1), "number > 3 || !(real > 1)", BOOL),
        (lambda n, r: True & (n > 3), "true && number > 3", BOOL),
        (lambda n, r: n.is_in([1, 2, r]), "number in [1, 2, real]", BOOL),
        (lambda n, r: n.to_text() + "x", 'string(number) + "x"', STR),
        (lambda n, r: r.to_int(), "int(real)", INT),
        (lambda n, r: [n, 1], "[number, 1]", list_of(INT)),
        (lambda n, r: [n, r], "[number, real]", list_of(FLOAT)),
        (lambda n, r: [[n], []], "[[number], []]", None),
        (lambda n, r: n.state, "number.state", STR),
        (lambda n, r: n.state == "failed", 'number.state == "failed"', BOOL),
        (lambda n, r: one_of(n, r), "one_of(number, real)", FLOAT),
        (lambda n, r: np.float64(2) * r, "2.0 * double(real)", FLOAT),
        (lambda n, r: f"{n} of {r}", '"{number} of {real}"', STR),
        (lambda n, r: "%s" % n, '"{number}"', STR),  # noqa: UP031
        (lambda n, r: [f"a{n}"], '["a" + string(number)]', list_of(STR)),
        (lambda n, r: n, "number", INT),
        (lambda n, r: 3, "3", INT),
    ],
)
def test_operators_build_expressions(make: Any, text: str, type_: Any) -> None:
    @pipeline
    def made():  # type: ignore[no-untyped-def]
        return {"x": make(number(), real())}

    (output,) = made.graph().outputs
    assert value_text(output.value) == text
    assert type_ is None or output.type == type_


def test_fields_and_items() -> None:
    @pipeline
    def made(deep: dict, many: list[int], words: str):  # type: ignore[no-untyped-def,type-arg]
        made = settings()
        untold = untyped(1)
        return {
            "a": made.inner.depth,
            "b": made["inner"]["state"],
            "c": deep.x,
            "d": many[0],
            "e": many.size(),
            "f": many.contains(3),
            "g": words.contains("a"),
            "h": untold.anything[3],
            "i": deep.contains("k"),
            "j": words.matches("a+"),
        }

    assert [value_text(o.value) for o in made.graph().outputs] == [
        "settings.inner.depth",
        'settings["inner"]["state"]',
        "deep.x",
        "many[0]",
        "size(many)",
        "3 in many",
        'words.contains("a")',
        "untyped.anything[3]",
        '"k" in deep',
        'words.matches("a+")',
    ]
    first = made.graph().outputs[0].value
    assert first == Expression(Select(Select(Reference(Output("settings", "output")), "inner"), "depth"))


def test_outputs_by_name_and_by_unpacking() -> None:
    @pipeline
    def made():  # type: ignore[no-untyped-def]
        pair = two()
        left, right = pair
        number(left)
        return {"l": pair.left, "r": right, "also": pair["left"], "all": list(pair)[1]}

    graph = made.graph()
    assert [o.value for o in graph.outputs] == [Output("two", name) for name in ("left", "right", "left", "right")]


def test_lists_of_artifacts_are_lists_of_references() -> None:
    @pipeline
    def made():  # type: ignore[no-untyped-def]
        return join([table(1), table(2)])

    node = made.graph().nodes[2]
    assert isinstance(node, Call)
    expected = ListTree((Reference(Output("table", "output")), Reference(Output("table-2", "output"))))
    assert node.inputs["frames"] == Expression(expected)
    assert codes(lambda: untyped({"a": table()})) == ["bad-name"]  # no complaint about an artifact in a dict


def test_text_with_values() -> None:
    @pipeline
    def made(name: str = "x"):  # type: ignore[no-untyped-def]
        n = number()
        texts(f"{name}: {n + 1}")
        texts(f"{n}{n}")
        texts(str(n))
        texts("{} plain".format("no"))

    bound = [node.inputs["text"] for node in made.graph().nodes[1:] if isinstance(node, Call)]
    n = Output("number", "output")
    more = Expression(Operation("_+_", (Reference(n), Literal(1))))
    assert bound == [Text((Input("name"), ": ", more)), Text((n, n)), Text((n,)), Constant("no plain")]


def test_handles_are_quiet_objects() -> None:
    seen: list[Handle] = []

    @pipeline
    def made(n: int):  # type: ignore[no-untyped-def]
        one = number(n)
        seen.extend([one, n, one > 3, two()])  # type: ignore[list-item]
        assert hash(one) == hash(one)
        assert not hasattr(one, "_repr_html_")
        assert not hasattr(one, "__array__")
        copy.copy(one)

    assert made.diagnostics() == ()
    assert [repr(handle) for handle in seen] == ["<number>", "<n: int>", "<expression: bool>", "<two>"]
    assert str(seen[0]) == "<number>"  # outside of a pipeline
    with pytest.raises(InvalidInput, match="after its pipeline was built"):
        seen[0] + 1
    assert current_building() is None
