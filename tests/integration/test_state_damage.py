"""A database that cannot be used is named, with what to do, and not changed by a byte."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.base.errors import StoreUnavailable
from penstock.stores.sql import SqlStateStore, open_state
from penstock.stores.sql.place import file_system_of, is_network_type, refuse_network
from penstock.testing.conformance.state_rows import LEASE_MS, NOW, begun, changed, commit, run_row, task_run


def filled(path: Path, *, task_runs: int = 500) -> Path:
    """A database with something in it, closed."""
    store = open_state(path)
    lease = begun(store)
    commit(store, lease, *(changed(task_run(f"t{number}"), "waiting") for number in range(task_runs)))
    store.close()
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def not_a_database(path: Path) -> None:
    path.write_bytes(b"These are my notes, not a database.\n" * 100)


def nothing_at_all(path: Path) -> None:
    path.touch()


def five_bytes(path: Path) -> None:
    path.write_bytes(b"notes")


def truncated(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)


def header_overwritten(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def schema_page_overwritten(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3_996)


def of_another_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()


def without_a_version_known(path: Path) -> None:
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = 'f00dcafe'")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '0007'")
    connection.commit()
    connection.close()


def emptied_beside_its_journal(path: Path) -> None:
    filled(path)
    path.with_name("state.db-wal").write_bytes(b"something")
    os.truncate(path, 0)


def newer_after_a_crash(path: Path) -> None:
    """The journal still holds what the database is to become; to open it as usual would move it over."""
    scratch = path.with_name("elsewhere")
    scratch.mkdir()
    filled(scratch / "state.db")
    connection = sqlite3.connect(scratch / "state.db")
    connection.execute("UPDATE alembic_version SET version_num = '0007'")
    connection.commit()
    for name in ("state.db", "state.db-wal"):
        shutil.copy(scratch / name, path.with_name(name))
    connection.close()
    shutil.rmtree(scratch)


DAMAGES: dict[Callable[[Path], None], str] = {
    not_a_database: "file is not a database",
    nothing_at_all: "it is empty, and should not be",
    five_bytes: "file is not a database",
    truncated: "malformed",
    header_overwritten: "file is not a database",
    schema_page_overwritten: "malformed",
    of_another_program: "database of another program",
    without_a_version_known: "'f00dcafe' is none that any Penstock had",
    newer: "schema version 0007; this Penstock knows versions up to 0004",
    newer_after_a_crash: "schema version 0007",
    emptied_beside_its_journal: "it is empty, and should not be",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_cannot_be_used_is_named_and_left_alone(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "state.db"
    damage(path)
    before = bytes_of(tmp_path)
    assert before
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as refusal:
            open_state(path)
        assert str(path) in refusal.value.message
        assert DAMAGES[damage] in refusal.value.message
        assert "left as it is" in refusal.value.fix
        after = bytes_of(tmp_path)
        for name in ("state.db-shm", "state.db-wal"):  # empty, or rebuilt from the journal: nothing of anybody's
            if name not in before and (name.endswith("-shm") or after.get(name) == b""):
                after.pop(name, None)
        assert after == before


def test_damage_that_shows_later_is_named(tmp_path: Path) -> None:
    begun = filled(tmp_path / "empty.db", task_runs=0).stat().st_size  # past the first page of every table
    path = filled(tmp_path / "state.db", task_runs=5_000)
    with path.open("r+b") as file:
        file.seek(begun)
        file.write(b"\xff" * (path.stat().st_size - begun))
    store = open_state(path)
    with pytest.raises(StoreUnavailable, match="malformed") as refusal:
        store.load("run1")
    assert str(path) in refusal.value.message
    store.close()


def test_a_damaged_journal_costs_only_what_it_held(tmp_path: Path) -> None:
    """The tail of a write-ahead log after a crash may be anything; what was committed before it stays."""
    scratch = tmp_path / "running"
    store = open_state(scratch / "state.db")
    lease = begun(store)
    commit(store, lease, changed(task_run("fit"), "waiting"))
    crashed = tmp_path / "crashed"
    shutil.copytree(scratch, crashed)
    store.close()
    with (crashed / "state.db-wal").open("ab") as file:
        file.write(os.urandom(10_000))
    again = open_state(crashed / "state.db")
    assert list(again.task_runs("run1")) == [task_run("fit")]
    again.close()


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StoreUnavailable, match=r"state\.db is not a file"):
        open_state(tmp_path / "state.db")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="file is not a folder"):
        open_state(tmp_path / "file" / "state.db")


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = open_state(tmp_path / "made" / "state.db")
        begun(store)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "made").iterdir()}
        folder_mode = stat.S_IMODE((tmp_path / "made").stat().st_mode)
        store.close()
    finally:
        os.umask(before)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert folder_mode == 0o700


def test_what_a_crash_left_of_making_it_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "state.db.new").write_bytes(b"half a database")
    store = open_state(tmp_path / "state.db")
    begun(store)
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]


def test_names_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "what? #1 100% é" / "state ?mode=ro.db"
    store = open_state(path)
    begun(store)
    store.close()
    assert path.is_file()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# -- settings of the database ---------------------------------------------------------------------------------------


def test_every_commit_is_synced_to_disk(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db")
    connection = store._database._connection
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (10_000,)
    store.close()


# -- where it may lie --------------------------------------------------------------------------------------------------

MOUNTS = rb"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /home rw shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/ada/local\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /mnt/s3 rw - fuse.s3fs s3fs rw
33 22 0:43 / /mnt/s3 rw - tmpfs tmpfs rw
34 22 0:44 / /mnt/key rw - fuse.sshfs ada@server: rw
35 22 8:1 / /mnt/stick rw - fuseblk /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("folder", "file_system", "refused"),
    [
        ("/srv", "ext4", False),
        ("/homework", "ext4", False),
        ("/home", "nfs4", True),
        ("/home/ada/project", "nfs4", True),
        ("/home/ada/local disk/project", "xfs", False),
        ("/mnt/s3/x", "tmpfs", False),
        ("/mnt/key", "fuse.sshfs", True),
        ("/mnt/stick", "fuseblk", False),
    ],
)
def test_the_file_system_of_a_folder(folder: str, file_system: str, refused: bool) -> None:
    assert file_system_of(folder, MOUNTS) == file_system
    assert is_network_type(file_system) is refused


@pytest.mark.parametrize("file_system", ["nfs", "cifs", "smb3", "fuse", "fuse.rclone", "9p", "ceph", "lustre"])
def test_a_network_file_system_is_refused_with_the_setting_to_change(tmp_path: Path, file_system: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:40 / {tmp_path} rw - {file_system} x rw\n")
    with pytest.raises(StoreUnavailable) as refusal:
        refuse_network(tmp_path / "not" / "yet" / "state.db", mounts=mounts)
    assert file_system in refusal.value.message
    assert "`state`" in refusal.value.fix
    assert "PENSTOCK_STATE" in refusal.value.fix


def test_opening_asks_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 22 0:40 / {tmp_path} rw - nfs server: rw\n")
    monkeypatch.setattr(refuse_network, "__kwdefaults__", {"mounts": mounts})
    with pytest.raises(StoreUnavailable, match="network file system"):
        open_state(tmp_path / "state" / "state.db")
    assert not (tmp_path / "state").exists(), "nothing is half-created"


# -- others at the same database ---------------------------------------------------------------------------------------


def test_locked_for_too_long_and_then_not(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db", busy_ms=30)
    lease = begun(store)
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"locked by another process for more than 0\.03 s"):
        commit(store, lease, changed(task_run("fit"), "waiting"))
    assert list(store.task_runs("run1")) == [], "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    commit(store, lease, changed(task_run("fit"), "waiting"))
    assert list(store.task_runs("run1")) == [task_run("fit")]
    store.close()


def test_a_database_that_is_moved_away_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_state(path)
    lease = begun(store)
    path.rename(tmp_path / "kept.db")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="was moved or deleted while it was in use"):
            commit(store, lease, changed(task_run("fit"), "waiting"))
        assert not path.exists(), "no other database takes its place"
    (tmp_path / "kept.db").rename(path)
    commit(store, lease, changed(task_run("fit"), "waiting"))
    assert list(store.task_runs("run1")) == [task_run("fit")]
    store.close()


def test_another_database_put_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = open_state(path)
    begun(store, "run1")
    second = open_state(tmp_path / "second.db")
    begun(second, "run0")
    begun(second, "run1")
    second.close()
    store.close()
    store = open_state(path)
    assert store.lease_of("run1") is not None
    (tmp_path / "second.db").replace(path)
    assert {run.run_id for run in store.runs()} == {"run0", "run1"}
    store.acquire("run0", begun(store, "run2").holder, now=NOW, lease_ms=LEASE_MS)
    path.unlink()
    path.touch()
    with pytest.raises(StoreUnavailable, match="it is empty, and should not be"):
        store.runs()
    store.close()


def test_any_thread_may_call_one_at_a_time(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db")
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            lease = begun(store, f"run{number}")
            for task in range(20):
                commit(store, lease, changed(task_run(f"t{task}", run_id=f"run{number}"), "waiting"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [len(store.task_runs(f"run{number}")) for number in range(4)] == [20] * 4
    store.close()


def test_an_interrupt_in_a_transaction_leaves_none_open(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db")
    lease = begun(store)

    class Interrupting(dict[str, object]):
        def items(self):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

    broken = task_run("fit")
    object.__setattr__(broken, "detail", Interrupting(x=1))
    with pytest.raises(KeyboardInterrupt):
        commit(store, lease, changed(task_run("first"), "waiting"), changed(broken, "waiting"))
    assert list(store.task_runs("run1")) == []
    commit(store, lease, changed(task_run("fit"), "waiting"))
    assert list(store.task_runs("run1")) == [task_run("fit")]
    store.close()


def test_a_failed_submission_is_forgotten_whole(tmp_path: Path) -> None:
    store = open_state(tmp_path / "state.db")
    begun(store)
    with pytest.raises(KeyError):
        _submit_with_a_message_to_nobody(store)
    assert store.run("run2") is None
    begun(store, "run3")
    assert [m.run_id for m in store.inbox(["run3"])] == ["run3"]
    begun(store, "run2")
    assert store.run("run2") == run_row("run2")
    assert [m.run_id for m in store.inbox(["run3", "run2"])] == ["run3", "run2"]
    store.close()


def _submit_with_a_message_to_nobody(store: SqlStateStore) -> None:
    from penstock.effects import Message, Submission
    from penstock.testing.conformance.state_rows import GRAPH

    store.submit(Submission(run_row("run2"), GRAPH), Message("m", "submit", "nobody", NOW))


def test_state_outlives_a_process_that_never_closed_it(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from penstock.stores.sql import open_state\n"
        "from penstock.testing.conformance.state_rows import *\n"
        "store = open_state(pathlib.Path(sys.argv[1]))\n"
        "commit(store, begun(store), changed(task_run('fit'), 'waiting'))\n"
        "os._exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "state.db")]).returncode == 7
    store = open_state(tmp_path / "state.db")
    assert list(store.task_runs("run1")) == [task_run("fit")]
    store.close()
