"""Break the engine in one named way after another and see that the simulator or the engine's own tests notice.

`python tests/mutants/run_mutants.py [NAME ...]`: prints a table and exits 1 if any mutant was missed. Each mutant is
one text replacement in a copy of the sources; the copy stands before the installed package on the path of the processes
that judge it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from mutants import MUTANTS, Mutant  # noqa: E402

SEEDS = 150
LIMIT_S = 300
UNIT_TESTS = ("tests/unit/engine", "tests/unit/plan", "tests/unit/controller", "tests/sim/test_regressions.py")


@dataclass(frozen=True, slots=True)
class Verdict:
    mutant: Mutant
    caught_by: str
    """The judge that noticed, or "" for none."""
    noticed: str
    seconds: float


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Break the engine on purpose; see that it is noticed.")
    parser.add_argument("names", nargs="*", help="mutants to try (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    unknown = set(given.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not given.names or mutant.name in given.names]
    sound = judge(Mutant("none", "engine/engine.py", "", "", "the sources as they are"))
    if sound.caught_by:
        print(f"the sources as they are do not pass {sound.caught_by}: {sound.noticed}")
        return 1
    with ThreadPoolExecutor(given.processes) as pool:
        verdicts = []
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            print(line_for(verdict), flush=True)
    missed = [verdict.mutant.name for verdict in verdicts if not verdict.caught_by]
    print(
        f"{len(verdicts) - len(missed)} of {len(verdicts)} caught"
        + (f"; missed: {', '.join(missed)}" if missed else "")
    )
    return 1 if missed else 0


def line_for(verdict: Verdict) -> str:
    found = f"caught by {verdict.caught_by}" if verdict.caught_by else "MISSED"
    return f"{verdict.mutant.name:32} {found:24} {verdict.seconds:5.1f} s  {verdict.noticed[:160]}"


def judge(mutant: Mutant) -> Verdict:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "penstock"
        shutil.copytree(ROOT / "src" / "penstock", package, ignore=shutil.ignore_patterns("__pycache__"))
        mutant.apply(package)
        for name, command in commands(mutant.by):
            output, status = run(command, folder)
            if status != 0:
                return Verdict(mutant, name, what_noticed(output), time.monotonic() - began)
    return Verdict(mutant, "", "", time.monotonic() - began)


def commands(first: str) -> list[tuple[str, list[str]]]:
    """The judges in order. Where a test is known to notice (`first`), it is asked before the rest: it takes a second."""
    simulator = [sys.executable, "-m", "penstock.testing.sim", "--seeds", str(SEEDS), "--brief"]
    tests = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return [
        *([("unit tests", [*tests, first])] if first else []),
        ("the simulator", simulator),
        ("unit tests", [*tests, *UNIT_TESTS]),
    ]


def what_noticed(output: str) -> str:
    """The test that failed, or else the last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR ")) and len(line.split()) > 1]
    return failed[0] if failed else lines[-1] if lines else ""


def run(command: Sequence[str], path: str) -> tuple[str, int]:
    """Output and exit status; a command that does not end in time has noticed something too."""
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"did not end in {LIMIT_S} s", 124
    return done.stdout + done.stderr, done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
