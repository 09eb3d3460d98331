"""One program: started in a session of its own, its output copied to this process's own as it comes, ended as a whole process
group. Knows nothing of attempts."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from penstock.launcher.outer.processes import pidfd

BLOCK_BYTES = 64 * 1024
TAIL_BYTES_MAX = 256 * 1024
"""So much of the end of each stream is remembered."""

LOOK_S = 0.05
"""How often a program is looked at where the system does not say when it ends."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: `code` is its exit code, below zero the signal that killed it. The ends of what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class _Stream:
    """One of the program's streams: who is told of it, and its end."""

    source: int
    told: Callable[[bytes], None]
    kept: IO[bytes] | None
    tail: bytearray = field(default_factory=bytearray)

    def take(self) -> bool:
        """Copy what is there; False: there will be no more."""
        try:
            data = os.read(self.source, BLOCK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        if self.kept is not None:
            self.kept.write(data)
        self.tail += data
        if len(self.tail) > 2 * TAIL_BYTES_MAX:
            del self.tail[:-TAIL_BYTES_MAX]
        self.told(data)
        return True

    def drain(self) -> None:
        """Copy what was written before the program ended; others that hold the stream are not waited for."""
        os.set_blocking(self.source, False)
        poller = select.poll()
        poller.register(self.source, select.POLLIN)
        while poller.poll(0) and self.take():
            pass


class Line:
    """A descriptor that a program inherits, `given`; what it writes there is told in pieces of no particular length."""

    def __init__(self, told: Callable[[bytes], None]) -> None:
        self.source, self.given = os.pipe()
        self.told = told
        self._is_open = True

    def close(self) -> None:
        """The program has its end, or never will."""
        if self._is_open:
            self._is_open = False
            os.close(self.given)

    def end(self) -> None:
        self.close()
        os.close(self.source)


def _copy(data: bytes, target: int) -> None:
    left = memoryview(data)
    with suppress(OSError):  # a full disk costs the log, not the task
        while left:
            left = left[os.write(target, left) :]


def run_program(
    argv: Sequence[str],
    *,
    program: str,
    folder: Path,
    variables: Mapping[str, str],
    stdout: Path | None = None,
    patience_s: float | None = None,
    line: Line | None = None,
) -> Ran:
    """Run `program` with these arguments (the first of which is what it is called) to its end. `stdout` keeps all that it
    prints, `line` takes what it says beside that. When this is interrupted, the program's group gets SIGTERM, and SIGKILL
    after `patience_s` (None: whoever interrupted sees to that). Raises OSError where it cannot be started."""
    process = subprocess.Popen(
        list(argv),
        executable=program,
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=(line.given,) if line is not None else (),
    )
    assert process.stdout is not None and process.stderr is not None
    kept = stdout.open("xb") if stdout is not None else None
    streams = [
        _Stream(process.stdout.fileno(), lambda data: _copy(data, 1), kept),
        _Stream(process.stderr.fileno(), lambda data: _copy(data, 2), None),
    ]
    if line is not None:
        line.close()
        streams.append(_Stream(line.source, line.told, None))
    try:
        try:
            _follow(process, streams)
        except BaseException:
            _signal_group(process, signal.SIGTERM)
            _follow(process, streams, patience_s=patience_s)
            raise
    finally:
        _signal_group(process, signal.SIGKILL)  # what it left behind; before it is reaped, its group has no other owner
        process.wait()
        for stream in (process.stdout, process.stderr, kept):
            if stream is not None:
                stream.close()
    return Ran(process.returncode, bytes(streams[0].tail), bytes(streams[1].tail))


def _follow(process: subprocess.Popen[bytes], streams: list[_Stream], *, patience_s: float | None = None) -> None:
    """Copy the streams until the program has ended, or for so long."""
    until = None if patience_s is None else time.monotonic() + patience_s
    end = pidfd(process.pid)
    poller = select.poll()
    open_ = {stream.source: stream for stream in streams}
    for fd in open_:
        poller.register(fd, select.POLLIN)
    if end is not None:
        poller.register(end, select.POLLIN)
    try:
        while True:
            wait_s = LOOK_S if end is None else None
            if until is not None:
                wait_s = min(max(0.0, until - time.monotonic()), LOOK_S)
            for fd, _event in poller.poll(None if wait_s is None else int(wait_s * 1000) + 1):
                if fd in open_ and not open_[fd].take():
                    poller.unregister(fd)
                    del open_[fd]
            if _has_ended(process.pid) or (until is not None and time.monotonic() >= until):
                break
        for stream in open_.values():
            stream.drain()
    finally:
        if end is not None:
            os.close(end)


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it stays to be waited for, and so keeps its number."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
