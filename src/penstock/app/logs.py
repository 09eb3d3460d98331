"""What attempts printed: whole, the last lines of one, or as it is being printed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from penstock.app.places import open_existing_store_to_read, project_settings
from penstock.app.playing import graph_of
from penstock.app.reading import find_run, require_task, shown_state
from penstock.base.errors import InvalidInput, StoreUnavailable
from penstock.effects import StateStore
from penstock.engine.rows import AttemptRow, RunRow
from penstock.engine.states import AttemptState, Origin
from penstock.graph.flow import Key, flow_key
from penstock.launcher.outer.crashes import DUMP_BYTES_MAX, before_dump
from penstock.launcher.outer.crashes import NAMES as CRASHES
from penstock.settings import Settings
from penstock.wire import LogSegment

TAIL_BYTES = 4_096
TAIL_LINES = 10
# How often a followed log looks for news.
FOLLOW_S = 0.2
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """A part of what one attempt printed, in pieces, since it may be larger than memory. `of_hit` is the task run that
    found its result instead of running; empty where the attempt is the run's own."""

    attempt: AttemptRow
    settings: Settings
    segment: LogSegment
    of_hit: str = ""

    def pieces(self) -> Iterator[bytes]:
        return read_segment(self.settings, self.segment)


def run_logs(text: str, task: str | None, *, follow: bool) -> Iterator[AttemptLog]:
    """Everything that the attempts of a run, or of one task run, printed so far, in the order of the flow; with `follow`,
    also what they print from then on, until the run has ended."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        run = find_run(store, text)
        told: dict[tuple[str, int], int] = {}
        order = flow_key(graph_of(store, run))
        while True:
            # The state is read before the attempts: what ends in between is told in the last round.
            is_live = shown_state(store, store.run(run.run_id) or run) in ("pending", "running")
            chosen = _attempts_of(store, run, task, order)
            is_printing = any(row.log is None and row.state is AttemptState.STARTED for row in chosen)
            attempts = store.attempts(run.run_id) if is_printing else ()
            for attempt in chosen:
                segment = attempt.log or _live_segment(settings, attempt, attempts)
                key = (attempt.path, attempt.number)
                if segment is not None and segment.size_bytes > told.get(key, 0):
                    done = told.get(key, 0)
                    told[key] = segment.size_bytes
                    part = LogSegment(segment.file, segment.offset + done, segment.size_bytes - done)
                    yield AttemptLog(attempt, settings, part)
            if not follow or not is_live:
                hits = sorted(_hits(store, run, task), key=lambda hit: order(hit[0]))
                if task is not None and not chosen and not hits:
                    _require_known(store, run, task)
                    _require_attempt(store, run, task)
                for path, attempt in hits:
                    if attempt.log is not None and attempt.log.size_bytes:
                        yield AttemptLog(attempt, settings, attempt.log, path)
                return
            time.sleep(FOLLOW_S)


def _attempts_of(store: StateStore, run: RunRow, task: str | None, order: Callable[[str], Key]) -> Sequence[AttemptRow]:
    """The attempts of TASK (a path and everything below it, or one attempt: `fit#2`), in the order of the flow."""
    path, hash_sign, number = (task or "").partition("#")
    found = store.attempts(run.run_id, path or None, below=True)
    chosen = [row for row in found if not hash_sign or str(row.number) == number]
    return sorted(chosen, key=lambda row: (order(row.path), row.number))


def _hits(store: StateStore, run: RunRow, task: str | None) -> list[tuple[str, AttemptRow]]:
    """The attempts that made what the hits among TASK found, by the path of the hit (semantics 21)."""
    if task is None:
        return []
    found = []
    for row in store.task_runs(run.run_id, task, below=True):
        if row.origin is Origin.CACHED:
            source, _, path = row.cause.by.partition("/")
            found += [(row.path, attempt) for attempt in store.attempts(source, path)[-1:]]
    return found


def _require_known(store: StateStore, run: RunRow, task: str) -> None:
    require_task(store, run, task.partition("#")[0])


def _require_attempt(store: StateStore, run: RunRow, task: str) -> None:
    """Raises InvalidInput for `fit#9` where there is no attempt of that number."""
    path, hash_sign, number = task.partition("#")
    if not hash_sign:
        return
    numbers = sorted(row.number for row in store.attempts(run.run_id, path))
    known = ", ".join(f"{path}#{each}" for each in numbers)
    raise InvalidInput(
        f"{path} has no attempt {number!r}", fix=f"There is: {known}." if known else "It has had no attempt."
    )


def _live_segment(settings: Settings, attempt: AttemptRow, attempts: Sequence[AttemptRow]) -> LogSegment | None:
    """Whole lines that a running attempt has printed so far: its worker's log from where the worker's last attempt
    ended."""
    if attempt.state is not AttemptState.STARTED or not attempt.worker:
        return None
    incarnation, _, number = attempt.worker.rpartition(".")
    file = f"logs/{incarnation}/{number}.log"
    begins = max((log.offset + log.size_bytes for row in attempts if (log := row.log) and log.file == file), default=0)
    try:
        with open(settings.state / file, "rb") as log_file:
            log_file.seek(max(begins, os.fstat(log_file.fileno()).st_size - PIECE_BYTES))
            at = log_file.tell()
            lines = log_file.read().rfind(b"\n") + 1
    except OSError:
        return None
    return LogSegment(file, begins, at + lines - begins) if lines else None


def read_segment(settings: Settings, segment: LogSegment, *, tail_bytes: int | None = None) -> Iterator[bytes]:
    """The bytes of a segment, or its last `tail_bytes`, in pieces of at most PIECE_BYTES. Raises StoreUnavailable when
    its file cannot be read."""
    size = segment.size_bytes if tail_bytes is None else min(segment.size_bytes, tail_bytes)
    try:
        with open(settings.state / segment.file, "rb") as file:
            file.seek(segment.offset + segment.size_bytes - size)
            while size > 0 and (piece := file.read(min(size, PIECE_BYTES))):
                size -= len(piece)
                yield piece
    except OSError as error:
        raise StoreUnavailable(f"the log {segment.file} cannot be read: {error.strerror}") from None


def tail_of(settings: Settings, attempt: AttemptRow) -> str:
    """The last lines that an attempt printed; of one that crashed, before the stacks of its threads, which are shown as
    frames."""
    if attempt.log is None or not attempt.log.size_bytes:
        return ""
    crashed = str((attempt.failure or {}).get("type", "")) in CRASHES
    try:
        pieces = read_segment(settings, attempt.log, tail_bytes=DUMP_BYTES_MAX if crashed else TAIL_BYTES)
        text = b"".join(pieces).decode(errors="replace")
    except StoreUnavailable:
        return ""
    if crashed:
        text = before_dump(text)[-TAIL_BYTES:]
    return "\n".join(text.rstrip("\n").split("\n")[-TAIL_LINES:])
