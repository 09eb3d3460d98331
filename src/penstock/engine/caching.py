"""The cache as the engine sees it: keys, entries, and who computes what now (semantics 30 to 33)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.base.digests import digest_of
from penstock.base.instants import Instant
from penstock.engine.memory import TaskRun
from penstock.engine.packing import Room
from penstock.engine.states import TERMINAL_TASK_STATES
from penstock.wire import Counted, Datum, Inline, Struct, parameter_to_json

KEY_EPOCH = 1
"""Changes whenever what a key is made of changes: no entry of another epoch is ever found."""

CLAIMED_WAIT_MS = 200
"""How long to wait before asking again for a key that another controller computes."""

LISTS_REMEMBERED = 32
LIST_LONG = 32


def identity_of(datum: Datum) -> str:
    """The digest by which an input counts in a key: content, type, form, and the code that the content names."""
    return digest_of(_parts_of(datum))


def _parts_of(datum: Datum) -> list[Any]:
    """What an identity is made of, as JSON. The words keep kinds apart."""
    if isinstance(datum, Inline):
        return ["inline", parameter_to_json(datum.value)]
    if isinstance(datum, Counted):
        return ["list", [_parts_of(item) for item in datum.items]]
    if isinstance(datum, Struct):
        return ["struct", [[name, _parts_of(field)] for name, field in datum.fields.items()]]
    # A file is handed out under its name, which the task can read; other content has no name that a task sees.
    name = datum.metadata.get("name") if datum.form in ("file", "tree") else None
    return ["artifact", datum.digest, datum.type, datum.form, datum.code, name]


class Identities:
    """Identities of inputs. Remembers those of long lists used lately, by object: every item of a map may be given the
    same one."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: dict[int, tuple[Counted, str]] = {}

    def of(self, inputs: Mapping[str, Datum]) -> dict[str, str]:
        return {name: self._identity(datum) for name, datum in inputs.items()}

    def _identity(self, datum: Datum) -> str:
        if not isinstance(datum, Counted) or len(datum.items) < LIST_LONG:
            return identity_of(datum)
        known = self._lists.get(id(datum))
        if known is None:
            if len(self._lists) >= LISTS_REMEMBERED:
                del self._lists[next(iter(self._lists))]
            known = self._lists[id(datum)] = (datum, identity_of(datum))
        return known[1]


def key_of(base: str, identities: Mapping[str, str]) -> str:
    """The cache key of a task run: its component's part from the plan, and the identities of its inputs by name."""
    return digest_of([KEY_EPOCH, base, identities])


def reads_cache(task: TaskRun) -> bool:
    return task.node.cache and task.scope.run.fixed.cache == "use"


@dataclass(frozen=True, slots=True)
class Missed:
    """A look-up found nothing, at this instant; `newest` as a `Claim` says it."""

    at: Instant
    newest: str


@dataclass(slots=True)
class Flights:
    """Who computes which key now, and who waits for it: a key is computed once at a time (single flight). A ready task
    run with a key is in one of `asking`, `elsewhere`, `waiting_by_key`, or stands in line for a room."""

    leader_by_key: dict[str, TaskRun] = field(default_factory=dict)
    waiting_by_key: dict[str, deque[TaskRun]] = field(default_factory=dict)
    asking: dict[tuple[str, str], TaskRun] = field(default_factory=dict)
    """Those whose look-up has not been answered, by run and path."""
    elsewhere: dict[tuple[str, str], TaskRun] = field(default_factory=dict)
    """Those whose key another controller computes, until they are looked up again."""
    missed: dict[tuple[str, str], Missed] = field(default_factory=dict)
    """What is ready and was found nowhere. Whether that is so still, is asked when it is about to start."""
    kept: dict[tuple[str, str], tuple[Room, str]] = field(default_factory=dict)
    """Where those may start that are asked about because they are about to, and as which attempt."""
    identities: Identities = field(default_factory=Identities)

    def lead(self, key: str, task: TaskRun) -> bool:
        """Whether the task run computes the key; otherwise it waits for the one that does."""
        leader = self.leader_by_key.setdefault(key, task)
        if leader is not task:
            self.waiting_by_key.setdefault(key, deque()).append(task)
        return leader is task

    def leads(self, task: TaskRun) -> bool:
        return task.key is not None and self.leader_by_key.get(task.key) is task

    def forget_questions(self, task: TaskRun) -> None:
        identity = (task.scope.run.run_id, task.path)
        for known in (self.asking, self.elsewhere, self.missed):
            known.pop(identity, None)
        room, attempt = self.kept.pop(identity, (None, ""))
        if room is not None:
            room.remove(attempt)

    def share(self, key: str) -> list[TaskRun]:
        """The key has been computed: nobody leads any more. Those that waited for it."""
        del self.leader_by_key[key]
        waiting = self.waiting_by_key.pop(key, ())
        return [task for task in waiting if task.state not in TERMINAL_TASK_STATES]

    def pass_on(self, key: str) -> TaskRun | None:
        """The leader gives up: the one that leads from now on, if anybody waits."""
        waiting = self.waiting_by_key.get(key)
        while waiting:
            task = waiting.popleft()
            if task.state not in TERMINAL_TASK_STATES:
                self.leader_by_key[key] = task
                return task
        self.waiting_by_key.pop(key, None)
        del self.leader_by_key[key]
        return None

    def forget(self, run_id: str) -> list[TaskRun]:
        """Drop a run; the task runs of other runs that lead from now on where it led."""
        for questions in (self.asking, self.elsewhere, self.missed, self.kept):
            for identity in [identity for identity in questions if identity[0] == run_id]:
                del questions[identity]
        for key, waiting in self.waiting_by_key.items():
            self.waiting_by_key[key] = deque(task for task in waiting if task.scope.run.run_id != run_id)
        led = [key for key, task in self.leader_by_key.items() if task.scope.run.run_id == run_id]
        return [task for key in led if (task := self.pass_on(key)) is not None]

    def idle(self) -> Iterator[TaskRun]:
        """Every task run that is ready and does not stand in line for a room."""
        yield from self.asking.values()
        yield from self.elsewhere.values()
        for waiting in self.waiting_by_key.values():
            yield from (task for task in waiting if task.state not in TERMINAL_TASK_STATES)
