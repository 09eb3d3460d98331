"""Why a task run came to what it is: for one that ran, what differs from the nearest earlier result of its component;
for a hit, where it comes from; for one that failed or was skipped, the chain of causes. Everything told is stored: it was
written when it was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.caching import code_of, codes_of
from penstock.app.differing import Stored, data_differences
from penstock.app.explaining import Changed, Parts, differences, nearest, parts_of_entry
from penstock.app.failures import path_order
from penstock.app.places import open_artifacts, open_existing_store_to_read, project_settings, scratch_to_read
from penstock.app.playing import inputs_of_task, plan_of
from penstock.app.post_mortem import post_mortem_lines, post_mortem_of
from penstock.app.reading import find_run, require_task
from penstock.app.results import shown
from penstock.app.unkept import reasons_of
from penstock.app.verdicts import node_at
from penstock.base.errors import ArtifactCorrupt, ArtifactMissing
from penstock.base.instants import Instant
from penstock.code.model import ComponentCode
from penstock.engine.caching import identity_of
from penstock.engine.rows import CacheEntry, RunRow, TaskRunRow
from penstock.engine.states import Origin, TaskState
from penstock.graph.bindings import Output, StateOf, leaves
from penstock.wire import Artifact, Counted

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.plan.model import Plan
    from penstock.wire import Datum

# So many entries are looked through for the nearest one.
ENTRIES_MAX = 2_000
# In so many runs the entry of the same task run is looked for as well.
RUNS_MAX = 10
CHAIN_MAX = 50


@dataclass(frozen=True, slots=True)
class Link:
    """One task run in a chain of causes."""

    path: str
    state: str
    cause: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "state": self.state, "cause": self.cause or None, "text": self.text or None}


@dataclass(frozen=True, slots=True)
class Why:
    """Why a task run is what it is. `kind`: ran, hit, adopted, failed, skipped, cancelled or open (it has not ended).
    `source` is `RUN/path` of what was compared with or taken, made at `source_at`; `first`: there was nothing to compare
    with. `uncached` says why its result is not kept."""

    run_id: str
    path: str
    component: str
    kind: str
    source: str = ""
    source_at: int | None = None
    saved_ms: float | None = None
    first: bool = False
    changed: tuple[Changed, ...] = ()
    notes: tuple[str, ...] = ()
    chain: tuple[Link, ...] = ()
    uncached: str = ""
    nondeterministic: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "path": self.path,
            "component": self.component,
            "kind": self.kind,
            "source": self.source or None,
            "source_at": self.source_at,
            "saved_ms": self.saved_ms,
            "first": self.first,
            "changed": [change.to_json() for change in self.changed],
            "notes": list(self.notes),
            "chain": [link.to_json() for link in self.chain],
            "uncached": self.uncached or None,
            "nondeterministic": dict(self.nondeterministic) or None,
        }


def why(text: str, task: str) -> Why:
    """Raises InvalidInput for a run or task run that there is not, with the nearest names."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        run = find_run(store, text)
        row = require_task(store, run, task)
        stored = Stored(open_artifacts(settings), scratch_to_read(settings))
        return Reasons(store, stored, run).of(row)


def _row(store: StateStore, run: RunRow, path: str) -> TaskRunRow | None:
    return next(iter(store.task_runs(run.run_id, path)), None)


class Reasons:
    """Looks up why task runs of one run are what they are."""

    def __init__(self, store: StateStore, stored: Stored, run: RunRow) -> None:
        self._store = store
        self._stored = stored
        self._artifacts = stored.artifacts
        self._run = run
        self._codes: dict[tuple[str, str], ComponentCode | None] = {}
        self._inputs: dict[tuple[str, str], Mapping[str, Datum]] = {}
        self._plan: Plan = plan_of(store, run)

    def of(self, row: TaskRunRow) -> Why:
        base = Why(self._run.run_id, row.path, row.component, row.state.value)
        match row.state:
            case TaskState.SUCCEEDED if row.origin is Origin.CACHED:
                return self._hit(base, row)
            case TaskState.SUCCEEDED if ":" in row.component:
                return self._ran(base, row)
            case TaskState.SUCCEEDED:
                inside = self._inside(row)
                return replace(base, kind="ran", notes=(inside,) if inside else ())
            case TaskState.FAILED | TaskState.SKIPPED | TaskState.CANCELLED:
                return replace(base, chain=self._chain(row))
            case _:
                return replace(base, kind="open", chain=(_link(row),))

    # -- hits

    def _hit(self, base: Why, row: TaskRunRow) -> Why:
        run_id, _, path = row.cause.by.partition("/")
        kind = "adopted" if row.cause.code == "adopted" else "hit"
        made = self._store.run(run_id)
        source = _row(self._store, made, path) if made is not None else None
        attempts = self._store.attempts(run_id, path) if made is not None else ()
        saved = attempts[-1].duration_us / 1_000 if attempts else None
        at = source.ended_at if source is not None else None
        notes = () if made is not None else (f"run {run_id} is no longer kept",)
        return replace(
            base,
            kind=kind,
            source=row.cause.by,
            source_at=at,
            saved_ms=saved,
            notes=notes,
            nondeterministic=self._mark(row.component),
        )

    def _mark(self, component: str) -> Mapping[str, Any]:
        """Where it gave two results for one key, and what differs between them as far as they are still stored."""
        mark = self._store.nondeterministic().get(component)
        if mark is None:
            return {}
        told: dict[str, Any] = {"at": mark.at, **mark.detail}
        sides = [self._outputs_of(str(name)) for name in mark.detail.get("between", ())]
        if len(sides) == 2 and all(sides):
            try:
                told["differ"] = data_differences(sides[0], sides[1], self._stored)
            except (ArtifactMissing, ArtifactCorrupt):
                told["differ"] = {}
        return told

    def _outputs_of(self, name: str) -> Mapping[str, Datum]:
        run_id, _, path = name.partition("/")
        run = self._store.run(run_id)
        row = _row(self._store, run, path) if run is not None else None
        return row.outputs if row is not None else {}

    # -- what ran

    def _ran(self, base: Why, row: TaskRunRow) -> Why:
        node = node_at(self._plan.root, row.path)
        parts = self._parts(row) if node is None or node.cache else None
        base = replace(base, kind="ran", uncached=self._uncached(row), nondeterministic=self._mark(row.component))
        if parts is None:
            return base
        entry = nearest(self._earlier(row), parts, path=row.path)
        if entry is None:
            return replace(base, first=True)
        changed = differences(parts_of_entry(entry, self._code_of_run(entry.run_id, row.component)), parts)
        return replace(
            base,
            source=f"{entry.run_id}/{entry.path}",
            source_at=entry.created_at,
            changed=tuple(self._with_values(change, row, entry) for change in changed),
            notes=self._notes(changed, row, entry),
        )

    def _earlier(self, row: TaskRunRow) -> Sequence[CacheEntry]:
        """Entries of its component from other runs, from before it was ready. A large map may have written all the newest
        ones itself: then those from before its run."""
        found: Sequence[CacheEntry] = ()
        for until in (Instant(row.ready_at or row.changed_at), self._run.created_at):
            newest = self._store.entries_of(row.component, limit=ENTRIES_MAX, until=until)
            found = [entry for entry in newest if entry.run_id != row.run_id]
            if found or len(newest) < ENTRIES_MAX:
                break
        runs = dict.fromkeys(entry.run_id for entry in found)
        same_path = [self._store.entry_of(run_id, row.path) for run_id in list(runs)[:RUNS_MAX]]
        return [*found, *(entry for entry in same_path if entry is not None)]

    def _parts(self, row: TaskRunRow) -> Parts | None:
        """What the key of a task run was made of: from the entry that it wrote, or worked out again."""
        code = self._code_of_run(row.run_id, row.component)
        entry = self._store.entry_of(row.run_id, row.path)
        if entry is not None:
            return parts_of_entry(entry, code)
        if code is None:
            return None
        inputs = self._inputs_of(row.run_id, row.path)
        identities = {name: identity_of(datum) for name, datum in inputs.items()}
        return Parts(row.component, code.digest, code.environment, identities, code=code)

    def _uncached(self, row: TaskRunRow) -> str:
        """Why its result is not in the cache; empty where it is, or where that is not known."""
        if self._store.entry_of(row.run_id, row.path) is not None:
            return ""
        node = node_at(self._plan.root, row.path)
        if node is not None and not node.cache:
            return "it is never cached (cache=False)"
        key = codes_of(self._artifacts, self._run.code).get(row.component)
        if key is not None and key.unresolved:
            return f"its code cannot be followed: {key.unresolved[0]}"
        if key is None:
            return "its code is not known"
        attempts = self._store.attempts(row.run_id, row.path)
        return "; ".join(reasons_of(attempts[-1].outside if attempts else ())) or "its entry was removed"

    def _notes(self, changed: Sequence[Changed], row: TaskRunRow, entry: CacheEntry) -> tuple[str, ...]:
        """Why it ran where the parts do not say it."""
        if self._run.cache != "use":
            return ("the run was told to use nothing of the cache (--no-cache)",)
        if changed:
            return ()
        if entry.expires_at is not None and entry.expires_at <= (row.ready_at or row.changed_at):
            return ("the earlier result had expired",)
        return ("the earlier result was no longer valid: a file that it read had changed, or its content was gone",)

    # -- inputs

    def _inputs_of(self, run_id: str, path: str) -> Mapping[str, Datum]:
        """The inputs of a task run; nothing of one that is gone."""
        if (run_id, path) not in self._inputs:
            run = self._store.run(run_id)
            found = inputs_of_task(self._store, run, plan_of(self._store, run), path) if run else {}
            self._inputs[run_id, path] = found
        return self._inputs[run_id, path]

    def _with_values(self, change: Changed, row: TaskRunRow, entry: CacheEntry) -> Changed:
        """An input that differs, with what it was and is, and the task that made it."""
        if change.kind != "input":
            return change
        before = self._inputs_of(entry.run_id, entry.path).get(change.name)
        after = self._inputs_of(row.run_id, row.path).get(change.name)
        return replace(
            change,
            before=_summary(before) if before is not None else change.before[:12],
            after=_summary(after) if after is not None else change.after[:12],
            by=self._maker_of(row.path, change.name),
        )

    def _maker_of(self, path: str, name: str) -> str:
        """The task run that an input comes from; empty for a parameter of the pipeline."""
        node = node_at(self._plan.root, path)
        bound = next((bound for bound in node.inputs if bound.name == name), None) if node is not None else None
        if bound is None or bound.value is None:
            return ""
        prefix = path.rpartition("/")[0]
        for leaf in leaves(bound.value):
            if isinstance(leaf, (Output, StateOf)) and leaf.node:
                return f"{prefix}/{leaf.node}" if prefix else leaf.node
        return ""

    # -- code

    def _code_of_run(self, run_id: str, component: str) -> ComponentCode | None:
        run = self._run if run_id == self._run.run_id else self._store.run(run_id)
        if run is None:
            return None
        if (run.code, component) not in self._codes:
            self._codes[run.code, component] = code_of(self._artifacts, run.code, component)
        return self._codes[run.code, component]

    # -- causes

    def _chain(self, row: TaskRunRow) -> tuple[Link, ...]:
        """A task run, what made it skip or fail, what made that, and so on to the first cause."""
        chain: list[Link] = []
        at: TaskRunRow | None = row
        while at is not None and len(chain) < CHAIN_MAX and all(link.path != at.path for link in chain):
            chain.append(self._told(at))
            at = _row(self._store, self._run, at.cause.by) if at.cause.by else self._failed_inside(at)
        return tuple(chain)

    def _told(self, row: TaskRunRow) -> Link:
        """A link with the story of the last attempt, where there is one."""
        attempts = self._store.attempts(self._run.run_id, row.path)
        failure = (attempts[-1].failure or {}) if attempts and row.state is TaskState.FAILED else {}
        name = str(failure.get("type", "")).rpartition(":")[2]
        story = ": ".join(part for part in (name, str(failure.get("message") or failure.get("why") or "")) if part)
        text = row.cause.text or story
        starved = post_mortem_of(attempts[-1].outcome, failure) if attempts else None
        if starved is not None:
            text = "\n".join([text, *post_mortem_lines(starved)])
        return Link(row.path, row.state.value, row.cause.code, text)

    def _failed_inside(self, row: TaskRunRow) -> TaskRunRow | None:
        """The first failed task run in a node that failed for what it holds."""
        if row.cause.code != "body_failed":
            return None
        failed = [each for each in self._held(row) if each.state is TaskState.FAILED]
        return min(failed, key=lambda each: path_order(each.path), default=None)

    def _inside(self, row: TaskRunRow) -> str:
        """What became of the functions in a node that holds a graph."""
        held = [each for each in self._held(row) if ":" in each.component]
        cached = sum(each.origin is Origin.CACHED for each in held)
        return f"of {len(held)} task runs in it, {cached} were cached" if held else ""

    def _held(self, row: TaskRunRow) -> Sequence[TaskRunRow]:
        """What ran inside of a node that holds a graph, by path."""
        return self._store.task_runs(self._run.run_id, row.path, below=True)[1:]


def _link(row: TaskRunRow) -> Link:
    return Link(row.path, row.state.value, row.cause.code, row.cause.text)


def _summary(datum: Datum) -> str:
    """A value in a few words."""
    import json

    if isinstance(datum, Artifact):
        return f"{datum.type} {datum.digest[:19]}"
    if isinstance(datum, Counted):  # more items than that do not fit
        datum = Counted(datum.items[:60])
    text = json.dumps(shown(datum), ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
