"""Files and folders: a `pathlib.Path` that a task returns. What a task is given is a copy of its own (`datums`),
never the store's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from penstock.values.refusals import ValueRefused


def form_of(value: Any) -> str | None:
    if not isinstance(value, PurePath):
        return None
    path = Path(value)
    if path.is_file():
        return "file"
    if path.is_dir():
        return "tree"
    what = "is neither a file nor a folder" if path.exists() else "does not exist"
    raise ValueRefused(
        f"the path {str(path)!r} {what}", fix="Return the path of a file or folder that the task has written."
    )


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    """Copy the file or folder to `path`: used for a path inside another value; a path that is an output itself goes
    straight into the store."""
    import shutil

    source = Path(value)
    if form == "file":
        shutil.copyfile(source, path)
    else:
        shutil.copytree(source, path, symlinks=True)
    return {"name": source.name}


def read(path: Path, form: str, type_name: str) -> Any:
    return path
