"""What came of resuming interrupted runs alongside others: a note for each, below the state folder, made before a run is
resumed and removed when its controller ends in an orderly way. A run that ends every controller which resumes it would else end
every later run of the project."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = "resumptions"

UNEXPLAINED_MAX = 10
"""So many controllers that resumed a run may end without a word, as by SIGKILL or a power cut, before nobody resumes it by
itself any more."""


@dataclass(frozen=True, slots=True)
class Note:
    """`unexplained`: controllers that resumed the run and ended without a word, one that is at it among them; `defect`: the
    exception of ours that ended one."""

    unexplained: int = 0
    defect: str = ""


class Resumptions:
    """The notes of one project. One that cannot be written is none: the run is then resumed as often as it takes."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def refusal(self, run_id: str) -> str:
        """Why a run is not to be resumed alongside others; "" where it is."""
        note = self._read(run_id)
        if note.defect:
            return f"resuming it ended Penstock ({note.defect})"
        if note.unexplained >= UNEXPLAINED_MAX:
            return f"the last {note.unexplained} processes that resumed it ended without a word"
        return ""

    def begun(self, run_id: str) -> None:
        """This process is about to resume a run."""
        note = self._read(run_id)
        self._write(run_id, replace(note, unexplained=note.unexplained + 1))

    def failed(self, run_id: str, error: BaseException) -> None:
        """An exception of ours ended the controller that drove a run, or the attempt to resume it."""
        self._write(run_id, Note(defect=f"{type(error).__name__}: {error!s:.200}"))

    def ended(self, run_id: str) -> None:
        """The controller that drove a run ends in an orderly way."""
        with suppress(OSError):
            self._path(run_id).unlink(missing_ok=True)

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"

    def _read(self, run_id: str) -> Note:
        try:
            data = json.loads(self._path(run_id).read_text())
            return Note(int(data["unexplained"]), str(data["defect"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Note()

    def _write(self, run_id: str, note: Note) -> None:
        path = self._path(run_id)
        aside = path.with_suffix(".new")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            aside.write_text(json.dumps({"unexplained": note.unexplained, "defect": note.defect}))
            aside.replace(path)
