"""TARGET is described in a process of its own: its graph, its diagnostics, its pin, or what is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from penstock.graph.codec import graph_from_json
from penstock.launcher.outer.provenance import collect
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.wire import Description, description_from_json

_DESCRIBE = """
import json, sys
from pathlib import Path
from penstock.launcher.outer.attempt import Launcher
from penstock.launcher.outer.describe import describe
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.wire import *
project, target = sys.argv[1:3]
artifacts = DiskArtifactStore(Path(project) / ".penstock" / "artifacts")
launcher = Launcher(artifacts=artifacts, scratch=Path(project) / ".penstock" / "scratch", project=Path(project))
description = describe(DescribeRequest(target, project), artifacts=artifacts)
heavy = {"numpy", "pandas", "polars", "pyarrow", "torch", "sqlalchemy"}
third = {name.partition(".")[0] for name in sys.modules} & heavy
print(json.dumps({"description": description_to_json(description), "third": sorted(third)}))
if len(sys.argv) > 3:
    types = {"x": {"name": "int"}}, {"output": {"name": "any"}}
    function = FunctionRequest("flights", sys.argv[3], *types, description.pin)
    ended = launcher.run(AttemptRequest("r/t#1", function, {"x": Inline(1)}, seed=0))
    print(json.dumps(outcome_to_json(ended.outcome)))
"""

FLIGHTS = """
    from penstock import pipeline, task

    @task
    def double(x: int) -> int:
        from helper import factor
        return x * factor()

    @pipeline
    def flights(x: int = 3) -> int:
        return double(double(x))
"""


class Author:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, source: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return str(path)

    def lines(self, target: str, *more: str) -> list[Any]:
        command = [sys.executable, "-W", "error", "-c", _DESCRIBE, str(self.folder), target, *more]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def describe(self, target: str) -> Description:
        return description_from_json(self.lines(target)[0]["description"])


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


@pytest.mark.parametrize("target", ["flights.py", "{folder}/flights.py", "flights.py:flights", "flights:flights"])
def test_a_target_is_described(author: Author, target: str) -> None:
    author.write("flights.py", FLIGHTS)
    author.write("helper.py", "def factor(): return 2")
    (line,) = author.lines(target.format(folder=author.folder))
    found = description_from_json(line["description"])
    assert (found.error, found.failure, found.diagnostics) == ("", None, ())
    assert found.pipelines == ("flights",)
    assert found.graph is not None
    graph = graph_from_json(found.graph)
    assert [node.name for node in graph.nodes] == ["double", "double-2"]
    assert found.pin.startswith("blake3:")
    assert found.provenance["distributions"]["polars"]
    assert found.provenance["git"] is None
    assert line["third"] == []


def test_the_process_that_described_is_warm_for_that_pin(author: Author) -> None:
    author.write("flights.py", FLIGHTS)
    author.write("helper.py", "def factor(): return 5")
    _, outcome = author.lines("flights.py", "double")
    assert outcome == {"kind": "succeeded", "outputs": {"output": {"value": 5}}}


def test_a_target_in_a_package_and_under_src(author: Author) -> None:
    author.write("src/pack/__init__.py", "")
    author.write("src/pack/helper.py", "def factor(): return 2")
    author.write("src/pack/flights.py", FLIGHTS.replace("from helper", "from .helper"))
    for target in ("src/pack/flights.py", "pack.flights:flights"):
        found = author.describe(target)
        assert found.graph is not None, (found.error, found.failure)
        assert graph_from_json(found.graph).nodes[0].component.module == "pack.flights"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "error", "fix"),
    [
        ("nothing.py", "there is no file nothing.py", ""),
        ("flihgts.py", "did you mean flights.py?", ""),
        ("notes.txt", "'notes.txt' is not a target", "file.yaml, either with :name"),
        ("nowhere.at.all:x", "there is no module nowhere", "src folder"),
        (
            "flights.py:flihgts",
            "there is no 'flihgts' in flights.py; did you mean flights?",
            "There is flights.py:flights",
        ),
        ("flights.py:double", "double in flights.py is not a pipeline", "There is flights.py:flights"),
        ("empty.py", "there is no pipeline in empty.py", "@pipeline"),
        ("two.py", "there are 2 pipelines in two.py", "Say which: two.py:a, two.py:b"),
        ("random.py", "would be the module 'random'", "Rename the file"),
    ],
)
def test_a_target_that_cannot_be_used(author: Author, target: str, error: str, fix: str) -> None:
    author.write("flights.py", FLIGHTS)
    author.write("empty.py", "x = 1")
    author.write("random.py", "x = 1")
    author.write(
        "two.py",
        "from penstock import pipeline, task\n@task\ndef t() -> int: return 1\n"
        "@pipeline\ndef a() -> int: return t()\n@pipeline\ndef b() -> int: return t()",
    )
    found = author.describe(target)
    assert found.graph is None
    assert found.failure is None
    assert error in found.error
    assert fix in found.fix


@pytest.mark.parametrize(
    ("source", "kind", "message", "line"),
    [
        ("x = 1\n\nraise ValueError('no data here')", "builtins:ValueError", "no data here", 3),
        ("def f(:\n  pass", "builtins:SyntaxError", "invalid syntax", 1),
        ("import not_installed_anywhere", "builtins:ModuleNotFoundError", "No module named", 1),
        ("import sys\nsys.exit(4)", "builtins:SystemExit", "called sys.exit(4)", 2),
        ("import helper", "builtins:ZeroDivisionError", "division by zero", 1),
        (
            "from penstock import pipeline\n@pipeline\ndef p():\n    return {}['key']",
            "builtins:KeyError",
            "key",
            4,
        ),
    ],
)
def test_a_target_whose_code_raises(author: Author, source: str, kind: str, message: str, line: int) -> None:
    file = author.write("broken.py", source)
    author.write("helper.py", "1 / 0")
    found = author.describe("broken.py")
    assert found.failure is not None
    assert found.failure.type == kind
    assert message in found.failure.message
    shown = [text for text in found.failure.traceback.splitlines() if text.startswith("  File ")]
    assert shown[0].startswith(f'  File "{file}", line {line}')
    assert "penstock/" not in found.failure.traceback
    assert "importlib" not in found.failure.traceback


def test_a_pipeline_with_errors_has_diagnostics_and_no_graph(author: Author) -> None:
    author.write("flights.py", FLIGHTS.replace("double(double(x))", "double('text')"))
    found = author.describe("flights.py")
    assert found.graph is None
    (diagnostic,) = found.diagnostics
    assert diagnostic["severity"] == "error"
    assert diagnostic["location"]["file"].endswith("flights.py")


FOLLOWED = """
    import subprocess
    from importlib import import_module
    import polars
    from penstock import pipeline, task
    import helper

    @task
    def first(x: int) -> int:
        return helper.run(x)

    @task
    def second(x: int) -> int:
        return helper.run(x) + len(import_module(f"plugin{x}").__name__)

    @task
    def rows(x: int) -> int:
        return polars.read_csv("data.csv").height + len(subprocess.run(["cat", "data.csv"]).args)

    @task
    def script(x: int) -> int:
        return subprocess.run(["python", "train.py"]).returncode

    @task(cache=False)
    def never(x: int) -> int:
        return eval("x")

    @task(cache="trust")
    def trusted(x: int) -> int:
        return eval("x")

    @task(depends=["helper"])
    def told(x: int) -> int:
        return eval("x")

    @task
    def used(x: int) -> int:
        return eval("x")

    @pipeline
    def flights(x: int = 3):
        for one in (first, second, rows, script, never, trusted, told):
            one(x)
        used.options(cache=False)(x)
        used.options(cache="trust")(x)
"""


def test_what_cannot_be_followed_is_warned_of_where_it_stands(author: Author) -> None:
    author.write("flights.py", FOLLOWED)
    author.write("helper.py", "def run(x):\n    return eval('x')\n")
    author.write("data.csv", "a\n1\n")
    found = author.describe("flights.py")
    assert found.graph is not None
    told = [
        (f"{each['location']['file']}:{each['location']['line']}", each["code"], each["message"], each["fix"])
        for each in found.diagnostics
    ]
    assert {each["severity"] for each in found.diagnostics} == {"warning"}
    unresolved = 'Name what it runs, @task(depends=[...]), or answer for it yourself, @task(cache="trust").'
    unseen = "Declare it: @task(files=['data.csv']), or take it as an input, File('data.csv')."
    assert told == [
        (
            "flights.py:14",
            "unresolved-code",
            "'second' is not cached: the name of an imported module is computed",
            unresolved,
        ),
        ("flights.py:18", "unseen-read", "'rows' is not cached: cat reads data.csv, which nobody sees", unseen),
        (
            "flights.py:22",
            "unresolved-code",
            "'script' is not cached: a script is started as another program",
            unresolved,
        ),
        (
            "helper.py:2",
            "unresolved-code",
            "'first', 'second' are not cached: eval runs code that is made as it goes",
            unresolved,
        ),
    ]


SHARED = """
    import os
    from pathlib import Path
    import joblib
    from penstock import Scratch, context, pipeline, task

    @task
    def shared(frame, model) -> Path:
        with open("out.txt", "w") as file:
            file.write("1")
        Path("a", "b.txt").write_text("1")
        target = Path("data") / "c.csv"
        frame.to_csv(target, index=False)
        joblib.dump(model, "model.joblib")
        with target.open(mode="a") as file:
            file.write("1")
        return target

    @task
    def own(frame, name, folder: Scratch) -> Path:
        open("out.txt").read()
        open("/tmp/x", "w").close()
        open(f"{name}.txt", "w").close()
        Path("out.txt").read_text()
        (folder / "out.txt").write_text("1")
        target = context().scratch / "a"
        frame.to_csv(target)
        frame.to_csv(sep=",")
        "text".replace("a", "b")
        return target

    @task
    def elsewhere(frame, folder: Scratch) -> Path:
        os.chdir(folder)
        frame.to_csv("out.csv")
        return folder / "out.csv"

    def helper():
        open("out.txt", "w")

    @pipeline
    def drawing(frame=None, model=None):
        return {"a": shared(frame, model), "b": own(frame, "x"), "c": elsewhere(frame)}
"""


def test_a_fixed_path_that_a_task_writes_is_warned_of(author: Author) -> None:
    author.write("drawing.py", SHARED)
    found = author.describe("drawing.py")
    assert found.graph is not None
    shared = [each for each in found.diagnostics if each["code"] == "shared-write"]
    told = [(each["location"]["line"], each["message"].split()[2]) for each in shared]
    assert told == [
        (9, "'out.txt'"),
        (11, "'a/b.txt'"),
        (13, "'data/c.csv'"),
        (14, "'model.joblib'"),
        (15, "'data/c.csv'"),
    ]
    assert {(each["severity"], each["location"]["file"]) for each in shared} == {("warning", "drawing.py")}
    assert shared[0]["fix"].endswith("and use folder / 'out.txt'.")


UNSTORABLE = """
    from abc import ABC
    from dataclasses import dataclass
    from typing import Annotated, Any, NamedTuple
    import numpy as np
    from penstock import Form, pipeline, task
    from penstock.values import register

    class Model: ...
    class Known: ...
    register(Known, write=lambda value, path: path.write_text(""), read=lambda path: Known())
    class Kind(ABC): ...
    @dataclass
    class One(Kind):
        x: int
    class Two(NamedTuple):
        model: Model
        score: np.float64

    @task
    def a() -> Model: ...
    @task
    def b() -> list[Model]: ...
    @task
    def c() -> Two: ...
    @task
    def d() -> Annotated[Model, Form("pickle")]: ...
    @task
    def e() -> Known: ...
    @task
    def f() -> Kind: ...
    @task
    def g() -> Any: ...
    @task
    def h(x: Model) -> "int": ...
    @task(environment={"python": "3.12"})
    def i() -> Model: ...

    @pipeline
    def models():
        d_ = d()
        return {"a": a(), "b": b(), "c": c().model, "d": d_, "e": e(), "f": f(), "g": g(), "h": h(d_), "i": i()}
"""


def test_an_output_that_cannot_be_stored_is_an_error(author: Author) -> None:
    author.write("models.py", UNSTORABLE)
    found = author.describe("models.py")
    assert found.graph is None
    told = [each for each in found.diagnostics if each["code"] == "unstorable-output"]
    assert [each["message"] for each in told] == [
        "'a' returns models:Model, which no form can store",
        "'b' returns list[models:Model], which no form can store",
        "'c' returns as 'model' models:Model, which no form can store",
    ]
    assert {each["severity"] for each in told} == {"error"} and 'Form("pickle")' in told[0]["fix"]


def test_provenance_of_a_repository(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "a b.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    clean = collect(str(tmp_path))
    assert len(clean["git"]["commit"]) == 40
    assert (clean["git"]["branch"], clean["git"]["dirty"], clean["git"]["changed"]) == ("main", False, [])
    (tmp_path / "a b.py").write_text("2")
    (tmp_path / "new.py").write_text("2")
    assert collect(str(tmp_path))["git"]["changed"] == ["a b.py", "new.py"]
    assert clean["hardware"]["cpu_count"] > 0
    assert clean["hardware"]["memory_bytes"] > 0
    assert clean["distributions"]["pytest"] == pytest.__version__


# -- pipeline files -----------------------------------------------------------------------------------------------------

FILE = """
    penstock: 1
    pipeline: doubled
    parameters: {x: {type: int, default: 3}}
    tasks:
      double: {function: flights:double, inputs: {x: "${parameters.x}"}}
      more: {pipeline: parts/more.yaml, inputs: {x: "${double}"}}
    outputs: {all: "${more.all}"}
"""
MORE = """
    penstock: 1
    pipeline: more
    parameters: {x: int}
    tasks:
      again: {function: flights:double, inputs: {x: "${parameters.x}"}}
    outputs: {all: "${again}"}
"""


def pinned(author: Author, pin: str) -> Any:
    return json.loads(DiskArtifactStore(author.folder / ".penstock" / "artifacts").get_bytes(pin))


def test_a_pipeline_file_is_described_and_its_bytes_are_pinned(author: Author) -> None:
    author.write("flights.py", FLIGHTS)
    author.write("helper.py", "def factor(): return 2")
    author.write("doubled.yaml", FILE)
    author.write("parts/more.yaml", MORE)
    found = author.describe("doubled.yaml")
    assert (found.error, found.failure, found.diagnostics) == ("", None, ())
    assert found.pipelines == ("doubled",)
    assert found.graph is not None
    assert [node.name for node in graph_from_json(found.graph).nodes] == ["double", "more"]
    assert {"flights", "helper"} <= pinned(author, found.pin)["modules"].keys()
    assert pinned(author, found.pin)["target"] == "flights"
    assert pinned(author, found.pin)["files"].keys() == {"doubled.yaml", "parts/more.yaml"}
    author.write("parts/more.yaml", MORE + "description: changed\n")
    assert author.describe("doubled.yaml").pin != found.pin


def test_the_process_that_described_a_file_is_warm_for_its_pin(author: Author) -> None:
    author.write("flights.py", FLIGHTS)
    author.write("helper.py", "def factor(): return 5")
    author.write("doubled.yaml", FILE)
    author.write("parts/more.yaml", MORE)
    _, outcome = author.lines("doubled.yaml", "double")
    assert outcome == {"kind": "succeeded", "outputs": {"output": {"value": 5}}}


@pytest.mark.parametrize(
    ("target", "error", "fix"),
    [
        ("nosuch.yaml", "there is no file nosuch.yaml", ""),
        ("two.yaml", "there are 2 pipelines in two.yaml", "Say which: two.yaml:first, two.yaml:second"),
        ("two.yaml:frist", "there is no 'frist' in two.yaml", "Did you mean 'first'?"),
        ("parts.yaml", "there is no pipeline in parts.yaml", "Add `pipeline: NAME`"),
    ],
)
def test_a_file_without_the_pipeline_that_is_meant(author: Author, target: str, error: str, fix: str) -> None:
    author.write("two.yaml", "penstock: 1\npipelines:\n  first: {tasks: {}}\n  second: {tasks: {}}\n")
    author.write("parts.yaml", "penstock: 1\ncomponents: {}\n")
    found = author.describe(target)
    assert found.graph is None
    assert error in found.error
    assert fix in found.fix
    assert author.describe("two.yaml:second").graph is not None
