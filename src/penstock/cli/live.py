"""The live view on a terminal: frames of `app.viewing`, drawn by rich below what is said for good (failures, warnings).

Draws when it is told that time has passed, never by a thread of its own, and the rarer the dearer a frame is: drawing takes at
most half a hundredth of a core."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO, cast

from penstock.app.outlets import Outlet, progress_outlet, safe
from penstock.app.progress_lines import ProgressLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.live import Live
    from rich.text import Text

    from penstock.app.drawing import Row
    from penstock.app.progress import Observed, Outlook, RunRow, Saved, Tail, Transition
    from penstock.app.viewing import View

# A run that ends sooner shows no frame.
FIRST_FRAME_S = 0.5
FRAME_S = 0.125
# After a frame that took 3 ms of processor time comes none for 600 ms.
SHARE_MAX = 0.005
LINES_MAX = 40
AROUND_LINES = 4
COLOURS = {"good": "green", "bad": "bold red", "warn": "yellow", "live": "cyan", "dim": "dim", "bold": "bold"}


def progress_for(*, quiet: bool, verbose: bool = False) -> ProgressLines | LiveProgress:
    """What shows progress here: a live view on a terminal that can move its cursor, lines anywhere else."""
    outlet = progress_outlet()
    is_terminal = outlet.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    if quiet or not is_terminal or "utf" not in outlet.encoding.lower():
        return ProgressLines(outlet, quiet=quiet, verbose=verbose)
    return LiveProgress(outlet)


class LiveProgress:
    """Implements `app.progress.Progress` on a terminal."""

    def __init__(self, outlet: Outlet | None = None) -> None:
        self._outlet = outlet or progress_outlet()
        self._lines = ProgressLines(quiet=True, say=self._said_above)
        self._view: View | None = None
        self._outlook: Outlook | None = None
        self._drawer: Live | None = None
        self._live: Live | None = None
        """The drawer, while it has a part of the screen."""
        self._due_s = 0.0

    @property
    def failures_count(self) -> int:
        return self._lines.failures_count

    @property
    def ended(self) -> Counter[str]:
        """How many task runs of the main run have ended, by state; hits are `cached`."""
        if self._view is None:
            return Counter()
        self._view.settle()
        return self._view.ended

    def prepare(self) -> None:
        from penstock.app.viewing import View

        # What draws is loaded now, and the first frame's own delays (tables of wide characters) are had.
        self._drawer = self._made_drawer()
        _text([((View.__name__, "bold"),)]).wrap(self._drawer.console, 80)

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved, outlook: Outlook) -> None:
        self._lines.begun(run, how=how, tail=tail, saved=saved)
        if how == "alongside":
            self._said_above(f"run {run.run_id} of {run.pipeline} was interrupted: resumed alongside")
            return
        from penstock.app.viewing import View

        self._view = View(run, outlook.plan, capacity=outlook.capacity, rows=outlook.rows)
        self._outlook = outlook
        # The plan stays until this program ends. A large one takes the collector longer than all frames together, each time.
        gc.freeze()
        self._due_s = time.monotonic() + FIRST_FRAME_S

    def committed(self, transitions: Sequence[Transition]) -> None:
        if self._view is not None:
            self._view.tell(transitions)
        if any(transition.after == "failed" for transition in transitions):
            self._lines.committed(transitions)

    def observed(self, observations: Sequence[Observed]) -> None:
        if self._view is not None:
            self._view.observe(observations)

    def stopping(self, *, force: bool) -> None:
        if self._view is not None:
            self._view.stop(force=force)
            self._due_s = 0.0

    def waiting_for(self, text: str) -> None:
        self._said_above(text)

    def said(self, text: str) -> None:
        self._said_above(text)

    def refresh(self) -> None:
        now_s = time.monotonic()
        if self._view is None or now_s < self._due_s:
            return
        live = self._live or self._started()
        begun_s = time.thread_time()
        self._draw(self._view, live)
        cost_s = time.thread_time() - begun_s
        self._due_s = now_s + max(FRAME_S, cost_s / SHARE_MAX)

    def finished(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._due_s = float("inf")

    def _made_drawer(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=cast("TextIO", self._outlet), force_terminal=True, highlight=False)
        return Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)

    def _started(self) -> Live:
        self._live = self._drawer or self._made_drawer()
        self._live.start()
        return self._live

    def _draw(self, view: View, live: Live) -> None:
        from penstock.app.drawing import drawn

        size = live.console.size
        usage = self._outlook.usage() if self._outlook is not None else {}
        lines_max = max(min(size.height - AROUND_LINES, LINES_MAX), 1)
        frame = view.frame(time.time_ns() // 1_000_000, lines_max=lines_max, usage=usage)
        live.update(_text(drawn(frame, width=size.width - 1)), refresh=True)

    def _said_above(self, text: str) -> None:
        if self._live is None:
            self._outlet.say(text)
        else:
            self._live.console.print(safe(text), markup=False, emoji=False, soft_wrap=True)


def _text(rows: list[Row]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, row in enumerate(rows):
        if number:
            text.append("\n")
        for span, style in row:
            text.append(safe(span), COLOURS.get(style))
    return text
