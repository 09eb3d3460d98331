"""What stands behind declared inputs, looked at when a run comes to it: files and folders of the project, addresses, tables of
databases. These functions are components of ours (`graph.sources` puts them into graphs): the ones called `resolve_…` and
`probe_…` are never cached, the others are cached by what a probe has seen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.base import scratch
from penstock.values.refusals import SourceMissing, SourceUnavailable

TIMEOUT_S = 60.0
_BLOCK_BYTES = 1 << 20
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEAD_REFUSED = frozenset({400, 403, 404, 405, 501})

Source = Mapping[str, Any]


# -- files and folders -------------------------------------------------------------------------------------------------


def resolve_file(source: Source | None) -> Path | None:
    """The file that a source names. Raises SourceMissing."""
    return None if source is None else _existing(source, os.path.isfile, "file")


def resolve_folder(source: Source | None) -> Path | None:
    """The folder that a source names. Raises SourceMissing."""
    return None if source is None else _existing(source, os.path.isdir, "folder")


def resolve_any(source: Source | None) -> Path | None:
    """The file or folder that a source names, or what its address answers."""
    kind = source.get("source") if source is not None else None
    if kind == "url":
        return fetch_url(probe_url(source))
    return resolve_folder(source) if kind == "folder" else resolve_file(source)


def _existing(source: Source, is_one: Callable[[str], bool], what: str) -> Path:
    path = _text(source, "path")
    if is_one(path):
        return Path(os.path.abspath(path))
    if os.path.exists(path):
        other = "folder" if what == "file" else "file"
        raise SourceMissing(f"{path} is not a {what}", fix=f"Declare it as {other.capitalize()}({path!r}).")
    raise SourceMissing(
        f"there is no {what} {path}", fix="Paths are relative to the project's folder; -p NAME=PATH names another."
    )


def _text(source: Source, name: str) -> str:
    given = source.get(name)
    if not isinstance(given, str) or not given:
        raise SourceMissing(f"a source without {name}: {dict(source)!r:.200}")
    return given


# -- addresses ---------------------------------------------------------------------------------------------------------


def probe_url(source: Source | None) -> dict[str, Any] | None:
    """What tells whether the answer of an address has changed: its entity tag, else when it was last modified, else a
    digest of all of it. Raises SourceMissing, SourceUnavailable."""
    if source is None:
        return None
    address = _text(source, "url")
    headers = _headers(address)
    seen = _marks(headers)
    return {"source": "url", "url": address, **(seen or {"digest": _digest_of(address)})}


def fetch_url(source: Source | None) -> Path | None:
    """Fetch what a probe has seen. Raises SourceMissing, SourceUnavailable, also where it changed in between."""
    if source is None:
        return None
    address = _text(source, "url")
    path = _named(scratch.fresh(), address)
    digest = sha256()
    with _answer(address) as (answer, headers), path.open("xb") as file:
        while block := answer.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
    now = _marks(headers) if "digest" not in source else {"digest": digest.hexdigest()}
    if any(source[name] != mark for name, mark in now.items() if name in source):
        raise SourceUnavailable(f"{address} changed while it was fetched", fix="Run again.")
    return path


def _named(folder: Path, address: str) -> Path:
    folder.mkdir()
    name = re.sub(r"[?#].*", "", address).rstrip("/").rpartition("/")[2]
    return folder / (re.sub(r"[^\w.-]", "_", name).lstrip(".") or "content")


def _headers(address: str) -> Mapping[str, str]:
    try:
        with _answer(address, method="HEAD") as (_answered, headers):
            return headers
    except _Answered as refused:
        if refused.status not in _HEAD_REFUSED:
            raise refused.explained from None
    with _answer(address) as (_answered, headers):  # the answer itself is not read
        return headers


def _marks(headers: Mapping[str, str]) -> dict[str, str]:
    if tag := headers.get("ETag"):
        return {"etag": tag}
    if modified := headers.get("Last-Modified"):
        length = headers.get("Content-Length")
        return {"modified": modified, **({"length": length} if length else {})}
    return {}


def _digest_of(address: str) -> str:
    digest = sha256()
    with _answer(address) as (answer, _unread):
        while block := answer.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


class _Answered(Exception):
    """The server answered with an error to a HEAD request."""

    def __init__(self, status: int, explained: Exception) -> None:
        super().__init__(status)
        self.status = status
        self.explained = explained


@contextmanager
def _answer(address: str, method: str = "GET") -> Iterator[tuple[Any, Mapping[str, str]]]:
    """(open answer, headers) of an address over http or https."""
    urllib_error, urllib_request = import_module("urllib.error"), import_module("urllib.request")
    if not re.match(r"https?://", address):
        raise SourceMissing(f"{address} is not an address over http or https")
    full, secrets = _expanded(address)
    request = urllib_request.Request(
        full, method=method, headers={"User-Agent": "penstock", "Accept-Encoding": "identity"}
    )
    try:
        with urllib_request.urlopen(request, timeout=TIMEOUT_S) as answer:
            yield answer, answer.headers
    except urllib_error.HTTPError as error:
        error.close()
        kind = SourceMissing if error.code in (404, 410) else SourceUnavailable
        explained = kind(f"{address} answers {error.code} {_masked(str(error.reason), secrets)}")
        if method == "HEAD":
            raise _Answered(error.code, explained) from None
        raise explained from None
    except (OSError, import_module("http.client").HTTPException) as error:
        raise SourceUnavailable(f"{address} cannot be reached: {_masked(str(error), secrets)}") from None


# -- tables ------------------------------------------------------------------------------------------------------------


def probe_table(source: Source | None) -> dict[str, Any] | None:
    """What tells whether a table has changed: a digest of what its version query answers, or of its rows where it has
    none. Raises SourceMissing, SourceUnavailable."""
    if source is None:
        return None
    version = source.get("version")
    _names, rows = _selected(source, version if version is not None else _text(source, "query"))
    return {**source, "seen": _digest_of_rows(rows)}


def read_table_rows(source: Source | None) -> list[dict[str, Any]] | None:
    """The rows as dicts of JSON data: times as ISO 8601, decimals as text."""
    if source is None:
        return None
    names, rows = _seen_rows(source)
    return [{name: _plain(cell) for name, cell in zip(names, row, strict=True)} for row in rows]


def read_table_pandas(source: Source | None) -> Any:
    if source is None:
        return None
    names, rows = _seen_rows(source)
    return import_module("pandas").DataFrame.from_records(rows, columns=names, coerce_float=True)


def read_table_polars(source: Source | None) -> Any:
    if source is None:
        return None
    names, rows = _seen_rows(source)
    return import_module("polars").DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def read_table_arrow(source: Source | None) -> Any:
    if source is None:
        return None
    names, rows = _seen_rows(source)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return import_module("pyarrow").table([list(column) for column in columns], names=names)


def _seen_rows(seen: Source) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The rows of a table that still is as a probe has seen it."""
    names, rows = _selected(seen, _text(seen, "query"))
    version = seen.get("version")
    now = _selected(seen, version)[1] if version is not None else rows
    if _digest_of_rows(now) != seen.get("seen"):
        raise SourceUnavailable(f"the table of {_text(seen, 'url')} changed while it was read", fix="Run again.")
    return names, rows


def _selected(source: Source, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """(names of columns, rows) that a query answers. Nothing that it changes is kept."""
    address = _text(source, "url")
    full, secrets = _expanded(address)
    try:
        sqlalchemy = import_module("sqlalchemy")
    except ImportError as error:
        raise SourceUnavailable("SQLAlchemy is needed to read a table", fix="Run: pip install sqlalchemy") from error
    _check_database(full)
    try:
        engine = sqlalchemy.create_engine(full, poolclass=import_module("sqlalchemy.pool").NullPool)
        try:
            with engine.connect() as connection:
                answer = connection.execute(sqlalchemy.text(query))
                return [str(name) for name in answer.keys()], [tuple(row) for row in answer]  # noqa: SIM118 - not a dict
        finally:
            engine.dispose()
    except (import_module("sqlalchemy.exc").SQLAlchemyError, ImportError) as error:
        text = _masked(str(getattr(error, "orig", None) or error), secrets)
        raise SourceUnavailable(f"{address} cannot answer {query!r:.200}: {text}") from None


def _check_database(address: str) -> None:
    """A database of SQLite that is not there would be made, empty."""
    match = re.match(r"sqlite(?:\+\w+)?:///(?!file:)([^?]+)", address)
    if match is not None and match[1] != ":memory:" and not os.path.isfile(match[1]):
        raise SourceMissing(f"there is no database {match[1]}", fix="Paths are relative to the project's folder.")


def _digest_of_rows(rows: list[tuple[Any, ...]]) -> str:
    digest = sha256()
    for row in rows:
        digest.update(repr(tuple(bytes(c) if isinstance(c, (memoryview, bytearray)) else c for c in row)).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _plain(cell: Any) -> Any:
    if cell is None or type(cell) in (bool, int, float, str):
        return cell
    if hasattr(cell, "isoformat"):
        return cell.isoformat()
    return cell if isinstance(cell, (dict, list)) else str(cell)


# -- variables in addresses --------------------------------------------------------------------------------------------


def _expanded(address: str) -> tuple[str, tuple[str, ...]]:
    """(address with `${NAME}` read from the environment, what was put in). A password is written as an address needs it."""
    values: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if value is None:
            raise SourceMissing(
                f"the environment has no {match[1]}, which {address} needs",
                fix=f"Set {match[1]} where the run is started.",
            )
        values.append(value)
        is_password = (
            address[match.start() - 1 : match.start()] == ":" and address[match.end() : match.end() + 1] == "@"
        )
        return str(import_module("urllib.parse").quote(value, safe="")) if is_password else value

    return _VARIABLE.sub(value_of, address), tuple(value for value in values if value)


def _masked(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
