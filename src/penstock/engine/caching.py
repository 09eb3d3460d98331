"""The cache as the engine sees it: keys, entries, and who computes what now (semantics 30 to 33)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.base.digests import digest_of
from penstock.engine.memory import TaskRun
from penstock.engine.states import TERMINAL_TASK_STATES
from penstock.wire import Counted, Datum, Inline, parameter_to_json

KEY_EPOCH = 1
"""Changes whenever what a key is made of changes: no entry of another epoch is ever found."""

CLAIMED_WAIT_MS = 200
"""How long to wait before asking again for a key that another controller computes."""


def identity_of(datum: Datum) -> str:
    """The digest by which an input counts in a key: content, type, form, and the code that the content names."""
    if isinstance(datum, Inline):
        return digest_of(["inline", parameter_to_json(datum.value)])
    if isinstance(datum, Counted):
        return digest_of(["list", [identity_of(item) for item in datum.items]])
    return digest_of(["artifact", datum.digest, datum.type, datum.form, datum.code])


def identities_of(inputs: Mapping[str, Datum]) -> dict[str, str]:
    return {name: identity_of(datum) for name, datum in inputs.items()}


def key_of(base: str, inputs: Mapping[str, Datum]) -> str:
    """The cache key of a task run: its component's part from the plan, and the identities of its inputs by name."""
    return digest_of([KEY_EPOCH, base, identities_of(inputs)])


@dataclass(slots=True)
class Flights:
    """Who computes which key now, and who waits for it: a key is computed once at a time (single flight)."""

    leader_by_key: dict[str, TaskRun] = field(default_factory=dict)
    waiting_by_key: dict[str, list[TaskRun]] = field(default_factory=dict)
    asking: dict[tuple[str, str], TaskRun] = field(default_factory=dict)
    """Ready task runs whose look-up has not been answered, by run and path."""

    def lead(self, key: str, task: TaskRun) -> bool:
        """Whether the task run computes the key; otherwise it waits for the one that does."""
        leader = self.leader_by_key.setdefault(key, task)
        if leader is not task:
            self.waiting_by_key.setdefault(key, []).append(task)
        return leader is task

    def is_led(self, key: str) -> bool:
        return key in self.leader_by_key

    def leave(self, task: TaskRun) -> list[TaskRun]:
        """The task run has ended or is dropped: the ones that waited for it."""
        self.asking.pop((task.scope.run.run_id, task.path), None)
        if task.key is None or self.leader_by_key.get(task.key) is not task:
            return []
        del self.leader_by_key[task.key]
        waiting = self.waiting_by_key.pop(task.key, [])
        return [other for other in waiting if other.state not in TERMINAL_TASK_STATES]

    def forget(self, run_id: str) -> list[TaskRun]:
        """Drop a run; the task runs of other runs that waited for it."""
        for identity in [identity for identity in self.asking if identity[0] == run_id]:
            del self.asking[identity]
        for key, waiting in self.waiting_by_key.items():
            self.waiting_by_key[key] = [task for task in waiting if task.scope.run.run_id != run_id]
        led = [task for task in self.leader_by_key.values() if task.scope.run.run_id == run_id]
        return [other for task in led for other in self.leave(task)]
