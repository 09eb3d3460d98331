"""What of a run is shown, and in which order: chooses lines for the room there is, from the tree that `viewing` keeps. Pure.

What runs comes first; what ended last and what comes next share the rest; everything else stands in lines that count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.engine.states import Origin, TaskState
from penstock.wire import Progress

if TYPE_CHECKING:
    from penstock.app.viewing import View
    from penstock.engine.rows import AttemptRow, TaskRunRow
    from penstock.plan.model import PlanNode
    from penstock.wire import Usage

# So many lines of what runs below one node are wished for; so many lines are left for what has ended and what comes next.
BELOW_MAX = 12
AROUND_MIN = 4
# Of the metrics that a running task has logged, so many are shown: those logged last.
METRICS_SHOWN_MAX = 2

ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})
CACHED = "cached"


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the head. `state` is a task run's, `cached` for a hit, or `more` for a line that stands for `count`
    others. `done` of `total`: what the author's `track` says, or functions below a node with a graph; `took_ms` until now
    or in all; `usual_ms` the mean of earlier runs; `saved` names the task run whose result a hit has."""

    depth: int
    name: str
    state: str
    done: float | None = None
    total: float | None = None
    took_ms: float | None = None
    usual_ms: float | None = None
    memory_bytes: int = 0
    memory_bytes_max: int = 0
    gpu_bytes: int = 0
    gpu_percent: float = 0.0
    note: str = ""
    source: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """All that is drawn at one moment. `done` of `known` functions; `saved_ms` what hits saved as far as history tells;
    `amounts`: (resource, in use, capacity); `stopping`: "", "cancel" or "kill"."""

    pipeline: str
    run_id: str
    state: str
    took_ms: float
    done: int
    known: int
    counts: tuple[tuple[str, int], ...]
    saved_ms: float
    attempts: int
    amounts: tuple[tuple[str, int, int], ...]
    lines: tuple[Line, ...]
    stopping: str = ""


@dataclass(slots=True)
class Twig:
    """A node of the tree that is open, or that belongs to the pipeline itself. `done`, `known`, `failed` and `cached` count
    functions at every depth below."""

    path: str
    name: str
    node: PlanNode | None
    holder: Twig | None
    row: TaskRunRow | None = None
    attempt: AttemptRow | None = None
    progress: Progress | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    open: dict[str, Twig] = field(default_factory=dict)
    done: int = 0
    known: int = 0
    failed: int = 0
    cached: int = 0


def state_of(row: TaskRunRow) -> str:
    return CACHED if row.origin is Origin.CACHED and row.state is TaskState.SUCCEEDED else row.state.value


class Lines:
    """Chooses what fits: what is active first, then what ended last and what comes next; the rest in lines that count."""

    def __init__(self, view: View, now: int, usage: Mapping[str, Usage]) -> None:
        self._view = view
        self._now = now
        self._usage = usage

    def chosen(self, lines_max: int) -> Iterator[Line]:
        view = self._view
        room = max(lines_max - 2, 1)  # a line for what has ended and one for what waits
        active = sorted(view.root.open.values(), key=view.order_of)
        shown, cut = active[:room], active[room:]
        room -= len(shown) + bool(cut)
        # What runs within the nodes that run is worth more than what has ended, and that as much as what comes next.
        holders = [twig for twig in shown if twig.open]
        wanted = sum(min(len(twig.open), BELOW_MAX) for twig in holders)
        below_room = min(wanted, max(room // 2, room - AROUND_MIN))
        below = self._all_below(holders, below_room)
        room -= sum(len(lines) for lines in below.values())
        waiting = view.waiting(max(room - min(len(view.recent(room)), room // 2), 0))
        ended = view.recent(room - len(waiting))
        left = sum(view.ended_count.values()) - len(ended)
        if left > 0:
            yield Line(0, "", "more", note="ended", count=left)
        rows = [(view.order_of(twig), [self._line(twig, 0), *below.get(twig.path, ())]) for twig in (*ended, *shown)]
        rows += [(node.index, [Line(0, node.name, "waiting")]) for node in waiting]
        for _, lines in sorted(rows, key=lambda row: row[0]):
            yield from lines
        if cut:
            yield Line(0, "", "more", note="running or ready", count=len(cut))
        left = view.waiting_count - len(waiting)
        if left > 0:
            yield Line(0, "", "more", note="waiting", count=left)

    def _all_below(self, holders: Sequence[Twig], room: int) -> dict[str, list[Line]]:
        found = {}
        for number, twig in enumerate(holders):
            lines = list(self._below(twig, 1, room // (len(holders) - number)))
            room -= len(lines)
            found[twig.path] = lines
        return found

    def _below(self, twig: Twig, depth: int, room: int) -> Iterator[Line]:
        """What runs below a node with a graph, in the order of the flow."""
        if room < 1:
            return
        running = sorted(
            (each for each in twig.open.values() if each.row is None or each.row.state != "ready"), key=_place
        )
        for each in running:
            if room < 1:
                return
            yield self._line(each, depth)
            below = list(self._below(each, depth + 1, room - 1)) if each.open else []
            yield from below
            room -= 1 + len(below)

    def _line(self, twig: Twig, depth: int) -> Line:
        row, attempt = twig.row, twig.attempt
        if row is None:
            return Line(depth, twig.name, "running")
        state = state_of(row)
        done: float | None = None
        total: float | None = None
        note = ""
        if twig.node is not None and twig.node.bodies:
            done, total, note = twig.done, max(twig.known, twig.done), _counted(twig)
        elif row.state == TaskState.RUNNING:
            said = twig.progress
            if said is not None:
                done, total = said.done, said.total
            shown = [f"{name} {value:.4g}" for name, value in list(twig.metrics.items())[-METRICS_SHOWN_MAX:]]
            note = ", ".join([*([said.text] if said is not None and said.text else []), *shown])
        used = self._usage.get(f"{row.run_id}/{row.path}#{row.attempt}")
        if used is None and attempt is not None:
            used = attempt.usage
        return Line(
            depth,
            twig.name,
            state,
            done=done,
            total=total,
            took_ms=self._took_ms(row, attempt),
            usual_ms=self._view.usual_ms(row.component),
            memory_bytes=used.memory_bytes_peak if used is not None else 0,
            memory_bytes_max=dict(attempt.amounts).get("memory", 0) if attempt is not None else 0,
            gpu_bytes=used.gpu_memory_bytes_peak if used is not None else 0,
            gpu_percent=used.gpu_percent_mean if used is not None else 0.0,
            note=note or self._note(twig, row),
            source=row.cause.by if row.origin is Origin.CACHED else "",
        )

    def _took_ms(self, row: TaskRunRow, attempt: AttemptRow | None) -> float | None:
        if row.state in ENDED:
            if attempt is not None and attempt.duration_us:
                return attempt.duration_us / 1000
            return row.ended_at - row.started_at if row.ended_at is not None and row.started_at is not None else None
        if row.state != "running":
            return None
        began = row.started_at
        if attempt is not None and attempt.number == row.attempt:
            began = attempt.started_at or attempt.submitted_at
        return max(self._now - began, 0) if began is not None else None

    def _note(self, twig: Twig, row: TaskRunRow) -> str:
        if row.state == "ready" and twig.node is not None and twig.node.amounts:
            lacking = self._view.lacking(dict(twig.node.amounts))
            return f"waits for {' and '.join(lacking)}" if lacking else ""
        if row.state == "backoff" and row.retry_at is not None:
            return f"again in {max(row.retry_at - self._now, 0) / 1000:.0f} s"
        if row.state == "running" and row.attempt > 1:
            return f"attempt {row.attempt}"
        if row.state in (TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED):
            return row.cause.text or row.cause.code.replace("_", " ")
        return ""


def _place(twig: Twig) -> tuple[int, int]:
    """Which item, case or round of its holder it belongs to, and where it is in that."""
    number = twig.name.partition("/")[0]
    return int(number) if number.isdigit() else 0, twig.node.index if twig.node is not None else 0


def _counted(twig: Twig) -> str:
    running = sum(each.row is not None and each.row.state == "running" for each in twig.open.values())
    parts = [(running, "running"), (twig.cached, "cached"), (twig.failed, "failed")]
    return ", ".join(f"{number:,} {word}" for number, word in parts if number)
