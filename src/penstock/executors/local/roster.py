"""The workers of one executor: the keeper that forks them, the pools that they serve, and what they say. It carries
words; what they mean for attempts is decided in `executor`."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass

from penstock.executors.local.crew import Hand, Pool, open_hand
from penstock.executors.local.incarnation import Incarnation
from penstock.executors.local.keeper_link import KeeperLink
from penstock.executors.local.words import Word, words_in
from penstock.launcher.outer.processes import kill, parent_of
from penstock.launcher.outer.records import Garbled
from penstock.launcher.outer.worker import WorkerSettings

KEEPER_FAILURES_MAX = 3
"""After so many keepers in a row that ended before they were at work, no more are started for a while."""

KEEPER_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """A word from a worker."""

    hand: Hand
    word: Word


@dataclass(frozen=True, slots=True)
class Nonsense:
    """A worker has said what cannot be understood (`hand.garbled`); nothing is heard of it after that."""

    hand: Hand


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker has ended; everything that it said was said before."""

    hand: Hand


@dataclass(frozen=True, slots=True)
class Unforked:
    """A worker could not be made."""

    hand: Hand
    error: str


Heard = Said | Nonsense | Gone | Unforked


class Roster:
    def __init__(self, incarnation: Incarnation, settings: WorkerSettings) -> None:
        """Start the keeper. Raises OSError."""
        self._incarnation = incarnation
        self._settings = settings
        self._poller = select.poll()
        self._by_fd: dict[int, Hand] = {}
        self._numbers = 0
        self._failures = 0
        self._not_before = 0.0
        self._link: KeeperLink | None = None
        self.hands: dict[int, Hand] = {}
        self.pools: dict[str, Pool] = {}
        self._start_keeper()

    # -- the keeper ----------------------------------------------------------------------------------------------------

    def _start_keeper(self) -> KeeperLink:
        link = self._link = KeeperLink(self._settings)
        self._poller.register(link.fileno(), select.POLLIN)
        return link

    def _keeper(self) -> KeeperLink:
        """The keeper, a new one if the last has gone. Raises OSError."""
        if self._link is not None:
            return self._link
        if time.monotonic() < self._not_before:
            raise OSError("the keeper of workers keeps ending; its log says why: " + self.keeper_log())
        return self._start_keeper()

    def keeper_log(self) -> str:
        try:
            text = (self._incarnation.logs / "keeper.log").read_text(errors="replace").strip()
        except OSError:
            return ""
        return text[-2000:]

    def log_tail(self, hand: Hand) -> str:
        """The last lines that a worker printed."""
        return self._incarnation.log_tail(hand.number)

    @property
    def keeper_pid(self) -> int | None:
        return self._link.pid if self._link is not None else None

    def stop(self, hand: Hand, *, sequence: int, grace_ms: int) -> None:
        if self._link is not None:
            self._link.stop(hand.number, sequence=sequence, grace_ms=grace_ms)

    def kill(self, hand: Hand) -> None:
        """At once where its process is known, so that it takes nothing more; the keeper may be busy."""
        if self._link is None:
            return
        if hand.pid is not None and hand.exit is None and parent_of(hand.pid) == self._link.pid:
            kill(hand.pid)
        self._link.kill(hand.number)

    def end_silent(self, hand: Hand) -> None:
        """End a worker unless it has begun an attempt."""
        if self._link is not None:
            self._link.end_silent(hand.number)

    def sample_memory(self) -> None:
        if self._link is not None:
            self._link.sample()

    # -- pools and workers ---------------------------------------------------------------------------------------------

    def pool(self, key: str, *, fresh: bool = False) -> Pool:
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = Pool(key, fresh=fresh)
        return pool

    def hire(self, pool: Pool, *, describes: bool = False) -> Hand:
        """One more worker for a pool; it is there some milliseconds later, or news says that it couldn't be made. Who waits for
        one that `describes` a target hears it alone. Raises OSError."""
        link = self._keeper()
        self._numbers += 1
        hand, theirs = open_hand(self._numbers, pool, self._incarnation.slot(self._numbers))
        with theirs:
            link.fork(
                hand.number,
                requests=pool.worker_end,
                reports=theirs,
                fresh=pool.fresh,
                parent=pool.parent,
                describes=describes,
            )
        self.hands[hand.number] = hand
        pool.workers[hand.number] = hand
        if not describes:
            self.watch(hand)
        return hand

    def has_workers(self, key: str) -> bool:
        return key in self.pools and bool(self.pools[key].workers)

    def pids(self) -> dict[str, int]:
        """The process of each pool of one worker, by the pool's key."""
        return {hand.pool.key: hand.pid for hand in self.hands.values() if hand.pool.fresh and hand.pid is not None}

    def watch(self, hand: Hand) -> None:
        """Hear this worker from now on."""
        self._by_fd[hand.reports.fileno()] = hand
        self._poller.register(hand.reports.fileno(), select.POLLIN)

    def dismiss(self, pool: Pool) -> None:
        """Close a pool; its workers leave by themselves."""
        if self.pools.get(pool.key) is pool:
            del self.pools[pool.key]
        pool.close()

    # -- hearing -------------------------------------------------------------------------------------------------------

    def wait(self, timeout_ms: float) -> list[int]:
        """Who has something to say; waits for the first one."""
        return [fd for fd, _ in self._poller.poll(timeout_ms)]

    def hear(self, ready: list[int]) -> list[Heard]:
        heard: list[Heard] = []
        for fd in ready:
            hand = self._by_fd.get(fd)
            if hand is not None:
                heard.extend(self._words(hand))
            elif self._link is not None and fd == self._link.fileno():
                heard.extend(self.hear_keeper())
        return heard

    def hear_hand(self, hand: Hand) -> list[Said | Nonsense]:
        """What one worker has said, without waiting."""
        if hand.garbled:
            return []
        heard: list[Said | Nonsense] = []
        for payload in hand.receive():
            try:
                heard += [Said(hand, word) for word in words_in(payload)]
            except Garbled as garbled:
                hand.garbled = str(garbled)
                break
        if hand.garbled:
            self._unwatch(hand)
            heard.append(Nonsense(hand))
        return heard

    def _words(self, hand: Hand) -> list[Said | Nonsense]:
        words = self.hear_hand(hand)
        if not words and hand.exit is None and _is_at_end(hand):
            self._unwatch(hand)  # its end comes as news from the keeper
        return words

    def hear_keeper(self) -> list[Heard]:
        """The keeper's news, without waiting."""
        heard: list[Heard] = []
        if self._link is None:
            return heard
        news = self._link.news()
        if news is None:
            return self._lose_keeper()
        for each in news:
            if each["event"] == "ready":
                self._failures = 0
                continue
            hand = self.hands.get(each["worker"])
            if hand is None or each["event"] == "forked":
                if hand is not None:
                    hand.pid = each["pid"]
                continue
            hand.exit = each.get("exit", 0)
            heard.extend(self._part(hand))
            if each["event"] == "unforked":
                heard[-1] = Unforked(hand, each["error"])
        return heard

    def _part(self, hand: Hand) -> list[Heard]:
        """The last words of a worker that has ended, and its end."""
        last: list[Heard] = [] if hand.describing else [*self.hear_hand(hand)]
        self._unwatch(hand)
        del self.hands[hand.number]
        hand.pool.workers.pop(hand.number, None)
        if hand.pool.parent == hand.number:
            hand.pool.parent = None
        return [*last, Gone(hand)]

    def _lose_keeper(self) -> list[Heard]:
        """The keeper has gone, and its workers with it: end what is left of them."""
        link, self._link = self._link, None
        assert link is not None
        self._poller.unregister(link.fileno())
        link.close()
        if not link.ready:
            self._failures += 1
            if self._failures >= KEEPER_FAILURES_MAX:
                self._failures = 0
                self._not_before = time.monotonic() + KEEPER_WAIT_S
        heard: list[Heard] = []
        for hand in list(self.hands.values()):
            hand.exit = -9
            hand.error = hand.error or ("" if link.ready else f"the keeper ended: {self.keeper_log()}")
            heard.extend(self._part(hand))
        return heard

    def _unwatch(self, hand: Hand) -> None:
        if self._by_fd.pop(hand.reports.fileno(), None) is not None:
            self._poller.unregister(hand.reports.fileno())

    def close(self) -> None:
        """End every process; afterwards none is left."""
        if self._link is not None:
            self._link.close()
            self._link = None
        for hand in self.hands.values():
            hand.close()
        for pool in self.pools.values():
            pool.close()
        self.hands.clear()
        self.pools.clear()


def _is_at_end(hand: Hand) -> bool:
    import socket

    try:
        return not hand.reports.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
