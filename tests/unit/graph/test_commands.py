"""Commands as components: how they are written, what is wrong with them, what they are called and how they are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.graph.bindings import Constant, Input
from penstock.graph.check import check
from penstock.graph.codec import graph_digest, graph_from_json, graph_to_json
from penstock.graph.components import command_text, names_in, works_in
from penstock.graph.model import Call, Command, CommandOutput, Environment, Function, Graph, InputSpec, Policy
from penstock.graph.render import graph_mermaid, graph_text
from penstock.graph.types import INT, PATH, STR, Type, list_of
from penstock.graph.words import inputs_in, script_of, word_of, words_of

COUNT = Command(
    "count",
    (("wc",), ("-l",), (Input("table"),)),
    (InputSpec("table", PATH), InputSpec("most", INT, Constant(3))),
    (CommandOutput("output", INT, "last_line"),),
    env={"LC_ALL": ("C",)},
    given={"most": "most.txt"},
    policy=Policy(files=("count.sh",)),
)


def graph_of(*commands: Command) -> Graph:
    table = Input("table")
    calls = tuple(Call(f"n{index}", command, {"table": table}) for index, command in enumerate(commands))
    return Graph("g", (InputSpec("table", PATH),), calls, ())


def complaints(command: Command) -> list[tuple[str, str]]:
    inputs = {spec.name: Constant(1) for spec in command.inputs if spec.name != "table"}
    graph = Graph("g", (InputSpec("table", PATH),), (Call("n", command, {"table": Input("table"), **inputs}),), ())
    found = check(graph)
    assert all(each.fix for each in found)
    return [(each.code, each.message) for each in found]


# -- how it is written -------------------------------------------------------------------------------------------------


def test_words_are_told_apart_by_blanks_and_references_stay_whole() -> None:
    assert words_of("awk -F, '{print $1}' ${inputs.table}") == (
        ("awk",), ("-F,",), ("{print $1}",), (Input("table"),),
    )  # fmt: skip
    assert word_of("--out=${inputs.a}/${ inputs.b }.csv") == ("--out=", Input("a"), "/", Input("b"), ".csv")
    assert word_of("$${inputs.a} ${HOME} $") == ("${inputs.a} ${HOME} $",)
    assert word_of("") == ("",)
    assert inputs_in(word_of("${inputs.a}x${inputs.a}")) == ("a", "a")
    with pytest.raises(ValueError, match="No closing quotation"):
        words_of("echo 'never")


def test_a_script_has_variables_where_inputs_were_named() -> None:
    assert script_of('sort "${inputs.table}" > $OUT; echo $${x}') == ('sort "${table}" > $OUT; echo ${x}', ("table",))


def test_a_command_reads_as_its_author_wrote_it() -> None:
    assert command_text(COUNT) == "wc -l ${inputs.table}"
    assert command_text(replace(COUNT, argv=(("sh",), ("-c",), ("a b; c",)))) == "sh -c 'a b; c'"
    assert "count = " not in graph_text(graph_of(COUNT))
    assert "n0 = command `wc -l ${inputs.table}`(table=table) -> output: int" in graph_text(graph_of(COUNT))
    script = replace(COUNT, argv=(), script="x " * 100)
    assert "shell `x x x" in graph_text(graph_of(script))
    assert "command #96;wc -l #36;#123;inputs.table#125;#96;" in graph_mermaid(graph_of(COUNT))


# -- identity ----------------------------------------------------------------------------------------------------------


def test_a_graph_with_commands_survives_its_json_and_keeps_its_digest() -> None:
    isolated = replace(COUNT, policy=Policy(environment=Environment("3.12", ("numpy>=2",), "requirements.txt")))
    graph = graph_of(COUNT, replace(COUNT, argv=(), script='wc -l "${table}"'), isolated)
    again = graph_from_json(graph_to_json(graph))
    assert again == graph
    assert graph_digest(again) == graph_digest(graph)


@pytest.mark.parametrize(
    "change",
    [
        {"argv": (("wc",), ("-c",), (Input("table"),))},
        {"script": "wc", "argv": ()},
        {"env": {"LC_ALL": ("de",)}},
        {"given": {}},
        {"outputs": (CommandOutput("output", INT, "stdout"),)},
        {"policy": Policy(environment=Environment("3.12"))},
    ],
)
def test_every_part_of_a_command_is_in_the_graphs_digest(change: dict[str, Any]) -> None:
    assert graph_digest(graph_of(replace(COUNT, **change))) != graph_digest(graph_of(COUNT))


def test_commands_of_one_name_are_told_apart_where_they_differ_and_only_there() -> None:
    same, other = replace(COUNT), replace(COUNT, script="wc", argv=())
    alike = graph_of(COUNT, same)
    assert set(names_in(alike).values()) == {"command:count"}
    graph = graph_of(COUNT, same, other)
    names = [names_in(graph)[id(work)] for work in works_in(graph)]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("command:count@") for name in names)
    function = Function("command", "count", COUNT.inputs, ())
    mixed = Graph("g", (), (Call("a", function, {}), Call("b", COUNT, {})), ())
    assert sorted(names_in(mixed).values())[0] == "command:count" != sorted(names_in(mixed).values())[1]


# -- what is wrong with it ---------------------------------------------------------------------------------------------


def test_a_good_command_has_no_complaint() -> None:
    assert complaints(COUNT) == []


def output(**given: Any) -> dict[str, Any]:
    return {"outputs": (CommandOutput(**{"name": "o", "type": INT, "source": "last_line", **given}),)}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"script": "wc"}, "bad-command", "has both arguments and a script"),
    ({"argv": ()}, "bad-command", "has no command"),
    ({"argv": ((Input("table"),),)}, "bad-command", "the program of 'count' is not known before it runs"),
    ({"argv": (("wc",), ("a\0b",))}, "bad-command", "argument 1 of 'count' holds a NUL character"),
    ({"argv": (("wc",), (Input("tabel"),))}, "unknown-input", "names the input 'tabel', which it does not have"),
    ({"env": {"MODE": (Input("mod"),)}}, "unknown-input", "variable 'MODE' of 'count' names the input 'mod'"),
    ({"env": {"A-B": ("x",)}}, "bad-variable", "sets 'A-B', which is no name of an environment variable"),
    ({"given": {"tabel": "t"}}, "unknown-input", "gives the input 'tabel' as a file"),
    ({"given": {"table": "../t"}}, "bad-path", "which leads out of the folder that the command runs in"),
    ({"given": {"table": "/etc/passwd"}}, "bad-path", "is outside of the folder"),
    ({"given": {"table": "t", "most": "t"}}, "bad-path", "gives the inputs 'table' and 'most' as one file"),
    (output(source=""), "bad-output", "output 'o' of 'count' comes from nowhere"),
    (output(source="stderr"), "bad-output", "comes from 'stderr'"),
    (output(source="file", path=""), "bad-path", "which is no path"),
    (output(source="file", path="a/../../b"), "bad-path", "leads out of the folder"),
    (output(source="json", path="~/x", key="k"), "bad-path", "is outside of the folder"),
    (output(source="file", path="a", key="k"), "bad-output", "has a key, and is no JSON file"),
    (output(path="a"), "bad-output", "is what is printed, and has a path"),
    (output(type=PATH), "bad-output", "is path, and comes from 'last_line', which holds text"),
    (output(type=Type("pandas:DataFrame"), source="file", path="a"), "bad-output", "which a command cannot give"),
    ({"policy": Policy(depends=("m:f",))}, "bad-dependency", "depends on code, and is a command"),
    ({"policy": Policy(environment=Environment("3"))}, "bad-environment", "asks for Python '3', which is no version"),
    ({"policy": Policy(environment=Environment())}, "bad-environment", "has an environment that says nothing"),
    (
        {"policy": Policy(environment=Environment(packages=("--no-deps",)))},
        "bad-environment",
        "asks for the package '--no-deps', which is no requirement",
    ),
    ({"policy": Policy(environment=Environment(requirements="../r"))}, "bad-environment", "leads out of the project"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "words"), WRONG, ids=[f"{w[1]}-{i}" for i, w in enumerate(WRONG)])
def test_a_wrong_command_is_complained_about(change: dict[str, Any], code: str, words: str) -> None:
    found = complaints(replace(COUNT, **change))
    assert [each[0] for each in found] == [code], found
    assert words in found[0][1]


def test_a_list_inside_text_is_refused_and_alone_it_is_not() -> None:
    listed = replace(COUNT, inputs=(*COUNT.inputs, InputSpec("names", list_of(STR))), argv=(("wc",), (Input("names"),)))
    graph = Graph("g", (), (Call("n", listed, {"table": Input("t"), "names": Constant(["a"])}),), ())
    assert "list-in-word" not in {each.code for each in check(graph)}
    joined = replace(listed, argv=(("wc",), ("--names=", Input("names"))))
    graph = Graph("g", (), (Call("n", joined, {"table": Input("t"), "names": Constant(["a"])}),), ())
    assert "list-in-word" in {each.code for each in check(graph)}


@pytest.mark.parametrize(("name", "code"), [("PATH", "reserved-name"), ("a-b", "bad-name"), ("ok", "")])
def test_inputs_of_scripts_must_be_variables(name: str, code: str) -> None:
    script = Command("s", (), (InputSpec("table", PATH), InputSpec(name, INT)), (), script="true")
    assert [each[0] for each in complaints(script)] == ([code] if code else [])


def test_functions_need_a_python_that_penstock_runs_on_and_commands_do_not() -> None:
    policy = Policy(environment=Environment("3.9"))
    old = Function("m", "f", (), (), policy=policy)
    found = check(
        Graph("g", (), (Call("n", old, {}), Call("c", Command("c", (("x",),), (), (), policy=policy), {})), ())
    )
    assert [(each.code, each.message) for each in found] == [
        ("bad-environment", "'f' asks for Python 3.9, which Penstock does not run on")
    ]


def test_files_and_environments_belong_to_the_command_and_not_to_its_use() -> None:
    call = Call("n", COUNT, {"table": Input("table")}, policy=Policy(environment=Environment("3.12")))
    found = check(Graph("g", (InputSpec("table", PATH),), (call,), ()))
    assert [each.code for each in found] == ["declared-at-node"]
