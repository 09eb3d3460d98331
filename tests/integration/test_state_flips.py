"""A bit of the database's file that has flipped is never a silently wrong answer: what is read is what was written, or the
damage is named. A result that the cache no longer finds is computed again, which is right as well."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.base.errors import StoreUnavailable
from penstock.base.instants import Instant
from penstock.effects import Nondeterminism, StateStore
from penstock.engine.rows import ArtifactUse
from penstock.engine.states import RunState
from penstock.stores.sql import open_state
from penstock.testing.conformance.state_rows import (
    GRAPH,
    NOW,
    begun,
    changed,
    commit,
    full_attempt,
    full_entry,
    full_task_run,
    run_row,
    table,
)
from penstock.wire import Exhibit, Inline, Observation, Progress

RUNS = ("run1", "run2", "run3")
KEYS = tuple(f"{number:064x}" for number in range(60))
FLIPS = 200


def filled(store: StateStore, run_id: str) -> None:
    """A run of twenty task runs that has ended, with something in every table that answers are made of."""
    lease = begun(store, run_id)
    paths = [f"split/{number}/fit" for number in range(20)]
    keys = KEYS[20 * RUNS.index(run_id) :]
    rows = [replace(full_task_run(path), run_id=run_id, key=key) for path, key in zip(paths, keys, strict=False)]
    attempts = [replace(full_attempt(path), run_id=run_id) for path in paths]
    for row, attempt, key in zip(rows, attempts, keys, strict=False):
        entry = replace(full_entry(key), run_id=run_id, path=row.path)
        use = ArtifactUse(table("b").digest, run_id, row.path, "rows")
        commit(store, lease, changed(row, "running"), changed(attempt, "started"), entries=(entry,), uses=(use,))
        name = f"{run_id}/{row.path}#2"
        store.observe([Observation(name, "loss", 0.5, 3, NOW), Progress(name, 3, 7, "rows", NOW)])
        store.observe([Exhibit(name, "table", "rows", table("c"), NOW)])
    ended = replace(run_row(run_id), state=RunState.SUCCEEDED, outputs={"loss": Inline(0.25)}, ended_at=NOW)
    commit(store, lease, changed(ended, "running"))


def answers(store: StateStore) -> Mapping[str, Any]:
    """All that a store is asked for by the verbs that read, and by the cache."""
    found: dict[str, Any] = {
        "runs": list(store.runs()),
        "graph": store.graph("a" * 64),
        "cache": dict(store.look_up(KEYS, now=Instant(NOW + 1))),
        "marks": dict(store.nondeterministic()),
        "producers": list(store.producers(table("b").digest)),
        "consumers": list(store.consumers(table("b").digest)),
    }
    for run_id in RUNS:
        found[f"load {run_id}"] = store.load(run_id)
        found[f"outline {run_id}"] = store.outline(run_id)
        for name in ("run", "journal", "metrics", "exhibits", "progress"):
            found[f"{name} {run_id}"] = getattr(store, name)(run_id)
    return found


def whole(path: Path) -> tuple[bytes, Mapping[str, Any]]:
    """The bytes of a database, and what it answers."""
    store = open_state(path)
    for run_id in RUNS:
        filled(store, run_id)
    store.mark_nondeterministic(Nondeterminism("flights:fit", NOW, {"run": "run1"}))
    expected = answers(store)
    store.close()
    assert expected["graph"] == GRAPH and len(expected["cache"]) == len(KEYS)
    return path.read_bytes(), expected


def outcome(data: bytes, path: Path, seed: int, expected: Mapping[str, Any]) -> str:
    """Flip one bit and ask for everything: `right`, `named`, or which answer is wrong."""
    position = random.Random(seed).randrange(len(data) * 8)
    flipped = bytearray(data)
    flipped[position // 8] ^= 1 << position % 8
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    path.write_bytes(flipped)
    try:
        with closing(open_state(path)) as store:
            found = answers(store)
    except StoreUnavailable as error:
        return "named" if str(path) in error.message and error.fix else f"said badly: {error}"
    cache = expected["cache"]
    wrong = [name for name, answer in found.items() if name != "cache" and answer != expected[name]]
    wrong += [f"cache {key}" for key, entry in found["cache"].items() if entry != cache[key]]
    return ", ".join(wrong) or "right"


def test_no_flipped_bit_is_a_silently_wrong_answer(tmp_path: Path) -> None:
    data, expected = whole(tmp_path / "whole.db")
    seen = [outcome(data, tmp_path / "state.db", seed, expected) for seed in range(FLIPS)]
    wrong = {seed: what for seed, what in enumerate(seen) if what not in ("right", "named")}
    assert wrong == {}
    assert seen.count("named") > FLIPS // 10, "the flips hit what is read"
