"""What a controller finds in the cache: only what still holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.base.digests import digest_of_bytes
from penstock.base.instants import Instant
from penstock.controller.answers import Answers, ProjectFiles
from penstock.effects import Commit, Found, Holder, Lease, Message, Submission
from penstock.engine.events import LookUp, Transition
from penstock.engine.rows import AttemptRow, CacheEntry, Cause, Claim, RunRow, TaskRunRow
from penstock.engine.states import AttemptState, Origin, TaskState
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.testing.memory_state import MemoryStateStore
from penstock.values.reads import digest_of_read
from penstock.wire import Artifact, Counted, Datum, Inline

NOW = Instant(1_800_000_000_000)
ME = Holder("host", "boot", 1, 0)
QUERY = LookUp("new", "a", "key", "m:a", None, True)


class Shelf:
    """A state store with two runs that are held and content in an artifact store; `files` are what the project's files hold."""

    def __init__(self, folder: Path) -> None:
        self.store, self.artifacts = MemoryStateStore(), MemoryArtifactStore(folder)
        self.files: dict[str, str] = {}
        self.answers = Answers(self.store, self.artifacts, lambda path: self.files.get(path, ""))
        self.leases = {run_id: self._begin(run_id) for run_id in ("old", "other", "new")}
        self.frame = Artifact(self.artifacts.put_bytes(b"frame"), "m:Frame", "parquet", 5)

    def _begin(self, run_id: str) -> Lease:
        row = RunRow(run_id, "p", "digest", {}, "pin", 1, NOW)
        self.store.submit(Submission(row, {}), Message(f"submit {run_id}", "submit", run_id, NOW))
        lease = self.store.acquire(run_id, ME, now=NOW, lease_ms=30_000)
        assert lease is not None
        return lease

    def enter(self, outputs: Mapping[str, Datum], **fields: object) -> CacheEntry:
        entry = CacheEntry("key", "m:a", "old", "a", 1, outputs, "code", "environment", {}, {}, NOW)
        entry = replace(entry, **fields)  # type: ignore[arg-type]
        self.store.commit(Commit(NOW, (self.leases["old"],), (), entries=(entry,)))
        return entry

    def succeed(self, outputs: Mapping[str, Datum], **fields: object) -> None:
        """A task run of the old run has succeeded with `key`."""
        row = TaskRunRow(
            "old", "a", "m:a", TaskState.SUCCEEDED, Cause("succeeded"), NOW, Origin.COMPUTED, outputs, 1, key="key"
        )
        change = Transition("task", "old", "a", "running", "succeeded", row.cause, replace(row, **fields))  # type: ignore[arg-type]
        self.store.commit(Commit(NOW, (self.leases["old"],), (change,)))

    def found(self, query: LookUp = QUERY, *, now: int = NOW) -> tuple[str, str, Mapping[str, Datum]]:
        (answer,) = self.answers.answer([query], Instant(now))
        assert (answer.run_id, answer.path, answer.key) == (query.run_id, query.path, query.key)
        return answer.how, answer.source, answer.outputs


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


MISS: tuple[str, str, Mapping[str, Datum]] = ("miss", "", {})
ONE, TWO = {"out": Inline(1)}, {"out": Inline(2)}


def test_there_may_be_nothing(shelf: Shelf) -> None:
    assert shelf.found() == MISS
    shelf.enter(ONE, key="other")
    assert shelf.found() == MISS


def test_the_newest_entry_is_found(shelf: Shelf) -> None:
    shelf.enter(ONE)
    assert shelf.found() == ("hit", "old/a", ONE)
    shelf.enter(TWO, path="b")
    assert shelf.found() == ("hit", "old/b", TWO)


def test_an_entry_holds_until_it_expires(shelf: Shelf) -> None:
    shelf.enter(ONE, expires_at=Instant(NOW + 1_000))
    assert shelf.found(now=NOW + 999)[0] == "hit"
    assert shelf.found(now=NOW + 1_000) == MISS


def test_an_entry_holds_while_what_it_read_is_unchanged(shelf: Shelf) -> None:
    shelf.enter(ONE, reads={"data/x.csv": "1", "data/y.csv": "7"})
    assert shelf.found() == MISS
    shelf.files = {"data/x.csv": "1", "data/y.csv": "7"}
    assert shelf.found()[0] == "hit"
    shelf.files["data/y.csv"] = "8"
    assert shelf.found() == MISS


def test_an_entry_holds_while_its_content_is_there(shelf: Shelf) -> None:
    shelf.enter({"out": shelf.frame, "n": Inline(1)})
    assert shelf.found()[0] == "hit"
    gone = replace(shelf.frame, digest="blake3:" + "0" * 64)
    shelf.enter({"out": Counted((shelf.frame, Counted((gone,))))}, key="list")
    assert shelf.found(replace(QUERY, key="list")) == MISS


def test_an_older_entry_holds_where_the_newest_does_not(shelf: Shelf) -> None:
    """A file was edited and edited back: what was computed first holds again."""
    shelf.enter(ONE, reads={"x": "1"})
    shelf.enter(TWO, reads={"x": "2"})
    shelf.files["x"] = "1"
    assert shelf.found()[2] == ONE
    shelf.files["x"] = "2"
    assert shelf.found()[2] == TWO
    shelf.enter({"out": Inline(3)}, expires_at=Instant(NOW + 1))
    assert shelf.found(now=NOW + 1)[2] == TWO


def test_what_is_not_to_be_read_is_not(shelf: Shelf) -> None:
    claim = Claim("key", "other", "z", shelf.enter(ONE).attempt_id)
    shelf.store.commit(Commit(NOW, (shelf.leases["other"],), (), claims=(claim,)))
    assert shelf.found(replace(QUERY, read=False)) == MISS


def test_a_key_is_claimed_by_another_run_whose_lease_lasts(shelf: Shelf) -> None:
    shelf.store.commit(Commit(NOW, (shelf.leases["other"],), (), claims=(Claim("key", "other", "z"),)))
    assert shelf.found() == ("claimed", "other", {})
    assert shelf.found(replace(QUERY, run_id="other")) == MISS
    assert shelf.found(now=NOW + 30_000) == MISS


def test_an_entry_is_found_though_somebody_computes(shelf: Shelf) -> None:
    claim = Claim("key", "other", "z", shelf.enter(ONE).attempt_id)
    shelf.store.commit(Commit(NOW, (shelf.leases["other"],), (), claims=(claim,)))
    assert shelf.found()[0] == "hit"


def test_a_miss_names_the_newest_entry_for_the_claim_that_follows(shelf: Shelf) -> None:
    def newest(now: int = NOW) -> str:
        (answer,) = shelf.answers.answer([QUERY], Instant(now))
        return f"{answer.how} {answer.newest}"

    assert newest() == "miss "
    shelf.enter(ONE, reads={"x": "1"})
    assert newest() == "miss old/a#1"
    shelf.enter(TWO, attempt=2, reads={"x": "2"}, expires_at=Instant(NOW + 5))
    assert [newest(NOW + 4), newest(NOW + 5)] == ["miss old/a#2", "miss old/a#1"]


@pytest.mark.parametrize("read", [True, False])
def test_a_retry_adopts_before_it_reads(shelf: Shelf, read: bool) -> None:
    query = replace(QUERY, adopt_from="old", read=read)
    assert shelf.found(query) == MISS
    shelf.succeed({"out": shelf.frame})
    shelf.enter(ONE, run_id="old", path="z")
    assert shelf.found(query) == ("adopted", "old/a", {"out": shelf.frame})
    assert shelf.found(replace(query, adopt_from=None))[0] == ("hit" if read else "miss")


def test_a_retry_does_not_adopt_what_has_failed(shelf: Shelf) -> None:
    shelf.succeed({}, state=TaskState.FAILED)
    assert shelf.found(replace(QUERY, adopt_from="old")) == MISS


def test_a_retry_does_not_adopt_what_is_gone(shelf: Shelf) -> None:
    shelf.succeed({"out": replace(shelf.frame, digest="blake3:" + "0" * 64)})
    assert shelf.found(replace(QUERY, adopt_from="old")) == MISS


def test_a_retry_does_not_adopt_what_read_a_file_that_has_changed(shelf: Shelf) -> None:
    shelf.succeed(ONE)
    shelf.enter(ONE, reads={"x": "1"})
    shelf.files["x"] = "2"
    for read in (True, False):
        assert shelf.found(replace(QUERY, adopt_from="old", read=read)) == MISS
    shelf.files["x"] = "1"
    assert shelf.found(replace(QUERY, adopt_from="old", read=False))[0] == "adopted"


def test_a_retry_does_not_adopt_what_left_no_entry_and_read_a_file_that_has_changed(shelf: Shelf) -> None:
    shelf.succeed(ONE)
    attempt = AttemptRow("old", "a", 1, AttemptState.ENDED, "local", (), NOW, outcome="succeeded", reads={"x.csv": "1"})
    change = Transition("attempt", "old", "a#1", "started", "ended", Cause("succeeded"), attempt)
    shelf.store.commit(Commit(NOW, (shelf.leases["old"],), (change,)))
    query = replace(QUERY, adopt_from="old", read=False)
    assert shelf.found(query) == MISS
    shelf.files = {"x.csv": "1"}
    assert shelf.found(query) == ("adopted", "old/a", ONE)
    # What was adopted before is what its attempt made.
    row = TaskRunRow(
        "other", "a", "m:a", TaskState.SUCCEEDED, Cause("adopted", "old/a"), NOW, Origin.CACHED, ONE, key="key"
    )
    again = Transition("task", "other", "a", "ready", "succeeded", row.cause, row)
    shelf.store.commit(Commit(NOW, (shelf.leases["other"],), (again,)))
    assert shelf.found(replace(query, adopt_from="other")) == ("adopted", "old/a", ONE)
    shelf.files = {"x.csv": "2"}
    assert shelf.found(replace(query, adopt_from="other")) == MISS


def test_every_query_has_its_answer_in_order(shelf: Shelf) -> None:
    shelf.enter(ONE)
    queries = [replace(QUERY, path=path, key=key) for path, key in (("a", "none"), ("b", "key"), ("c", "key"))]
    answers = shelf.answers.answer(queries, NOW)
    assert [(answer.path, answer.how) for answer in answers] == [("a", "miss"), ("b", "hit"), ("c", "hit")]


def test_keys_that_come_one_by_one_are_read_ahead(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        shelf.enter({"out": Inline(number)}, key=f"k{number}", path=f"n{number}")
    asked = []
    look_up = shelf.store.look_up

    def counted(keys: Sequence[str], *, now: Instant, ahead: int = 0) -> Mapping[str, Found]:
        asked.append((tuple(keys), ahead))
        return look_up(keys, now=now, ahead=ahead)

    monkeypatch.setattr(shelf.store, "look_up", counted)
    for number in range(100):
        assert shelf.found(replace(QUERY, key=f"k{number}"))[1] == f"old/n{number}"
    assert [ahead for _, ahead in asked] == [0, 8, 16, 32, 64]
    assert shelf.found(replace(QUERY, key="none")) == MISS
    assert shelf.found(replace(QUERY, key="k0"))[1] == "old/n0"
    assert asked[-1] == (("k0",), 0), "after a miss nothing is expected"


def test_what_was_read_ahead_counts_for_the_moment_alone(shelf: Shelf) -> None:
    for number in range(4):
        shelf.enter({"out": Inline(number)}, key=f"k{number}", path=f"n{number}")
    assert [shelf.found(replace(QUERY, key=f"k{number}"))[1] for number in (0, 1)] == ["old/n0", "old/n1"]
    shelf.enter(TWO, key="k2", path="newer")
    assert shelf.found(replace(QUERY, key="k2"), now=NOW + 1)[1] == "old/newer"


def test_files_of_the_project_are_read_again_when_they_change(tmp_path: Path) -> None:
    read: list[str] = []

    def digest_of_read(path: str) -> str:
        read.append(path)
        return digest_of_bytes(Path(path).read_bytes())

    files = ProjectFiles(tmp_path, digest_of_read)
    assert files.digest_at("x") == ""
    (tmp_path / "x").write_text("1")
    first = files.digest_at("x")
    assert first == digest_of_bytes(b"1")
    (tmp_path / "x").write_text("2")  # as long, and at once: its stat may well be the same
    second = files.digest_at("x")
    assert second == digest_of_bytes(b"2")
    (tmp_path / "x").unlink()
    assert files.digest_at("x") == ""
    assert files.digest_at(".") == ""


def test_a_file_that_rests_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def digest_of_read(path: str) -> str:
        read.append(path)
        return digest_of_bytes(Path(path).read_bytes())

    (tmp_path / "x").write_text("1")
    written_at = os.stat(tmp_path / "x").st_ctime_ns
    monkeypatch.setattr("time.time_ns", lambda: written_at + 10**9)
    files = ProjectFiles(tmp_path, digest_of_read)
    assert files.digest_at("x") == files.digest_at("x")
    assert len(read) == 1
    os.utime(tmp_path / "x", ns=(1, 1))
    files.digest_at("x")
    assert len(read) == 2


def test_the_names_in_a_folder_are_asked_with_a_slash(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    files = ProjectFiles(tmp_path, digest_of_read)
    empty = files.digest_at("data/")
    (tmp_path / "data" / "a.csv").write_text("1")
    (tmp_path / "data" / "__pycache__").mkdir()
    assert files.digest_at("data/") != empty
    (tmp_path / "data" / "a.csv").unlink()
    assert files.digest_at("data/") == empty != files.digest_at("gone/") == ""


def test_an_empty_log_beside_a_database_is_none(tmp_path: Path) -> None:
    files = ProjectFiles(tmp_path, digest_of_read)
    (tmp_path / "x.db-wal").write_text("")
    assert files.digest_at("x.db-wal") == "" != files.digest_at("./")
    (tmp_path / "x.db-wal").write_text("1")
    assert files.digest_at("x.db-wal") != ""
