"""What of a process is put back between attempts (cache rule 15): working folder, environment, warning filters,
import path, signal handlers, recursion limit, the root logger. Cheap where nothing changed."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal.getsignal` makes an enumeration member of every answer
import os
import signal
import sys
import warnings
from typing import Any

_SIGNALS = (int(signal.SIGINT), int(signal.SIGALRM))  # SIGTERM is the worker's own affair


def _environment() -> dict[bytes, bytes]:
    """The environment as bytes, without decoding it."""
    raw: dict[bytes, bytes] = getattr(os.environ, "_data")  # noqa: B009
    return raw


class ProcessState:
    """The state of this process at one moment, to come back to; its working folder is `folder`, whatever it was."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        os.chdir(self._folder)
        self._environment = dict(_environment())
        self._filters: list[Any] = list(warnings.filters)
        self._path = list(sys.path)
        self._arguments = list(sys.argv)
        self._recursion_limit = sys.getrecursionlimit()
        self._signals = [_signal.getsignal(number) for number in _SIGNALS]
        self._logging = _root_logging()

    def restore(self) -> None:
        """Put back whatever differs."""
        try:
            if os.getcwd() != self._folder:
                os.chdir(self._folder)
        except FileNotFoundError:
            os.chdir(self._folder)
        if _environment() != self._environment:
            self._restore_environment()
        if warnings.filters != self._filters:
            warnings.resetwarnings()
            warnings.filters.extend(self._filters)  # type: ignore[attr-defined]
        if sys.path != self._path:
            sys.path[:] = self._path
        if sys.argv != self._arguments:
            sys.argv[:] = self._arguments
        if sys.getrecursionlimit() != self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        for number, before in zip(_SIGNALS, self._signals, strict=True):
            if _signal.getsignal(number) != before:
                if number == signal.SIGALRM:
                    signal.alarm(0)
                signal.signal(number, before)
        self._restore_logging()

    def _restore_environment(self) -> None:
        now = _environment()
        for name in [name for name in now if name not in self._environment]:
            os.environb.pop(name)
        for name, value in self._environment.items():
            if now.get(name) != value:
                os.environb[name] = value

    def _restore_logging(self) -> None:
        now = _root_logging()
        if now is None or self._logging is None or now == self._logging:
            return
        root = sys.modules["logging"].getLogger()
        root.setLevel(self._logging[0])
        root.handlers[:] = self._logging[1]


def _root_logging() -> tuple[int, list[Any]] | None:
    logging = sys.modules.get("logging")
    root = getattr(logging, "root", None)
    return None if root is None else (root.level, list(root.handlers))


def show_logging() -> None:
    """Let what user code logs at level INFO and above be seen without any set-up of theirs, and leave all set-up to
    them: the handler that `logging` falls back to when there is none is ours, and `basicConfig` still does its
    work."""
    logging: Any = sys.modules["logging"]
    if logging.root.level == logging.WARNING:
        logging.root.setLevel(logging.INFO)
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.lastResort = handler


class _CurrentStderr:
    """Whatever `sys.stderr` is when something is written."""

    def write(self, text: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(text)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
