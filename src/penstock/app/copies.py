"""State that may only be read: on a read-only disk, in a snapshot, in a folder of root's. SQLite notes who reads in files next to
the database, so such a database is copied into a folder of this process's own and read there; so are values that are read."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from penstock.base.errors import StoreUnavailable

TRIES = 20
"""How often a copy is begun again because somebody wrote meanwhile."""

WITH_LOG = ("", "-wal")
Seen = tuple[tuple[int, int, int] | None, ...]

_copies: dict[Path, tuple[Seen, Path]] = {}


def database_to_read(database: Path) -> Path:
    """The database itself, or a copy of it where it may not be written to. A copy is made once for all that this process reads,
    as long as nobody else writes to the database. Raises StoreUnavailable."""
    if _may_write(database):
        return database
    known = _copies.get(database)
    if known is not None and known[0] == _seen(database):
        return known[1]
    folder = Path(tempfile.mkdtemp(dir=_own_folder()))
    copy = folder / database.name
    try:
        for _ in range(TRIES):
            before = _seen(database)
            for suffix, seen in zip(WITH_LOG, before, strict=True):
                Path(f"{copy}{suffix}").unlink(missing_ok=True)
                if seen is not None:
                    shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
            if _seen(database) == before:
                _copies[database] = (before, copy)
                return copy
    except OSError as error:
        raise StoreUnavailable(
            f"the state store {database} may only be read here, and cannot be copied to {folder}: {error}",
            fix="See that it may be read, and that TMPDIR names a folder with room for it.",
        ) from None
    raise StoreUnavailable(
        f"the state store {database} may only be read here, and somebody writes to it all the time",
        fix="Give the same command again, or give it where the store may be written to.",
    )


def scratch_to_read(scratch: Path) -> Path:
    """A scratch folder itself, or one of this process's own where that may not be written to."""
    return scratch if _may_add(scratch) else _own_folder()


@cache
def _own_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _may_write(database: Path) -> bool:
    files = [database, Path(f"{database}-wal"), Path(f"{database}-shm")]
    return _may_add(database.parent) and all(os.access(each, os.W_OK) for each in files if os.path.lexists(each))


def _may_add(folder: Path) -> bool:
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _seen(database: Path) -> Seen:
    seen: list[tuple[int, int, int] | None] = []
    for suffix in WITH_LOG:
        try:
            info = os.stat(f"{database}{suffix}")
        except FileNotFoundError:
            seen.append(None)
        else:
            seen.append((info.st_ino, info.st_size, info.st_mtime_ns))
    return tuple(seen)


__all__ = ["database_to_read", "scratch_to_read"]
