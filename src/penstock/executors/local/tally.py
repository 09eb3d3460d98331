"""What has ended and is not acknowledged yet, and the reports that wait to be polled. Reports of ends are repeated
until they are acknowledged; a worker's files go once all ends in them are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.executors.local.incarnation import Incarnation
from penstock.wire import AttemptEnded, AttemptStarted, Report

REPEAT_S = 2.0
"""How long an end waits at least for its acknowledgement before it is reported again."""

REMEMBERED_MAX = 16_384
"""So many acknowledged attempts are remembered, so that a late order to start one does nothing."""


class Tally:
    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self._ended: dict[str, tuple[AttemptEnded, int | None]] = {}
        self._done: dict[str, None] = {}
        self._unacknowledged: dict[int, int] = {}
        """By worker: how many of its ends are not acknowledged."""
        self._left: set[int] = set()
        self._old: set[str] = set()
        """Ends that were there at the last look for old ones."""
        self.repeat_at = float("inf")
        self.reports: list[Report] = []

    @property
    def outstanding(self) -> bool:
        return bool(self._ended)

    def take(self) -> Sequence[Report]:
        reports, self.reports = self.reports, []
        return reports

    def started(self, report: AttemptStarted) -> None:
        self.reports.append(report)

    def ended(self, report: AttemptEnded, *, worker: int | None) -> None:
        """`worker` is the one whose files hold the record or the slot that tells of this end."""
        self._ended[report.attempt_id] = (report, worker)
        self.reports.append(report)
        if worker is not None:
            self._unacknowledged[worker] = self._unacknowledged.get(worker, 0) + 1
        if self.repeat_at == float("inf"):
            self.repeat_at = time.monotonic() + REPEAT_S

    def repeat(self, attempt_id: str) -> bool:
        """Report an end again; whether this attempt has ended."""
        known = self._ended.get(attempt_id)
        if known is not None:
            self.reports.append(known[0])
        return known is not None or attempt_id in self._done

    def knows(self, attempt_id: str) -> bool:
        """Whether this attempt has ended, as far as that is remembered."""
        return attempt_id in self._ended or attempt_id in self._done

    def repeat_old(self, now: float) -> None:
        """Report again what has waited long for its acknowledgement."""
        if now < self.repeat_at:
            return
        self.reports.extend(report for attempt_id, (report, _) in self._ended.items() if attempt_id in self._old)
        self._old = set(self._ended)
        self.repeat_at = now + REPEAT_S if self._ended else float("inf")

    def acknowledge(self, attempt_ids: Sequence[str]) -> None:
        done = [attempt_id for attempt_id in attempt_ids if attempt_id in self._ended]
        if not done:
            return
        self._incarnation.acknowledge(done)
        for attempt_id in done:
            _, worker = self._ended.pop(attempt_id)
            self._done[attempt_id] = None
            if worker is not None:
                self._unacknowledged[worker] -= 1
                self._tidy(worker)
        while len(self._done) > REMEMBERED_MAX:
            del self._done[next(iter(self._done))]

    def worker_left(self, worker: int) -> None:
        self._left.add(worker)
        self._tidy(worker)

    def _tidy(self, worker: int) -> None:
        """Remove the files of a worker that has gone, once nothing in them is outstanding."""
        if worker in self._left and not self._unacknowledged.get(worker):
            self._left.discard(worker)
            self._unacknowledged.pop(worker, None)
            for path in self._incarnation.files_of(worker):
                path.unlink(missing_ok=True)
