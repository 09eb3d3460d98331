"""What dead controllers of this project left of their attempts: their outcome records, what their workers had begun, and
sometimes processes, which are ended here."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.executors.local.incarnation import LOCAL, LOGS, remove_folder, sweep_scratch
from penstock.executors.local.words import report_in
from penstock.launcher.outer.judged import judged, usage_of
from penstock.launcher.outer.processes import boot_id, kill_marked, started_ticks
from penstock.launcher.outer.records import Garbled, read_records, record_of
from penstock.launcher.outer.slot import Begun, Slot
from penstock.wire import AttemptEnded, Failed, LogSegment, Lost, OutOfMemory, Refused, Usage

GONE_S = 2.0
"""How long the keeper of a dead controller is given to end everything, before a later controller does it."""

_ATTEMPT_ID = re.compile(rb'"attempt_id":"([^"]*)"')


@dataclass(slots=True)
class Past:
    """What dead controllers left. `records` and `begun` are about the attempts asked for. `certain`: an attempt that is
    in neither was never started."""

    records: dict[str, AttemptEnded]
    begun: dict[str, tuple[Begun, LogSegment, Usage, OutOfMemory | Failed | None]]
    """Attempts that were begun and have no record, with what they printed and used, and the outcome of those that were
    killed for a limit."""
    folders: list[Path]
    certain: bool

    def end_of(self, attempt_id: str) -> AttemptEnded:
        """How an attempt of an earlier controller ended, as far as anybody can tell."""
        if attempt_id in self.records:
            return self.records[attempt_id]
        if attempt_id in self.begun:
            begun, log, usage, outcome = self.begun[attempt_id]
            lost = Lost("the controller died while it ran, and its processes with it")
            return AttemptEnded(attempt_id, outcome or lost, started_at=begun.started_at, usage=usage, log=log)
        if self.certain:
            return AttemptEnded(attempt_id, Refused("never started"))
        return AttemptEnded(attempt_id, Lost("nothing is left that tells whether it ran"))


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
    _wait_for_lock(folder)
    return kill_marked(folder.name) and _wait_for_lock(folder)


def _wait_for_lock(folder: Path) -> bool:
    """Wait a while until nobody holds a folder's lock; whether nobody does. A process that is ending lets go of its lock last."""
    until = time.monotonic() + GONE_S
    while _is_locked(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


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
    recorded_by_number: dict[int, int] = {}
    for number, name in _numbered(folder, "records"):
        for payload in read_records(folder / name):
            recorded_by_number[number] = recorded_by_number.get(number, 0) + len(record_of(payload))
            match = _ATTEMPT_ID.search(payload)
            if match is not None and match[1] in wanted:
                try:
                    past.records[match[1].decode()] = report_in(payload)
                except Garbled:
                    past.certain = False
    for number, name in _numbered(folder, "slot"):
        slot = _slot(folder / name)
        begun = slot.begun() if slot is not None else None
        if slot is not None and slot.recorded_bytes() > recorded_by_number.get(number, 0):
            past.certain = False  # what was written there cannot be read
        if slot is not None and begun is not None and begun.attempt_id.encode() in wanted:
            log = state / LOGS / folder.name / f"{number}.log"
            size = log.stat().st_size if log.exists() else begun.log_offset
            segment = LogSegment(os.path.relpath(log, state), begun.log_offset, max(0, size - begun.log_offset))
            outcome = judged(folder, number, slot, begun.sequence)
            past.begun[begun.attempt_id] = (begun, segment, usage_of(slot, begun.sequence), outcome)


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
