"""Attempts of a described project in a process of its own, under each Python that is here: what they read, what ran, what
changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import penstock

SOURCES = Path(penstock.__file__).parents[1]
_RUN = """
import json, sys
from pathlib import Path
from penstock.launcher.outer.attempt import Launcher
from penstock.launcher.outer.describe import describe
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.wire import *
project, calls = Path(sys.argv[1]), json.loads(sys.argv[2])
state = project / ".penstock"
artifacts = DiskArtifactStore(state / "artifacts")
def launcher(): return Launcher(artifacts=artifacts, scratch=state / "scratch", project=project)
here = launcher()
known = state / "described.json"
if known.exists():
    pin, code = json.loads(known.read_text())
else:
    description = describe(DescribeRequest("main.py", str(project)), artifacts=artifacts, scratch=state / "scratch")
    assert description.graph is not None, (description.diagnostics, description.error, description.failure)
    pin, code = description.pin, description.code
kept = {}
for number, call in enumerate(calls):
    if call == "fresh":
        known.write_text(json.dumps([pin, code]))
        break
    module, _, name = call["component"].partition(":")
    inputs = {key: kept[value["of"]] if isinstance(value, dict) and "of" in value else Inline(value)
              for key, value in call["inputs"].items()}
    types = {key: {"name": "any"} for key in inputs}, {"output": call["output"]}
    function = FunctionRequest(module, name, *types, pin, code)
    here.retire = False
    ended = here.run(AttemptRequest(f"r/t#{number + 1}", function, inputs, seed=number))
    if isinstance(ended.outcome, Succeeded):
        kept[number] = ended.outcome.outputs["output"]
    print("ENDED " + json.dumps({
        "outcome": outcome_to_json(ended.outcome), "reads": dict(ended.reads), "outside": list(ended.outside),
        "retire": here.retire, "only": here.only}))
"""


@dataclass
class Ended:
    outcome: dict[str, Any]
    reads: dict[str, str]
    outside: list[str]
    retire: bool
    only: str

    @property
    def output(self) -> dict[str, Any]:
        assert self.outcome["kind"] == "succeeded", self.outcome
        return self.outcome["outputs"]["output"]  # type: ignore[no-any-return]

    @property
    def value(self) -> Any:
        return self.output["value"]


@dataclass
class Project:
    """A project whose target is `main.py`, and the Python that runs it."""

    folder: Path
    python: str
    files: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, *calls: dict[str, Any], environment: dict[str, str] | None = None) -> list[Ended]:
        """Attempts one after the other in one process that has described the project."""
        command = [self.python, "-W", "error", "-c", _RUN, str(self.folder), json.dumps(calls)]
        path = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        given = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0", **(environment or {})}
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=given)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line.removeprefix("ENDED ") for line in done.stdout.splitlines() if line.startswith("ENDED ")]
        return [Ended(**json.loads(line)) for line in lines]


def call(component: str, *, output: str = "any", form: str = "", **inputs: Any) -> dict[str, Any]:
    """A call of a task of `main.py`; an input `{"of": 0}` is what the first call gave. `form` is asked for."""
    type_ = {"name": output, "form": form} if form else {"name": output}
    return {"component": f"main:{component}", "inputs": inputs, "output": type_}


def _candidates() -> list[str]:
    """Interpreters that may be here: those in PENSTOCK_TEST_PYTHONS, those of `.venv-3.*` (made by tools/test-interpreters),
    those on the path, and those of pyenv, whose names on the path work for one version only."""
    found = [*filter(None, os.environ.get("PENSTOCK_TEST_PYTHONS", "").split(os.pathsep))]
    found += sorted(str(path.absolute()) for path in Path().glob(".venv-3.*/bin/python"))
    found += [path for minor in (13, 12, 11) if (path := shutil.which(f"python3.{minor}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return found + sorted(str(path) for path in pyenv.glob("versions/3.1[1-9].*/bin/python3"))


@cache
def pythons(*modules: str) -> tuple[str, ...]:
    """The interpreters to test with: this one, and one of each other version that is here and has what is needed."""
    found: dict[str, str] = {}
    for python in (sys.executable, *_candidates()):
        probe = f"import sys, {', '.join(('blake3', *modules))}; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), python)
    return tuple(found.values())


@cache
def another_python() -> tuple[str, str] | None:
    """(version, folder of its programs) of an interpreter of another version that this package runs on, with nothing needed
    beside the standard library."""
    for python in _candidates():
        done = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        version = done.stdout.strip()
        if done.returncode == 0 and version != f"{sys.version_info[0]}.{sys.version_info[1]}" and version >= "3.11":
            return version, os.path.dirname(python)
    return None
