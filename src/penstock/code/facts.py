"""What one source file says, as plain data that can be kept between processes: its top-level statements, what each
binds, reaches and does when the module is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FACTS = "code"
"""The folder, next to that of compiled code, in which facts are kept."""
VERSION = 9
"""Part of what facts are kept under: raise it when the same source gives other facts."""


@dataclass(slots=True)
class Statement:
    """A top-level statement. `plain` is the digest of its normal form, `named` that with the names and the order that were
    written, `full` that with docstrings and annotations, `raw` that of its text. `refs` are chains (see `references`),
    `returned` those among them that only the return annotation has, `annotations` those of annotations that count where
    something reads them. `stores` are chains that it stores into at
    import, `calls` pairs of a chain that it calls then and how (`alone`, `decorator`, `inside`), `mutates` what its functions
    change when they are called. `has_effect`: it does something else at import. `readers` are decorators and bases, `bases`
    the bases alone."""

    kind: str
    first: int
    last: int
    binds: tuple[str, ...]
    plain: str
    named: str
    full: str
    raw: str
    refs: tuple[str, ...]
    returned: tuple[str, ...]
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
