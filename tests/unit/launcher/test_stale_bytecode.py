"""Two edits of equal length within one second: Python's own bytecode files do not notice the second, workers do.

A bytecode file that another process left (a test runner, an editor, the user's own script) counts as current for Python
when the source has the size and the second that are written in it. No result may come from such a file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from penstock.testing.pythons import Project, call, pythons

MAIN = """
    import helper
    from importlib import import_module
    from penstock import pipeline, task

    VALUE = 1
    AT_IMPORT = helper.VALUE

    @task
    def answer():
        import late
        return [VALUE, AT_IMPORT, helper.VALUE, late.VALUE]

    @task(cache="trust")
    def by_name(name: str):
        return import_module(name).VALUE

    @pipeline
    def main():
        answer()
        by_name("named")
"""
MODULES = ("main", "helper", "late", "named")
SECOND = 1_700_000_000


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).parent.parent.name)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project(tmp_path, request.param)
    write(made, "1")
    return made


def write(project: Project, value: str) -> None:
    """Every module with this value, at the same second as before and of the same size."""
    for name in MODULES:
        text = MAIN.replace("VALUE = 1\n", f"VALUE = {value}\n") if name == "main" else f"VALUE = {value}\n"
        os.utime(project.write(f"{name}.py", text), (SECOND, SECOND))


def compile_sources(project: Project) -> None:
    """Leave the bytecode files that any other process of this interpreter would leave."""
    command = [project.python, "-m", "compileall", "-q", str(project.folder)]
    subprocess.run(command, check=True, env=without_python_variables())


def without_python_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_no_bytecode_of_an_older_edit_is_taken(project: Project) -> None:
    compile_sources(project)
    write(project, "2")
    ended = project.run(call("answer"), call("by_name", name="named"), environment={"PYTHONDONTWRITEBYTECODE": ""})
    assert [each.value for each in ended] == [[2, 2, 2, 2], 2]
    # Python by itself would take the older edit: else this test shows nothing
    code = "import helper; print(helper.VALUE)"
    done = subprocess.run(
        [project.python, "-c", code], cwd=project.folder, capture_output=True, env=without_python_variables()
    )
    assert done.stdout == b"1\n"


def test_attempts_leave_no_bytecode_for_the_next(project: Project) -> None:
    for value in ("1", "2", "3"):
        write(project, value)
        (ended,) = project.run(call("answer"), environment={"PYTHONDONTWRITEBYTECODE": ""})
        assert ended.value == [int(value)] * 4


SPAWNING = """
    from multiprocessing import get_context
    import helper
    from penstock import pipeline, task

    @task
    def answer():
        with get_context("spawn").Pool(1) as pool:
            return pool.apply(helper.value)

    @pipeline
    def main():
        answer()
"""


def test_a_process_that_a_task_starts_meets_no_bytecode_of_an_older_edit(project: Project) -> None:
    """It imports the sources from where they stand."""
    project.write("main.py", SPAWNING)
    for value in ("1", "2"):
        helper = project.write("helper.py", f"def value():\n    return {value}\n")
        os.utime(helper, (SECOND, SECOND))
        if value == "1":
            compile_sources(project)
    (ended,) = project.run(call("answer"), environment={"PYTHONDONTWRITEBYTECODE": ""})
    assert ended.value == 2 and not ended.outside
