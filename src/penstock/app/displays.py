"""What a notebook shows: a run that has ended or stands as HTML, and the progress of one that is being driven, in one place
that is written anew. The only file that knows IPython, which is looked at only where it is running."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from penstock.app.drawing import MARKS, Row, drawn, summary_lines
from penstock.app.progress import Outlook, RunRow, Saved, Tail, Transition
from penstock.app.viewing import View
from penstock.app.words import count, duration, shortened, value
from penstock.wire import Observed

if TYPE_CHECKING:
    from penstock.app.results import RunResult

FRAME_S = 0.5
LINES_MAX = 20
WIDTH = 110
FAILURES_SHOWN_MAX = 5
TASK_RUNS_SHOWN_MAX = 100
# Readable on light and on dark grounds.
COLOURS = {
    "good": "color:#2da44e",
    "bad": "color:#cf222e;font-weight:bold",
    "warn": "color:#bf8700",
    "live": "color:#1f88c9",
    "dim": "opacity:0.6",
    "bold": "font-weight:bold",
}
BLOCK = "margin:0;line-height:1.25;white-space:pre;overflow-x:auto"
CELL = "text-align:left;padding:1px 12px 1px 0"


def is_notebook() -> bool:
    """Whether an IPython kernel runs this process; a terminal of IPython's is none."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookProgress:
    """Implements `app.progress.Progress` in a notebook's output."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._outlook: Outlook | None = None
        self._tail: Tail = lambda attempt: ""
        self._display: Any = None
        self._due_s = 0.0
        self._failures: list[str] = []
        self._news: list[str] = []
        self._ended: RunRow | None = None

    def prepare(self) -> None:
        import IPython.display  # noqa: F401

    def begun(self, run: RunRow, *, how: str, tail: Tail, saved: Saved, outlook: Outlook) -> None:
        if how == "alongside":
            self._news.append(f"run {run.run_id} of {run.pipeline} was interrupted: resumed alongside")
            return
        self._view = View(run, outlook.plan, capacity=outlook.capacity, rows=outlook.rows)
        self._outlook, self._tail, self._ended = outlook, tail, run

    def committed(self, transitions: Sequence[Transition]) -> None:
        if self._view is None or self._ended is None:
            return
        self._view.tell(transitions)
        for transition in transitions:
            row: Any = transition.row
            if transition.run_id != self._ended.run_id:
                continue
            if transition.machine == "run":
                self._ended = row
            elif transition.machine == "attempt" and row.outcome == "failed" and row.failure:
                self._failed(row)

    def _failed(self, attempt: Any) -> None:
        if len(self._failures) < FAILURES_SHOWN_MAX:
            story = str(attempt.failure.get("traceback") or attempt.failure.get("message", "")).rstrip()
            printed = self._tail(attempt).rstrip()
            last = f"\nthe last lines that it printed:\n{printed}" if printed else ""
            self._failures.append(f"{attempt.path}, attempt {attempt.number}\n{story}{last}")

    def observed(self, observations: Sequence[Observed]) -> None:
        if self._view is not None:
            self._view.observe(observations)

    def stopping(self, *, force: bool) -> None:
        if self._view is not None:
            self._view.stop(force=force)
            self._due_s = 0.0

    def waiting_for(self, text: str) -> None:
        self._news.append(text)

    def said(self, text: str) -> None:
        self._news.append(text)

    def refresh(self) -> None:
        now_s = time.monotonic()
        if self._view is None or now_s < self._due_s:
            return
        self._due_s = now_s + FRAME_S
        usage = self._outlook.usage() if self._outlook is not None else {}
        frame = self._view.frame(time.time_ns() // 1_000_000, lines_max=LINES_MAX, usage=usage)
        self._show(html_of_rows(drawn(frame, width=WIDTH)))

    def finished(self) -> None:
        """Leaves one line in place of the tree, and what failed."""
        if self._view is not None and self._ended is not None:
            self._view.settle()
            self._show(html_of_rows([_ended_row(self._ended, self._view)]))

    def _show(self, html: str) -> None:
        from IPython.display import HTML, display

        news = "".join(f"<pre style='{BLOCK}'>{escape(text)}</pre>" for text in (*self._news, *self._failures))
        shown = HTML(f"<div>{news}{html}</div>")
        if self._display is None:
            self._display = display(shown, display_id=True)
        else:
            self._display.update(shown)


def _ended_row(run: RunRow, view: View) -> Row:
    took = ""
    if run.ended_at is not None and run.started_at is not None:
        took = f" in {duration(run.ended_at - run.started_at)}"
    counts = ", ".join(f"{number:,} {state}" for state, number in view.ended.items() if number)
    mark, style = MARKS.get(run.state.value, MARKS["running"])
    return (f"{mark} ", style), (f"{run.pipeline} {run.state}{took}: {counts or 'no task runs'}", "")


def html_of_rows(rows: Sequence[Row]) -> str:
    """Rows of styled text as HTML."""
    return f"<pre style='{BLOCK}'>{chr(10).join(_html_of_row(row) for row in rows)}</pre>"


def _html_of_row(row: Row) -> str:
    return "".join(
        f"<span style='{COLOURS[style]}'>{escape(text)}</span>" if style else escape(text) for text, style in row
    )


def html_of_result(result: RunResult) -> str:
    """A run as a notebook shows it: how it ended, its task runs, its outputs, where the time went."""
    brief = result.brief_json()
    took = f" in {duration(brief['duration_ms'])}" if brief["duration_ms"] is not None else ""
    mark, style = MARKS.get(result.state, MARKS["running"])
    head = f"<span style='{COLOURS.get(style, '')}'>{mark}</span> <b>{escape(result.pipeline)}</b>"
    parts = [f"<div>{head} {escape(result.state)}{took} <span style='{COLOURS['dim']}'>{result.run_id}</span></div>"]
    parts += _table(("task run", "state", "attempts", "took", ""), list(_task_rows(result)))
    left = len(result.overview.rows) - TASK_RUNS_SHOWN_MAX
    if left > 0:
        parts.append(f"<div>… and {count(left, 'more task run')}</div>")
    outputs = [(name, escape(shortened(value(shown)))) for name, shown in result.outputs_json().items()]
    parts += _table(("output", "value"), outputs)
    lines = summary_lines(result.summary) if result.summary is not None else []
    if lines:
        text = escape("\n".join(lines))
        parts.append(f"<details><summary>where the time went</summary><pre style='{BLOCK}'>{text}</pre></details>")
    return f"<div>{''.join(parts)}</div>"


def _task_rows(result: RunResult) -> Iterator[tuple[str, ...]]:
    for task in islice(result.overview.glances(), TASK_RUNS_SHOWN_MAX):
        state = "cached" if task.origin == "cached" else task.state
        mark, style = MARKS.get(state, MARKS["waiting"])
        shown = f"<span style='{COLOURS.get(style, '')}'>{mark}</span> {escape(state)}"
        why = "" if task.state == "succeeded" else task.cause.text or task.cause.code.replace("_", " ")
        if task.source:
            saved = f", saved {duration(task.saved_ms)}" if task.saved_ms is not None else ""
            why = f"from {task.source}{saved}"
        attempts = str(task.attempts or "")
        yield escape(task.path), shown, attempts, duration(task.duration_ms), escape(shortened(why) if why else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells are HTML. Nothing, where there are no rows."""
    if not rows:
        return []
    top = "".join(f"<th style='{CELL}'>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td style={chr(34)}{CELL}{chr(34)}>{cell}</td>' for cell in row)}</tr>" for row in rows
    )
    return [f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"]
