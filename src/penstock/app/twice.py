"""Running one task twice on the same inputs, to see whether it gives the same. Nothing of it goes into the project: what
the task needs is computed in a folder aside, or taken from the project's cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.caching import answer_of
from penstock.app.describing import describe
from penstock.app.differing import Stored, data_differences
from penstock.app.outlets import Say, in_silence
from penstock.app.places import (
    DATABASE,
    SCRATCH,
    aside,
    open_artifacts,
    open_executor,
    open_store_to_read,
    project_settings,
)
from penstock.app.planning import learned_in, plan_for, refuse_unmeetable
from penstock.app.rehearsing import rehearse
from penstock.app.running import bind_texts
from penstock.app.targets import parse_target
from penstock.app.verdicts import node_at
from penstock.base.errors import InvalidInput, PenstockError
from penstock.base.ids import attempt_id, run_id, split_attempt_id
from penstock.controller import SystemClock
from penstock.controller.answers import digests_in
from penstock.engine.rows import RunRow
from penstock.graph.codec import graph_digest
from penstock.wire import AttemptEnded, AttemptRequest, Failed, Outcome, Skipped, Succeeded

if TYPE_CHECKING:
    from penstock.app.parameter_files import Data
    from penstock.controller.controller import Answer
    from penstock.engine.events import LookedUp, LookUp
    from penstock.executors.local.executor import LocalExecutor
    from penstock.plan.model import Plan, PlanGraph, PlanNode
    from penstock.values.store import ArtifactStore


class TwiceFailed(PenstockError):
    """The task, or one that it needs, did not succeed."""


@dataclass(frozen=True, slots=True)
class Twice:
    """What two attempts gave. `differences` says by output what differs; empty: they gave the same."""

    path: str
    component: str
    duration_ms: tuple[float, float]
    differences: Mapping[str, str]
    marked: bool
    """The project knows it as nondeterministic already."""

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "component": self.component,
            "same": not self.differences,
            "differences": dict(self.differences),
            "duration_ms": list(self.duration_ms),
            "marked": self.marked,
        }


def check_twice(text: str, task: str, texts: Mapping[str, str | Data], *, say: Say = in_silence) -> Twice:
    """Raises InvalidInput for a task that there is not, TwiceFailed where an attempt did not succeed."""
    import tempfile

    target = parse_target(text)
    settings = project_settings(target.folder)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-"))
        elsewhere = aside(settings, Path(folder))
        executor = stack.enter_context(closing(open_executor(elsewhere)))
        described = describe(executor, target, settings, say=say)
        inputs = bind_texts(described.graph, texts)
        known = (
            stack.enter_context(closing(open_store_to_read(settings))) if (settings.state / DATABASE).exists() else None
        )
        artifacts = open_artifacts(elsewhere)
        description = described.description
        plan = plan_for(
            described.graph,
            pin=description.pin,
            code=description.code,
            learned=learned_in(known, described.graph),
            artifacts=artifacts,
            executor=executor,
        )
        refuse_unmeetable(plan)
        _require_function(plan, task)
        now = SystemClock().now()
        run = RunRow(
            run_id=run_id(now, int.from_bytes(os.urandom(3), "big")),
            pipeline=described.graph.name,
            graph_digest=graph_digest(described.graph),
            inputs=inputs,
            pin=description.pin,
            seed=0,
            created_at=now,
            code=description.code,
        )
        answer = None
        if known is not None:
            stored = open_artifacts(settings)
            answer = _brought(answer_of(settings, known, stored, only_look=True), task, source=stored, target=artifacts)
        trying = Trying(executor, task, frozenset(_needed(plan, task)))
        rehearse(run, plan, respond=trying.respond, capacity=executor.largest, answer=answer)
        marks = known.nondeterministic() if known is not None else {}
        return trying.told(Stored(artifacts, elsewhere.state / SCRATCH), marked=frozenset(marks))


def _kind_of(node: PlanNode) -> str:
    kind = type(node.node).__name__.lower()
    return {"call": "a pipeline", "finally": "a pipeline"}.get(kind, f"a {kind}")


def _require_function(plan: Plan, task: str) -> None:
    """Raises InvalidInput where no task of the pipeline has that path."""
    node = node_at(plan.root, task)
    if node is not None and node.work is not None:
        return
    from difflib import get_close_matches

    paths = list(_function_paths(plan.root, ""))
    if node is not None:
        inside = [path for path in paths if path.startswith(f"{task}/")]
        raise InvalidInput(
            f"{task} is {_kind_of(node)}", fix=f"Name a task in it, such as {inside[0] if inside else task}."
        )
    near = get_close_matches(task, paths, n=3) or paths[:5]
    raise InvalidInput(f"the pipeline has no task {task!r}; did you mean {' or '.join(near)}?")


def _function_paths(part: PlanGraph, prefix: str) -> Iterator[str]:
    """The paths of functions, with 0 or 1 for an item, a case or a round."""
    from penstock.graph.model import Branch, Loop, Map

    for node in part.nodes:
        if node.work is not None:
            yield prefix + node.name
        for index, body in enumerate(node.bodies):
            keyed = isinstance(node.node, (Map, Branch, Loop))
            key = f"{1 if isinstance(node.node, Loop) else index}/" if keyed else ""
            yield from _function_paths(body, f"{prefix}{node.name}/{key}")


def _needed(plan: Plan, task: str) -> Iterator[str]:
    """The paths of the nodes that a task depends on, at every level above it."""
    parts = task.split("/")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        prefix, _, name = path.rpartition("/")
        part = plan.root if not prefix else _part_at(plan, prefix)
        if part is None or name not in part.index_by_name:
            continue
        agenda, seen = [part.index_by_name[name]], set[int]()
        while agenda:
            node = part.nodes[agenda.pop()]
            for index in {*node.data, *(tally.index for tally in node.tallies if tally.one_of is None)} - seen:
                seen.add(index)
                agenda.append(index)
                yield f"{prefix}/{part.nodes[index].name}" if prefix else part.nodes[index].name


def _part_at(plan: Plan, prefix: str) -> PlanGraph | None:
    from penstock.graph.model import Branch

    holder, _, key = prefix.rpartition("/")
    node = node_at(plan.root, holder if key.isdigit() else prefix)
    if node is None or not node.bodies:
        return None
    return node.bodies[int(key) if isinstance(node.node, Branch) else 0]


def _brought(answer: Answer, task: str, *, source: ArtifactStore, target: ArtifactStore) -> Answer:
    """The project's answers, with the content of hits brought aside; the task itself is never a hit."""

    def answered(queries: Sequence[LookUp], played: Any) -> list[LookedUp]:
        answers = []
        for one in answer(queries, SystemClock().now()):
            if one.how != "hit" or one.path == task:
                answers.append(replace(one, how="miss", outputs={}))
                continue
            for datum in one.outputs.values():
                for digest in digests_in(datum):
                    if not target.has(digest):
                        target.put_path(source.path(digest))
            answers.append(one)
        return answers

    return answered


class Trying:
    """Answers a rehearsal by running what the task needs, and the task itself twice."""

    def __init__(self, executor: LocalExecutor, task: str, needed: frozenset[str]) -> None:
        self._executor = executor
        self._task = task
        self._needed = needed
        self._ends: list[AttemptEnded] = []
        self._component = ""

    def respond(self, request: AttemptRequest) -> tuple[Outcome, float]:
        run, path, _ = split_attempt_id(request.attempt_id)
        if path == self._task:
            self._component = request.component.component
            for number in (1, 2):
                ended = self._run(replace(request, attempt_id=attempt_id(run, path, number)))
                self._ends.append(ended)
            return self._ends[0].outcome, 0.0
        parts = path.split("/")
        if any("/".join(parts[:end]) in self._needed for end in range(1, len(parts) + 1)):
            return self._run(request).outcome, 0.0
        return Skipped(), 0.0

    def _run(self, request: AttemptRequest) -> AttemptEnded:
        self._executor.start([request])
        while True:
            for report in self._executor.poll(200):
                if isinstance(report, AttemptEnded) and report.attempt_id == request.attempt_id:
                    self._executor.acknowledge([report.attempt_id])
                    self._require_success(report)
                    return report

    def _require_success(self, ended: AttemptEnded) -> None:
        outcome = ended.outcome
        if isinstance(outcome, Succeeded):
            return
        _, path, _ = split_attempt_id(ended.attempt_id)
        if path != self._task and isinstance(outcome, Skipped):
            return
        if isinstance(outcome, Failed):
            why = f"{outcome.failure.type.rpartition(':')[2]}: {outcome.failure.message}"
        else:
            why = str(getattr(outcome, "why", "")) or type(outcome).__name__
        raise TwiceFailed(f"{path} did not succeed: {why}", fix="`penstock run` shows more of it.")

    def told(self, stored: Stored, *, marked: frozenset[str]) -> Twice:
        """Raises TwiceFailed where the task was never ready."""
        if len(self._ends) < 2:
            raise TwiceFailed(
                f"{self._task} is not run with these parameters", fix="`penstock plan` says what becomes of it."
            )
        first, second = self._ends
        assert isinstance(first.outcome, Succeeded) and isinstance(second.outcome, Succeeded)
        return Twice(
            self._task,
            self._component,
            (first.duration_us / 1_000, second.duration_us / 1_000),
            data_differences(first.outcome.outputs, second.outcome.outputs, stored),
            self._component in marked,
        )
