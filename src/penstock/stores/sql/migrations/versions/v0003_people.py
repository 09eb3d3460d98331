"""What attempts were given and used: bytes of inputs, GPUs, disk.

A revision is history: it says what the tables were, not what they are, so it shares nothing with `schema`."""

from __future__ import annotations

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
