"""Which other programs an attempt starts (cache rules 12 and 13), under whatever name it calls what starts them.

A file of the project that a program is given by name counts as read. A program that looks for files itself, or is the
author's own, cannot be followed: the result is used, and not kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.code.programs import PYTHON, python_code_of, why_unknown, without_shell, words_of

COMPLAINTS_MAX = 20
_PLACES: Mapping[str, tuple[int, int]] = {
    "subprocess.Popen": (1, 2),
    "os.exec": (1, -1),
    "os.posix_spawn": (1, -1),
    "os.spawn": (2, -1),
    "pty.spawn": (0, -1),
    "os.system": (0, -1),
}
"""Events (https://docs.python.org/3/library/audit_events.html), and where they have the arguments and the folder."""

Note = Callable[[str, tuple[Any, ...]], None]
"""Hears of a file that is opened, as the event `open` tells."""

_watch: StartedPrograms | None = None
_installed = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is not None and event in _PLACES:
        _watch.started(event, arguments)


class StartedPrograms:
    """Of one attempt after the other: `begin`, `end`. There is one for a process at a time: the last that began."""

    def __init__(self, *, project: str, note: Note) -> None:
        self._project = os.path.realpath(project)
        self._files: tuple[str, ...] = ()
        self._complaints: dict[str, None] = {}
        self.note = note

    def begin(self, files: Collection[str]) -> None:
        """Hear from here on. `files` are declared, relative to the project."""
        global _watch, _installed
        self._files = tuple(os.path.join(self._project, each.rstrip(os.sep)) for each in files)
        self._complaints.clear()
        _watch = self
        if not _installed:
            _installed = True
            sys.addaudithook(_hear)

    def end(self) -> tuple[str, ...]:
        """What could not be followed."""
        global _watch
        _watch = None
        return tuple(self._complaints)

    def started(self, event: str, arguments: tuple[Any, ...]) -> None:
        try:
            at, folder_at = _PLACES[event]
            given = arguments[at]
            parts = [given] if isinstance(given, (str, bytes, os.PathLike)) else list(given)
            folder = arguments[folder_at] if folder_at >= 0 and arguments[folder_at] else os.getcwd()
            self._judge([os.fsdecode(part) for part in parts], os.fsdecode(folder))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here must not become the task's affair
            self._complain(f"another program could not be watched ({type(error).__name__})")

    def _judge(self, arguments: Sequence[str], folder: str) -> None:
        words = words_of(without_shell(arguments))
        if not words:
            return
        paths = [os.path.realpath(os.path.join(folder, word)) for word in words]
        if PYTHON.fullmatch(os.path.basename(words[0])):
            if not self._is_own_python(words, folder):
                return
            why: str | None = "Python is started as another program"
        else:
            why = why_unknown(words)
        if why is not None:
            self._complain(f"{why}: {' '.join(arguments):.100}")
            return
        for path in paths:
            if not f"{path}{os.sep}".startswith(f"{self._project}{os.sep}") or self._is_declared(path):
                continue
            if os.path.isdir(path):
                self._complain(f"{words[0]} is started, which is given a folder: {' '.join(arguments):.100}")
            elif os.path.isfile(path):
                self.note("open", (path, "rb", 0))

    def _is_own_python(self, words: Sequence[str], folder: str) -> bool:
        """Whether Python runs something of the author's: not a module of somebody else's."""
        kind, code = python_code_of(words)
        if kind == "module":
            top = code.partition(".")[0]
            found = getattr(sys.modules.get(top), "__file__", None)
            return top not in sys.stdlib_module_names and (found is None or is_first_party(found))
        return kind != "script" or is_first_party(os.path.realpath(os.path.join(folder, code)))

    def _is_declared(self, path: str) -> bool:
        return any(path == each or path.startswith(each + os.sep) for each in self._files)

    def _complain(self, complaint: str) -> None:
        if len(self._complaints) < COMPLAINTS_MAX:
            self._complaints[complaint] = None
