"""What the live view takes of a core: real runs of 10,000 tasks, drawn on a real terminal (a pseudo-terminal that
somebody reads).

    python bench/live_view.py [--tasks 10000] [--rounds 3] [--json]

The processor time of every call into the view is added up, by the clock of its thread, and set against how long the run
took: `map`, the items of one map, each computed; `hits`, the same again, each found; `wide`, as many nodes of one graph.
What draws is loaded before the run begins, while a worker imports the pipeline, and is not counted. Figures are medians;
nothing is asserted."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from pathlib import Path

PIPELINES = """
from penstock import map_over, pipeline, task


@task
def more(x: int) -> int:
    return x + 1


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@pipeline
def fan_out(count: int) -> list[int]:
    return map_over(more, numbers(count))


@pipeline
def wide() -> int:
    for number in range(COUNT - 1):
        more(number)
    return more(0)
"""

RUN = """
import json, sys, time
from pathlib import Path
from penstock import app
from penstock.cli.live import LiveProgress


class Metered:
    def __init__(self, inner):
        self.inner, self.spent_s, self.calls = inner, {}, 0

    def __getattr__(self, name):
        told = getattr(self.inner, name)

        def metered(*given, **named):
            begun_s = time.thread_time()
            told(*given, **named)
            self.spent_s[name] = self.spent_s.get(name, 0.0) + time.thread_time() - begun_s

        return metered


progress = Metered(LiveProgress())
result = app.run_target(f"pipelines.py:{sys.argv[1]}", json.loads(sys.argv[2]), progress=progress)
assert result.state == "succeeded", result
took_s = (result.row.ended_at - result.row.started_at) / 1000
print(json.dumps({"took_s": took_s, **progress.spent_s}))
"""


def measured(folder: Path, name: str, parameters: dict[str, str]) -> dict[str, float]:
    """Seconds of the run, and of processor time by kind of call."""
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-c", RUN, name, json.dumps(parameters)]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    screen = bytearray()

    def read() -> None:
        try:
            while piece := os.read(reader, 65536):
                screen.extend(piece)
        except OSError:
            pass  # nobody has the other end any more

    reading = threading.Thread(target=read)
    reading.start()
    out, _ = process.communicate()
    reading.join()
    os.close(reader)
    if process.returncode:
        sys.exit(bytes(screen).decode())
    return {name: float(figure) for name, figure in json.loads(out).items()}


def shares(tasks: int) -> dict[str, float]:
    """Per cent of a core, by kind of run."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        (folder / "pyproject.toml").touch()
        (folder / "pipelines.py").write_text(PIPELINES.replace("COUNT", str(tasks)))
        for kind, pipeline in (("map", "fan_out"), ("hits", "fan_out"), ("wide", "wide")):
            spent = measured(folder, pipeline, {"count": str(tasks)} if pipeline == "fan_out" else {})
            spent.pop("prepare")
            took_s = spent.pop("took_s")
            found[f"{kind}: run, s"] = took_s
            found[f"{kind}: view, % of a core"] = 100 * sum(spent.values()) / took_s
            found[f"{kind}: of it drawing, % of a core"] = 100 * spent["refresh"] / took_s
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", help="where to write (default: the system's temporary folder)")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.folder:
        tempfile.tempdir = options.folder
    rounds = [shares(options.tasks) for _ in range(options.rounds)]
    figures = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    if options.json:
        print(json.dumps(figures))
        return
    for text, figure in figures.items():
        print(f"{figure:10.2f}  {text}")


if __name__ == "__main__":
    main()
