"""What a run came to, as values: for scripts (`RunResult`) and as the one JSON shape of `run`, `show` and `retry`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.failures import Failing
from penstock.engine.rows import AttemptRow, Cause, RunRow, TaskRunRow
from penstock.engine.states import Origin
from penstock.wire import NO_USAGE, Artifact, Datum, Exhibit, Inline, Struct, Usage, data_to_json, parameter_to_json

if TYPE_CHECKING:
    from penstock.app.overview import Overview
    from penstock.app.summary import Summary
    from penstock.app.unkept import Unkept
    from penstock.base.errors import RunFailed
    from penstock.effects import AttemptOutline, TaskRunOutline


@dataclass(frozen=True, slots=True)
class TaskRunResult:
    """One task run. `cause` is why it is in its state (code, by, text); `duration_ms` that of its last
    attempt, or from begin to end for a node with a graph; None where it has not run."""

    path: str
    component: str
    state: str
    origin: str | None = None
    cause: Cause = field(default_factory=lambda: Cause(""))
    attempts: int = 0
    duration_ms: float | None = None
    source: str | None = None
    """Of a hit or an adopted one, `RUN/path` of the task run that made its outputs."""
    saved_ms: float | None = None
    """How long the attempt took that made them."""
    usage: Usage = NO_USAGE
    """What its last attempt used."""
    exhibits: tuple[Exhibit, ...] = ()
    """The figures and tables that it, or the one that a hit comes from, has logged."""
    outputs: Mapping[str, Datum] = field(default_factory=dict)
    """Empty in an overview, which reads none."""
    failing: Failing | None = None
    """How it failed, if it did."""

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "component": self.component,
            "state": self.state,
            "origin": self.origin,
            "cause": self.cause.code or None,
            "cause_by": self.cause.by or None,
            "cause_text": self.cause.text or None,
            "attempts": self.attempts,
            "duration_ms": self.duration_ms,
            "source": self.source,
            "saved_ms": self.saved_ms,
            "exhibits": [
                {"kind": each.kind, "name": each.name, "value": shown(each.artifact)} for each in self.exhibits
            ],
            "memory_bytes_peak": self.usage.memory_bytes_peak or None,
            "gpu_memory_bytes_peak": self.usage.gpu_memory_bytes_peak or None,
            "gpu_percent_mean": self.usage.gpu_percent_mean if self.usage.gpu_memory_bytes_peak else None,
        }


class Outputs:
    """The outputs of a run, by item and by attribute. A parameter is its Python value; an artifact is read when it is
    asked for, and once. An output that has no value (its producer was skipped or failed) is missing."""

    def __init__(
        self,
        data: Mapping[str, Datum],
        *,
        load: Callable[[Datum], Any],
        locate: Callable[[str], Path],
        state: str = "succeeded",
    ) -> None:
        """`state` is the run's."""
        self._data = dict(data)
        self._state = state
        self._load = load
        self._locate = locate
        self._loaded: dict[str, Any] = {}

    def stored_path(self, name: str) -> Path | None:
        """Where the content of an artifact lies, to be read only; None for anything else."""
        datum = self._data[name]
        return self._locate(datum.digest) if isinstance(datum, Artifact) else None

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            if name not in self._data:
                known = ", ".join(self._data) or "none"
                ended = "" if self._state == "succeeded" else f" is {self._state}: it"
                raise KeyError(f"the run{ended} has no output {name!r}; it has: {known}")
            self._loaded[name] = self._load(self._data[name])
        return self._loaded[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, name: object) -> bool:
        return name in self._data

    def keys(self) -> Sequence[str]:
        return list(self._data)

    def values(self) -> Sequence[Any]:
        return [self[name] for name in self._data]

    def items(self) -> Sequence[tuple[str, Any]]:
        return [(name, self[name]) for name in self._data]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._data else default

    def __dir__(self) -> list[str]:
        return [*self._data, "get", "items", "keys", "stored_path", "values"]

    def __repr__(self) -> str:
        shown = {
            name: datum.value if isinstance(datum, Inline) else _summary(datum) for name, datum in self._data.items()
        }
        ended = "" if self._state == "succeeded" else f"of a run that is {self._state}: "
        return f"Outputs({ended}{', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _summary(datum: Datum) -> str:
    if isinstance(datum, Artifact):
        return f"<{datum.type} {datum.digest[:19]}>"
    if isinstance(datum, Struct):
        return f"<dict of {', '.join(datum.fields)}>"
    return f"<list of {len(datum.items)}>" if not isinstance(datum, Inline) else ""


class RunResult:
    """How a run ended (or how it stands): `state` is pending, running, interrupted, succeeded, failed or cancelled. Its
    task runs are read when they are asked for: there may be very many."""

    def __init__(
        self,
        row: RunRow,
        *,
        state: str,
        outputs: Outputs,
        read: Callable[[], Overview],
        load: Callable[[Overview], tuple[TaskRunResult, ...]],
        summarise: Callable[[Overview], Summary | None],
        find_shared: Callable[[], Mapping[str, Sequence[str]]],
        find_unkept: Callable[[], Sequence[Unkept]],
        find_elsewhere: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        self.row = row
        self.run_id: str = row.run_id
        self.pipeline = row.pipeline
        self.state = state
        self.outputs = outputs
        self._read = read
        self._load = load
        self._summarise = summarise
        self._find_shared = find_shared
        self._find_unkept = find_unkept
        self._find_elsewhere = find_elsewhere

    @property
    def id(self) -> str:
        """What every verb knows the run by."""
        return self.run_id

    @cached_property
    def overview(self) -> Overview:
        """What is needed of its rows to show all of them; read when first asked for."""
        return self._read()

    @cached_property
    def task_runs(self) -> tuple[TaskRunResult, ...]:
        """Every task run with how it ended; read when first asked for."""
        return self._load(self.overview)

    @cached_property
    def summary(self) -> Summary | None:
        """Slowest task runs, critical path, waits, what hits saved; None while the run has not ended."""
        return self._summarise(self.overview)

    @cached_property
    def shared_files(self) -> Mapping[str, Sequence[str]]:
        """The task runs that wrote each file of the project that two or more of them wrote, by its path."""
        return self._find_shared()

    @cached_property
    def unkept(self) -> Sequence[Unkept]:
        """The components whose results are not kept for what was seen while they ran."""
        return self._find_unkept()

    @cached_property
    def files_elsewhere(self) -> Mapping[str, Sequence[str]]:
        """The task runs that read each file of data outside of the project, by its absolute path."""
        return self._find_elsewhere()

    def failure(self) -> RunFailed | None:
        """What can be raised for a run that did not succeed, caused by what the first task that failed raised; None for one
        that succeeded."""
        if self.state == "succeeded":
            return None
        from penstock.app.run_failure import run_failure

        return run_failure(self)

    def raise_for_state(self) -> RunResult:
        """Itself when the run succeeded. Raises its `failure()` otherwise."""
        failure = self.failure()
        if failure is not None:
            raise failure
        return self

    def to_json(self) -> dict[str, Any]:
        """The shape of `run`, `show` and `retry`."""
        task_runs = [each.to_json() for each in self.overview.glances()]
        return {**self.brief_json(), "task_runs": task_runs, **self._after_task_runs()}

    def json_pieces(self) -> Iterator[str]:
        """The text of `to_json()`, a line for each task run, made as it is asked for."""
        yield json.dumps(self.brief_json(), indent=2, ensure_ascii=False).removesuffix("\n}") + ',\n  "task_runs": ['
        before = "\n    "
        for each in self.overview.glances():
            yield before + json.dumps(each.to_json(), ensure_ascii=False)
            before = ",\n    "
        yield "\n  ],\n" + json.dumps(self._after_task_runs(), indent=2, ensure_ascii=False).removeprefix("{\n")

    def _after_task_runs(self) -> dict[str, Any]:
        summary = self.summary.to_json() if self.summary is not None else None
        shared = {name: list(writers) for name, writers in self.shared_files.items()}
        elsewhere = {name: list(readers) for name, readers in self.files_elsewhere.items()}
        return {
            **self.made_json(),
            "summary": summary,
            "shared_files": shared,
            "files_elsewhere": elsewhere,
            "unkept": [each.to_json() for each in self.unkept],
        }

    def brief_json(self) -> dict[str, Any]:
        """What can be told without reading task runs: an entry of `runs`."""
        row = self.row
        return {
            "id": self.run_id,
            "pipeline": self.pipeline,
            "state": self.state,
            "cause": row.cause.code or None,
            "cause_by": row.cause.by or None,
            "cause_text": row.cause.text or None,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "duration_ms": duration_ms(row.started_at, row.ended_at),
            "retry_of": row.retry_of,
            "labels": dict(row.labels),
        }

    def made_json(self) -> dict[str, Any]:
        row = self.row
        return {
            "parameters": {name: shown(datum) for name, datum in row.inputs.items()},
            "outputs": self.outputs_json(),
            "provenance": dict(row.provenance),
        }

    def outputs_json(self) -> dict[str, Any]:
        return {name: shown(datum) for name, datum in self.row.outputs.items()}

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from penstock.app.displays import html_of_result

        return html_of_result(self)

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self.pipeline}: {self.state}>"


def shown(datum: Datum) -> Any:
    """A value as JSON for people and scripts: a parameter as it is, an artifact by its digest, type, size and metadata,
    a counted list as a list of these, a struct as an object of these."""
    if isinstance(datum, Inline):
        return parameter_to_json(datum.value)
    if isinstance(datum, Artifact):
        return data_to_json({"": datum})[""]
    if isinstance(datum, Struct):
        return {name: shown(field) for name, field in datum.fields.items()}
    return [shown(item) for item in datum.items]


def duration_ms(started_at: int | None, ended_at: int | None) -> int | None:
    return max(ended_at - started_at, 0) if started_at is not None and ended_at is not None else None


def glance_of(
    row: TaskRunOutline | TaskRunRow,
    attempt: AttemptOutline | AttemptRow | None,
    *,
    made: AttemptOutline | AttemptRow | None = None,
    exhibits: tuple[Exhibit, ...] = (),
) -> TaskRunResult:
    """`attempt` is the task run's newest one, where it has any; `made` the one that made what a hit found."""
    took: float | None = duration_ms(row.started_at, row.ended_at)
    if attempt is not None and attempt.duration_us:
        took = attempt.duration_us / 1_000
    return TaskRunResult(
        row.path,
        row.component,
        row.state.value,
        row.origin.value if row.origin is not None else None,
        row.cause,
        row.attempt,
        took,
        row.cause.by if row.origin is Origin.CACHED else None,
        made.duration_us / 1_000 if made is not None else None,
        attempt.usage if attempt is not None else NO_USAGE,
        exhibits,
    )
