"""Attempts of commands in this very process: what programs are given, what they leave, and what outcome that is."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.base.digests import canonical_json
from penstock.code.files import files_to_json, pinned_files
from penstock.values.datums import Staging, to_datum
from penstock.wire import (
    Artifact,
    AttemptRequest,
    CommandRequest,
    Counted,
    Datum,
    Failed,
    Inline,
    InputLost,
    OutputInvalid,
    Struct,
    Succeeded,
    request_from_json,
    request_to_json,
)

Bench = Any
PATH, STR, INT = {"name": "path"}, {"name": "str"}, {"name": "int"}
HOSTILE = [
    "; rm -rf .", "$(touch hacked)", "`touch hacked`", "' ; touch hacked; '", '" && touch hacked; "', "a\nb\ttouch hacked",
    "-rf", "--help", "*", "~", "$HOME", "\\", "\\n", "| cat", "> hacked", "%s", "", " ", "é ☃", "!x", "${x}", "#", "&",
]  # fmt: skip
SHOWS = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('GIVEN')]))"


def request(argv: list[Any] | str, inputs: dict[str, Datum], **given: Any) -> AttemptRequest:
    words = [] if isinstance(argv, str) else [[word] if isinstance(word, (str, dict)) else word for word in argv]
    sources = given.pop("sources", {"output": {"source": "stdout"}})
    outputs = given.pop("outputs", dict.fromkeys(sources, STR))
    command = CommandRequest(
        component="command:c",
        name="c",
        argv=tuple(words),
        inputs=given.pop("types", {name: {"name": "any"} for name in inputs}),
        outputs=outputs,
        sources={name: {"path": "", "key": "", **source} for name, source in sources.items()},
        pin=given.pop("pin", ""),
        script=argv if isinstance(argv, str) else "",
        **given,
    )
    whole = AttemptRequest("run1/c#1", command, inputs, seed=1)
    again = request_from_json(json.loads(json.dumps(request_to_json(whole))))
    assert request_to_json(again) == request_to_json(whole)
    return again


def outcome(bench: Bench, argv: list[Any] | str, inputs: dict[str, Datum] | None = None, **given: Any) -> Any:
    return bench.launcher.run(request(argv, inputs or {}, **given)).outcome


def value(outcome: Any, name: str = "output") -> Any:
    assert isinstance(outcome, Succeeded), outcome
    datum = outcome.outputs[name]
    assert isinstance(datum, Inline)
    return datum.value


def file_of(bench: Bench, content: bytes, name: str = "table.csv") -> Artifact:
    return Artifact(bench.artifacts.put_bytes(content), "path", "file", len(content), {"name": name})


def ref(name: str) -> dict[str, str]:
    return {"input": name}


# -- what a program is given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_an_argument_is_an_argument_whatever_is_in_it(bench: Bench, text: str) -> None:
    argv = [sys.executable, "-c", SHOWS, ref("x"), ["--x=", ref("x"), "."]]
    given = outcome(bench, argv, {"x": Inline(text)}, env={"GIVEN": [ref("x")]})
    assert json.loads(value(given)) == [[text, f"--x={text}."], text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_shell_gets_values_as_variables_and_never_as_text(bench: Bench, text: str) -> None:
    script = 'printf "%s|" "${x}" "a${x}b"; ls -A'
    assert value(outcome(bench, script, {"x": Inline(text)})) == f"{text}|a{text}b|"


def test_values_are_written_as_cel_writes_them_and_lists_are_one_argument_each(bench: Bench) -> None:
    argv = [sys.executable, "-c", SHOWS, *map(ref, ("number", "flag", "nothing", "many", "none", "deep"))]
    inputs: dict[str, Datum] = {
        "number": Inline(1.0),
        "flag": Inline(True),
        "nothing": Inline(None),
        "many": Counted((Inline(1), Inline("a b"))),
        "none": Inline([]),
        "deep": Inline({"a": [1, None]}),
    }
    assert json.loads(value(outcome(bench, argv, inputs)))[0] == ["1", "true", "1", "a b", '{"a":[1,null]}']


def test_files_are_given_by_paths_that_are_the_same_in_every_run(bench: Bench) -> None:
    table = file_of(bench, b"a,1\n", "-table.csv")
    argv = ["sh", "-c", 'echo "$@"; cat "$@"', "sh", ref("table"), ref("many")]
    given = outcome(bench, argv, {"table": table, "many": Counted((table, table))})
    paths = "inputs/table/-table.csv inputs/many/00000/-table.csv inputs/many/00001/-table.csv"
    assert value(given) == f"{paths}\na,1\na,1\na,1\n"


def test_text_and_json_above_the_limit_are_given_as_if_they_were_small(bench: Bench) -> None:
    """They are artifacts (semantics 3), which is no affair of a program's."""
    text, data = "é" * 40_000, {"$a": list(range(40_000)), "b": math.inf}
    staging = Staging(bench.scratch, "s")
    large = {
        "text": to_datum(text, STR, artifacts=bench.artifacts, staging=staging),
        "texts": to_datum([text, "b"], {"name": "list", "item": STR}, artifacts=bench.artifacts, staging=staging),
        "data": to_datum(data, {"name": "struct"}, artifacts=bench.artifacts, staging=staging),
    }
    assert isinstance(large["text"], Artifact) and isinstance(large["data"], Artifact)
    types = {"text": STR, "texts": {"name": "list", "item": STR}, "data": {"name": "struct"}}
    shows = "import sys; print([len(each) for each in sys.argv[1:]], len(open('text.txt').read()), open('data.json').read()[:9])"
    files = {"text": "text.txt", "data": "data.json"}
    given = outcome(bench, [sys.executable, "-c", shows, ref("text"), ref("texts")], large, types=types, given=files)
    assert value(given).strip() == '[40000, 40000, 1] 40000 {"$a": [0'
    longer = outcome(bench, ["true", ref("data")], large, types=types)
    assert isinstance(longer, Failed) and "Give the input as a file." in longer.failure.message


def test_inputs_are_given_as_files_where_that_is_asked_for(bench: Bench) -> None:
    inputs: dict[str, Datum] = {
        "text": Inline("no newline"),
        "rows": Inline([1, {"a": 2.5}]),
        "table": file_of(bench, b"t"),
        "many": Counted((file_of(bench, b"x", "x"), file_of(bench, b"y", "y"))),
    }
    given = {"text": "a/text.txt", "rows": "rows.json", "table": "in.csv", "many": "parts"}
    script = "cat a/text.txt rows.json in.csv; ls parts; echo $table; cat parts/*"
    told = value(outcome(bench, script, inputs, given=given))
    assert told == 'no newline[1, {"a": 2.5}]t00000-x\n00001-y\nin.csv\nxy'


def test_a_command_sees_of_the_environment_what_it_declares(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_ODD", "odd")
    monkeypatch.setenv("PENSTOCK_TEST_SAID", "said")
    script = 'echo "${PENSTOCK_TEST_ODD:-unseen} $PENSTOCK_TEST_SAID $SET"; command -v sh > /dev/null'
    told = value(outcome(bench, script, variables=("PENSTOCK_TEST_SAID",), env={"SET": ["a", "b"]}))
    assert told == "unseen said ab\n"


def test_it_runs_in_an_empty_folder_of_its_own_with_what_it_declares(bench: Bench) -> None:
    (bench.project / "tools").mkdir()
    (bench.project / "tools" / "say.sh").write_text("#!/bin/sh\necho said; ls tools\n")
    (bench.project / "tools" / "say.sh").chmod(0o755)
    (bench.project / "secret.txt").write_text("not declared")
    files = pinned_files(["tools"], project=str(bench.project))
    pin = bench.artifacts.put_bytes(canonical_json({"files": files_to_json(files)}))
    (bench.project / "tools" / "say.sh").write_text("edited since")
    given = outcome(bench, "./tools/say.sh; ls; pwd", files=("tools",), pin=pin)
    assert value(given).startswith("said\nsay.sh\ntools\n")
    assert str(bench.scratch) in value(given)
    assert list(bench.scratch.iterdir()) == []


def test_a_large_declared_file_that_has_changed_since_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.code.files.HELD_BYTES_MAX", 3)
    (bench.project / "large").write_text("before")
    pinned = pinned_files(["large"], project=str(bench.project))
    pin = bench.artifacts.put_bytes(canonical_json({"files": files_to_json(pinned)}))
    asked = request(["cat", "large"], {}, files=("large",), pin=pin, code="code")
    assert bench.launcher.run(asked).outside == ()
    (bench.project / "large").write_text("after")
    ended = bench.launcher.run(asked)
    assert value(ended.outcome) == "after"
    assert ended.outside == ("large (changed since the run began)",)


def test_a_value_that_no_program_can_be_given_is_said_so(bench: Bench) -> None:
    failed = outcome(bench, ["echo", ref("x")], {"x": Inline("a\0b")})
    assert isinstance(failed, Failed)
    assert "NUL character" in failed.failure.message
    failed = outcome(bench, ["echo", ref("x")], {"x": Inline(["y" * 60_000] * 60)})
    assert isinstance(failed, Failed)
    assert "its arguments are longer than the system takes" in failed.failure.message
    lost = outcome(bench, ["cat", ref("x")], {"x": Artifact("blake3:00", "path", "file", 1)})
    assert isinstance(lost, InputLost)


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_outputs_come_from_files_json_and_what_is_printed(bench: Bench) -> None:
    script = """
        mkdir -p out/deep; echo hello > out/deep/a; printf 42 > n; echo '{"auc": 0.5, "rows": [1, 2]}' > s.json
        echo first; echo 7; echo
    """
    sources = {
        "tree": {"source": "file", "path": "out"},
        "file": {"source": "file", "path": "out/deep/a"},
        "items": {"source": "file", "path": "out/deep"},
        "number": {"source": "file", "path": "./n"},
        "auc": {"source": "json", "path": "s.json", "key": "auc"},
        "whole": {"source": "json", "path": "s.json"},
        "last": {"source": "last_line"},
        "all": {"source": "stdout"},
        "kept": {"source": "stdout"},
    }
    listed = {"name": "list", "item": PATH}
    types: list[Any] = [PATH, PATH, listed, INT, {"name": "float"}, {"name": "struct"}, INT, STR, PATH]
    ended = outcome(bench, script, sources=sources, outputs=dict(zip(sources, types, strict=True)))
    assert isinstance(ended, Succeeded), ended
    tree, file, items = (ended.outputs[name] for name in ("tree", "file", "items"))
    assert isinstance(tree, Artifact) and tree.form == "tree"
    assert isinstance(file, Artifact) and bench.artifacts.get_bytes(file.digest) == b"hello\n"
    assert isinstance(items, Counted) and [item.metadata["name"] for item in items.items] == ["a"]  # type: ignore[union-attr]
    names = ("number", "auc", "whole", "last", "all")
    assert [value(ended, name) for name in names] == [42, 0.5, {"auc": 0.5, "rows": [1, 2]}, 7, "first\n7\n\n"]
    kept = ended.outputs["kept"]
    assert isinstance(kept, Artifact) and bench.artifacts.get_bytes(kept.digest) == b"first\n7\n\n"


BAD = [
    ("touch other", {"source": "file", "path": "out.csv"}, PATH, "the command has not written out.csv; there is: other"),
    ("ln -s /etc/hostname out", {"source": "file", "path": "out"}, PATH, "is a link that leads out of the folder"),
    ("echo abc", {"source": "last_line"}, INT, "expected int, got the text 'abc'"),
    ("true", {"source": "last_line"}, STR, "the command printed nothing"),
    ("echo '{' > s", {"source": "json", "path": "s"}, INT, "s is no JSON"),
    ('echo \'{"b": 1}\' > s', {"source": "json", "path": "s", "key": "a"}, INT, "s has no 'a'; there are: b"),
    ("echo '[1]' > s", {"source": "json", "path": "s", "key": "a"}, INT, "s has no 'a'; it is no object"),
    ('printf "\\377" > s', {"source": "file", "path": "s"}, STR, "s is no UTF-8 text: invalid start byte at byte 0"),
    ("mkdir s", {"source": "file", "path": "s"}, STR, "s is no file"),
    ("echo 1 > s", {"source": "file", "path": "s"}, {"name": "list", "item": PATH}, "s is no folder"),
    ("yes | head -c 20000000", {"source": "stdout"}, STR, "a parameter is read from at most 16,777,216"),
    ("echo 1.5 > s", {"source": "json", "path": "s"}, INT, "expected int"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "source", "type_", "words"), BAD)
def test_a_missing_or_unreadable_output_is_named(
    bench: Bench, script: str, source: Any, type_: Any, words: str
) -> None:
    ended = outcome(bench, script, sources={"o": source}, outputs={"o": type_})
    assert isinstance(ended, OutputInvalid), ended
    assert ended.why.startswith("output 'o': ")
    assert words in ended.why


def test_an_optional_output_may_be_nothing(bench: Bench) -> None:
    sources = {"o": {"source": "file", "path": "s"}}
    assert value(outcome(bench, ": > s", sources=sources, outputs={"o": {**INT, "optional": True}}), "o") is None


# -- how it ends -------------------------------------------------------------------------------------------------------


def failure(bench: Bench, argv: list[Any] | str, inputs: dict[str, Datum] | None = None, **given: Any) -> str:
    ended = outcome(bench, argv, inputs, **given)
    assert isinstance(ended, Failed), ended
    assert "CommandFailed" in ended.failure.bases
    return ended.failure.message


def test_a_failure_says_the_command_its_exit_code_and_the_last_lines(bench: Bench) -> None:
    script = "i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; exit 3"
    message = failure(bench, ["sh", "-c", script, ref("x")], {"x": Inline("a b")})
    first, line, *rest = message.splitlines()
    assert first == "the command ended with exit code 3"
    assert line.startswith("$ sh -c 'i=0;") and line.endswith("'a b'")
    assert rest == [f"line {number}" for number in range(10, 30)]


def test_secrets_are_masked_in_what_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_TOKEN", "hunter22")
    argv = ["sh", "-c", 'echo "no $DB_TOKEN $1" >&2; exit 1', "sh", ref("password")]
    message = failure(bench, argv, {"password": Inline("open sesame")}, variables=("DB_TOKEN",))
    assert "hunter22" not in message and "open sesame" not in message
    assert message.endswith("no *** ***")


def test_a_script_ends_at_the_first_command_that_fails_and_at_a_variable_that_is_not_there(bench: Bench) -> None:
    assert "exit code 1" in failure(bench, "false\necho never")
    message = failure(bench, 'echo "$colour"')
    assert "exit code 2" in message or "exit code 127" in message or "exit code 1" in message
    assert "colour" in message.splitlines()[-1]


def test_a_signal_is_told_by_its_name(bench: Bench) -> None:
    assert "the command was killed by SIGSEGV" in failure(bench, "kill -SEGV $$")
    assert "the command was killed by SIGKILL (by somebody else" in failure(bench, "kill -9 $$")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-program"], "there is no program no-such-program on PATH\nInstall no-such-program"),
        (["./tool"], "there is no program ./tool\nDeclare it, so that it is there: files=['tool']."),
        (["given"], "It is a file of the task: write ./given."),
        (["./given"], "./given could not be started: Permission denied"),
    ],
)
def test_a_program_that_is_not_there_is_named(bench: Bench, argv: list[str], words: str) -> None:
    assert words in failure(bench, argv, {"x": Inline("text")}, given={"x": "given"})


def test_what_a_command_leaves_running_ends_with_it(bench: Bench, tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > pids; setsid sleep 601 & echo $! >> pids; echo done"
    sources = {"output": {"source": "stdout"}, "pids": {"source": "file", "path": "pids"}}
    ended = outcome(bench, script, sources=sources)
    assert value(ended) == "done\n"
    first, second = map(int, value(ended, "pids").split())
    while _runs(first):
        pass
    if _runs(second):  # in a session of its own it is a worker, as a subreaper, that ends it
        os.kill(second, 9)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_output_is_shown_as_it_comes(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    assert value(outcome(bench, "echo out; echo err >&2")) == "out\n"
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_struct_of_files_is_given_as_json_of_paths_or_as_a_folder(bench: Bench) -> None:
    source = bench.project / "a.txt"
    source.write_text("inside")
    digest, size = bench.artifacts.put_path(source)
    file = Artifact(digest, "path", "file", size, {"name": "a.txt"})
    parts = Struct({"of/b": file, "n": Inline(1), "more": Counted((file, Counted((file,))))})
    reads = "import json, sys; d = json.loads(sys.argv[1]); print(open(d['of/b']).read(), d['n'], open(d['more'][1][0]).read())"
    assert outcome(bench, [sys.executable, "-c", reads, {"input": "parts"}], {"parts": parts}) == Succeeded(
        {"output": Inline("inside 1 inside\n")}
    )
    lists = "import os; print(sorted(os.listdir('there')), open('there/of%2Fb').read(), open('there/n').read())"
    ended = outcome(bench, [sys.executable, "-c", lists], {"parts": parts}, given={"parts": "there"})
    assert ended == Succeeded({"output": Inline("['more', 'n', 'of%2Fb'] inside 1\n")})
