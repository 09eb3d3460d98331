"""What an attempt that has passed its memory limit still tells: asked by `guard.TELL`, it writes its frames and what they
hold into a file, if its interpreter comes to it; where native code holds it up, the signal's own handler at least writes
down the stacks of all threads (`faulthandler`). Whoever judges its end reads both here."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
from pathlib import Path
from types import FrameType

from penstock.launcher.inner.held import KEPT, held_by, places_above
from penstock.launcher.inner.traces import is_users
from penstock.launcher.outer.guard import TELL
from penstock.launcher.outer.slot import Slot
from penstock.wire import Held

STACKS_BYTES_MAX = 64 * 1024
_LINE = re.compile(r'\s+File "(.*)", line (\d+) in (.*)')


class Telling:
    """Of one worker: `slot` says which attempt it is at."""

    def __init__(self, folder: str, number: int, slot: Slot) -> None:
        self._frames = _frames_file(Path(folder), number)
        self._stacks_file = _stacks_file(Path(folder), number)
        self._stacks: int | None = None
        self._slot = slot
        self._pid = os.getpid()

    def listen(self) -> None:
        """An attempt with a memory limit begins."""
        if self._stacks is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            try:
                self._stacks = os.open(self._stacks_file, flags, 0o600)
            except OSError:
                return  # a full disk: it is killed without a word
        else:
            os.ftruncate(self._stacks, 0)
        if signal.getsignal(TELL) != self._asked:
            signal.signal(TELL, self._asked)
            signal.siginterrupt(TELL, False)
            if hasattr(faulthandler, "register"):
                faulthandler.register(TELL, file=self._stacks, all_threads=True, chain=True)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        begun = self._slot.begun()
        frames = held_by(places_above(frame))
        if begun is None:
            return
        data = [begun.sequence, [[held.where, held.size_bytes, held.largest] for held in frames]]
        try:
            self._frames.write_text(json.dumps(data), encoding="utf-8", errors="replace")
        except OSError:
            return
        self._slot.tell()


def told(folder: Path, number: int, sequence: int) -> tuple[Held, ...]:
    """The frames that a worker told of an attempt; those of its stacks, without sizes, where it came to no more."""
    try:
        of, frames = json.loads(_frames_file(folder, number).read_text(encoding="utf-8"))
        if of == sequence and frames:
            return tuple(
                Held(where, size, tuple((name, held) for name, held in names)) for where, size, names in frames
            )
    except (OSError, ValueError, TypeError):
        pass
    try:
        with open(_stacks_file(folder, number), encoding="utf-8", errors="replace") as file:
            lines = file.read(STACKS_BYTES_MAX).splitlines()
    except OSError:
        return ()
    places = [match for match in map(_LINE.fullmatch, lines) if match is not None and is_users(match[1])]
    return tuple(Held(f"{match[1]}:{match[2]} in {match[3]}") for match in places[:KEPT])


def told_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Where a worker tells."""
    return _frames_file(folder, number), _stacks_file(folder, number)


def _frames_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.frames"


def _stacks_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.stacks"
