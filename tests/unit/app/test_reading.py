"""How runs are named: `latest` is the one submitted last."""

from __future__ import annotations

from penstock.app.reading import find_run
from penstock.effects import Message, Submission
from penstock.engine.rows import RunRow
from penstock.testing.clock import FakeClock
from penstock.testing.memory_state import MemoryStateStore


def test_the_latest_run_is_the_last_submitted_though_the_clock_went_back() -> None:
    store, clock = MemoryStateStore(), FakeClock()
    for run_id in ("zz", "aa"):
        row = RunRow(run_id, "p", "digest", {}, "pin", 1, clock.now())
        store.submit(Submission(row, {}), Message(f"submit {run_id}", "submit", run_id, clock.now()))
        clock.jump(-3_600_000)
    assert find_run(store, "latest").run_id == "aa"
    assert [run.run_id for run in store.runs()] == ["aa", "zz"]
