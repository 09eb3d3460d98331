"""A pipeline run here and now: in this process, one task after another, nothing written, no workers. For users' own tests.

What a graph means is as in every run (`testing.naive`). Differences: parameters are checked as always, but every other value
goes from task to task as the object that it is, never stored; nothing is waited for, so timeouts, backoffs and resources do
not count; code is what is imported here."""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from penstock.base.errors import PenstockError
from penstock.base.ids import attempt_id
from penstock.engine.attempts import seed_of
from penstock.graph.codec import type_to_json
from penstock.graph.components import name_of
from penstock.graph.model import Command, Work
from penstock.graph.parameters import bind_parameters
from penstock.graph.types import ANY, DICT, JSON, Type
from penstock.launcher.inner import context as contexts
from penstock.launcher.inner.awaiting import awaited
from penstock.launcher.inner.binding import load_component, named_outputs
from penstock.launcher.inner.checkpoints import CHECKPOINTS, Checkpoint
from penstock.launcher.inner.outcomes import outcome_of
from penstock.launcher.inner.seeds import seed_all
from penstock.plan.requests import work_request
from penstock.testing.naive import Result, evaluate
from penstock.values import parameters
from penstock.values.datums import copy_writable, from_datum, parameter_of
from penstock.values.families import family_of
from penstock.values.names import class_name, is_of
from penstock.values.origins import Beginning, file_clock_ns
from penstock.values.refusals import ValueRefused
from penstock.wire import (
    Artifact,
    CommandRequest,
    Counted,
    Datum,
    Failed,
    Failure,
    FunctionRequest,
    Inline,
    NotYet,
    Observation,
    Observed,
    Outcome,
    OutputInvalid,
    Struct,
    Succeeded,
)

if TYPE_CHECKING:
    from penstock.authoring.dsl.pipelines import Pipeline

NOT_YET_MAX = 1_000
"""So often a task may say `NotYet` before it is taken to mean never."""

RUN = "inline"


class Scratch:
    """A folder that goes when nothing refers to it any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


class InlineRunFailed(PenstockError):
    """A run that was to succeed did not. Its cause is what a task raised, if one did."""


@dataclass(frozen=True, slots=True)
class InlineTaskRun:
    """How a task run ended. `cause` says why it did not succeed; `error` is what its last attempt raised, or
    why what it returned was refused; `metrics` what
    all its attempts logged, oldest first."""

    path: str
    state: str
    cause: str
    outputs: Mapping[str, Any]
    attempts: int
    error: BaseException | None
    metrics: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class InlineResult:
    """How a run ended, its outputs by name, and its task runs by path (`train/3/fit`). An output without a value is
    missing."""

    state: str
    outputs: Mapping[str, Any]
    task_runs: Mapping[str, InlineTaskRun]
    scratch: Scratch = field(repr=False)
    """Scratch folders of the attempts; they go with the result."""

    def task(self, path: str) -> InlineTaskRun:
        """The task run at a path. Raises KeyError that lists those that there are."""
        if path not in self.task_runs:
            raise KeyError(f"no task run {path!r}; there are: {', '.join(sorted(self.task_runs)) or 'none'}")
        return self.task_runs[path]

    def raise_for_state(self) -> InlineResult:
        """This result, if the run succeeded. Raises InlineRunFailed from what the first failed task raised."""
        if self.state == "succeeded":
            return self
        failed = [run for run in self.task_runs.values() if run.state == "failed"]
        first = next((run for run in failed if run.error is not None), None)
        told = "".join(f"\n  {run.path}: {run.cause}" for run in failed)
        raise InlineRunFailed(f"the run {self.state}{told}") from (first.error if first else None)


def run_inline(pipeline: Pipeline[..., Any], /, **parameters: Any) -> InlineResult:
    """Run a pipeline in this process, its tasks called one after another with plain Python values.

    Raises InvalidPipeline and InvalidInput as a real run does; a run that fails is told in the result's `state`. What is
    raised by a task and is no `Exception` (a test's own outcomes, Ctrl-C) is raised here.
    """
    graph = pipeline.graph()
    inputs = bind_parameters(graph, values=parameters)
    calls = _Calls(pipeline.name, Scratch())
    return calls.result(evaluate(graph, inputs, calls.call))


@dataclass(slots=True)
class _Tries:
    count: int = 0
    not_yet: int = 0
    error: BaseException | None = None
    metrics: list[Observation] = field(default_factory=list)

    def observe(self, observed: Observed) -> None:
        if isinstance(observed, Observation):
            self.metrics.append(observed)


@dataclass(slots=True)
class _Calls:
    """Calls functions with the values that datums stand for, and remembers the values that they give."""

    pipeline: str
    scratch: Scratch
    kept: dict[str, Any] = field(default_factory=dict)
    """Values that are no parameters, by the digest of the artifact that stands for them."""
    tries: dict[str, _Tries] = field(default_factory=dict)
    began_ns: int = 0

    def call(self, work: Work, inputs: Mapping[str, Datum], path: str) -> Outcome:
        tries = self.tries.setdefault(path, _Tries())
        tries.count += 1
        before = random.getstate()
        self.began_ns = file_clock_ns(self.scratch.folder)
        checkpoint = Checkpoint(self.scratch.folder / CHECKPOINTS, path)
        contexts.enter(self._context(path, tries, checkpoint))
        tries.error, succeeded = None, False
        try:
            outcome = self._outcome(work, inputs, path)
            succeeded = isinstance(outcome, Succeeded)
        except Exception as error:  # noqa: BLE001 - whatever user code raises is its answer
            outcome, tries.error = outcome_of(error), error
        finally:
            contexts.enter(None)
            checkpoint.release(remove=succeeded)
            random.setstate(before)
        tries.not_yet += isinstance(outcome, NotYet)
        if tries.not_yet > NOT_YET_MAX:
            return Failed(Failure("penstock:NotYet", f"not there after {NOT_YET_MAX} tries"), final=True)
        return outcome

    def _context(self, path: str, tries: _Tries, checkpoint: Checkpoint) -> contexts.Context:
        folder = self.scratch.folder / f"{path.replace('/', '.')}-{tries.count}"
        identity = attempt_id(RUN, path, tries.count)
        return contexts.Context(
            identity,
            pipeline=self.pipeline,
            seed=seed_of(0, path),
            fresh=lambda: folder,
            observe=tries.observe,
            checkpoint=checkpoint,
        )

    def _outcome(self, work: Work, inputs: Mapping[str, Datum], path: str) -> Outcome:
        """Raises what the function raises."""
        if isinstance(work, Command):
            return self._of_command(work, inputs, path)
        function = work
        types = {spec.name: spec.type for spec in function.inputs}
        request = FunctionRequest(
            function.module,
            function.name,
            {name: type_to_json(each) for name, each in types.items()},
            {spec.name: type_to_json(spec.type) for spec in function.outputs},
            pin="",
        )
        component = load_component(request)
        values = {name: self.value_of(datum, types.get(name, ANY)) for name, datum in inputs.items()}
        for name in component.conversions.keys() & values.keys():
            values[name] = component.conversions[name](values[name])
        for name in component.scratch:
            values[name] = contexts.context().scratch
        seed_all(seed_of(0, path))
        returned = awaited(component.function(**values))
        try:
            named = named_outputs(returned, component.outputs)
            return Succeeded({spec.name: self.datum_of(named[spec.name], spec.type) for spec in function.outputs})
        except ValueRefused as refused:
            self.tries[path].error = refused
            return OutputInvalid(f"{refused.message}. {refused.fix}" if refused.fix else refused.message)

    def _of_command(self, command: Command, inputs: Mapping[str, Datum], path: str) -> Outcome:
        """Run the program in a folder of its own, as a worker does; the project is the current folder."""
        from penstock.code.files import chosen, pinned_files, put_in_place
        from penstock.launcher.outer.commands import run_command

        type_by_output = {spec.name: spec.type for spec in command.outputs}
        folder = self.scratch.folder / f"{path.replace('/', '.')}-{self.tries[path].count}-command"
        folder.mkdir()
        project = str(Path.cwd())
        files = pinned_files(command.policy.files, project=project)
        put_in_place(chosen(files, command.policy.files, project=project), folder, project=Path(project))
        request = work_request(command, component=name_of(command), pin="")
        assert isinstance(request, CommandRequest)
        return run_command(
            request,
            inputs,
            folder=folder,
            materialize=self._materialize,
            seal=lambda name, value, declared: self.datum_of(value, type_by_output[name]),
            alone=False,
        )

    def _materialize(self, digest: str, place: Path) -> None:
        value = self.kept[digest]
        if isinstance(value, Path):
            copy_writable(value, place)
        else:
            family, form = family_of(value)
            family.write(value, place, form)

    # -- values

    def datum_of(self, value: Any, declared: Type) -> Datum:
        """What stands for a value. Raises ValueRefused when it is not of its declared type."""
        if value is None and (declared.optional or declared.name in ("any", "json", "null")):
            return Inline(None)
        if declared.name == "any":
            return self._undeclared(value)
        if declared.is_counted and isinstance(value, (list, tuple)):
            types = [part for _, part in declared.parts] or [declared.item or ANY] * len(value)
            if len(types) != len(value):
                raise ValueRefused(f"expected a tuple of {len(types)}, got {len(value)} values")
            return Counted(tuple(map(self.datum_of, value, types)))
        if declared.name == DICT and isinstance(value, Mapping):
            return Struct({name: self.datum_of(field, declared.item or ANY) for name, field in value.items()})
        if declared.is_parameter or declared.is_counted:
            plain = parameter_of(value, type_to_json(declared))
            return Inline(plain) if parameters.is_small(plain) else self._undeclared(plain)
        fits = isinstance(value, Path) if declared.name == "path" else is_of(type(value), declared.name)
        if not fits:
            raise ValueRefused(f"expected {declared}, got {class_name(type(value)).removeprefix('builtins:')}")
        return self._keep(value, declared.form)

    def _undeclared(self, value: Any) -> Datum:
        if parameters.is_exact(value) and parameters.is_small(value):
            return Inline(parameters.plain(value))
        if type(value) is list:
            return Counted(tuple(self._undeclared(item) for item in value))
        return self._keep(value)

    def _keep(self, value: Any, form: str = "") -> Artifact:
        """Raises ValueRefused for what a run could not store."""
        if not form:
            family_of(value)
        if isinstance(value, Path):
            beginning = Beginning(self.began_ns, lambda path: path.is_relative_to(self.scratch.folder.resolve()))
            beginning.check(value.resolve(), value)
        digest = f"inline:{len(self.kept)}"
        self.kept[digest] = value
        return Artifact(digest, class_name(type(value)), "inline", 0)

    def value_of(self, datum: Datum, declared: Type) -> Any:
        if isinstance(datum, Artifact):
            return self.kept[datum.digest]
        if isinstance(datum, Counted):
            return [self.value_of(item, declared.item or ANY) for item in datum.items]
        if isinstance(datum, Struct):
            known = dict(declared.parts)
            default = declared.item or ANY
            return {name: self.value_of(field, known.get(name, default)) for name, field in datum.fields.items()}
        return from_datum(datum, type_to_json(declared), artifacts=_NOWHERE, staging=_NOWHERE)

    # -- the result

    def result(self, ended: Result) -> InlineResult:
        task_runs = {
            path: InlineTaskRun(
                path,
                each.state,
                each.cause,
                self._values(each.outputs),
                self.tries.get(path, _Tries()).count,
                self.tries.get(path, _Tries()).error,
                tuple(self.tries.get(path, _Tries()).metrics),
            )
            for path, each in ended.task_runs.items()
        }
        return InlineResult(ended.state, self._values(ended.outputs), task_runs, self.scratch)

    def _values(self, data: Mapping[str, Datum]) -> dict[str, Any]:
        return {name: self.value_of(datum, JSON) for name, datum in data.items()}


_NOWHERE = cast(Any, None)
"""In place of a store: parameters never go into one."""

__all__ = ["InlineResult", "InlineRunFailed", "InlineTaskRun", "run_inline"]
