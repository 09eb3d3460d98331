"""Where the author's own sources are found, and how a file is called as a module."""

from __future__ import annotations

import os
import sys

from penstock.base.firstparty import INSTALLED


def source_root(file: str) -> tuple[str, str]:
    """(root folder, module name) of a file: the root is the first folder above it without an `__init__.py`."""
    folder, base = os.path.split(os.path.abspath(file))
    parts = [] if base == "__init__.py" else [base.removesuffix(".py")]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    return folder, ".".join(parts)


def source_paths(project: str, root: str | None = None) -> list[str]:
    """The folders that the author's modules are found in: the root of the target, the project, its `src` folder."""
    candidates = [root, project, os.path.join(project, "src")]
    return list(dict.fromkeys(path for path in candidates if path and os.path.isdir(path)))


def extend_path(paths: list[str]) -> None:
    """Put folders on `sys.path`: before what is installed, after the standard library, so that a file of the author's
    called like a module of the library hides it from nobody. The current folder is on it only if it is one of
    them."""
    kept = [path for path in sys.path if path not in paths and path != ""]
    installed = (index for index, path in enumerate(kept) if any(part in f"{path}{os.sep}" for part in INSTALLED))
    position = next(installed, len(kept))
    sys.path[:] = [*kept[:position], *paths, *kept[position:]]
