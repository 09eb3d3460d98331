"""An executor in a process of its own that can be killed: for checks of what a controller's death leaves behind. The process
answers calls one after the other; values travel pickled over a socket between the two."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.effects import Executor
from penstock.engine.events import CapacityReported
from penstock.wire import AttemptRequest, Observed, Report

_LENGTH = struct.Struct("<I")
_PROGRAM = "import sys; from penstock.testing.expendable import serve; serve(int(sys.argv[1]))"


class Expendable:
    """Implements `effects.Executor` by the one that `make` (`module:function`) returns for `arguments`, elsewhere."""

    def __init__(self, make: str, *arguments: Any) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            program = [sys.executable, "-c", _PROGRAM, str(theirs.fileno())]
            self.process = subprocess.Popen(program, pass_fds=[theirs.fileno()], start_new_session=True)
        _send(self._socket, (make, arguments))
        self._name = self._answer()

    def kill(self) -> None:
        """End its process by SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._socket.close()

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the executor, or read an attribute of it."""
        _send(self._socket, (name, args, kwargs))
        return self._answer()

    def ask_fork(self) -> int:
        """Have its process fork; the fork does nothing until it is killed. Its pid."""
        return int(self.ask("fork"))

    def _answer(self) -> Any:
        is_error, value = _receive(self._socket)
        if is_error:
            raise value
        return value

    # effects.Executor

    @property
    def name(self) -> str:
        return str(self._name)

    def capacity(self) -> CapacityReported:
        capacity: CapacityReported = self.ask("capacity")
        return capacity

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        self.ask("start", requests)

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        self.ask("stop", attempt_id, grace_ms=grace_ms)

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        self.ask("adopt", attempt_ids)

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        reports: Sequence[Report] = self.ask("poll", timeout_ms)
        return reports

    def observations(self) -> Sequence[Observed]:
        observations: Sequence[Observed] = self.ask("observations")
        return observations

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        self.ask("acknowledge", list(attempt_ids))

    def close(self) -> None:
        self.ask("close")
        self._socket.close()
        self.process.wait()


def serve(fd: int) -> None:
    """Be the process: make the executor, answer calls until nobody is left to ask."""
    connection = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    make, arguments = _receive(connection)
    module, _, function = make.partition(":")
    executor: Executor = getattr(importlib.import_module(module), function)(*arguments)
    _send(connection, (False, executor.name))
    while True:
        try:
            name, args, kwargs = _receive(connection)
        except EOFError:
            return
        try:
            member = _fork if name == "fork" else getattr(executor, name)
            answer = member(*args, **kwargs) if callable(member) else member
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            _send(connection, (True, error))
        else:
            _send(connection, (False, answer))


def _fork() -> int:
    pid = os.fork()
    while pid == 0:
        signal.pause()
    return pid


def _send(connection: socket.socket, value: Any) -> None:
    data = pickle.dumps(value)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive(connection: socket.socket) -> Any:
    return pickle.loads(_exactly(connection, _LENGTH.unpack(_exactly(connection, _LENGTH.size))[0]))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError("the other process has gone")
        data += more
    return bytes(data)
