"""What holding attempts to their limits costs, and how far a hog gets.

    python bench/watcher.py [--folder DIR] [--workers 16] [--seconds 10] [--rounds 5] [--json]

`watched` is the processor time of the keeper, in percent of one core, while so many workers are each at an attempt with a
declared limit of 512 MiB, of which it holds some 100 MiB and takes and gives back a little; `idle` the same with nothing to
watch, the workers waiting for work. `hog` is the most that a function writing 1 GB/s to fresh memory had written when it was
killed, in percent of its limit: the worst of the rounds, for limits of 256 MiB and 1 GiB, in one process and in two. It counts
what it writes in a mapped file, which outlives it. Nothing is asserted."""

from __future__ import annotations

import argparse
import json
import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from penstock.executors.local import LocalExecutor, LocalSettings
from penstock.wire import AttemptEnded, AttemptRequest, AttemptStarted, FunctionRequest, Inline

MIB = 1 << 20
HELD = 100 * MIB
LIMIT = 512 * MIB
RATE = 1_000_000_000
TICKS = os.sysconf("SC_CLK_TCK")

SOURCE = """
import mmap, os, struct, time

MiB = 1 << 20


def steady(held: int, until: str) -> int:
    ballast = bytearray(b"x" * held)
    while not os.path.exists(until):
        more = bytearray(b"y" * (8 * MiB))
        time.sleep(0.05)
        del more
    return len(ballast)


def hog(counter: str, rate: int, until: int, slot: int = 0) -> int:
    with open(counter, "r+b") as file:
        counted = mmap.mmap(file.fileno(), 4096)
    held, began, page = [], time.monotonic(), b"x" * MiB
    while len(held) * MiB < until:
        held.append(bytearray(page))
        struct.pack_into("<Q", counted, 8 * slot, len(held) * MiB)
        ahead = len(held) * MiB / rate - (time.monotonic() - began)
        if ahead > 0.001:
            time.sleep(ahead)
    return 0


def hogs(counter: str, rate: int, until: int) -> int:
    child = os.fork()
    hog(counter, rate // 2, until, int(child == 0))
    return 0
"""


def opened(folder: Path, workers: int) -> LocalExecutor:
    (folder / "watched_source.py").write_text(SOURCE)
    artifacts = {"root": str(folder / ".penstock" / "artifacts")}
    return LocalExecutor(
        LocalSettings(
            project=folder,
            state=folder / ".penstock",
            cpu=workers,
            memory_bytes=1 << 40,
            ledger=folder,
            artifacts_arguments=artifacts,
        )
    )


def request(name: str, function: str, inputs: Mapping[str, object], *, memory: int | None) -> AttemptRequest:
    types = {key: {"name": type(value).__name__} for key, value in inputs.items()}
    component = FunctionRequest("watched_source", function, types, {"output": {"name": "int"}}, pin="")
    given = {key: Inline(value) for key, value in inputs.items()}
    return AttemptRequest(f"bench/{name}#1", component, given, 1, amounts={"cpu": 1000}, memory_bytes_max=memory)


def processor_s(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def percent_of_core(pid: int, executor: LocalExecutor, seconds: float) -> float:
    began, before = time.monotonic(), processor_s(pid)
    while time.monotonic() - began < seconds:
        executor.poll(100)
    return 100 * (processor_s(pid) - before) / (time.monotonic() - began)


def cost(folder: Path, workers: int, seconds: float) -> dict[str, float]:
    done = folder / "done"
    with closing(opened(folder, workers)) as executor:
        inputs = {"held": HELD, "until": str(done)}
        executor.start([request(f"steady{n}", "steady", inputs, memory=LIMIT) for n in range(workers)])
        started = 0
        while started < workers:
            started += sum(isinstance(report, AttemptStarted) for report in executor.poll(100))
        time.sleep(1)
        pid = executor.keeper_pid
        assert pid is not None
        watched = percent_of_core(pid, executor, seconds)
        done.touch()
        ended = 0
        while ended < workers:
            ended += sum(isinstance(report, AttemptEnded) for report in executor.poll(100))
        idle = percent_of_core(pid, executor, seconds)
    return {
        f"percent of a core: the watcher with {workers} workers": watched,
        f"percent of a core: the keeper of {workers} idle workers": idle,
    }


def worst(folder: Path, function: str, limit: int, rounds: int) -> float:
    counter = folder / "counter"
    reached = []
    with closing(opened(folder, 4)) as executor:
        for number in range(rounds):
            counter.write_bytes(bytes(4096))
            inputs = {"counter": str(counter), "rate": RATE, "until": 4 * limit}
            executor.start([request(f"{function}{limit}-{number}", function, inputs, memory=limit)])
            while not any(isinstance(report, AttemptEnded) for report in executor.poll(100)):
                pass
            with open(counter, "rb") as file, mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ) as counted:
                reached.append(sum(struct.unpack_from("<2Q", counted)))
    return 100 * max(reached) / limit


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", help="where everything is kept (default: the system's temporary folder)")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as root:
        figures |= cost(Path(root), given.workers, given.seconds)
        for function, told in (("hog", "one process"), ("hogs", "two processes")):
            for limit in (256 * MIB, 1024 * MIB):
                name = f"percent of its limit of {limit // MIB} MiB: a hog of 1 GB/s in {told}, at the most"
                figures[name] = worst(Path(root), function, limit, given.rounds)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{value:10.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
