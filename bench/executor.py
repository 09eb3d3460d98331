"""What the local executor costs: the round trip of one trivial attempt after the other, how many a second go through it when they
are submitted ahead, and how soon the first worker is up.

    python bench/executor.py [--folder DIR] [--rounds 5] [--json]

`bare` is a `ProcessPoolExecutor` with as many workers calling the same function, measured in turns with the rest. Figures are
medians of the rounds; nothing is asserted."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from penstock.executors.local import LocalExecutor, LocalSettings
from penstock.wire import AttemptEnded, AttemptRequest, FunctionRequest, Inline, Succeeded

WORKERS = 2
CHAIN = 1_000
FAN_OUT = 10_000
FIRST = """
import sys, time
begun = time.perf_counter()
from bench_executor import opened, requests, run_all
imported = time.perf_counter()
executor = opened(sys.argv[1])
run_all(executor, requests("first", 1))
print(imported - begun, time.perf_counter() - imported)
executor.close()
"""


def add(a: int, b: int) -> int:
    return a + b


def opened(folder: str) -> LocalExecutor:
    root = Path(folder)
    artifacts = {"root": str(root / ".penstock" / "artifacts")}
    return LocalExecutor(
        LocalSettings(
            project=root,
            state=root / ".penstock",
            cpu=WORKERS,
            ledger=root,
            artifacts_arguments=artifacts,
        )
    )


def requests(tag: str, count: int) -> list[AttemptRequest]:
    integer = {"name": "int"}
    component = FunctionRequest("adding", "add", {"a": integer, "b": integer}, {"output": integer}, "")
    return [
        AttemptRequest(
            f"run1/{tag}/{number}#1", component, {"a": Inline(number), "b": Inline(1)}, seed=1, amounts={"cpu": 1000}
        )
        for number in range(count)
    ]


def run_all(executor: LocalExecutor, wanted: list[AttemptRequest]) -> None:
    """Run attempts, at most as many at once as an engine would submit."""
    waiting, running = deque(wanted), 0
    limit = WORKERS + executor.capacity().ahead_max
    while waiting or running:
        batch = [waiting.popleft() for _ in range(min(limit - running, len(waiting)))]
        if batch:
            executor.start(batch)
            running += len(batch)
        ended = [report for report in executor.poll(10_000) if isinstance(report, AttemptEnded)]
        assert all(isinstance(report.outcome, Succeeded) for report in ended), ended
        executor.acknowledge([report.attempt_id for report in ended])
        running -= len(ended)


def measure(folder: str, rounds: int) -> dict[str, float]:
    figures: dict[str, list[float]] = {}
    Path(folder, "adding.py").write_text("def add(a: int, b: int) -> int:\n    return a + b\n")
    executor = opened(folder)
    run_all(executor, requests("warm", 100))
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("fork")) as bare:
        list(bare.map(add, range(100), range(100)))
        for round_number in range(rounds):
            chain, fan_out = requests(f"chain{round_number}", CHAIN), requests(f"fan{round_number}", FAN_OUT)
            begun, cpu = time.perf_counter(), time.process_time()
            for request in chain:
                run_all(executor, [request])
            note(figures, "round_trip_us", (time.perf_counter() - begun) / CHAIN * 1e6)
            note(figures, "round_trip_controller_cpu_us", (time.process_time() - cpu) / CHAIN * 1e6)
            begun = time.perf_counter()
            for number in range(CHAIN):
                bare.submit(add, number, 1).result()
            note(figures, "bare_round_trip_us", (time.perf_counter() - begun) / CHAIN * 1e6)
            begun = time.perf_counter()
            run_all(executor, fan_out)
            note(figures, "fan_out_per_s", FAN_OUT / (time.perf_counter() - begun))
            begun = time.perf_counter()
            for future in [bare.submit(add, number, 1) for number in range(FAN_OUT)]:
                future.result()
            note(figures, "bare_fan_out_per_s", FAN_OUT / (time.perf_counter() - begun))
    executor.close()
    for _ in range(rounds):
        environment = {**os.environ, "PYTHONPATH": folder}
        Path(folder, "bench_executor.py").write_text(Path(__file__).read_text())
        done = subprocess.run(
            [sys.executable, "-c", FIRST, folder], env=environment, capture_output=True, text=True, check=True
        )
        imported, first = map(float, done.stdout.split())
        note(figures, "import_ms", imported * 1e3)
        note(figures, "first_attempt_ms", first * 1e3)
    return {name: statistics.median(values) for name, values in figures.items()}


def note(figures: dict[str, list[float]], name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", help="where the executor keeps its state (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        figures = measure(folder, given.rounds)
    if given.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:10.1f}")


if __name__ == "__main__":
    main()
