"""What Penstock costs its user, through the public API in fresh folders, beside a bare loop measured in turns with it:
two workers of a ProcessPoolExecutor, and one full-sync SQLite commit per task.

    python bench/end_to_end.py [--rounds 3] [--tasks-max 100000] [--json]

Figures are medians of the rounds; nothing is asserted."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

CHAIN = 1_000
FAN_OUT = 10_000
PLANNED = 100_000

PIPELINES = """
from penstock import map_over, pipeline, task


@task
def more(x: int) -> int:
    return x + 1


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@pipeline
def chain() -> int:
    x = more(0)
    for _ in range(CHAIN - 1):
        x = more(x)
    return x


@pipeline
def ten() -> int:
    x = more(0)
    for _ in range(9):
        x = more(x)
    return x


@pipeline
def fan_out(count: int) -> list[int]:
    return map_over(more, numbers(count))
""".replace("CHAIN", str(CHAIN))

RUN = """
import json, resource, sys
from pipelines import chain, fan_out
result = chain.run() if sys.argv[1] == "chain" else fan_out.run(count=int(sys.argv[1]))
assert result.state == "succeeded", result
took_ms = result.row.ended_at - result.row.started_at
print(json.dumps([took_ms, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""

PLAN = """
import json, sys, time
from penstock.base.instants import Instant
from penstock.engine.engine import Engine
from penstock.engine.events import CapacityReported, RunSubmitted
from penstock.engine.rows import RunRow
from penstock.graph.bindings import Constant, Output
from penstock.graph.model import Call, Function, Graph, InputSpec, OutputSpec
from penstock.graph.types import INT
from penstock.plan.passes import make_plan

count = int(sys.argv[1])
more = Function("bench", "more", (InputSpec("x", INT),), (OutputSpec("output", INT),))
# A thousand chains side by side: wide and deep at once.
nodes = tuple(
    Call(f"n{i}", more, {"x": Output(f"n{i - 1000}", "output") if i >= 1000 else Constant(0)}) for i in range(count)
)
graph = Graph("bench", (), nodes, ())
begun = time.perf_counter()
plan = make_plan(graph, graph_digest="d", pin="p", capacity={"cpu": 2000})
engine = Engine()
now = Instant(1)
engine.handle(CapacityReported("local", {"cpu": 2000}, 256), now=now)
decision = engine.handle(RunSubmitted(RunRow("1" * 13, "bench", "d", {}, "p", 0, now), plan), now=now)
assert decision.commands
print(json.dumps(time.perf_counter() - begun))
"""


def more(x: int) -> int:
    return x + 1


# -- bare --------------------------------------------------------------------------------------------------------------


def database(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE done (task INTEGER PRIMARY KEY, value INTEGER)")
    return connection


def bare_chain(folder: Path) -> float:
    """Milliseconds for each of CHAIN calls that wait for each other."""
    connection = database(folder)
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        pool.submit(more, 0).result()
        begun = time.perf_counter()
        x = 0
        for number in range(CHAIN):
            x = pool.submit(more, x).result()
            connection.execute("INSERT INTO done VALUES (?, ?)", (number, x))
        took = time.perf_counter() - begun
    connection.close()
    return took / CHAIN * 1_000


def bare_fan_out(folder: Path) -> float:
    """Calls a second of FAN_OUT that wait for nothing; each is committed for itself."""
    connection = database(folder)
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        pool.submit(more, 0).result()
        begun = time.perf_counter()
        futures = [pool.submit(more, number) for number in range(FAN_OUT)]
        for number, future in enumerate(as_completed(futures)):
            connection.execute("INSERT INTO done VALUES (?, ?)", (number, future.result()))
        took = time.perf_counter() - begun
    connection.close()
    return FAN_OUT / took


# -- Penstock ----------------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}


def answered(code: str, *arguments: str, folder: Path) -> object:
    """What a Python program prints, as JSON; it runs in a fresh folder with the pipelines beside it."""
    (folder / "pipelines.py").write_text(PIPELINES)
    (folder / "program.py").write_text(code)
    command = [sys.executable, "program.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def run_of(what: str, folder: Path) -> tuple[float, float]:
    """(milliseconds from the run's start to its end, largest resident size of the controller in bytes)."""
    took_ms, rss_bytes = answered(f"if __name__ == '__main__':\n{indented(RUN)}", what, folder=folder)  # type: ignore[misc]
    return float(took_ms), float(rss_bytes)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


def wall_ms(*command: str, folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=True)
    return (time.perf_counter() - begun) * 1_000


def cpu_ms(code: str, folder: Path) -> float:
    """Processor time of a Python program, children included."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1_000


def in_fresh_folder(measure: Callable[[Path], float]) -> float:
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        return measure(Path(name))


FOLDER: str | None = None
PROGRAM = (sys.executable, "-m", "penstock.cli.main")
PUBLIC = "from penstock import context, map_over, pipeline, task"


def first_run(folder: Path) -> float:
    (folder / "pipelines.py").write_text(PIPELINES)
    return wall_ms(*PROGRAM, "run", "pipelines.py:ten", folder=folder)


STARTING: dict[str, Callable[[Path], float]] = {
    "import penstock, ms CPU beyond Python's own": lambda f: cpu_ms("import penstock", f) - cpu_ms("pass", f),
    "its public names, ms CPU beyond Python's own": lambda f: cpu_ms(PUBLIC, f) - cpu_ms("pass", f),
    "penstock --help, ms": lambda f: wall_ms(*PROGRAM, "--help", folder=f),
    "first run of ten tasks in a fresh folder, ms": first_run,
}


def measure(rounds: int, tasks_max: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, starting in STARTING.items():
        figures[name] = statistics.median(in_fresh_folder(starting) for _ in range(3 * rounds))
    turns = [
        (
            in_fresh_folder(bare_chain),
            in_fresh_folder(lambda f: run_of("chain", f)[0] / CHAIN),
            in_fresh_folder(bare_fan_out),
            in_fresh_folder(lambda f: FAN_OUT / (run_of(str(FAN_OUT), f)[0] / 1_000)),
        )
        for _ in range(rounds)
    ]
    bare_ms, chain_ms, bare_per_s, fan_out_per_s = (statistics.median(turn) for turn in zip(*turns, strict=True))
    figures |= {
        "bare: a task in a chain of 1,000, ms": bare_ms,
        "a task in a chain of 1,000, ms": chain_ms,
        "  that is so many times bare (at most 2 wanted)": chain_ms / bare_ms,
        "bare: fan-out of 10,000, tasks/s": bare_per_s,
        "fan-out of 10,000, tasks/s": fan_out_per_s,
        "  that is so many times bare (at least 0.7 wanted)": fan_out_per_s / bare_per_s,
    }
    planning = statistics.median(
        in_fresh_folder(lambda f: float(answered(PLAN, str(PLANNED), folder=f)))  # type: ignore[arg-type]
        for _ in range(rounds)
    )
    figures["100,000 tasks from memory to the first decision, s (at most 2 wanted)"] = planning
    return figures | growing(tasks_max)


def growing(tasks_max: int) -> dict[str, float]:
    """Cost per task and memory as runs grow: once each, since the largest takes a while."""
    figures: dict[str, float] = {}
    rss: dict[int, float] = {}
    count = 100
    while count <= tasks_max:
        with tempfile.TemporaryDirectory(dir=FOLDER) as name:
            took_ms, rss[count] = run_of(str(count), Path(name))
        figures[f"run of {count:,} tasks, ms per task"] = took_ms / count
        count *= 10
    if 100_000 in rss:
        figures["memory of the controller at 100,000 tasks, MiB"] = rss[100_000] / 2**20
        slope = (rss[100_000] - rss[10_000]) / 90_000
        figures["memory per task between 10,000 and 100,000, bytes (at most 2,048 wanted)"] = slope
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", help="where runs keep their state (default: the system's temporary folder)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks-max", type=int, default=100_000, help="the largest run")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    global FOLDER
    FOLDER = given.folder
    figures = measure(given.rounds, given.tasks_max)
    if given.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{value:12,.2f}  {name}")


if __name__ == "__main__":
    main()
