"""Code that runs outside of its component's closure is noticed (cache rule 14), under every Python that is here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.testing.pythons import Project, call, pythons

MAIN = """
    import helpers
    from importlib import import_module
    from penstock import pipeline, task

    table = {"plus": lambda x: x + 1}

    def decorated(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    @decorated
    def half(x): return x / 2

    class Model:
        factor = 3
        def __init__(self): self.seen = []
        @property
        def last(self): return self.seen[-1]
        @staticmethod
        def times(x): return x * 2
        @classmethod
        def made(cls): return cls()
        def predict(self, x):
            self.seen.append(sum(y for y in [x] if y))
            return [self.times(each) for each in self.seen][0]

    @task
    def inside(x: int):
        def inner(y): return half(y)
        model = Model.made()
        model.predict(x)
        return inner(table["plus"](x)) + model.last + helpers.used(x)

    @task
    def by_name(name: str, function: str):
        return getattr(import_module(name), function)(1)

    @task
    def often(n: int):
        total = 0
        for each in range(n):
            total += helpers.used(each) + half(each)
        return total

    @task(cache="trust")
    def static(x: int):
        import plugin
        return plugin.run(x)

    @pipeline
    def main(x: int = 1):
        inside(x)
        by_name("plugin", "run")
        static(x)
        often(x)
"""
HELPERS = """
    def used(x): return x + 1
    def unused(x): return x + 2
    class Other:
        def method(self): return 1
"""


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).parent.parent.name)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project(tmp_path, request.param)
    made.write("main.py", MAIN)
    made.write("helpers.py", HELPERS)
    made.write("plugin.py", "def run(x): return helper(x)\ndef helper(x): return x * 5\n")
    return made


def names_of_plugin(project: Project) -> list[str]:
    """What runs when `plugin.run` is called; 3.11 names the module that is imported as well."""
    import subprocess

    done = subprocess.run([project.python, "-c", "import sys; print(hasattr(sys, 'monitoring'))"], capture_output=True)
    names = ["plugin:helper", "plugin:run"]
    return names if done.stdout.strip() == b"True" else ["plugin", *names]


def test_what_the_closure_holds_is_not_outside(project: Project) -> None:
    ended = project.run(call("inside", x=2), call("inside", x=3), call("static", x=1), call("inside", x=4))
    assert [each.outside for each in ended] == [[], [], [], []]
    assert [each.value for each in ended] == [6.5, 9.0, 5, 11.5]


def test_what_it_does_not_hold_is_outside_every_time(project: Project) -> None:
    first, second = project.run(
        call("by_name", name="plugin", function="run"), call("by_name", name="plugin", function="run")
    )
    expected = names_of_plugin(project)
    assert first.outside == expected
    assert first.value == 5
    assert second.outside == expected


def test_what_another_component_has_run_before_is_noticed_still(project: Project) -> None:
    """A warm process: the code ran, and its module was imported, for a component whose closure holds it."""
    ended = project.run(
        call("static", x=1),
        call("by_name", name="plugin", function="run"),
        call("static", x=1),
        call("by_name", name="plugin", function="run"),
    )
    expected = names_of_plugin(project)
    assert [each.outside for each in ended] == [[], expected, [], expected]


def test_functions_of_modules_that_are_loaded_anyway_are_told_apart(project: Project) -> None:
    (ended,) = project.run(call("by_name", name="helpers", function="unused"))
    assert ended.outside == ["helpers:unused"]


def test_functions_that_another_component_has_called_often_are_noticed_still(project: Project) -> None:
    by_name, decorated = call("by_name", name="helpers", function="used"), call("by_name", name="main", function="half")
    ended = project.run(
        call("often", n=40_000), by_name, decorated, by_name, call("often", n=40_000), decorated, by_name
    )
    used, half = ["helpers:used"], ["main:decorated.<locals>.wrapper", "main:half"]
    assert [each.outside for each in ended] == [[], used, half, used, [], half, used]


def test_a_source_that_is_not_pinned_is_outside(project: Project) -> None:
    (project.folder / "later").mkdir()
    project.write("later/late.py", "def run(x): return x\n")
    source = MAIN.replace("return getattr(", "import sys; sys.path.append('later'); return getattr(")
    project.write("main.py", source)
    (ended,) = project.run(call("by_name", name="late", function="run"))
    assert ended.outside == ["later/late.py (imported from where it stands)"]


def test_this_python_is_among_those_tested() -> None:
    assert sys.executable in pythons()
