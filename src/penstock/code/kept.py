"""Plain data that this user's processes keep for each other, in a folder that may be emptied at any time.

Every file carries a digest that is keyed by a secret of this user's. `marshal` is given nothing else: data that was made
to mislead it can make the interpreter run code. A file that is damaged, or that somebody else has put there, is as if it
were not there."""

from __future__ import annotations

import contextlib
import hmac
import marshal
import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

SECRET = "secret"
"""Name of the file with the secret, in the folder that the folders of kept files are in."""
_SECRET_BYTES = 32
_DIGEST_BYTES = 32


class Kept:
    """The files of one folder, under names that say all that they depend on. None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._secret = secret_of(folder.parent) if folder is not None else None

    def read(self, name: str) -> Any:
        """None where there is nothing."""
        if self._folder is None or self._secret is None:
            return None
        try:
            with open(self._folder / name, "rb", opener=_not_through_links) as file:
                stored = file.read()
            data = stored[_DIGEST_BYTES:]
            if not hmac.compare_digest(_digest(self._secret, name, data), stored[:_DIGEST_BYTES]):
                return None
            return marshal.loads(data)
        except (OSError, EOFError, ValueError, TypeError):
            return None

    def write(self, name: str, value: Any) -> None:
        if self._folder is None or self._secret is None:
            return
        data = marshal.dumps(value)
        unfinished = self._folder / f"{name}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.write_bytes(_digest(self._secret, name, data) + data)
            os.replace(unfinished, self._folder / name)
        except OSError:
            pass  # a full or read-only disk costs the time to work it out again, no more

    def prune(self, prefix: str, *, files_max: int) -> None:
        """Keep the newest files whose names start with `prefix`."""
        if self._folder is None:
            return
        try:
            files = [entry for entry in os.scandir(self._folder) if entry.name.startswith(prefix)]
            if len(files) > files_max:
                for entry in sorted(files, key=lambda entry: entry.stat().st_mtime_ns)[: len(files) - files_max // 2]:
                    os.unlink(entry.path)
        except OSError:
            pass  # another process does the same


def _digest(secret: bytes, name: str, data: bytes) -> bytes:
    """The name is part of it, so that no file passes for another."""
    return hmac.digest(secret, name.encode() + b"\0" + data, "sha256")


# -- the secret --------------------------------------------------------------------------------------------------------


@cache
def secret_of(folder: Path) -> bytes | None:
    """The secret of a folder, made if need be; None where there can be none: nothing is kept then."""
    try:
        found = _read(folder / SECRET)
        if found is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder / SECRET)
            _write(folder / SECRET, os.urandom(_SECRET_BYTES))
            found = _read(folder / SECRET)
        return found
    except OSError:
        return None


def lend_secret(folder: Path, to: Path) -> None:
    """Let another folder, which is empty and this user's own, have the same secret. Raises OSError."""
    secret = _read(folder / SECRET)
    if secret is not None:
        _write(to / SECRET, secret)


def _read(file: Path) -> bytes | None:
    """None where it is not there, or where another user may know it."""
    try:
        with open(file, "rb", opener=_not_through_links) as opened:
            info = os.fstat(opened.fileno())
            secret = opened.read(_SECRET_BYTES + 1)
    except OSError:
        return None
    private = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077
    return secret if private and len(secret) == _SECRET_BYTES else None


def _write(file: Path, secret: bytes) -> None:
    """Of several processes the first one writes it, whole."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(secret)
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, file)
    finally:
        os.unlink(unfinished)


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
