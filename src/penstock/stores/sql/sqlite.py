"""The sqlite3 layer: opening, creating and checking a database file, transactions on it. Knows no table but the one
that holds the schema's version.

A `Database` may be used from any thread, by one at a time (it holds a lock); not across a fork. Its one connection is
dropped after an error that may have spoilt it and opened again at the next use, so that the object works on once the
cause is gone."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import RLock
from typing import TypeVar
from urllib.parse import quote

from penstock.base.errors import PenstockError, StoreUnavailable
from penstock.stores.sql import complaints
from penstock.stores.sql.place import refuse_network
from penstock.stores.sql.sums import UNREADABLE, RowDamaged
from penstock.stores.sql.versions import BASE, CURRENT, VERSIONS

BUSY_MS = 10_000
_HAS_VERSION = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
_VERSION = "SELECT version_num FROM alembic_version"
# After these the connection itself is as good as before; after any other it is opened anew.
_HARMLESS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT)

Answer = TypeVar("Answer")


class Database:
    """One SQLite file of the current schema version. Made where it does not exist, migrated where it is older.

    Raises StoreUnavailable (from every method) naming the file, what is wrong and what to do.
    """

    def __init__(self, path: Path, *, busy_ms: int = BUSY_MS) -> None:
        self.path = path.absolute()
        self._busy_ms = busy_ms
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._size_bytes = 0
        self._log_identity = (0, 0)
        self._closed = False
        refuse_network(self.path)
        with self._named():
            if not os.path.lexists(self.path):
                make(self.path)
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise complaints.not_a_file(self.path)
            check_writable(self.path)
            if not is_current(self.path, busy_ms=busy_ms):
                _migrate(self.path, busy_ms=busy_ms)
            self._connect()

    def write(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Do `work` in one transaction that holds the database's write lock. An exception rolls it back; a failed
        commit of unknown fate is CommitUnknown."""
        with self._lock:
            connection = self._usable()
            with self._named(), self._undone(connection):
                connection.execute("BEGIN IMMEDIATE")
                answer = work(connection)
            with self._undone(connection):
                try:
                    connection.execute("COMMIT")
                except sqlite3.Error as error:
                    raise complaints.from_commit(self.path, error, busy_ms=self._busy_ms) from error
            return answer

    def read(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Do `work` in one transaction: everything that it reads is of one moment."""
        with self._lock:
            connection = self._usable()
            with self._named(), self._undone(connection), _uncollected():
                connection.execute("BEGIN")
                answer = work(connection)
                connection.execute("COMMIT")
            return answer

    def close(self) -> None:
        """Repeatable. The last one to close a database moves the journal's content into it."""
        with self._lock:
            self._closed = True
            self._drop()

    # -- the connection

    def _usable(self) -> sqlite3.Connection:
        if self._closed:
            raise ValueError(f"the state store {self.path} was closed")
        try:
            seen = os.stat(self.path)
        except OSError:
            raise complaints.moved(self.path) from None
        check_writable(self.path)
        self._refuse_removed(seen)
        if self._connection is None or (seen.st_dev, seen.st_ino) != self._identity:
            # Another file, or none for a while: it is looked at as on the first day, but never made or migrated now.
            self._drop()
            with self._named():
                if not is_current(self.path, busy_ms=self._busy_ms):
                    raise complaints.not_usable(self.path, "another version was put in its place while it was in use")
                return self._connect()
        return self._connection

    def _refuse_removed(self, seen: os.stat_result) -> None:
        """SQLite goes on, from what it has in memory, when its files are cut short or removed. A database never becomes
        smaller, and its log is there as long as one connection is."""
        if self._connection is None or (seen.st_dev, seen.st_ino) != self._identity:
            self._size_bytes, self._log_identity = 0, (0, 0)
            return
        if seen.st_size < self._size_bytes:
            raise complaints.cut_short(self.path, size_bytes=seen.st_size, before_bytes=self._size_bytes)
        self._size_bytes = seen.st_size
        try:
            log = os.stat(f"{self.path}-wal")
        except OSError:
            log = None
        found = (0, 0) if log is None else (log.st_dev, log.st_ino)
        if self._log_identity not in ((0, 0), found):
            raise complaints.moved(Path(f"{self.path}-wal"))
        self._log_identity = found

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self.path, busy_ms=self._busy_ms)
        seen = os.stat(self.path)
        self._identity = (seen.st_dev, seen.st_ino)
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # What could not be moved out of the journal now is moved by whoever opens the database next.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What reading and writing raises, in words. What looks like a mistake of ours may come from damage, which is
        looked for then."""
        try:
            yield
        except PenstockError:
            raise
        except RowDamaged as error:
            raise complaints.damaged(self.path, str(error)) from error
        except OSError as error:
            raise complaints.from_system(self.path, error) from error
        except sqlite3.DatabaseError as error:
            if not isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)):
                raise complaints.from_sqlite(self.path, error, busy_ms=self._busy_ms) from error
            self._raise_damage(error)
            raise
        except UnicodeDecodeError as error:  # a name in the schema, or a text
            raise complaints.damaged(self.path, "a text in it is not what was written") from error
        except UNREADABLE as error:
            self._raise_damage(error)
            raise

    def _raise_damage(self, error: Exception) -> None:
        found = damage_in(self.path, busy_ms=self._busy_ms)
        if found:
            raise complaints.damaged(self.path, found) from error

    @contextlib.contextmanager
    def _undone(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Whatever is raised inside, no transaction stays open."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            cause = error if isinstance(error, sqlite3.Error) else error.__cause__
            spoilt = isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF not in _HARMLESS
            if spoilt or connection.in_transaction:
                self._drop()
            raise


def connect(path: Path, *, busy_ms: int, read_only: bool = False) -> sqlite3.Connection:
    """A connection to an existing file; transactions are begun and ended by hand."""
    mode = "ro" if read_only else "rw"
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False)
    if read_only:
        return connection
    try:
        _use_wal(connection, busy_ms=busy_ms)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, *, busy_ms: int) -> None:
    """Write-ahead logging, for good. Two processes that both switch to it may be refused without waiting, so wait
    here."""
    deadline = time.monotonic() + busy_ms / 1000
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise StoreUnavailable(
            f"the state store's file system has no shared memory for a write-ahead log (journal mode {mode!r})",
            fix="Set `state` below [tool.penstock] in pyproject.toml to a folder on another disk.",
        )


def damage_in(path: Path, *, busy_ms: int = BUSY_MS) -> str:
    """What SQLite finds wrong with the structure of a database, and of its schema; "" for nothing. It reads all of it."""
    try:
        with contextlib.closing(connect(path, busy_ms=busy_ms, read_only=True)) as connection:
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            referring = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    if found == "ok" and referring is not None:
        return f"a row of the table {referring[0]} refers to nothing"
    return "" if found == "ok" else found


def check_writable(path: Path) -> None:
    """Raises StoreUnavailable when a file of the database may not be written: its disk was remounted, its mode changed.

    Asked before every transaction, also one that only reads: SQLite notes readers in memory that is mapped from a file,
    and to touch that once it may not be written is no error but SIGBUS.
    """
    for suffix in ("", "-shm"):
        file = f"{path}{suffix}"
        if not os.access(file, os.W_OK) and os.path.lexists(file):
            raise complaints.read_only(path)


def is_current(path: Path, *, busy_ms: int) -> bool:
    """Whether the database is of the current version; False: it is older. Looks through a read-only connection: one that
    cannot be used is not changed by a byte. Raises StoreUnavailable, sqlite3.Error."""
    if path.stat().st_size == 0:
        raise complaints.not_usable(path, "it is empty, and should not be")  # to open it would remove its journal
    with contextlib.closing(connect(path, busy_ms=busy_ms, read_only=True)) as connection:
        if not connection.execute(_HAS_VERSION).fetchone()[0]:
            raise complaints.not_usable(path, "it is a database of another program")
        row = connection.execute(_VERSION).fetchone()
    version = str(row[0]) if row else BASE
    if version == CURRENT:
        return True
    if version == BASE or version in VERSIONS:
        return False
    if version.isdigit() and version > CURRENT:
        raise complaints.newer(path, found=version, known=CURRENT)
    raise complaints.not_usable(path, f"its schema version {version!r} is none that any Penstock had")


def _migrate(path: Path, *, busy_ms: int) -> None:
    from penstock.stores.sql.migrate import migrate

    migrate(path, busy_ms=busy_ms)


def make(path: Path) -> None:
    """Make the database, if there is none, and its folder; both private to their owner. It appears whole: of several
    processes the first makes it under another name, and a crash leaves nothing that anybody takes for a database.

    Raises OSError, sqlite3.Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not os.path.lexists(path):
            new = path.with_name(f"{path.name}.new")
            try:
                _build(new)
                os.rename(new, path)
            finally:
                new.unlink(missing_ok=True)
            os.fsync(folder)
    finally:
        os.close(folder)


def _build(new: Path) -> None:
    """A database with all tables, on disk when this returns."""
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("BEGIN")
            for statement in Path(__file__).with_name("schema.sql").read_text().split(";\n"):
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        os.fsync(file)
    finally:
        os.close(file)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """What is read may be hundreds of thousands of objects, none in cycles: looking for those takes up to as long as the
    reading."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
