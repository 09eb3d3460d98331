"""How well a run is packed: 200 recorded tasks, half of which compute and half of which take much memory and wait, run for
real by `penstock run` in a machine of two processors and 1.25 GiB; the time that they took together, against what an
exact solver (CP-SAT of OR-Tools) finds for the same durations, and against a policy that knows slots only.

    python bench/packing.py [--rounds 1] [--tasks 200] [--seconds 60] [--json]

Without `ortools`, which nothing else needs (`pip install --group bench`), only a bound is there. Where the solver proves no
optimum in its seconds, the ratio to the optimum lies between the one to what it found and the one to the bound that is
proven. A slots policy starts as many at once as there are processors, whatever they take; with more slots it takes more
memory than there is, as its peak shows. Nothing is asserted."""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORES = 2
MEMORY_MIB = 1280
# What an interpreter with its libraries takes beside what a task takes.
INTERPRETER_MIB = 64

PIPELINE = """
import time

from penstock import pipeline, task

PAGE = 4096


@task
def computes(ms: int, mib: int) -> int:
    '''Burn a processor for so long.'''
    until, number = time.perf_counter() + ms / 1000, 0
    held = bytearray(mib << 20)
    held[::PAGE] = b"x" * (len(held) // PAGE)
    while time.perf_counter() < until:
        number += 1
    return len(held)


@task
def waits(ms: int, mib: int) -> int:
    '''Hold memory for so long.'''
    until = time.perf_counter() + ms / 1000
    held = bytearray(mib << 20)
    held[::PAGE] = b"x" * (len(held) // PAGE)
    time.sleep(max(0.0, until - time.perf_counter()))
    return len(held)


@pipeline
def packed() -> None:
    for number, (kind, ms, cpu, mib) in enumerate(TRACE):
        function = computes if kind == "computes" else waits
        declared = {"cpu": cpu / 1000, "memory": f"{mib + INTERPRETER}MiB"}
        function.options(name=f"t{number}", **declared)(ms, mib)


@pipeline
def slots() -> None:
    for number, (kind, ms, _, mib) in enumerate(TRACE):
        function = computes if kind == "computes" else waits
        function.options(name=f"t{number}", cpu=1)(ms, mib)
"""


@dataclass(frozen=True)
class Recorded:
    """One task as it ran: how long it took, and what it had asked for."""

    ms: int
    cpu: int
    mib: int


def trace(count: int, seed: int = 1) -> list[tuple[str, int, int, int]]:
    """(kind, milliseconds, thousandths of a processor, MiB) of each task."""
    rng = random.Random(seed)
    tasks = []
    for number in range(count):
        ms = rng.randint(50, 500)
        heavy = ("waits", ms, 250, rng.randint(100, 500))
        tasks.append(("computes", ms, 1000, rng.randint(1, 16)) if number % 2 else heavy)
    rng.shuffle(tasks)
    return tasks


# -- the real thing ----------------------------------------------------------------------------------------------------


def run(folder: Path, pipeline: str, tasks: Sequence[tuple[str, int, int, int]]) -> tuple[float, list[Recorded], int]:
    """Milliseconds that a run took, its tasks as recorded, and how many attempts ran out of memory."""
    from penstock.stores.sql import open_state

    folder.mkdir()
    text = PIPELINE.replace("TRACE", repr(tasks)).replace("INTERPRETER", str(INTERPRETER_MIB))
    (folder / "packing.py").write_text(text)
    settings = {"PENSTOCK_CPU": str(CORES), "PENSTOCK_MEMORY_BYTES": f"{MEMORY_MIB}MiB"}
    command = [sys.executable, "-m", "penstock.cli.main", "run", f"packing.py:{pipeline}", "--json"]
    environment = {**os.environ, **settings, "XDG_RUNTIME_DIR": str(folder)}
    folder.chmod(0o700)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    shown = json.loads(done.stdout)
    assert shown["state"] == "succeeded", shown["cause_text"]
    store = open_state(folder / ".penstock" / "state.db")
    attempts = store.attempts(shown["id"])
    store.close()
    wants = sum(attempt.outcome == "out_of_memory" for attempt in attempts)
    recorded = []
    for attempt in attempts:
        if attempt.outcome == "succeeded":
            _, _, cpu, mib = tasks[int(attempt.path.removeprefix("t"))]
            recorded.append(Recorded(max(1, round(attempt.duration_us / 1000)), cpu, mib + INTERPRETER_MIB))
    return shown["ended_at"] - shown["started_at"], recorded, wants


# -- what there is to compare with -------------------------------------------------------------------------------------


def counted(size: int, small: int, capacity: int) -> int:
    """What a task's size may count as without any set of tasks that fit together coming to more than the capacity: those that
    leave less than `small` count as all of it, those below `small` as nothing. It is a dual feasible function (Fekete and
    Schepers, 2001), and tells the solver what it would not find out by itself: two large tasks never run at once."""
    return capacity if size > capacity - small else size if size >= small else 0


def bound_ms(tasks: Sequence[Recorded]) -> float:
    """No packing takes less: neither processors nor memory are there twice."""
    bounds = [float(max(task.ms for task in tasks))]
    for sizes, capacity in (([t.cpu for t in tasks], CORES * 1000), ([t.mib for t in tasks], MEMORY_MIB)):
        for small in {0, *(size for size in sizes if 2 * size <= capacity)}:
            work = sum(t.ms * counted(size, small, capacity) for t, size in zip(tasks, sizes, strict=True))
            bounds.append(work / capacity)
    return max(bounds)


def least_ms(tasks: Sequence[Recorded], *, seconds: float) -> tuple[float | None, float]:
    """(the shortest that the solver found, the bound that it has proven) in milliseconds; without the solver, (None, what follows
    from sizes alone)."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return None, bound_ms(tasks)

    model: Any = cp_model.CpModel()
    horizon = sum(task.ms for task in tasks)
    starts, spans = [], []
    end = model.NewIntVar(0, horizon, "end")
    for number, task in enumerate(tasks):
        start = model.NewIntVar(0, horizon, f"s{number}")
        span = model.NewIntervalVar(start, task.ms, start + task.ms, f"i{number}")
        model.Add(end >= start + task.ms)
        starts.append(start)
        spans.append(span)
    model.Add(end >= math.ceil(bound_ms(tasks)))
    model.AddCumulative(spans, [task.cpu for task in tasks], CORES * 1000)
    model.AddCumulative(spans, [task.mib for task in tasks], MEMORY_MIB)
    model.Minimize(end)
    solver: Any = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = max(2, os.cpu_count() or 1)
    solver.Solve(model)
    return solver.ObjectiveValue(), solver.BestObjectiveBound()


def by_slots(tasks: Sequence[Recorded], slots: int) -> tuple[float, int]:
    """(milliseconds, most MiB at once) if that many of the same tasks ran at once, in order."""
    running: list[tuple[float, int]] = []
    now, held, most = 0.0, 0, 0
    for task in tasks:
        if len(running) == slots:
            now, mib = heapq.heappop(running)
            held -= mib
        heapq.heappush(running, (now + task.ms, task.mib))
        held += task.mib
        most = max(most, held)
    return max(end for end, _ in running), most


def measure(folder: Path, tasks: Sequence[tuple[str, int, int, int]], seconds: float) -> Mapping[str, float]:
    took_ms, recorded, wants = run(folder / "packed", "packed", tasks)
    found, bound = least_ms(recorded, seconds=seconds)
    slots_ms, slots_recorded, slots_wants = run(folder / "slots", "slots", tasks)
    figures = {
        "packed, s": took_ms / 1000,
        **(
            {"solver found, s": found / 1000, "ratio to the best that the solver found": took_ms / found}
            if found
            else {}
        ),
        "proven bound, s": bound / 1000,
        "ratio to the proven bound": took_ms / bound,
        "attempts that ran out of memory": wants,
        f"slots only ({CORES}), really run, s": slots_ms / 1000,
        "slots only, ratio to the proven bound": slots_ms / bound,
        "slots only, attempts that ran out of memory": slots_wants,
    }
    for slots in (CORES, 2 * CORES, 4 * CORES):
        alone_ms, most = by_slots(slots_recorded, slots)
        figures[f"{slots} slots, on paper, s"] = alone_ms / 1000
        figures[f"{slots} slots, most memory, of what there is"] = most / MEMORY_MIB
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="what the solver may take")
    parser.add_argument("--folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            rounds.append(measure(Path(folder), trace(given.tasks), given.seconds))
    figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{value:14,.3f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
