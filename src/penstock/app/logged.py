"""What attempts logged, as whoever asks for a task run sees it: metrics, figures, tables. Those of a hit are those of the
attempt that made its entry (semantics 21)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.earlier import HOPS_MAX, EarlierRuns
from penstock.app.failures import Failing, headline, outcome_text, story
from penstock.app.logs import tail_of
from penstock.app.places import open_artifacts, open_existing_store_to_read, project_settings
from penstock.app.reading import exports, find_run, require_task
from penstock.app.results import TaskRunResult, glance_of, shown
from penstock.base.errors import InvalidInput, StoreUnavailable
from penstock.base.ids import split_attempt_id
from penstock.effects import TaskRunOutline
from penstock.engine.states import Origin, TaskState
from penstock.values.exhibits import figure_file
from penstock.wire import NOTED_PREFIXES

if TYPE_CHECKING:
    from penstock.effects import StateStore, TaskRunOutline
    from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow
    from penstock.values.store import ArtifactStore
    from penstock.wire import Artifact, Exhibit, Observation, Progress


@dataclass(frozen=True, slots=True)
class Metric:
    """The numbers of one name: how many, the last one with its step, the least and the greatest."""

    name: str
    count: int
    last: float
    step: int | None
    least: float
    greatest: float

    def to_json(self) -> dict[str, Any]:
        return {
            "last": self.last,
            "step": self.step,
            "count": self.count,
            "least": self.least,
            "greatest": self.greatest,
        }


@dataclass(frozen=True, slots=True)
class TaskLogged:
    """What is kept of a task run. `maker` is `RUN/path` of the one that ran: its own, or where a hit comes from. `attempts`
    are the maker's, `metrics` and `exhibits` the last of each name."""

    maker: str
    attempts: tuple[AttemptRow, ...]
    metrics: tuple[Metric, ...]
    exhibits: tuple[Exhibit, ...]
    progress: Progress | None


def exhibits_by_path(
    store: StateStore, earlier: EarlierRuns, run: RunRow, rows: Sequence[TaskRunOutline]
) -> dict[str, tuple[Exhibit, ...]]:
    """Figures and tables of all task runs of a run that have any."""
    found: dict[str, tuple[Exhibit, ...]] = {}
    by_run: dict[str, dict[str, list[Exhibit]]] = {}
    for row in rows:
        run_id, path = run.run_id, row.path
        if row.origin is Origin.CACHED:
            run_id, _, path = row.cause.by.partition("/")
            if run_id == run.retry_of:  # what was a hit there is adopted here; a hit of the cache names its maker
                run_id, path = earlier.maker_of(run.run_id, row)
        if run_id not in by_run:
            by_run[run_id] = {}
            for exhibit in store.exhibits(run_id) if earlier.is_known(run_id) else ():
                by_run[run_id].setdefault(split_attempt_id(exhibit.attempt_id)[1], []).append(exhibit)
        if path in by_run[run_id]:
            found[row.path] = newest_exhibits(by_run[run_id][path])
    return found


def newest_exhibits(exhibits: Iterable[Exhibit]) -> tuple[Exhibit, ...]:
    """Of each kind and name that of the newest attempt, by kind and name."""
    last = {(each.kind, each.name): each for each in sorted(exhibits, key=lambda e: split_attempt_id(e.attempt_id)[2])}
    return tuple(last[key] for key in sorted(last))


def metrics_of(observations: Iterable[Observation]) -> tuple[Metric, ...]:
    """By name, of the newest attempt that logged any number under it, and of earlier attempts the steps before its first:
    those that it went on from, from a checkpoint. `observations` are in the order of runs; in each, any."""
    by_name: dict[str, dict[tuple[int, int], list[Observation]]] = {}
    run_ids: dict[str, int] = {}
    for each in observations:
        if each.name.startswith(NOTED_PREFIXES):
            continue
        run_id, _, number = split_attempt_id(each.attempt_id)
        place = (run_ids.setdefault(run_id, len(run_ids)), number)
        by_name.setdefault(each.name, {}).setdefault(place, []).append(each)
    return tuple(_metric(name, _gone_on_from(by_name[name])) for name in sorted(by_name))


def _gone_on_from(by_attempt: Mapping[tuple[int, int], list[Observation]]) -> list[Observation]:
    """What counts of one name's numbers; those without a step are of the newest attempt alone."""
    kept: list[Observation] = []
    for place in sorted(by_attempt, reverse=True):
        first = min((each.step for each in kept if each.step is not None), default=None)
        earlier = by_attempt[place]
        if kept:
            earlier = [each for each in earlier if each.step is not None and first is not None and each.step < first]
        kept = earlier + kept
    return kept


def _metric(name: str, seen: Sequence[Observation]) -> Metric:
    values = [each.value for each in seen if each.value == each.value] or [float("nan")]
    return Metric(name, len(seen), seen[-1].value, seen[-1].step, min(values), max(values))


def task_logged(store: StateStore, row: TaskRunRow) -> TaskLogged:
    run_id, path = EarlierRuns(store, {}).maker_of(row.run_id, TaskRunOutline.of(row))
    if store.run(run_id) is None:
        return TaskLogged(f"{run_id}/{path}", (), (), (), None)
    said = store.progress(run_id, path)
    return TaskLogged(
        f"{run_id}/{path}",
        tuple(store.attempts(run_id, path)),
        metrics_of(_observations(store, run_id, path)),
        newest_exhibits(store.exhibits(run_id, path)),
        said[-1] if said else None,
    )


def _observations(store: StateStore, run_id: str, path: str) -> list[Observation]:
    """What was logged at this path, and before that in the runs that its run retries: the same key goes on from the same
    checkpoint. The oldest run comes first."""
    found: list[Observation] = []
    key = None
    for _ in range(HOPS_MAX):
        run = store.run(run_id)
        row = next(iter(store.task_runs(run_id, path)), None) if run is not None else None
        if run is None or row is None or (key is not None and (row.key != key or row.state is TaskState.SUCCEEDED)):
            break
        found = [*store.metrics(run_id, path), *found]
        key = row.key
        if key is None or run.retry_of is None:
            break
        run_id = run.retry_of
    return found


# -- one task run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskShown:
    """One task run with what its attempts, or those of the one that a hit comes from, came to and logged. `story` tells of
    a failure, `traceback` all of it."""

    run_id: str
    result: TaskRunResult
    logged: TaskLogged
    story: tuple[str, ...]
    traceback: str

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            **self.result.to_json(),
            "outputs": {name: shown(datum) for name, datum in self.result.outputs.items()},
            "maker": self.logged.maker,
            "attempt_list": [
                {
                    "number": attempt.number,
                    "state": str(attempt.state),
                    "outcome": attempt.outcome,
                    "text": outcome_text(attempt.outcome, attempt.failure),
                    "duration_ms": attempt.duration_us / 1_000,
                    "failure": dict(attempt.failure) if attempt.failure else None,
                }
                for attempt in self.logged.attempts
            ],
            "metrics": {metric.name: metric.to_json() for metric in self.logged.metrics},
            "progress": {"done": said.done, "total": said.total, "text": said.text}
            if (said := self.logged.progress)
            else None,
        }


def show_task(text: str, task: str) -> TaskShown:
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        run = find_run(store, text)
        row = require_task(store, run, task)
        logged = task_logged(store, row)
    own = logged.attempts[-1] if logged.attempts and row.origin is not Origin.CACHED else None
    made = logged.attempts[-1] if logged.attempts and row.origin is Origin.CACHED else None
    failing = Failing(row, own) if row.state is TaskState.FAILED else None
    result = replace(glance_of(row, own, made=made, exhibits=logged.exhibits), outputs=row.outputs, failing=failing)
    story_lines: tuple[str, ...] = ()
    if result.failing is not None:
        printed = tail_of(settings, own) if own is not None else ""
        story_lines = (headline(result.failing), *story(result.failing, printed=printed))
    traceback = str((own.failure or {}).get("traceback", "")) if own is not None else ""
    return TaskShown(run.run_id, result, logged, story_lines, traceback)


# -- getting one -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GotExhibit:
    """A figure or table: its JSON form, and where its content lies (not to be written to)."""

    kind: str
    name: str
    task: str
    shown: Any
    path: Path

    def to_json(self) -> dict[str, Any]:
        return {self.kind: self.name, "task": self.task, "value": self.shown, "path": str(self.path)}


def get_exhibit(text: str, task: str, kind: str, name: str, *, to: Path | None) -> GotExhibit:
    """Raises InvalidInput for one that there is not, or that has no such format."""
    settings = project_settings(Path.cwd())
    with closing(open_existing_store_to_read(settings)) as store:
        run = find_run(store, text)
        exhibits = task_logged(store, require_task(store, run, task)).exhibits
    of_kind = {each.name: each.artifact for each in exhibits if each.kind == kind}
    if name not in of_kind:
        has = f"it has: {', '.join(of_kind)}" if of_kind else f"it has logged no {kind}"
        raise InvalidInput(
            f"{task} has no {kind} {name!r}; {has}", fix=f"`penstock show {run.run_id} {task}` lists them."
        )
    artifact = of_kind[name]
    artifacts = open_artifacts(settings)
    if to is not None:
        _refuse_existing(to)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            if kind == "figure":
                _write_figure(artifact, artifacts, to)
            else:
                exports(settings, artifacts).write(artifact, to)
        except OSError as error:
            raise StoreUnavailable(f"{to} cannot be written: {error.strerror}") from None
    return GotExhibit(kind, name, task, shown(artifact), artifacts.path(artifact.digest))


def _refuse_existing(to: Path) -> None:
    if to.exists():
        raise InvalidInput(f"{to} exists already", fix="Name another place, or remove it first.")


def _write_figure(artifact: Artifact, artifacts: ArtifactStore, to: Path) -> None:
    """As the format that the name asks for, or all of them as a folder."""
    if not to.suffix:
        artifacts.materialize(artifact.digest, to)
        return
    data = figure_file(artifacts.path(artifact.digest), to.suffix)
    if data is None:
        formats = ", ".join(f".{name}" for name in artifact.metadata.get("formats", ()))
        raise InvalidInput(
            f"the figure is not kept as {to.suffix}",
            fix=f"It is kept as {formats}; a name without a suffix is a folder.",
        )
    to.write_bytes(data)
