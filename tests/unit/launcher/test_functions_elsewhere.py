"""What processes that a task starts anew import and call is compared with its closure (cache rule 14), under every Python that
is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.testing.pythons import Project, call, pythons

MAIN = """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from pydoc import locate
    import settings
    import helper
    from penstock import pipeline, task

    def square(x):
        return x * x

    def nested(x):
        return locate("settings.rate")(x)

    def started(function, *given):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return [pool.submit(function, *each).result() for each in given]

    @task
    def own():
        return started(square, (1,), (2,))

    @task
    def other():
        return started(helper.double, (1,), (2,))

    @task
    def by_name(name: str):
        return started(square, (1,)) + started(locate(name), (1,))

    @task
    def mixed(name: str):
        with get_context("spawn").Pool(1) as pool:
            return pool.map(square, [1]) + pool.map(locate(name), [1])

    @task
    def inside():
        return started(square, (1,)) + started(nested, (1,))

    @task
    def last(name: str):
        process = get_context("spawn").Process(target=locate(name), args=(1,))
        process.start()
        process.join()
        return process.exitcode

    @task
    def rated():
        return settings.rate(1)

    @pipeline
    def main():
        own()
        other()
        by_name("settings.rate")
        mixed("settings.rate")
        inside()
        last("settings.rate")
        rated()
"""
SETTINGS = """
    def made(value):
        return {"rate": value}

    RATES = made(3)

    def rate(x):
        return x * RATES["rate"]

    class Table:
        def __init__(self, x):
            self.x = x
"""
IMPORTED = "settings (imported by another process of the task)"
CALLED = "settings:rate (called in another process of the task)"


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).parent.parent.name)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project(tmp_path, request.param)
    made.write("main.py", MAIN)
    made.write("settings.py", SETTINGS)
    made.write("helper.py", "import settings\nLIMIT = settings.made(2)\ndef double(x): return x * 2\n")
    return made


def test_a_module_that_another_modules_import_imports_is_part_of_that_import(project: Project) -> None:
    own, other = project.run(call("own"), call("other"))
    assert (own.value, own.outside) == ([1, 4], [])
    assert (other.value, other.outside) == ([2, 4], [])


def test_a_function_that_is_called_there_outside_of_the_closure_is_named(project: Project) -> None:
    by_name, inside, last, own = project.run(
        call("by_name", name="settings.rate"), call("inside"), call("last", name="settings.rate"), call("own")
    )
    assert by_name.value == [1, 3] and CALLED in by_name.outside
    assert inside.value == [1, 3] and CALLED in inside.outside
    assert last.value == 0 and CALLED in last.outside
    assert own.outside == []


def test_a_module_that_no_other_one_imports_there_has_to_be_in_the_closure(project: Project) -> None:
    by_name, mixed = project.run(call("by_name", name="settings.rate"), call("mixed", name="settings.rate"))
    assert IMPORTED in by_name.outside
    assert (mixed.value, mixed.outside) == ([1, 3], [CALLED])
