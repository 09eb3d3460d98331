"""Giving space back: runs beyond those that are kept, cache entries that no kept run needs, content that nothing names.

What is kept are roots, and what they name stays: the newest runs of every pipeline (setting `runs_kept`), the last one
that succeeded, those that have not ended or that one of these retries, those whose pipeline has the label `keep`; the
entries that these wrote or used; and the checkpoint folders of their task runs that have not succeeded. Rows go first,
each in a transaction, content last: an interruption leaves content that nothing names, which the next call removes."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.caching import code_blob
from penstock.app.copies import database_to_read
from penstock.app.leftovers import leftovers, remove
from penstock.app.places import (
    DATABASE,
    ENVIRONMENTS,
    open_artifacts,
    open_existing_store,
    open_existing_store_to_read,
    open_store,
    project_settings,
)
from penstock.base.instants import Instant
from penstock.code.model import ISOLATED, SHARED
from penstock.controller import SystemClock
from penstock.engine.states import TERMINAL_RUN_STATES, RunState, TaskState
from penstock.launcher.inner.checkpoints import CHECKPOINTS, reclaim
from penstock.launcher.outer.set_aside import DAYS_MAX, KEPT
from penstock.launcher.outer.set_aside import reclaim as reclaim_kept
from penstock.settings import Settings
from penstock.values.store import UNUSED_MS

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.engine.rows import RunRow

RUNS_MAX = 1_000_000
KEYS_AT_ONCE = 500
KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What went, or would go: ids of runs, how many cache entries, how many pieces of content and old files (logs,
    modules of notebooks), and the bytes of all of it, checkpoints included. `recent_count` pieces of content are left
    for now, since they were used lately; `in_use_count` are needed."""

    is_dry: bool
    runs: tuple[str, ...]
    runs_kept_count: int
    entries_count: int
    content_count: int = 0
    freed_bytes: int = 0
    recent_count: int = 0
    in_use_count: int = 0
    files_count: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.is_dry,
            "runs": list(self.runs),
            "runs_kept": self.runs_kept_count,
            "entries": self.entries_count,
            "content": self.content_count,
            "files": self.files_count,
            "freed_bytes": self.freed_bytes,
            "recent": self.recent_count,
            "in_use": self.in_use_count,
        }


def collect_garbage(*, dry_run: bool) -> Reclaimed:
    """Raises InvalidInput where no run has been made yet."""
    settings = project_settings(Path.cwd())
    with _rows(settings, dry_run=dry_run) as store:
        now = SystemClock().now()
        runs = store.runs(limit=RUNS_MAX)
        kept = kept_runs(runs, settings.runs_kept)
        gone = _delete_runs(store, [run for run in runs if run.run_id not in kept], now)
        left = [run for run in runs if run.run_id not in gone]
        entries_count = _delete_entries(store, left, now)
        # What is in use is asked for last: whatever a run names by then stays.
        checkpoint_bytes = _delete_checkpoints(store, settings, dry_run=dry_run)
        unused_ms = _unused_ms(store, now)
        in_use = set(store.digests_in_use())
        told = Reclaimed(dry_run, tuple(sorted(gone)), len(left), entries_count)
        told = _delete_content(settings, in_use, unused_ms=unused_ms, told=told)
        files = leftovers(
            settings.state,
            logs=store.log_files(),
            targets={str(run.provenance.get("target")) for run in left},
            before_s=(now - unused_ms) / 1_000,
        )
        files_count, files_bytes = remove(files, dry_run=dry_run)
        days_ms = DAYS_MAX * 24 * 3_600 * 1_000
        aside_count, aside_bytes = reclaim_kept(
            settings.state / KEPT, before_s=(now - days_ms) / 1_000, dry_run=dry_run
        )
        environment_bytes = _delete_environments(settings, left, dry_run=dry_run)
        freed_bytes = told.freed_bytes + checkpoint_bytes + files_bytes + aside_bytes + environment_bytes
        return replace(told, files_count=files_count + aside_count, freed_bytes=freed_bytes)


@contextmanager
def _rows(settings: Settings, *, dry_run: bool) -> Iterator[StateStore]:
    """The project's state store; for a dry run a copy of it, in which everything can be done in earnest."""
    if not dry_run:
        with closing(open_existing_store(settings)) as store:
            yield store
        return
    open_existing_store_to_read(settings).close()  # raises what there is to raise
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        source = sqlite3.connect(f"file:{database_to_read(settings.state / DATABASE)}?mode=ro", uri=True)
        target = sqlite3.connect(Path(folder) / DATABASE)
        with closing(source), closing(target):
            source.backup(target)
        with closing(open_store(replace(settings, state=Path(folder)))) as store:
            yield store


def kept_runs(runs: Sequence[RunRow], runs_kept: int) -> set[str]:
    """The ids of the runs that stay; `runs` are the newest first."""
    kept: set[str] = set()
    counts: dict[str, int] = {}
    succeeded: set[str] = set()
    for run in runs:
        counts[run.pipeline] = counts.get(run.pipeline, 0) + 1
        is_last_good = run.state is RunState.SUCCEEDED and run.pipeline not in succeeded
        if run.state is RunState.SUCCEEDED:
            succeeded.add(run.pipeline)
        is_open = run.state not in TERMINAL_RUN_STATES
        if counts[run.pipeline] <= runs_kept or is_last_good or is_open or KEEP in run.labels:
            kept.add(run.run_id)
        if is_open and run.retry_of:
            kept.add(run.retry_of)  # it adopts from there
    return kept


def _delete_runs(store: StateStore, runs: Sequence[RunRow], now: Instant) -> set[str]:
    return set(store.delete_runs([run.run_id for run in runs], now=now))


def _delete_entries(store: StateStore, left: Sequence[RunRow], now: Instant) -> int:
    """Entries older than every run that stays, and under a key that none of these has."""
    oldest = min((run.created_at for run in left), default=now)
    unwritten = store.keys_unwritten_since(Instant(oldest))
    if not unwritten:
        return 0
    used = {row.key for run in left for row in store.task_runs(run.run_id) if row.key is not None}
    unneeded = [key for key in unwritten if key not in used]
    firsts = range(0, len(unneeded), KEYS_AT_ONCE)
    return sum(store.delete_entries(unneeded[first : first + KEYS_AT_ONCE]) for first in firsts)


def _delete_environments(settings: Settings, left: Sequence[RunRow], *, dry_run: bool) -> int:
    """Environments of components' own that no run that stays has used. What they held is still known, so that one can be
    built again from the same versions."""
    from penstock.launcher.outer.environments import reclaim as reclaim_environments

    root = settings.state / ENVIRONMENTS
    if not root.is_dir():
        return 0
    artifacts = open_artifacts(settings)
    used = {
        code["parts"].get(ISOLATED, "")
        for digest in {run.code for run in left if run.code}
        for component, code in code_blob(artifacts, digest).items()
        if component != SHARED
    }
    return reclaim_environments(root, used, dry_run=dry_run)


def _delete_checkpoints(store: StateStore, settings: Settings, *, dry_run: bool) -> int:
    """Checkpoint folders that no task run of a kept run would go on from. How many bytes they have."""
    root = settings.state / CHECKPOINTS
    if not root.is_dir():
        return 0
    living: set[str] = set()
    for run in store.runs(limit=RUNS_MAX):
        for row in store.task_runs(run.run_id):
            if row.state is not TaskState.SUCCEEDED:
                living.add(f"{run.run_id}/{row.path}")
                living.add(row.key or "")
    return reclaim(root, living, dry_run=dry_run)


def _unused_ms(store: StateStore, now: Instant) -> int:
    """How long content must have been left alone: since before the oldest run that has not ended. What its attempts have
    stored is named by nothing until they are committed."""
    states = (RunState.PENDING, RunState.RUNNING)
    began = [run.created_at for state in states for run in store.runs(limit=RUNS_MAX, state=state.value)]
    return max(UNUSED_MS, *(now - at + UNUSED_MS for at in began)) if began else UNUSED_MS


def _delete_content(settings: Settings, in_use: set[str], *, unused_ms: int, told: Reclaimed) -> Reclaimed:
    artifacts = open_artifacts(settings)
    there = list(artifacts.digests())
    unneeded = [digest for digest in there if digest not in in_use]
    if told.is_dry:
        freed = artifacts.freeable_bytes(unneeded, unused_ms=unused_ms)
        count = sum(artifacts.freeable_bytes([digest], unused_ms=unused_ms) > 0 for digest in unneeded)
    else:
        each = [artifacts.delete(digest, unused_ms=unused_ms) for digest in unneeded]
        count, freed = sum(one > 0 for one in each), sum(each)
    return replace(
        told,
        content_count=count,
        freed_bytes=freed,
        recent_count=len(unneeded) - count,
        in_use_count=len(there) - len(unneeded),
    )
