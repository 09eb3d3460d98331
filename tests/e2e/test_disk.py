"""A disk that fills up and a folder that turns read-only under a run: a clear error, and a later `retry` goes on with
what was committed. Real file systems; a machine that does not let a test mount one says so."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PIPELINE = """
    import os
    import time
    from pathlib import Path

    from penstock import map_over, pipeline, task

    EFFECTS = Path(os.environ["PENSTOCK_TEST_EFFECTS"])


    def effect(name: str) -> None:
        with EFFECTS.open("a") as file:
            file.write(name + "\\n")


    @task
    def numbers() -> list[int]:
        return list(range(60))


    @task
    def square(number: int) -> int:
        effect(f"square/{number}")
        time.sleep(0.05)
        return number * number


    @task
    def total(squares: list[int]) -> int:
        return sum(squares)


    @pipeline
    def troubled() -> int:
        return total(map_over(square, numbers()))
"""
LARGE = """
    from penstock import pipeline, task


    @task
    def first() -> int:
        return 1


    @task
    def large(after_first: int) -> bytes:
        return bytes(range(256)) * (12 << 12)


    @task
    def size(data: bytes) -> int:
        return len(data)


    @pipeline
    def big() -> int:
        return size(large(first()))
"""
ANSWER = sum(number * number for number in range(60))


def ran(*command: str) -> str:
    """ "" when the command succeeded, else what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@pytest.fixture
def state(project) -> Iterator[Path]:
    """The project's state folder on a disk of 8 MiB."""
    folder = project.folder / ".penstock"
    folder.mkdir(mode=0o700)
    refusal = ran("mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(folder))
    if refusal and os.environ.get("PENSTOCK_TEST_REQUIRE_ALL"):
        pytest.fail(f"no small disk can be mounted: {refusal}")
    if refusal:
        pytest.skip(f"no small disk can be mounted here: {refusal}")
    project.environment["PENSTOCK_TEST_EFFECTS"] = str(project.folder / "effects.txt")
    try:
        yield folder
    finally:
        assert ran("umount", "-l", str(folder)) == ""


def effects(project) -> list[str]:
    path = project.folder / "effects.txt"
    return path.read_text().split() if path.exists() else []


def wait_for_effects(project, count: int) -> None:
    end = time.monotonic() + 30
    while len(effects(project)) < count:
        assert time.monotonic() < end, "the run does not get on"
        time.sleep(0.02)


def fill(state: Path) -> Path:
    """Take every byte that is left."""
    path = state / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def succeeded(project) -> dict[str, int]:
    """Attempts by path of the task runs that are committed as succeeded."""
    shown = project.call("show", "latest", "--json").json
    return {row["path"]: row["attempts"] for row in shown["task_runs"] if row["state"] == "succeeded"}


def goes_on(project) -> None:
    """`retry` finishes the run, and runs nothing again that was committed."""
    before, ran_before = succeeded(project), effects(project)
    done = project.call("retry", "latest", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"output": ANSWER}
    after = succeeded(project)
    again = effects(project)[len(ran_before) :]
    committed = {path for path in before if path.count("/") == 2}
    assert {path: after[path] for path in before} == before
    assert not committed & {f"{name}/square" for name in again}


def test_the_disk_fills_up_under_a_run(project, state: Path) -> None:
    project.write("troubled.py", PIPELINE)
    process = project.start("run", "troubled.py")
    wait_for_effects(project, 8)
    ballast = fill(state)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "disk" in err or "space" in err
    assert out == ""
    ballast.unlink()
    goes_on(project)


def test_the_state_folder_turns_read_only_under_a_run(project) -> None:
    project.environment["PENSTOCK_TEST_EFFECTS"] = str(project.folder / "effects.txt")
    project.write("troubled.py", PIPELINE)
    process = project.start("run", "troubled.py")
    wait_for_effects(project, 8)
    state = project.folder / ".penstock"
    # The immutable flag holds for root and for files that are open already; modes would not. Files that are mapped for
    # writing are left out: there the kernel answers with a signal, to any program.
    chosen = [str(path) for path in (state, *state.rglob("*")) if not path.name.endswith(("-shm", ".slot"))]
    refusal = ran("chattr", "+i", *chosen)
    if refusal:
        ran("chattr", "-i", *chosen)
        process.terminate()
        process.communicate(timeout=60)
        if os.environ.get("PENSTOCK_TEST_REQUIRE_ALL"):
            pytest.fail(f"files cannot be made immutable: {refusal}")
        pytest.skip(f"files cannot be made immutable here: {refusal}")
    try:
        out, err = process.communicate(timeout=60)
        refused = project.call("run", "troubled.py")
    finally:
        assert ran("chattr", "-i", *chosen) == ""
    assert refused.status == 1
    assert "Traceback" not in refused.err
    assert "a defect of Penstock" not in refused.err + err
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "not permitted" in err or "read-only" in err or "not be written" in err
    assert out == ""
    goes_on(project)


def test_an_output_too_large_for_the_disk_fails_its_task_and_runs_once_there_is_room(project, state: Path) -> None:
    project.write("big.py", LARGE)
    done = project.call("run", "big.py")
    assert done.status == 1
    assert "Traceback" not in done.err, done.err
    assert "no space is left" in done.err
    assert ran("mount", "-o", "remount,size=64m", str(state)) == ""
    again = project.call("retry", "latest", "--json")
    assert again.status == 0, again.err
    assert again.json["outputs"] == {"output": 256 * (12 << 12)}
