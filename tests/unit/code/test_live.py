"""Functions that live in no file, as those of a notebook: cells are run as a notebook runs them, and what a task
reaches is made into a module that runs elsewhere."""

from __future__ import annotations

import linecache
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import InvalidPipeline
from penstock.code.live import live_source, pin_live
from penstock.stores.artifacts.disk import DiskArtifactStore

Notebook = Callable[..., dict[str, Any]]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    names: dict[str, Any] = {"__name__": "__main__"}
    files: list[str] = []

    def run(*cells: str) -> dict[str, Any]:
        for cell in cells:
            text = textwrap.dedent(cell).lstrip("\n")
            file = f"<cell {len(files)}>"
            files.append(file)
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            exec(compile(text, file, "exec", dont_inherit=True), names)
        return names

    yield run
    for file in files:
        linecache.cache.pop(file, None)


def _elsewhere(source: str, expression: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys\nexec(sys.stdin.read())\nprint({expression})"],
        input=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{source}\n{done.stderr}"
    return done.stdout.strip()


def test_a_task_takes_along_what_it_reaches_and_nothing_else(notebook: Notebook) -> None:
    names = notebook(
        """
        import json, os.path
        import math as m
        from collections import Counter
        from dataclasses import dataclass
        from enum import Enum
        from penstock import task, pipeline, Retry
        """,
        """
        LIMIT = 2
        TABLE = {"a": (1, 2.5), "b": {3, 1}, "inf": float("-inf")}
        heavy = object()
        class Colour(Enum):
            RED = "red"
        @dataclass
        class Config:
            rate: float
            colour: Colour = Colour.RED
        CONFIG = Config(0.5)
        unused = open
        """,
        """
        def even(n):
            return n == 0 or odd(n - 1)
        def odd(n):
            return n != 0 and even(n - 1)
        def logged(function):
            return function
        """,
        """
        RETRY = Retry(3, on=ValueError)
        @task(retry=RETRY)
        @logged
        def fit(x: int = LIMIT) -> dict:
            heavy = 1
            found = Counter(str(x))
            return {"even": even(x), "m": m.floor(2.5), "rate": CONFIG.rate, "red": CONFIG.colour.name,
                    "table": sorted(TABLE["b"]), "path": os.path.join("a", "b"), "json": json.dumps(dict(found))}
        @pipeline
        def whole(x: int = 3) -> dict:
            return fit(x)
        """,
    )
    source = live_source([names["whole"]])
    assert "unused" not in source
    assert "object()" not in source
    expected = names["fit"](4)
    assert _elsewhere(source, "fit(4)") == str(expected)
    assert _elsewhere(source, "[n.name for n in whole.graph().nodes]") == "['fit']"
    assert live_source([names["whole"]]) == source


def test_the_values_of_now_count(notebook: Notebook) -> None:
    names = notebook("rate = 1\ndef f(): return rate", "rate = 2\nimport math as name\ndef g(): return f() + name.pi")
    assert _elsewhere(live_source([names["g"]]), "f()") == "2"


def test_an_alias_and_a_lambda(notebook: Notebook) -> None:
    names = notebook("double = lambda x: 2 * x\ndef f(x): return other(double(x))\ndef g(x): return x + 1\nother = g")
    assert _elsewhere(live_source([names["f"]]), "f(3)") == "7"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("model = object()\ndef f(): return model", "the global 'model' of type builtins.object, which 'f' uses"),
        ("big = 'x' * 100_000\ndef f(): return big", "larger than 65,536 bytes"),
        ("def make(a):\n    def inner(): return a\n    return inner\nf = make(1)", "captures a"),
    ],
)
def test_what_cannot_be_carried_is_named(notebook: Notebook, cell: str, message: str) -> None:
    names = notebook(cell)
    with pytest.raises(InvalidPipeline) as invalid:
        live_source([names["f"]])
    assert message in str(invalid.value)


def test_everything_that_is_wrong_is_said_at_once(notebook: Notebook) -> None:
    names = notebook("a, b = object(), object()\ndef f(): return a, g()\ndef g(): return b")
    with pytest.raises(InvalidPipeline) as invalid:
        live_source([names["f"], 3])
    assert len(invalid.value.diagnostics) == 3


def test_a_pinned_notebook_with_a_module_of_the_project(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, artifacts = tmp_path / "project", DiskArtifactStore(tmp_path / "store")
    project.mkdir()
    (project / "mine_to_import.py").write_text("X = 1")
    monkeypatch.syspath_prepend(project)
    names = notebook("import mine_to_import\ndef f(): return mine_to_import.X")
    pin, module = pin_live([names["f"]], artifacts, project=str(project))
    (project / "mine_to_import.py").write_text("X = 'new'")
    code = f"""
import sys
from pathlib import Path
from penstock.code import pins
from penstock.stores.artifacts.disk import DiskArtifactStore
pins.serve({pin!r}, artifacts=DiskArtifactStore(Path({str(tmp_path / "store")!r})), project={str(project)!r})
import {module}
print({module}.f())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr
    sys.modules.pop("mine_to_import", None)
