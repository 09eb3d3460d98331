"""The preloaded parent: a process that has imported a target and forks workers from itself, so that none of them imports the
target again.

Only a process whose fork is as good as a process of its own becomes one (`why_not_forked`): with a second thread, a lock may be
held for ever in the fork; an open file, socket or shared mapping would be shared between workers that know nothing of each
other."""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from penstock.launcher.outer.processes import LINUX, stop_being_subreaper

ORDER_BYTES_MAX = 4_096

FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Threads that put themselves right in a fork: jemalloc, which pyarrow allocates with, locks and resets its background thread
around one (jemalloc, src/background_thread.c: background_thread_postfork_child)."""


@dataclass(frozen=True, slots=True)
class ForkOrder:
    """A worker to be forked. `group` is the folder of its control group, empty where it has none; `fds` are its ends of two
    sockets: requests, reports."""

    worker: int
    fresh: bool
    group: str
    fds: tuple[int, int]


KERNEL_FOLDERS = ("/proc/", "/sys/")


def open_files() -> frozenset[int]:
    """The numbers of this process's open files, counters of the kernel's left out: they are read without a position. None where
    nobody can tell."""
    if not LINUX:
        return frozenset()
    return frozenset(number for number in map(int, os.listdir("/proc/self/fd")) if _is_file(number))


def _other_threads() -> list[str]:
    """The names of this process's threads but its first."""
    names = []
    for number in os.listdir("/proc/self/task"):
        if int(number) != os.getpid():
            with suppress(OSError), open(f"/proc/self/task/{number}/comm", encoding="utf-8", errors="replace") as file:
                names.append(file.read().strip())
    return names


def _is_file(number: int) -> bool:
    try:
        return not os.readlink(f"/proc/self/fd/{number}").startswith(KERNEL_FOLDERS)
    except OSError:
        return False  # the one that listed them


def why_not_forked(before: frozenset[int], *, own: Sequence[str]) -> str:
    """Why workers should not be forked from this process; empty where they may. `before` are the files that were open before
    user code was imported, `own` the folders whose shared mappings are Penstock's."""
    if not LINUX:
        return "there is no /proc to look at"
    if thread := next((name for name in _other_threads() if name not in FORK_SAFE_THREADS), ""):
        return f"importing it started the thread {thread}"
    if open_files() - before:
        return "importing it opened a file that is still open"
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        shared = [line for line in file if line.split(maxsplit=2)[1].endswith("s") and "w" in line.split(maxsplit=2)[1]]
    if any(not any(folder in line for folder in own) for line in shared):
        return "importing it made a shared mapping"
    return ""


def fork_on_orders(
    orders: socket.socket, requests: socket.socket, *, begin: Callable[[ForkOrder], NoReturn]
) -> NoReturn:
    """Fork a worker for each order until the pool is closed or the keeper has gone. `begin` is called in each fork."""
    stop_being_subreaper()  # an orphan of this process is the keeper's
    gc.collect()
    gc.freeze()
    poller = select.poll()
    poller.register(orders.fileno(), select.POLLIN)
    poller.register(requests.fileno(), 0)  # what waits there is for workers; only its end counts
    while requests.fileno() not in dict(poller.poll()):
        order = _next_order(orders)
        if order is None:
            break
        pid = _fork_orphan()
        if pid == 0:
            begin(order)
        for fd in order.fds:
            os.close(fd)
        with suppress(OSError):
            orders.send(b"%d" % pid)
    os._exit(0)


def send_order(orders: socket.socket, order: ForkOrder, *, patience_s: float) -> int | None:
    """The process of the worker that was forked on this order; None where the parent has gone, fails or keeps silent."""
    text = json.dumps({"worker": order.worker, "fresh": order.fresh, "group": order.group}).encode()
    try:
        orders.settimeout(patience_s)
        socket.send_fds(orders, [text], list(order.fds))
        answer = orders.recv(32)
    except OSError:
        return None
    return int(answer) if answer.isdigit() and int(answer) else None


def _next_order(orders: socket.socket) -> ForkOrder | None:
    try:
        text, fds, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 2)
    except OSError:
        return None
    if not text:
        return None
    for fd in fds:
        os.set_inheritable(fd, False)
    told: dict[str, Any] = json.loads(text)
    return ForkOrder(told["worker"], told["fresh"], told["group"], (fds[0], fds[1]))


def _fork_orphan() -> int:
    """Fork twice, so that the new process has lost its parent and becomes a child of the keeper. Its process id; 0 in the new
    process, -1 where there was no room for one more."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside any thread, since Python 3.12
        middle = os.fork()
    if middle == 0:
        pid = -1
        with suppress(OSError):
            pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.close(writing)
            return 0
        os.write(writing, b"%d" % pid)
        os._exit(0)
    os.close(writing)
    text = os.read(reading, 32)
    os.close(reading)
    os.waitpid(middle, 0)
    return int(text) if text else -1
