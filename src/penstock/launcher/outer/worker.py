"""The worker: a process that runs attempts one after the other, in the user's interpreter.

It takes requests from a socket that it shares with the other workers of its pool, notes in its slot what it is about to
begin, lets the launcher run it, records the outcome, and only then reports it. It knows nothing of runs, nor of other
workers."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from penstock.base.errors import PenstockError
from penstock.base.limits import set_limits
from penstock.launcher.inner.outcomes import Stopped
from penstock.launcher.outer.bounds import Bounds
from penstock.launcher.outer.devices import show_devices
from penstock.launcher.outer.groups import Group
from penstock.launcher.outer.preloaded import ForkOrder, fork_on_orders, open_files, why_not_forked
from penstock.launcher.outer.processes import become_worker, has_children, kill_children
from penstock.launcher.outer.records import append_record, frame_of, sync_folder
from penstock.launcher.outer.slot import Slot, Stage
from penstock.launcher.outer.streams import StandardStreams
from penstock.launcher.outer.threads import limit_threads
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    Cancelled,
    LogSegment,
    Observed,
    Succeeded,
    artifacts_in,
    observed_to_json,
    report_to_json,
    request_from_json,
)

DATAGRAM_BYTES_MAX = 64 * 1024
"""Requests above this go through a file that the datagram names."""

REQUEST, REQUEST_FILE, DESCRIBE, RETIRE = b"{", b"@", b"D", b"R"
"""How a datagram begins: an attempt's JSON; `@` and the path of a file with it; `D` and the JSON of a describe request;
an order to whoever reads it to leave."""

FLUSH_NS = 2_000_000
"""Reports wait at most this long for others while a worker goes from one attempt straight to the next."""

PATIENCE_MS = 50
"""A worker that may run attempts of one component only waits this long for the next."""

TOLD_MAX = 500
"""So many things that an attempt logged go into one frame while it runs: less than a socket's buffer."""

DURABLE_US = 10_000
"""Records of attempts that took longer than this survive a power cut (docs/decisions/outcome-records.md)."""

RECORDS_BYTES_MAX = 64 * 1024 * 1024
"""A worker whose file of records has grown to this is replaced."""

# Kept by reference: user code may have replaced them when nothing but a last word and the end are left.
_exit, _write = os._exit, os.write

EXIT_UNUSABLE = 70
_TO_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Launcher(Protocol):
    """What runs an attempt in this process (`launcher.outer.attempt`)."""

    @property
    def retire(self) -> bool: ...

    @property
    def only(self) -> str: ...

    def run(self, request: AttemptRequest) -> AttemptEnded: ...

    tell: Callable[[], None] | None

    def observations(self, *, count_max: int = ...) -> list[Observed]: ...

    def settle(self, *, succeeded: bool) -> None: ...

    def in_fork(self) -> None: ...


Loaded = tuple[Launcher, Any]
"""What a preloaded parent hands down: its launcher, and the artifact store."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every worker of an incarnation is told. Paths are absolute; `artifacts` names a function (`module:name`)
    that opens the artifact store when called with `artifacts_arguments`."""

    incarnation: str
    folder: str
    logs: str
    state: str
    project: str
    artifacts: str
    artifacts_arguments: dict[str, Any]
    launcher: str
    limits: dict[str, int]
    """What `base.limits.set_limits` is given."""
    hides_gpus: bool = False
    """Whether an attempt without GPUs sees none."""


def named(text: str) -> Any:
    """What `module:name` names."""
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)


class Worker:
    def __init__(
        self,
        settings: WorkerSettings,
        number: int,
        *,
        requests: socket.socket,
        reports: socket.socket,
        fresh: bool,
        poker: int,
        group: Group | None = None,
        orders: socket.socket | None = None,
    ) -> None:
        """`poker` is a pipe on which the keeper is told to look at once. `orders`: where the keeper would order this process to
        fork others, if it becomes a preloaded parent."""
        self._settings = settings
        self._name = f"{settings.incarnation}.{number}"
        self._requests = requests
        self._reports = reports
        self._fresh = fresh
        self._poker = poker
        self._orders = orders
        self._pid, self._keeper_pid = os.getpid(), os.getppid()
        self._streams = StandardStreams(os.path.join(settings.logs, f"{number}.log"))
        self._log_file = os.path.relpath(os.path.join(settings.logs, f"{number}.log"), settings.state)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._records = os.open(os.path.join(settings.folder, f"{number}.records"), flags, 0o600)
        self._records_bytes = os.fstat(self._records).st_size
        self._slot = Slot(os.path.join(settings.folder, f"{number}.slot"))
        self._bounds = Bounds(settings.folder, number, self._slot, poker=poker, group=group)
        self._folder_synced = False
        self._unsent: list[str] = []
        self._flushed_ns = 0
        self._in_attempt = False
        self._leaving = fresh
        self._sending = threading.Lock()
        self._main_tells = False
        self._stop_after_telling = False

    # -- signals -------------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        _Forks.listen()

    def _asked_to_stop(self, number: int, frame: object) -> None:
        if self._in_attempt and self._slot.is_to_stop():
            if self._main_tells:
                self._stop_after_telling = True  # half a frame must not be left in the socket
                return
            self._in_attempt = False
            raise Stopped("asked to stop")

    # -- the loop ------------------------------------------------------------------------------------------------------

    def serve(self, loaded: Loaded | None = None) -> NoReturn:
        """Run attempts until nobody can send any more, or this worker is to be replaced."""
        limit_threads({})  # until an attempt says otherwise, also while a target is described
        launcher, artifacts = loaded or self._load()
        launcher.tell = partial(self._tell, launcher)
        self._listen_to_signals()
        while datagram := self._next_datagram():
            kind = datagram[:1]
            if kind == REQUEST:
                self._attempt(launcher, datagram)
            elif kind == REQUEST_FILE:
                self._attempt(launcher, _take_file(datagram[1:].decode()))
            elif kind == DESCRIBE:
                if self._describe(datagram[1:], artifacts) and self._orders is not None:
                    self._send()
                    fork_on_orders(self._orders, self._requests, begin=partial(self._begin_fork, (launcher, artifacts)))
            else:
                break
            if self._leaving or (launcher.only and not self._comes_next(launcher.only)):
                break
        self._send(retiring=True)
        _exit(0)

    def _load(self) -> Loaded:
        settings = self._settings
        artifacts = named(settings.artifacts)(settings.artifacts_arguments)
        scratch = Path(settings.state) / "scratch"
        launcher = named(settings.launcher)(artifacts=artifacts, scratch=scratch, project=Path(settings.project))
        return launcher, artifacts

    def _begin_fork(self, loaded: Loaded, order: ForkOrder) -> NoReturn:
        """Be another worker, in a fork of this preloaded parent: with what it has imported and none of its files."""
        assert self._orders is not None
        self._streams.close()
        os.close(self._records)
        self._slot.close()
        for end in (self._requests, self._reports, self._orders):
            end.close()
        begin_worker(
            self._settings,
            order.worker,
            sockets=lambda: (socket.socket(fileno=order.fds[0]), socket.socket(fileno=order.fds[1])),
            fresh=order.fresh,
            keeper_pid=self._keeper_pid,
            poker=self._poker,
            group=Group(Path(order.group)) if order.group else None,
            loaded=loaded,
        )

    def _next_datagram(self) -> bytes:
        """The next request; b"" when there will be none. Reports go out before this process waits, and every 2 ms."""
        slot = self._slot
        if self._unsent:
            slot.enter(Stage.WAITING)
            try:
                datagram = self._requests.recv(DATAGRAM_BYTES_MAX + 1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                slot.enter(Stage.BUSY)
                self._send()
            else:
                slot.enter(Stage.TAKEN)
                if time.monotonic_ns() - self._flushed_ns > FLUSH_NS:
                    self._send()
                return datagram
        slot.enter(Stage.WAITING)
        while True:
            try:
                datagram = self._requests.recv(DATAGRAM_BYTES_MAX + 1)
            except BlockingIOError:  # an attempt of another worker of the pool has changed the socket that they share
                os.set_blocking(self._requests.fileno(), True)
            else:
                break
        slot.enter(Stage.TAKEN)
        return datagram

    def _comes_next(self, component: str) -> bool:
        """Whether the next request is one of this component, and comes soon. It is not taken: who leaves has none."""
        poller = select.poll()
        poller.register(self._requests, select.POLLIN)
        if not poller.poll(0):
            self._send()
            if not poller.poll(PATIENCE_MS):
                return False
        with suppress(OSError, ValueError):
            datagram = self._requests.recv(DATAGRAM_BYTES_MAX + 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if datagram[:1] == REQUEST:
                return request_from_json(json.loads(datagram)).component.component == component
        return False

    def _attempt(self, launcher: Launcher, text: bytes) -> None:
        request = request_from_json(json.loads(text))
        now_ms = time.time_ns() // 1_000_000
        log_offset = self._streams.size()
        sequence = self._bounds.begin(request, started_at=now_ms, log_offset=log_offset)
        show_devices(request.amounts)
        ended = self._run(launcher, request, now_ms)
        for stream in (self._requests, self._reports):
            if not os.get_blocking(stream.fileno()):  # user code may reach them, and all workers of a pool share one
                os.set_blocking(stream.fileno(), True)
        if os.getpid() != self._pid:
            _exit(0)  # a fork that user code forgot; it has nothing to say here
        if has_children() and kill_children():
            self._leaving = True  # what it started may have been shared with this process
        log_bytes = self._streams.restore()
        if signal.getsignal(signal.SIGTERM) != self._asked_to_stop:
            signal.signal(signal.SIGTERM, self._asked_to_stop)
        segment = LogSegment(self._log_file, log_offset, max(0, log_bytes - log_offset))
        ended = AttemptEnded(
            attempt_id=request.attempt_id,
            outcome=self._bounds.outcome(ended.outcome, sequence),
            started_at=now_ms,
            ended_at=max(ended.ended_at, now_ms),
            duration_us=ended.duration_us,
            worker=self._name,
            usage=self._bounds.usage(ended.usage, sequence),
            log=segment,
            reads=ended.reads,
            outside=ended.outside,
        )
        if launcher.retire:
            self._leaving = True
        is_recorded = self._record(ended, launcher.observations())
        launcher.settle(succeeded=is_recorded and isinstance(ended.outcome, Succeeded))

    def _run(self, launcher: Launcher, request: AttemptRequest, now_ms: int) -> AttemptEnded:
        try:
            self._in_attempt = True
            if self._slot.is_to_stop():
                raise Stopped("asked to stop")
            ended = launcher.run(request)
            self._in_attempt = False
        except Stopped:  # the handler has put `_in_attempt` back: it raises once
            now = time.time_ns() // 1_000_000
            ended = AttemptEnded(request.attempt_id, Cancelled("stopped"), started_at=now_ms, ended_at=now)
        return ended

    def _record(self, ended: AttemptEnded, observations: list[Observed]) -> bool:
        """Whether the outcome is recorded."""
        is_recorded = False
        text = _TO_JSON(report_to_json(ended))
        durable = ended.duration_us > DURABLE_US or _has_artifacts(ended)
        try:
            if durable and not self._folder_synced:
                sync_folder(self._settings.folder)
                self._folder_synced = True
            self._records_bytes = append_record(self._records, text.encode(), end=self._records_bytes, durable=durable)
        except OSError as error:
            # The slot goes on saying that this attempt runs: should the controller die before it has taken in the
            # report, the next one finds the attempt Lost and not "never started".
            _complain(f"penstock: an outcome could not be recorded: {error}\n")
            self._leaving = True
        else:
            self._slot.end(self._records_bytes)
            is_recorded = True
        if observations:
            self._unsent.append(_TO_JSON(_observed(observations)))
        self._unsent.append(text)
        if self._records_bytes > RECORDS_BYTES_MAX:
            self._leaving = True
        return is_recorded

    def _describe(self, text: bytes, artifacts: Any) -> bool:
        """Whether workers may be forked from this process, which has imported the target."""
        from penstock.launcher.outer.describe import describe
        from penstock.wire import DescribeRequest, Description, description_to_json

        self._slot.enter(Stage.BUSY)
        files = open_files()
        request = DescribeRequest(**json.loads(text))
        try:
            answer = describe(request, artifacts=artifacts, scratch=Path(self._settings.state) / "scratch")
        except PenstockError as error:
            answer = Description(error=error.message, fix=error.fix)
        description = description_to_json(answer)
        if os.getpid() != self._pid:
            _exit(0)
        if has_children():
            kill_children()
        self._streams.restore()
        description["worker"] = self._name
        preloaded = bool(answer.pin) and not why_not_forked(files, own=(self._settings.folder,))
        preloaded = preloaded and self._orders is not None
        self._unsent.append(_TO_JSON({"event": "described", "description": description, "preloaded": preloaded}))
        return preloaded

    def _send(self, *, retiring: bool = False) -> None:
        if retiring:
            self._unsent.append('{"event":"retiring"}')
        payload = f"[{','.join(self._unsent)}]".encode()
        self._unsent.clear()
        with self._sending:
            self._reports.sendall(frame_of(payload, recorded_bytes=self._records_bytes))
        self._flushed_ns = time.monotonic_ns()

    def _tell(self, launcher: Launcher) -> None:
        """Send what the attempt that runs has logged so far, from any of its threads. Never waits: what cannot be sent
        now is sent later."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:
            self._main_tells = True
        if self._in_attempt and self._sending.acquire(blocking=False):
            try:
                self._send_observed(launcher)
            finally:
                self._sending.release()
        if in_main:
            self._main_tells = False
            if self._stop_after_telling:
                self._stop_after_telling = self._in_attempt = False
                raise Stopped("asked to stop")

    def _send_observed(self, launcher: Launcher) -> None:
        """Reports that still wait go with it: a frame says how far the records go that the controller knows of."""
        if not _has_room(self._reports):
            return
        self._unsent.append(_TO_JSON(_observed(launcher.observations(count_max=TOLD_MAX))))
        payload = f"[{','.join(self._unsent)}]".encode()
        self._unsent.clear()
        with suppress(OSError):  # there is nobody left to tell
            self._reports.sendall(frame_of(payload, recorded_bytes=self._records_bytes))


class _Forks:
    """In a fork of user code's making, SIGTERM ends it, as `multiprocessing` expects. It is held back while the fork is
    made: one that came before the handler is gone would be forgotten."""

    _listening = False

    def __init__(self) -> None:
        self._masks: list[set[int]] = []

    @classmethod
    def listen(cls) -> None:
        """Once for a process and all its forks."""
        if not cls._listening:
            cls._listening = True
            forks = cls()
            os.register_at_fork(before=forks.before, after_in_parent=forks.in_parent, after_in_child=forks.in_child)

    def before(self) -> None:
        self._masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})))

    def in_parent(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop())

    def in_child(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.in_parent()


def _complain(text: str) -> None:
    """Write to the log, if it takes anything."""
    with suppress(OSError):
        _write(2, text.encode(errors="backslashreplace"))


def _take_file(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    return data


def _has_artifacts(ended: AttemptEnded) -> bool:
    if not isinstance(ended.outcome, Succeeded):
        return False
    return any(next(artifacts_in(datum), None) is not None for datum in ended.outcome.outputs.values())


def _has_room(stream: socket.socket) -> bool:
    """Whether a stream takes a frame without anybody waiting: it says so while three quarters of its buffer are free."""
    poller = select.poll()
    poller.register(stream, select.POLLOUT)
    return bool(poller.poll(0))


def _observed(observations: list[Observed]) -> dict[str, Any]:
    return {"event": "observed", "items": list(map(observed_to_json, observations))}


def begin_worker(
    settings: WorkerSettings,
    number: int,
    *,
    sockets: Callable[[], tuple[socket.socket, socket.socket]],
    fresh: bool,
    keeper_pid: int,
    poker: int,
    group: Group | None = None,
    orders: socket.socket | None = None,
    loaded: Loaded | None = None,
) -> NoReturn:
    """Be a worker from here on, in a process just forked from the keeper, or from a preloaded parent that has `loaded` a
    target. `sockets` gives (requests, reports)."""
    requests, reports = sockets()
    try:
        become_worker(keeper_pid)
        set_limits(**settings.limits)
        if group is not None:
            group.enter()
        if loaded is not None:
            loaded[0].in_fork()
        Worker(
            settings, number, requests=requests, reports=reports, fresh=fresh, poker=poker, group=group, orders=orders
        ).serve(loaded)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the controller is told
        _complain(traceback.format_exc())
        word = {"event": "unusable", "error": f"{type(error).__name__}: {error}"}
        with suppress(OSError):
            reports.sendall(frame_of(f"[{_TO_JSON(word)}]".encode(), recorded_bytes=0))
    finally:
        while True:
            _exit(EXIT_UNUSABLE)
