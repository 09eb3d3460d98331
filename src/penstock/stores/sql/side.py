"""What is heard of attempts on the side, in the database: metrics, exhibits, how far they are. Columns, statements, and the
work inside a transaction that `store` has begun. `testing.memory_state` keeps the same tuples."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any

from penstock.base.ids import attempt_id, split_attempt_id
from penstock.stores.sql.codec import METRIC_COLUMNS, Values, encode_observation, readable
from penstock.stores.sql.statements import COUNTED, SELECT_COUNTS, insert, path_values, select_by_path, upsert
from penstock.stores.sql.sums import CHECKSUM, Row, RowDamaged, decoded, with_sum
from penstock.wire import Artifact, Exhibit, Observation, Observed, Progress, datum_from_json, datum_to_json

EXHIBIT_COLUMNS = ("run_key", "path", "number", "kind", "name", "artifact", "at")
PROGRESS_COLUMNS = ("run_key", "path", "number", "done", "total", "text", "at")
COUNT_MAX = 2**63 - 1

INSERT_METRIC = insert("metrics", (*METRIC_COLUMNS, CHECKSUM))
UPSERT_EXHIBIT = upsert("exhibits", (*EXHIBIT_COLUMNS, CHECKSUM), keys=5)
UPSERT_PROGRESS = upsert("progress", (*PROGRESS_COLUMNS, CHECKSUM), keys=3)


def write(connection: Connection, key_of: Callable[[str], int], observations: Iterable[Observed]) -> None:
    """`key_of`: a run's key by its id."""
    metrics: list[Values] = []
    exhibits: list[Values] = []
    progress: list[Values] = []
    for observed in observations:
        key = key_of(split_attempt_id(observed.attempt_id)[0])
        match observed:
            case Observation():
                metrics.append(encode_observation(key, observed))
            case Exhibit():
                exhibits.append(encode_exhibit(key, observed))
            case Progress():
                progress.append(encode_progress(key, observed))
    for statement, rows in ((INSERT_METRIC, metrics), (UPSERT_EXHIBIT, exhibits), (UPSERT_PROGRESS, progress)):
        if rows:
            connection.executemany(statement, map(with_sum, rows))


def encode_exhibit(key: int | str, exhibit: Exhibit) -> Values:
    """Values of `EXHIBIT_COLUMNS`; `key` stands for the run."""
    _, path, number = split_attempt_id(exhibit.attempt_id)
    artifact = json.dumps(datum_to_json(exhibit.artifact), separators=(",", ":"))
    return (key, path, number, exhibit.kind, readable(exhibit.name), artifact, exhibit.at)


def decode_exhibit(run_id: str, values: Sequence[Any]) -> Exhibit:
    _, path, number, kind, name, text, at = values
    artifact = datum_from_json(json.loads(text))
    assert isinstance(artifact, Artifact), text
    return Exhibit(attempt_id(run_id, path, number), kind, name, artifact, at)


def encode_progress(key: int | str, progress: Progress) -> Values:
    """Values of `PROGRESS_COLUMNS`. No run may fail for what it says of itself: numbers that no database holds are cut."""
    _, path, number = split_attempt_id(progress.attempt_id)
    total = None if progress.total is None else _held(progress.total)
    return (key, path, number, _held(progress.done), total, readable(progress.text), progress.at)


def decode_progress(run_id: str, values: Sequence[Any]) -> Progress:
    _, path, number, done, total, text, at = values
    return Progress(attempt_id(run_id, path, number), done, total, text, at)


def _held(count: float) -> int:
    return int(max(-COUNT_MAX, min(COUNT_MAX, count))) if math.isfinite(count) else COUNT_MAX


def exhibits(connection: Connection, key: int, run_id: str, path: str | None) -> list[Exhibit]:
    order = "path, number, kind, name"
    statement = select_by_path("exhibits", EXHIBIT_COLUMNS, order, by_path=path is not None)
    rows = connection.execute(statement, (key, *path_values(path)))
    found = list(decoded("exhibits", rows, partial(decode_exhibit, run_id)))
    return whole(connection, key, "exhibits", found) if path is None else found


def progress(connection: Connection, key: int, run_id: str, path: str | None) -> list[Progress]:
    statement = select_by_path("progress", PROGRESS_COLUMNS, "path, number", by_path=path is not None)
    rows = connection.execute(statement, (key, *path_values(path)))
    found = list(decoded("progress", rows, partial(decode_progress, run_id)))
    return whole(connection, key, "progress", found) if path is None else found


def whole(connection: Connection, key: int, table: str, rows: list[Row]) -> list[Row]:
    """All rows of a run. Raises RowDamaged where there were more when the run ended: one whose key is not what was written
    is found by no search."""
    (counts,) = connection.execute(SELECT_COUNTS, (key,)).fetchone()
    words = None if counts is None else counts.split()
    if words is not None and (len(words) != len(COUNTED) or not all(word.isdecimal() for word in words)):
        raise RowDamaged("runs")
    if words is not None and len(rows) < int(words[COUNTED.index(table)]):
        raise RowDamaged(table)
    return rows
