"""Drives an engine by hand, for tests that read as transcripts: events in, commands out. The clock moves only when
told. Look-ups are answered from a `Shelf`, which several transcripts may share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock.base.instants import Instant
from penstock.engine.engine import Engine
from penstock.engine.events import (
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityReported,
    Decision,
    Event,
    LookedUp,
    LookUp,
    RunSubmitted,
    StartAttempt,
    TimePassed,
    Transition,
)
from penstock.engine.rows import AttemptRow, CacheEntry, Claim, RunRecord, RunRow, TaskRunRow
from penstock.graph.model import Graph
from penstock.plan import Plan, make_plan
from penstock.plan.model import CodeKey, Remembered
from penstock.wire import AttemptRequest, Datum, Failed, Failure, Inline, Outcome, Succeeded

START = Instant(1_000_000)
DEFAULT_AMOUNTS = {"cpu": 2000, "memory": 8 << 30}
NOTHING_READ: Mapping[str, str] = {}


@dataclass
class Shelf:
    """What there is to be found: entries by key (the newest counts), keys that other controllers compute, and task runs
    of the run that is retried."""

    entries: dict[str, list[CacheEntry]] = field(default_factory=dict)
    claimed: dict[str, str] = field(default_factory=dict)
    adoptable: dict[str, TaskRunRow] = field(default_factory=dict)

    def answer(self, query: LookUp) -> LookedUp:
        row, entries = self.adoptable.get(query.key), self.entries.get(query.key)
        if query.adopt_from and row is not None:
            source = f"{query.adopt_from}/{row.path}"
            return LookedUp(query.run_id, query.path, query.key, "adopted", row.outputs, source)
        if query.read and entries:
            source = f"{entries[-1].run_id}/{entries[-1].path}"
            return LookedUp(query.run_id, query.path, query.key, "hit", entries[-1].outputs, source)
        if query.read and query.key in self.claimed:
            return LookedUp(query.run_id, query.path, query.key, "claimed", source=self.claimed[query.key])
        return LookedUp(query.run_id, query.path, query.key, "miss")


@dataclass
class Transcript:
    """One run of a graph on one executor. Times are ms after the start. `codes` are by the functions' names; `silent`:
    look-ups stay in `queries` until `reply`."""

    graph: Graph
    amounts: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_AMOUNTS))
    ahead_max: int = 0
    inputs: Mapping[str, Datum] = field(default_factory=dict)
    history: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    grace_ms: int = 10_000
    run_id: str = "run"
    codes: Mapping[str, CodeKey] = field(default_factory=dict)
    shelf: Shelf = field(default_factory=Shelf)
    cache: str = "use"
    retry_of: str | None = None
    silent: bool = False
    memories: Mapping[str, Remembered] = field(default_factory=dict)
    """By the functions' names."""

    def __post_init__(self) -> None:
        self.engine = Engine(grace_ms=self.grace_ms)
        codes = {f"notation:{name}": code for name, code in self.codes.items()}
        memories = {f"notation:{name}": known for name, known in self.memories.items()}
        self.plan: Plan = make_plan(self.graph, history=self.history, capacity=None, codes=codes, memories=memories)
        self.queries: list[LookUp] = []
        self.asked: list[LookUp] = []
        self.entries: list[CacheEntry] = []
        self.claims: list[Claim] = []
        self.released: list[str] = []
        self.now = START
        self.transitions: list[Transition] = []
        self.log: list[str] = []
        self.requests: dict[str, AttemptRequest] = {}
        self.wake_at: Instant | None = None
        self.tasks: dict[str, TaskRunRow] = {}
        self.attempts: dict[str, AttemptRow] = {}
        self.run: RunRow | None = None
        self.capacity(self.amounts)
        row = RunRow(self.run_id, self.graph.name, "digest", dict(self.inputs), "pin", 7, START)
        row = replace(row, cache=self.cache, retry_of=self.retry_of)
        self.give(RunSubmitted(row, self.plan))

    # -- events in

    def give(self, event: Event) -> Decision:
        decision = self._take(self.engine.handle(event, now=self.now))
        while (self.wake_at is not None and self.wake_at <= self.now) or (self.queries and not self.silent):
            if not self.silent:
                self.reply()
            self._take(self.engine.handle(TimePassed(), now=self.now))
        return decision

    def reply(self) -> None:
        """Answer the look-ups that have not been."""
        queries, self.queries = self.queries, []
        for query in queries:
            self._take(self.engine.handle(self.shelf.answer(query), now=self.now))

    def capacity(self, amounts: Mapping[str, int]) -> None:
        self.give(CapacityReported("local", dict(amounts), self.ahead_max))

    def starts(self, path: str) -> None:
        self.give(AttemptStarted(self.attempt_of(path), self.now))

    def ends(
        self,
        path: str,
        outcome: Outcome | object = None,
        *,
        duration_us: int = 1_000,
        reads: Mapping[str, str] = NOTHING_READ,
        outside: tuple[str, ...] = (),
    ) -> Decision:
        """The attempt in flight at `path` ends: with an outcome, or with success and this as its output."""
        known = isinstance(outcome, Outcome)
        result: Outcome = outcome if known else Succeeded({"out": Inline(outcome)})  # type: ignore[assignment]
        ended = AttemptEnded(self.attempt_of(path), result, self.now, self.now, duration_us)
        return self.give(replace(ended, reads=reads, outside=outside))

    def fails(
        self, path: str, message: str = "boom", *, kind: str = "builtins:ValueError", final: bool = False
    ) -> None:
        self.ends(path, Failed(Failure(kind, message, ("builtins:Exception",)), final))

    def passes(self, ms: int) -> None:
        """Time goes on by so much."""
        self.now = Instant(self.now + ms)
        self.give(TimePassed())

    def cancel(self, *, force: bool = False) -> None:
        self.give(CancelRequested(self.run_id, force))

    # -- what came out

    def _take(self, decision: Decision) -> Decision:
        self.wake_at = decision.wake_at
        self.queries.extend(decision.queries)
        self.asked.extend(decision.queries)
        self.entries.extend(decision.entries)
        self.claims.extend(decision.claims)
        self.released.extend(decision.released)
        for entry in decision.entries:
            self.shelf.entries.setdefault(entry.key, []).append(entry)
        for transition in decision.transitions:
            self.transitions.append(transition)
            row = transition.row
            if isinstance(row, RunRow):
                self.run = row
            elif isinstance(row, TaskRunRow):
                self.tasks[row.path] = row
            else:
                self.attempts[f"{row.path}#{row.number}"] = row
        for command in decision.commands:
            if isinstance(command, StartAttempt):
                self.requests[command.request.attempt_id] = command.request
                self.log.append("start " + command.request.attempt_id.partition("/")[2])
            else:
                self.log.append(f"stop {command.attempt_id.partition('/')[2]} grace {command.grace_ms}")
        return decision

    def said(self) -> list[str]:
        """The commands since this was last asked, as text."""
        log, self.log = self.log, []
        return log

    def in_flight(self) -> list[str]:
        return [f"{row.path}#{row.number}" for row in self.attempts.values() if row.state != "ended"]

    def attempt_of(self, path: str) -> str:
        number = self.tasks[path].attempt
        return f"{self.run_id}/{path}#{number}"

    def inputs_of(self, path: str) -> dict[str, object]:
        inputs = self.requests[self.attempt_of(path)].inputs
        return {name: datum.value if isinstance(datum, Inline) else datum for name, datum in inputs.items()}

    def state(self, path: str) -> str:
        row = self.tasks.get(path)
        if row is None:
            return "waiting"
        return (
            f"{row.state.value}({row.cause.code})"
            if row.state in ("failed", "skipped", "cancelled")
            else row.state.value
        )

    def origin(self, path: str) -> str:
        """How a succeeded task run came by its outputs: `computed`, or `hit(RUN/PATH)` and the like."""
        row = self.tasks[path]
        return f"{row.cause.code}({row.cause.by})" if row.origin == "cached" else str(row.origin)

    @property
    def run_state(self) -> str:
        assert self.run is not None
        return self.run.state.value

    def rebuilt(self) -> Engine:
        """Another engine, made from the rows so far."""
        assert self.run is not None
        engine = Engine(grace_ms=self.grace_ms)
        engine.handle(CapacityReported("local", dict(self.amounts), self.ahead_max), now=self.now)
        record = RunRecord(self.run, tuple(self.tasks.values()), tuple(self.attempts.values()))
        engine.load(record, self.plan, now=self.now)
        engine.handle(TimePassed(), now=self.now)
        return engine
