"""State that disappears while a run is at work: the run says so and does not claim to have succeeded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

WAITS = """
    import os, time
    from penstock import pipeline, task


    @task
    def wait(folder: str) -> int:
        open(os.path.join(folder, "begun"), "w").close()
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.01)
        return 1


    @pipeline
    def waits(folder: str) -> int:
        return wait(folder)
"""


def unlinked(state: Path) -> None:
    (state / "state.db").unlink()


def emptied(state: Path) -> None:
    os.truncate(state / "state.db", 0)


def cut(state: Path) -> None:
    os.truncate(state / "state.db", 8192)


def without_its_log(state: Path) -> None:
    (state / "state.db-wal").unlink()


def moved(state: Path) -> None:
    state.rename(state.with_name("elsewhere"))


REMOVED: dict[Callable[[Path], None], str] = {
    unlinked: "state.db was moved or deleted while it was in use",
    emptied: "state.db was emptied while it was in use",
    cut: "state.db was cut from ",
    without_its_log: "state.db-wal was moved or deleted while it was in use",
    moved: "state.db was moved or deleted while it was in use",
}


def until(condition: Callable[[], object], *, within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@pytest.mark.parametrize("remove", REMOVED, ids=lambda remove: remove.__name__)
def test_state_removed_while_a_run_is_at_work_is_noticed(project, remove: Callable[[Path], None]) -> None:
    project.write("waits.py", WAITS)
    run = project.start("run", "waits.py", "-p", f"folder={project.folder}")
    until(lambda: (project.folder / "begun").exists() or run.poll() is not None)
    remove(project.folder / ".penstock")
    (project.folder / "go").touch()
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (1, ""), err
    assert f"error: the state store {project.folder}/.penstock/{REMOVED[remove]}" in err
    assert "defect" not in err and "Traceback" not in err
