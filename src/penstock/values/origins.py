"""Where a file or folder that a task returns comes from. Attempts share the project's folder: what lies outside of an
attempt's own folders counts as its output only if nobody has changed it since the attempt began.

A file has changed if its inode has (`ctime`, which no program can set back). The clock of files is not the clock of the
process, so a folder is asked for it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.values.refusals import ValueRefused

FIX = (
    "Write it into the attempt's own folder and return that path: take a parameter `folder: Scratch` "
    "(from penstock import Scratch), or use context().scratch."
)

LINK_FIX = (
    "Copy the file or folder into the attempt's own folder (shutil.copy, shutil.copytree) and return the copy: take a parameter "
    "`folder: Scratch` (from penstock import Scratch), or use context().scratch."
)


def file_clock_ns(folder: Path) -> int:
    """The time that a file has which is changed now, by `folder`, which is touched to find out. What was changed before has
    an earlier time, or the same where the file system counts in ticks."""
    os.stat(folder)  # what was looked at gets an exact time when it is changed
    os.utime(folder)
    return os.stat(folder).st_ctime_ns


@dataclass(frozen=True, slots=True)
class Beginning:
    """When an attempt began. `is_own`: whether a path lies in another folder that no other attempt writes to, as its
    checkpoint does; `has_written`: whether the attempt has opened a file at or below a path for writing."""

    since_ns: int
    is_own: Callable[[Path], bool] = lambda path: False
    has_written: Callable[[str], bool] = lambda path: False

    def check(self, path: Path, given: Path) -> None:
        """Raises ValueRefused for a `path` that is not what it was when the attempt began. `given` is how the task wrote
        it, links in it not yet followed; OSError for one that cannot be looked at."""
        if self.is_own(path):
            return
        if self.has_written(str(path)):
            raise ValueRefused(f"the task has written {str(given)!r} outside of its scratch folder", fix=FIX)
        if _newest(path) >= self.since_ns:
            raise ValueRefused(
                f"{str(given)!r} is outside of the attempt's scratch folder and was changed after the attempt began: "
                "another attempt may have written it",
                fix=FIX,
            )
        if given.is_symlink() and given.lstat().st_ctime_ns >= self.since_ns:
            raise ValueRefused(
                f"{str(given)!r} is a link to {str(path)!r}, which is outside of the attempt's scratch folder",
                fix=LINK_FIX,
            )


def _newest(path: Path) -> int:
    """When a file, or anything in a folder, was changed last."""
    newest, pending = 0, [str(path)]
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return status.st_ctime_ns
    newest = status.st_ctime_ns
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                newest = max(newest, status.st_ctime_ns)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
    return newest
