"""Marks components that gave two results for one key (semantics 32): told of what a controller has committed, it compares
what was computed with the result that the cache had. Where the same code read the same files, the component is
nondeterministic. Where other sources had changed in between, which its key does not count, the earlier result may have been
stale: the next result with the same code says which of the two it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing
from penstock.code.pins import changed_between
from penstock.effects import Nondeterminism
from penstock.engine.rows import CacheEntry, TaskRunRow
from penstock.engine.states import Origin, TaskState

if TYPE_CHECKING:
    from penstock.base.instants import Instant
    from penstock.effects import StateStore
    from penstock.engine.events import Transition
    from penstock.values.store import ArtifactStore

UNCLEAR, STALE = "unclear", "stale"
"""What a mark's detail says under "because" where the component is not known to be nondeterministic: the code had changed, or
it has proved since that the earlier result was stale."""


def because(detail: Mapping[str, Any]) -> str:
    """Empty: the component is nondeterministic."""
    return str(detail.get("because", ""))


def mark_differing(
    store: StateStore, artifacts: ArtifactStore, transitions: Sequence[Transition], now: Instant
) -> None:
    """Look at every function that was computed now. What an earlier attempt read in other files, or what has expired,
    may differ."""
    computed: dict[str, TaskRunRow] = {}
    for transition in transitions:
        row = transition.row
        if transition.after == TaskState.SUCCEEDED and isinstance(row, TaskRunRow) and row.key is not None:
            if row.origin is Origin.COMPUTED and transition.machine == "task":
                computed[row.key] = row
    again = store.entered_again(list(computed)) if computed else ()
    marks = store.nondeterministic() if again else {}
    for key, row in computed.items():
        known = marks.get(row.component)
        if key in again and (known is None or because(known.detail)):
            detail = _compare(store, artifacts, key, dict(known.detail) if known is not None else {})
            if detail:
                store.mark_nondeterministic(Nondeterminism(row.component, now, detail))


def _compare(store: StateStore, artifacts: ArtifactStore, key: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a mark says of a key's two newest results, if they call for one."""
    entries = store.entries(key, limit=2)
    if len(entries) < 2:
        return {}
    new, old = entries
    has_expired = old.expires_at is not None and old.expires_at <= new.created_at
    if new.reads != old.reads or has_expired:
        return {}
    changed = _changed(store, artifacts, old, new)
    if new.outputs != old.outputs:
        detail = {"key": key, "between": [f"{old.run_id}/{old.path}", f"{new.run_id}/{new.path}"]}
        return detail if changed == [] else detail | {"because": UNCLEAR, "changed": changed}
    settled = changed == [] and known.get("key") == key and because(known) == UNCLEAR
    return {**known, "because": STALE} if settled else {}


def _changed(store: StateStore, artifacts: ArtifactStore, old: CacheEntry, new: CacheEntry) -> list[str] | None:
    """The sources that changed between the runs of two entries; None: it is no longer known."""
    before, after = store.run(old.run_id), store.run(new.run_id)
    if before is None or after is None:
        return None
    try:
        return changed_between(before.pin, after.pin, artifacts)
    except (ArtifactMissing, ArtifactCorrupt):
        return None
