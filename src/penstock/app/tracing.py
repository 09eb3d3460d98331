"""Where an artifact comes from and what became of it, across runs: task runs linked by the content that one made and
another was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import open_existing_store_to_read, project_settings
from penstock.app.reading import find_run, require_task
from penstock.base.errors import InvalidInput
from penstock.controller.answers import digests_in

if TYPE_CHECKING:
    from penstock.effects import ArtifactLink, StateStore

STEPS_MAX = 10_000
DIGEST_LENGTH = 19
# In so many of the newest runs is the beginning of a digest looked for.
RUNS_SEARCHED = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One task run on the way, or an artifact: `depth` is how many artifacts lie between it and what was asked about;
    `more` how many other runs did the same with the same content."""

    depth: int
    text: str
    digest: str
    run_id: str = ""
    path: str = ""
    name: str = ""
    more: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "depth": self.depth,
            "artifact": self.digest,
            "run": self.run_id or None,
            "path": self.path or None,
            "name": self.name or None,
            "more_runs": self.more,
        }


@dataclass(frozen=True, slots=True)
class Lineage:
    """`upstream` leads from what was asked about to its origins, `downstream` to what was made of it; both depth
    first."""

    title: str
    upstream: tuple[Step, ...]
    downstream: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "of": self.title,
            "upstream": [step.to_json() for step in self.upstream],
            "downstream": [step.to_json() for step in self.downstream],
        }


def lineage(what: str, task: str | None) -> Lineage:
    """Raises InvalidInput for an artifact, run or task run that there is not, with the nearest names."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        tracing = Tracing(store)
        if task is None:
            return tracing.of_artifact(_digest(store, what))
        run = find_run(store, what)
        require_task(store, run, task)
        return tracing.of_task_run(run.run_id, task)


def _digest(store: StateStore, text: str) -> str:
    """An artifact by its digest, or by the beginning of one."""
    if store.producers(text) or store.consumers(text):
        return text
    wanted = text if ":" in text else f":{text}"
    found: set[str] = set()
    for run in store.runs(limit=RUNS_SEARCHED):
        for row in store.task_runs(run.run_id):
            for datum in row.outputs.values():
                digests = digests_in(datum)
                found.update(
                    d for d in digests if d.startswith(text) or (wanted in d and d.split(":")[1].startswith(text))
                )
        if len(found) > 1:
            break
    if len(found) == 1:
        return found.pop()
    if found:
        some = ", ".join(digest[: DIGEST_LENGTH + 6] for digest in sorted(found)[:3])
        raise InvalidInput(f"{text!r} could be {some}", fix="Give more of the digest.")
    if store.run(text) is not None or text == "latest":
        raise InvalidInput(f"{text} is a run, not an artifact", fix=f"`penstock lineage {text} TASK` names a task run.")
    raise InvalidInput(
        f"no run has made or used an artifact {text!r}",
        fix="`penstock get RUN TASK --json` shows the digest of an output.",
    )


class Tracing:
    """Walks links both ways; what was seen is not walked again."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def of_artifact(self, digest: str) -> Lineage:
        there = [Artifact(digest, "", 1)]
        return Lineage(f"artifact {digest}", self._upstream(there), self._downstream(there))

    def of_task_run(self, run_id: str, path: str) -> Lineage:
        links = self._store.artifacts_of(run_id, path)
        given = [Artifact(link.digest, link.name, 1) for link in links if link.role == "in"]
        made = [Artifact(link.digest, link.name, 1) for link in links if link.role == "out"]
        return Lineage(f"task run {run_id}/{path}", self._upstream(given), self._downstream(made))

    def _upstream(self, start: Sequence[Artifact]) -> tuple[Step, ...]:
        return self._walk(start, self._store.producers, "in", "made by")

    def _downstream(self, start: Sequence[Artifact]) -> tuple[Step, ...]:
        return self._walk(start, self._store.consumers, "out", "given to")

    def _walk(
        self, start: Sequence[Artifact], near: Callable[[str], Sequence[ArtifactLink]], role: str, verb: str
    ) -> tuple[Step, ...]:
        """Depth first, in one direction. `near` answers the task runs beside an artifact, `role` is that in which they
        have the next ones."""
        steps: list[Step] = []
        seen: set[str] = set()
        agenda: list[Artifact | Beside] = list(reversed(start))
        while agenda and len(steps) < STEPS_MAX:
            at = agenda.pop()
            if isinstance(at, Beside):
                steps.append(at.step(verb))
                agenda += reversed(self._next(at, role))
                continue
            depth = at.depth
            if at.name:
                steps.append(Step(depth, f"{at.name}: {at.digest[:DIGEST_LENGTH]}", at.digest, name=at.name))
                depth += 1
            if at.digest not in seen:
                seen.add(at.digest)
                by_task: dict[tuple[str, str], list[ArtifactLink]] = {}
                for link in near(at.digest):
                    by_task.setdefault((link.path, link.name), []).append(link)
                agenda += reversed([Beside(tuple(links), depth) for links in by_task.values()])
        return tuple(steps)

    def _next(self, beside: Beside, role: str) -> list[Artifact]:
        first = beside.links[0]
        links = self._store.artifacts_of(first.run_id, first.path)
        found = {link.digest: link.name for link in links if link.role == role}
        return [Artifact(digest, name, beside.depth + 1) for digest, name in found.items()]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact on the way, as the input or output `name`; without a name it is the one that was asked about."""

    digest: str
    name: str
    depth: int


@dataclass(frozen=True, slots=True)
class Beside:
    """A task that made or was given an artifact, in one run or more; the first one is told."""

    links: tuple[ArtifactLink, ...]
    depth: int

    def step(self, verb: str) -> Step:
        link = self.links[0]
        text = f"{verb} {link.run_id}/{link.path} ({link.name})"
        return Step(self.depth, text, link.digest, link.run_id, link.path, link.name, len(self.links) - 1)
