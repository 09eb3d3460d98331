"""Marks components that gave two results for one key (semantics 32): told of what a controller has committed, it compares
what was computed with the result that the cache had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.effects import Nondeterminism
from penstock.engine.rows import TaskRunRow
from penstock.engine.states import Origin, TaskState

if TYPE_CHECKING:
    from penstock.base.instants import Instant
    from penstock.effects import StateStore
    from penstock.engine.events import Transition


def mark_nondeterministic(store: StateStore, transitions: Sequence[Transition], now: Instant) -> None:
    """Look at every function that was computed now. What an earlier attempt read in other files, or what has expired,
    may differ."""
    computed: dict[str, TaskRunRow] = {}
    for transition in transitions:
        row = transition.row
        if transition.after == TaskState.SUCCEEDED and isinstance(row, TaskRunRow) and row.key is not None:
            if row.origin is Origin.COMPUTED and transition.machine == "task":
                computed[row.key] = row
    again = store.entered_again(list(computed)) if computed else ()
    for key, row in computed.items():
        if key in again:
            _compare(store, row, now)


def _compare(store: StateStore, row: TaskRunRow, now: Instant) -> None:
    assert row.key is not None
    entries = store.entries(row.key, limit=2)
    if len(entries) < 2:
        return
    new, old = entries
    has_expired = old.expires_at is not None and old.expires_at <= new.created_at
    if new.outputs == old.outputs or new.reads != old.reads or has_expired:
        return
    between = [f"{old.run_id}/{old.path}", f"{new.run_id}/{new.path}"]
    detail = {"key": row.key, "between": between}
    store.mark_nondeterministic(Nondeterminism(row.component, now, detail))
