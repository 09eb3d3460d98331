"""Which files of the project the author's modules read while they are imported, which databases they open, which folders
they list (their paths end with a slash), and in which line: a top-level statement that counts by its text counts with what
it read (cache rules 6 and 12)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

_NOT_DATA = (".py", ".pyc", ".so", ".pth")
_LISTINGS = frozenset({"os.listdir", "os.scandir"})
_EVENTS = _LISTINGS | {"open", "sqlite3.connect", "ctypes.dlopen"}
_MACHINERY = frozenset({"_frozen_importlib_external", "importlib", "importlib_metadata", "pkg_resources", "pkgutil"})


@dataclass(slots=True)
class ImportReads:
    """`places` are (source file, line) → files read there. Watches from `begin` to `end`."""

    project: str
    is_source: Callable[[str], bool]
    places: dict[tuple[str, int], dict[str, None]] = field(default_factory=dict)
    _is_watching: bool = False
    _is_hooked: bool = False

    def begin(self) -> None:
        self._is_watching = True
        if not self._is_hooked:
            self._is_hooked = True
            sys.addaudithook(self._heard)

    def end(self) -> None:
        """An audit hook stays for the life of a process; from here on this one does nothing."""
        self._is_watching = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_watching or event not in _EVENTS:
            return
        path = arguments[0]
        if event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax":
            return
        if path is None and event in _LISTINGS:
            path = "."
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.fsdecode(path)
        if name.endswith(_NOT_DATA) and event != "ctypes.dlopen":
            return
        full = os.path.normpath(os.path.join(os.getcwd(), name))
        if not f"{full}{os.sep}".startswith(self.project + os.sep) or f"{os.sep}.penstock{os.sep}" in full:
            return
        frame = sys._getframe(1)
        if event in _LISTINGS and frame.f_globals.get("__name__", "").partition(".")[0] in _MACHINERY:
            return
        place = self._place(frame)
        if place is not None:
            found = self.places.setdefault(place, {})
            found.update(dict.fromkeys(_paths_of(event, full)))

    def _place(self, frame: FrameType | None) -> tuple[str, int] | None:
        while frame is not None:
            if frame.f_code.co_name == "<module>" and self.is_source(frame.f_code.co_filename):
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return None


def _paths_of(event: str, full: str) -> tuple[str, ...]:
    if event in _LISTINGS:
        return (f"{full}{os.sep}",)
    return (full, f"{full}-wal") if event == "sqlite3.connect" else (full,)
