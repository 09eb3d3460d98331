"""A run that is only played: the real engine under the real controller, over a store that is thrown away afterwards, an
executor that answers what its caller says, and a clock that jumps from one end to the next. Nothing is written
anywhere (semantics 35).

Whoever rehearses a run to foresee it answers with values that nobody knows yet (`unknown_outputs`), whoever plays a
stored run again to see what its tasks were given answers with what is stored."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from penstock.base.ids import split_attempt_id
from penstock.base.instants import Instant
from penstock.controller import Controller
from penstock.effects import Commit, Holder, Lease, Message
from penstock.engine.events import CapacityReported, Transition
from penstock.engine.rows import RunRecord, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.graph.model import Retry
from penstock.plan.model import Plan, PlanGraph, parts_of
from penstock.wire import Artifact, AttemptEnded, AttemptRequest, Datum, Observed, Outcome, Report, artifacts_in

if TYPE_CHECKING:
    from penstock.controller.controller import Answer
    from penstock.effects import StateStore

NAME = "rehearsal"
UNKNOWN = "unknown:"
LEASE_MS = 1 << 40
# So often may a step lead to nothing before a rehearsal that does not end is a defect of ours.
IDLE_STEPS_MAX = 1_000

Respond = Callable[[AttemptRequest], tuple[Outcome, float]]
"""How an attempt ends, and after how many milliseconds of played time."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal came to: task runs in the order in which they ended, and the played time in milliseconds."""

    run: RunRow
    task_runs: tuple[TaskRunRow, ...]
    took_ms: float


def unknown_outputs(request: AttemptRequest) -> dict[str, Datum]:
    """The outputs of an attempt that has not been made: equal only to themselves."""
    _, path, _ = split_attempt_id(request.attempt_id)
    return {name: Artifact(f"{UNKNOWN}{path}.{name}", "unknown", "unknown", 0) for name in request.component.outputs}


def is_unknown(datum: Datum) -> bool:
    """Whether anything in a datum is not known yet."""
    return any(artifact.digest.startswith(UNKNOWN) for artifact in artifacts_in(datum))


def rehearse(
    run: RunRow, plan: Plan, *, respond: Respond, capacity: Mapping[str, int], answer: Answer | None = None
) -> Rehearsed:
    """Play a run from its submission to its end. The plan is changed: nothing is tried again or runs out of time, and
    a failure stops nothing else."""
    _make_patient(plan.root)
    clock = PlayedClock(run.created_at)
    store = PlayedStore(replace(run, state=RunState.PENDING, outputs={}, started_at=None, ended_at=None))
    controller = Controller(
        # What a controller asks of a store while it runs one run; the rest is never called.
        store=cast("StateStore", store),
        executors=[PlayedExecutor(clock, respond, capacity)],
        clock=clock,
        holder=Holder("", "", 0, 0),
        plan_of=lambda row: plan,
        lease_ms=LEASE_MS,
        answer=answer,
    )
    taken = controller.take(run.run_id)
    assert taken
    idle = 0
    while controller.active():
        before = store.commits_count
        controller.step(1_000)
        idle = 0 if store.commits_count > before else idle + 1
        assert idle < IDLE_STEPS_MAX, f"the rehearsal of {run.pipeline} does not end"
    return Rehearsed(store.row, store.ended(), clock.at_ms - run.created_at)


def play_unlimited(run: RunRow, plan: Plan, *, respond: Respond) -> Rehearsed:
    """Play a run on a machine that holds everything at once."""
    for part in parts_of(plan.root):
        for node in part.nodes:
            node.amounts = ()
    return rehearse(run, replace(plan, capacity=None), respond=respond, capacity={"cpu": 1_000_000})


def _make_patient(root: PlanGraph) -> None:
    for part in parts_of(root):
        part.graph = replace(part.graph, fail_fast=False, timeout_ms=None)
        for node in part.nodes:
            node.retry, node.timeout = Retry(), None


@dataclass(slots=True)
class PlayedClock:
    """Begins when the run was submitted."""

    at_ms: float

    def now(self) -> Instant:
        return Instant(int(self.at_ms))


class PlayedStore:
    """Holds one run in memory; implements what a controller asks of a state store for it."""

    def __init__(self, run: RunRow) -> None:
        self.row = run
        self.commits_count = 0
        self._rows: dict[str, TaskRunRow] = {}
        self._messages = [Message("submit", "submit", run.run_id, Instant(0))]

    def acquire(
        self, run_id: str, holder: Holder, *, now: Instant, lease_ms: int, dead: Holder | None = None
    ) -> Lease | None:
        return Lease(run_id, 1, holder, Instant(now + lease_ms))

    def renew(self, leases: Sequence[Lease], *, now: Instant, lease_ms: int) -> Sequence[Lease]:
        return [replace(lease, expires_at=Instant(now + lease_ms)) for lease in leases]

    def release(self, leases: Sequence[Lease]) -> None:
        pass

    def inbox(self, run_ids: Sequence[str]) -> Sequence[Message]:
        return tuple(self._messages)

    def run(self, run_id: str) -> RunRow:
        return self.row

    def load(self, run_id: str) -> RunRecord:
        return RunRecord(self.row, (), ())

    def observe(self, observations: Sequence[Observed]) -> None:
        pass

    def mark_nondeterministic(self, mark: object) -> None:
        pass

    def commit(self, commit: Commit) -> None:
        self.commits_count += 1
        self._messages = [message for message in self._messages if message.message_id not in commit.consumed]
        for transition in commit.transitions:
            self._keep(transition)

    def _keep(self, transition: Transition) -> None:
        row = transition.row
        if isinstance(row, TaskRunRow):
            self._rows.pop(row.path, None)  # to the end: in the order of the last change
            self._rows[row.path] = row
        elif isinstance(row, RunRow):
            self.row = row

    def ended(self) -> tuple[TaskRunRow, ...]:
        assert self.row.state in TERMINAL_RUN_STATES
        return tuple(self._rows.values())


@dataclass(slots=True)
class PlayedExecutor:
    """Ends every attempt as it is told, by moving the clock to the end of the earliest one."""

    clock: PlayedClock
    respond: Respond
    amounts: Mapping[str, int]
    _due: list[tuple[float, int, AttemptEnded]] = field(default_factory=list)
    _count: int = 0

    @property
    def name(self) -> str:
        return NAME

    def capacity(self) -> CapacityReported:
        return CapacityReported(NAME, self.amounts)

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        for request in requests:
            outcome, took_ms = self.respond(request)
            self._count += 1
            ended = AttemptEnded(request.attempt_id, outcome, duration_us=round(took_ms * 1_000))
            heapq.heappush(self._due, (self.clock.at_ms + took_ms, self._count, ended))

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        pass

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        pass

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        if not self._due:
            self.clock.at_ms += timeout_ms if timeout_ms > 1 else 0
            return ()
        self.clock.at_ms = max(self.clock.at_ms, self._due[0][0])
        reports = []
        while self._due and self._due[0][0] <= self.clock.at_ms:
            reports.append(heapq.heappop(self._due)[2])
        return reports

    def observations(self) -> Sequence[Observed]:
        return ()

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        pass

    def close(self) -> None:
        pass
