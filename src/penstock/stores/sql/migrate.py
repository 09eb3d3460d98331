"""Bringing an older database to the current schema version, with Alembic. Imported only when there is something to do:
a fresh database is made from `schema.sql`.

SQLite's locks make two processes at once safe: both wait for the one write lock, the second finds nothing left to
do."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from penstock.base.errors import StoreUnavailable
from penstock.stores.sql import complaints
from penstock.stores.sql.sqlite import BUSY_MS, connect
from penstock.stores.sql.versions import CURRENT

DEFECTS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
"""What a wrong statement in a revision comes to."""
SCRIPTS = Path(__file__).with_name("migrations")


def configuration(versions: Path | None = None) -> Config:
    """Alembic's settings. `versions`: another folder of revisions (for tests of revisions to come)."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions or SCRIPTS / "versions").replace("%", "%%"))
    return config


def migrate(path: Path, *, busy_ms: int = BUSY_MS, to: str = CURRENT, versions: Path | None = None) -> None:
    """Upgrade the database to version `to`, all of it or nothing.

    Raises StoreUnavailable naming the file and what failed.
    """
    config = configuration(versions)

    def open_database() -> sqlite3.Connection:
        connection = connect(path, busy_ms=busy_ms)
        # A revision that rebuilds a table must not trip over references to it; the check comes at the end.
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    engine = create_engine("sqlite://", creator=open_database, poolclass=NullPool)
    # The driver begins no transaction by itself, so that DDL stands in ours.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            _check_references(connection, path)
    except StoreUnavailable:
        raise
    except Exception as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, sqlite3.DatabaseError) and cause.sqlite_errorcode & 0xFF not in DEFECTS:
            raise complaints.from_sqlite(path, cause, busy_ms=busy_ms) from error
        raise StoreUnavailable(
            f"the state store {path} could not be brought to schema version {to}: {error}",
            fix="It is as it was before. Keep a copy of it, and report this as a defect of Penstock.",
        ) from error
    finally:
        with contextlib.suppress(sqlite3.Error):
            engine.dispose()


def _check_references(connection: Connection, path: Path) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StoreUnavailable(
            f"the state store {path} has {len(broken)} rows that refer to none (the first in table {broken[0][0]})",
            fix="It was left as it is. Restore it from a backup.",
        )
