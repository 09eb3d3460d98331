"""A state folder that may only be read is read: by every verb that only reads, with what a killed run has left in the log."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.app.copies import database_to_read

PIPELINE = """
    import os, time
    import pandas as pd
    from penstock import pipeline, task


    @task
    def table(n: int) -> pd.DataFrame:
        print("made it")
        return pd.DataFrame({"a": [n]})


    @task
    def wait(n: int, table: pd.DataFrame) -> int:
        while n > 1:
            time.sleep(0.01)
        return n


    @pipeline
    def tables(n: int = 1) -> int:
        return wait(n, table(n))
"""


EACH = """
import contextlib, io, json, sys
from penstock.cli.main import main

told = []
for verb in json.loads(sys.argv[1]):
    streams = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = main(verb)
    told.append([status, *(stream.buffer.getvalue().decode() for stream in streams)])
print(json.dumps(told))
"""


def ran(*command: str) -> str:
    """Run a command; what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path, Path], None]]:
    """Shows a folder at a second place (or the same), where it may only be read."""
    mounted: list[str] = []

    def mount(folder: Path, at: Path) -> None:
        refusal = ran("mount", "--bind", str(folder), str(at))
        if not refusal:
            mounted.append(str(at))
            refusal = ran("mount", "-o", "remount,ro,bind", str(at))
        if refusal:
            pytest.skip(f"nothing can be mounted here: {refusal}")

    yield mount
    for at in mounted:
        assert ran("umount", "-l", at) == ""


def test_verbs_that_read_read_and_others_say_why_they_cannot(
    project: Any, read_only: Callable[[Path, Path], None]
) -> None:
    project.write("tables.py", PIPELINE)
    first = project.call("run", "tables.py", "--json").json["id"]
    run = project.start("run", "tables.py", "-p", "n=2")
    state = project.folder / ".penstock"
    while not any("wait" in line for line in run.stderr):
        assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert (state / "state.db-wal").stat().st_size > 0
    temporary = project.folder / "temporary"
    temporary.mkdir()
    read_only(state, state)

    verbs = (
        ("runs", "--json"),
        ("show", "SUCCEEDED"),
        ("show", "SUCCEEDED", "table"),
        ("logs", "SUCCEEDED"),
        ("why", "latest", "table"),
        ("get", "SUCCEEDED", "wait"),
        ("get", "SUCCEEDED", "table", "-o", "t.csv"),
        ("lineage", "SUCCEEDED", "table"),
        ("diff", "SUCCEEDED", "latest"),
        ("plan", "tables.py"),
        ("gc", "--dry-run"),
        ("retry", "latest"),
        ("cancel", "latest"),
        ("gc",),
        ("run", "tables.py"),
    )
    order = json.dumps([[first if word == "SUCCEEDED" else word for word in verb] for verb in verbs])
    done = subprocess.run(
        [sys.executable, "-c", EACH, order],
        cwd=project.folder,
        env={**project.environment, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = dict(zip(verbs, json.loads(done.stdout), strict=True))
    listed = json.loads(told["runs", "--json"][1])
    assert [each["state"] for each in listed] == ["interrupted", "succeeded"], "the log is read as well"
    expected = {
        ("show", "SUCCEEDED"): "tables: succeeded",
        ("show", "SUCCEEDED", "table"): "table of run",
        ("logs", "SUCCEEDED"): "made it",
        ("why", "latest", "table"): "input: n 1 → 2",
        ("get", "SUCCEEDED", "wait"): "1",
        ("lineage", "SUCCEEDED", "table"): "made into",
        ("diff", "SUCCEEDED", "latest"): first,
        ("plan", "tables.py"): "2 hit",
        ("gc", "--dry-run"): "would free",
    }
    for verb, (status, out, err) in told.items():
        if verb in (("retry", "latest"), ("cancel", "latest"), ("gc",), ("run", "tables.py")):
            assert status == 1 and "read-only" in err.lower() and "defect" not in err, (verb, err)
        else:
            assert status == 0 and expected.get(verb, "") in out, (verb, out, err)
    assert (project.folder / "t.csv").read_text() == "a\n1\n"
    assert os.listdir(temporary) == []


def test_a_copy_is_whole_while_somebody_writes_through_another_place(
    tmp_path: Path, read_only: Callable[[Path, Path], None]
) -> None:
    written, shown = tmp_path / "written", tmp_path / "shown"
    written.mkdir(mode=0o700)
    shown.mkdir()
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(written / "state.db", isolation_level=None)) as state:
            state.execute("PRAGMA journal_mode = WAL")
            state.execute("PRAGMA wal_autocheckpoint = 20")
            state.execute("CREATE TABLE numbers (number INTEGER, text TEXT)")
            begun.set()
            for number in range(1_000_000):
                if done.is_set():
                    return
                state.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 500))
                time.sleep(0.003)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(20)
        read_only(written, shown)
        counts = []
        until = time.monotonic() + 20
        while len(set(counts)) < 20 and time.monotonic() < until:
            copy = database_to_read(shown / "state.db")
            assert copy.parent != shown
            with closing(sqlite3.connect(copy)) as state:
                assert state.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                counts.append(state.execute("SELECT count(*) FROM numbers").fetchone()[0])
        assert counts == sorted(counts) and len(set(counts)) >= 20
    finally:
        done.set()
        thread.join()
