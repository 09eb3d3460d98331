"""Where code of ours below the launcher may write while an attempt runs: new paths in a folder that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
