"""Tasks that break what their own process reports with, and runs that break the controller that resumes them: nothing of it
reaches another run."""

from __future__ import annotations

import os
import sqlite3
import sys

from penstock.testing.conformance.executor_processes import wait_until

FINE = """
    from penstock import pipeline, task

    @task
    def give(n: int = 1) -> int:
        return n

    @pipeline
    def fine():
        return give()
"""
POISON = """
    import os, struct
    from penstock import *

    @task(retry=Retry(1, lost_max=1))
    def t(n: int = 1) -> int:
        text = b'[{"event":"ended"}]'
        for header in (struct.pack("<IQ", len(text), 0), struct.pack("<IIQ", 0x4B545350, len(text), 0)):
            for fd in range(3, 64):
                try:
                    os.set_blocking(fd, False)
                    os.write(fd, header + text)
                except OSError:
                    pass
        return 1

    @pipeline
    def p():
        return t()
"""
PATCHED = """
    import builtins, os
    from penstock import *

    @task
    def t(n: int = 1) -> int:
        builtins.len = lambda x: 7
        os.write = None
        return 1

    @pipeline
    def p():
        return t()
"""
WAITS = """
    import time
    from pathlib import Path
    from penstock import pipeline, task

    @task
    def wait(n: int = 1) -> int:
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.02)
        return n

    @pipeline
    def waits():
        return wait()
"""


def test_a_report_of_the_task_s_own_making(project) -> None:
    project.write("poison.py", POISON)
    project.write("good.py", FINE)
    done = project.call("run", "poison.py")
    assert done.status == 1
    assert "defect" not in done.err
    assert "cannot be understood" in done.err
    good = project.call("run", "good.py")
    assert (good.status, good.out) == (0, "output = 1\n")
    states = {run["pipeline"]: run["state"] for run in project.call("runs", "--json").json}
    assert states == {"p": "failed", "fine": "succeeded"}


def test_names_that_a_task_replaces(project) -> None:
    project.write("patched.py", PATCHED)
    done = project.call("run", "patched.py")
    assert (done.status, done.out) == (0, "output = 1\n")


def interrupted(project) -> str:
    project.write("waits.py", WAITS)
    process = project.start("run", "waits.py")
    wait_until(lambda: (project.folder / "begun").exists())
    process.kill()
    process.communicate()
    (run,) = project.call("runs", "--json").json
    return str(run["id"])


def test_a_run_that_cannot_be_resumed_is_named_and_left_alone(project) -> None:
    run = interrupted(project)
    with sqlite3.connect(project.folder / ".penstock" / "state.db") as state:
        tables = {name for (name,) in state.execute("select name from sqlite_master where type = 'table'")}
        assert "graphs" in tables
        state.execute("update graphs set graph = ?", ("{}",))
    project.write("good.py", FINE)
    for _ in range(2):
        done = project.call("run", "good.py")
        assert (done.status, done.out) == (0, "output = 1\n"), done.err
        assert f"run {run} of waits was interrupted and is not resumed" in done.err
        assert f"`penstock retry {run}`" in done.err


BREAKS = """
import os, sys
import penstock.controller.controller as controller

real = controller.Controller.turn

def turn(self, *given, **named):
    if {run!r} in self.active():
        raise KeyError("log")
    return real(self, *given, **named)

controller.Controller.turn = turn
from penstock.cli.main import main
sys.exit(main())
"""


def test_a_run_whose_resumption_ended_a_controller_is_not_resumed_again(project, monkeypatch) -> None:
    """And `retry` resumes it: where the defect is gone, it ends."""
    run = interrupted(project)
    (project.folder / "go").touch()
    project.write("good.py", FINE)
    program = project.write("broken_penstock.py", BREAKS.format(run=run))
    monkeypatch.setattr(
        "conftest.PROGRAM" if "conftest" in sys.modules else "tests.e2e.conftest.PROGRAM",
        [sys.executable, str(program)],
    )
    first = project.call("run", "good.py")
    assert first.status == 1
    assert "KeyError" in first.err
    second = project.call("run", "good.py")
    assert (second.status, second.out) == (0, "output = 1\n"), second.err
    assert (
        f"run {run} of waits was interrupted and is not resumed: resuming it ended Penstock (KeyError: 'log')"
        in second.err
    )
    monkeypatch.undo()
    retried = project.call("retry", run)
    assert (retried.status, retried.out) == (0, "output = 1\n"), retried.err
    assert f"{run}.json" not in os.listdir(project.folder / ".penstock" / "resumptions")
