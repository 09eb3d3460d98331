"""What is heard of an attempt on the side while it runs: metrics, how far it is, figures and tables. Batched, never seen
by the engine (semantics 21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.wire.values import Artifact, datum_from_json, datum_to_json

IMPORT_METRIC = "import_s"
"""Logged for an attempt whose worker had to import the task's module first: how long that took, in seconds. It is no part of the
attempt's duration."""

WRITTEN_PREFIX = "written:"
"""Begins the names under which the files of the project are kept that an attempt has written, as metrics that are not the
author's."""

ELSEWHERE_PREFIX = "elsewhere:"
"""Begins those of data outside of the project that an attempt has read."""

NOTED_PREFIXES = (WRITTEN_PREFIX, ELSEWHERE_PREFIX)


@dataclass(frozen=True, slots=True)
class Observation:
    """A metric that user code logged. `at` in ms since the epoch; `step` None where none was given."""

    attempt_id: str
    name: str
    value: float
    step: int | None
    at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt says it is: `done` of `total` (None: nobody knows) of what `text` names. A later one replaces
    it."""

    attempt_id: str
    done: int
    total: int | None
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A figure or a table that user code logged under a name; of one attempt, kind and name the last one counts."""

    attempt_id: str
    kind: str
    """"figure": a folder with the figure in one or more formats; "table": a stored table."""
    name: str
    artifact: Artifact
    at: int


Observed = Observation | Progress | Exhibit

EXHIBIT_KINDS = ("figure", "table")


def observed_to_json(observed: Observed) -> list[Any]:
    match observed:
        case Observation(attempt_id, name, value, step, at):
            return ["metric", attempt_id, name, value, step, at]
        case Progress(attempt_id, done, total, text, at):
            return ["progress", attempt_id, done, total, text, at]
        case Exhibit(attempt_id, kind, name, artifact, at):
            return [kind, attempt_id, name, datum_to_json(artifact), at]


def observed_from_json(data: Sequence[Any]) -> Observed:
    kind, attempt_id, *rest = data
    if kind == "metric":
        return Observation(attempt_id, *rest)
    if kind == "progress":
        return Progress(attempt_id, *rest)
    name, artifact, at = rest
    datum = datum_from_json(artifact)
    assert isinstance(datum, Artifact), datum
    return Exhibit(attempt_id, kind, name, datum, at)
