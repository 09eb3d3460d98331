"""Bad input gets a located message, a fix and exit code 2, and leaves nothing behind. The exact texts are in
golden/."""

from __future__ import annotations

import pytest

NOTHING_LEFT = {"bad.py", "needed.py", "pyproject.toml"}


def left_in(project) -> set[str]:
    return {path.name for path in project.folder.iterdir()} - NOTHING_LEFT


TWO = """
    from penstock import pipeline, task


    @task
    def add(a: int, b: int = 1) -> int:
        return a + b


    @pipeline
    def sums(seed: int, rate: float = 0.5, mode: str = "fast") -> int:
        return add(seed)
"""

TARGETS = {
    "unknown_file": ("nosuch.py", ""),
    "nearly_known_file": ("bda.py", TWO),
    "unknown_module": ("no.such.module:flights", ""),
    "folder": (".", TWO),
    "no_name": ("bad.py:", TWO),
    "unknown_pipeline": ("bad.py:summs", TWO),
    "no_pipeline": ("bad.py", "x = 1\n"),
    "several_pipelines": (
        "bad.py",
        TWO + "\n\n    @pipeline\n    def others(seed: int) -> int:\n        return add(seed)\n",
    ),
    "syntax_error": ("bad.py", "import os\n\ndef broken(:\n    pass\n"),
    "raises_at_import": ("bad.py", "def rows():\n    return {}['missing']\n\n\nROWS = rows()\n"),
    "missing_import": ("bad.py", "import a_package_that_is_not_here\n"),
    "exits_at_import": ("bad.py", "import sys\nsys.exit(3)\n"),
    "kills_itself_at_import": ("bad.py", "import os\nos._exit(3)\n"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, project, golden) -> None:
    target, text = TARGETS[name]
    if text:
        project.write("bad.py", text)
    done = project.call("run", target)
    golden(name, done)
    assert done.status == 2
    assert left_in(project) == set()


def test_a_traceback_starts_at_the_authors_line_whatever_file_it_is_in(project, golden) -> None:
    project.write("needed.py", "def load(path):\n    with open(path) as file:\n        return file.read()\n")
    project.write("bad.py", "import needed\n\nTEXT = needed.load('not-there.csv')\n")
    done = project.call("run", "bad.py")
    golden("raises_in_another_file", done)
    assert done.status == 2
    assert "penstock/" not in done.err
    assert left_in(project) == set()


PARAMETERS = {
    "missing_parameter": (),
    "unknown_parameter": ("-p", "seed=1", "-p", "raet=1"),
    "wrong_types": ("-p", "seed=many", "-p", "rate=high"),
    "not_a_parameter": ("-p", "seed"),
    "given_twice": ("-p", "seed=1", "-p", "seed=2"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter(name: str, project, golden) -> None:
    project.write("bad.py", TWO)
    done = project.call("run", "bad.py", *PARAMETERS[name])
    golden(name, done)
    assert done.status == 2
    assert left_in(project) == set()


COMMANDS = {
    "unknown_verb": ("rnu", "bad.py"),
    "no_target": ("run",),
    "unknown_option": ("run", "bad.py", "--jsno"),
    "too_many_words": ("run", "bad.py", "worse.py"),
    "show_without_runs": ("show", "latest"),
    "retry_without_runs": ("retry", "latest"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command(name: str, project, golden) -> None:
    project.write("bad.py", TWO)
    done = project.call(*COMMANDS[name])
    golden(name, done)
    assert done.status == 2
    assert left_in(project) == set()


def test_check_says_everything_at_once(project, golden) -> None:
    project.write(
        "bad.py",
        """
        from penstock import pipeline, task


        @task
        def number() -> int:
            return 1


        @task
        def text(value: str, more: object) -> str:
            return value


        @pipeline
        def wrong() -> str:
            one = number()
            text(one)
            text(value="a", mroe=1)
            text("a", more={1, 2})
            return one.nothing
        """,
    )
    done = project.call("check", "bad.py")
    golden("check_everything", done)
    assert done.status == 2
    assert left_in(project) == set()
    as_json = project.call("check", "bad.py", "--json")
    assert as_json.status == 2
    diagnostics = as_json.json["diagnostics"]
    assert len(diagnostics) >= 4
    assert all(item["location"]["line"] > 0 and item["fix"] for item in diagnostics)


def test_code_that_cannot_be_followed_is_a_warning(project, golden) -> None:
    project.write(
        "bad.py",
        """
        import subprocess
        from penstock import pipeline, task


        @task
        def load() -> int:
            return subprocess.run(["wc", "-l", "needed.csv"]).returncode


        @task
        def grow(x: int) -> int:
            return eval("x + 1")


        @pipeline
        def sums() -> int:
            return grow(load())
        """,
    )
    project.write("needed.csv", "a\n1\n")
    done = project.call("check", "bad.py")
    golden("check_unresolved", done)
    assert done.status == 0
    found = project.call("check", "bad.py", "--json").json
    assert [item["code"] for item in found["diagnostics"]] == ["unseen-read", "unresolved-code"]
    assert found["valid"] is True


def test_unknown_setting(project, golden) -> None:
    project.write("bad.py", TWO)
    project.write("pyproject.toml", '[tool.penstock]\ncpus = 4\nmemory_bytes = "much"\n')
    done = project.call("run", "bad.py", "-p", "seed=1")
    golden("unknown_setting", done)
    assert done.status == 2
    assert left_in(project) == set()


def test_more_than_the_machine_has_is_refused_before_anything_runs(project, golden) -> None:
    project.write(
        "bad.py",
        """
        from penstock import Resources, pipeline, task


        @task(resources=Resources(memory="900TiB"))
        def huge() -> int:
            return 1


        @pipeline
        def wants_much() -> int:
            return huge()
        """,
    )
    done = project.call("run", "bad.py", PENSTOCK_MEMORY_BYTES="1GiB")
    golden("more_than_the_machine_has", done)
    assert done.status == 2
    assert left_in(project) == set()


LISTED = """
    from penstock import pipeline, task


    @task
    def numbers(n: int) -> list[int]:
        return list(range(n))


    @pipeline
    def listed(n: int = 3):
        return {"numbers": numbers(n)}
"""


def test_what_a_run_does_not_have_is_refused_with_what_it_has(project) -> None:
    project.write("pyproject.toml", "")
    project.write("bad.py", LISTED)
    assert project.call("run", "bad.py").status == 0
    for arguments, message, fix in (
        (("logs", "latest", "numbers#9"), "numbers has no attempt '9'", "numbers#1"),
        (("runs", "-n", "-1"), "--limit must be at least 1, got -1", ""),
        (("get", "latest", "numbers/1"), "", "-o FOLDER"),
        (("run", "bad.py", "--params", "twice.json"), 'the key "n" is there more than once', ""),
    ):
        project.write("twice.json", '{"n": 1, "n": 2}')
        done = project.call(*arguments)
        assert done.status == 2 and message in done.err and fix in done.err, (arguments, done.out, done.err)


def test_a_file_that_is_not_utf8_is_named_with_its_line(project) -> None:
    project.write("pyproject.toml", "")
    (project.folder / "latin.py").write_bytes(b"import os\n# caf\xe9\n")
    done = project.call("check", "latin.py")
    assert done.status == 2
    assert "latin.py is not valid UTF-8 (line 2)" in done.err and "Save it as UTF-8." in done.err
