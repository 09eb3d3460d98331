"""Runs, graphs, task runs, attempts, journal, inbox, leases, metrics, history.

A revision is history: it says what the tables were, not what they are, so it shares nothing with `schema`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=nullable, autoincrement=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _one_of(table: str, column: str, words: str) -> sa.CheckConstraint:
    condition = " OR ".join(f"{column} = '{word}'" for word in words.split(" "))
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{column}"))


def _run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name=op.f(f"fk_{table}_run_key"))


def upgrade() -> None:
    _graphs_and_runs()
    _task_runs()
    _attempts()
    _journal()
    _inbox_and_leases()
    _measured()


def _graphs_and_runs() -> None:
    op.create_table("graphs", _text("graph_digest"), _text("graph"), _primary("graphs", "graph_digest"))
    op.create_table(
        "runs",
        sa.Column("run_key", NUMBER, nullable=False),
        sa.Column("run_id", NAME, nullable=False),
        _text("pipeline"),
        _text("graph_digest"),
        _text("inputs"),
        _text("pin"),
        _text("seed"),
        _number("created_at"),
        _number("priority"),
        _text("retry_of", nullable=True),
        _text("labels"),
        _text("provenance"),
        _text("state"),
        _text("cause"),
        _text("stopping"),
        _number("started_at", nullable=True),
        _number("ended_at", nullable=True),
        _text("outputs"),
        _primary("runs", "run_key"),
        _one_of("runs", "state", "pending running succeeded failed cancelled"),
        _one_of("runs", "stopping", " fail_fast timed_out cancel kill"),
        sa.UniqueConstraint("run_id", name=op.f("uq_runs_run_id")),
        sa.ForeignKeyConstraint(["graph_digest"], ["graphs.graph_digest"], name=op.f("fk_runs_graph_digest")),
    )
    op.create_index("ix_runs_created_at", "runs", ["created_at", "run_id"])


def _task_runs() -> None:
    states = "waiting ready running backoff succeeded failed skipped cancelled"
    op.create_table(
        "task_runs",
        _number("run_key"),
        sa.Column("path", NAME, nullable=False),
        _text("component"),
        _text("state"),
        _text("cause"),
        _number("changed_at"),
        _text("origin", nullable=True),
        _text("outputs"),
        _number("attempt"),
        _number("failed_count"),
        _number("oom_count"),
        _number("lost_count"),
        _number("generation"),
        _number("ready_at", nullable=True),
        _number("retry_at", nullable=True),
        _number("started_at", nullable=True),
        _number("ended_at", nullable=True),
        _text("detail"),
        _primary("task_runs", "run_key", "path"),
        _one_of("task_runs", "state", states),
        _one_of("task_runs", "origin", "computed cached"),
        _run("task_runs"),
        sqlite_with_rowid=False,
    )


def _attempts() -> None:
    outcomes = (
        "succeeded failed timed_out out_of_memory lost cancelled skipped not_yet refused input_lost output_invalid"
    )
    op.create_table(
        "attempts",
        _number("run_key"),
        sa.Column("path", NAME, nullable=False),
        _number("number"),
        _text("state"),
        _text("executor"),
        _text("amounts"),
        _number("submitted_at"),
        _number("started_at", nullable=True),
        _number("ended_at", nullable=True),
        _number("duration_us"),
        _text("worker"),
        _text("outcome", nullable=True),
        _text("failure", nullable=True),
        sa.Column("cpu_ms", sa.Float(), nullable=False),
        _number("memory_bytes_peak"),
        _text("log_file", nullable=True),
        _number("log_offset", nullable=True),
        _number("log_size_bytes", nullable=True),
        _number("stop_at", nullable=True),
        _primary("attempts", "run_key", "path", "number"),
        _one_of("attempts", "state", "submitted started ended"),
        _one_of("attempts", "outcome", outcomes),
        _run("attempts"),
        sqlite_with_rowid=False,
    )


def _journal() -> None:
    op.create_table(
        "journal",
        _number("run_key"),
        _number("first_sequence"),
        _number("last_sequence"),
        _number("at"),
        _text("entries"),
        _primary("journal", "run_key", "first_sequence"),
        sa.CheckConstraint("last_sequence >= first_sequence", name=op.f("ck_journal_sequence")),
        _run("journal"),
        sqlite_with_rowid=False,
    )


def _inbox_and_leases() -> None:
    op.create_table(
        "inbox",
        sa.Column("message_key", NUMBER, nullable=False),
        sa.Column("message_id", NAME, nullable=False),
        _number("run_key"),
        _text("kind"),
        _number("posted_at"),
        _text("body"),
        _number("consumed_at", nullable=True),
        _primary("inbox", "message_key"),
        _one_of("inbox", "kind", "submit cancel"),
        sa.UniqueConstraint("message_id", name=op.f("uq_inbox_message_id")),
        _run("inbox"),
    )
    waiting = sa.text("consumed_at IS NULL")
    op.create_index("ix_inbox_waiting", "inbox", ["run_key"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "leases",
        _number("run_key"),
        _number("epoch"),
        _text("host"),
        _text("boot_id"),
        _number("pid"),
        _number("process_started"),
        _text("token"),
        _number("expires_at", nullable=True),
        _primary("leases", "run_key"),
        _run("leases"),
    )


def _measured() -> None:
    op.create_table(
        "metrics",
        sa.Column("metric_key", NUMBER, nullable=False),
        _number("run_key"),
        sa.Column("path", NAME, nullable=False),
        _number("number"),
        _text("name"),
        sa.Column("value", sa.Float()),
        _number("step", nullable=True),
        _number("at"),
        _primary("metrics", "metric_key"),
        _run("metrics"),
    )
    op.create_index("ix_metrics_path", "metrics", ["run_key", "path"])
    op.create_table(
        "component_history",
        _text("component"),
        _number("succeeded_count"),
        _number("duration_us"),
        _primary("component_history", "component"),
        sqlite_with_rowid=False,
    )
