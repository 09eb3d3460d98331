"""Giving space back: what goes, what stays, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import time


def aged(project) -> None:
    """Make all stored content look as if nobody had used it for a day."""
    day_ago = time.time() - 86_400
    for path in (project.folder / ".penstock" / "artifacts").rglob("*"):
        os.utime(path, (day_ago, day_ago), follow_symlinks=False)


def test_gc_keeps_what_is_needed_and_says_its_bytes(sales) -> None:
    for low in (2, 4, 6):
        sales.call("run", "sales.py", "-p", f"low={low}")
    aged(sales)
    assert sales.call("gc", "--json").json["freed_bytes"] == 0, "all runs are kept"
    dry = sales.call("gc", "--dry-run", "--json", PENSTOCK_RUNS_KEPT="2").json
    assert len(sales.call("runs", "--json").json) == 4, "a dry run removes nothing"
    real = sales.call("gc", "--json", PENSTOCK_RUNS_KEPT="2").json
    assert (dry["freed_bytes"], dry["runs"], dry["entries"]) == (real["freed_bytes"], real["runs"], real["entries"])
    assert real["freed_bytes"] > 0 and len(real["runs"]) == 2
    assert len(sales.call("runs", "--json").json) == 2
    assert sales.verdicts("sales.py", "-p", "low=6")["net"] == "hit"
    assert sales.verdicts("sales.py", "-p", "low=4")["net"] == "hit"
    assert sales.verdicts("sales.py", "-p", "low=2")["net"] == "run"
    assert sales.verdicts("sales.py")["load"] == "hit", "its entry is used by the runs that stay"
    assert sales.call("gc", "--json", PENSTOCK_RUNS_KEPT="2").json["freed_bytes"] == 0
    assert sales.call("get", "latest", "net").status == 0


def test_gc_removes_what_the_runs_that_went_have_printed(project) -> None:
    project.write(
        "told.py",
        """
        from penstock import pipeline, task

        @task(cache=False)
        def told(text: str) -> str:
            print("told", text)
            return text

        @pipeline
        def main(text: str = "a") -> str:
            return told(text)
        """,
    )
    logs = project.folder / ".penstock" / "logs"
    assert [project.call("run", "told.py", "-p", f"text={text}").status for text in "abc"] == [0, 0, 0]
    old = project.call("gc", "--json", PENSTOCK_RUNS_KEPT="1").json
    assert (len(old["runs"]), old["files"]) == (2, 0), "they were written a moment ago"
    there = {path for path in logs.rglob("*.log") if path.read_text()}
    assert len(there) == 3
    day_ago = time.time() - 86_400
    for path in logs.rglob("*.log"):
        os.utime(path, (day_ago, day_ago))
    assert project.call("gc", "--json", "--dry-run").json["files"] >= 2
    assert {path for path in there if path.exists()} == there, "a dry run removes nothing"
    assert project.call("gc", "--json").json["files"] >= 2
    (kept,) = (path for path in there if path.exists())
    assert kept.read_text() == "told c\n"
    assert project.call("logs", "latest").out.endswith("told c\n")


def test_gc_leaves_what_a_running_task_may_need(project) -> None:
    project.write(
        "slow.py",
        """
        import os, time
        from pathlib import Path
        import pandas as pd
        from penstock import pipeline, task

        @task
        def table(number: int) -> pd.DataFrame:
            return pd.DataFrame({"n": list(range(number))})

        @task
        def slow(table: pd.DataFrame) -> int:
            gate = Path(os.environ["GATE"])
            gate.with_suffix(".begun").touch()
            while not gate.exists():
                time.sleep(0.01)
            return len(table)

        @pipeline
        def main(number: int = 5) -> int:
            return slow(table(number))
        """,
    )
    gate = project.folder.parent / f"{project.folder.name}-gate"
    running = project.start("run", "slow.py", GATE=str(gate))
    end = time.monotonic() + 30
    while not gate.with_suffix(".begun").exists():
        assert time.monotonic() < end, "it did not begin"
        time.sleep(0.01)
    aged(project)
    done = project.call("gc", "--json", PENSTOCK_RUNS_KEPT="0")
    assert (done.status, done.json["runs"]) == (0, []), done.err
    gate.touch()
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "output = 5\n"), err
    assert json.loads(project.call("get", "latest", "slow").out) == 5


def test_interrupted_gc_is_harmless(sales) -> None:
    for low in (2, 4):
        sales.call("run", "sales.py", "-p", f"low={low}")
    kept = sales.call("show", "latest", "--json").json
    aged(sales)
    database = (sales.folder / ".penstock" / "state.db-wal", sales.folder / ".penstock" / "state.db")

    def written() -> list[int]:
        return [path.stat().st_mtime_ns if path.exists() else 0 for path in database]

    for _ in range(5):
        before = written()
        process = sales.start("gc", PENSTOCK_RUNS_KEPT="1")
        while process.poll() is None and written() == before:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert sales.call("show", "latest", "--json").json == kept
    done = sales.call("gc", "--json", PENSTOCK_RUNS_KEPT="1")
    assert done.status == 0, done.err
    assert [run["id"] for run in sales.call("runs", "--json").json] == [kept["id"]]
    assert sales.call("gc", "--json").json["content"] == 0, "nothing is left over"
    assert sales.verdicts("sales.py", "-p", "low=4") == {
        "source-sales": "run",
        "load": "hit",
        "net": "hit",
        "total": "hit",
    }
