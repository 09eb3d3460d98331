"""How attempts get into the hands of workers: what waits for room, what is in the socket of a pool, what a worker has taken,
and what comes back from one that leaves, dies or keeps silent."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.executors.local.admission import Admission, Place
from penstock.executors.local.crew import Entry, Hand, Pool, sight_of
from penstock.executors.local.custody import ACKNOWLEDGED_S, TAKES_MAX, may_have
from penstock.executors.local.devices import Leases
from penstock.executors.local.roster import Roster
from penstock.wire import AttemptEnded, Cancelled, Lost, Outcome, Succeeded

START_FAILURES_MAX = 3
"""After so many workers in a row that could not be started, the attempts that wait for one are lost."""

IDLE_S = 60.0
"""How long a pool keeps its workers without an attempt, when another pool grows."""

MISSING_S = 1.0
"""How long an attempt is in nobody's hands before it is given out again: a report of its end may be on its way."""


class Dispatch:
    """`finish` ends an attempt that no worker will report; `take_in` reads what a worker has recorded so far; `now` is the
    monotonic clock in seconds."""

    def __init__(
        self,
        roster: Roster,
        admission: Admission,
        leases: Leases,
        *,
        finish: Callable[[Entry, Outcome], None],
        take_in: Callable[[Hand], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roster = roster
        self._admission = admission
        self._leases = leases
        self._finish = finish
        self._take_in = take_in
        self._now = now
        self.waiting: dict[str, Entry] = {}
        """Attempts for which there is no room yet, in order."""

    # -- giving out ----------------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Give out what has its turn; whether anything was."""
        count = len(self.waiting)
        while self.waiting:
            entry = next(iter(self.waiting.values()))
            if not self._put(entry):
                break
        return len(self.waiting) < count

    def _put(self, entry: Entry) -> bool:
        """Give an attempt to its pool, if it has its turn."""
        place = self._admission.place(entry.pool, entry.shape)
        if place is Place.WAIT and self._admission.is_full:
            self._dismiss_idle(entry.pool, idle_s=0.0)
            place = self._admission.place(entry.pool, entry.shape)
        if place is Place.WAIT or not self._leases.may_begin(entry.attempt_id):
            return False
        pool = self._roster.pool(entry.pool, fresh=entry.fresh)
        if place is Place.GROW and not self._hire(pool):
            return False
        if not pool.send(entry.datagram):
            return False
        self._admission.take(entry.pool, entry.shape)
        entry.sent = True
        pool.sent[entry.attempt_id] = entry
        pool.used_at = self._now()
        del self.waiting[entry.attempt_id]
        return True

    def _hire(self, pool: Pool) -> bool:
        if self._now() < pool.not_before:
            return False
        self._dismiss_idle(pool.key, idle_s=IDLE_S)
        try:
            self._roster.hire(pool)
        except OSError as error:
            self.fail_start(pool, str(error))
            return False
        self._admission.hired(pool.key)
        return True

    def _dismiss_idle(self, wanted: str, *, idle_s: float) -> None:
        """Other pools that nothing has used for a while make room."""
        now = self._now()
        for pool in list(self._roster.pools.values()):
            has_any = pool.workers or pool.parent is not None
            if pool.key != wanted and not pool.sent and has_any and now - pool.used_at > idle_s:
                for hand in pool.workers.values():
                    self.leaves(hand)
                self._roster.dismiss(pool)
                self._admission.forget(pool.key)

    # -- taking back ---------------------------------------------------------------------------------------------------

    def fail_start(self, pool: Pool, error: str) -> None:
        """A worker could not be started: try again a little later, and give up after a few times."""
        pool.failures += 1
        pool.not_before = self._now() + 0.05 * 2.0**pool.failures
        if pool.failures >= START_FAILURES_MAX and not pool.workers:
            pool.failures = 0
            self.take_back(pool)
            for entry in [entry for entry in self.waiting.values() if entry.pool == pool.key]:
                self._finish(entry, Lost(f"no worker could be started: {error}"))

    def leaves(self, hand: Hand) -> None:
        """A worker takes no more requests. What is in its pool's socket is given out again: it was put there for as many
        workers as there were, and the last of them may just have left."""
        if not hand.leaving:
            hand.leaving = True
            self._admission.left(hand.pool.key)
            if hand.pool.sent:
                self.take_back(hand.pool)

    def take_back(self, pool: Pool) -> None:
        """Take the requests that no worker has yet out of a pool's socket; they wait again, in front."""
        datagrams = set(pool.take_back())
        self._wait_again(pool, [each for each in pool.sent.values() if each.datagram in datagrams])

    def _wait_again(self, pool: Pool, entries: list[Entry]) -> None:
        for entry in entries:
            entry.sent = False
            entry.missing_at = None
            del pool.sent[entry.attempt_id]
            self._admission.release(entry.pool, entry.shape)
        self.waiting = {**{entry.attempt_id: entry for entry in entries}, **self.waiting}

    # -- what nobody shows ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """End workers that took a request and keep silent, and give out again what the dead had taken."""
        for pool in list(self._roster.pools.values()):
            if pool.sent:
                self._look(pool)

    def _look(self, pool: Pool) -> None:
        now = self._now()
        in_hands = pool.in_hands()  # first: who has one of these took it before the slots are read
        sights = {hand.number: sight_of(hand.slot) for hand in pool.workers.values()}
        shown = {sight.shows for sight in sights.values()}
        missing = [entry for entry in in_hands if entry.attempt_id not in shown]
        for entry in in_hands:
            if entry.attempt_id in shown:
                entry.missing_at = None
            elif entry.missing_at is None:
                entry.missing_at = now
        queued = len(in_hands) < len(pool.sent)
        for number in pool.watch.silent(sights, queued=queued, missing=bool(missing), now=now):
            hand = pool.workers[number]
            hand.error = f"it was given an attempt and did not begin it within {ACKNOWLEDGED_S:g} s"
            self._roster.end_silent(hand)
        if missing and not any(map(may_have, sights.values())):
            patience = MISSING_S if pool.workers else 0.0
            overdue = [entry for entry in missing if now - (entry.missing_at or now) >= patience]
            if overdue:  # only then: reading records takes ends in before the metrics that belong to them
                self._reclaim(pool, overdue)

    def may_end(self, hand: Hand, entry: Entry, report: AttemptEnded) -> bool:
        """Whether a worker can have ended that attempt so: it took it, no other worker shows it, and the outputs are the
        ones that were asked for."""
        outcome = report.outcome
        if isinstance(outcome, Succeeded) and outcome.outputs.keys() != entry.outputs:
            return False
        if not entry.sent or entry.pool != hand.pool.key:
            return False
        last = hand.slot.last()
        if last is not None and last.attempt_id == entry.attempt_id:
            return True
        others = (other.slot.begun() for other in hand.pool.workers.values() if other is not hand)
        shown = any(begun is not None and begun.attempt_id == entry.attempt_id for begun in others)
        return last is not None and not shown and any(each is entry for each in hand.pool.in_hands())

    def doubt(self, pool: Pool, said: str) -> None:
        """A worker of this pool has ended that may have begun any attempt that no other worker shows, and nobody can say."""
        shown = {begun.attempt_id for hand in pool.workers.values() if (begun := hand.slot.begun()) is not None}
        for entry in pool.in_hands():
            entry.doubt = said if entry.attempt_id not in shown else entry.doubt

    def _reclaim(self, pool: Pool, entries: list[Entry]) -> None:
        """No living worker has these attempts. Those that none has ended, none has begun."""
        for hand in list(pool.workers.values()):
            self._take_in(hand)
        back = [entry for entry in entries if entry.attempt_id in pool.sent]
        self._wait_again(pool, back)
        for entry in back:
            entry.takes += 1
            if entry.doubt:
                self._finish(
                    entry,
                    Lost(f"a worker that may have begun it was ended for what cannot be understood: {entry.doubt}"),
                )
            elif entry.stop_grace_ms is not None:
                self._finish(entry, Cancelled("stopped before it began"))
            elif entry.takes >= TAKES_MAX:
                self._finish(
                    entry, Lost(f"{entry.takes} workers took it, and each ended or kept silent before it began")
                )


__all__ = ["Dispatch"]
