"""Standard output and standard error that are closed, full, read by nobody or gone: a run goes on, and the exit status says
how it ended; what only reads ends in silence, or says that its output could not be written."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import PROGRAM, Project

STORY = """
    from pathlib import Path
    from penstock import map_over, pipeline, task


    @task
    def first(n: int) -> int:
        return n


    @task
    def one(n: int, base: int) -> int:
        return n + base


    @task(cache=False)
    def last(found: list[int], fail: bool, mark: str) -> int:
        if fail:
            raise ValueError("that was the end")
        Path(mark).write_text("reached")
        return sum(found)


    @pipeline
    def story(mark: str, fail: bool = False) -> int:
        return last(map_over(one, [1, 2, 3], base=first(1)), fail, mark)
"""
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


@pytest.fixture
def story(project: Project) -> Project:
    project.write("pyproject.toml", "")
    project.write("story.py", STORY)
    return project


def told(project: Project, *arguments: str, shell: str) -> int:
    """Run the program with its streams as a shell sets them; `shell` begins with {program}."""
    line = shell.replace("{program}", " ".join([*PROGRAM, *arguments]))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=project.folder, env=project.environment, timeout=60, check=False
    )
    return done.returncode


def run_of(project: Project, *more: str) -> tuple[str, ...]:
    return ("run", "story.py", "-p", f"mark={project.folder}/mark", *more)


# Its reader is gone before anything is written: no chance in it.
CLOSED_PIPES = "exec 3> >(true); wait $!; {program} >&3 2>&3"


@pytest.mark.parametrize(
    ("shell", "fail"),
    [
        pytest.param(CLOSED_PIPES, False, id="nobody reads"),
        pytest.param("{program} >&- 2>&-", True, id="closed, and it fails"),
        pytest.param("{program} > /dev/full 2> /dev/full", False, id="full", marks=needs_full),
        pytest.param("{program} 2>&1 | head -n 1 > /dev/null", True, id="head, and it fails"),
    ],
)
def test_a_run_goes_on_and_its_exit_status_is_how_it_ended(story: Project, shell: str, fail: bool) -> None:
    assert told(story, *run_of(story, "-p", f"fail={str(fail).lower()}"), shell=shell) == (1 if fail else 0)
    assert (story.folder / "mark").exists() is not fail
    assert [each["state"] for each in story.call("runs", "--json").json] == ["failed" if fail else "succeeded"]


def test_a_standard_error_that_nobody_reads_on_holds_nothing_up(story: Project) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    while True:
        try:
            os.write(theirs, b"-" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(theirs, True)
    process = subprocess.Popen(
        [*PROGRAM, *run_of(story)], cwd=story.folder, env=story.environment, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    try:
        end = time.monotonic() + 60
        while not (story.folder / "mark").exists():
            assert time.monotonic() < end, "the run waits for somebody to read what it says"
            time.sleep(0.05)
    finally:
        os.close(ours)  # what is said when the run has ended finds nobody
        status = process.wait(timeout=60)
    assert status == 0


def test_a_terminal_that_hangs_up_does_not_end_a_run(story: Project, terminal) -> None:
    story.write("story.py", STORY.replace("return n + base", "import time; time.sleep(2); return n + base"))
    shown = terminal(*run_of(story))
    shown.until(lambda text: "running" in text)
    shown.hang_up()
    assert shown.status == 0
    assert (story.folder / "mark").exists()


def test_reading_verbs_end_in_silence_when_nobody_reads_on_and_say_so_when_the_disk_is_full(story: Project) -> None:
    assert story.call(*run_of(story)).status == 0
    said = story.folder / "said"
    for verb in ("show", "show --json", "runs", "logs", "plan story.py -p mark=x", "run --help"):
        assert told(story, verb, shell=f"exec 3> >(true); wait $!; {{program}} >&3 2> {said}") == 0, verb
        noise = [line for line in said.read_text().splitlines() if not line.startswith("importing ")]
        assert noise == [], verb
    if FULL.exists():
        assert told(story, "show", shell=f"{{program}} > /dev/full 2> {said}") == 1
        assert said.read_text() == "error: standard output cannot be written: No space left on device\n"


def test_logs_that_are_followed_end_when_nobody_reads_on(story: Project) -> None:
    story.write("story.py", STORY.replace("return n + base", 'import time; print("x", flush=True); time.sleep(60)'))
    running = story.start(*run_of(story))
    try:
        end = time.monotonic() + 60
        while '"running"' not in story.call("runs", "--json").out:
            assert time.monotonic() < end
        assert told(story, "logs", "-f", shell="{program} | head -n 1 > /dev/null") == 0
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
