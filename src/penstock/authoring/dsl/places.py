"""Where an author wrote something: files, lines, and the names that modules are imported by."""

from __future__ import annotations

import sys
from collections.abc import Callable
from os.path import basename, dirname, exists, join, splitext
from typing import Any

from penstock.base.diagnostics import Location

_OURS = dirname(__file__)
_LOCATIONS: dict[tuple[str, int], Location] = {}


def caller_location() -> Location:
    """The line of the author's code that called into this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return _location(frame.f_code.co_filename, frame.f_lineno)


def function_location(function: Callable[..., Any]) -> Location | None:
    """Where a function or class is defined; None for one that has no file."""
    code = getattr(unwrapped(function), "__code__", None)
    if code is not None:
        return _location(code.co_filename, code.co_firstlineno)
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    return _location(file, 0) if file else None


def _location(file: str, line: int) -> Location:
    """One object for each place: a loop that calls a task ten thousand times does so on one line."""
    location = _LOCATIONS.get((file, line))
    if location is None:
        location = _LOCATIONS[file, line] = Location(file, line)
    return location


def unwrapped(function: Any) -> Any:
    """The innermost function below decorators that say what they wrap."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def importable_module(name: str) -> str:
    """The name by which a module can be imported elsewhere. For the file that Python was started with, that is its path
    below its root (the first folder above it without an `__init__.py`); `__main__` stays where there is no file, as in
    a notebook."""
    if name != "__main__":
        return name
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if not file or not file.endswith(".py") or not exists(file):
        return name
    parts, folder = [splitext(basename(file))[0]], dirname(file)
    while exists(join(folder, "__init__.py")):
        parts.insert(0, basename(folder))
        folder = dirname(folder)
    return ".".join(parts)
