"""Cache entries, claims, lineage and marks ↔ tuples of plain database values: `codec` for the tables of the cache.
`testing.memory_cache` keeps the same tuples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.base.instants import Instant
from penstock.effects import ArtifactLink, Nondeterminism
from penstock.engine.rows import ArtifactUse, CacheEntry, TaskRunRow
from penstock.engine.states import TaskState
from penstock.stores.sql.codec import Values, data_of, data_text, json_text
from penstock.wire import artifacts_in

ENTRY_COLUMNS = (
    "key",
    "component",
    "run_id",
    "path",
    "attempt",
    "outputs",
    "code",
    "environment",
    "inputs",
    "reads",
    "created_at",
    "expires_at",
    "duration_us",
)
CLAIM_COLUMNS = ("key", "run_key", "path")
ARTIFACT_COLUMNS = ("run_key", "path", "role", "name", "digest")
NONDETERMINISM_COLUMNS = ("component", "at", "detail")
RUN_TEXTS = ("pin", "code", "inputs", "outputs", "labels", "provenance")
TASK_RUN_TEXTS = ("outputs", "detail")
"""What of a run and of a task run may hold addresses of artifacts; of an entry, its outputs."""
GIVEN, MADE = "in", "out"
ROLES = (GIVEN, MADE)

_NOTHING: Mapping[str, str] = {}
_read_json = json.JSONDecoder().raw_decode
"""`json.loads` without its checks, which cost as much as the reading of so short a text."""
_ADDRESS = re.compile(r"(?:blake3|tree):[0-9a-f]{64}(?![0-9a-f])")


def encode_entry(entry: CacheEntry) -> Values:
    """Values of `ENTRY_COLUMNS`."""
    return (
        entry.key,
        entry.component,
        entry.run_id,
        entry.path,
        entry.attempt,
        data_text(entry.outputs),
        entry.code,
        entry.environment,
        json_text(dict(entry.inputs)),
        json_text(dict(entry.reads)),
        entry.created_at,
        entry.expires_at,
        entry.duration_us,
    )


def decode_entry(values: Sequence[Any]) -> CacheEntry:
    """An entry from values of `ENTRY_COLUMNS`; in the order of its fields, as a run of hits reads ten thousand."""
    key, component, run_id, path, attempt, outputs, code, environment, inputs, reads, *times = values
    return CacheEntry(
        key,
        component,
        run_id,
        path,
        attempt,
        data_of(outputs),
        code,
        environment,
        _NOTHING if inputs == "{}" else _read_json(inputs)[0],
        _NOTHING if reads == "{}" else _read_json(reads)[0],
        *times,
    )


def encode_made(key: int | str, rows: Iterable[TaskRunRow]) -> list[Values]:
    """Values of `ARTIFACT_COLUMNS` for what functions have made; `key` stands for the run."""
    return [
        (key, row.path, MADE, name, artifact.digest)
        for row in rows
        if row.outputs and row.state is TaskState.SUCCEEDED and ":" in row.component
        for name, datum in row.outputs.items()
        for artifact in artifacts_in(datum)
    ]


def encode_use(key: int | str, use: ArtifactUse) -> Values:
    """Values of `ARTIFACT_COLUMNS` for what a task run was given."""
    return (key, use.path, GIVEN, use.name, use.digest)


def decode_link(run_id: str, values: Sequence[Any]) -> ArtifactLink:
    _, path, role, name, digest = values
    return ArtifactLink(digest, run_id, path, role, name)


def encode_mark(mark: Nondeterminism) -> Values:
    """Values of `NONDETERMINISM_COLUMNS`."""
    return (mark.component, mark.at, json_text(mark.detail))


def decode_mark(values: Sequence[Any]) -> Nondeterminism:
    component, at, detail = values
    return Nondeterminism(component, Instant(at), json.loads(detail))


def addresses_in(text: str) -> list[str]:
    """Whatever in a text of the store could be an address: JSON of ours, or of a user's."""
    return _ADDRESS.findall(text)
