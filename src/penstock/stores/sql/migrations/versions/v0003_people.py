"""What attempts were given, used and read: bytes of inputs, GPUs, disk, files; figures and tables that they log, and how far
they are; what they teach about the memory of their components.

A revision is history: it says what the tables were, not what they are, so it shares nothing with `schema`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Written out: Alembic adds no column to a table of SQLite without copying the whole of it.
    for name, type_ in (
        ("input_bytes", "INTEGER"),
        ("gpu_memory_bytes_peak", "INTEGER"),
        ("gpu_percent_mean", "FLOAT"),
        ("disk_bytes_peak", "INTEGER"),
    ):
        wide = "BIGINT" if type_ == "INTEGER" and op.get_context().dialect.name == "postgresql" else type_
        op.execute(f"ALTER TABLE attempts ADD COLUMN {name} {wide} DEFAULT '0' NOT NULL")
    op.execute("ALTER TABLE attempts ADD COLUMN reads TEXT DEFAULT '{}' NOT NULL")
    op.execute("ALTER TABLE attempts ADD COLUMN outside TEXT DEFAULT '[]' NOT NULL")
    op.execute("ALTER TABLE runs ADD COLUMN learned TEXT DEFAULT '{}' NOT NULL")
    _side()
    _learning()


NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _side() -> None:
    op.create_table(
        "exhibits",
        *_attempt(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        _number("at"),
        sa.PrimaryKeyConstraint("run_key", "path", "number", "kind", "name", name=op.f("pk_exhibits")),
        sa.CheckConstraint("kind = 'figure' OR kind = 'table'", name=op.f("ck_exhibits_kind")),
        sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name=op.f("fk_exhibits_run_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "progress",
        *_attempt(),
        _number("done"),
        _number("total", nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        _number("at"),
        sa.PrimaryKeyConstraint("run_key", "path", "number", name=op.f("pk_progress")),
        sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name=op.f("fk_progress_run_key")),
        sqlite_with_rowid=False,
    )


def _learning() -> None:
    op.create_table(
        "component_memory",
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("runs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("component", name=op.f("pk_component_memory")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "component_worked",
        sa.Column("component", sa.Text(), nullable=False),
        _number("input_class"),
        _number("memory_bytes"),
        sa.PrimaryKeyConstraint("component", "input_class", name=op.f("pk_component_worked")),
        sqlite_with_rowid=False,
    )


def _attempt() -> tuple[sa.Column[int], sa.Column[str], sa.Column[int]]:
    return _number("run_key"), sa.Column("path", NAME, nullable=False), _number("number")


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=nullable)
