"""Simulated worlds around the real controller: random graphs, a fake clock, and everything that goes wrong.

`python -m penstock.testing.sim --seeds 500` runs many worlds; `--seed 17 --verbose` tells the story of one. The same seed gives
the same world, in any process. Faults stop after a while; from then on every run must end, and come to what its graph means."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from penstock.testing.checkers import Violation
from penstock.testing.simulation import SIZE, Simulation


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    failure: str
    """What was broken, or ""."""
    story: tuple[str, ...]
    digest: str
    counts: Counter[str]


def simulate(seed: int, *, size: int = SIZE, verbose: bool = False, sqlite: bool = False) -> Verdict:
    """One world from its beginning to its end; its state in memory, or in a real database file."""
    if not sqlite:
        return _simulate(Simulation(seed, size=size, verbose=verbose))
    from penstock.stores.sql.store import open_state

    with tempfile.TemporaryDirectory() as folder:
        open_store = partial(open_state, Path(folder) / "state.db")
        return _simulate(Simulation(seed, size=size, verbose=verbose, open_store=open_store))


def _simulate(sim: Simulation) -> Verdict:
    failure = ""
    try:
        sim.run()
    except Violation as violation:
        failure = str(violation)
    except Exception as error:  # noqa: BLE001 - whatever comes out of a controller is a finding, told with its story
        place = "".join(traceback.format_tb(error.__traceback__)[-6:])
        failure = f"{type(error).__name__}: {error}\n{place}"
    finally:
        for alive in sim.alive:
            alive.store.inner.close()
        sim.store.close()
    return Verdict(sim.seed, failure, tuple(sim.story), sim.digest.hexdigest(), sim.counts)


def simulate_many(seeds: Sequence[int], *, size: int = SIZE, processes: int = 1, sqlite: bool = False) -> list[Verdict]:
    if processes <= 1:
        return [simulate(seed, size=size, sqlite=sqlite) for seed in seeds]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(simulate, size=size, sqlite=sqlite), seeds, chunksize=8))


def trace_digest(verdicts: Sequence[Verdict]) -> str:
    return hashlib.sha256("".join(verdict.digest for verdict in verdicts).encode()).hexdigest()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m penstock.testing.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--size", type=int, default=SIZE, help="how large the graphs are")
    parser.add_argument("--sqlite", action="store_true", help="over a real database file rather than memory")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="tell everything that happens")
    parser.add_argument("--brief", action="store_true", help="stop at the first failure and say only which")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if given.seed is not None:
        verdicts = [simulate(given.seed, size=given.size, verbose=given.verbose, sqlite=given.sqlite)]
    elif given.brief:
        verdicts = []
        for seed in range(given.first, given.first + given.seeds):
            verdicts.append(simulate(seed, size=given.size, sqlite=given.sqlite))
            if verdicts[-1].failure:
                break
    else:
        seeds = range(given.first, given.first + given.seeds)
        verdicts = simulate_many(seeds, size=given.size, processes=given.processes, sqlite=given.sqlite)
    return report(verdicts, seconds=time.monotonic() - began, brief=given.brief)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def report(verdicts: Sequence[Verdict], *, seconds: float, brief: bool) -> int:
    failed = [verdict for verdict in verdicts if verdict.failure]
    for verdict in failed[: 1 if brief else 5]:
        say(f"seed {verdict.seed} failed")
        for line in () if brief else verdict.story[-60:]:
            say(line)
        say(f"seed {verdict.seed}: {verdict.failure[:4_000]}\n")
    counts: Counter[str] = sum((verdict.counts for verdict in verdicts), Counter())
    say(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    say(f"{len(verdicts)} seeds in {seconds:.1f} s, {len(failed)} failed; trace {trace_digest(verdicts)[:16]}")
    if failed:
        say("failed seeds: " + " ".join(str(verdict.seed) for verdict in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
