"""State that disappears while a run is at work: the run says so and does not claim to have succeeded."""

from __future__ import annotations

import os
import shutil
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


def without_local(state: Path) -> None:
    shutil.rmtree(state / "local")


def local_moved(state: Path) -> None:
    (state / "local").rename(state / "elsewhere")


LOCAL = "the folder of the local executor, FOLDER/.penstock/local/"
STORE = "the state store FOLDER/.penstock/"
REMOVED: dict[Callable[[Path], None], str] = {
    unlinked: f"{STORE}state.db was moved or deleted while it was in use",
    emptied: f"{STORE}state.db was emptied while it was in use",
    cut: f"{STORE}state.db was cut from ",
    without_its_log: f"{STORE}state.db-wal was moved or deleted while it was in use",
    moved: "was moved or deleted while it was in use",
    without_local: LOCAL,
    local_moved: LOCAL,
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
    told = err.replace(str(project.folder), "FOLDER")
    assert "error: the " in told and REMOVED[remove] in told, err
    assert "defect" not in err and "Traceback" not in err


def test_what_a_run_without_its_local_folder_had_is_resumed(project) -> None:
    """No attempt is tried again and again in between: nothing can be started where there is no folder to note it."""
    project.write("waits.py", WAITS)
    run = project.start("run", "waits.py", "-p", f"folder={project.folder}")
    until(lambda: (project.folder / "begun").exists() or run.poll() is not None)
    without_local(project.folder / ".penstock")
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1, err
    assert "was moved or deleted while it was in use" in err and "again" in err
    (project.folder / "go").touch()
    resumed = project.call("retry", "latest")
    assert resumed.status == 0 and "output = 1" in resumed.out, resumed.err
