"""Whether a task run would be a hit, would run, or may run, and why: what a rehearsal asks when an attempt starts, and
what its rows mean once it has ended. Reads the project's store; decides nothing that the engine decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from penstock.app.caching import code_of
from penstock.app.explaining import (
    Changed,
    Parts,
    in_short,
    input_differences,
    nearest,
    parts_of_entry,
    read_as_told,
    static_differences,
)
from penstock.app.rehearsing import Rehearsed, is_unknown, unknown_outputs
from penstock.base.ids import split_attempt_id
from penstock.code.model import ComponentCode
from penstock.engine.caching import Identities, key_of
from penstock.engine.states import Origin, TaskState
from penstock.graph.flow import flow_key
from penstock.graph.model import Branch, Finally, Loop, Map
from penstock.values.reads import changed_reads
from penstock.wire import Artifact, AttemptEnded, AttemptRequest, Counted, Inline, Outcome, Succeeded

if TYPE_CHECKING:
    from penstock.base.instants import Instant
    from penstock.effects import StateStore
    from penstock.engine.rows import CacheEntry, RunRow, TaskRunRow
    from penstock.executors.local.executor import LocalExecutor
    from penstock.plan.model import CodeKey, Plan, PlanGraph, PlanNode
    from penstock.values.store import ArtifactStore
    from penstock.wire import Datum

# So many entries of a component are looked through for the nearest one, and for one that holds what is known.
NEAREST_OF = 50
ENTRIES_MAX = 20_000
SOURCES = "penstock.values.sources"
UNCLEAR = {
    "condition_error": "its condition is not known yet",
    "expression_error": "what it is given is not known yet",
    "items_invalid": "its items are not known yet",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verdict` is hit, run, maybe, skip or fail; of a node with a graph, what is true of anything in it. `source` is
    `RUN/path` of what a hit comes from. `predicted_ms` and `memory_bytes` are those of earlier attempts, None where there
    are none."""

    path: str
    component: str
    verdict: str
    why: str = ""
    source: str = ""
    predicted_ms: float | None = None
    memory_bytes: int | None = None

    @property
    def is_function(self) -> bool:
        return ":" in self.component

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "component": self.component,
            "verdict": self.verdict,
            "why": self.why or None,
            "source": self.source or None,
            "predicted_ms": self.predicted_ms,
            "memory_bytes": self.memory_bytes,
        }


def node_at(root: PlanGraph, path: str) -> PlanNode | None:
    """The node behind a task run's path; None where the graph has none there."""
    part, node = root, None
    segments = iter(path.split("/"))
    for segment in segments:
        index = part.index_by_name.get(re.sub(r"~\d+$", "", segment))
        if index is None:
            return None
        node = part.nodes[index]
        if isinstance(node.node, (Map, Loop, Branch)):
            key = next(segments, None)
            if key is None:
                return node
            part = node.bodies[int(key) if isinstance(node.node, Branch) else 0]
        elif node.bodies:
            part = node.bodies[0]
    return node


@dataclass(slots=True)
class Foresight:
    """Answers the attempts of a rehearsal, and remembers what it thinks of each. `described_in` holds the blob `code`
    of what is on the disk now; `artifacts` those of earlier runs."""

    plan: Plan
    now: Instant
    store: StateStore | None
    artifacts: ArtifactStore
    codes: Mapping[str, CodeKey]
    code: str
    described_in: ArtifactStore
    executor: LocalExecutor
    digest_at: Callable[[str], str] | None = None
    """What a recorded read is now."""
    maybe_runs: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _entries: dict[str, list[CacheEntry]] = field(default_factory=dict)
    _known: dict[tuple[str, tuple[str, ...]], set[tuple[str, ...]]] = field(default_factory=dict)
    _static: dict[tuple[str, str, str], tuple[Changed, ...]] = field(default_factory=dict)
    _runs: dict[str, RunRow | None] = field(default_factory=dict)
    _codes: dict[tuple[str, str], ComponentCode | None] = field(default_factory=dict)
    _resolved: dict[str, AttemptEnded] = field(default_factory=dict)
    _identities: Identities = field(default_factory=Identities)

    def largest(self) -> Mapping[str, int]:
        return self.executor.largest

    def respond(self, request: AttemptRequest) -> tuple[Outcome, float]:
        _, path, _ = split_attempt_id(request.attempt_id)
        if self._is_probe(request):
            return self._resolve(path, request).outcome, 0.0
        known = self.verdicts.get(path)
        if known is None:
            known = self.verdicts[path] = self._judged(path, request)
        took_ms = 0.0 if known.verdict == "maybe" and not self.maybe_runs else known.predicted_ms or 0.0
        outputs = unknown_outputs(request)
        if self.maybe_runs:
            outputs = {name: self._as_long_as_before(datum, name, known.component) for name, datum in outputs.items()}
        return Succeeded(outputs), took_ms

    def _as_long_as_before(self, datum: Datum, name: str, component: str) -> Datum:
        """A list that nobody knows yet is taken to be as long as the component's last one: so long is the map over it."""
        newest = self.entries_of(component)[:1]
        before = newest[0].outputs.get(name) if newest else None
        listed = before.value if isinstance(before, Inline) else getattr(before, "items", None)
        if not isinstance(listed, (list, tuple)) or not isinstance(datum, Artifact):
            return datum
        return Counted(tuple(replace(datum, digest=f"{datum.digest}[{index}]") for index in range(len(listed))))

    # -- sources

    def _is_probe(self, request: AttemptRequest) -> bool:
        component = request.component
        looks = component.component.startswith((f"{SOURCES}:resolve_", f"{SOURCES}:probe_"))
        return looks and not any(is_unknown(datum) for datum in request.inputs.values())

    def _resolve(self, path: str, request: AttemptRequest) -> AttemptEnded:
        """Look at a declared source, as a run would."""
        if path not in self._resolved:
            self.executor.start([request])
            while path not in self._resolved:
                for report in self.executor.poll(200):
                    if isinstance(report, AttemptEnded):
                        self._resolved[split_attempt_id(report.attempt_id)[1]] = report
                        self.executor.acknowledge([report.attempt_id])
            self.verdicts[path] = Verdict(path, _component(request), "run", "sources are looked at in every run")
        return self._resolved[path]

    # -- one task run

    def _judged(self, path: str, request: AttemptRequest) -> Verdict:
        component = _component(request)
        node = node_at(self.plan.root, path)
        assert node is not None, path
        verdict, why = self._reason(path, request, node)
        return self.predicted(Verdict(path, component, verdict, why), node)

    def predicted(self, verdict: Verdict, node: PlanNode | None) -> Verdict:
        """A verdict on a function, with what its earlier attempts took, or else what it asks for."""
        if not verdict.is_function or verdict.predicted_ms is not None:
            return verdict
        history = self.plan.duration_us_by_component.get(verdict.component)
        known = self.plan.memory_by_component.get(verdict.component)
        memory = (known.hint_bytes if known is not None else 0) or None
        if memory is None and node is not None:
            memory = dict(node.amounts or ()).get("memory")
        return replace(verdict, predicted_ms=round(history[1] / 1_000, 3) if history else None, memory_bytes=memory)

    def _reason(self, path: str, request: AttemptRequest, node: PlanNode) -> tuple[str, str]:
        component = _component(request)
        code = self.codes.get(component)
        if not node.cache:
            return "run", "it is never cached (cache=False)"
        if node.key_base is None:
            unresolved = code.unresolved if code is not None else ()
            return "run", f"its code cannot be followed: {unresolved[0]}" if unresolved else "its code is not known"
        assert code is not None
        unknown = sorted(name for name, datum in request.inputs.items() if is_unknown(datum))
        inputs = self._identities.of({name: datum for name, datum in request.inputs.items() if name not in unknown})
        if not self.entries_of(component):
            return "run", "it has not been computed before"
        parts = Parts(component, code.digest, code.environment, inputs, code=self._code_now(component))
        if unknown:
            if self._holds(parts, inputs):
                return "maybe", f"only if {' or '.join(unknown)} {'changes' if len(unknown) == 1 else 'change'}"
            return "run", self._compared(parts, path, unknown=frozenset(unknown))
        lost = self._why_invalid(key_of(node.key_base, inputs))
        return "run", lost or self._compared(parts, path)

    def entries_of(self, component: str) -> list[CacheEntry]:
        known = self._entries.get(component)
        if known is None:
            found = self.store.entries_of(component, limit=ENTRIES_MAX) if self.store is not None else ()
            known = self._entries[component] = list(found)
        return known

    def _holds(self, parts: Parts, inputs: Mapping[str, str]) -> bool:
        """Whether any entry has the same code, environment and known inputs."""
        names = tuple(sorted(inputs))
        known = self._known.get((parts.component, names))
        if known is None:
            known = self._known[parts.component, names] = {
                tuple(entry.inputs.get(name, "") for name in names)
                for entry in self.entries_of(parts.component)
                if entry.code == parts.code_digest and entry.environment == parts.environment
            }
        return tuple(inputs[name] for name in names) in known

    def _compared(self, parts: Parts, path: str, *, unknown: frozenset[str] = frozenset()) -> str:
        """What differs from the nearest entry, on one line."""
        entry = nearest(self.entries_of(parts.component)[:NEAREST_OF], parts, path=path)
        if entry is None:
            return "it has not been computed before"
        before = parts_of_entry(entry, self._code_then(entry))
        form = (parts.component, entry.code, entry.environment)
        if form not in self._static:
            self._static[form] = static_differences(before, parts)
        inputs = [one for one in input_differences(before, parts) if one.name not in unknown]
        return in_short([*self._static[form], *inputs]) or "its version or declared settings changed"

    def _why_invalid(self, key: str) -> str:
        """Why the entries of a key do not hold; empty where there are none."""
        entries = self.store.entries(key, limit=1) if self.store is not None else ()
        if not entries:
            return ""
        entry = entries[0]
        if entry.expires_at is not None and entry.expires_at <= self.now:
            return "its result has expired"
        changed = changed_reads(entry.reads, self.digest_at) if self.digest_at is not None else ()
        if changed:
            return f"what it read has changed: {', '.join(map(read_as_told, changed[:3]))}"
        return "its result is no longer stored, or is being computed by another run"

    # -- code and memory

    def _code_now(self, component: str) -> ComponentCode | None:
        return self._code(self.described_in, self.code, component)

    def _code_then(self, entry: CacheEntry) -> ComponentCode | None:
        if entry.run_id not in self._runs:
            self._runs[entry.run_id] = self.store.run(entry.run_id) if self.store is not None else None
        run = self._runs[entry.run_id]
        return self._code(self.artifacts, run.code, entry.component) if run is not None else None

    def _code(self, artifacts: ArtifactStore, code: str, component: str) -> ComponentCode | None:
        if (code, component) not in self._codes:
            self._codes[code, component] = code_of(artifacts, code, component)
        return self._codes[code, component]


def _component(request: AttemptRequest) -> str:
    return request.component.component


# -- what the rows of a rehearsal mean -----------------------------------------------------------------------------------


def verdicts_of(plan: Plan, rehearsed: Rehearsed, foresight: Foresight) -> Iterator[Verdict]:
    """A verdict for every row, in the order of the flow."""
    reading = _Reading(plan, rehearsed, foresight)
    for row in rehearsed.task_runs:
        reading.read(row)
    foresight.verdicts.update({path: each for path, each in reading.verdicts.items() if each.is_function})
    reading.look_inside()
    key = flow_key(plan.root.graph)
    return iter(sorted(reading.verdicts.values(), key=lambda verdict: key(verdict.path)))


class _Reading:
    """Rows in the order in which they ended: what a row depends on has been read before it."""

    def __init__(self, plan: Plan, rehearsed: Rehearsed, foresight: Foresight) -> None:
        self._plan = plan
        self._run_id = rehearsed.run.run_id
        self._foresight = foresight
        self._foreseen = dict(foresight.verdicts)
        self.verdicts: dict[str, Verdict] = {}
        self._inside: dict[str, set[str]] = {}
        """Verdicts by path of a node that holds them."""
        self._unclear: dict[str, bool] = {}
        """Task runs whose end depends on what nobody knows yet; False: they do run, only with what is not known."""

    def read(self, row: TaskRunRow) -> None:
        verdict = self._verdict(row)
        if verdict.verdict in ("run", "maybe"):
            verdict = self._foresight.predicted(verdict, node_at(self._plan.root, row.path))
        self.verdicts[row.path] = verdict
        parts = row.path.split("/")
        for end in range(1, len(parts)):
            self._inside.setdefault("/".join(parts[:end]), set()).add(verdict.verdict)

    def look_inside(self) -> None:
        """List what nodes hold of which nobody can say yet how often it runs, or whether: a line for each function."""
        for path, verdict in list(self.verdicts.items()):
            node = node_at(self._plan.root, path)
            if verdict.verdict == "maybe" and node is not None and path not in self._inside:
                self._list_bodies(path, node)

    def _list_bodies(self, path: str, node: PlanNode) -> None:
        for index, body in enumerate(node.bodies):
            prefix, why = path, "only if its pipeline runs"
            if isinstance(node.node, Map):
                prefix, why = f"{path}/*", "once for each item"
            elif isinstance(node.node, Branch):
                prefix, why = f"{path}/{index}", "only if its case is taken"
            elif isinstance(node.node, Loop):
                prefix, why = f"{path}/*", "once in each round"
            for inner in body.nodes:
                below = f"{prefix}/{inner.name}"
                if inner.bodies:
                    self._list_bodies(below, inner)
                else:
                    verdict = Verdict(below, inner.component, "maybe", why)
                    self.verdicts[below] = self._foresight.predicted(verdict, inner)

    def _verdict(self, row: TaskRunRow) -> Verdict:
        path, component, cause = row.path, row.component, row.cause
        unclear = [name for name in self._upstreams(path) if name in self._unclear] if self._unclear else []
        foreseen = self._foreseen.get(path)
        if row.state is TaskState.FAILED:
            if self._cannot_say(row):
                why = UNCLEAR.get(cause.code, "it holds what is not known yet")
                below = any(self._unclear[name] for name in self._unclear if name.startswith(f"{path}/"))
                return self._maybe(row, why, may_not_run=below or cause.code == "condition_error")
            why = cause.text or cause.code.replace("_", " ")
            return Verdict(path, component, "fail", why)
        if unclear:
            may_not_run = any(self._unclear[name] for name in unclear)
            how = "how" if may_not_run else "what"
            verb = "ends" if may_not_run else "gives"
            return self._maybe(row, f"it depends on {how} {unclear[0]} {verb}", may_not_run=may_not_run)
        if row.state is TaskState.SKIPPED:
            by = f" ({cause.by})" if cause.by else ""
            return Verdict(path, component, "skip", f"{cause.text or cause.code.replace('_', ' ')}{by}")
        if row.origin is Origin.CACHED:
            return self._hit(row)
        if foreseen is not None:
            return foreseen
        inside = self._inside.get(path, set())
        of_all = next((kind for kind in ("run", "maybe") if kind in inside), "hit")
        return Verdict(path, component, of_all)

    def _maybe(self, row: TaskRunRow, why: str, *, may_not_run: bool) -> Verdict:
        """What nobody can say; but what certainly runs and has never been computed, is computed."""
        self._unclear[row.path] = may_not_run
        if not may_not_run and ":" in row.component and not self._foresight.entries_of(row.component):
            return Verdict(row.path, row.component, "run", "it has not been computed before")
        return Verdict(row.path, row.component, "maybe", why)

    def _hit(self, row: TaskRunRow) -> Verdict:
        run, _, path = row.cause.by.partition("/")
        if run == self._run_id:
            return Verdict(row.path, row.component, "hit", f"the same as {path}, which is computed in this run")
        return Verdict(row.path, row.component, "hit", "nothing changed", row.cause.by)

    def _cannot_say(self, row: TaskRunRow) -> bool:
        """Whether a failure only says that something is not known: it, or what it holds, depends on what would be
        computed."""
        if row.cause.code not in UNCLEAR:
            held = f"{row.path}/"
            return any(path.startswith(held) for path in self._unclear)
        parts = row.path.split("/")
        levels = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
        return any(self._is_open(name) for level in levels for name in self._upstreams(level))

    def _is_open(self, path: str) -> bool:
        """Whether anything at or below a path would run, or may."""
        own = self.verdicts.get(path) or self._foreseen.get(path)
        inside = self._inside.get(path, set())
        return bool(inside & {"run", "maybe"}) or (own is not None and own.verdict in ("run", "maybe"))

    def _upstreams(self, path: str) -> Iterator[str]:
        """The paths of the nodes beside it that a node depends on."""
        node = node_at(self._plan.root, path)
        prefix, _, name = path.rpartition("/")
        if node is None or name.isdigit():
            return
        part = self._part_of(prefix)
        if part is None:
            return
        indexes = {*node.data, *(tally.index for tally in node.tallies if tally.one_of is None)}
        names = [part.nodes[index].name for index in sorted(indexes)]
        if isinstance(node.node, Finally):
            names += node.node.watch
        for upstream in names:
            yield f"{prefix}/{upstream}" if prefix else upstream

    def _part_of(self, prefix: str) -> PlanGraph | None:
        """The graph whose nodes have paths that begin with `prefix/`."""
        if not prefix:
            return self._plan.root
        holder, _, key = prefix.rpartition("/")
        if key.isdigit() and holder:
            node = node_at(self._plan.root, holder)
            if node is not None and isinstance(node.node, (Map, Loop, Branch)):
                return node.bodies[int(key) if isinstance(node.node, Branch) else 0]
        node = node_at(self._plan.root, prefix)
        return node.bodies[0] if node is not None and node.bodies else None
