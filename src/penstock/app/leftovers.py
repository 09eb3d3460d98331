"""Files below the state folder that no run needs any more, beside content: what attempts printed, and the modules that
were written for notebooks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Set
from pathlib import Path

from penstock.app.notebooks import FOLDER as NOTEBOOKS

LOGS = "logs"


def leftovers(state: Path, *, logs: Set[str], targets: Set[str], before_s: float) -> Iterator[Path]:
    """Files that nobody needs and nobody has written to since `before_s` (seconds since the epoch): logs that are not
    among `logs` (paths below the state folder), modules of notebooks that are not among the runs' `targets`."""
    for path in (state / LOGS).glob("*/*.log"):
        if f"{LOGS}/{path.parent.name}/{path.name}" not in logs and _rests(path, before_s):
            yield path
    named = {Path(target.partition(":")[0]).name for target in targets}
    for path in (state / NOTEBOOKS).glob("notebook_*.py"):
        if path.name not in named and _rests(path, before_s):
            yield path


def remove(paths: Iterator[Path], *, dry_run: bool) -> tuple[int, int]:
    """Removes files, and folders that they leave empty. Answers how many there were, and their bytes."""
    removed, size_bytes = 0, 0
    for path in list(paths):
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            if not dry_run:
                path.unlink()
            removed, size_bytes = removed + 1, size_bytes + size
            if not dry_run:
                path.parent.rmdir()  # fails while anything is left in it
    return removed, size_bytes


def _rests(path: Path, before_s: float) -> bool:
    try:
        return os.stat(path).st_mtime < before_s
    except OSError:
        return False
