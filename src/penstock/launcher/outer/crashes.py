"""What a process says that has crashed in native code: `faulthandler` writes the stacks of its threads, the innermost call first.
Whoever finds such a process ended makes a failure of it, with the author's own frames as any other failure has them."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping

from penstock.launcher.inner.traces import is_users
from penstock.launcher.outer.stories import FRAMES_MAX, frame_at
from penstock.wire import Failed, Failure, Frame

_WHAT: Mapping[signal.Signals, str] = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic error",
}
"""Signals by which a process ends for what its own code does."""

NAMES = frozenset(number.name for number in _WHAT)
"""The types of such failures."""

DUMP_BYTES_MAX = 256 * 1024
_DUMP = "Fatal Python error: "
_HEADING = " (most recent call first):"
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


def crash_of(exit_code: int, text: str, *, project: str, started_at: int = 0) -> Failed | None:
    """The outcome of an attempt whose process has ended with this code and had printed `text`; None: it has not crashed.
    `started_at` is in ms since the epoch: a file that was changed since is shown without its lines."""
    name = crash_name(exit_code)
    if not name:
        return None
    number = signal.Signals[name]
    message = f"native code ended the process ({_WHAT[number]})"
    calls = _calls(text)
    frames = tuple(_frame(call, project=project, started_at=started_at) for call in calls)
    lines = [f'  File "{file}", line {line}, in {function}' for file, line, function in calls]
    trace = "\n".join(["Traceback (most recent call last):", *lines, f"{name}: {message}"]) if calls else ""
    return Failed(Failure(name, message, (name, "Exception"), trace, frames))


def crash_name(exit_code: int) -> str:
    """The signal by which a process has crashed, from minus its number; "" for any other end."""
    return next((number.name for number in _WHAT if number == -exit_code), "")


def before_dump(text: str) -> str:
    """What was printed before the last dump."""
    return text[: _dump_at(text)]


def _dump_at(text: str) -> int:
    at = text.rfind(f"\n{_DUMP}")
    return at + 1 if at >= 0 else 0 if text.startswith(_DUMP) else len(text)


def _calls(text: str) -> list[tuple[str, int, str]]:
    """Calls of the author's and of libraries in the thread that crashed, outermost first; where that one ran no Python, in
    another, the main one before all, which is written last."""
    threads: dict[str, list[tuple[str, int, str]]] = {}
    heading = ""
    for line in text[_dump_at(text) :].splitlines():
        match = _FRAME.fullmatch(line)
        if match is None:
            heading = line if line.endswith(_HEADING) else heading
        elif is_users(match[1]) and match[1] != "<string>":
            threads.setdefault(heading, []).append((match[1], int(match[2]), match[3]))
    current = next((calls for heading, calls in threads.items() if heading.startswith("Current ")), None)
    found = list(reversed(current or next(reversed(threads.values()), [])))
    return found if len(found) <= FRAMES_MAX else [*found[: FRAMES_MAX // 2], *found[-FRAMES_MAX // 2 :]]


def _frame(call: tuple[str, int, str], *, project: str, started_at: int) -> Frame:
    try:
        is_same = not started_at or os.stat(call[0]).st_mtime_ns // 1_000_000 <= started_at
    except OSError:
        is_same = False
    return frame_at(*call, project=project, has_source=is_same)


__all__ = ["DUMP_BYTES_MAX", "NAMES", "before_dump", "crash_name", "crash_of"]
