"""What one source file says, as plain data that can be kept between processes: its top-level statements, what each
binds, reaches and does when the module is imported."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 4
"""Part of what facts are kept under: raise it when the same source gives other facts."""
_DIGEST_BYTES = 32


@dataclass(slots=True)
class Statement:
    """A top-level statement. `plain` is the digest of its normal form, `full` that with docstrings and annotations,
    `raw` that of its text. `refs` are chains (see `references`), `annotations` those of annotations that count in the
    signature of a component only. `stores` are chains that it stores into at import, `calls` pairs of a chain that it
    calls then and how (`alone`, `decorator`, `inside`), `mutates` what its functions change when they are called.
    `has_effect`: it does something else at import. `readers` are decorators and bases, `bases` the bases alone."""

    kind: str
    first: int
    last: int
    binds: tuple[str, ...]
    plain: str
    full: str
    raw: str
    refs: tuple[str, ...]
    annotations: tuple[str, ...]
    imports: tuple[str, ...]
    stores: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]
    mutates: tuple[str, ...]
    has_effect: bool
    flags: int
    readers: tuple[str, ...]
    bases: tuple[str, ...]
    variables: tuple[str, ...]
    suspects: tuple[tuple[str, int], ...]
    natives: tuple[tuple[str, str, int], ...]
    functions: tuple[str, ...]


@dataclass(slots=True)
class Facts:
    """One source file. `imports` are names that imports at the top bind, with what they stand for; `stars` modules of
    which everything is imported; `runs` modules whose import this one's import causes; `dynamic`: it binds names that
    cannot be read off. `error` where the source does not parse."""

    module: str
    is_package: bool
    statements: tuple[Statement, ...]
    imports: Mapping[str, tuple[str, ...]]
    stars: tuple[str, ...]
    runs: tuple[str, ...]
    dynamic: bool
    error: str = ""


def facts_to_data(facts: Facts) -> Any:
    names = Statement.__slots__
    rows = [tuple(getattr(statement, name) for name in names) for statement in facts.statements]
    return (
        facts.module,
        facts.is_package,
        rows,
        dict(facts.imports),
        facts.stars,
        facts.runs,
        facts.dynamic,
        facts.error,
    )


def facts_from_data(data: Any) -> Facts:
    module, is_package, rows, *rest = data
    return Facts(module, is_package, tuple(Statement(*row) for row in rows), *rest)


class Kept:
    """Plain data kept in a folder that may be emptied at any time, under names that say all that it depends on. One
    that is damaged is as if it were not there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder / "code" if folder is not None else None

    def read(self, name: str) -> Any:
        """None where there is nothing."""
        if self._folder is None:
            return None
        try:
            stored = (self._folder / name).read_bytes()
            if hashlib.sha256(stored[_DIGEST_BYTES:]).digest() != stored[:_DIGEST_BYTES]:
                return None
            return marshal.loads(stored[_DIGEST_BYTES:])
        except (OSError, EOFError, ValueError, TypeError):
            return None

    def write(self, name: str, data: Any) -> None:
        if self._folder is None:
            return
        stored = marshal.dumps(data)
        unfinished = self._folder / f"{name}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.write_bytes(hashlib.sha256(stored).digest() + stored)
            os.replace(unfinished, self._folder / name)
        except OSError:
            pass  # a full or read-only disk costs the time to read the sources again, no more

    def prune(self, prefix: str, *, files_max: int) -> None:
        """Keep the newest files whose names start with `prefix`."""
        if self._folder is None:
            return
        try:
            files = [entry for entry in os.scandir(self._folder) if entry.name.startswith(prefix)]
            if len(files) > files_max:
                for entry in sorted(files, key=lambda entry: entry.stat().st_mtime_ns)[: len(files) - files_max // 2]:
                    os.unlink(entry.path)
        except OSError:
            pass  # somebody else is at it
