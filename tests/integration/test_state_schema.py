"""The schema is written three times (tables, `schema.sql`, migrations) and is one schema; older databases are brought
to it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from penstock.base.errors import StoreUnavailable
from penstock.effects import ArtifactLink, Found
from penstock.stores.sql import cache_codec, codec, open_state, schema, side
from penstock.stores.sql.migrate import configuration, migrate
from penstock.stores.sql.sqlite import is_current
from penstock.stores.sql.statements import RUN_SUMS
from penstock.stores.sql.sums import CHECKSUM
from penstock.stores.sql.versions import CURRENT, VERSIONS
from penstock.testing.conformance.state_rows import (
    ADA,
    LEASE_MS,
    NOW,
    begun,
    changed,
    commit,
    full_entry,
    full_task_run,
    run_row,
    table,
)
from penstock.wire import Counted, Inline, data_to_json

SQL = Path(schema.__file__).with_name("schema.sql")

ADDS_A_COLUMN = """
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("runs", recreate="always") as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=False, server_default="none"))
"""
FAILS_LATE = ADDS_A_COLUMN + "    op.execute('INSERT INTO no_such_table VALUES (1)')\n"
BREAKS_A_REFERENCE = ADDS_A_COLUMN + "    op.execute('DELETE FROM runs')\n"


def contents(path: Path) -> dict[tuple[str, str], str]:
    """What a database is made of: each table and index with its text, blanks apart, and the stamped version."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        made = {(kind, name): re.sub(r"\s+", " ", text).strip() for kind, name, text in rows}
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return {**made, ("version", ""): repr(version)}


def at_base(path: Path) -> None:
    """A database that Alembic has seen, older than everything."""
    path.touch()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.commit()
    connection.close()


def test_schema_sql_is_made_from_the_tables() -> None:
    assert SQL.read_text() == schema.schema_sql(), "run python -m penstock.stores.sql.schema"


def test_tables_file_and_migrations_make_the_same_database(tmp_path: Path) -> None:
    open_state(tmp_path / "file.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(schema.alembic_version.insert().values(version_num=CURRENT))
    engine.dispose()
    (tmp_path / "migrated.db").touch()
    migrate(tmp_path / "migrated.db")
    made = contents(tmp_path / "file.db")
    assert len(made) == 25, "eighteen tables, six indexes, one version"
    assert made == contents(tmp_path / "tables.db") == contents(tmp_path / "migrated.db")


def test_alembic_finds_nothing_to_change(tmp_path: Path) -> None:
    open_state(tmp_path / "state.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_versions_are_the_revisions() -> None:
    script = ScriptDirectory.from_config(configuration())
    assert script.get_heads() == [CURRENT]
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == VERSIONS
    assert list(VERSIONS) == [f"{number:04d}" for number in range(1, len(VERSIONS) + 1)]


def test_the_codec_knows_every_column() -> None:
    def columns(table: str) -> list[str]:
        return [column.name for column in schema.metadata.tables[table].columns]

    # A column of the fixed part that was added later stands last in the table.
    assert sorted(columns("runs")) == sorted(["run_key", *codec.RUN_COLUMNS, *RUN_SUMS, "row_counts"])
    assert columns("task_runs") == [*codec.TASK_RUN_COLUMNS, CHECKSUM]
    assert columns("attempts") == [*codec.ATTEMPT_COLUMNS, CHECKSUM]
    assert columns("leases") == ["run_key", *codec.LEASE_COLUMNS]
    assert columns("metrics") == ["metric_key", *codec.METRIC_COLUMNS, CHECKSUM]
    assert columns("exhibits") == [*side.EXHIBIT_COLUMNS, CHECKSUM]
    assert columns("progress") == [*side.PROGRESS_COLUMNS, CHECKSUM]
    assert columns("cache_entries") == ["entry_key", *cache_codec.ENTRY_COLUMNS, CHECKSUM]
    assert columns("claims") == list(cache_codec.CLAIM_COLUMNS)
    assert columns("artifacts") == [*cache_codec.ARTIFACT_COLUMNS, CHECKSUM]
    assert columns("nondeterminism") == [*cache_codec.NONDETERMINISM_COLUMNS, CHECKSUM]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("runs", "state"),
        ("runs", "stopping"),
        ("runs", "cache"),
        ("inbox", "kind"),
        ("journal", "last_sequence"),
        ("artifacts", "role"),
    ],
)
def test_vocabularies_are_closed(tmp_path: Path, table: str, column: str) -> None:
    store = open_state(tmp_path / "state.db")
    begun(store)
    store.close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("INSERT INTO journal VALUES (1, 1, 1, 0, '[]', NULL)")
    connection.execute("INSERT INTO artifacts VALUES (1, 'fit', 'in', 'x', 'tree:0', NULL)")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(f"UPDATE {table} SET {column} = -1")
    connection.close()


def test_an_older_database_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    at_base(tmp_path / "old.db")
    store = open_state(tmp_path / "old.db")
    begun(store)
    store.close()
    open_state(tmp_path / "new.db").close()
    old, new = contents(tmp_path / "old.db"), contents(tmp_path / "new.db")
    del old["table", "alembic_version"], new["table", "alembic_version"]  # its key has no name here
    assert old == new


def test_a_database_of_the_first_version_gets_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    at_base(path)
    migrate(path, to="0001")
    outputs = data_to_json({"each": Counted((table("a"), table("b"), table("a"))), "text": Inline({"artifact": "x"})})
    row = '(1, ?, ?, ?, \'["","",""]\', 0, NULL, ?, 1, 0, 0, 0, 0, NULL, NULL, NULL, NULL, \'{}\')'
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO graphs VALUES ('g', '{}')")
        connection.execute(
            "INSERT INTO runs VALUES (1, 'run1', 'flights', 'g', '{}', 'pin', '7', 5, 0, NULL, '{}', '{}', "
            "'running', '[\"\",\"\",\"\"]', '', NULL, NULL, '{}')"
        )
        for name, component, state in (
            ("fit", "m:f", "succeeded"),
            ("map", "map", "succeeded"),
            ("bad", "m:f", "failed"),
        ):
            connection.execute(f"INSERT INTO task_runs VALUES {row}", (name, component, state, json.dumps(outputs)))
        connection.commit()
    store = open_state(path)
    run = store.run("run1")
    assert run is not None
    assert (run.code, run.cache, run.pin, run.created_at) == ("", "use", "pin", 5)
    assert [(task_run.path, task_run.key) for task_run in store.task_runs("run1")] == [
        ("bad", None),
        ("fit", None),
        ("map", None),
    ]
    links = [ArtifactLink(table(letter).digest, "run1", "fit", "out", "each") for letter in "ab"]
    assert list(store.artifacts_of("run1", "fit")) == links
    assert list(store.producers(table("b").digest)) == links[1:]
    assert set(store.digests_in_use()) == {link.digest for link in links}
    lease = store.acquire("run1", ADA, now=NOW, lease_ms=LEASE_MS)
    assert lease is not None
    commit(store, lease, changed(full_task_run("new"), "running"), entries=(full_entry("1" * 64),))
    assert store.look_up(["1" * 64], now=NOW) == {"1" * 64: Found(full_entry("1" * 64))}
    assert store.task_runs("run1")[-1] == full_task_run("new")
    store.close()
    open_state(tmp_path / "new.db").close()
    old, new = contents(path), contents(tmp_path / "new.db")
    del old["table", "alembic_version"], new["table", "alembic_version"]
    assert old == new


def test_two_processes_migrate_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "import penstock.stores.sql.migrate\n"
        "from penstock.stores.sql import open_state\n"
        "print('here', flush=True)\n"
        "sys.stdin.readline()\n"
        "store = open_state(pathlib.Path(sys.argv[1]))\n"
        "print(len(store.runs()), flush=True)\n"
    )
    at_base(tmp_path / "state.db")
    command = [sys.executable, "-c", code, str(tmp_path / "state.db")]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    answers = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        answers.append((process.communicate()[0], process.returncode))
    assert answers == [("0\n", 0), ("0\n", 0)]
    assert is_current(tmp_path / "state.db", busy_ms=1_000)


def test_many_processes_make_one_database(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from penstock.stores.sql import open_state\n"
        "from penstock.testing.conformance.state_rows import begun\n"
        "print('here', flush=True)\n"
        "sys.stdin.readline()\n"
        "store = open_state(pathlib.Path(sys.argv[1]))\n"
        "begun(store, sys.argv[2])\n"
        "print('done', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sub" / "state.db")]
    several = [
        subprocess.Popen([*command, f"run{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for process in several:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    for process in several:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in several] == ["done\n"] * 4
    store = open_state(tmp_path / "sub" / "state.db")
    assert {run.run_id for run in store.runs()} == {f"run{n}" for n in range(4)}
    store.close()


def with_revision(tmp_path: Path, text: str) -> Path:
    """A folder with today's revisions and one to come."""
    versions = tmp_path / "versions"
    versions.mkdir()
    for file in (SQL.parent / "migrations" / "versions").glob("*.py"):
        (versions / file.name).write_text(file.read_text())
    (versions / "v0005_next.py").write_text(text)
    return versions


def test_a_migration_keeps_what_is_there(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db")
    begun(store)
    store.close()
    migrate(tmp_path / "state.db", to="0005", versions=with_revision(tmp_path, ADDS_A_COLUMN))
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("SELECT run_id, seed, note FROM runs").fetchall() == [("run1", str(2**80 + 1), "none")]
    assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (1,)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0005",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with pytest.raises(StoreUnavailable, match="schema version 0005; this Penstock knows versions up to 0004"):
        open_state(tmp_path / "state.db")


@pytest.mark.parametrize("text", [FAILS_LATE, BREAKS_A_REFERENCE], ids=["fails late", "breaks a reference"])
def test_a_migration_that_fails_leaves_everything_as_it_was(tmp_path: Path, text: str) -> None:
    store = open_state(tmp_path / "state.db")
    begun(store)
    store.close()
    before = contents(tmp_path / "state.db")
    with pytest.raises(StoreUnavailable, match=re.escape(str(tmp_path / "state.db"))):
        migrate(tmp_path / "state.db", to="0005", versions=with_revision(tmp_path, text))
    assert contents(tmp_path / "state.db") == before
    store = open_state(tmp_path / "state.db")
    assert store.run("run1") == run_row()
    store.close()


def test_a_new_revision_can_be_written(tmp_path: Path) -> None:
    versions = with_revision(tmp_path, ADDS_A_COLUMN)
    command.revision(configuration(versions), message="and another", rev_id="0006", version_path=str(versions))
    written = next(versions.glob("0006*"))
    assert "down_revision = '0005'" in written.read_text()


def test_a_run_imports_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from penstock.stores.sql import open_state\n"
        "open_state(pathlib.Path(sys.argv[1])).runs()\n"
        "print(sorted({'sqlalchemy', 'alembic', 'asyncio', 'logging'} & set(sys.modules)))\n"
    )
    command_line = [sys.executable, "-c", code, str(tmp_path / "state.db")]
    assert subprocess.check_output(command_line, text=True) == "[]\n"
