"""The tables of the state store, as SQLAlchemy Core. Knows names, types and closed vocabularies; no statement.

Conventions: times are whole milliseconds since the epoch, `*_key` are integers of this database only, text that holds
JSON says so in a comment here, NULL means that there is no such thing (not yet). Vocabularies are closed by CHECK
constraints.

Importing this module imports SQLAlchemy, which a first run must not pay for: the running program reads `schema.sql`,
made from here by `python -m penstock.stores.sql.schema`, and a test holds the two, and the migrations, against each
other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from penstock.engine.states import AttemptState, Origin, RunState, TaskState
from penstock.stores.sql.cache_codec import ROLES
from penstock.stores.sql.codec import CACHES, MESSAGE_KINDS, STOPPINGS
from penstock.stores.sql.sums import CHECKSUM
from penstock.stores.sql.versions import CURRENT
from penstock.wire import EXHIBIT_KINDS, OUTCOME_KINDS

Number = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits everywhere; SQLite makes a rowid of a key only when it is called INTEGER."""

Name = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is sorted by code points, as Python and SQLite do."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def _one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """Not `IN (...)`: SQLite makes a table of the list for every single row, which costs as much as writing it."""
    return CheckConstraint(" OR ".join(f"{column} = '{word}'" for word in words), name=column)


def _checksum(name: str = CHECKSUM) -> Column[int]:
    """Of all other columns (`sums`); NULL in rows that were written before there were any."""
    return Column(name, Number)


def _run_key() -> Column[int]:
    return Column("run_key", Number, ForeignKey("runs.run_key"), primary_key=True, autoincrement=False)


alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table: the schema's version, in one row."""

graphs = Table(
    "graphs",
    metadata,
    Column("graph_digest", Text, primary_key=True),
    Column("graph", Text, nullable=False),  # JSON
    _checksum(),
)

runs = Table(
    "runs",
    metadata,
    Column("run_key", Number, primary_key=True),
    Column("run_id", Name, nullable=False, unique=True),
    Column("pipeline", Text, nullable=False),
    Column("graph_digest", Text, ForeignKey("graphs.graph_digest"), nullable=False),
    Column("inputs", Text, nullable=False),  # JSON of data by name
    Column("pin", Text, nullable=False),
    Column("seed", Text, nullable=False),  # decimal: a seed may be longer than 64 bits
    Column("created_at", Number, nullable=False),
    Column("priority", Number, nullable=False),
    Column("retry_of", Text),
    Column("labels", Text, nullable=False),  # JSON
    Column("provenance", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),  # JSON: code, by, text
    Column("stopping", Text, nullable=False),
    Column("started_at", Number),
    Column("ended_at", Number),
    Column("outputs", Text, nullable=False),  # JSON of data by name
    Column("code", Text, nullable=False, server_default=""),
    # The constraint stands with its column, as a column that was added later has it.
    Column("cache", Text, _one_of("cache", CACHES), nullable=False, server_default="use"),
    Column("learned", Text, nullable=False, server_default="{}"),  # JSON by component
    _checksum("fixed_checksum"),  # of what never changes
    _checksum(),  # of what does
    Column("row_counts", Text),  # how many rows other tables have of the run, once it has ended
    _one_of("state", RunState),
    _one_of("stopping", STOPPINGS),
)
Index("ix_runs_created_at", runs.c.created_at, runs.c.run_id)

task_runs = Table(
    "task_runs",
    metadata,
    _run_key(),
    Column("path", Name, primary_key=True),
    Column("component", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),  # JSON: code, by, text
    Column("changed_at", Number, nullable=False),
    Column("origin", Text),
    Column("outputs", Text, nullable=False),  # JSON of data by name
    Column("attempt", Number, nullable=False),
    Column("failed_count", Number, nullable=False),
    Column("oom_count", Number, nullable=False),
    Column("lost_count", Number, nullable=False),
    Column("generation", Number, nullable=False),
    Column("ready_at", Number),
    Column("retry_at", Number),
    Column("started_at", Number),
    Column("ended_at", Number),
    Column("detail", Text, nullable=False),  # JSON
    Column("key", Text),
    _checksum(),
    _one_of("state", TaskState),
    _one_of("origin", Origin),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    _run_key(),
    Column("path", Name, primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("executor", Text, nullable=False),
    Column("amounts", Text, nullable=False),  # JSON: pairs of name and amount
    Column("submitted_at", Number, nullable=False),
    Column("started_at", Number),
    Column("ended_at", Number),
    Column("duration_us", Number, nullable=False),
    Column("worker", Text, nullable=False),
    Column("outcome", Text),
    Column("failure", Text),  # JSON
    Column("cpu_ms", Float, nullable=False),
    Column("memory_bytes_peak", Number, nullable=False),
    Column("log_file", Text),
    Column("log_offset", Number),
    Column("log_size_bytes", Number),
    Column("stop_at", Number),
    Column("input_bytes", Number, nullable=False, server_default="0"),
    Column("gpu_memory_bytes_peak", Number, nullable=False, server_default="0"),
    Column("gpu_percent_mean", Float, nullable=False, server_default="0"),
    Column("disk_bytes_peak", Number, nullable=False, server_default="0"),
    Column("reads", Text, nullable=False, server_default="{}"),  # JSON: digest by project-relative path
    Column("outside", Text, nullable=False, server_default="[]"),  # JSON: names
    _checksum(),
    _one_of("state", AttemptState),
    _one_of("outcome", OUTCOME_KINDS),
    sqlite_with_rowid=False,
)

# One row per commit and run, so that a commit costs one page of it.
journal = Table(
    "journal",
    metadata,
    _run_key(),
    Column("first_sequence", Number, primary_key=True, autoincrement=False),
    Column("last_sequence", Number, nullable=False),
    Column("at", Number, nullable=False),
    Column("entries", Text, nullable=False),  # JSON: machine, id, before, after, code, by, text of each transition
    _checksum(),
    CheckConstraint("last_sequence >= first_sequence", name="sequence"),
    sqlite_with_rowid=False,
)

inbox = Table(
    "inbox",
    metadata,
    Column("message_key", Number, primary_key=True),
    Column("message_id", Name, nullable=False, unique=True),
    Column("run_key", Number, ForeignKey("runs.run_key"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("posted_at", Number, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("consumed_at", Number),
    _one_of("kind", MESSAGE_KINDS),
)
Index(
    "ix_inbox_waiting",
    inbox.c.run_key,
    sqlite_where=text("consumed_at IS NULL"),
    postgresql_where=text("consumed_at IS NULL"),
)

# A released lease keeps its row, with no expiry: the next holder's epoch must be a higher one.
leases = Table(
    "leases",
    metadata,
    _run_key(),
    Column("epoch", Number, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Number, nullable=False),
    Column("process_started", Number, nullable=False),
    Column("token", Text, nullable=False),
    Column("expires_at", Number),
)

metrics = Table(
    "metrics",
    metadata,
    Column("metric_key", Number, primary_key=True),
    Column("run_key", Number, ForeignKey("runs.run_key"), nullable=False),
    Column("path", Name, nullable=False),
    Column("number", Number, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float),  # NULL is NaN, which SQLite cannot hold
    Column("step", Number),
    Column("at", Number, nullable=False),
    _checksum(),
)
Index("ix_metrics_path", metrics.c.run_key, metrics.c.path)

# Figures and tables that attempts logged; of one name the last one.
exhibits = Table(
    "exhibits",
    metadata,
    _run_key(),
    Column("path", Name, primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("artifact", Text, nullable=False),  # JSON of a datum
    Column("at", Number, nullable=False),
    _checksum(),
    _one_of("kind", EXHIBIT_KINDS),
    sqlite_with_rowid=False,
)

# The last word of each attempt on how far it is.
progress = Table(
    "progress",
    metadata,
    _run_key(),
    Column("path", Name, primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("done", Number, nullable=False),
    Column("total", Number),
    Column("text", Text, nullable=False),
    Column("at", Number, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

component_history = Table(
    "component_history",
    metadata,
    Column("component", Text, primary_key=True),
    Column("succeeded_count", Number, nullable=False),
    Column("duration_us", Number, nullable=False),  # of all of them together
    sqlite_with_rowid=False,
)

component_memory = Table(
    "component_memory",
    metadata,
    Column("component", Text, primary_key=True),
    Column("runs", Text, nullable=False),  # JSON: the newest runs, each with its id, a count and its largest peaks
    sqlite_with_rowid=False,
)

component_worked = Table(
    "component_worked",
    metadata,
    Column("component", Text, primary_key=True),
    Column("input_class", Number, primary_key=True, autoincrement=False),
    Column("memory_bytes", Number, nullable=False),
    sqlite_with_rowid=False,
)

# Entries outlive the runs that wrote them. They are only ever added and deleted; of one key the greatest `entry_key`
# is the newest.
cache_entries = Table(
    "cache_entries",
    metadata,
    Column("entry_key", Number, primary_key=True),
    Column("key", Name, nullable=False),
    Column("component", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("attempt", Number, nullable=False),
    Column("outputs", Text, nullable=False),  # JSON of data by name
    Column("code", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("inputs", Text, nullable=False),  # JSON: digest of the identity by name
    Column("reads", Text, nullable=False),  # JSON: digest by project-relative path
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number),
    Column("duration_us", Number, nullable=False),
    _checksum(),
)
Index("ix_cache_entries_key", cache_entries.c.key, cache_entries.c.entry_key)
Index("ix_cache_entries_component", cache_entries.c.component, cache_entries.c.created_at)

# One row per key that is being computed. It counts as long as the lease of its run lasts.
claims = Table(
    "claims",
    metadata,
    Column("key", Name, primary_key=True),
    Column("run_key", Number, ForeignKey("runs.run_key"), nullable=False),
    Column("path", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Which task run of a function was given and made which artifact; nothing about values that travel inline.
artifacts = Table(
    "artifacts",
    metadata,
    _run_key(),
    Column("path", Name, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("digest", Name, primary_key=True),
    _checksum(),
    _one_of("role", ROLES),
    sqlite_with_rowid=False,
)
Index("ix_artifacts_digest", artifacts.c.digest)

nondeterminism = Table(
    "nondeterminism",
    metadata,
    Column("component", Name, primary_key=True),
    Column("at", Number, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    _checksum(),
    sqlite_with_rowid=False,
)


def schema_sql() -> str:
    """Everything that makes a fresh SQLite database, each statement ended by a semicolon and an empty line."""
    dialect = sqlite.dialect()
    statements: list[str] = []
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        ordered = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in ordered]
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{CURRENT}')")
    lines = ("\n".join(line.rstrip() for line in s.strip().splitlines()) for s in statements)
    return "".join(f"{statement};\n\n" for statement in lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("schema.sql").write_text(schema_sql())
