"""The folder of its own that an attempt may write to: what a parameter annotated `Scratch` gets, and where code of ours
below the launcher writes."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any


class _OwnFolder:
    """Marks the annotation."""

    def __repr__(self) -> str:
        return "the attempt's own folder"


Scratch = Annotated[Path, _OwnFolder()]
Scratch.__doc__ = """Annotates a parameter of a task that is no input: `def draw(counts: list[int], folder: Scratch) -> Path`.
Penstock gives an empty folder that no other attempt has, and removes it when the attempt has ended. A file or folder in it may be
returned."""


def is_scratch(annotation: Any) -> bool:
    """Whether an annotation is `Scratch`."""
    arguments = typing.get_args(annotation) if typing.get_origin(annotation) is Annotated else ()
    return any(isinstance(note, _OwnFolder) for note in arguments[1:])


_fresh: Callable[[], Path] | None = None


def provide(fresh: Callable[[], Path] | None) -> None:
    """Let `fresh` give the paths from here on; None: there is no attempt."""
    global _fresh
    _fresh = fresh


def fresh() -> Path:
    """A path that does not exist, its parent existing. Outside of an attempt it lies in a temporary folder that goes with
    the process."""
    if _fresh is not None:
        return _fresh()
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="penstock-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "content"


def fresh_folder() -> Path:
    """A new, empty folder."""
    folder = fresh()
    folder.mkdir()
    return folder
