"""The folder of one life of the executor, `local/<incarnation>/` below the state folder, and what earlier lives left in
theirs.

    owner.json      the controller that it belongs to: boot, pid, when that process began
    lock            held by the keeper and its forks for as long as one of them lives
    acknowledged    one line per attempt whose end is committed
    N.slot          what worker N has begun
    N.records       how worker N's attempts ended

Logs stand apart, in `logs/<incarnation>/N.log`: they are kept when the folder goes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import StoreUnavailable
from penstock.launcher.outer.processes import boot_id, kill_marked, started_ticks
from penstock.launcher.outer.records import read_records
from penstock.launcher.outer.slot import Begun, Slot
from penstock.wire import AttemptEnded, LogSegment, report_from_json

LOCAL = "local"
LOGS = "logs"
SCRATCH = "scratch"
GONE_S = 2.0
"""How long the keeper of a dead controller is given to end everything, before a later controller does it."""

_ATTEMPT_ID = re.compile(rb'"attempt_id":"([^"]*)"')


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
        except OSError as error:
            raise StoreUnavailable(
                f"the folder of the local executor cannot be made: {error}",
                fix="See that the disk has room and that the state folder may be written to.",
            ) from None

    def slot(self, number: int) -> Path:
        return self.folder / f"{number}.slot"

    def records(self, number: int) -> Path:
        return self.folder / f"{number}.records"

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
        try:
            with open(self.logs / f"{number}.log", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
                return file.read().decode(errors="replace").strip()
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
    for entry in os.scandir(state / SCRATCH):
        match = re.fullmatch(r"(\d+)-\d+", entry.name)
        if match is not None and not started_ticks(int(match[1])):
            shutil.rmtree(entry.path, ignore_errors=True)


@dataclass(slots=True)
class Past:
    """What dead controllers left. `records` and `begun` are about the attempts asked for. `certain`: an attempt that is
    in neither was never started."""

    records: dict[str, AttemptEnded]
    begun: dict[str, tuple[Begun, LogSegment, int]]
    """Attempts that were begun and have no record, with what they printed and the largest memory seen."""
    folders: list[Path]
    certain: bool


def examine(state: Path, attempt_ids: Iterable[str], *, own: str) -> Past:
    """Look at every incarnation but our own, once all its processes have gone. A folder whose controller lives is left
    alone."""
    wanted = {attempt_id.encode(): attempt_id for attempt_id in attempt_ids}
    past = Past({}, {}, [], certain=True)
    alive = False
    for folder in _folders(state, own):
        if _is_owned(folder):
            alive = True
        elif not _end_processes(folder):
            past.certain = False
        else:
            past.folders.append(folder)
            past.certain &= _owner(folder).get("boot_id") == boot_id()
            _read(folder, state, wanted, past)
    past.certain &= not alive
    sweep_scratch(state)
    return past


def forget_past(folders: Iterable[Path], acknowledged: set[str]) -> list[Path]:
    """Remove the folders of dead controllers in which nothing is outstanding; those that remain. `acknowledged`:
    attempts that were adopted and whose ends are committed since."""
    left = []
    for folder in folders:
        _note_acknowledged(folder, acknowledged)
        if _outstanding(folder):
            left.append(folder)
        else:
            remove_folder(folder)
    return left


def _folders(state: Path, own: str) -> list[Path]:
    try:
        names = sorted(os.listdir(state / LOCAL))
    except FileNotFoundError:
        return []
    return [state / LOCAL / name for name in names if name != own]


def _owner(folder: Path) -> dict[str, object]:
    try:
        owner = json.loads((folder / "owner.json").read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_owned(folder: Path) -> bool:
    """Whether the controller that made this folder lives."""
    owner = _owner(folder)
    pid = owner.get("pid")
    if not isinstance(pid, int) or owner.get("boot_id") != boot_id():
        return False
    if not boot_id():  # nobody can say when a process began: the lock alone must do
        return _is_locked(folder)
    return started_ticks(pid) == owner.get("started")


def _end_processes(folder: Path) -> bool:
    """Wait until the keeper has ended all processes of a dead controller; end them ourselves if it doesn't. Whether all
    have gone."""
    until = time.monotonic() + GONE_S
    while _is_locked(folder) and time.monotonic() < until:
        time.sleep(0.005)
    return kill_marked(folder.name) and not _is_locked(folder)


def _is_locked(folder: Path) -> bool:
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read(folder: Path, state: Path, wanted: dict[bytes, str], past: Past) -> None:
    for _, name in _numbered(folder, "records"):
        for payload in read_records(folder / name):
            match = _ATTEMPT_ID.search(payload)
            if match is not None and match[1] in wanted:
                report = report_from_json(json.loads(payload))
                if isinstance(report, AttemptEnded):
                    past.records[report.attempt_id] = report
    for number, name in _numbered(folder, "slot"):
        slot = _slot(folder / name)
        begun = slot.begun() if slot is not None else None
        if slot is not None and begun is not None and begun.attempt_id.encode() in wanted:
            log = state / LOGS / folder.name / f"{number}.log"
            size = log.stat().st_size if log.exists() else begun.log_offset
            segment = LogSegment(os.path.relpath(log, state), begun.log_offset, max(0, size - begun.log_offset))
            past.begun[begun.attempt_id] = (begun, segment, slot.peak_of(begun.sequence))


def _slot(path: Path) -> Slot | None:
    """A slot left behind; None for one that was not whole when the power went."""
    try:
        return Slot(path)
    except (OSError, ValueError):
        return None


def _numbered(folder: Path, kind: str) -> Iterator[tuple[int, str]]:
    for name in sorted(os.listdir(folder)):
        number, _, suffix = name.partition(".")
        if suffix == kind and number.isdigit():
            yield int(number), name


def _note_acknowledged(folder: Path, attempt_ids: set[str]) -> None:
    try:
        with open(folder / "acknowledged", "a", encoding="utf-8") as file:
            file.writelines(f"{attempt_id}\n" for attempt_id in sorted(attempt_ids))
    except OSError:
        pass  # the folder is then looked at again next time


def _outstanding(folder: Path) -> bool:
    """Whether something in a folder may still be asked for."""
    try:
        done = set((folder / "acknowledged").read_bytes().split(b"\n"))
        for _, name in _numbered(folder, "records"):
            for payload in read_records(folder / name):
                match = _ATTEMPT_ID.search(payload)
                if match is not None and match[1] not in done:
                    return True
        for _, name in _numbered(folder, "slot"):
            slot = _slot(folder / name)
            begun = slot.begun() if slot is not None else None
            if begun is not None and begun.attempt_id.encode() not in done:
                return True
    except OSError:
        return False
    return False
