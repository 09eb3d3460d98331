"""`run --watch` with real edits, and `retry` after one: what is saved is run again, and only what must."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

SHOP = """
    from pathlib import Path
    from penstock import File, pipeline, task
    from rates import with_tax


    @task
    def load(path: Path) -> list[int]:
        return [int(line) for line in path.read_text().split()]


    @task
    def taxed(prices: list[int]) -> list[int]:
        return [with_tax(price) for price in prices]


    @task
    def total(prices: list[int]) -> int:
        return sum(prices)


    @pipeline
    def shop() -> int:
        return total(taxed(load(File("prices.txt"))))
"""
RATES = "def with_tax(price):\n    return price * 2\n"
WAITING = "waiting for a file to be saved (Ctrl-C ends)"


class Watched:
    """A program that watches: what it says, line by line."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        self._told: list[str] = []
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in process.stdout], daemon=True)
        self.reader.start()

    def until(self, word: str) -> str:
        """All that is said up to a line with this word in it."""
        told: list[str] = []
        end = time.monotonic() + 60
        while True:
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                assert time.monotonic() < end and self.process.poll() is None, "".join([*self._told, *told])
                continue
            told.append(line)
            self._told.append(line)
            if word in line:
                return "".join(told)


@contextmanager
def watching(project: Any, *words: str, **environment: str) -> Iterator[Watched]:
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", "run", "shop.py", "--watch", *words],
        cwd=project.folder,
        env={**project.environment, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watched = Watched(process)
    try:
        yield watched
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=30)
            except Exception:
                process.kill()
                raise
        watched.reader.join(20)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write("shop.py", SHOP)
    project.write("rates.py", RATES)
    project.write("prices.txt", "1\n2\n3\n")
    project.write("unused.py", "x = 1\n")
    return project


def without_watchfiles(project: Any) -> dict[str, str]:
    """What makes the program find no `watchfiles`."""
    project.write("elsewhere/watchfiles.py", "raise ImportError('not installed')\n")
    path = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{project.folder / 'elsewhere'}{os.pathsep}{path}"}


@pytest.mark.parametrize("events", ["events", "polling"])
def test_what_is_saved_is_run_again(shop: Any, events: str) -> None:
    if events == "events" and find_spec("watchfiles") is None:
        pytest.skip("not installed: watchfiles")
    with watching(shop, **(without_watchfiles(shop) if events == "polling" else {})) as watched:
        assert "output = 12" in watched.until(WAITING)
        # A helper in another module: only what depends on it runs.
        shop.write("rates.py", "def with_tax(price):\n    return price * 3\n")
        told = watched.until(WAITING)
        assert "changed: rates.py" in told and "output = 18" in told
        assert "load" in told and told.count("cached from run") == 1
        assert {path for path, origin in shop.origins().items() if origin == "computed"} >= {"taxed", "total"}
        # A declared file.
        shop.write("prices.txt", "1\n2\n")
        told = watched.until(WAITING)
        assert "changed: prices.txt" in told and "output = 9" in told
        # A mistake is told, and waited for to be mended.
        shop.write("shop.py", SHOP.replace("return total(", "return total(("))
        told = watched.until(WAITING)
        assert "changed: shop.py" in told and "SyntaxError" in told
        # Saving what is no part of it, or without a change, is nothing; so the next change is the mending alone.
        runs = len(shop.call("runs", "--json").json)
        shop.write("shop.py", SHOP)
        told = watched.until(WAITING)
        assert "changed: shop.py" in told and "output = 9" in told
        shop.write("notes.txt", "nothing\n")
        shop.write("unused.py", "x = 2\n")
        shop.write("rates.py", "def with_tax(price):\n    return price * 3\n")
        shop.write("prices.txt", "5\n")
        told = watched.until(WAITING)
        assert "changed: prices.txt\n" in told and "output = 15" in told
        assert len(shop.call("runs", "--json").json) == runs + 2
        os.killpg(watched.process.pid, signal.SIGINT)
        assert watched.process.wait(timeout=30) == 0, "the last run succeeded"


def test_an_edit_in_the_middle_of_a_run_has_it_run_again(shop: Any) -> None:
    slow = SHOP.replace(
        "        return sum(prices)\n",
        "        import os, time\n        open('begun', 'w').close()\n        while not os.path.exists('go'):\n"
        "            time.sleep(0.02)\n        return sum(prices)\n",
    )
    shop.write("shop.py", slow)
    with watching(shop) as watched:
        end = time.monotonic() + 60
        while not (shop.folder / "begun").exists():
            assert time.monotonic() < end and watched.process.poll() is None
            time.sleep(0.02)
        shop.write("rates.py", "def with_tax(price):\n    return price * 5\n")
        (shop.folder / "go").write_text("")
        told = watched.until("rates.py")  # after `go`, which the task has looked for
        assert "output = 12" in told, "the run that was under way is not touched by it"
        assert "output = 30" in watched.until(WAITING)


def test_ctrl_c_in_a_run_cancels_it_and_ends(shop: Any) -> None:
    shop.write(
        "shop.py", SHOP.replace("return sum(prices)", "import time; open('begun', 'w').close(); time.sleep(600)")
    )
    with watching(shop) as watched:
        end = time.monotonic() + 60
        while not (shop.folder / "begun").exists():
            assert time.monotonic() < end and watched.process.poll() is None
            time.sleep(0.02)
        os.killpg(watched.process.pid, signal.SIGINT)
        assert watched.process.wait(timeout=60) == 3


def test_what_cannot_be_a_target_is_not_waited_for(shop: Any) -> None:
    done = shop.call("run", "nothing.py", "--watch")
    assert done.status == 2 and "there is no file nothing.py" in done.err


def test_after_a_failure_and_an_edit_only_what_must_runs(shop: Any) -> None:
    """Fail, mend, `retry`: what had succeeded and is unchanged is not run again, and no more than the failed task and
    what follows it is."""
    shop.write("rates.py", "def with_tax(price):\n    raise ValueError('no rates yet')\n")
    failed = shop.call("run", "shop.py")
    assert failed.status == 1 and "no rates yet" in failed.err
    assert shop.computed() >= {"load"}
    shop.write("rates.py", RATES)
    done = shop.call("retry", "latest", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"output": 12}
    by_path = {task["path"]: (task["origin"], task["cause"]) for task in done.json["task_runs"]}
    assert by_path["load"][0] == "cached"
    assert {path for path in ("taxed", "total") if by_path[path][0] == "computed"} == {"taxed", "total"}
