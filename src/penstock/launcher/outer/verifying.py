"""What is watched around an attempt so that its result may be kept: what it read, which code ran, which code its outputs
name, and whether the process is still as good as new (cache rules 10, 12, 14 and 15).

Two of the watches are told of modules as they are loaded and so are one for a process, whatever runs attempts in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.code import pins
from penstock.launcher.outer.children import judged
from penstock.launcher.outer.covered import Closures, Covered
from penstock.launcher.outer.elsewhere import data_elsewhere
from penstock.launcher.outer.forks import Heard
from penstock.launcher.outer.functions import FunctionWatch
from penstock.launcher.outer.kept import NOTHING_RECORDED, KeptReads
from penstock.launcher.outer.reads import ReadRecorder
from penstock.launcher.outer.standing import StandingValues
from penstock.launcher.outer.started import StartedPrograms
from penstock.values.datums import NO_CODE, NamedCode
from penstock.values.reads import zone_of
from penstock.values.store import ArtifactStore
from penstock.wire import (
    ELSEWHERE_PREFIX,
    WRITTEN_PREFIX,
    AttemptRequest,
    Datum,
    FunctionRequest,
    Observation,
    artifacts_in,
)

WRITTEN_MAX = 100
"""So many files of the project that an attempt has written are kept."""

_watches: tuple[FunctionWatch, StandingValues] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What an attempt did. `is_spent`: this process is not as it was, or has read too much to be used again; otherwise further
    attempts of any component may run in it, or `only` of one."""

    reads: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    is_spent: bool = False
    only: str = ""


NOTHING_FOUND = Found()


def process_watches() -> tuple[FunctionWatch, StandingValues]:
    """The watches of this process, told of modules from the first time on that this is asked."""
    global _watches
    if _watches is None:
        _watches = FunctionWatch(), StandingValues()
        pins.watches.extend(_watches)
    return _watches


class Verification:
    """Of one attempt after the other: `begin`, `call` just before user code is called, `seal` just after, `end`."""

    def __init__(self, *, artifacts: ArtifactStore, scratch: Path, project: Path) -> None:
        self._recorder = ReadRecorder(project=str(project), state=str(scratch.parent))
        self._functions, self._standing = process_watches()
        self._started = StartedPrograms(project=str(project), note=self._recorder.hear)
        self._closures = Closures(artifacts, pins.pinned_source)
        self._covered: dict[tuple[str, str, tuple[str, ...]], Covered | None] = {}
        self._component = ""
        self._closure: Covered | None = None
        self._complaints: list[str] = []
        self._is_verified = False
        self._reads_elsewhere: Mapping[str, str] = {}
        self._called = False
        self._zone = zone_of(os.environ)
        self._kept = KeptReads()
        self._modules_count = len(sys.modules)
        self._begun_ns = 0
        self._is_recorded = False

    def in_fork(self) -> None:
        """What this process has imported so far, others have as well."""
        self._modules_count = len(sys.modules)

    def begin(self, request: AttemptRequest) -> None:
        wanted = request.component
        # What looks at declared inputs reads what it is told to, and a command runs none of the code here.
        is_ours = wanted.component.startswith("penstock.")
        is_here = isinstance(wanted, FunctionRequest) and wanted.environment is None
        self._is_verified = bool(wanted.code) and not is_ours
        self._component = wanted.component
        self._closure, self._called, self._reads_elsewhere = None, False, {}
        if self._complaints:
            self._complaints = []
        self._is_recorded = is_here and not is_ours
        if self._is_recorded:
            self._begun_ns = time.monotonic_ns()
            self._recorder.begin()

    def call(self, request: AttemptRequest) -> None:
        """Between this and `seal` the user's code runs."""
        if self._is_verified:
            try:
                self._closure = self._closure_of(request)
            except PenstockError as error:
                self._complaints.append(f"the code of this run could not be read: {error.message}")
        self._called = True
        self._functions.begin(self._closure)
        self._started.begin(self._closure.files if self._closure is not None else ())
        self._standing.begin()

    def complain(self, complaint: str) -> None:
        """Something is not as the component's code says: the result is not kept."""
        self._complaints.append(complaint)

    def expect(self, request: AttemptRequest) -> None:
        """The user's code will run in an interpreter of its own."""
        if self._is_verified:
            try:
                self._closure = self._closure_of(request)
            except PenstockError as error:
                self.complain(f"the code of this run could not be read: {error.message}")

    def found_elsewhere(self, reads: Mapping[str, str], modules: Iterable[str]) -> None:
        """What it read and loaded there."""
        self._reads_elsewhere = reads
        covered = self._closure
        for module in modules:
            if covered is not None and not covered.covers_module(module):
                self.complain(module)

    def digest_of_names(self, names: tuple[str, ...]) -> str | None:
        """What the author's classes and functions of these names count as, for outputs that were made elsewhere."""
        if not self._is_verified or not names or self._complaints:
            return None
        return self._closures.named_code(self._component, names).digest

    def has_written(self, path: str) -> bool:
        """Whether the attempt has opened a file at or below a path for writing."""
        return self._recorder.has_written(path)

    def noted(self, attempt_id: str) -> list[Observation]:
        """The files of the project that the attempt has written, and the data outside of it that it has read: the first ones."""
        now = time.time_ns() // 1_000_000
        names = [f"{WRITTEN_PREFIX}{name}" for name in self._recorder.written()[:WRITTEN_MAX]]
        if self._is_recorded and (elsewhere := self._recorder.elsewhere()):
            declared = self._closure.files if self._closure is not None else ()
            names += (f"{ELSEWHERE_PREFIX}{path}" for path in data_elsewhere(elsewhere, declared=declared))
        return [Observation(attempt_id, name, 1.0, None, now) for name in names]

    def seal(self) -> None:
        self._recorder.seal()

    def end(self, *, succeeded: bool) -> Found:
        """What was found; of an attempt that did not succeed only what has become of the process."""
        covered = self._closure
        modules = covered.modules if covered is not None else None
        ran = self._functions.end() if self._called else ()
        started = self._started.end() if self._called else ()
        changed = self._standing.end(modules) if self._called else False
        self._called = False
        recorded, conflicts = NOTHING_RECORDED, tuple[str, ...]()
        reads: Mapping[str, str] = {}
        if self._is_recorded:
            recorded = self._recorder.end(modules)
            reads, conflicts = self._kept.charged(recorded.reads)
            lasted_s = (time.monotonic_ns() - self._begun_ns) / 1e9
            modules_count = len(sys.modules) - self._modules_count
            self._kept.keep(recorded, component=self._component, lasted_s=lasted_s, modules_count=modules_count)
        spent, only = changed or self._kept.is_full, self._kept.only
        if not succeeded:
            return Found(is_spent=spent, only=only) if spent or only else NOTHING_FOUND
        if recorded.elsewhere.loaded:
            self._judge_elsewhere(recorded.elsewhere)
        if started and covered is not None and not covered.is_answered_for:
            self._complaints += started
        outside: tuple[str, ...] = ()
        if self._is_verified:
            outside = (
                *ran,
                *(f"{path} (imported from where it stands)" for path in recorded.loaded),
                *(f"{path} (changed while it was read)" for path in recorded.changed),
                *(f"{name} (changed since an earlier attempt in this process read it)" for name in conflicts),
                *recorded.unheard,
                *self._complaints,
            )
        return Found({**reads, **self._reads_elsewhere, **self._zone}, outside, spent, only)

    def _judge_elsewhere(self, heard: Heard) -> None:
        """What other processes of the attempt have imported and called."""
        found = judged(heard, self._closure, pins.pinned_at)
        self._complaints += [f"{path} (imported by another process, not as it is pinned)" for path in found.others]
        self._complaints += [f"{module} (imported by another process of the task)" for module in found.modules]
        self._complaints += [f"{name} (called in another process of the task)" for name in found.functions]

    # -- code ------------------------------------------------------------------------------------------------------------

    def code_of(self, names: list[str]) -> NamedCode:
        """What an output's classes and functions count as, so far as they are the author's."""
        if not self._is_verified:
            return NO_CODE
        defined = sorted({name for each in names if (name := _defining(each)) is not None})
        if not defined or self._complaints:
            return NO_CODE
        named = self._closures.named_code(self._component, defined)
        covered = self._closure
        for name in named.missing:
            module, _, qualname = name.partition(":")
            if covered is None or not covered.covers(module, qualname, 0):
                self._complaints.append(f"{name} (named by an output)")
        return NamedCode(named.digest, tuple(defined))

    def unannotated(self, request: AttemptRequest) -> str:
        """What the component counts as without its return annotation; empty where that is not known."""
        if not self._is_verified:
            return ""
        try:
            self._closures.open(request.component.code)
        except PenstockError:
            return ""
        code = self._closures.code(self._component)
        return code.unannotated if code is not None and not code.unresolved else ""

    def _closure_of(self, request: AttemptRequest) -> Covered | None:
        wanted = request.component
        names = tuple(sorted({name for datum in request.inputs.values() for name in _names_in(datum)}))
        key = (wanted.code, self._component, names)
        if key not in self._covered:
            self._closures.open(wanted.code)
            covered = self._closures.of(self._component)
            if covered is not None and names:
                covered = covered.with_more([self._closures.of_names(names)])
            self._covered[key] = covered
        return self._covered[key]


def _names_in(datum: Datum) -> Iterator[str]:
    """The author's classes and functions that an input names."""
    for artifact in artifacts_in(datum):
        if artifact.code is not None:
            yield from artifact.metadata.get("names", ())


def _defining(name: str) -> str | None:
    """A name as `module:qualname` of the pinned module that defines it; None for what is not the author's."""
    module, _, qualname = name.partition(":")
    found = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    module = getattr(found, "__module__", None) or module
    qualname = getattr(found, "__qualname__", None) or qualname
    return f"{module}:{qualname}" if pins.is_pinned(module) else None
