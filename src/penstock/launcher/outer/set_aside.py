"""Values that tasks have returned and that no form could store: kept for this user alone, so that a corrected annotation does not
cost the work again.

A value is found again by the same component, but for its return annotation, given the same inputs; and taken only if the files
and variables that were read when it was made are as they were. It is a pickle, which can make the interpreter run code when it
is read: the folder and the files in it are this user's, and each file ends with a digest that is keyed by a secret in that
folder."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import pickle
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from penstock.base.digests import digest_of
from penstock.base.sizes import size_text
from penstock.code.kept import SECRET, secret_of
from penstock.launcher.outer.verifying import Found, Verification
from penstock.values.reads import MISSING, changed_reads, digest_of_read, fact_now, is_fact
from penstock.wire import AttemptRequest, Outcome, OutputInvalid, data_to_json

KEPT = "kept"
"""The folder, below the state folder."""
DAYS_MAX = 30
"""How long a value is kept."""
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_KEY_CHARS = 32
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SetAside:
    """A value, the reads of the attempt that made it, what it logged, and which attempt that was."""

    value: Any
    reads: Mapping[str, str]
    attempt_id: str


class NotKept(Exception):
    """Why a value cannot be kept, in words that follow "because"."""


class Refusals:
    """What becomes of values that were refused, one attempt after the other: `taken` before the task is called, `refuse`
    where its value is, `told` when it is known what the attempt has read."""

    def __init__(self, folder: Path, *, project: Path, verification: Verification) -> None:
        self.is_on = True
        self._folder = folder
        self._project = str(project)
        self._verification = verification
        self._refused: tuple[Any, str, str] | tuple[()] = ()
        self._why_not = ""

    def taken(self, request: AttemptRequest) -> SetAside | None:
        """What an earlier attempt has made of the same, if that was kept; its reads are those of this attempt then."""
        self._refused = ()
        if not (self._folder.is_dir() and request.reads_cache and request.key and self.is_on):
            return None
        unannotated = self._verification.unannotated(request)
        kept = find(self._folder, key_of(request, unannotated), now=self._now) if unannotated else None
        if kept is not None:
            self._verification.expect(request)
            self._verification.found_elsewhere(kept.reads, ())
            sys.stderr.write(
                f"penstock: the value that {kept.attempt_id} returned was kept; the task is not called again\n"
            )
        return kept

    def refuse(self, value: Any, what: str, fix: str) -> None:
        """`what` is wrong with it, and what the author is to do."""
        from penstock.values.pickled import OBJECTS_MAX, contents_of_pickle

        self._refused, self._why_not = (value, what.rstrip("."), fix), ""
        try:
            contents = contents_of_pickle(value)
        except Exception as error:  # noqa: BLE001 - whatever an author's class raises when it is pickled
            self._why_not = f"it cannot be pickled: {error}"[:300]
            return
        if contents.names_paths or contents.count > OBJECTS_MAX:
            self._why_not = (
                "it names files, which go with the attempt" if contents.names_paths else "it has too many parts"
            )
            return
        self._verification.code_of(list(contents.names))

    @property
    def has_one(self) -> bool:
        return bool(self._refused)

    def told(self, outcome: Outcome, found: Found, request: AttemptRequest) -> tuple[Outcome, Found]:
        """The outcome, with where the value is that was refused, or why it is not kept; and what was found, without what an
        attempt says that has not succeeded."""
        refused, self._refused = self._refused, ()
        if not refused:
            return outcome, found
        value, what, fix = refused
        if isinstance(outcome, OutputInvalid) and self.is_on:
            try:
                path, size = self._set_aside(value, found, request)
            except NotKept as why:
                kept = f"The value is not kept: {why}"
            else:
                kept = f"The value is kept for you alone in {path} ({size}), for a run with the right return annotation"
            outcome = OutputInvalid(f"{what}. {kept}. {fix}".rstrip())
        return outcome, Found(is_spent=found.is_spent, only=found.only)

    def _set_aside(self, value: Any, found: Found, request: AttemptRequest) -> tuple[str, str]:
        if self._why_not:
            raise NotKept(self._why_not)
        if not request.key:
            raise NotKept("results of this task are not cached")
        if found.outside:
            raise NotKept(f"its result would not be cached either ({found.outside[0]})")
        unannotated = self._verification.unannotated(request)
        if not unannotated:
            raise NotKept("what the task does may depend on its return annotation")
        key = key_of(request, unannotated)
        path, size = set_aside(value, self._folder, key, reads=found.reads, attempt_id=request.attempt_id)
        return os.path.relpath(path, self._project), size

    def _now(self, name: str) -> str:
        """What a recorded read is now."""
        if is_fact(name):
            return fact_now(name, self._project)
        try:
            return digest_of_read(os.path.join(self._project, name))
        except OSError:
            return MISSING


def key_of(request: AttemptRequest, unannotated: str) -> str:
    """What a kept value is found by; `unannotated` is that of the component's code."""
    found = digest_of([request.component.component, unannotated, data_to_json(request.inputs)])
    return found.rpartition(":")[2][:_KEY_CHARS]


def set_aside(value: Any, folder: Path, key: str, *, reads: Mapping[str, str], attempt_id: str) -> tuple[Path, str]:
    """Keep a value. Answers its file and its size in words. Raises NotKept."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        secret = secret_of(folder) if _is_private(folder.lstat(), stat.S_ISDIR) else None
        if secret is None:
            raise NotKept(f"{folder} is not a folder that this user alone can read")
        path = folder / key
        unfinished = path.with_name(f"{key}.{os.getpid()}")
        header = json.dumps({"reads": dict(reads), "attempt": attempt_id}).encode()
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w+b") as file:
                file.write(len(header).to_bytes(_LENGTH_BYTES, "big") + header)
                _pickle(value, file)
                size = file.tell()
                file.flush()
                file.write(_digest(file, size, secret, key))
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise NotKept(f"the disk does not take it ({error.strerror or error})") from None
    return path, size_text(size)


def find(folder: Path, key: str, *, now: Callable[[str], str]) -> SetAside | None:
    """The value that was kept under a key; None where there is none, or not one that may be taken. `now` says what a
    recorded read is."""
    path = folder / key
    try:
        if not path.exists() or not _is_private(folder.lstat(), stat.S_ISDIR):
            return None
        secret = secret_of(folder)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            size = status.st_size - _DIGEST_BYTES
            if secret is None or size < _LENGTH_BYTES or not _is_private(status, stat.S_ISREG):
                return None
            expected = _digest(file, size, secret, key)
            if not hmac.compare_digest(expected, file.read(_DIGEST_BYTES)):
                return None
            file.seek(0)
            header = json.loads(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "big")))
            if changed_reads(header["reads"], now):
                return None
            return SetAside(pickle.load(file), header["reads"], header["attempt"])
    except Exception:  # noqa: BLE001 - whatever reading a pickle raises: the work is done again
        return None


def reclaim(folder: Path, *, before_s: float, dry_run: bool) -> tuple[int, int]:
    """Remove what was kept before an instant (seconds since the epoch). How many files, and their bytes."""
    count = size_bytes = 0
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if entry.name != SECRET and status.st_mtime < before_s:
                    if not dry_run:
                        os.unlink(entry.path)
                    count, size_bytes = count + 1, size_bytes + status.st_size
    return count, size_bytes


def _pickle(value: Any, file: BinaryIO) -> None:
    try:
        pickle.dump(value, file, protocol=5)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an author's class raises when it is pickled
        raise NotKept(f"it cannot be pickled: {error}"[:300]) from None


def _digest(file: BinaryIO, size: int, secret: bytes, key: str) -> bytes:
    """Over the first bytes of a file; leaves it behind them. The name is part of it."""
    file.seek(0)
    found = hmac.new(secret, key.encode() + b"\0", "sha256")
    while size:
        block = file.read(min(size, _BLOCK_BYTES))
        if not block:
            break
        found.update(block)
        size -= len(block)
    return found.digest()


def _is_private(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
