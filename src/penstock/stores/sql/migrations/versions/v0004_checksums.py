"""Rows carry checksums. Those that are there already keep none, as nobody can say any more that they are what was written.

A revision is history: it says what the tables were, not what they are, so it shares nothing with `schema`."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    "graphs",
    "task_runs",
    "attempts",
    "journal",
    "metrics",
    "exhibits",
    "progress",
    "cache_entries",
    "artifacts",
    "nondeterminism",
)


def upgrade() -> None:
    # Written out: Alembic adds no column to a table of SQLite without copying the whole of it.
    number = "BIGINT" if op.get_context().dialect.name == "postgresql" else "INTEGER"
    for name in ("fixed_checksum", "checksum"):
        op.execute(f"ALTER TABLE runs ADD COLUMN {name} {number}")
    op.execute("ALTER TABLE runs ADD COLUMN row_counts TEXT")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN checksum {number}")
