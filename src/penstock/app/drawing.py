"""A frame as lines of styled text: what stands where, and how it reads. Pure; whoever has a terminal or a notebook gives
the styles their colours.

A line is a tuple of spans, each a text and a style: "", "bold", "dim", "good", "bad", "warn", "live"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.app.words import count, duration, shortened
from penstock.base.sizes import size_text

if TYPE_CHECKING:
    from penstock.app.frames import Frame, Line
    from penstock.app.summary import Summary, Timed

Span = tuple[str, str]
Row = tuple[Span, ...]

MARKS = {
    "waiting": ("○", "dim"),
    "ready": ("◌", ""),
    "running": ("●", "live"),
    "backoff": ("↻", "warn"),
    "succeeded": ("✓", "good"),
    "cached": ("≡", "good"),
    "failed": ("✗", "bad"),
    "skipped": ("−", "dim"),
    "cancelled": ("×", "warn"),
    "more": ("…", "dim"),
}
BAR_WIDTH = 12
# Of a critical path, so many task runs are told: those that took longest.
CRITICAL_SHOWN_MAX = 8
# A shorter wait is not told.
WAIT_MS_MIN = 50
NAME_WIDTH_MIN, NAME_WIDTH_MAX = 12, 36
# Of a running task that takes longer than this many times its usual duration, the time is marked.
SLOW_TIMES = 2.0


def drawn(frame: Frame, *, width: int) -> list[Row]:
    """The rows of a frame, none wider than `width` characters."""
    name_width = max((2 * line.depth + len(line.name) for line in frame.lines), default=0)
    name_width = min(max(name_width, NAME_WIDTH_MIN), NAME_WIDTH_MAX, max(width // 2, 8))
    rows = [*_head(frame), *(_row(line, name_width) for line in frame.lines), *_foot(frame)]
    return [cut(row, width) for row in rows]


def summary_lines(summary: Summary) -> list[str]:
    """What there is to say of a run that has ended, as lines; none of a run in which nothing took time."""
    lines: list[str] = []
    if summary.slowest:
        lines += ["slowest", *_timed_lines(summary.slowest, waited=False)]
    if summary.critical:
        share = f"{duration(summary.critical_ms)} of {duration(summary.took_ms)}"
        longest = sorted(summary.critical, key=lambda each: -each.took_ms - each.earlier_ms)[:CRITICAL_SHOWN_MAX]
        shown = [each for each in summary.critical if each in longest]
        lines += [f"critical path: {share}", *_timed_lines(shown, waited=True)]
        left = len(summary.critical) - len(shown)
        if left:
            rest = summary.critical_ms - sum(each.took_ms + each.earlier_ms for each in shown)
            lines.append(f"  … and {count(left, 'shorter one')}, {duration(rest)} together")
    for number, wait in enumerate(summary.waits):
        lines += [] if number else ["waited"]
        other = "for a worker to start, for other runs, or for room kept for a larger task"
        what = f"for {wait.resource}" if wait.resource != "other" else other
        if wait.count == 1:
            lines.append(f"  {what}: {wait.longest}, {duration(wait.longest_ms)}")
        else:  # task runs wait at the same time: their sum would say nothing, and may be longer than the run
            each_text = f"{duration(wait.total_ms / wait.count)} each on average"
            longest_text = f"the longest {wait.longest}: {duration(wait.longest_ms)}"
            lines.append(f"  {what}: {count(wait.count, 'task run')}, {each_text}, {longest_text}")
    if summary.hits:
        lines.append(f"{count(summary.hits, 'hit')} saved {duration(summary.saved_ms)}")
    return [*lines, *(each.text for each in summary.over_asked)]


def _timed_lines(timed: Sequence[Timed], *, waited: bool) -> list[str]:
    width = min(max(len(each.path) for each in timed), NAME_WIDTH_MAX)
    lines = []
    for each in timed:
        usual = f"  usually {duration(each.usual_ms)}" if each.usual_ms is not None else ""
        wait = f"  after {duration(each.waited_ms)} of waiting" if waited and each.waited_ms >= WAIT_MS_MIN else ""
        tries = f"  after {duration(each.earlier_ms)} of earlier attempts and backoff" if each.earlier_ms else ""
        lines.append(f"  {each.path:<{width}}  {duration(each.took_ms)}{usual}{wait}{tries if waited else ''}")
    return lines


def plain(rows: list[Row]) -> str:
    """Rows without their styles."""
    return "\n".join("".join(text for text, _ in row).rstrip() for row in rows)


def cut(row: Row, width: int) -> Row:
    """A row no wider than `width`."""
    spans: list[Span] = []
    for text, style in row:
        if len(text) > width:
            return (*spans, (text[: width - 1] + "…" if width > 0 else "", style))
        spans.append((text, style))
        width -= len(text)
    return tuple(spans)


def bar(done: float, total: float, width: int = BAR_WIDTH) -> str:
    """`███▌········`, in eighths of a character."""
    eighths = round(8 * width * min(max(done / total, 0.0), 1.0)) if total > 0 else 0
    full, part = divmod(eighths, 8)
    text = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return text + "·" * (width - len(text))


def stopping_text(attempts: int, *, force: bool) -> str:
    """What Ctrl-C has done, and what it would do next."""
    if force:
        return "killing everything now"
    return f"stopping: waiting for {count(attempts, 'attempt')}, Ctrl-C again kills"


def _head(frame: Frame) -> Iterator[Row]:
    counts = dict(frame.counts)
    told: list[Span] = [(frame.pipeline, "bold"), (f"  {duration(frame.took_ms)}  ", "")]
    told.append((bar(frame.done, frame.known), "live"))
    told.append((f" {frame.done:,} of {frame.known:,}", ""))
    if counts.get("cached"):
        saved = f", saved about {duration(frame.saved_ms)}" if frame.saved_ms else ""
        told.append((f"  {count(counts['cached'], 'hit')}{saved}", "good"))
    for state, style in (("failed", "bad"), ("skipped", "dim"), ("cancelled", "warn")):
        if counts.get(state):
            told.append((f"  {counts[state]:,} {state}", style))
    yield tuple(told)
    # Memory that nobody has declared is not counted: that nothing of it is taken would be wrong, too.
    used = [
        _amount_text(name, taken, capacity)
        for name, taken, capacity in frame.amounts
        if capacity and (taken or name != "memory")
    ]
    yield ((f"{count(frame.attempts, 'attempt')}: {', '.join(used)}" if used else "", "dim"),)


def _amount_text(name: str, taken: int, capacity: int) -> str:
    if name == "cpu":
        return f"{taken / 1000:g} of {capacity / 1000:g} {'core' if capacity == 1000 else 'cores'}"
    if name == "memory":
        return f"{size_text(taken)} of {size_text(capacity)} memory"
    return f"{taken / 1000:g} of {capacity / 1000:g} {name}"


def _foot(frame: Frame) -> Iterator[Row]:
    if frame.stopping:
        text = stopping_text(frame.attempts, force=frame.stopping == "kill")
        yield ((text, "warn"),)


def _row(line: Line, name_width: int) -> Row:
    mark, style = MARKS[line.state]
    indent = "  " * line.depth
    if line.state == "more":
        return (f"  {indent}{mark} ", style), (f"{line.count:,} more {line.note}", "dim")
    room = max(name_width - len(indent), 8)
    name = f"{shortened(line.name, room):<{room}}  "
    spans: list[Span] = [(f"  {indent}{mark} ", style), (name, "dim" if line.state == "waiting" else "")]
    ended = line.state in ("succeeded", "cached", "failed", "skipped", "cancelled")
    if line.total and line.done is not None and not ended:
        spans += [(bar(line.done, line.total), "live"), (f" {line.done:,g}/{line.total:,g}  ", "")]
    elif line.done is not None and not ended:
        spans.append((f"{line.done:,g}  ", ""))
    spans += _times(line)
    if line.memory_bytes or line.gpu_bytes:
        spans.append((_memory_text(line), "dim"))
    if line.note:
        spans.append((shortened(line.note, 80), "bad" if line.state == "failed" else "dim"))
    return tuple(spans)


def _times(line: Line) -> Iterator[Span]:
    if line.state == "cached":
        saved = f", saved {duration(line.usual_ms)}" if line.usual_ms is not None else ""
        yield f"cached{saved}  ", "good"
    elif line.took_ms is not None:
        usual = line.usual_ms
        slow = usual is not None and usual > 0 and line.took_ms > max(SLOW_TIMES * usual, 1_000)
        yield f"{duration(line.took_ms)}  ", "warn" if slow else ""
        if usual is not None:
            yield f"usually {duration(usual)}  ", "dim"
    elif line.state in ("failed", "skipped", "cancelled"):
        yield f"{line.state}  ", MARKS[line.state][1]


def _memory_text(line: Line) -> str:
    of = f" of {size_text(line.memory_bytes_max)}" if line.memory_bytes_max else ""
    text = f"{size_text(line.memory_bytes)}{of}  " if line.memory_bytes else ""
    if not line.gpu_bytes:
        return text
    busy = f", {line.gpu_percent:.0f} %" if line.gpu_percent else ""
    return f"{text}GPU {size_text(line.gpu_bytes)}{busy}  "
