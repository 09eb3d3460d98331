"""SIGKILL at random moments: of the controller, of a worker, of everything at once. Afterwards `retry` finishes the
run: what was committed is neither lost nor run again, no process is left, and the database's own check passes.

PENSTOCK_TEST_KILLS says how many rounds are played (CI plays 50); the seed of a round is its number."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

ROUNDS = int(os.environ.get("PENSTOCK_TEST_KILLS", "4"))
TASKS = 200
KILLS_MAX = 3

PIPELINE = f"""
    import os
    import time

    from penstock import map_over, pipeline, task


    def effect(name: str) -> None:
        fd = os.open("effects.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{{name}}\\n".encode())
        os.close(fd)


    @task
    def numbers() -> list[int]:
        effect("numbers")
        return list(range({TASKS - 2}))


    @task
    def square(number: int) -> int:
        effect(f"square/{{number}}/square")
        time.sleep(0.004)
        return number * number


    @task
    def total(squares: list[int]) -> int:
        effect("total")
        return sum(squares)


    @pipeline
    def killed() -> int:
        return total(map_over(square, numbers()))
"""
ANSWER = sum(number * number for number in range(TASKS - 2))


def effects(folder: Path) -> Counter[str]:
    path = folder / "effects.txt"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def committed(folder: Path) -> set[str]:
    """The task runs of functions that the database says have succeeded, read without Penstock."""
    database = folder / ".penstock" / "state.db"
    if not database.exists():
        return set()
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return set()  # killed before there was a schema
        found = connection.execute("SELECT path FROM task_runs WHERE state = 'succeeded' AND attempt > 0").fetchall()
    finally:
        connection.close()
    return {path for (path,) in found}


def kill_something(process: subprocess.Popen[str], chance: random.Random) -> str:
    """SIGKILL for the controller, for one process below it, or for all of them; says which."""
    try:
        whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return "nothing"
    chosen = chance.choice(["controller", "worker", "group"])
    victims = {"controller": whole[:1], "worker": [chance.choice(whole[1:])] if whole[1:] else [], "group": whole}[
        chosen
    ]
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    return chosen


def none_left(folder: Path) -> None:
    """Waits until no process says the folder's name."""
    end = time.monotonic() + 20
    while True:
        left = []
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(str(folder)) and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        if not left:
            return
        assert time.monotonic() < end, left
        time.sleep(0.02)


@pytest.mark.kill
@pytest.mark.timeout(300)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_killed_at_a_random_moment(project, round_: int) -> None:
    chance = random.Random(round_)
    project.write("killed.py", PIPELINE)
    # The first kills fall anywhere from start-up to the end; a run takes about a second.
    arguments = ["run", "killed.py"]
    story = []
    for _ in range(chance.randint(1, KILLS_MAX)):
        process = project.start(*arguments)
        moment = chance.uniform(0.0, 1.6)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            story.append(f"{' '.join(arguments)}, after {moment:.2f} s: {kill_something(process, chance)}")
        process.communicate(timeout=120)
        story.append(f"exit {process.returncode}")
        none_left(project.folder)
        done = committed(project.folder)
        before = effects(project.folder)
        assert all(before[name] >= 1 for name in done), story
        runs = project.call("runs", "--json").json
        arguments = ["retry", "latest"] if runs else ["run", "killed.py"]
    done, before = committed(project.folder), effects(project.folder)
    last = project.call(*arguments, "--json", timeout=120)
    assert last.status == 0, (story, last.err)
    assert last.json["state"] == "succeeded", story
    assert len(committed(project.folder)) == TASKS, story
    assert last.json["outputs"] == {"output": ANSWER}, story
    after = effects(project.folder)
    assert {name for name in done if after[name] != before[name]} == set(), (story, "a committed task ran again")
    assert len(after) == TASKS, story
    assert len(project.call("runs", "--json").json) == 1, story
