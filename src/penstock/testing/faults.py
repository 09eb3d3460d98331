"""What goes wrong in a simulated world, and how it cuts in: faults by their likelihood, and a controller's store and executor
with the simulation around every call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from penstock.base.errors import ClaimLost, CommitUnknown, StoreUnavailable
from penstock.controller.controller import Controller
from penstock.effects import Commit, Holder, StateStore
from penstock.engine.events import CapacityReported
from penstock.testing.executor import FakeExecutor, Mishaps
from penstock.wire import AttemptRequest, Report

if TYPE_CHECKING:
    from penstock.testing.simulation import Simulation


class Crash(BaseException):
    """The controller's process is gone, at this instruction."""


@dataclass(slots=True)
class Faults:
    """How likely each thing is to happen, each time that it could. Each seed has some of them."""

    crash_before_commit: float = 0.0
    crash_after_commit: float = 0.0
    crash_performing: float = 0.0
    crash_starting: float = 0.0
    crash_reading: float = 0.0
    commit_kept_unknown: float = 0.0
    commit_lost_unknown: float = 0.0
    commit_lost_interrupted: float = 0.0
    """The commit of what somebody's Ctrl-C led to did not happen."""
    unavailable: float = 0.0
    stall: float = 0.0
    """A controller stands still between its commit and what it was to perform; meanwhile its lease runs out."""
    pause: float = 0.0
    """A controller stands still for longer than its lease, and another takes over."""
    jump: float = 0.0
    resize: float = 0.0
    cancel: float = 0.0
    overtake: float = 0.0
    """Another controller goes on between a look-up and what follows from it."""
    vanish: float = 0.0
    """Blobs of a cache entry are gone."""
    edit: float = 0.0
    """A file that functions read is written anew."""
    forget: float = 0.0
    """Entries of some keys are deleted."""


HIGHEST = {
    "crash_before_commit": 0.08,
    "crash_after_commit": 0.08,
    "crash_performing": 0.08,
    "crash_starting": 0.15,
    "crash_reading": 0.02,
    "commit_kept_unknown": 0.08,
    "commit_lost_unknown": 0.08,
    "commit_lost_interrupted": 0.8,
    "unavailable": 0.02,
    "stall": 0.05,
    "pause": 0.04,
    "jump": 0.05,
    "resize": 0.08,
    "cancel": 0.02,
    "overtake": 0.3,
    "vanish": 0.1,
    "edit": 0.05,
    "forget": 0.05,
}
MISHAPS = {
    "report_lost": 0.3,
    "report_doubled": 0.5,
    "report_delayed": 0.5,
    "refused": 0.15,
    "lost_sight": 0.5,
    "worker_died": 0.15,
}


def some_faults(rng: Random) -> tuple[Faults, Mishaps]:
    """A mixture: a seed has each kind of fault, or not, at a likelihood of its own; one seed in twelve has none."""
    if rng.random() < 1 / 12:
        return Faults(), Mishaps()
    chosen = {name: rng.random() * top if rng.random() < 0.45 else 0.0 for name, top in (HIGHEST | MISHAPS).items()}
    faults, mishaps = Faults(), Mishaps()
    for name, likely in chosen.items():
        setattr(faults if name in HIGHEST else mishaps, name, likely)
    return faults, mishaps


@dataclass(slots=True)
class Alive:
    """One controller's process."""

    number: int
    holder: Holder
    store: WatchedStore
    executor: WatchedExecutor
    controller: Controller
    reported: CapacityReported
    asleep_until: int = 0
    """The step at which it goes on."""
    committed: bool = False
    interrupted: set[str] = field(default_factory=set)
    """Runs that it was asked to stop directly, as with Ctrl-C."""
    just_interrupted: bool = False


class WatchedStore:
    """A controller's store, with the simulation listening at commits and cutting in around every call."""

    def __init__(self, sim: Simulation, inner: StateStore) -> None:
        self._sim = sim
        self.inner = inner
        self.alive: Alive | None = None

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def struck(*arguments: Any, **named: Any) -> Any:
            fault = "crash_starting" if name in ("acquire", "load") else "crash_reading"
            self._sim.strike(fault)
            answer = call(*arguments, **named)
            self._sim.strike(fault)
            return answer

        return struck

    def commit(self, commit: Commit) -> None:
        sim = self._sim
        sim.strike("crash_before_commit")
        assert self.alive is not None
        lost = self.alive.just_interrupted and sim.chance("commit_lost_interrupted")
        self.alive.just_interrupted = False
        if lost or sim.chance("commit_lost_unknown"):
            raise CommitUnknown("it did not happen")
        if sim.chance("unavailable"):
            raise StoreUnavailable("the disk is full")
        try:
            self.inner.commit(commit)
        except ClaimLost:
            sim.counts["claim_lost"] += 1
            sim.note("    a claim is lost")
            raise
        sim.committed(self.alive, commit)
        sim.strike("crash_after_commit")
        if sim.chance("commit_kept_unknown"):
            raise CommitUnknown("it did happen")


class WatchedExecutor:
    """A controller's executor, with the simulation looking at what it is asked to do."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.inner = FakeExecutor(sim.world)
        self.alive: Alive | None = None
        self.stalled: list[AttemptRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def capacity(self) -> CapacityReported:
        assert self.alive is not None
        self.alive.reported = self.inner.capacity()
        return self.alive.reported

    def start(self, requests: Sequence[AttemptRequest]) -> None:
        sim = self._sim
        assert self.alive is not None
        for request in requests:
            sim.starting(request)
            sim.strike("crash_performing")
            if sim.chance("stall"):
                sim.put_to_sleep(self.alive)
            if self.alive.asleep_until > sim.step_number:
                self.stalled.append(request)
            else:
                self.inner.start([request])

    def stop(self, attempt_id: str, *, grace_ms: int) -> None:
        self._sim.note(f"    stop {attempt_id} within {grace_ms} ms")
        self._sim.trace(("stop", attempt_id, grace_ms))
        self._sim.strike("crash_performing")
        self.inner.stop(attempt_id, grace_ms=grace_ms)

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        assert self.alive is not None
        ids = list(attempt_ids)
        self._sim.acknowledging(ids, self.alive)
        self.inner.acknowledge(ids)

    def adopt(self, attempt_ids: Sequence[str]) -> None:
        self._sim.strike("crash_starting")
        self._sim.note(f"    adopt {', '.join(attempt_ids)}")
        self.inner.adopt(attempt_ids)
        self._sim.strike("crash_starting")

    def poll(self, timeout_ms: int) -> Sequence[Report]:
        self._sim.strike("crash_reading")
        return self.inner.poll(timeout_ms)
