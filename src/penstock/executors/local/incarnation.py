"""The folder of one life of the executor, `local/<incarnation>/` below the state folder, and what earlier lives left in
theirs.

    owner.json      the controller that it belongs to: boot, pid, when that process began
    lock            held by the keeper and its forks for as long as one of them lives
    acknowledged    one line per attempt whose end is committed
    N.slot          what worker N has begun
    N.records       how worker N's attempts ended
    N.frames        what worker N told of an attempt that passed its memory limit, and
    N.stacks        the stacks of its threads then

Logs stand apart, in `logs/<incarnation>/N.log`: they are kept when the folder goes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from penstock.base.errors import StoreUnavailable
from penstock.launcher.outer.crashes import DUMP_BYTES_MAX
from penstock.launcher.outer.processes import boot_id, started_ticks
from penstock.launcher.outer.telling import told_files
from penstock.wire import LogSegment

LOCAL = "local"
LOGS = "logs"
SCRATCH = "scratch"


class Incarnation:
    """This life's folder."""

    def __init__(self, state: Path) -> None:
        """Make the folder. Raises StoreUnavailable."""
        self.name = f"{time.time_ns() // 1_000_000:x}-{os.getpid():x}-{os.urandom(2).hex()}"
        self.state = state
        self.folder = state / LOCAL / self.name
        self.logs = state / LOGS / self.name
        owner = {"boot_id": boot_id(), "pid": os.getpid(), "started": started_ticks(os.getpid())}
        try:
            for folder in (state, state / LOCAL, state / LOGS, state / SCRATCH, self.folder, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / "owner.json").write_text(json.dumps(owner))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._acknowledged = os.open(self.folder / "acknowledged", flags, 0o600)
            self._identities = {folder: _identity(folder) for folder in (self.folder, self.logs)}
        except OSError as error:
            raise StoreUnavailable(
                f"the folder of the local executor cannot be made: {error}",
                fix="See that the disk has room and that the state folder may be written to.",
            ) from None

    def check(self, *, logs: bool) -> None:
        """Raises StoreUnavailable when the folder was moved or deleted: a worker's end would be noted nowhere. `logs`: the same
        of the folder for logs."""
        self._refuse_removed(self.folder)
        if logs:
            self._refuse_removed(self.logs)

    def _refuse_removed(self, folder: Path) -> None:
        try:
            if _identity(folder) == self._identities[folder]:
                return
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
                return  # what is wrong with it shows where it is used
        raise StoreUnavailable(
            f"the folder of the local executor, {folder}, was moved or deleted while it was in use",
            fix="Nothing that was committed is lost; give the same command again.",
        )

    def slot(self, number: int) -> Path:
        return self.folder / f"{number}.slot"

    def records(self, number: int) -> Path:
        return self.folder / f"{number}.records"

    def files_of(self, number: int) -> tuple[Path, ...]:
        """All that is here of a worker."""
        return (self.slot(number), self.records(number), *told_files(self.folder, number))

    def segment(self, number: int, offset: int) -> LogSegment:
        """What a worker has printed from `offset` on."""
        path = self.logs / f"{number}.log"
        try:
            size = path.stat().st_size
        except OSError:
            size = offset
        return LogSegment(os.path.relpath(path, self.state), offset, max(0, size - offset))

    def log_tail(self, number: int) -> str:
        """The last lines that a worker printed."""
        return self.log_text(number, 0, bytes_max=2000).strip()

    def log_text(self, number: int, offset: int, *, bytes_max: int = DUMP_BYTES_MAX) -> str:
        """What a worker printed from `offset` on, the end of it if it is long; "" where it cannot be read."""
        try:
            with open(self.logs / f"{number}.log", "rb") as file:
                file.seek(max(offset, os.fstat(file.fileno()).st_size - bytes_max))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """Note attempts whose ends are committed. A full disk is no harm: their records are then kept for longer."""
        with suppress(OSError):
            os.write(self._acknowledged, "".join(f"{attempt_id}\n" for attempt_id in attempt_ids).encode())

    def close(self, *, remove: bool) -> None:
        """All processes have ended. `remove`: nothing in the folder is outstanding."""
        os.close(self._acknowledged)
        sweep_scratch(self.state)
        if remove:
            remove_folder(self.folder)
            try:
                (self.logs / "keeper.log").unlink(missing_ok=True)
                self.logs.rmdir()
            except OSError:
                pass  # it holds logs


def _identity(folder: Path) -> tuple[int, int]:
    info = os.stat(folder)
    return info.st_dev, info.st_ino


def remove_folder(folder: Path) -> None:
    """Remove an incarnation's folder, as far as that is possible."""
    try:
        for entry in os.scandir(folder):
            os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        pass  # another controller was quicker, or the disk is read-only: what is left is looked at again next time


def sweep_scratch(state: Path) -> None:
    """Remove the scratch folders, `PID-N`, of workers that have gone."""
    try:
        entries = list(os.scandir(state / SCRATCH))
    except OSError:
        return  # the state folder was moved away
    for entry in entries:
        match = re.fullmatch(r"(\d+)-\d+", entry.name)
        if match is not None and not started_ticks(int(match[1])):
            shutil.rmtree(entry.path, ignore_errors=True)
