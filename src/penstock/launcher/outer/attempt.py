"""One attempt after the other in this process: fetch the inputs, call the function, seal the outputs, put the process
back as it was. Logs, limits and reporting are the worker's."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.base.errors import PenstockError, StoreUnavailable
from penstock.code import pins
from penstock.code.files import chosen, put_in_place
from penstock.code.firstparty import extend_path, source_paths
from penstock.launcher.inner import context as contexts
from penstock.launcher.inner import readers
from penstock.launcher.inner.allocators import lost_a_process
from penstock.launcher.inner.arrivals import Arrivals
from penstock.launcher.inner.binding import Component, load_component, named_outputs
from penstock.launcher.inner.checkpoints import CHECKPOINTS, Checkpoint
from penstock.launcher.inner.originals import Originals
from penstock.launcher.inner.outcomes import Stopped, out_of_memory, outcome_of
from penstock.launcher.inner.resetting import ProcessState, show_logging
from penstock.launcher.inner.seeds import SEEDERS, seed_all
from penstock.launcher.inner.traces import message_of, traceback_text
from penstock.launcher.outer.groups import Kills
from penstock.launcher.outer.judged import over_disk
from penstock.launcher.outer.reads import calls_from
from penstock.launcher.outer.set_aside import KEPT, Refusals
from penstock.launcher.outer.stories import frames_of, inputs_of
from penstock.launcher.outer.verifying import NOTHING_FOUND, Found, Verification
from penstock.launcher.outer.watching import DiskUse
from penstock.values.datums import Staging, from_datum, to_datum
from penstock.values.exhibits import store_exhibit
from penstock.values.origins import Beginning, file_clock_ns
from penstock.values.refusals import ContentLost, ValueRefused, ValueUnreadable
from penstock.values.store import ArtifactStore
from penstock.wire import (
    IMPORT_METRIC,
    AttemptEnded,
    AttemptRequest,
    Cancelled,
    CommandRequest,
    Datum,
    Failed,
    Failure,
    FunctionRequest,
    InputLost,
    Observation,
    Observed,
    Outcome,
    OutOfMemory,
    OutputInvalid,
    Progress,
    Refused,
    Succeeded,
    Usage,
)

if TYPE_CHECKING:
    from penstock.launcher.outer.isolation import Isolation

OBSERVATIONS_MAX = 100_000
"""Metrics that nobody has asked for yet, kept at most; the oldest go first."""

TELL_NS = 100_000_000
"""What an attempt logs is told this often at most while it runs."""

THREAD_WAIT_S = 0.1
"""How long an attempt waits for the threads that its function left behind."""

IMPORT_NS_MIN = 100_000_000
"""An import that took less is not worth a metric."""

COMPILED = "compiled"


class Launcher:
    """Runs attempts in this process, one at a time, on the calling thread, which is the main one. `scratch` is a
    folder that may be emptied whenever no attempt runs; `project` is the working folder of every attempt."""

    def __init__(self, *, artifacts: ArtifactStore, scratch: Path, project: Path) -> None:
        self.retire = False
        """After an attempt: this process should be replaced."""
        self.only = ""
        """After an attempt: this process should run further attempts of this component only; empty for any."""
        self.post_mortem: Callable[[BaseException], None] | None = None
        """Called with an exception that a task has failed with, while its frames are there."""
        self.instead: Callable[[Callable[..., Any], Mapping[str, Any]], Any] | None = None
        """Called with a task's function and its inputs, instead of the function."""
        self.tell: Callable[[], None] | None = None
        """Called in the midst of user code, in any thread, when there is something to fetch with `observations`."""
        self._tell_ns = 0
        self._said: Progress | None = None
        """The last word on how far the attempt is: it does not stand in line behind what was logged before."""
        self._artifacts = artifacts
        self._scratch = scratch
        self._project = project
        self._components: dict[tuple[str, str], Component] = {}
        self._observations: deque[Observed] = deque(maxlen=OBSERVATIONS_MAX)
        self._pid = os.getpid()
        self._attempts_count = 0
        self._imported_ns = self._imported_cpu_ns = 0
        self._seed = 0
        self._checkpoint: Checkpoint | None = None
        self._pinned = pins.served_pin() is not None
        if not self._pinned:
            extend_path(source_paths(str(project)))
        on_arrival = {name: _seeding(seeder, self) for name, seeder in SEEDERS.items()}
        self._kills: Kills | None = None
        """Watched once the task may have processes of its own."""
        others = {"logging": show_logging, "multiprocessing.process": self._watch_kills}
        Arrivals({**on_arrival, **others}).install()
        readers.install()
        self._verification = Verification(artifacts=artifacts, scratch=scratch, project=project)
        self.refusals = Refusals(scratch.with_name(KEPT), project=project, verification=self._verification)
        self._state = ProcessState(str(project))
        calls_from(Launcher._outcome.__code__)

    def in_fork(self) -> None:
        """This is a fork of the process that it was made in, and goes on in its place."""
        self._pid = os.getpid()
        self._verification.in_fork()

    def _watch_kills(self) -> None:
        self._kills = Kills()

    def observations(self, *, count_max: int = OBSERVATIONS_MAX) -> list[Observed]:
        """What was logged since the last call, the oldest first; may be called from any thread, also while an attempt
        runs."""
        taken: list[Observed] = []
        while len(taken) < count_max:
            try:
                taken.append(self._observations.popleft())
            except IndexError:
                break
        said, self._said = self._said, None
        return taken if said is None else [*taken, said]

    def _observe(self, observed: Observed) -> None:
        if isinstance(observed, Progress):
            self._said = observed
        else:
            self._observations.append(observed)
        now_ns = time.monotonic_ns()
        if now_ns >= self._tell_ns and self.tell is not None and os.getpid() == self._pid:
            self._tell_ns = now_ns + TELL_NS
            self.tell()

    def settle(self, *, succeeded: bool) -> None:
        """The outcome of the last attempt is recorded: others may have its checkpoint folder, which goes with a
        success. Before that a crash would leave neither the outcome nor what it was made from."""
        if self._checkpoint is not None:
            self._checkpoint.release(remove=succeeded)
            self._checkpoint = None

    def run(self, request: AttemptRequest) -> AttemptEnded:
        """Run an attempt to its end. Raises nothing but `Stopped`, and that only between two lines of its own."""
        self.settle(succeeded=False)
        started_at = time.time_ns() // 1_000_000
        clock, cpu = time.perf_counter_ns(), _cpu_ns()
        self._attempts_count += 1
        self._imported_ns = self._imported_cpu_ns = 0
        staging = self._staging(request)
        found, disk = NOTHING_FOUND, 0
        threads = threading.enumerate()
        try:
            outcome = self._outcome(request, staging)
            disk = self._disk_bytes(request)
            if disk > (request.disk_bytes_max or disk):
                outcome = over_disk(disk, request.disk_bytes_max or 0)
            outcome, found = self.refusals.told(outcome, self._found(request.attempt_id, outcome), request)
            self._put_back(staging, threads)
        except Stopped as stopped:
            outcome = Cancelled(message_of(stopped))
            found = self._found(request.attempt_id, outcome)
            self._put_back(staging, threads)
        return AttemptEnded(
            attempt_id=request.attempt_id,
            outcome=outcome,
            started_at=started_at,
            ended_at=time.time_ns() // 1_000_000,
            duration_us=(time.perf_counter_ns() - clock - self._imported_ns) // 1_000,
            usage=Usage(cpu_ms=(_cpu_ns() - cpu - self._imported_cpu_ns) / 1e6, disk_bytes_peak=disk),
            reads=found.reads,
            outside=found.outside,
        )

    def _staging(self, request: AttemptRequest) -> Staging:
        """What our own components return lies where the project has it."""
        name, verification = f"{self._pid}-{self._attempts_count}", self._verification
        beginning = None
        if not request.component.component.startswith("penstock."):
            beginning = Beginning(file_clock_ns(self._scratch.parent), self._is_in_checkpoint, verification.has_written)
        return Staging(self._scratch, name, code_of=verification.code_of, beginning=beginning)

    def _is_in_checkpoint(self, path: Path) -> bool:
        return self._checkpoint is not None and self._checkpoint.owns(path)

    # -- the course of an attempt ------------------------------------------------------------------------------------

    def _outcome(self, request: AttemptRequest, staging: Staging) -> Outcome:
        self._seed = request.seed
        address = request.key or request.attempt_id.rpartition("#")[0]
        self._checkpoint = Checkpoint(self._scratch.with_name(CHECKPOINTS), address)
        if self._kills is not None:
            self._kills.forget()
        contexts.enter(
            contexts.Context(
                request.attempt_id,
                pipeline=request.pipeline,
                seed=request.seed,
                fresh=staging.fresh,
                observe=self._observe,
                store=partial(store_exhibit, artifacts=self._artifacts, staging=staging),
                checkpoint=self._checkpoint,
            )
        )
        values: dict[str, Any] | InputLost | Failed = {}
        try:
            self._verification.begin(request)
            if isinstance(request.component, CommandRequest):
                return self._command(request.component, request.inputs, staging)
            if request.component.environment is not None:
                return self._isolated(request, request.component.environment, staging)
            component = self._imported(request.attempt_id, request.component)
            if not isinstance(component, Component):
                return component
            values = self._inputs(request, component, staging)
            if not isinstance(values, dict):
                return values
            kept = self.refusals.taken(request)
            if kept is None:
                seed_all(request.seed)
                self._verification.call(request)
                returned = self._called(component, values)
                self._verification.seal()
            else:
                returned = kept.value
            values.clear()
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its answer
            if os.getpid() != self._pid:
                _leave_fork(error)
            return self._answer_of(error, values if isinstance(values, dict) else {})
        if os.getpid() != self._pid:
            _leave_fork(None)
        return self._sealed(returned, component, staging)

    def _called(self, component: Component, values: Mapping[str, Any]) -> Any:
        """Call the function; what it replaced of the names that this process needs is put back before anything is made of
        its answer, and the process is then not used again."""
        originals = Originals()
        try:
            function = component.function
            returned = function(**values) if self.instead is None else self.instead(function, values)
            return _awaited(returned) if isinstance(returned, CoroutineType) else returned
        finally:
            if originals.restore():
                self.retire = True

    def _isolated(self, request: AttemptRequest, asked: Mapping[str, Any], staging: Staging) -> Outcome:
        """In an interpreter of the task's own."""
        from penstock.launcher.outer.environments import EnvironmentFailed
        from penstock.launcher.outer.isolation import environment_failed

        isolation = self._isolation()
        try:
            environment = isolation.environment(asked, self._held(request.component.pin))
        except EnvironmentFailed as error:
            return environment_failed(error)
        if environment.changed:
            self._verification.complain("its environment (not what it was when it was last built)")
        self._verification.expect(request)
        ended = isolation.run(request, environment, staging=staging)
        for complaint in ended.changed:
            self._verification.complain(complaint)
        self._verification.found_elsewhere(ended.reads, ended.modules)
        if isinstance(ended.outcome, Succeeded) and self._checkpoint is not None:
            self._checkpoint.take_over()  # a success removes it, whoever made it
        return ended.outcome

    def _isolation(self) -> Isolation:
        from penstock.launcher.outer.isolation import Isolation

        names = self._verification.digest_of_names
        return Isolation(self._artifacts, self._scratch, self._project, self._observe, names)

    def _held(self, pin: str) -> dict[str, bytes]:
        """Files of the project as they were when the run began."""
        files = pins.files_of_pin(pin, self._artifacts)
        return {path: file.content for path, file in files.items() if file.content is not None}

    def _command(self, wanted: CommandRequest, inputs: Mapping[str, Datum], staging: Staging) -> Outcome:
        from penstock.launcher.outer.commands import run_command
        from penstock.launcher.outer.environments import EnvironmentFailed
        from penstock.launcher.outer.isolation import environment_failed

        folder = staging.fresh()
        folder.mkdir()
        path = None
        try:
            if wanted.files:
                files = chosen(pins.files_of_pin(wanted.pin, self._artifacts), wanted.files, project=str(self._project))
                for name in put_in_place(files, folder, project=self._project):
                    self._verification.complain(f"{name} (changed since the run began)")
            if wanted.environment is not None:
                environment = self._isolation().environment(wanted.environment, self._held(wanted.pin))
                path = environment.programs
        except EnvironmentFailed as error:
            return environment_failed(error)
        except PenstockError as error:
            return _failed(error, f"the run's files could not be read: {error.message}")
        except OSError as error:
            return _failed(StoreUnavailable(str(error)), f"the files of the command could not be put in place: {error}")

        def seal(name: str, value: Any, declared: Mapping[str, Any]) -> Datum:
            return to_datum(value, declared, artifacts=self._artifacts, staging=staging)

        return run_command(wanted, inputs, folder=folder, materialize=self._artifacts.materialize, seal=seal, path=path)

    def _imported(self, attempt_id: str, wanted: FunctionRequest) -> Component | Refused | Failed:
        """The component. Importing its module is the worker's time, not the task's."""
        clock, cpu = time.perf_counter_ns(), _cpu_ns()
        component = self._component(wanted)
        self._imported_ns, self._imported_cpu_ns = time.perf_counter_ns() - clock, _cpu_ns() - cpu
        if self._imported_ns >= IMPORT_NS_MIN:
            now = time.time_ns() // 1_000_000
            self._observe(Observation(attempt_id, IMPORT_METRIC, self._imported_ns / 1e9, None, now))
        return component

    def _component(self, wanted: FunctionRequest) -> Component | Refused | Failed:
        """Raises what importing the module raises."""
        pin = wanted.pin
        if pin and pin != pins.served_pin():
            try:
                folder = self._scratch / COMPILED
                target = pins.serve(pin, artifacts=self._artifacts, project=str(self._project), folder=folder)
            except pins.OtherPin as error:
                self.retire = True
                return Refused(error.message)
            except PenstockError as error:
                return _failed(error, f"the run's code could not be read: {error.message}")
            for module in target.split():
                import_module(module)
            self._state = ProcessState(str(self._project))
        key = (wanted.module, wanted.name)
        known = self._components.get(key)
        if known is None or known.inputs != wanted.inputs or known.outputs != wanted.outputs:
            known = self._components[key] = load_component(wanted)
            self._state = ProcessState(str(self._project))  # what importing a module changes stays
        return known

    def _inputs(
        self, request: AttemptRequest, component: Component, staging: Staging
    ) -> dict[str, Any] | InputLost | Failed:
        values: dict[str, Any] = {}
        for name, datum in request.inputs.items():
            declared = component.inputs.get(name, {"name": "any"})
            try:
                values[name] = from_datum(datum, declared, artifacts=self._artifacts, staging=staging)
            except ContentLost as lost:
                return InputLost(lost.digest, f"input {name!r}: {lost.message}")
            except (ValueUnreadable, StoreUnavailable) as error:
                return _failed(error, f"input {name!r} could not be read: {error}")
        for name, conversion in component.conversions.items():
            if name in values:
                values[name] = conversion(values[name])
        for name in component.scratch:
            values[name] = contexts.context().scratch
        return values

    def _sealed(self, returned: Any, component: Component, staging: Staging) -> Outcome:
        name = ""
        try:
            named = named_outputs(returned, component.outputs)
            sealed: dict[str, Datum] = {}
            for name, value in named.items():
                sealed[name] = to_datum(
                    value,
                    component.outputs[name],
                    artifacts=self._artifacts,
                    staging=staging,
                    movable=len(named) == 1,
                )
        except ValueRefused as refused:
            what = f"output {name!r}: {refused.message}" if name else refused.message
            self.refusals.refuse(returned, what, refused.fix)
            return OutputInvalid(f"{what}. {refused.fix}" if refused.fix else what)
        except StoreUnavailable as error:
            return _failed(error, str(error))
        except MemoryError as error:
            return OutOfMemory(f"while output {name!r} was written: {message_of(error)}")
        except Stopped:
            raise
        except BaseException as error:  # noqa: BLE001 - a writer of the user's own
            return self._answer_of(error, {})
        return Succeeded(sealed)

    def _answer_of(self, error: BaseException, given: Mapping[str, Any]) -> Outcome:
        """What an exception of the user's stands for, with what is worth knowing of it."""
        outcome = outcome_of(error)
        if isinstance(outcome, Failed) and self._kills and lost_a_process(error) and self._kills.has_killed():
            why = f"the kernel killed a process of the task: {outcome.failure.message}"
            outcome = replace(out_of_memory(error), why=why)
        if isinstance(outcome, OutOfMemory):
            sys.stderr.write(f"{traceback_text(error)}\n")
        if isinstance(outcome, Failed):
            frames = frames_of(error, project=str(self._project))
            outcome = replace(outcome, failure=replace(outcome.failure, frames=frames, inputs=inputs_of(given)))
            if self.post_mortem is not None:
                self.post_mortem(error)
        error.__traceback__ = None  # the frames hold the task's data
        return outcome

    def _disk_bytes(self, request: AttemptRequest) -> int:
        """What an attempt with a limit has left below its scratch folder: who is quick is seen by nobody else."""
        return DiskUse(str(self._scratch), self._pid).whole() if request.disk_bytes_max is not None else 0

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def _found(self, attempt_id: str, outcome: Outcome) -> Found:
        found = self._verification.end(succeeded=isinstance(outcome, Succeeded) or self.refusals.has_one)
        self.retire, self.only = self.retire or found.is_spent, found.only
        for noted in self._verification.noted(attempt_id):
            self._observe(noted)
        return found

    def _put_back(self, staging: Staging, threads: list[threading.Thread]) -> None:
        contexts.enter(None)
        if threading.active_count() > len(threads):
            self._wait_for_threads(threads)
        staging.clear()
        self._state.restore()
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)

    def _wait_for_threads(self, before: list[threading.Thread]) -> None:
        """What a thread that was left behind does next cannot be known: the process is not used again."""
        deadline = time.monotonic() + THREAD_WAIT_S
        left = [each for each in threading.enumerate() if each not in before and not each.name.startswith("penstock")]
        for thread in left:
            if not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
        alive = [thread for thread in left if thread.is_alive()]
        self.retire = self.retire or bool(alive)
        names = ", ".join(thread.name for thread in alive if not thread.daemon)
        if names:
            sys.stderr.write(f"penstock: the task left threads running, which end now: {names}\n")


def _seeding(seeder: Any, launcher: Launcher) -> Any:
    return lambda: seeder(launcher._seed)


def _awaited(coroutine: Any) -> Any:
    from penstock.launcher.inner.awaiting import awaited  # asyncio is slow to import, and few tasks are async

    return awaited(coroutine)


def _failed(error: PenstockError, message: str) -> Failed:
    name = type(error).__name__
    bases = (name, f"{type(error).__module__}:{name}", "PenstockError", "Exception")
    return Failed(Failure(name, message, bases))


def _cpu_ns() -> int:
    """Processor time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time_ns() + int((children.ru_utime + children.ru_stime) * 1e9)


def _leave_fork(error: BaseException | None) -> NoReturn:
    """A fork made by user code has come back here: the attempt goes on in its parent, and this process ends as a fork
    should."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        status = 1
        sys.stderr.write(f"{traceback_text(error)}\n")
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    os._exit(status & 0xFF)


def _flush(stream: Any) -> None:
    try:  # noqa: SIM105 - three times as fast as contextlib.suppress, and twice in every attempt
        stream.flush()
    except (OSError, ValueError, AttributeError):
        pass  # a full disk, or a stream that user code has closed or replaced
