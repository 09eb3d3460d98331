"""Data outside of the project that an attempt opened: its changes are not seen, which the run says at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable

_SYSTEM = ("dev", "etc", "lib", "lib64", "opt", "proc", "run", "sys", "usr", "var")
# Where `tempfile` puts files. That module imports `random`, which may be a file of the author's.
_TEMPORARY = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")
NAMED_MAX = 3
"""So many files of an attempt are named."""


def data_elsewhere(paths: Iterable[str], *, declared: Collection[str]) -> list[str]:
    """The first of these absolute paths that are regular files of data: not of the system, of Python, of what programs keep in
    hidden folders, or temporary. `declared` are files and folders that count already."""
    home = os.path.join(os.path.expanduser("~"), ".")
    folders = (_TEMPORARY, sys.prefix, sys.base_prefix, *(f"{os.sep}{name}" for name in _SYSTEM), *declared)
    not_data = (home, *(f"{folder.rstrip(os.sep)}{os.sep}" for folder in folders))
    found: list[str] = []
    for path in paths:
        is_data = not path.startswith(not_data) and path not in declared and "-packages" not in path
        if is_data and not path.endswith((os.sep, ".py", ".pyc")) and os.path.isfile(path):
            found.append(path)
        if len(found) == NAMED_MAX:
            break
    return found
