"""Progress as plain lines on standard error: what started, ended, is tried again or failed, with the author's own
traceback and the last lines that it printed. Ten thousand items of a map do not make ten thousand lines: beyond a
steady rate, only counts are shown, now and then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.app.failures import Alike, Failing, alike_line, headline, named, outcome_text, story
from penstock.app.outlets import Outlet, progress_outlet
from penstock.app.words import duration, indented, is_source
from penstock.base.ids import split_attempt_id
from penstock.wire import IMPORT_METRIC, Observation

if TYPE_CHECKING:
    from penstock.app.progress import AttemptRow, Observed, Outlook, RunRow, Saved, Tail, TaskRunRow, Transition

ENDED = ("succeeded", "failed", "skipped", "cancelled")
# Lines in hand at the start, and how many come back per second: a pipeline of tasks is told line by line, a map is
# counted.
LINES_IN_HAND_MAX = 40
LINES_PER_S = 8.0
COUNTS_EVERY_S = 2.0
# Failures are what a person looks for: they have a budget of their own, and then are counted.
FAILURES_SHOWN_MAX = 10
# Names of a nested pipeline are long: the column grows with them, and does not jump back.
PATH_WIDTH_MIN, PATH_WIDTH_MAX = 24, 60


class Lines:
    """Lines in hand: may be below zero while more happens than is shown."""

    def __init__(self) -> None:
        self._in_hand = float(LINES_IN_HAND_MAX)
        self._refilled_at = time.monotonic()

    def take(self, now_s: float) -> bool:
        """Take one; whether there was one."""
        self._in_hand = min(LINES_IN_HAND_MAX, self._in_hand + (now_s - self._refilled_at) * LINES_PER_S)
        self._refilled_at = now_s
        self._in_hand = max(self._in_hand - 1, -LINES_IN_HAND_MAX)
        return self._in_hand >= 0


class ProgressLines:
    """Implements `app.progress.Progress` with lines of text. Quiet: failures and warnings only."""

    def __init__(
        self,
        outlet: Outlet | None = None,
        *,
        quiet: bool = False,
        say: Callable[[str], None] | None = None,
        tells_stories: bool = True,
        verbose: bool = False,
    ) -> None:
        """`say` takes lines instead of the outlet, which is standard error unless it is given. Without `tells_stories`,
        a failure has one line: the caller raises it."""
        self._tells_stories = tells_stories
        self._is_verbose = verbose
        self._say = say or (outlet or progress_outlet()).say
        self._is_quiet = quiet
        self._width = PATH_WIDTH_MIN
        self._folded: set[str] = set()
        """Task runs that read declared sources: they have no line unless they fail."""
        self._open: set[str] = set()
        """Attempts that have not ended."""
        self._tails: dict[str, Tail] = {}
        self._saved: Saved = lambda source: None
        self._main = ""
        self._outer, self._inner = Lines(), Lines()
        self._counted_at = time.monotonic()
        self._unshown: Counter[str] = Counter()
        self._unshown_failures: list[str] = []
        self._alike: dict[tuple[str, ...], Alike] = {}
        self.failures_count = 0
        self.ended: Counter[str] = Counter()
        """How many task runs of the main run have ended while they were watched, by state; hits are `cached`."""

    def prepare(self) -> None:
        pass

    # -- what a run tells ----------------------------------------------------------------------------------------------

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved, outlook: Outlook | None = None) -> None:
        self._tails[run.run_id] = tail
        self._saved = saved
        if how == "alongside":
            self._news(f"run {run.run_id} of {run.pipeline} was interrupted: resumed alongside")
            return
        self._main = run.run_id
        news = {"resumed": ": resumed", "cancelled": ": being cancelled"}.get(how, "")
        again = f" (again, after {run.retry_of})" if run.retry_of and how == "new" else ""
        self._news(f"run {run.run_id} of {run.pipeline}{again}{news}")

    def committed(self, transitions: Sequence[Transition]) -> None:
        attempts: dict[tuple[str, str], Any] = {}
        for transition in transitions:
            if transition.machine == "attempt":
                if transition.after == "ended":
                    attempts[transition.run_id, transition.id.rpartition("#")[0]] = transition.row
                    self._open.discard(f"{transition.run_id}/{transition.id}")
                else:
                    self._open.add(f"{transition.run_id}/{transition.id}")
        for transition in transitions:
            if transition.machine == "task":
                row: Any = transition.row
                if is_source(row.component) and not self._is_verbose:
                    self._folded.add(f"{transition.run_id}/{row.path}")
                self._task(transition, row, attempts.get((transition.run_id, transition.id)))
            elif transition.machine == "attempt" and transition.after == "started" != transition.before:
                self._started(transition)
            elif transition.machine == "run" and transition.after in ENDED:
                if transition.run_id == self._main:
                    del self._unshown["failed alike"]  # told in full now
                self._flush_counts()
                if transition.run_id == self._main:
                    self._tell_alike()
                else:
                    self._news(f"run {transition.run_id} {transition.after}")
        self._counts_now_and_then()

    def observed(self, observations: Sequence[Observed]) -> None:
        for each in observations:
            if isinstance(each, Observation) and each.name == IMPORT_METRIC:
                run_id, path, _ = split_attempt_id(each.attempt_id)
                self._news(f"{self._named(run_id, path)} imported its code in {duration(each.value * 1_000)}")

    def refresh(self) -> None:
        pass

    def finished(self) -> None:
        pass

    def stopping(self, *, force: bool) -> None:
        from penstock.app.drawing import stopping_text

        self._news(stopping_text(len(self._open), force=force))

    def waiting_for(self, text: str) -> None:
        self._news(text)

    def said(self, text: str) -> None:
        self._line(text)

    def _started(self, transition: Transition) -> None:
        path = transition.id.rpartition("#")[0]
        is_folded = f"{transition.run_id}/{path}" in self._folded
        if transition.row.state == "started" and not is_folded:  # else it has ended in the same breath
            self._quiet_line(path, self._named(transition.run_id, path), text="started", kind="")

    # -- one task run --------------------------------------------------------------------------------------------------

    def _task(self, transition: Transition, row: TaskRunRow, attempt: AttemptRow | None) -> None:
        name = self._named(transition.run_id, transition.id)
        cached = transition.after == "succeeded" and row.origin == "cached"
        if transition.after in ENDED and transition.run_id == self._main:
            self.ended["cached" if cached else transition.after] += 1
        is_again = transition.after == "ready" and transition.before == "running"
        if transition.after == "backoff" or (is_again and attempt is not None):
            self._again(name, row, attempt)
        elif transition.after == "failed":
            self._failed(name, row, attempt)
        elif f"{row.run_id}/{row.path}" in self._folded and transition.after in ("succeeded", "skipped"):
            pass
        elif cached:
            self._quiet_line(row.path, name, text=lambda: self._cached(row), kind="cached")
        elif transition.after in ENDED and transition.before != transition.after:
            took = _took_ms(row, attempt)
            text = transition.after + (f" in {duration(took)}" if took is not None else "")
            self._quiet_line(row.path, name, text=f"{text}{_why(transition)}", kind=transition.after)

    def _cached(self, row: TaskRunRow) -> str:
        """A hit, with the run that it comes from and what it saved."""
        source, _, path = row.cause.by.partition("/")
        if source == row.run_id:
            return f"cached: the same as {path}"
        saved = self._saved(row.cause.by)
        took = f", saved {duration(saved)}" if saved is not None else ""
        verb = "adopted" if row.cause.code == "adopted" else "cached"
        return f"{verb} from run {source}{took}"

    def _again(self, name: str, row: TaskRunRow, attempt: AttemptRow | None) -> None:
        wait = "; again"
        if row.retry_at is not None:
            wait = f"; again in {duration(max(row.retry_at - row.changed_at, 0))}"
        why = outcome_text(attempt.outcome, attempt.failure) if attempt else row.cause.text or row.cause.code
        self._quiet_line(row.path, name, text=f"{why}{wait}", kind="to be tried again")

    def _failed(self, name: str, row: TaskRunRow, attempt: AttemptRow | None) -> None:
        failing = Failing(row, attempt)
        self.failures_count += 1
        if attempt is not None and row.run_id == self._main:
            alike = self._alike.setdefault(failing.likeness, Alike(failing))
            alike.add(failing)
            if len(alike.paths) > 1:
                self._unshown["failed alike"] += 1
                return
        if self.failures_count > FAILURES_SHOWN_MAX:
            self._unshown["failed"] += 1
            self._unshown_failures.append(row.path)
            return
        is_by_another = attempt is None and bool(row.cause.by)  # whose line says why
        self._line(f"{name} failed by {row.cause.by}" if is_by_another else f"{name} {headline(failing)}")
        if attempt is not None and self._tells_stories:
            printed = self._tails[row.run_id](attempt) if row.run_id in self._tails else ""
            self._line(indented("\n".join(story(failing, printed=printed))))

    def _tell_alike(self) -> None:
        """Now that no more will come: what failed as something that was told of did."""
        for alike in self._alike.values():
            if len(alike.paths) > 1:
                self._line(f"  {alike_line(alike, is_told=True)}")
        self._alike.clear()

    def _named(self, run_id: str, path: str) -> str:
        self._width = min(max(self._width, len(path)), PATH_WIDTH_MAX)
        return f"  {path:<{self._width}}" if run_id == self._main else f"  {run_id} {path}"

    # -- lines and counts ----------------------------------------------------------------------------------------------

    def _news(self, text: str) -> None:
        """What a quiet one does not say."""
        if not self._is_quiet:
            self._line(text)

    def _line(self, text: str) -> None:
        self._say(text)

    def _quiet_line(self, path: str, name: str, *, text: str | Callable[[], str], kind: str) -> None:
        """A line while there are lines in hand; else only counted, under `kind` (empty: not even counted). A text that
        takes a look into the store is made only if it is shown."""
        if self._is_quiet:
            return
        if (self._inner if "/" in path else self._outer).take(time.monotonic()):
            self._line(f"{name} {text if isinstance(text, str) else text()}")
        elif kind:
            self._unshown[kind] += 1

    def _counts_now_and_then(self) -> None:
        if self._unshown and time.monotonic() - self._counted_at >= COUNTS_EVERY_S:
            self._flush_counts()

    def _flush_counts(self) -> None:
        if not self._unshown:
            return
        self._counted_at = time.monotonic()
        parts = [f"{number:,} more {kind}" for kind, number in sorted(self._unshown.items(), key=lambda item: -item[1])]
        names = f"; failed: {named(self._unshown_failures)}" if self._unshown_failures else ""
        self._line(f"  … {', '.join(parts)}{names}")
        self._unshown.clear()
        self._unshown_failures.clear()


def _took_ms(row: TaskRunRow, attempt: AttemptRow | None) -> float | None:
    if attempt is not None and attempt.duration_us:
        return attempt.duration_us / 1_000
    if row.started_at is not None and row.ended_at is not None:
        return float(max(row.ended_at - row.started_at, 0))
    return None


def _why(transition: Transition) -> str:
    if transition.after == "succeeded":
        return ""
    cause = transition.cause
    text = cause.text or cause.code.replace("_", " ")
    by = f" ({cause.by})" if cause.by else ""
    return f": {text}{by}" if text or by else ""
