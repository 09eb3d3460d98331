"""The local executor as a subject of the executor suites: real processes below a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.effects import Executor
from penstock.executors.local import LocalExecutor, LocalSettings
from penstock.testing.expendable import Expendable
from penstock.wire import AttemptRequest, FunctionRequest, Inline, LogSegment

BEHAVIOURS = "penstock.testing.conformance.behaviours"


def open_local(folder: str, options: Mapping[str, Any]) -> LocalExecutor:
    """A local executor over `folder`, with two processors unless `options` say more."""
    root = Path(folder)
    settings = {
        "cpu": 2,
        "memory_bytes": 8_000_000_000,
        "artifacts_arguments": {"root": str(root / ".penstock" / "artifacts")},
        "ledger": root,
        **options,
    }
    return LocalExecutor(LocalSettings(project=root, state=root / ".penstock", **settings))


class LocalSubject:
    """`folder` holds the project, its state, and the notes that behaviours make."""

    slots = 2

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.state = folder / ".penstock"
        self._options = options

    def open(self) -> LocalExecutor:
        return open_local(str(self.folder), self._options)

    def open_expendable(self) -> Expendable:
        return Expendable("penstock.testing.local_subject:open_local", str(self.folder), self._options)

    def crash(self, executor: Executor) -> None:
        assert isinstance(executor, Expendable)
        executor.kill()

    def request(
        self, behaviour: str, attempt_id: str, *, fresh: bool = False, cpu: int = 1000, **inputs: Any
    ) -> AttemptRequest:
        values = {"note": str(self._note(attempt_id)), **inputs}
        types = {name: {"name": type(value).__name__} for name, value in values.items()}
        returned = "str" if behaviour.startswith("echoes") else "int"
        component = FunctionRequest(BEHAVIOURS, behaviour, types, {"output": {"name": returned}}, pin="")
        bound = {name: Inline(value) for name, value in values.items()}
        return AttemptRequest(attempt_id, component, bound, seed=1, amounts={"cpu": cpu}, fresh=fresh)

    def begun(self, attempt_id: str) -> int:
        return self.notes(attempt_id).count("begun")

    def notes(self, attempt_id: str) -> str:
        note = self._note(attempt_id)
        return note.read_text() if note.exists() else ""

    def log(self, segment: LogSegment | None) -> bytes:
        """What an attempt printed."""
        assert segment is not None
        with open(self.state / segment.file, "rb") as file:
            file.seek(segment.offset)
            return file.read(segment.size_bytes)

    def _note(self, attempt_id: str) -> Path:
        return self.folder / ("note-" + attempt_id.replace("/", "."))


def broken_launcher(**given: Any) -> Any:
    """In place of a launcher, for workers that cannot start."""
    raise OSError("broken on purpose")


def silent_launcher(*, scratch: Path, **given: Any) -> Any:
    """In place of a launcher, for workers of which the first never begins what it takes. `silent-COUNT` in the project's
    folder says how many do not."""
    from penstock.launcher.outer.attempt import Launcher
    from penstock.launcher.outer.bounds import Bounds

    project = given["project"]

    def never(*_: Any, **__: Any) -> int:
        while True:
            time.sleep(3600)

    for mark in sorted(project.glob("silent-*")):
        try:
            mark.unlink()
        except FileNotFoundError:
            continue
        (project / "took").write_text(str(os.getpid()))
        Bounds.begin = never  # type: ignore[method-assign]
        break
    return Launcher(scratch=scratch, **given)
