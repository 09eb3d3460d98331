"""What user code may replace and this process needs itself: the names of a few modules. They are put back as soon as a
task's function is left, however it is left; reports and records are made after that."""

from __future__ import annotations

import builtins
import json
import os
import posixpath
import struct
import time
from operator import itemgetter
from types import ModuleType
from typing import Any

_OS = (
    "_exit chdir chmod close dup dup2 environ environb execv fchmod fork fsencode fspath fstat fsync ftruncate getcwd getpid "
    "getppid kill killpg lstat link listdir makedirs mkdir open path pipe read readlink remove rename replace rmdir scandir "
    "stat symlink unlink waitpid waitstatus_to_exitcode walk write"
)
_NAMES: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (builtins, tuple(vars(builtins))),
    (os, tuple(_OS.split())),
    (posixpath, ("abspath", "basename", "dirname", "exists", "isdir", "isfile", "join", "realpath", "relpath")),
    (json, ("dumps", "loads", "JSONEncoder", "JSONDecoder")),
    (struct, ("Struct", "pack", "unpack")),
    (
        time,
        ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "process_time_ns"),
    ),
)
_GONE = object()
# Kept by reference: after the function has returned, any of these names may mean something else.
_vars, _zip = vars, zip
_SPACES = [(_vars(module), names, itemgetter(*names)) for module, names in _NAMES]


class Originals:
    """Those names at one moment: what importing a target has replaced is part of it, and stays."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        """Raises nothing, whatever is missing by now."""
        self._before = [_values(space, names, values) for space, names, values in _SPACES]

    def restore(self) -> bool:
        """Put back what was replaced or removed since; whether anything was."""
        changed = False
        for (space, names, values), before in _zip(_SPACES, self._before):
            if _is_same(values, space, before):
                continue
            for name, value in _zip(names, before):
                if value is not _GONE and space.get(name, _GONE) is not value:
                    space[name] = value
                    changed = True
        return changed


def _values(space: dict[str, Any], names: tuple[str, ...], values: itemgetter[Any]) -> tuple[Any, ...]:
    try:
        taken: tuple[Any, ...] = values(space)
    except KeyError:
        return (*(space.get(name, _GONE) for name in names),)
    return taken


def _is_same(values: itemgetter[Any], space: dict[str, Any], before: tuple[Any, ...]) -> bool:
    """Quickly, for the many attempts that replace nothing: identical objects are not compared further."""
    try:
        return bool(values(space) == before)
    except BaseException:  # noqa: BLE001 - something is missing, or refuses to be compared
        return False
