"""Two results for one key: nondeterministic, or stale once; what is kept of it, and what `why` says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.app.marks import because, mark_differing
from penstock.base.digests import canonical_json
from penstock.base.instants import Instant
from penstock.cli.explaining import _differing_lines
from penstock.code import pins
from penstock.effects import Commit, Holder, Message, Nondeterminism, Submission
from penstock.engine.events import Transition
from penstock.engine.rows import CacheEntry, Cause, RunRow, TaskRunRow
from penstock.engine.states import Origin, TaskState
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.testing.memory_state import MemoryStateStore
from penstock.wire import Inline

NOW = Instant(1_800_000_000_000)
ME = Holder("host", "boot", 1, 0)


class Runs:
    """Runs of one task, one after the other, each with its own sources; everything is entered under one key."""

    def __init__(self, folder: Path) -> None:
        self.store, self.artifacts = MemoryStateStore(), MemoryArtifactStore(folder)

    def compute(self, run_id: str, value: int, *, sources: str = "x = 1", reads: dict[str, str] | None = None) -> None:
        files = {"helper": pins.Source("/p/helper.py", False, sources.encode())}
        pin = self.artifacts.put_bytes(canonical_json(pins.to_json(files, project="/p", paths=["/p"])))
        run = replace(RunRow(run_id, "p", "digest", {}, pin, 1, NOW))
        self.store.submit(Submission(run, {}), Message(f"submit {run_id}", "submit", run_id, NOW))
        lease = self.store.acquire(run_id, ME, now=NOW, lease_ms=30_000)
        assert lease is not None
        outputs = {"out": Inline(value)}
        cause, state = Cause("succeeded"), TaskState.SUCCEEDED
        row = TaskRunRow(run_id, "a", "m:a", state, cause, NOW, Origin.COMPUTED, outputs, 1, key="key")
        change = Transition("task", run_id, "a", "running", "succeeded", cause, row)
        entry = CacheEntry("key", "m:a", run_id, "a", 1, outputs, "code", "environment", {}, reads or {}, NOW)
        self.store.commit(Commit(NOW, (lease,), (change,), entries=(entry,)))
        mark_differing(self.store, self.artifacts, [change], NOW)

    def mark(self) -> Nondeterminism | None:
        return self.store.nondeterministic().get("m:a")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def told(mark: Nondeterminism | None) -> str:
    assert mark is not None
    return "\n".join(_differing_lines(mark.component, mark.detail))


def test_the_same_result_is_no_mark(runs: Runs) -> None:
    runs.compute("one", 1)
    runs.compute("two", 1, sources="x = 2")
    assert runs.mark() is None


def test_two_results_of_the_same_code_and_reads_are_nondeterministic(runs: Runs) -> None:
    runs.compute("one", 1)
    runs.compute("two", 2)
    mark = runs.mark()
    assert mark is not None and because(mark.detail) == ""
    assert told(mark) == (
        "  m:a is nondeterministic: one/a and two/a gave different results for one key, with the same code and reads"
    )
    runs.compute("three", 3, sources="x = 2")
    assert runs.mark() == mark, "that is known, whatever changes"


def test_two_results_with_other_reads_are_what_they_should_be(runs: Runs) -> None:
    runs.compute("one", 1, reads={"data.csv": "1"})
    runs.compute("two", 2, reads={"data.csv": "2"})
    assert runs.mark() is None


def test_where_other_sources_changed_the_earlier_result_may_have_been_stale(runs: Runs) -> None:
    runs.compute("one", 1)
    runs.compute("two", 2, sources="x = 2")
    assert told(runs.mark()) == (
        "  one/a and two/a gave different results for one key: helper.py changed in between, which the key does not count\n"
        "  either the earlier result was stale or m:a is nondeterministic; run `penstock check TARGET --twice TASK`"
    )
    runs.compute("three", 2, sources="x = 2")
    assert told(runs.mark()).endswith(
        "the earlier result was stale: the same code gave the later one again; name what changed in depends="
    )


def test_when_the_same_code_gives_a_third_result_it_is_nondeterministic_after_all(runs: Runs) -> None:
    runs.compute("one", 1)
    runs.compute("two", 2, sources="x = 2")
    runs.compute("three", 3, sources="x = 2")
    assert "is nondeterministic: two/a and three/a" in told(runs.mark())


def test_of_a_run_that_is_gone_the_code_is_not_known(runs: Runs) -> None:
    runs.compute("one", 1)
    runs.store.commit(_end(runs.store))
    assert list(runs.store.delete_runs(["one"], now=Instant(NOW + 60_000))) == ["one"]
    runs.compute("two", 2)
    assert "the sources may have changed in between" in told(runs.mark())


def _end(store: MemoryStateStore) -> Commit:
    run, lease = store.run("one"), store.lease_of("one")
    assert run is not None and lease is not None
    row = replace(run, state="succeeded")
    return Commit(NOW, (lease,), (Transition("run", "one", "one", "running", "succeeded", Cause("succeeded"), row),))
