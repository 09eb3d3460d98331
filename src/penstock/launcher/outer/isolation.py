"""The outer half of an attempt in an interpreter of the task's own: brings the inputs' places and the pinned sources, runs the
inner half as a program, stores what it leaves, and judges what it read and loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import penstock
from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, PenstockError, StoreUnavailable
from penstock.launcher.inner.checkpoints import CHECKPOINTS
from penstock.launcher.inner.isolated import NAMED
from penstock.launcher.inner.shuttle import SHUTTLE, place_of
from penstock.launcher.outer.environments import ENVIRONMENTS, Built, EnvironmentFailed, built, wanted_of
from penstock.launcher.outer.programs import Line, Ran, run_program
from penstock.values.datums import Staging
from penstock.values.reads import digest_of_file
from penstock.values.refusals import ContentLost
from penstock.values.store import ArtifactStore
from penstock.wire import (
    Artifact,
    AttemptRequest,
    Counted,
    Datum,
    Exhibit,
    Failed,
    Failure,
    InputLost,
    Observed,
    Outcome,
    OutputInvalid,
    Struct,
    Succeeded,
    artifacts_in,
    observed_from_json,
    outcome_from_json,
    request_to_json,
)

LINES_MAX = 20
_OURS = os.path.dirname(os.path.abspath(penstock.__file__))
# Only this package is brought along, not what is installed beside it.
_BOOT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("penstock", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]])
sys.modules["penstock"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from penstock.launcher.inner.isolated import main
main(sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Isolated:
    """How it ended, and what is asked about it: digests of files of the project that were read, what changed while it was,
    the author's modules that were loaded, and those that no pin has."""

    outcome: Outcome
    reads: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Isolation:
    """Runs attempts in environments. `scratch` as the launcher has it; `names` gives a code digest to what outputs name."""

    artifacts: ArtifactStore
    scratch: Path
    project: Path
    observe: Callable[[Observed], None]
    digest_of_names: Callable[[tuple[str, ...]], str | None]

    def environment(self, asked: Mapping[str, Any], held: Mapping[str, bytes]) -> Built:
        """The environment that a component asks for, built if need be. Raises EnvironmentFailed, and what interrupts it."""
        wanted = wanted_of(asked, project=self.project, held=held)
        return built(wanted, self.scratch.with_name(ENVIRONMENTS), project=self.project)

    def run(self, request: AttemptRequest, environment: Built, *, staging: Staging) -> Isolated:
        """Raises what interrupts it, once the interpreter has ended."""
        folder = staging.fresh()
        folder.mkdir()
        try:
            places = {digest: str(self.artifacts.path(digest)) for digest in self._digests(request)}
            pin = str(self.artifacts.path(request.component.pin)) if request.component.pin else ""
        except ContentLost as lost:
            return Isolated(InputLost(lost.digest, lost.message))
        except (ArtifactMissing, ArtifactCorrupt, StoreUnavailable) as error:
            return Isolated(_failed("StoreUnavailable", f"the run's code could not be read: {error.message}"))
        line = Line(_by_lines(lambda text: self._heard(text, folder)))
        try:
            self._ask(request, folder, places=places, pin=pin, tell=line.given)
            ran = run_program(
                [environment.python, "-s", "-P", "-c", _BOOT, _OURS, str(folder / "request.json")],
                program=environment.python,
                folder=self.project,
                variables=variables_of(environment),
                line=line,
            )
        except OSError as error:
            message = f"the interpreter of the environment could not be started: {error}"
            return Isolated(_failed("EnvironmentFailed", message))
        finally:
            line.end()
        return self._answer(folder, ran)

    def _digests(self, request: AttemptRequest) -> Iterator[str]:
        for name, datum in request.inputs.items():
            for digest in (artifact.digest for artifact in artifacts_in(datum)):
                if not self.artifacts.has(digest):
                    raise ContentLost(digest, f"input {name!r}: the store no longer has {digest}")
                yield digest

    def _ask(self, request: AttemptRequest, folder: Path, *, places: Mapping[str, str], pin: str, tell: int) -> None:
        asked = {
            "request": request_to_json(request),
            "folder": str(folder),
            "project": str(self.project),
            "state": str(self.scratch.parent),
            "places": places,
            "pin": pin,
            "tell": tell,
            "checkpoints": str(self.scratch.with_name(CHECKPOINTS)),
            "address": request.key or request.attempt_id.rpartition("#")[0],
        }
        (folder / "request.json").write_text(json.dumps(asked))

    def _heard(self, text: bytes, folder: Path) -> None:
        observed = observed_from_json(json.loads(text))
        if isinstance(observed, Exhibit):
            observed = replace(observed, artifact=self._stored_one(observed.artifact, folder))
        self.observe(observed)

    # -- the answer ------------------------------------------------------------------------------------------------------

    def _answer(self, folder: Path, ran: Ran) -> Isolated:
        try:
            answer = json.loads((folder / "answer.json").read_bytes())
        except OSError:
            return Isolated(_without_answer(ran))
        outcome = outcome_from_json(answer["outcome"])
        if not isinstance(outcome, Succeeded):
            return Isolated(outcome)
        try:
            outputs = {name: self._stored(datum, folder) for name, datum in outcome.outputs.items()}
        except StoreUnavailable as error:
            return Isolated(_failed("StoreUnavailable", str(error)))
        except PenstockError as error:
            return Isolated(OutputInvalid(str(error)))
        reads, changed = self._reads(answer["opened"])
        changed += [f"{path} (imported from where it stands)" for path in answer["elsewhere"]]
        return Isolated(Succeeded(outputs), reads, tuple(changed), tuple(answer["modules"]))

    def _stored(self, datum: Datum, folder: Path) -> Datum:
        if isinstance(datum, Counted):
            return Counted(tuple(self._stored(item, folder) for item in datum.items))
        if isinstance(datum, Struct):
            return Struct({name: self._stored(field, folder) for name, field in datum.fields.items()})
        return self._stored_one(datum, folder) if isinstance(datum, Artifact) else datum

    def _stored_one(self, artifact: Artifact, folder: Path) -> Artifact:
        """An output under the digest that it has."""
        if not artifact.digest.startswith(SHUTTLE):
            return artifact
        digest, size = self.artifacts.put_path(place_of(folder, artifact.digest), move=True)
        code = artifact.code
        if code == NAMED:
            code = self.digest_of_names(tuple(artifact.metadata.get("names", ())))
        return replace(artifact, digest=digest, size_bytes=size, code=code)

    def _reads(self, opened: Mapping[str, int]) -> tuple[dict[str, str], list[str]]:
        """(digests by path in the project, complaints) of what was opened."""
        reads: dict[str, str] = {}
        changed = []
        for path, first_ns in opened.items():
            name = os.path.relpath(path, self.project)
            try:
                if not os.path.isfile(path):
                    continue
                reads[name] = digest_of_file(path)
                if os.stat(path).st_ctime_ns > first_ns:
                    changed.append(f"{name} (changed while it was read)")
            except OSError:
                changed.append(f"{name} (changed while it was read)")
        return reads, changed


def variables_of(environment: Built) -> dict[str, str]:
    """The variables of an interpreter of an environment: this process's, without what would let others' packages in."""
    found = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    found.update(
        PATH=f"{environment.programs}{os.pathsep}{found.get('PATH', os.defpath)}",
        VIRTUAL_ENV=str(environment.folder),
        PYTHONHASHSEED="0",
        PYTHONUNBUFFERED="1",
        PYTHONFAULTHANDLER="1",
        PYTHONDONTWRITEBYTECODE="1",
    )
    return found


def environment_failed(error: EnvironmentFailed) -> Failed:
    """The outcome of a task whose environment could not be built."""
    return _failed("EnvironmentFailed", f"{error.message}\n{error.fix}" if error.fix else error.message)


def _without_answer(ran: Ran) -> Failed:
    how = f"was killed by signal {-ran.code}" if ran.code < 0 else f"ended with exit code {ran.code}"
    lines = ran.stderr.decode(errors="backslashreplace").rstrip().splitlines()[-LINES_MAX:]
    return _failed("ProcessEnded", "\n".join([f"the task's interpreter {how} without an answer", *lines]))


def _failed(name: str, message: str) -> Failed:
    return Failed(Failure(f"penstock:{name}", message, (name, f"penstock:{name}", "Exception")))


def _by_lines(told: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Puts pieces together to lines."""
    rest = bytearray()

    def take(data: bytes) -> None:
        rest.extend(data)
        *whole, last = bytes(rest).split(b"\n")
        rest[:] = last
        for text in whole:
            told(text)

    return take
