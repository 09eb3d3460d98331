"""Types before anything runs, and the doubles that Python's arithmetic implies."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Input, Value
from penstock.graph.expression.check import as_double, coerced, type_of
from penstock.graph.expression.evaluate import evaluate
from penstock.graph.expression.grammar import DEPTH_MAX
from penstock.graph.expression.parse import parse
from penstock.graph.expression.print import to_text
from penstock.graph.expression.tree import Literal, Operation, Tree
from penstock.graph.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    JSON,
    NULL,
    PATH,
    STR,
    STRUCT,
    Type,
    dict_of,
    enum_of,
    list_of,
)

TABLE = Type("pandas:DataFrame")
TYPES = {
    "n": INT,
    "loss": FLOAT,
    "total": FLOAT,
    "s": STR,
    "yes": BOOL,
    "none": NULL,
    "data": JSON,
    "some": ANY,
    "m": STRUCT,
    "ns": list_of(INT),
    "losses": list_of(FLOAT),
    "items": Type("list"),
    "kind": enum_of("forest", "linear"),
    "table": TABLE,
    "tables": list_of(TABLE),
    "pair": Type("list", item=ANY, parts=(("0", TABLE), ("1", INT))),
    "made": dict_of(ANY, (("table", TABLE), ("score", FLOAT))),
    "file": PATH,
    "maybe": Type("float", optional=True),
}


def name_of(value: Value) -> str:
    assert isinstance(value, Input)
    return value.name


def type_of_value(value: Value) -> Type:
    return TYPES[name_of(value)]


def read(text: str) -> Tree:
    return parse(text, lambda name: Input(name) if name in TYPES else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n + 1", INT),
        ("loss * 2.0", FLOAT),
        ("loss > 1", BOOL),
        ("n == 1.5", BOOL),
        ("loss == null", BOOL),
        ("-n % 2", INT),
        ("s + '!'", STR),
        ("size(tables) + tables.size()", INT),
        ("data.a.b[0] + 1", INT),
        ("data.a", JSON),
        ("some", ANY),
        ("some + some", JSON),
        ("m.a > 1 || has(m.b)", BOOL),
        ("[1, 2]", list_of(INT)),
        ("[1, 2.5]", list_of(FLOAT)),
        ("[1, 'a']", Type("list")),
        ("[]", Type("list")),
        ("[1, null]", list_of(Type("int", optional=True))),
        ("{'a': 1}", STRUCT),
        ("{'a': {1: 2}}['a'][1]", INT),
        ("ns.map(i, i > 1)", list_of(BOOL)),
        ("ns.map(i, i > 1, string(i))", list_of(STR)),
        ("ns.filter(i, i > 1)", list_of(INT)),
        ("m.filter(k, k.startsWith('a'))", list_of(STR)),
        ("ns + [1]", list_of(INT)),
        ("ns.all(i, i > 1) && 1 in ns && 'a' in m", BOOL),
        ("yes ? 1 : 2.5", FLOAT),
        ("yes ? loss : null", Type("float", optional=True)),
        ("kind", enum_of("forest", "linear")),
        ("kind == 'forest' ? kind + 's' : s", STR),
        ("maybe", Type("float", optional=True)),
        ("maybe == null ? 0.0 : maybe + 1.0", FLOAT),
        ("double(s) + double(n)", FLOAT),
        ("uint(n) + 1u", INT),
        ("string(bytes(s) + b'a')", STR),
        ("s.matches('a') || matches(s, data)", BOOL),
        ("dyn(n) + 's'", STR),
        ("null", NULL),
        ("losses[n] < losses[0]", BOOL),
        ("table", TABLE),
        ("tables[0]", TABLE),
        ("tables + [table]", list_of(TABLE)),
        ("yes ? table : tables[n]", TABLE),
        ("[table, 1]", list_of(ANY)),
        ("{'a': table}", dict_of(TABLE)),
        ("{'a': [table]}.a[0]", TABLE),
        ("{'a': table, 'b': 1}.b", INT),
        ("some[0]", ANY),
        ("pair[1]", INT),
        ("made.table", TABLE),
        ("[made].filter(m, m.score > 0.5)[0].table", TABLE),
        ("'table' in made", BOOL),
        ("size(zip({'t': tables, 'n': ns}))", INT),
        ("zip({'t': tables, 'n': ns})[0].t", TABLE),
        ("product({'t': tables, 'n': ns})[0].n", INT),
    ],
)
def test_types(text: str, expected: Type) -> None:
    assert type_of(read(text), type_of_value) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 + (loss * 2)", "`*` does not mix int and double; write the whole number as a double (2.0) or convert it"),
        ("loss * 2", ", in `loss * 2`"),
        ("n + s", "`+` does not take int and string"),
        ("loss % 2.0", "`%` does not take double and double"),
        ("yes + yes", "`+` does not take bool and bool"),
        ("-s", "`-` does not take string"),
        ("!n", "`!` does not take int"),
        ("yes && n", "`&&` does not take int"),
        ("n ? 1 : 2", "`? :` does not take int"),
        ("yes ? 1 : 'a'", "the values of `? :` are int and string; dyn(...)"),
        ("n == s", "int is never equal to string"),
        ("kind == 'tree'", "'tree' is none of forest, linear"),
        ("'tree' != kind", "'tree' is none of forest, linear"),
        ("s < n", "`<` does not take string and int"),
        ("ns < ns", "`<` does not take list of int and list of int"),
        ("s in ns", "string is never in list of int"),
        ("1 in s", "`in` does not take string"),
        ("1 in m", "int is never in map"),
        ("m[1]", "the keys are string, not int"),
        ("ns['a']", "`[ ] of a list` does not take string"),
        ("ns.a", "list of int has no fields"),
        ("n.all(i, i)", "all() goes over a list or a map, not int"),
        ("ns.all(i, i)", "all() needs a bool, not int"),
        ("ns.map(i, i, i)", "map() needs a bool, not int"),
        ("size(n)", "`size()` does not take int"),
        ("double(yes)", "`double()` does not take bool"),
        ("s.contains(n)", "`contains()` does not take int"),
        ("{loss: 1}", "a double can't be the key of a map"),
        ("{1: 2}", "a map with int keys can't leave the expression"),
        ("[{'a': b'a'}]", "bytes can't leave the expression"),
        ("table == table", "pandas:DataFrame is an artifact"),
        ("size(table)", "`size()` does not take pandas:DataFrame"),
        ("tables == tables", "list of pandas:DataFrame is an artifact"),
        ("table + 1", "expressions read parameters; pandas:DataFrame is an artifact, in `table + 1`"),
        ("table in tables", "pandas:DataFrame is an artifact"),
        ("table.columns", "pandas:DataFrame has no fields"),
        ("pair[2]", "position 2 of a list with 2 items"),
        ("made.nothing", "no key nothing; there are: table, score"),
        ("zip(ns)", "`zip()` does not take list of int"),
        ("zip({'n': n})", "`zip()` does not take int"),
        ("file == 'a'", "path is an artifact"),
    ],
)
def test_what_can_not_be_right_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        type_of(read(text), type_of_value)
    assert says in caught.value.message


def test_a_tree_too_deep_is_refused() -> None:
    tree: Tree = Literal(1)
    for _ in range(DEPTH_MAX):
        tree = Operation("-_", (tree,))
    with pytest.raises(ExpressionError, match="operations deep"):
        type_of(tree, type_of_value)
    assert coerced(tree, type_of_value) is tree


def test_operations_that_do_not_exist_are_refused() -> None:
    for tree in (Operation("nope", ()), Operation("_+_", (Literal(1),)), Operation("startsWith", (Literal("a"),) * 2)):
        with pytest.raises(ExpressionError, match="there is no operation"):
            type_of(tree, type_of_value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss * 2 > 1", "double(loss) * 2.0 > 1"),
        ("loss / total", "double(loss) / double(total)"),
        ("loss + n", "double(loss) + double(n)"),
        ("(loss + 1) * 2", "(double(loss) + 1.0) * 2.0"),
        ("-loss * 2", "-double(loss) * 2.0"),
        ("(yes ? 1 : loss) * 2", "(yes ? 1.0 : double(loss)) * 2.0"),
        ("1.5 + 1", "1.5 + 1.0"),
        ("data.a * 0.5", "double(data.a) * 0.5"),
        ("losses.map(x, x * 2)", "losses.map(x, double(x) * 2.0)"),
        ("[1.5].exists(x, {'a': x + 1}.a > 2)", "[1.5].exists(x, {'a': double(x) + 1.0}.a > 2)"),
        ("double(loss) * 1.0", "double(loss) * 1.0"),
        # Nothing to do, and nothing that coercing could mend.
        ("n / 2", "n / 2"),
        ("n * 2 + size(s)", "n * 2 + size(s)"),
        ("loss == 1 && loss > 2", "loss == 1 && loss > 2"),
        ("data.a * 2", "data.a * 2"),
        ("loss + s", "loss + s"),
        ("loss + 1u", "loss + 1u"),
        ("loss % 2", "loss % 2"),
        ("table + 1.5", "table + 1.5"),
    ],
)
def test_coercing(text: str, expected: str) -> None:
    found = coerced(read(text), type_of_value)
    assert to_text(found, name_of) == to_text(read(expected), name_of)
    assert coerced(found, type_of_value) == found


def test_coerced_arithmetic_is_that_of_python_whatever_number_comes() -> None:
    tree = coerced(read("loss / total + n * 0.5"), type_of_value)
    assert type_of(tree, type_of_value) == FLOAT
    for loss in (1, 1.0):
        for total in (2, 2.0):
            values: dict[str, Any] = {"loss": loss, "total": total, "n": 3}
            assert evaluate(tree, lambda value, values=values: values[name_of(value)]) == 2.0


def test_as_double_for_the_division_of_python() -> None:
    tree = Operation("_/_", (as_double(read("n")), as_double(Literal(2))))
    assert to_text(tree, name_of) == "double(n) / 2.0"
    assert evaluate(tree, lambda value: 3) == 1.5
    assert as_double(Literal(True)) == Operation("double", (Literal(True),))
