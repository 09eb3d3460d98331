"""One controller: holds the leases of its runs and the handles to the outside. `turn` is its heart: handle, commit,
perform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from penstock.base.errors import ClaimLost, CommitUnknown, LeaseLost
from penstock.base.ids import split_attempt_id
from penstock.base.instants import Instant
from penstock.controller.answers import uses_of
from penstock.effects import Clock, Commit, Executor, Holder, Lease, Message, StateStore
from penstock.engine.engine import GRACE_MS, Engine
from penstock.engine.events import (
    AttemptEnded,
    CancelRequested,
    CapacityReported,
    Command,
    Decision,
    Event,
    LookedUp,
    LookUp,
    RunSubmitted,
    StartAttempt,
    StopAttempt,
    TimePassed,
    Transition,
)
from penstock.engine.rows import ArtifactUse, CacheEntry, Claim, RunRow
from penstock.engine.states import TERMINAL_RUN_STATES, RunState
from penstock.engine.turn import TRANSITIONS_MAX
from penstock.plan.model import Plan
from penstock.wire import AttemptRequest, Observed, Progress, Refused, Report

LEASE_MS = 30_000
INBOX_MS = 200
"""How often the inbox is read."""

CAPACITY_MS = 1_000
"""How often executors are asked for their capacity."""

PROGRESS_MS = 1_000
"""How often it is kept how far attempts are; whoever shows it hears it at once."""

Observer = Callable[[Sequence[Transition], Instant], None]
Heard = Callable[[Sequence[Observed]], None]
Answer = Callable[[Sequence[LookUp], Instant], Sequence[LookedUp]]


def _nothing_found(queries: Sequence[LookUp], now: Instant) -> list[LookedUp]:
    return [LookedUp(query.run_id, query.path, query.key, "miss") for query in queries]


def _hit(query: LookUp, entry: CacheEntry) -> LookedUp:
    return LookedUp(query.run_id, query.path, query.key, "hit", entry.outputs, f"{entry.run_id}/{entry.path}")


@dataclass(slots=True)
class Outcomes:
    """What a turn has come to: everything that is committed together, and what follows the commit."""

    transitions: list[Transition] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    entries: list[CacheEntry] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    uses: list[ArtifactUse] = field(default_factory=list)

    def add(self, decision: Decision) -> None:
        self.transitions.extend(decision.transitions)
        self.commands.extend(decision.commands)
        self.entries.extend(decision.entries)
        self.claims.extend(decision.claims)
        self.released.extend(decision.released)
        self.uses.extend(use for given in decision.given for use in uses_of(given))


class Controller:
    """Runs the runs that it has taken. Not thread-safe; `step` is called in a loop by whoever owns it.

    `plan_of` makes the plan of a stored run. `observer` sees every committed transition, `heard` what attempts logged, once
    it is kept. Raises `StoreUnavailable` from
    `step` when the state store cannot be used: nothing is lost, and a later controller goes on from what is stored.
    """

    def __init__(
        self,
        *,
        store: StateStore,
        executors: Sequence[Executor],
        clock: Clock,
        holder: Holder,
        plan_of: Callable[[RunRow], Plan],
        grace_ms: int = GRACE_MS,
        lease_ms: int = LEASE_MS,
        observer: Observer | None = None,
        heard: Heard | None = None,
        answer: Answer | None = None,
    ) -> None:
        self._store = store
        self._executors = {executor.name: executor for executor in executors}
        self._clock = clock
        self._holder = holder
        self._plan_of = plan_of
        self._grace_ms = grace_ms
        self._lease_ms = lease_ms
        self._observer = observer
        self._heard = heard
        self._answer = answer or _nothing_found
        self._engine = Engine(grace_ms=grace_ms)
        self._leases: dict[str, Lease] = {}
        self._plans: dict[str, Plan] = {}
        self._capacities: dict[str, CapacityReported] = {}
        self._wake_at: Instant | None = None
        self._inbox_at = Instant(0)
        self._capacity_at = Instant(0)
        self._pending: list[Event] = []
        self._said: dict[str, Progress] = {}
        """How far attempts are, as far as that is not kept yet."""
        self._said_at = Instant(0)

    # -- runs

    def take(self, run_id: str, *, dead: Holder | None = None) -> bool:
        """Take a stored run over: a submitted one begins, an interrupted one goes on. False: somebody else holds it, or
        it has ended. `dead`: the present holder, if it is proved dead."""
        now = self._clock.now()
        lease = self._store.acquire(run_id, self._holder, now=now, lease_ms=self._lease_ms, dead=dead)
        if lease is None:
            return False
        if not self._load(lease, now):
            self._store.release([lease])
            return False
        self._inbox_at = Instant(0)
        return True

    def _load(self, lease: Lease, now: Instant) -> bool:
        """Put a run into the engine and have the executors answer for what is in flight."""
        record = self._store.load(lease.run_id)
        if record.run.state in TERMINAL_RUN_STATES:
            return False
        self._leases[lease.run_id] = lease
        if lease.run_id not in self._plans:
            self._plans[lease.run_id] = self._plan_of(record.run)
        if record.run.state is not RunState.PENDING:
            self._engine.load(record, self._plans[lease.run_id], now=now)
            self._adopt(lease.run_id)
            self._wake_at = now
        return True

    def _adopt(self, run_id: str) -> None:
        by_executor: dict[str, list[str]] = {}
        for command in self._engine.outstanding():
            if isinstance(command, StartAttempt) and command.request.attempt_id.startswith(run_id + "/"):
                by_executor.setdefault(command.executor, []).append(command.request.attempt_id)
        for name, attempt_ids in by_executor.items():
            executor = self._executors.get(name) or next(iter(self._executors.values()))
            executor.adopt(attempt_ids)

    def give_up(self, run_id: str) -> None:
        """Hold a run no longer, as far as it is held: somebody else may take it."""
        lease = self._leases.get(run_id)
        if lease is not None:
            self._store.release([lease])
        self._drop(run_id)

    def active(self) -> tuple[str, ...]:
        """The runs held now, in the order they were taken."""
        return tuple(self._leases)

    def request_cancel(self, run_id: str, *, force: bool = False) -> None:
        """Cancel a run of this controller without the way over the inbox (Ctrl-C)."""
        self._pending.append(CancelRequested(run_id, force))

    # -- the loop

    def step(self, timeout_ms: int = 1_000) -> None:
        """Wait for events at most so long, then decide, commit and perform what follows from them."""
        now = self._clock.now()
        self._keep_leases(now)
        asked, self._pending = self._pending, []
        messages, consumed = self._read_inbox(now)
        # A run may be cancelled before it has begun: it is submitted first.
        events: list[Event] = [*self._changed_capacities(now), *messages, *asked]
        events.extend(self._reports(0 if events else self._patience(now, timeout_ms)))
        if any(isinstance(event, AttemptEnded) and isinstance(event.outcome, Refused) for event in events):
            self._capacity_at = Instant(0)  # there is less than was thought
        self._observe(now)
        if not self.turn(events, self._clock.now(), consumed=consumed):
            self._pending = [*asked, *self._pending]  # nobody else will say it again

    def turn(self, events: Sequence[Event], now: Instant, *, consumed: Sequence[Message] = ()) -> bool:
        """Have the engine decide about these events until it is quiet, commit what changed, then perform the
        commands. False: nothing was committed, and memory has been made again from the store."""
        turn = Outcomes()
        agenda = list(events)
        if self._wake_at is not None and now >= self._wake_at:
            agenda.append(TimePassed())
        while agenda:
            queries: list[LookUp] = []
            for event in agenda:
                decision = self._engine.handle(event, now=now)
                turn.add(decision)
                queries.extend(decision.queries)
                self._wake_at = decision.wake_at
            answers = self._answers(queries, turn.entries, now) if queries else ()
            due = self._wake_at is not None and self._wake_at <= now
            agenda = [*answers, *((TimePassed(),) if due else ())]
            if len(turn.transitions) >= TRANSITIONS_MAX:
                self._pending.extend(answers)
                break
        if (turn.transitions or consumed) and not self._commit(turn, consumed, now):
            return False
        self._perform(turn.commands)
        self._acknowledge(events)
        self._let_go(turn.transitions)
        return True

    def close(self) -> None:
        """Give the leases back. Attempts in flight are the executors' to end."""
        self._store.release(list(self._leases.values()))
        self._leases.clear()

    # -- intake

    def _patience(self, now: Instant, timeout_ms: int) -> int:
        until = [now + timeout_ms, max(self._inbox_at, now), now + self._lease_ms // 3]
        if self._wake_at is not None:
            until.append(self._wake_at)
        return max(0, min(until) - now)

    def _reports(self, timeout_ms: int) -> list[Report]:
        reports: list[Report] = []
        share = timeout_ms // max(1, len(self._executors))
        for executor in self._executors.values():
            reports.extend(executor.poll(0 if reports else share))
        return reports

    def _read_inbox(self, now: Instant) -> tuple[list[Event], list[Message]]:
        if now < self._inbox_at and self._inbox_at - now <= INBOX_MS:
            return [], []
        self._inbox_at = Instant(now + INBOX_MS)
        events: list[Event] = []
        consumed: list[Message] = []
        for message in self._store.inbox(list(self._leases)) if self._leases else ():
            consumed.append(message)
            if message.kind == "submit":
                run = self._store.run(message.run_id)
                assert run is not None
                events.append(RunSubmitted(run, self._plans[message.run_id]))
            elif message.kind == "cancel":
                events.append(CancelRequested(message.run_id, bool(message.body.get("force"))))
        return events, consumed

    def _changed_capacities(self, now: Instant) -> Iterable[CapacityReported]:
        if self._capacities and now < self._capacity_at and self._capacity_at - now <= CAPACITY_MS:
            return
        self._capacity_at = Instant(now + CAPACITY_MS)
        for executor in self._executors.values():
            capacity = executor.capacity()
            if self._capacities.get(executor.name) != capacity:
                self._capacities[executor.name] = capacity
                yield capacity

    def _observe(self, now: Instant) -> None:
        observations = [o for executor in self._executors.values() for o in executor.observations()]
        kept: list[Observed] = [o for o in observations if not isinstance(o, Progress)]
        self._said.update({o.attempt_id: o for o in observations if isinstance(o, Progress)})
        if self._said and (kept or not 0 <= now - self._said_at < PROGRESS_MS):
            kept.extend(self._said.values())
            self._said.clear()
            self._said_at = now
        if kept:
            self._store.observe(kept)
        if observations and self._heard is not None:
            self._heard(observations)

    def _answers(self, queries: Sequence[LookUp], entered: Sequence[CacheEntry], now: Instant) -> list[LookedUp]:
        """What this turn itself has `entered` is found before it is stored."""
        by_key = {entry.key: entry for entry in entered}
        found = [_hit(query, by_key[query.key]) for query in queries if query.read and query.key in by_key]
        others = [query for query in queries if not (query.read and query.key in by_key)]
        return [*found, *(self._answer(others, now) if others else ())]

    # -- commit and perform

    def _commit(self, turn: Outcomes, consumed: Sequence[Message], now: Instant) -> bool:
        """Whether it was committed. If not, memory is thrown away and made again from what is stored."""
        changed = dict.fromkeys(transition.run_id for transition in turn.transitions)
        concerned = {**changed, **dict.fromkeys(message.run_id for message in consumed)}
        leases = tuple(self._leases[run_id] for run_id in concerned)
        commit = Commit(
            now,
            leases,
            tuple(turn.transitions),
            tuple(message.message_id for message in consumed),
            tuple(turn.entries),
            tuple(turn.claims),
            tuple(turn.released),
            tuple(turn.uses),
        )
        try:
            self._store.commit(commit)
        except LeaseLost as lost:
            for run_id in lost.run_ids:
                self._leases.pop(run_id, None)
                self._plans.pop(run_id, None)
            self._reset(now)
            return False
        except (ClaimLost, CommitUnknown):
            self._reset(now)
            return False
        if self._observer is not None and turn.transitions:
            self._observer(turn.transitions, now)
        return True

    def _reset(self, now: Instant) -> None:
        """Make memory again from the store (semantics 27)."""
        outstanding = self._engine.outstanding()
        self._engine = Engine(grace_ms=self._grace_ms)
        self._wake_at = None
        self._inbox_at = Instant(0)
        for capacity in self._capacities.values():
            self._engine.handle(capacity, now=now)
        # A run that another controller holds by now must not be loaded: adopting its attempts would take them from it.
        held = self._store.renew(list(self._leases.values()), now=now, lease_ms=self._lease_ms)
        self._leases = {lease.run_id: lease for lease in held}
        self._abandon(outstanding)
        for lease in held:
            if not self._load(lease, now):
                self._drop(lease.run_id)

    def _perform(self, commands: Sequence[Command]) -> None:
        starts: dict[str, list[AttemptRequest]] = {}
        for command in commands:
            if isinstance(command, StartAttempt):
                starts.setdefault(command.executor, []).append(command.request)
        for name, requests in starts.items():
            self._executors[name].start(requests)
        for command in commands:
            if isinstance(command, StopAttempt):
                executor = self._executors.get(command.executor)
                if executor is not None:
                    executor.stop(command.attempt_id, grace_ms=command.grace_ms)

    def _acknowledge(self, events: Sequence[Event]) -> None:
        ended = [event.attempt_id for event in events if isinstance(event, AttemptEnded)]
        if ended:
            for executor in self._executors.values():
                executor.acknowledge(ended)

    # -- leases

    def _keep_leases(self, now: Instant) -> None:
        """Extend leases well before they end; drop the runs whose leases are gone."""
        third = self._lease_ms // 3
        aging = [lease for lease in self._leases.values() if not third <= lease.expires_at - now <= self._lease_ms]
        if not aging:
            return
        kept = {lease.run_id: lease for lease in self._store.renew(aging, now=now, lease_ms=self._lease_ms)}
        for lease in aging:
            if lease.run_id in kept:
                self._leases[lease.run_id] = kept[lease.run_id]
            else:
                self._leases.pop(lease.run_id, None)
                self._abandon(self._engine.outstanding())
                self._drop(lease.run_id)

    def _abandon(self, outstanding: Iterable[Command]) -> None:
        """Stop what was started for runs that are no longer held here: whoever holds them starts it anew, and what comes
        of it here nobody would accept."""
        for command in outstanding:
            if isinstance(command, StartAttempt):
                identity = command.request.attempt_id
                executor = self._executors.get(command.executor)
                if split_attempt_id(identity)[0] not in self._leases and executor is not None:
                    executor.stop(identity, grace_ms=self._grace_ms)

    def _let_go(self, transitions: Sequence[Transition]) -> None:
        """Runs that have ended are no longer ours to hold."""
        for transition in transitions:
            if transition.machine == "run" and transition.after in TERMINAL_RUN_STATES:
                lease = self._leases.get(transition.run_id)
                if lease is not None:
                    self._store.release([lease])
                self._drop(transition.run_id)

    def _drop(self, run_id: str) -> None:
        self._leases.pop(run_id, None)
        self._plans.pop(run_id, None)
        self._engine.forget(run_id)
        self._wake_at = self._clock.now()  # what waited for a task run of that run may go on
