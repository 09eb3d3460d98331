"""`make bench`: every figure that Penstock aims at, with the bare comparisons measured in the same run.

    python bench/main.py [--folder DIR] [--quick]

Each part is a program of its own and runs in a process of its own. Nothing is asserted: machines differ, ratios
less."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Part, title, and what makes it quick.
PARTS = (
    ("end_to_end.py", "Penstock as its user meets it", ("--rounds", "1", "--tasks-max", "10000")),
    ("table.py", "A table of 1 GB between two tasks", ("--rounds", "1", "--gigabytes", "0.2")),
    ("executor.py", "The local executor alone", ("--rounds", "1")),
    ("watcher.py", "Holding attempts to their limits", ("--rounds", "1", "--seconds", "3")),
    ("packing.py", "200 mixed tasks, against an exact solver", ("--seconds", "20")),
    ("state_store.py", "The state store alone", ("--tasks", "10000")),
    ("cache_store.py", "The cache in the state store alone", ("--entries", "20000")),
    ("live_view.py", "The live view over 10,000 tasks, in per cent of a core", ("--rounds", "1")),
    ("drawing.py", "A graph of 1,000 nodes as SVG", ("--rounds", "1")),
    ("yaml_load.py", "A pipeline file of 10,000 tasks", ("--rounds", "1", "--tasks", "2000")),
    ("code.py", "What the code counts as: 300 modules, 30,000 lines", ("--rounds", "1")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", help="where everything is kept (default: the system's temporary folder)")
    parser.add_argument("--quick", action="store_true", help="one round of everything, and smaller")
    parser.add_argument("parts", nargs="*", help="only these, by file name")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    failed = 0
    for file, title, quick in PARTS:
        if given.parts and file.removesuffix(".py") not in {part.removesuffix(".py") for part in given.parts}:
            continue
        print(f"\n{title} (bench/{file})", flush=True)
        folder = ("--folder", given.folder) if given.folder else ()
        command = [sys.executable, str(HERE / file), "--json", *folder, *(quick if given.quick else ())]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            failed += 1
            print(f"    it failed with exit status {done.returncode}")
            continue
        for name, value in json.loads(done.stdout).items():
            print(f"{value:14,.2f}  {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
