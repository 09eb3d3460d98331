"""Keys of task runs, code and use of the cache of runs; cache entries, claims, lineage, nondeterminism.

A revision is history: it says what the tables were, not what they are, so it shares nothing with `schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PAGE = 1_000


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=nullable, autoincrement=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _name(name: str) -> sa.Column[str]:
    return sa.Column(name, NAME, nullable=False)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name=op.f(f"fk_{table}_run_key"))


def upgrade() -> None:
    _columns()
    _entries_and_claims()
    _lineage()


def _columns() -> None:
    # Written out: Alembic adds no column with a constraint to a table of SQLite without copying the whole of it.
    op.execute("ALTER TABLE runs ADD COLUMN code TEXT DEFAULT '' NOT NULL")
    op.execute(
        "ALTER TABLE runs ADD COLUMN cache TEXT DEFAULT 'use' NOT NULL "
        "CONSTRAINT ck_runs_cache CHECK (cache = 'use' OR cache = 'write')"
    )
    op.execute('ALTER TABLE task_runs ADD COLUMN "key" TEXT')


def _entries_and_claims() -> None:
    op.create_table(
        "cache_entries",
        sa.Column("entry_key", NUMBER, nullable=False),
        _name("key"),
        _text("component"),
        _text("run_id"),
        _text("path"),
        _number("attempt"),
        _text("outputs"),
        _text("code"),
        _text("environment"),
        _text("inputs"),
        _text("reads"),
        _number("created_at"),
        _number("expires_at", nullable=True),
        _number("duration_us"),
        _primary("cache_entries", "entry_key"),
    )
    op.create_index("ix_cache_entries_key", "cache_entries", ["key", "entry_key"])
    op.create_index("ix_cache_entries_component", "cache_entries", ["component", "created_at"])
    op.create_table(
        "claims",
        _name("key"),
        _number("run_key"),
        _text("path"),
        _primary("claims", "key"),
        _run("claims"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nondeterminism",
        _name("component"),
        _number("at"),
        _text("detail"),
        _primary("nondeterminism", "component"),
        sqlite_with_rowid=False,
    )


def _lineage() -> None:
    op.create_table(
        "artifacts",
        _number("run_key"),
        _name("path"),
        _text("role"),
        _name("name"),
        _name("digest"),
        _primary("artifacts", "run_key", "path", "role", "name", "digest"),
        sa.CheckConstraint("role = 'in' OR role = 'out'", name=op.f("ck_artifacts_role")),
        _run("artifacts"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_artifacts_digest", "artifacts", ["digest"])
    connection = op.get_bind()
    made = connection.execute(
        sa.text(
            "SELECT run_key, path, outputs FROM task_runs "
            "WHERE state = 'succeeded' AND component LIKE '%:%' AND outputs <> '{}'"
        )
    )
    insert = sa.text(
        "INSERT INTO artifacts (run_key, path, role, name, digest) VALUES (:run, :path, 'out', :name, :digest)"
    )
    for page in made.partitions(PAGE):
        links = {
            (run, path, name, digest)
            for run, path, outputs in page
            for name, datum in json.loads(outputs).items()
            for digest in _digests(datum)
        }
        if links:
            names = ("run", "path", "name", "digest")
            connection.execute(insert, [dict(zip(names, link, strict=True)) for link in sorted(links)])


def _digests(datum: dict[str, Any]) -> Iterator[str]:
    """The artifacts in the JSON of a datum: an inline value (which may look like anything), a list, or one artifact."""
    if "value" in datum:
        return
    if "items" in datum:
        for item in datum["items"]:
            yield from _digests(item)
    else:
        yield datum["artifact"]
