"""What is known of files and folders outside of the store: that one which looks as it did (inode, size, times of change) has
the content that it had. It saves reading what has not changed; it is never needed, and may be emptied at any time.

A file that was changed within the last two seconds is not remembered: it could change again without its times telling."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

SETTLED_NS = 2_000_000_000
ENTRIES_MAX = 200_000
"""Folders with more entries are read anew every time."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a file or folder looked: equal looks, equal content, once it has `settled`."""

    identity: str
    settled: bool


def look_at(path: Path) -> Look | None:
    """How a file or folder looks now; None for what cannot be looked at."""
    try:
        now = time.time_ns()
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return Look(_facts(status), now - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS)
        digest, newest, left = sha256(), 0, ENTRIES_MAX
        pending = [str(path)]
        while pending:
            folder = pending.pop()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            left -= len(entries)
            if left < 0:
                return None
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                digest.update(f"{entry.path}\0{status.st_mode} {_facts(status)}\n".encode(errors="surrogateescape"))
                newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
        newest = max(newest, os.stat(path).st_mtime_ns)
    except OSError:
        return None
    return Look(digest.hexdigest(), now - newest > SETTLED_NS)


def _facts(status: os.stat_result) -> str:
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def announce_reading(path: Path) -> None:
    """Tell audit hooks of what would have been opened if it were not known (recorded reads, cache rule 12)."""
    if not path.is_dir():
        sys.audit("open", str(path), "rb", os.O_RDONLY)
        return
    for folder, _folders, files in os.walk(path):
        for name in files:
            sys.audit("open", os.path.join(folder, name), "rb", os.O_RDONLY)


class Seen:
    """Contents by path, in files of a folder."""

    __slots__ = ("_folder",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def content_of(self, path: Path, look: Look) -> tuple[str, int] | None:
        """(digest, size in bytes) of what looked like this before."""
        try:
            known = json.loads(self._file(path).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(known, dict) or known.get("look") != look.identity or known.get("path") != str(path):
            return None
        return str(known["digest"]), int(known["size_bytes"])

    def remember(self, path: Path, look: Look, digest: str, size_bytes: int) -> None:
        """Keep what was read of a path that looked so before it was read, if it still does."""
        if not look.settled or look_at(path) != look:
            return
        file = self._file(path)
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        entry = {"path": str(path), "look": look.identity, "digest": digest, "size_bytes": size_bytes}
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.write_text(json.dumps(entry), encoding="utf-8")
            os.replace(unfinished, file)
        except (OSError, UnicodeEncodeError):
            pass  # a full or read-only disk: it is read again next time

    def _file(self, path: Path) -> Path:
        return self._folder / sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:40]
