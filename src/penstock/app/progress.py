"""What a run tells about itself while it runs, to whoever shows it. The facts are committed transitions; nothing here
is read back by anything that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow
from penstock.plan.model import Plan
from penstock.wire import Observed, Usage

__all__ = [
    "AttemptRow",
    "Observed",
    "Outlook",
    "Progress",
    "RunRow",
    "Saved",
    "Silent",
    "Tail",
    "TaskRunRow",
    "Transition",
]

Tail = Callable[[AttemptRow], str]
"""The last lines that an attempt printed; empty when it printed nothing or when they cannot be read."""

Saved = Callable[[str], float | None]
"""How many milliseconds the attempt took that made what a hit found, named as `RUN/path`; None where that is gone."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a run when it is taken: its plan, the capacity of the machine, the task runs that it has already
    (of one that was interrupted), and how to ask what its running attempts have used so far at most."""

    plan: Plan
    capacity: Mapping[str, int]
    rows: tuple[TaskRunRow, ...]
    usage: Callable[[], Mapping[str, Usage]]


class Progress(Protocol):
    """Everything is called by the thread that drives the runs."""

    def prepare(self) -> None:
        """Something else is being waited for: a good moment to load what showing needs."""
        ...

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved, outlook: Outlook) -> None:
        """A run is being driven from now on. `how`: new, resumed (asked for), alongside (found interrupted), cancelled
        (only to be cancelled)."""
        ...

    def committed(self, transitions: Sequence[Transition]) -> None: ...

    def observed(self, observations: Sequence[Observed]) -> None:
        """What the code of tasks has logged or said of how far it is."""
        ...

    def refresh(self) -> None:
        """Time has passed: several times a second while runs are driven. Whoever draws, draws now."""
        ...

    def finished(self) -> None:
        """No run is driven any more, however that came: a terminal is left as it was found."""
        ...

    def stopping(self, *, force: bool) -> None:
        """Somebody asked this process to stop its runs."""
        ...

    def waiting_for(self, text: str) -> None:
        """What keeps a run from beginning yet."""
        ...

    def said(self, text: str) -> None:
        """A warning, or news that is about no run."""
        ...


class Silent:
    """Shows nothing."""

    def prepare(self) -> None:
        pass

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved, outlook: Outlook) -> None:
        pass

    def committed(self, transitions: Sequence[Transition]) -> None:
        pass

    def observed(self, observations: Sequence[Observed]) -> None:
        pass

    def refresh(self) -> None:
        pass

    def finished(self) -> None:
        pass

    def stopping(self, *, force: bool) -> None:
        pass

    def waiting_for(self, text: str) -> None:
        pass

    def said(self, text: str) -> None:
        pass
