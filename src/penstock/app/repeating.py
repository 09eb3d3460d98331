"""One task run of a stored run again, alone and in the foreground: on the inputs that it had, with the code that it ran or the
code on disk. Nothing of the run changes; what is stored meanwhile is named by nothing, and gc removes it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import penstock
from penstock.app.describing import describe
from penstock.app.differing import Stored, data_differences
from penstock.app.failures import Failing, headline, outcome_text, story
from penstock.app.places import (
    SCRATCH,
    artifacts_arguments,
    open_artifacts,
    open_executor,
    open_existing_store_to_read,
    project_settings,
    scratch_to_read,
)
from penstock.app.playing import graph_of
from penstock.app.reading import find_run, require_task
from penstock.app.rehearsing import play_unlimited
from penstock.app.targets import parse_target
from penstock.app.verdicts import node_at
from penstock.base.errors import InvalidInput
from penstock.base.ids import attempt_id, split_attempt_id
from penstock.code import pins
from penstock.engine.attempts import seed_of
from penstock.engine.outcomes import failure_of
from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, TaskState
from penstock.launcher.inner.checkpoints import CHECKPOINTS, folder_name
from penstock.launcher.outer.crashes import crash_of
from penstock.launcher.outer.environments import ENVIRONMENTS
from penstock.plan.passes import make_plan
from penstock.wire import (
    KIND_BY_OUTCOME,
    AttemptEnded,
    AttemptRequest,
    Failed,
    Failure,
    FunctionRequest,
    Lost,
    Outcome,
    Skipped,
    Succeeded,
    report_from_json,
    request_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.effects import StateStore
    from penstock.settings import Settings
    from penstock.values.store import ArtifactStore

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from penstock.launcher.outer.foreground import main; main(sys.argv[2])"
)
_UNTOLD = Failed(Failure("", ""), final=True)
CHANGED_NAMED = 5


@dataclass(frozen=True, slots=True)
class Repeated:
    """How it ended this time, and whether that is how it had ended in the run. `told` are lines about a failure; `look`: it
    was only looked at, at a prompt."""

    run_id: str
    path: str
    code: str
    outcome: str
    text: str
    reproduced: bool
    before: str
    differences: dict[str, str]
    told: tuple[str, ...]
    duration_ms: float
    looked: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the code on disk does what that of the run did not: it succeeds."""
        return self.code == "current" and self.outcome == "succeeded" and self.before != "succeeded"

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "path": self.path,
            "code": self.code,
            "outcome": self.outcome,
            "text": self.text,
            "reproduced": self.reproduced,
            "fixed": self.fixed,
            "before": self.before,
            "differences": self.differences,
            "duration_ms": self.duration_ms,
        }


def repro(text: str, task: str, *, code: str, look: str, say: Callable[[str], None], aside: bool = False) -> Repeated:
    """`code`: "pinned" or "current"; `look`: "", "pdb" or "shell". `say` takes a line before the task begins; `aside`: what the
    task prints goes to standard error. Raises InvalidInput for what cannot be repeated."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        run = find_run(store, text)
        path = task.partition("#")[0]
        row = require_task(store, run, path)
        attempts = store.attempts(run.run_id, path)
        request = _request_again(store, run, row)
    artifacts = open_artifacts(settings)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-repro-")))
        if code == "current":
            request = _with_current_code(request, run, settings, folder, say)
        else:
            _say_changed(run, artifacts, settings, say)
        if _copy_checkpoint(settings, request, folder):
            say(f"{path} goes on from a copy of its checkpoint")
        ended = _run(request, settings, folder, look=look, aside=aside)
        stored = Stored(artifacts, scratch_to_read(settings))
        repeated = _compared(ended, row, attempts[-1] if attempts else None, stored, code)
        return replace(repeated, looked=look == "shell")


# -- what is asked -----------------------------------------------------------------------------------------------------


def _request_again(store: StateStore, run: RunRow, row: TaskRunRow) -> AttemptRequest:
    """What the last attempt of a task run was asked. Inputs are not stored; they follow from the rows of the others."""
    plan = make_plan(graph_of(store, run), pin=run.pin)
    node = node_at(plan.root, row.path)
    if node is None or node.request is None:
        inside = store.task_runs(run.run_id, row.path, below=True)[1:]
        near = next((each.path for each in inside if each.state is TaskState.FAILED), inside[0].path if inside else "")
        raise InvalidInput(f"{row.path} holds a graph", fix=f"Name a task in it{', such as ' + near if near else ''}.")
    rows = {each.path: each for each in store.task_runs(run.run_id)}
    asked: dict[str, AttemptRequest] = {}

    def respond(request: AttemptRequest) -> tuple[Outcome, float]:
        _, path, _ = split_attempt_id(request.attempt_id)
        asked[path] = request
        known = rows.get(path)
        if known is not None and known.state is TaskState.SUCCEEDED:
            return Succeeded(known.outputs), 0.0
        return (Skipped() if known is not None and known.state is TaskState.SKIPPED else _UNTOLD), 0.0

    play_unlimited(run, plan, respond=respond)
    if row.path not in asked:
        raise InvalidInput(
            f"{row.path} was given nothing in run {run.run_id}: it is {row.state}",
            fix=f"`penstock why {run.run_id} {row.path}` says why.",
        )
    key = row.key if row.key is not None and node.cache else ""
    return replace(
        asked[row.path],
        attempt_id=attempt_id(run.run_id, row.path, max(row.attempt, 1)),
        seed=seed_of(run.seed, row.path, key),
        key=key,
        memory_bytes_max=None,
    )


def _with_current_code(
    request: AttemptRequest, run: RunRow, settings: Settings, folder: Path, say: Callable[[str], None]
) -> AttemptRequest:
    """The same inputs for the task as it is on disk now. Raises what importing the target raises, InvalidInput where the
    pipeline has no such task any more."""
    text = run.provenance.get("target")
    if not text:
        raise InvalidInput(f"run {run.run_id} does not say what it was made from", fix="Repeat it with --code pinned.")
    target = parse_target(str(text), folder=settings.project)
    aside = replace(settings, state=folder / "state")
    with closing(open_executor(aside)) as executor:
        described = describe(executor, target, settings, say=say)
    pin = described.description.pin
    artifacts = open_artifacts(settings)
    artifacts.put_bytes(open_artifacts(aside).get_bytes(pin))
    _, path, _ = split_attempt_id(request.attempt_id)
    node = node_at(make_plan(described.graph, pin=pin).root, path)
    if node is None or node.request is None:
        raise InvalidInput(f"the pipeline on disk has no task {path!r}", fix="Repeat it with --code pinned.")
    return replace(request, component=node.request, key="")


def _say_changed(run: RunRow, artifacts: ArtifactStore, settings: Settings, say: Callable[[str], None]) -> None:
    """That the code on disk is not what runs, where that is so."""
    changed = changed_since(run.pin, artifacts, settings)
    if changed:
        named = ", ".join(changed[:CHANGED_NAMED]) + (", …" if len(changed) > CHANGED_NAMED else "")
        say(f"{named} changed since: this is the code of the run; --code current runs what is on disk")


def changed_since(pin: str, artifacts: ArtifactStore, settings: Settings) -> list[str]:
    """The sources of a pin that are no longer on disk as they were, relative to the project."""
    if not pin:
        return []
    sources, _ = pins.from_json(json.loads(artifacts.get_bytes(pin)), project=str(settings.project))
    changed = []
    for source in sources.values():
        try:
            is_same = Path(source.path).read_bytes() == source.data
        except OSError:
            is_same = False
        if not is_same:
            changed.append(os.path.relpath(source.path, settings.project))
    return sorted(changed)


def _copy_checkpoint(settings: Settings, request: AttemptRequest, folder: Path) -> bool:
    """A copy of what the attempt would go on from, so that it stays as it is for whoever goes on in earnest."""
    address = request.key or request.attempt_id.rpartition("#")[0]
    left = settings.state / CHECKPOINTS / folder_name(address)
    if not left.is_dir():
        return False
    shutil.copytree(left, folder / CHECKPOINTS / left.name)
    return True


# -- running it --------------------------------------------------------------------------------------------------------


def _run(request: AttemptRequest, settings: Settings, folder: Path, *, look: str, aside: bool) -> AttemptEnded:
    """In a process of its own on this terminal; Ctrl-C is its affair."""
    if look and not isinstance(request.component, FunctionRequest):
        raise InvalidInput("a command has no frames to look at", fix="Repeat it without --pdb and --shell.")
    if look and request.component.environment is not None:
        raise InvalidInput(
            "the task runs in an environment of its own, where nobody can look",
            fix="Repeat it without --pdb and --shell.",
        )
    if (settings.state / ENVIRONMENTS).is_dir():  # those that are built already
        (folder / ENVIRONMENTS).symlink_to((settings.state / ENVIRONMENTS).absolute())
    answer, order, stacks = folder / "answer.json", folder / "order.json", folder / "stacks"
    told = {
        "request": request_to_json(request),
        "project": str(settings.project),
        "scratch": str(folder / SCRATCH),
        "artifacts": "penstock.app_artifacts:open_artifacts",
        "artifacts_arguments": artifacts_arguments(settings),
        "limits": {"parameter_bytes_max": settings.parameter_bytes_max, "items_max": settings.items_max},
        "look": look,
        "answer": str(answer),
        "stacks": str(stacks),
    }
    order.write_text(json.dumps(told))
    root = str(Path(penstock.__file__ or "").parent.parent)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM, root, str(order)],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=sys.stderr.fileno() if aside else None,
            check=False,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    if answer.exists():
        report = report_from_json(json.loads(answer.read_text()))
        assert isinstance(report, AttemptEnded)
        return report
    text = stacks.read_text(errors="replace") if stacks.exists() else ""
    crash = crash_of(done.returncode, text, project=str(settings.project))
    return AttemptEnded(request.attempt_id, crash or Lost(_how_it_died(done.returncode)))


def _how_it_died(status: int) -> str:
    if status >= 0:
        return f"the process ended with exit status {status}"
    try:
        return f"the process was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"the process was killed by signal {-status}"


# -- what it came to ---------------------------------------------------------------------------------------------------


def _compared(ended: AttemptEnded, row: TaskRunRow, before: AttemptRow | None, stored: Stored, code: str) -> Repeated:
    kind = KIND_BY_OUTCOME[type(ended.outcome)]
    run_id, path, number = split_attempt_id(ended.attempt_id)
    failure = failure_of(ended.outcome)
    now = AttemptRow(run_id, path, number, AttemptState.ENDED, "", (), row.changed_at, outcome=kind, failure=failure)
    was = (
        "succeeded"
        if row.state is TaskState.SUCCEEDED
        else (before.outcome if before is not None else None) or str(row.state)
    )
    differences: dict[str, str] = {}
    is_same = kind == was
    if isinstance(ended.outcome, Succeeded) and is_same:
        differences = data_differences(row.outputs, ended.outcome.outputs, stored)
        is_same = not differences
    if isinstance(ended.outcome, Failed) and is_same and before is not None:
        is_same = (before.failure or {}).get("type") == ended.outcome.failure.type
    lines: tuple[str, ...] = ()
    if not isinstance(ended.outcome, (Succeeded, Skipped)):
        failing = Failing(replace(row, attempt=1), now)
        lines = (f"{path} {headline(failing)}", *(f"    {line}" for line in story(failing)[:-1]))
    told_before = outcome_text(before.outcome, before.failure) if was != "succeeded" and before is not None else was
    return Repeated(
        run_id=run_id,
        path=path,
        code=code,
        outcome=kind,
        text=outcome_text(kind, failure),
        reproduced=is_same,
        before=told_before,
        differences=differences,
        told=lines,
        duration_ms=ended.duration_us / 1_000,
    )
