"""What a run tells about itself while it runs, to whoever shows it. The facts are committed transitions; nothing here
is read back by anything that decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.engine.events import Transition
from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow

__all__ = ["AttemptRow", "Progress", "RunRow", "Saved", "Silent", "Tail", "TaskRunRow", "Transition"]

Tail = Callable[[AttemptRow], str]
"""The last lines that an attempt printed; empty when it printed nothing or when they cannot be read."""

Saved = Callable[[str], float | None]
"""How many milliseconds the attempt took that made what a hit found, named as `RUN/path`; None where that is gone."""


class Progress(Protocol):
    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved) -> None:
        """A run is being driven from now on. `how`: new, resumed (asked for), alongside (found interrupted), cancelled
        (only to be cancelled)."""
        ...

    def committed(self, transitions: Sequence[Transition]) -> None: ...

    def stopping(self, *, force: bool) -> None:
        """Somebody asked this process to stop its runs."""
        ...

    def said(self, text: str) -> None:
        """A warning, or news that is about no run."""
        ...


class Silent:
    """Shows nothing."""

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved) -> None:
        pass

    def committed(self, transitions: Sequence[Transition]) -> None:
        pass

    def stopping(self, *, force: bool) -> None:
        pass

    def said(self, text: str) -> None:
        pass
