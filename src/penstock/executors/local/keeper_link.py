"""The controller's side of the keeper: starts it, gives it orders, hears its news. The keeper itself is
`launcher.outer.keeper`."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import penstock
from penstock.launcher.outer.devices import VISIBLE
from penstock.launcher.outer.processes import MARK, kill_marked, pidfd
from penstock.launcher.outer.worker import WorkerSettings

DATAGRAM = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
END_S = 8.0
"""How long a keeper is given to end everything."""

_CONTROL_FD = 3
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from penstock.launcher.outer.keeper import main; main(int(sys.argv[2]))"
)


class KeeperLink:
    def __init__(self, settings: WorkerSettings) -> None:
        """Start a keeper; it is at work some milliseconds later. Raises OSError."""
        self._mark = settings.incarnation
        self._control, theirs = socket.socketpair(socket.AF_UNIX, DATAGRAM)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(os.path.join(settings.logs, "keeper.log"), flags, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.pid = _spawn(settings, control=theirs.fileno(), log=log, nothing=nothing)
        finally:
            theirs.close()
            os.close(log)
            os.close(nothing)
        self.ready = False
        self._status: int | None = None
        self._order(asdict(settings))

    def fileno(self) -> int:
        return self._control.fileno()

    def fork(
        self,
        worker: int,
        *,
        requests: socket.socket,
        reports: socket.socket,
        fresh: bool,
        parent: int | None,
        describes: bool,
    ) -> None:
        """`parent` is the preloaded worker that it is forked from, if there is one; one that `describes` a target may become
        such a parent."""
        order = {"order": "fork", "worker": worker, "fresh": fresh, "parent": parent, "describes": describes}
        with suppress(BrokenPipeError, ConnectionResetError):  # `news` says when the keeper has gone
            socket.send_fds(self._control, [json.dumps(order).encode()], [requests.fileno(), reports.fileno()])

    def stop(self, worker: int, *, sequence: int, grace_ms: int) -> None:
        """End that attempt of that worker, if the worker is still at it."""
        self._order({"order": "stop", "worker": worker, "sequence": sequence, "grace_ms": grace_ms})

    def kill(self, worker: int) -> None:
        self._order({"order": "kill", "worker": worker})

    def end_silent(self, worker: int) -> None:
        """End that worker, unless its slot shows an attempt by then."""
        self._order({"order": "end_silent", "worker": worker})

    def sample(self) -> None:
        """Look at the memory of long attempts, until none runs."""
        self._order({"order": "sample"})

    def news(self) -> list[dict[str, Any]] | None:
        """What the keeper has said since; None: it has gone."""
        heard: list[dict[str, Any]] = []
        while True:
            try:
                text = self._control.recv(64 * 1024, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return heard
            except ConnectionResetError:
                text = b""
            if not text:
                return heard or None
            heard.append(json.loads(text))
            self.ready = True

    def close(self) -> None:
        """End every process below the keeper, and the keeper. Returns when none is left."""
        self._control.close()
        if not self._gone(END_S):
            os.kill(self.pid, signal.SIGKILL)
            self._gone(END_S)
        if self._status != 0 or not self.ready:  # it did not go of itself, having ended everything
            kill_marked(self._mark)

    def _order(self, order: dict[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `news` says when the keeper has gone
            self._control.send(json.dumps(order).encode())

    def _gone(self, patience_s: float) -> bool:
        """Wait for the keeper's end; whether it came. A pidfd tells at once, elsewhere it is asked for."""
        until = time.monotonic() + patience_s
        watch = pidfd(self.pid)
        try:
            while True:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # somebody else in this process has waited for it
                    return True
                if pid == self.pid:
                    self._status = status
                    return True
                left = until - time.monotonic()
                if left <= 0:
                    return False
                if watch is None:
                    time.sleep(0.002)
                else:
                    select.select([watch], [], [], left)
        finally:
            if watch is not None:
                os.close(watch)


def _spawn(settings: WorkerSettings, *, control: int, log: int, nothing: int) -> int:
    """Start the interpreter of this process anew: no user code in it, its own session (Ctrl-C does not reach it), a
    hash seed that makes set order repeatable, and a mark by which everything that descends from it can be found."""
    root = str(Path(penstock.__file__ or "").parent.parent)
    arguments = [
        sys.executable,
        "-P",
        "-c",
        _PROGRAM,
        root,
        str(_CONTROL_FD),
        f"penstock-keeper:{settings.incarnation}",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0", MARK: settings.incarnation}
    if settings.hides_gpus:
        environment[VISIBLE] = ""
    # Out of the way first: any of them may be one of the numbers that they go to.
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (nothing, log, log, control)]
    moves = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip(away, (0, 1, 2, _CONTROL_FD), strict=True)]
    try:
        return os.posix_spawn(sys.executable, arguments, environment, file_actions=moves, setsid=True)
    except NotImplementedError:  # an older C library: the keeper does it itself a moment later
        return os.posix_spawn(sys.executable, arguments, environment, file_actions=moves)
    finally:
        for fd in away:
            os.close(fd)


__all__ = ["DATAGRAM", "KeeperLink"]
