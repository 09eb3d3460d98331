"""An engine alone: no controller, no store, no executor. Every decision is checked as it is made and its rows are kept,
so that the engine can be thrown away and rebuilt between any two events. Look-ups stay in `questions` until somebody
answers them; whatever was entered is there to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.base.ids import split_attempt_id
from penstock.base.instants import Instant
from penstock.engine.engine import Engine
from penstock.engine.events import (
    CapacityReported,
    Decision,
    Event,
    LookedUp,
    LookUp,
    RunSubmitted,
    StartAttempt,
    StopAttempt,
    TimePassed,
)
from penstock.engine.rows import AttemptRow, CacheEntry, Row, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES
from penstock.graph.codec import type_from_json
from penstock.graph.model import Graph
from penstock.plan.model import CodeKey, Plan
from penstock.plan.passes import make_plan
from penstock.testing import checkers, fakes
from penstock.testing.clock import FakeClock
from penstock.wire import AttemptEnded, AttemptRequest, Cancelled, Datum, Inline, Outcome


@dataclass(slots=True)
class Asked:
    """A run that was submitted: its graph, its plan, and the rows that it has led to."""

    graph: Graph
    plan: Plan
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def record(self) -> RunRecord:
        run = next(row for row in self.rows.values() if isinstance(row, RunRow))
        tasks = tuple(row for row in self.rows.values() if isinstance(row, TaskRunRow))
        return RunRecord(run, tasks, tuple(row for row in self.rows.values() if isinstance(row, AttemptRow)))


@dataclass(slots=True)
class EngineAlone:
    """`requests` are the attempts that were asked for and have not ended, `stops` those of them asked to stop."""

    clock: FakeClock = field(default_factory=FakeClock)
    engine: Engine = field(default_factory=Engine)
    journal: checkers.Journal = field(default_factory=checkers.Journal)
    asked: dict[str, Asked] = field(default_factory=dict)
    requests: dict[str, AttemptRequest] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    capacity: CapacityReported = field(default_factory=lambda: CapacityReported("local", {"cpu": 4000}))
    wake_at: Instant | None = None
    questions: dict[tuple[str, str], LookUp] = field(default_factory=dict)
    """Look-ups that have not been answered, by run and path."""
    entries: dict[str, CacheEntry] = field(default_factory=dict)

    def submit(
        self,
        run_id: str,
        graph: Graph,
        inputs: Mapping[str, Datum],
        *,
        codes: Mapping[str, CodeKey] | None = None,
        cache: str = "use",
    ) -> Decision:
        given = {spec.name: Inline(spec.default.value) for spec in graph.inputs if spec.default} | dict(inputs)
        plan = make_plan(graph, codes=codes)
        row = RunRow(run_id, graph.name, "digest", given, "pin", 1, self.clock.now(), cache=cache)
        self.journal.graphs[run_id] = graph
        self.asked[run_id] = Asked(graph, plan, {("run", run_id): row})
        self.handle(self.capacity)
        return self.handle(RunSubmitted(row, plan))

    def handle(self, event: Event) -> Decision:
        """Give an event to the engine; check what it decides, and that giving it again changes nothing."""
        if isinstance(event, CapacityReported):
            self.capacity = event
        decision = self.engine.handle(event, now=self.clock.now())
        for change in decision.transitions:
            self.asked[change.run_id].rows[change.machine, change.id] = change.row
        submitted = self.journal.follow(decision.transitions)
        for run_id in dict.fromkeys(row.run_id for row in submitted):
            checkers.check_parallel(self.journal, run_id)
        checkers.check_capacity(self.journal, submitted, self.capacity, self.asked)
        self.questions.update({(query.run_id, query.path): query for query in decision.queries})
        self.entries.update({entry.key: entry for entry in decision.entries})
        for command in decision.commands:
            if isinstance(command, StartAttempt):
                self._start(command)
            elif isinstance(command, StopAttempt):
                self.stops[command.attempt_id] = command.grace_ms
        self.wake_at = decision.wake_at
        if isinstance(event, TimePassed) and self.wake_at is not None and self.wake_at <= self.clock.now():
            return decision  # it said itself that there is more to do now
        again = self.engine.handle(event, now=self.clock.now())
        changed = again.transitions or again.commands or again.queries
        checkers.demand(not changed, f"{event} changed something the second time: {again}")
        return decision

    def _start(self, command: StartAttempt) -> None:
        attempt_id = command.request.attempt_id
        checkers.demand(attempt_id not in self.started, f"{attempt_id} was started twice")
        asked = self.asked[split_attempt_id(attempt_id)[0]]
        checkers.check_inputs(command, asked.graph, asked.record())
        self.started.add(attempt_id)
        self.requests[attempt_id] = command.request

    def reply(self, question: tuple[str, str], *, claimed: bool = False) -> Decision:
        """Answer a look-up: with what was entered, else with a claim of another controller, or with nothing."""
        query = self.questions.pop(question)
        entry = self.entries.get(query.key) if query.read else None
        if entry is not None:
            source = f"{entry.run_id}/{entry.path}"
            return self.handle(LookedUp(query.run_id, query.path, query.key, "hit", entry.outputs, source))
        how = "claimed" if claimed and query.read else "miss"
        return self.handle(LookedUp(query.run_id, query.path, query.key, how, source="other"))

    def answer(self, attempt_id: str) -> Outcome:
        """What the function of an attempt gives (`testing.fakes`)."""
        request = self.requests[attempt_id]
        run_id, path, _ = split_attempt_id(attempt_id)
        if fakes.behaviour_of(request.component.name) == "slow":
            return Cancelled("stopped")
        outputs = {name: type_from_json(data) for name, data in request.component.outputs.items()}
        return fakes.outcome_of(request.component.name, outputs, request.inputs, self.journal.tried(run_id, path))

    def end(self, attempt_id: str, outcome: Outcome) -> Decision:
        self.requests.pop(attempt_id, None)
        self.stops.pop(attempt_id, None)
        now = self.clock.now()
        return self.handle(AttemptEnded(attempt_id, outcome, now, now, 1_000, "w1"))

    def rebuild(self) -> None:
        """Throw the engine away; what is rebuilt from the rows must be what was remembered."""
        engine = Engine()
        for asked in self.asked.values():
            engine.load(asked.record(), asked.plan, now=self.clock.now())
        found, expected = engine.dump(), self.engine.dump()
        checkers.demand(found == expected, f"rebuilt: {found}\nin memory: {expected}")
        in_flight = {c.request.attempt_id: c.request for c in engine.outstanding() if isinstance(c, StartAttempt)}
        checkers.demand(in_flight == self.requests, f"outstanding {set(in_flight)}, in the world {set(self.requests)}")
        self.engine = engine
        self.questions.clear()
        self.handle(self.capacity)

    def ended(self, run_id: str) -> bool:
        return self.engine.state_of(run_id) in TERMINAL_RUN_STATES
