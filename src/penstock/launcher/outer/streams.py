"""The standard streams of a worker: whatever it, its children and its libraries print goes to its log."""

from __future__ import annotations

import faulthandler
import os
import sys
from typing import TextIO


class StandardStreams:
    """Both streams of this process, from here on. `path` is the log, which is made where there is none."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log = fd if fd > 2 else os.dup(fd)
        self._identity = (os.fstat(self._log).st_dev, os.fstat(self._log).st_ino)
        os.dup2(self._log, 1)
        os.dup2(self._log, 2)
        os.set_inheritable(self._log, False)
        faulthandler.enable(self._log)  # a crash in native code says where
        self._streams = _open_streams()

    def size(self) -> int:
        """How long the log is, in bytes."""
        return os.fstat(self._log).st_size

    def restore(self) -> int:
        """Undo what an attempt did to the streams, and drop text that a full disk does not take. The size of the log."""
        for fd, stream in zip((1, 2), self._streams, strict=True):
            try:
                stream.flush()
            except ValueError:
                pass  # closed: opened again below
            except OSError:
                _drop_pending(fd, stream)
            try:
                now = os.fstat(fd)
            except OSError:
                now = None
            if now is None or (now.st_dev, now.st_ino) != self._identity:
                os.dup2(self._log, fd)
        if self._streams[0].closed or self._streams[1].closed:
            self._streams = _open_streams()
        elif sys.stdout is not self._streams[0] or sys.stderr is not self._streams[1]:
            sys.stdout, sys.stderr = self._streams
        return self.size()

    def close(self) -> None:
        """Let go of the log: another process of its own goes on in this one."""
        os.close(self._log)


def _open_streams() -> tuple[TextIO, TextIO]:
    """Text is written line by line: a log can be followed, and what Python and its children print keeps its order."""
    streams = (_text_stream(1), _text_stream(2))
    sys.stdout, sys.stderr = streams
    sys.__stdout__, sys.__stderr__ = streams  # type: ignore[assignment,misc]
    return streams


def _text_stream(fd: int) -> TextIO:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _drop_pending(fd: int, stream: TextIO) -> None:
    """Empty a stream's buffer into nothing; whoever looks after the descriptors points it to the log again."""
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nothing, fd)
    os.close(nothing)
    stream.flush()
