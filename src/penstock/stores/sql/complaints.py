"""What SQLite and the system complain of, in words for the person who reads it: which file, what is wrong, what to
do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from penstock.base.errors import CommitUnknown, StoreUnavailable

LEFT_ALONE = (
    "It was left as it is. Restore it from a backup, or move it away to begin with an empty one (artifacts stay)."
)
AGAIN = "Nothing that was committed is lost; give the same command again."


def not_usable(path: Path, what: str) -> StoreUnavailable:
    """The database itself is wrong; nobody may write to it."""
    return StoreUnavailable(f"the state store {path} cannot be used: {what}", fix=LEFT_ALONE)


def damaged(path: Path, what: str) -> StoreUnavailable:
    return StoreUnavailable(f"the state store {path} is damaged: {what}", fix=LEFT_ALONE)


def newer(path: Path, *, found: str, known: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the state store {path} has schema version {found}; this Penstock knows versions up to {known}",
        fix="It was left as it is. Use the newer Penstock that wrote it, or set `state` to another folder.",
    )


def moved(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the state store {path} was moved or deleted while it was in use",
        fix="Put it back, then give the same command again.",
    )


def cut_short(path: Path, *, size_bytes: int, before_bytes: int) -> StoreUnavailable:
    how = "emptied" if size_bytes == 0 else f"cut from {before_bytes:,} to {size_bytes:,} bytes"
    return StoreUnavailable(f"the state store {path} was {how} while it was in use", fix=LEFT_ALONE)


def read_only(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the state store {path} cannot be written: it is read-only",
        fix=f"Make {path.parent} and the files in it writable. {AGAIN}",
    )


def not_a_file(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the state store cannot be opened: {path} is not a file",
        fix="Move it away, or set `state` below [tool.penstock] in pyproject.toml to another folder.",
    )


def full(path: Path) -> StoreUnavailable:
    return StoreUnavailable(f"the state store {path} cannot grow: its disk is full", fix=f"Free some space. {AGAIN}")


def from_system(path: Path, error: OSError) -> StoreUnavailable:
    """The folder or the file could not be made."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(path)
    taken = path.parent.exists() and not path.parent.is_dir()
    what = f"{path.parent} is not a folder" if taken else error.strerror or str(error)
    return StoreUnavailable(
        f"the state store {path} cannot be opened: {what}",
        fix="Make its folder writable, or set `state` below [tool.penstock] in pyproject.toml to another one.",
    )


def from_sqlite(path: Path, error: sqlite3.Error, *, busy_ms: int) -> StoreUnavailable:
    """What a failed statement means; the transaction was rolled back."""
    primary = _primary_code(error)
    if str(error).startswith("Could not decode to UTF-8"):
        return damaged(path, "a text in it is not what was written")
    if primary == sqlite3.SQLITE_READONLY:
        return read_only(path)
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
        return not_usable(path, str(error))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        what, fix = f"is locked by another process for more than {busy_ms / 1000:g} s", f"Wait for it to end. {AGAIN}"
    elif primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return full(path)
    elif primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        what, fix = f"cannot be opened: {error}", f"Make {path.parent} and the files in it writable. {AGAIN}"
    else:
        what, fix = f"failed: {error} ({_code_name(error)})", f"Look at the disk below {path.parent}. {AGAIN}"
    return StoreUnavailable(f"the state store {path} {what}", fix=fix)


def from_commit(path: Path, error: sqlite3.Error, *, busy_ms: int) -> StoreUnavailable:
    """What a failed COMMIT means. A full disk or a lock stopped it before its last frame was whole; anything else, a
    failed fsync above all, may leave a frame that a recovery would find."""
    failed = from_sqlite(path, error, busy_ms=busy_ms)
    if _primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
        return failed
    return CommitUnknown(f"{failed.message}; the last commit may or may not have happened", fix=failed.fix)


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _code_name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _is_full(path: Path) -> bool:
    """Some calls of SQLite report a full disk as an input/output error."""
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False
