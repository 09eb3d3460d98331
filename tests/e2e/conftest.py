"""The command line as a person meets it: `penstock` as a subprocess in a folder of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

GOLDEN = Path(__file__).with_name("golden")
PROGRAM = [sys.executable, "-m", "penstock.cli.main"]
HEAD = "from penstock import *\nfrom penstock import task, pipeline\n"

SALES = """
    import pandas as pd
    from pathlib import Path
    from penstock import File, map_over, pipeline, task
    from shop import rates


    @task
    def load(path: Path) -> pd.DataFrame:
        return pd.read_csv(path)


    @task
    def net(table: pd.DataFrame, low: int) -> pd.DataFrame:
        return table[["price"]][rates.with_tax(table.price) > low]


    @task
    def total(table: pd.DataFrame) -> int:
        return int(table.price.sum())


    @pipeline
    def sales(low: int = 1) -> int:
        return total(net(load(File("data/sales.csv")), low))
"""
RATES = """
    def with_tax(price):
        return price * 2
"""


@dataclass(frozen=True)
class Done:
    """How a call ended. `err` is without the lines that say what is being imported, `importing`: whether an import takes long
    enough for one is the machine's affair."""

    status: int
    out: str
    err: str
    importing: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Project:
    """A folder with an author's files, and the program run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_") or "TEST" in k}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))
        return path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, timeout: float = 60, **environment: str) -> Done:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"penstock {' '.join(arguments)} did not end\n{out}\n{err}")
        lines = err.splitlines(keepends=True)
        importing = [line for line in lines if line.startswith("importing ")]
        kept = "".join(line for line in lines if line not in importing)
        return Done(process.returncode, out, kept, tuple(importing))

    def text(self, done: Done) -> str:
        """What a person saw, with what differs from run to run and from machine to machine replaced by its name."""
        text = f"$ exit {done.status}\n"
        text += "".join(f"-- {name}\n{part}" for name, part in (("stderr", done.err), ("stdout", done.out)) if part)
        text = text.replace(str(self.folder), "FOLDER")
        # Which part of a line a traceback underlines is Python's affair, and differs between its versions.
        text = re.sub(r"^ *[~^]+\n", "", text, flags=re.MULTILINE)
        # Whether a short attempt is seen to start before it is seen to end is chance.
        text = re.sub(r"^ .* started\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^ .* imported its code in .*\n", "", text, flags=re.MULTILINE)
        # Where the time went is told of runs that took a second.
        text = re.sub(r"^  slowest\n(    .*\n|  (critical|waited|\d+ hits?).*\n)*", "", text, flags=re.MULTILINE)
        text = re.sub(r"\b1[0-9a-hjkmnp-tv-z]{12}\b", "RUN", text)
        text = re.sub(r"\b\d+ min \d\d s\b|\b\d+(\.\d)? m?s\b", "TIME", text)
        text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "WHEN", text)
        text = re.sub(r"/kept/[0-9a-f]{32} \(\d+ B\)", "/kept/VALUE (SIZE)", text)
        return re.sub(r"\bblake3:[0-9a-f]+", "blake3:DIGEST", text)

    # -- what became of tasks

    def origins(self, run: str = "latest") -> dict[str, str]:
        """Origin by path of the functions of a run."""
        shown = self.call("show", run, "--json").json
        return {task["path"]: task["origin"] for task in shown["task_runs"] if ":" in task["component"]}

    def computed(self, run: str = "latest") -> set[str]:
        return {path for path, origin in self.origins(run).items() if origin == "computed"}

    def ran(self, *arguments: str) -> set[str]:
        """Run, and say which functions were computed."""
        done = self.call("run", *arguments)
        assert done.status == 0, done.err
        return self.computed()

    def verdicts(self, *arguments: str) -> dict[str, str]:
        """What `plan` says, by path."""
        done = self.call("plan", *arguments, "--json")
        assert done.status == 0, done.err
        return {task["path"]: task["verdict"] for task in done.json["task_runs"]}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    assert processes_of(project) == [], "processes were left behind"


def processes_of(project: Project) -> list[str]:
    """Processes of this user that still work in the project's folder, or say its name."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            inside = process.cwd().startswith(str(project.folder)) or any(str(project.folder) in word for word in words)
            if inside and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(f"{process.pid} {' '.join(words)[:200]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def golden(project: Project) -> Callable[[str, Done], None]:
    """Compares what a person saw with a file; PENSTOCK_TEST_REGOLD=1 writes the file instead."""

    def compare(name: str, done: Done) -> None:
        path = GOLDEN / f"{name}.txt"
        seen = project.text(done)
        if os.environ.get("PENSTOCK_TEST_REGOLD"):
            path.write_text(seen)
        assert path.exists(), f"{path} is missing; PENSTOCK_TEST_REGOLD=1 writes it"
        assert seen == path.read_text()

    return compare


@pytest.fixture
def sales(project: Project) -> Project:
    """A pipeline with a helper in another module and a declared source, run once."""
    project.source, project.rates = SALES, RATES
    project.write("sales.py", SALES)
    project.write("shop/__init__.py", "")
    project.write("shop/rates.py", RATES)
    project.write("data/sales.csv", "item,price\na,1\nb,2\nc,3\nd,4\n")
    assert project.ran("sales.py") == {"source-sales", "load", "net", "total"}
    return project


# -- a terminal --------------------------------------------------------------------------------------------------------

ROWS, COLUMNS = 30, 110


class Terminal:
    """`penstock` in a session of its own on a terminal of its own, so that keys such as Ctrl-C reach it as signals."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        import pyte

        self.screen = pyte.HistoryScreen(COLUMNS, ROWS, history=1_000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.status: int | None = None
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
                os.chdir(folder)
                command = [sys.executable, "-m", "penstock.cli.main", *arguments]
                os.execve(sys.executable, command, {"TERM": "xterm-256color", **environment})
            finally:
                os._exit(127)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, empty lines left out."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def until(self, condition: Callable[[str], object], *, within_s: float = 60) -> str:
        """Read on until the screen satisfies the condition; the screen's text then."""
        end = time.monotonic() + within_s
        while not condition("\n".join(self.lines)):
            assert self._read(end), "\n".join(["it did not come true; the screen:", *self.lines])
        return "\n".join(self.lines)

    def ended(self, *, within_s: float = 60) -> int:
        """Read on until the program has ended; its exit status."""
        end = time.monotonic() + within_s
        while self._read(end):
            pass
        if self.status is None:
            assert time.monotonic() < end, "\n".join(["it did not end; the screen:", *self.lines])
            _, status = os.waitpid(self._pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            os.close(self._master)
        return self.status

    def hang_up(self, *, within_s: float = 60) -> None:
        """Take the terminal away, and wait until the program has ended."""
        os.close(self._master)
        end = time.monotonic() + within_s
        while self.status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, "it did not end"
            time.sleep(0.05)

    def kill(self) -> None:
        """End what a test that failed has left."""
        if self.status is None:
            os.kill(self._pid, signal.SIGKILL)
            self.ended()

    def _read(self, end: float) -> bool:
        """Take in what is printed next; False once nobody prints any more, or it is too late."""
        ready, _, _ = select.select([self._master], [], [], max(end - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the other end is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


@pytest.fixture
def terminal(project: Project) -> Iterator[Callable[..., Terminal]]:
    """Starts the program on a terminal: `terminal("run", "a.py", NO_COLOR="1")`."""
    pytest.importorskip("pyte", reason="pyte reads what a terminal shows")
    started: list[Terminal] = []

    def start(*arguments: str, **environment: str) -> Terminal:
        started.append(Terminal(project.folder, arguments, {**project.environment, **environment}))
        return started[-1]

    yield start
    for each in started:
        each.kill()
