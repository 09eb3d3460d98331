"""Failures as a person reads them: the author's own frames first, what the task was given, the last lines that it printed,
and the command that runs just that task again. Failures that are alike are told once. Pure functions from rows to lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.app.post_mortem import post_mortem_lines, post_mortem_of
from penstock.app.words import count, indented, shortened
from penstock.engine.rows import AttemptRow, TaskRunRow
from penstock.wire import Frame, failure_from_json

WIDTH = 400
OWN_FRAMES_MAX = 4
PATHS_NAMED = 3
# How Python links the exceptions of a chain.
_CHAINED = re.compile(
    "\n\n(The above exception was the direct cause of the following exception:"
    "|During handling of the above exception, another exception occurred:)\n\n"
)
MARK, BAR = ">", "│"


@dataclass(frozen=True, slots=True)
class Failing:
    """A task run that failed. `attempt` is its last one, where it had any."""

    row: TaskRunRow
    attempt: AttemptRow | None

    @property
    def why(self) -> str:
        """How it failed, in words."""
        if self.attempt is not None:
            return outcome_text(self.attempt.outcome, self.attempt.failure)
        return self.row.cause.text or self.row.cause.code.replace("_", " ")

    @property
    def frames(self) -> tuple[Frame, ...]:
        if self.attempt is None or self.attempt.outcome != "failed" or not self.attempt.failure:
            return ()
        return failure_from_json(self.attempt.failure).frames

    @property
    def likeness(self) -> tuple[str, ...]:
        """What failures that are alike have in common: the component, how it ended, and the author's line that it came
        from; without one, the message less its numbers."""
        attempt = self.attempt
        own = [frame for frame in self.frames if frame.own]
        kind = str((attempt.failure or {}).get("type", "")) if attempt is not None else ""
        ended = attempt.outcome or "" if attempt is not None else self.row.cause.code
        place = f"{own[-1].file}:{own[-1].line}" if own else re.sub(r"\d+", "0", self.why)
        return (self.row.component, ended, kind, place)


@dataclass(slots=True)
class Alike:
    """Failures of one likeness: the first of them, and the paths and messages of all."""

    first: Failing
    paths: list[str] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)

    def add(self, failing: Failing) -> None:
        if not self.paths or path_order(failing.row.path) < path_order(self.first.row.path):
            self.first = failing
        self.paths.append(failing.row.path)
        self.messages.add(failing.why)


def origins(failing: Iterable[Failing]) -> list[Failing]:
    """Failures without those of nodes that failed because something in them, or another node, did."""
    failed = list(failing)
    holders = {holder for each in failed for holder in holders_of(each.row.path)}
    return [each for each in failed if each.attempt is not None or not (each.row.cause.by or each.row.path in holders)]


def holders_of(path: str) -> Iterator[str]:
    """The paths above a path, the outermost first: of nodes that hold it, and of their items."""
    return (path[:at] for at, sign in enumerate(path) if sign == "/")


def grouped(failing: Iterable[Failing]) -> tuple[Alike, ...]:
    """The origins of failures, those alike together; the largest group first, then by path."""
    groups: dict[tuple[str, ...], Alike] = {}
    for each in origins(failing):
        groups.setdefault(each.likeness, Alike(each)).add(each)
    return tuple(sorted(groups.values(), key=lambda group: (-len(group.paths), path_order(group.first.row.path))))


def path_order(path: str) -> list[tuple[int, int, str]]:
    """Paths as a person orders them: item 9 before item 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.split("/")]


# -- lines -------------------------------------------------------------------------------------------------------------


def headline(failing: Failing) -> str:
    """What stands behind the path: `failed: ValueError: no rows (attempt 2)`."""
    tries = f" (attempt {failing.row.attempt})" if failing.row.attempt > 1 else ""
    by = f" by {failing.row.cause.by}" if failing.row.cause.by and failing.attempt is None else ""
    return f"failed{by}: {shortened(failing.why, WIDTH)}{tries}"


def alike_line(group: Alike, *, is_told: bool = False) -> str:
    """`37 items failed alike: ValueError: no rows; score/4/score, score/5/score, …`; without the message where it is
    shown already (`is_told`)."""
    paths = group.paths
    names = named(paths)
    others = len(group.messages) - 1
    differing = f" (and {count(others, 'other message')})" if others > 0 else ""
    what = "items" if all("/" in path for path in paths) else "tasks"
    if is_told:
        messages = f" ({count(len(group.messages), 'message')})" if others > 0 else ""
        return f"{len(paths):,} {what} failed alike{messages}: {names}"
    return f"{len(paths):,} {what} failed alike: {shortened(group.first.why, WIDTH)}{differing}; {names}"


def named(paths: Iterable[str]) -> str:
    """The first few of paths: `score/4/score, score/5/score, …`."""
    ordered = sorted(paths, key=path_order)
    return f"{', '.join(ordered[:PATHS_NAMED])}{', …' if len(ordered) > PATHS_NAMED else ''}"


def story(failing: Failing, *, printed: str = "") -> list[str]:
    """What is worth knowing of a failure, below its headline. `printed`: the last lines that the attempt printed."""
    attempt = failing.attempt
    if attempt is None:
        return []
    starved = post_mortem_of(attempt.outcome, attempt.failure)
    memory = post_mortem_lines(starved) if starved is not None else []
    own = [*_place_lines(failing), *_chain_lines(failing)]
    lines = [*_message_lines(failing.why), *memory, *own, *_given_lines(attempt.failure or {})]
    if printed.strip():
        lines += ["the last lines that it printed:", *indented(printed, 2).split("\n")]
    return [*lines, repro_line(attempt)]


def repro_line(attempt: AttemptRow) -> str:
    return f"again, alone: penstock repro {attempt.run_id} {attempt.path}"


def _message_lines(why: str) -> list[str]:
    """The lines of a message after its first, which stands in the headline."""
    return why.strip().split("\n")[1:]


def _place_lines(failing: Failing) -> list[str]:
    frames = failing.frames
    if not any(frame.own for frame in frames):
        traceback = str((failing.attempt.failure or {}).get("traceback", "")) if failing.attempt else ""
        return traceback.split("\n") if traceback else []
    lines: list[str] = []
    own = [index for index, frame in enumerate(frames) if frame.own]
    shown = own if len(own) <= OWN_FRAMES_MAX else [own[0], *own[1 - OWN_FRAMES_MAX :]]
    for index in shown:
        lines += frame_lines(frames[index])
        if index == own[0] and len(shown) < len(own):
            lines.append(f"… {count(len(own) - len(shown), 'more call')} …")
    lines += _within(frames[own[-1] + 1 :])
    return lines


def _chain_lines(failing: Failing) -> list[str]:
    """The exceptions that led to this one, the nearest first, as Python tells of them. Where the author has no lines in it, the
    whole traceback is shown anyway."""
    if not any(frame.own for frame in failing.frames) or failing.attempt is None:
        return []
    parts = _CHAINED.split(str((failing.attempt.failure or {}).get("traceback", "")))
    lines: list[str] = []
    for told, link in zip(parts[-3::-2], parts[-2::-2], strict=True):
        lines.append("caused by:" if "direct cause" in link else "while handling:")
        lines += [f"  {line}" for line in told.split("\n") if line != "Traceback (most recent call last):"]
    return lines


def _within(frames: Sequence[Frame]) -> list[str]:
    """The calls below the author's last line, in one."""
    if not frames:
        return []
    last = frames[-1]
    calls = f"{count(len(frames), 'call')} further down, " if len(frames) > 1 else ""
    return [f"{calls}in {last.function} ({_short_file(last.file)}:{last.line})"]


def frame_lines(frame: Frame) -> list[str]:
    """`score.py:41 in score`, and the source around the line, which is marked."""
    lines = [f"{frame.file}:{frame.line} in {frame.function}"]
    width = len(str(frame.first + len(frame.source)))
    for number, text in enumerate(frame.source, frame.first):
        lines.append(f"{MARK if number == frame.line else ' '} {number:>{width}} {BAR} {text}".rstrip())
    return lines


def _short_file(file: str) -> str:
    """A library's file from the library's name on."""
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in file:
            return file.rpartition(folder)[2]
    found = re.search(r"/python3\.\d+/(.*)", file)
    return found[1] if found else file


def _given_lines(failure: Mapping[str, Any]) -> list[str]:
    given = failure.get("given", {})
    return ["given:", *(f"  {name} = {text}" for name, text in given.items())] if given else []


def outcome_text(outcome: str | None, failure: Mapping[str, Any] | None) -> str:
    """How an attempt ended, in words: `ValueError: no rows`, `timed out after 1 s`, `lost: its process was killed`."""
    told = failure or {}
    why = str(told.get("why", ""))
    if outcome == "failed":
        name = str(told.get("type", "")).removeprefix("builtins:").rpartition(":")[2]
        return f"{name}: {told['message']}" if told.get("message") else name
    if outcome == "timed_out":
        return why or "timed out"
    if outcome == "not_yet":
        return f"not yet{': ' + why if why else ''}"
    words = (outcome or "").replace("_", " ")
    if outcome == "input_lost":
        words = f"input lost: {told.get('digest', '')}"
    return f"{words}: {why}" if why else words
