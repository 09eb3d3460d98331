"""Workers and their pools, as the controller sees them: sockets, slots, and what an end without a word means. A pool is
the workers that serve one pin; they all take requests from the same end of one socket."""

from __future__ import annotations

import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from penstock.executors.local.admission import Shape
from penstock.executors.local.custody import Sight, Watch
from penstock.executors.local.keeper_link import DATAGRAM
from penstock.launcher.outer.records import Frames, Garbled
from penstock.launcher.outer.slot import Begun, Slot
from penstock.wire import AttemptEnded, Cancelled, Lost, Outcome, OutOfMemory

BUFFER_BYTES = 1 << 20
RECEIVE_BYTES = 1 << 18


@dataclass(slots=True)
class Entry:
    """An attempt that was asked for and has not ended. `datagram` is its request, as a worker reads it."""

    attempt_id: str
    pool: str
    shape: Shape
    datagram: bytes
    fresh: bool
    outputs: frozenset[str] = frozenset()
    """The names of what it has to return."""
    complaint: str = ""
    """Why it cannot be taken."""
    sent: bool = False
    started: bool = False
    """It was reported as started."""
    stop_grace_ms: int | None = None
    missing_at: float | None = None
    """Since when it is neither in its pool's socket nor in the slot of a worker."""
    doubt: str = ""
    """What a worker that may have begun it said that cannot be understood."""
    takes: int = 0
    """How many workers had taken it and ended before they began it."""


class Pool:
    """The socket that the workers of one pin share. The controller keeps both ends: it gives theirs to later workers,
    and reads from it to take requests back."""

    __slots__ = (
        "_ours",
        "_theirs",
        "failures",
        "fresh",
        "key",
        "not_before",
        "parent",
        "sent",
        "used_at",
        "watch",
        "workers",
    )

    def __init__(self, key: str, *, fresh: bool = False) -> None:
        self.key = key
        self.fresh = fresh
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, DATAGRAM)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self.workers: dict[int, Hand] = {}
        self.parent: int | None = None
        """The preloaded worker that others are forked from; it takes no attempts."""
        self.sent: dict[str, Entry] = {}
        """Attempts given to the socket that have not ended, oldest first."""
        self.failures = 0
        """How many workers in a row could not be started."""
        self.not_before = 0.0
        self.watch = Watch()
        self.used_at = 0.0
        """When it was given an attempt last."""

    @property
    def worker_end(self) -> socket.socket:
        return self._theirs

    def send(self, datagram: bytes) -> bool:
        """Put a request into the socket; False: it takes no more now."""
        try:
            self._ours.send(datagram, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def take_back(self) -> list[bytes]:
        """The requests that no worker has taken, out of the socket again."""
        taken: list[bytes] = []
        while True:
            try:
                datagram = self._theirs.recv(BUFFER_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            if not datagram:
                return taken
            taken.append(datagram)

    def in_hands(self) -> list[Entry]:
        """The attempts that were given to the socket and are not in it any more, oldest first. The socket is a queue, so its
        first request says which."""
        try:
            first = self._theirs.recv(BUFFER_BYTES, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return list(self.sent.values())
        taken: list[Entry] = []
        for entry in self.sent.values():
            if entry.datagram == first:
                return taken
            taken.append(entry)
        return []  # nothing that was sent: nobody can say

    def close(self) -> None:
        """Its workers leave once they have ended what they are at."""
        self._ours.close()
        self._theirs.close()


@dataclass(slots=True)
class Hand:
    """One worker. `recorded` is how much of its file of records has been taken in; `leaving`: it takes no more
    requests."""

    number: int
    pool: Pool
    slot: Slot
    reports: socket.socket
    frames: Frames = field(default_factory=Frames)
    recorded: int = 0
    shown: int = 0
    """How much its slot said was recorded when it was last looked at, and since when it says so."""
    shown_at: float = 0.0
    leaving: bool = False
    describing: bool = False
    preloaded: bool = False
    """It has imported a target, and workers may be forked from it."""
    ended_count: int = 0
    error: str = ""
    garbled: str = ""
    """What it said that cannot be understood: it is ended, and not listened to any more."""
    is_distrusted: bool = False
    culprit: Begun | None = None
    """The attempt that it had begun last when that was heard."""
    trusted_bytes: int = 0
    """How much of its records had been taken in then; the rest does not count."""
    pid: int | None = None
    exit: int | None = None
    """What it ended with: an exit status, or minus a signal."""

    def receive(self) -> list[bytes]:
        """The frames that have arrived; with the first that is none, `garbled` is set."""
        arrived: list[bytes] = []
        while not self.garbled:
            try:
                data = self.reports.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return arrived
            if not data:
                return arrived
            try:
                for recorded, payload in self.frames.feed(data):
                    self.recorded = max(self.recorded, min(recorded, self.slot.recorded_bytes()))
                    arrived.append(payload)
            except Garbled as garbled:
                self.garbled = str(garbled)
            if len(data) < RECEIVE_BYTES:
                return arrived
        return arrived

    def close(self) -> None:
        self.reports.close()
        self.slot.close()


def open_hand(number: int, pool: Pool, slot: Path) -> tuple[Hand, socket.socket]:
    """A new worker's slot and sockets, and the end of its reports that goes to it. Raises OSError."""
    mapped = Slot(slot, create=True)
    ours, theirs = socket.socketpair()
    return Hand(number, pool, mapped, ours), theirs


def sight_of(slot: Slot) -> Sight:
    """What a worker's slot shows now. Its stage is read first: a worker that is past `TAKEN` shows what it has begun."""
    stage = slot.stage()
    begun = slot.begun()
    return Sight(stage, slot.sequence(), begun.attempt_id if begun is not None else None)


def end_for(begun: Begun, outcome: Outcome, *, now: int, worker: str) -> AttemptEnded:
    """The end of an attempt that a worker had begun and did not report, as of `now` (ms since the epoch)."""
    return AttemptEnded(
        begun.attempt_id,
        outcome,
        started_at=begun.started_at,
        ended_at=max(now, begun.started_at),
        duration_us=max(0, now - begun.started_at) * 1000,
        worker=worker,
    )


def how_it_ended(exit_code: int, known: Outcome | None, *, stopped: bool, oom: bool) -> Outcome:
    """What became of an attempt whose process ended without a word. `known` is what its slot says, if that says it; `oom`: the
    kernel has killed for want of memory since it was last asked."""
    if stopped:
        return Cancelled("killed after its grace")
    if known is not None:
        return known
    if exit_code >= 0:
        return Lost(f"the process ended with exit status {exit_code} (os._exit, or descriptors that it closed?)")
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if exit_code == -signal.SIGKILL and oom:
        return OutOfMemory("the kernel killed the process for want of memory", at=time.time_ns() // 1_000_000)
    return Lost(f"the process was killed by {name}")
