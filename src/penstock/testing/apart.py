"""Code digests and results of small first-party programs, each in a fresh copy of this process: for tests of `code`,
which need hundreds of fresh imports in seconds."""

from __future__ import annotations

import json
import os
import shutil
import site
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.authoring.dsl.tasks import Task
from penstock.base.digests import canonical_json
from penstock.base.firstparty import is_first_party
from penstock.code.digests import component_codes
from penstock.code.firstparty import source_paths
from penstock.code.import_reads import ImportReads
from penstock.code.model import ComponentCode, codes_to_json
from penstock.code.pins import Recording
from penstock.graph.codec import type_to_json
from penstock.launcher.outer.attempt import Launcher
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.wire import AttemptRequest, FunctionRequest, Inline, outcome_to_json


@dataclass(frozen=True, slots=True)
class Code:
    """What a component's code counts as: two of them are the same key if `key` is equal. `unresolved` are the reasons
    not to cache it."""

    key: str
    unresolved: tuple[str, ...]
    units: Mapping[str, str]
    parts: Mapping[str, str]
    functions: tuple[str, ...]
    unannotated: str = ""


@dataclass(frozen=True, slots=True)
class Attempted:
    """How an attempt ended, what it read and what ran outside of its closure."""

    outcome: Mapping[str, Any]
    reads: Mapping[str, str]
    outside: tuple[str, ...]


class Apart(Exception):
    """What was done apart raised; the text is its traceback."""


def codes_apart(
    project: Path, module: str, *, variables: Mapping[str, str] | None = None, scratch: Path | None = None
) -> dict[str, Code]:
    """The codes of all tasks that a module has, by name, as a describing worker works them out. `variables` are added
    to the environment. Raises Apart."""
    answer = _apart(lambda: _codes(project, module, scratch), project, variables or {})
    return {
        name: Code(key, tuple(unresolved), units, parts, tuple(functions), unannotated)
        for name, (key, unresolved, units, parts, functions, unannotated) in answer.items()
    }


def results_apart(project: Path, module: str, names: Sequence[str]) -> dict[str, Any]:
    """What the functions of a module answer, called without arguments, each in a process of its own. Raises Apart."""

    def results() -> Any:
        sys.path.insert(0, str(project))
        found = import_module(module)
        return {name: _result(getattr(found, name)) for name in names}

    answer: dict[str, Any] = _apart(results, project, {})
    return answer


def _result(function: Any) -> Any:
    try:
        return repr(function())
    except Exception as error:  # noqa: BLE001 - an error is a result, too
        return f"{type(error).__name__}: {error}"


def attempt_apart(project: Path, module: str, name: str, *, variables: Mapping[str, str] | None = None) -> Attempted:
    """An attempt of a task without inputs, as a worker runs it. `variables` are added to the environment. Raises Apart."""
    outcome, reads, outside = _apart(lambda: _attempt(project, module, name), project, variables or {})
    return Attempted(outcome, reads, tuple(outside))


def _attempt(project: Path, module: str, name: str) -> Any:
    state = project / ".penstock"
    artifacts = DiskArtifactStore(state / "artifacts")
    launcher = Launcher(artifacts=artifacts, scratch=state / "scratch", project=project)
    recording, tasks, codes = _described(project, module, None)
    code = artifacts.put_bytes(canonical_json(codes_to_json(codes)))
    component = tasks[name].component
    types = {each.name: type_to_json(each.type) for each in component.outputs}
    request = FunctionRequest(component.module, component.name, {}, types, recording.end(artifacts), code)
    given: dict[str, Any] = {each.name: each.default for each in component.inputs}
    inputs = {each: Inline(bound.value) for each, bound in given.items()}
    ended = launcher.run(AttemptRequest("r/t#1", request, inputs, seed=0))
    return [outcome_to_json(ended.outcome), dict(ended.reads), list(ended.outside)]


def _described(
    project: Path, module: str, scratch: Path | None
) -> tuple[Recording, dict[str, Task[..., Any]], dict[str, ComponentCode]]:
    recording = Recording(project=str(project), paths=source_paths(str(project)))
    recording.begin()
    reads = ImportReads(str(project), is_first_party)
    reads.begin()
    found = import_module(module)
    reads.end()
    tasks = {name: value for name, value in vars(found).items() if isinstance(value, Task)}
    codes = component_codes(
        [task.component for task in tasks.values()],
        sources=recording.complete(),
        project=str(project),
        scratch=scratch,
        reads=reads,
        targets=[module],
    )
    return recording, tasks, codes


def _codes(project: Path, module: str, scratch: Path | None) -> Any:
    _, tasks, codes = _described(project, module, scratch)
    answer = {}
    for name, task in tasks.items():
        code = codes[f"{task.component.module}:{task.component.name}"]
        key = f"{code.digest} {code.environment} {code.version}"
        reasons = [f"{each.unit}: {each.why} ({each.file}:{each.line})" for each in code.unresolved]
        answer[name] = [key, reasons, code.units, dict(code.parts), list(code.functions), code.unannotated]
    return answer


def _apart(work: Callable[[], Any], project: Path, variables: Mapping[str, str]) -> Any:
    """What `work` answers, as JSON, in a fork of this process that has the project as its current folder. A folder
    `site-packages` in it is where distributions are installed."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the fork imports and ends; it takes no lock of a thread
        child = os.fork()
    if child == 0:
        _work(work, project, variables, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    given = json.loads(text or b'["no answer", null]')
    if given[0]:
        raise Apart(given[0])
    return given[1]


def _work(work: Callable[[], Any], project: Path, variables: Mapping[str, str], writing: int) -> None:
    try:
        os.chdir(project)
        os.environ.update(variables)
        # Python takes a bytecode file for current when its source has the same size and was written in the same second.
        # Edits here are that quick, so there are no bytecode files of the project; those of libraries are read.
        sys.dont_write_bytecode = True
        for folder in list(project.rglob("__pycache__")):
            shutil.rmtree(folder)
        if (project / "site-packages").is_dir():
            site.addsitedir(str(project / "site-packages"))
        try:
            answer = [None, work()]
        except BaseException:  # noqa: BLE001 - told to who asked
            answer = [traceback.format_exc(), None]
        with os.fdopen(writing, "wb") as file:
            file.write(json.dumps(answer).encode())
    finally:
        os._exit(0)
