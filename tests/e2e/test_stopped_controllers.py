"""A controller that lives although its lease has run out, since it was stopped or a clock was set: its run stays its own."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

WAITS = """
    import os, time
    from penstock import pipeline, task


    @task
    def wait(folder: str) -> int:
        open(os.path.join(folder, "begun"), "a").write("x")
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.01)
        return 1


    @pipeline
    def waits(folder: str) -> int:
        return wait(folder)
"""
OTHER = """
    from penstock import pipeline, task


    @task
    def two() -> int:
        return 2


    @pipeline
    def other() -> int:
        return two()
"""


def test_a_run_whose_controller_is_stopped_is_not_taken_over(project: Any) -> None:
    project.write("waits.py", WAITS)
    project.write("other.py", OTHER)
    run = project.start("run", "waits.py", "-p", f"folder={project.folder}", PENSTOCK_LEASE_MS="200")
    try:
        while not (project.folder / "begun").exists():
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
        run.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(project.folder / ".penstock" / "state.db")) as state:
            (until,) = state.execute("SELECT max(expires_at) FROM leases").fetchone()
        time.sleep(max(0.0, until / 1000 - time.time()) + 0.01)

        assert [each["state"] for each in json.loads(project.call("runs", "--json").out)] == ["running"]
        other = project.call("run", "other.py")
        assert (other.status, "interrupted" in other.err) == (0, False), other.err
        again = project.call("retry", json.loads(project.call("runs", "--json").out)[-1]["id"])
        assert again.status == 2 and f"process {run.pid} on" in again.err, again.err
    finally:
        run.send_signal(signal.SIGCONT)
        (project.folder / "go").touch()
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (0, "output = 1\n"), err
    assert (project.folder / "begun").read_text() == "x", "it was computed once"
