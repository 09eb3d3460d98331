"""The keeper: one small single-threaded process per executor that forks workers and keeps everything below them from
outliving the controller.

It is a subreaper: what loses its parent anywhere below becomes its child, and every child that it didn't fork itself is
killed. When the controller's socket closes, however the controller ended, it kills all that is left and goes. It never
imports user code, so a fork of it is a clean worker within milliseconds."""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from penstock.launcher.outer.groups import Group, open_groups
from penstock.launcher.outer.guard import NEVER, Guard
from penstock.launcher.outer.preloaded import ForkOrder, send_order
from penstock.launcher.outer.processes import (
    become_subreaper,
    children_of,
    has_children,
    kill,
    kill_children,
    pidfd,
    stat_fields,
)
from penstock.launcher.outer.prompt import be_ordinary, go_first
from penstock.launcher.outer.records import sync_folder
from penstock.launcher.outer.slot import Slot
from penstock.launcher.outer.watching import Births, entries_in
from penstock.launcher.outer.worker import WorkerSettings, begin_worker

ORDER_BYTES_MAX = 64 * 1024
PRELOADED = (
    "penstock.launcher.outer.describe",
    "penstock.authoring.dsl.tasks",
    "penstock.authoring.dsl.pipelines",
    "penstock.authoring.dsl.control",
    "penstock.launcher.inner.context",
    "penstock.graph.codec",
)
"""Modules of ours that nearly every target needs; a worker forked before they are there imports them itself."""

TOGETHER_S = 0.02
"""What is due so soon is looked at now: once awake, the keeper looks at all that it can."""

PRELOADED_S = 5.0
"""How long a preloaded parent may take to fork a worker; one that takes longer is ended."""

FREEZE_S = 0.05
"""How long to wait for a process to stand still before it is killed all the same."""


@dataclass(slots=True)
class Kept:
    """A worker, as its keeper sees it. `stop`: when its attempt of that sequence number is killed."""

    number: int
    pid: int
    slot: Slot
    guard: Guard
    group: Group | None
    orders: socket.socket | None = None
    """Where it is ordered to fork others, should it become a preloaded parent."""
    stop: tuple[float, int] | None = None


class Keeper:
    def __init__(self, control: socket.socket, settings: WorkerSettings) -> None:
        self._control = control
        self._settings = settings
        self._pid = os.getpid()
        self._kept: dict[int, Kept] = {}
        self._preload = list(PRELOADED)
        self._nice = go_first()
        self._births = Births()
        self._scratch = os.path.join(settings.state, "scratch")
        self._sweepers: set[int] = set()
        self._groups = open_groups(settings.incarnation)
        self._woken, self._waker = os.pipe()
        self._poked, self._poker = os.pipe()
        """Workers write to it when they begin an attempt that has limits."""
        for fd in (self._woken, self._waker, self._poked, self._poker):
            os.set_blocking(fd, False)

    def keep(self, controller: int | None) -> bool:
        """Obey until the controller has gone; then end everything. `controller` is a pidfd: a fork of the controller may hold
        its socket open for longer than it lives. Whether nothing is left."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control.fileno(), select.POLLIN)
        poller.register(self._woken, select.POLLIN)
        poller.register(self._poked, select.POLLIN)
        if controller is not None:
            poller.register(controller, select.POLLIN)
        self._tell({"event": "ready", "pid": self._pid})
        while True:
            events = dict(poller.poll(0 if self._preload else self._wait_ms()))
            if not events and self._preload:
                self._preload_one()
            if self._woken in events:
                os.read(self._woken, 4096)
                self._reap()
            if self._poked in events:
                os.read(self._poked, 4096)
                self._attend()
            if controller in events or (self._control.fileno() in events and not self._obey()):
                break
            self._keep_time()
        kill_children()
        for kept in self._kept.values():
            if kept.group is not None:
                kept.group.remove()
        if self._groups is not None:
            self._groups.close()
        return not has_children()

    def _preload_one(self) -> None:
        """Import, while there is nothing else to do, what workers will want."""
        importlib.import_module(self._preload.pop(0))
        if not self._preload:
            gc.collect()
            gc.freeze()

    def _tell(self, news: dict[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the next read says when the controller has gone
            self._control.send(json.dumps(news).encode())

    # -- orders --------------------------------------------------------------------------------------------------------

    def _obey(self) -> bool:
        """Do what one order says; whether there is anybody left to give orders."""
        try:
            text, ancillary, _, _ = self._control.recvmsg(ORDER_BYTES_MAX, socket.CMSG_SPACE(2 * 4))
        except ConnectionResetError:
            return False
        if not text:
            return False
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        order = json.loads(text)
        match order["order"]:
            case "fork":
                self._fork(order, list(fds))
            case "stop":
                self._stop(order["worker"], order["sequence"], order["grace_ms"])
            case "kill":
                if order["worker"] in self._kept:
                    kill(self._kept[order["worker"]].pid)
            case "end_silent":
                if order["worker"] in self._kept:
                    self._end_silent(self._kept[order["worker"]])
            case "sample":
                self._attend()
            case unknown:
                raise AssertionError(f"the controller ordered {unknown!r}")
        return True

    def _fork(self, order: Mapping[str, Any], fds: list[int]) -> None:
        """A worker, forked from the preloaded parent that the order names, or else from this process."""
        number, orders, theirs = order["worker"], None, None
        try:
            if order["describes"]:
                orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            slot = Slot(os.path.join(self._settings.folder, f"{number}.slot"))
            group = self._group_of(number)
            mark = self._births.mark()
            pid = self._fork_preloaded(order, fds, group)
            if pid is None:
                pid = os.fork()
        except OSError as error:
            self._tell({"event": "unforked", "worker": number, "error": str(error)})
        else:
            if pid == 0:
                self._become_worker(order, fds, group=group, orders=theirs)
            if self._births.mark() == mark:
                self._births.distrust()
            guard = Guard(slot, pid, scratch=self._scratch, births=self._births)
            self._kept[number] = Kept(number, pid, slot, guard, group, orders)
            self._tell({"event": "forked", "worker": number, "pid": pid})
        finally:
            for fd in fds:
                os.close(fd)
            if theirs is not None:
                theirs.close()

    def _fork_preloaded(self, order: Mapping[str, Any], fds: list[int], group: Group | None) -> int | None:
        """The process of a worker forked from its preloaded parent; None where it has none that does it."""
        parent = self._kept.get(order["parent"])
        if parent is None or parent.orders is None:
            return None
        folder = "" if group is None else str(group.folder)
        wanted = ForkOrder(order["worker"], order["fresh"], folder, (fds[0], fds[1]))
        pid = send_order(parent.orders, wanted, patience_s=PRELOADED_S)
        if pid is None:
            parent.orders.close()
            parent.orders = None
            kill(parent.pid)
        return pid

    def _group_of(self, number: int) -> Group | None:
        """A worker's own control group; None where none can be made."""
        try:
            return self._groups.of(number) if self._groups is not None else None
        except OSError:
            return None

    def _become_worker(
        self, order: Mapping[str, Any], fds: list[int], *, group: Group | None, orders: socket.socket | None
    ) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        be_ordinary(self._nice)
        self._control.close()
        for kept in self._kept.values():
            if kept.orders is not None:
                kept.orders.close()
        for fd in (self._woken, self._waker, self._poked):
            os.close(fd)
        begin_worker(
            self._settings,
            order["worker"],
            sockets=lambda: (socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1])),
            fresh=order["fresh"],
            keeper_pid=self._pid,
            poker=self._poker,
            group=group,
            orders=orders,
        )

    # -- stopping ------------------------------------------------------------------------------------------------------

    def _stop(self, number: int, sequence: int, grace_ms: int) -> None:
        """SIGTERM for the attempt of that sequence number, and SIGKILL after its grace. Nothing, if the worker is past
        it."""
        kept = self._kept.get(number)
        if kept is None:
            return
        if grace_ms <= 0:
            kept.stop = None
            self._kill_attempt(kept, sequence)
            return
        deadline = time.monotonic() + grace_ms / 1000
        if kept.stop is not None and kept.stop[1] == sequence:
            kept.stop = (min(deadline, kept.stop[0]), sequence)
            return
        kept.stop = (deadline, sequence)
        kept.slot.ask_to_stop(sequence)
        os.kill(kept.pid, signal.SIGTERM)

    def _kill_attempt(self, kept: Kept, sequence: int) -> None:
        """Kill the worker if it is still at that attempt. It is made to stand still first, so that it can't go on to
        another one between the look and the blow."""
        _freeze(kept.pid)
        begun = kept.slot.begun()
        if begun is not None and begun.sequence == sequence:
            if kept.guard.sequence == sequence:
                for pid in kept.guard.pids:  # some that go on taking memory are not to wait for the worker's end
                    kill(pid)
            kill(kept.pid)
        else:
            os.kill(kept.pid, signal.SIGCONT)

    def _end_silent(self, kept: Kept) -> None:
        """Kill the worker if it shows no attempt, with the same care."""
        _freeze(kept.pid)
        if kept.slot.begun() is None:
            kill(kept.pid)
        else:
            os.kill(kept.pid, signal.SIGCONT)

    # -- the dead ------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        ended: list[tuple[Kept, int, float]] = []
        by_pid = {kept.pid: kept for kept in self._kept.values()}
        while True:
            try:
                pid, wait_status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in by_pid:
                ended.append((by_pid[pid], wait_status, usage.ru_utime + usage.ru_stime))
                del self._kept[by_pid[pid].number]
            self._sweepers.discard(pid)
        if children_of(self._pid):
            kill_children(besides={*self._sweepers, *(kept.pid for kept in self._kept.values())})
        for kept, wait_status, cpu_s in ended:
            kept.guard.ended(kept.group)
            kept.slot.close()
            if kept.orders is not None:
                kept.orders.close()
            self._sweep(kept.pid)
            code = os.waitstatus_to_exitcode(wait_status)
            self._tell({"event": "exited", "worker": kept.number, "exit": code, "cpu_ms": cpu_s * 1000})

    def _sweep(self, pid: int) -> None:
        """Have what a dead worker left in its scratch folders removed, by a process of its own: it can be a lot."""
        left = [entry.path for entry in entries_in(self._scratch) if entry.name.startswith(f"{pid}-")]
        if not left:
            return
        with suppress(OSError):
            sweeper = os.fork()
            if sweeper == 0:
                be_ordinary(self._nice)
                for path in left:
                    shutil.rmtree(path, ignore_errors=True)
                os._exit(0)
            self._sweepers.add(sweeper)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _wait_ms(self) -> int | None:
        due = [kept.stop[0] for kept in self._kept.values() if kept.stop is not None]
        due += [kept.guard.due for kept in self._kept.values() if kept.guard.due != NEVER]
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1) if due else None

    def _keep_time(self) -> None:
        now = time.monotonic()
        for kept in list(self._kept.values()):
            if kept.stop is not None and kept.stop[0] <= now:
                sequence = kept.stop[1]
                kept.stop = None
                self._kill_attempt(kept, sequence)
            if kept.guard.due <= now + TOGETHER_S and kept.guard.look(now, early_s=TOGETHER_S):
                self._kill_attempt(kept, kept.guard.sequence)

    def _attend(self) -> None:
        now = time.monotonic()
        for kept in self._kept.values():
            kept.guard.attend(now)


def _freeze(pid: int) -> None:
    """Make a process stand still, or wait a moment for it."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + FREEZE_S
    while time.monotonic() < until:
        fields = stat_fields(pid)
        if fields is None or fields[0] in "TtZX":
            return
        time.sleep(0.0002)


def main(control_fd: int) -> None:
    """Be the keeper: `control_fd` is this end of the controller's socket, on which the settings come first."""
    controller = pidfd(os.getppid())
    control = socket.socket(fileno=control_fd)
    os.set_inheritable(control_fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.getsid(0) != os.getpid():
        os.setsid()
    become_subreaper()
    text = control.recv(ORDER_BYTES_MAX)
    if not text:
        return
    settings = WorkerSettings(**json.loads(text))
    _hold_lock(os.path.join(settings.folder, "lock"))
    for folder in (settings.folder, os.path.dirname(settings.folder)):
        sync_folder(folder)  # should the power go, a later controller must find that this incarnation was there
    for module in (settings.launcher, settings.artifacts):
        importlib.import_module(module.partition(":")[0])
    sys.exit(0 if Keeper(control, settings).keep(controller) else 1)


def _hold_lock(path: str) -> None:
    """Lock a file for as long as this process or a fork of it lives: a later controller asks by this whether all have
    gone."""
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
