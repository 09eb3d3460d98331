"""The local executor: runs attempts in worker processes on this machine, as many at once as fit.

It knows which attempts were asked for and where they are; it decides nothing about runs. All that it remembers can be
lost: what has ended is in the records of the incarnation's folder, what was begun is in the slots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from penstock.engine.events import CapacityReported
from penstock.executors.local.admission import Admission
from penstock.executors.local.adoption import examine, forget_past
from penstock.executors.local.crew import Entry, Hand, end_for, how_it_ended
from penstock.executors.local.describing import describe_in
from penstock.executors.local.devices import Leases, amounts_of, find_devices
from penstock.executors.local.dispatch import Dispatch
from penstock.executors.local.gpus import OFF, GpuSource, NoGpus
from penstock.executors.local.incarnation import Incarnation
from penstock.executors.local.intake import FRESH, Intake
from penstock.executors.local.ledger import Ledger, ledger_folder
from penstock.executors.local.roster import Gone, Heard, Nonsense, Roster, Said, Unforked
from penstock.executors.local.settings import LocalSettings, machine_amounts, worker_settings
from penstock.executors.local.tally import Tally
from penstock.executors.local.words import Described, Ended, Noted, Retiring, Unusable, Word, report_in
from penstock.launcher.outer.crashes import crash_name, crash_of
from penstock.launcher.outer.groups import Kills
from penstock.launcher.outer.judged import judged, usage_of
from penstock.launcher.outer.records import Garbled, read_records, record_of
from penstock.launcher.outer.slot import Begun
from penstock.launcher.outer.worker import named
from penstock.wire import (
    NO_USAGE,
    AttemptEnded,
    AttemptRequest,
    AttemptStarted,
    Cancelled,
    DescribeRequest,
    Description,
    Failed,
    Lost,
    Observed,
    Outcome,
    Refused,
    Report,
    Usage,
)

SCAN_S = 0.02
"""How long an attempt runs before it is worth a report that it has started."""

STOP_SCAN_S = 0.002
UNSAID_S = 1.0
"""How long a worker between two attempts may keep what it has recorded to itself."""


class LocalExecutor:
    """Implements `effects.Executor` and `effects.Describer`. One lock guards all of it, so `describe` may be called
    from another thread than the one that polls."""

    def __init__(
        self, settings: LocalSettings, *, name: str = "local", now: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the keeper. `now` is the clock of what is waited for, in seconds. Raises StoreUnavailable when the state
        folder cannot be written to."""
        self._name = name
        self._lock = threading.RLock()
        self._own = Incarnation(settings.state)
        self._project = str(settings.project)
        source: GpuSource = named(settings.gpu_source)() if settings.gpus != OFF else NoGpus()
        self.gpus = find_devices(source, setting=settings.gpus)
        shared = {**machine_amounts(settings), **amounts_of(self.gpus)}
        self._custom = {name: round(amount * 1000) for name, amount in settings.resources.items()}
        self._intake = Intake(self._own.folder, {**shared, **self._custom})
        self._ledger = Ledger(settings.ledger or ledger_folder(), entry=self._own.name, total=shared)
        self._leases = Leases(source, self._ledger)
        self._ahead_max = settings.ahead_max
        self._admission = Admission(
            {**self._ledger.left(), **self._custom}, workers_max=settings.workers_max, ahead_max=settings.ahead_max
        )
        self._roster = Roster(self._own, worker_settings(settings, self._own, hides_gpus=bool(self.gpus)))
        self._tally = Tally(self._own)
        self._dispatch = Dispatch(
            self._roster, self._admission, self._leases, finish=self._finish, take_in=self._take_in_recorded, now=now
        )
        self._now = now
        self._active: dict[str, Entry] = {}
        """All that have not ended, those that wait among them."""
        self._started_count = 0
        self._scan_at = float("inf")
        self._kills = Kills()
        self._observations: list[Observed] = []
        self._past: list[Path] = []
        self._adopted: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process, for whoever looks after processes."""
        return self._roster.keeper_pid

    @property
    def largest(self) -> Mapping[str, int]:
        """What an attempt could be given at most, were it alone on the machine: a request for more is refused. `capacity` may
        say less, while other executors share the machine."""
        return self._intake.largest

    # -- effects.Executor ----------------------------------------------------------------------------------------------

    def capacity(self) -> CapacityReported:
        with self._lock:
            amounts = {**self._ledger.left(), **self._custom}
            self._admission.capacity = amounts
            return CapacityReported(self._name, amounts, self._ahead_max)

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        with self._lock:
            for request in requests:
                known = request.attempt_id in self._active or self._tally.repeat(request.attempt_id)
                if not known:
                    self._accept(request)
            self._pump()

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        with self._lock:
            entry = self._active.get(attempt_id)
            if entry is None:
                return
            if entry.sent:
                self._dispatch.take_back(self._roster.pools[entry.pool])
            if not entry.sent:
                self._finish(entry, Cancelled("stopped before it began"))
                return
            entry.stop_grace_ms = grace_ms
            self._scan(self._now())

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        with self._lock:
            unknown = []
            for attempt_id in attempt_ids:
                entry = self._active.get(attempt_id)
                if entry is not None:
                    entry.started = False  # reported again as soon as it is seen
                    self._scan_at = 0.0
                elif not self._tally.repeat(attempt_id):
                    unknown.append(attempt_id)
            if unknown:
                self._adopt(unknown)

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        until = self._now() + timeout_ms / 1000
        while True:
            with self._lock:
                wait_s = self._wait_s(until)
            ready = self._roster.wait(wait_s * 1000)
            with self._lock:
                if ready:
                    self._take_in(self._roster.hear(ready))
                    self._pump()
                self._keep_time()  # after hearing, so that what was just said is not read from the records once more
                if self._tally.reports or self._now() >= until:
                    return self._tally.take()

    def observations(self) -> Sequence[Observed]:
        with self._lock:
            observations, self._observations = self._observations, []
            return observations

    def usage(self) -> Mapping[str, Usage]:
        """What the attempts that run now have used so far at most, by attempt id; zeros for those not looked at yet."""
        with self._lock:
            slots = [hand.slot for hand in self._roster.hands.values()]
            begun = [(now.attempt_id, usage_of(slot, now.sequence)) for slot in slots if (now := slot.begun())]
            return {attempt_id: self._leases.used(attempt_id, seen) for attempt_id, seen in begun}

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        with self._lock:
            ids = list(attempt_ids)
            self._tally.acknowledge(ids)
            if self._adopted:
                done = self._adopted.intersection(ids)
                if done:
                    self._adopted -= done
                    self._past = forget_past(self._past, done)

    def close(self) -> None:
        with self._lock:
            self._roster.close()
            self._ledger.close()
            self._leases.close()
            self._own.close(remove=not self._active and not self._tally.outstanding)

    # -- effects.Describer ---------------------------------------------------------------------------------------------

    def describe(self, request: DescribeRequest) -> Description:
        description, hand = describe_in(self._roster, request, lock=self._lock, hear=self._hear_keeper)
        with self._lock:
            if hand is not None:
                self._join(hand, description.pin)
        return description

    def _hear_keeper(self) -> None:
        with self._lock:
            self._take_in(self._roster.hear_keeper())
            self._pump()

    def _join(self, hand: Hand, pin: str) -> None:
        """The worker that has described a target becomes the parent of its pin's pool or, where it cannot be forked, the first in
        it; where there is a pool, it leaves."""
        hand.describing = False
        pool = hand.pool
        if hand.exit is not None:
            pool.close()
            hand.close()
            return
        self._roster.watch(hand)
        if not pin or pin in self._roster.pools:
            pool.close()
            return
        pool.key = pin
        self._roster.pools[pin] = pool
        if hand.preloaded:
            pool.parent = hand.number
            del pool.workers[hand.number]
            return
        hand.leaving = False
        self._admission.hired(pin)

    # -- taking attempts -----------------------------------------------------------------------------------------------

    def _accept(self, request: AttemptRequest) -> None:
        entry = self._intake.entry_for(request)
        entry.complaint = entry.complaint or self._leases.take(entry.attempt_id, entry.shape)
        self._active[entry.attempt_id] = entry
        if entry.complaint:
            self._finish(entry, Refused(entry.complaint))
        else:
            self._dispatch.waiting[entry.attempt_id] = entry

    def _pump(self) -> None:
        if self._dispatch.pump():
            self._scan_at = min(self._scan_at, self._now() + SCAN_S)

    # -- what is heard -------------------------------------------------------------------------------------------------

    def _take_in(self, heard: Iterable[Heard]) -> None:
        for each in heard:
            match each:
                case Said(hand, word):
                    self._said(hand, word)
                case Nonsense(hand):
                    self._distrust(hand, hand.garbled)
                case Gone(hand):
                    self._gone(hand)
                case Unforked(hand, error):
                    hand.error = f"a worker could not be forked: {error}"
                    self._gone(hand)

    def _said(self, hand: Hand, word: Word) -> None:
        match word:
            case Ended(report):
                self._ended(hand, report)
            case Noted(items):
                self._observations.extend(item for item in items if self._is_known(item.attempt_id))
            case Retiring():
                self._dispatch.leaves(hand)
            case Unusable(error):
                hand.error = error
            case Described():
                self._distrust(hand, "a description that nobody asked for")

    def _is_known(self, attempt_id: str) -> bool:
        return attempt_id in self._active or self._tally.knows(attempt_id)

    def _ended(self, hand: Hand, report: AttemptEnded) -> None:
        if hand.culprit is not None and hand.culprit.attempt_id == report.attempt_id:
            return  # it is Lost, whatever is said of it
        entry = self._active.get(report.attempt_id)
        if entry is None and self._tally.knows(report.attempt_id):
            return
        if entry is None or not self._dispatch.may_end(hand, entry, report):
            self._distrust(hand, f"the end of {report.attempt_id!r:.200}, which it was not given so")
            return
        hand.ended_count += 1
        hand.pool.failures = 0
        report = replace(report, usage=self._leases.used(entry.attempt_id, report.usage))
        self._forget(entry)
        self._tally.ended(report, worker=hand.number)

    def _distrust(self, hand: Hand, why: str) -> None:
        """A worker said what no worker of ours says: user code wrote to its socket, or broke what reports are made with. The
        attempt that it is at is Lost, and the worker is ended; the others of its pool go on."""
        if hand.is_distrusted:
            return
        hand.is_distrusted, hand.garbled = True, why
        hand.trusted_bytes, hand.culprit = hand.recorded, hand.slot.last()
        self._roster.kill(hand)
        self._dispatch.leaves(hand)

    def _finish(self, entry: Entry, outcome: Outcome, *, begun: Begun | None = None, hand: Hand | None = None) -> None:
        """An attempt ended that no worker will report."""
        seen = NO_USAGE if begun is None or hand is None else usage_of(hand.slot, begun.sequence)
        usage = self._leases.used(entry.attempt_id, seen)
        self._forget(entry)
        now = time.time_ns() // 1_000_000
        if begun is None or hand is None:
            self._tally.ended(AttemptEnded(entry.attempt_id, outcome, ended_at=now), worker=None)
            return
        log = self._own.segment(hand.number, begun.log_offset)
        report = end_for(begun, outcome, now=now, worker=f"{self._own.name}.{hand.number}")
        self._tally.ended(replace(report, usage=usage, log=log), worker=hand.number)

    def _forget(self, entry: Entry) -> None:
        del self._active[entry.attempt_id]
        self._dispatch.waiting.pop(entry.attempt_id, None)
        if entry.started:
            self._started_count -= 1
        if entry.sent:
            pool = self._roster.pools.get(entry.pool)
            if pool is not None:
                pool.sent.pop(entry.attempt_id, None)
            self._admission.release(entry.pool, entry.shape)
        self._leases.ended(entry.attempt_id, gone=not self._roster.has_workers(entry.pool))

    def _gone(self, hand: Hand) -> None:
        """A worker's process has ended: take in what it recorded, then judge what it leaves."""
        if hand.describing:
            return  # `describe` sees it
        counted = not hand.leaving
        self._dispatch.leaves(hand)
        self._read_records(hand, end=None)
        begun = hand.slot.begun()
        if hand.is_distrusted:
            for each in (hand.culprit, begun):
                self._lose(hand, each.attempt_id if each is not None else "", begun=each)
            self._dispatch.doubt(hand.pool, hand.garbled)
        entry = self._active.get(begun.attempt_id) if begun is not None else None
        if entry is not None and begun is not None:
            stopped, oom = entry.stop_grace_ms is not None, self._kills.has_killed()
            known = judged(self._own.folder, hand.number, hand.slot, begun.sequence) or self._crash(hand, begun)
            outcome = how_it_ended(hand.exit or 0, known, stopped=stopped, oom=oom)
            self._finish(entry, outcome, begun=begun, hand=hand)
        pool = hand.pool
        if counted and begun is None and hand.ended_count == 0:
            self._dispatch.fail_start(pool, hand.error or f"it ended with {hand.exit} before its first attempt")
        if pool.sent:
            self._scan_at = self._now()
        if pool.fresh and not any(each.pool == pool.key for each in self._active.values()):
            self._roster.dismiss(pool)
            self._admission.forget(pool.key)
            self._leases.gone(pool.key.removeprefix(FRESH))
        self._tally.worker_left(hand.number)
        hand.close()

    def _crash(self, hand: Hand, begun: Begun) -> Failed | None:
        """The failure of an attempt that crashed in native code; None: it did not."""
        exit_code = hand.exit or 0
        if not crash_name(exit_code):
            return None
        text = self._own.log_text(hand.number, begun.log_offset)
        return crash_of(exit_code, text, project=self._project, started_at=begun.started_at)

    def _lose(self, hand: Hand, attempt_id: str, *, begun: Begun | None = None) -> None:
        """An attempt of a worker that was ended for what it said is Lost."""
        entry = self._active.get(attempt_id)
        if entry is not None and entry.sent and entry.pool == hand.pool.key:
            why = f"its worker was ended for what it said, which cannot be understood: {hand.garbled}"
            self._finish(entry, Lost(why), begun=begun, hand=hand)

    def _take_in_recorded(self, hand: Hand) -> None:
        recorded = hand.slot.recorded_bytes()
        if recorded > hand.recorded:
            self._read_records(hand, end=recorded)

    def _read_records(self, hand: Hand, *, end: int | None) -> None:
        """Take in what a worker has recorded, up to `end`; None: all that is whole."""
        reached = hand.recorded
        for payload in read_records(self._own.records(hand.number), offset=hand.recorded, end=end):
            is_trusted = not hand.is_distrusted or reached < hand.trusted_bytes
            reached += len(record_of(payload))
            try:
                report = report_in(payload)
            except Garbled as garbled:
                self._distrust(hand, str(garbled))
                continue
            if is_trusted:
                self._ended(hand, report)
            else:
                self._lose(hand, report.attempt_id)
        if reached < (hand.slot.recorded_bytes() if end is None else end):
            self._distrust(hand, "its file of records is not whole")
        hand.recorded = max(hand.recorded, reached)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Raises StoreUnavailable when the incarnation's folder has gone, or that of its logs, and no worker starts for it."""
        self._own.check(logs=any(pool.failures for pool in self._roster.pools.values()))
        now = self._now()
        if now >= self._scan_at:
            self._scan(now)
        if now >= self._leases.sample_at:
            self._leases.sample(self._roster.pids())
        self._tally.repeat_old(now)
        self._ledger.publish(self._admission.used)
        if self._dispatch.waiting:
            self._pump()

    def _wait_s(self, until: float) -> float:
        now = self._now()
        if self._tally.reports:
            return 0.0
        due = min(until, self._scan_at, self._tally.repeat_at, self._leases.sample_at)
        if self._dispatch.waiting:
            due = min(
                due, *(pool.not_before for pool in self._roster.pools.values() if pool.not_before > now), now + 1.0
            )
        return max(0.0, due - now)

    def _scan(self, now: float) -> None:
        """Look into the slots: who has begun what, what was recorded and not yet reported."""
        now_ms = time.time_ns() // 1_000_000
        shown: set[str] = set()
        for hand in list(self._roster.hands.values()):
            if hand.describing:
                continue
            begun = hand.slot.begun()
            # What was recorded a scan ago and has still not been said by a worker that is at its next attempt is read; other
            # records are on their way, behind the metrics that belong to them, unless that takes very long.
            if hand.shown > hand.recorded and (begun is not None or now - hand.shown_at > UNSAID_S):
                self._read_records(hand, end=hand.shown)
            recorded = hand.slot.recorded_bytes()
            if recorded != hand.shown:
                hand.shown, hand.shown_at = recorded, now
            entry = self._active.get(begun.attempt_id) if begun is not None else None
            if begun is not None and entry is not None:
                shown.add(entry.attempt_id)
                self._shows(hand, entry, begun, now_ms)
        self._dispatch.look()
        hurry = any(
            entry.stop_grace_ms is not None and entry.attempt_id not in shown for entry in self._active.values()
        )
        idle = len(self._active) == self._started_count and not hurry
        self._scan_at = float("inf") if idle else now + (STOP_SCAN_S if hurry else SCAN_S)

    def _shows(self, hand: Hand, entry: Entry, begun: Begun, now_ms: int) -> None:
        """A worker's slot shows an attempt that has not ended."""
        if entry.stop_grace_ms is not None and entry.stop_grace_ms >= 0:
            self._roster.stop(hand, sequence=begun.sequence, grace_ms=entry.stop_grace_ms)
            entry.stop_grace_ms = -1
        if not entry.started and now_ms - begun.started_at >= SCAN_S * 1000:
            entry.started = True
            self._started_count += 1
            self._tally.started(AttemptStarted(entry.attempt_id, begun.started_at, f"{self._own.name}.{hand.number}"))
            self._roster.sample_memory()

    # -- earlier controllers -------------------------------------------------------------------------------------------

    def _adopt(self, attempt_ids: list[str]) -> None:
        past = examine(self._own.state, attempt_ids, own=self._own.name)
        self._past = past.folders
        self._adopted.update(attempt_ids)
        for attempt_id in attempt_ids:
            self._tally.ended(past.end_of(attempt_id), worker=None)


__all__ = ["LocalExecutor", "LocalSettings"]
