"""The simulator itself: worlds end well, every kind of fault happens in them, and a seed means the same everywhere.

`make test` runs many more seeds than these, with `python -m penstock.testing.sim`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from penstock.testing import sim
from penstock.testing.faults import HIGHEST
from penstock.testing.naive import Result

SEEDS = 80


@pytest.fixture(scope="module")
def verdicts() -> list[sim.Verdict]:
    return sim.simulate_many(range(SEEDS))


def test_every_world_ends_as_its_graphs_mean(verdicts: list[sim.Verdict]) -> None:
    assert [f"{verdict.seed}: {verdict.failure}" for verdict in verdicts if verdict.failure] == []


def test_every_kind_of_fault_happens(verdicts: list[sim.Verdict]) -> None:
    counts: Counter[str] = sum((verdict.counts for verdict in verdicts), Counter())
    assert [fault for fault in HIGHEST if not counts[fault]] == []
    assert [how for how in ("hit", "miss", "claimed", "adopted") if not counts[f"answered {how}"]] == []
    assert counts["entries"]
    assert counts["runs"] > SEEDS
    assert counts["controllers"] > 2 * SEEDS


def traced(*arguments: str, hash_seed: str) -> str:
    """The last words of the simulator in a process of its own, with its trace digest."""
    command = [sys.executable, "-m", "penstock.testing.sim", "--seeds", "15", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split("trace ")[1].split()[0]


def test_a_seed_is_the_same_world_under_any_hash_seed_and_over_a_real_database() -> None:
    assert len({traced(hash_seed="0"), traced(hash_seed="4711"), traced("--sqlite", hash_seed="1")}) == 1


def test_seeds_differ() -> None:
    assert len({sim.simulate(seed, size=6).digest for seed in range(5)}) == 5


def test_a_violation_is_told_with_its_story(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("penstock.testing.naive.evaluate", lambda *given: Result("cancelled", {}, {}))
    assert sim.main(["--seeds", "1", "--first", "7"]) == 1
    told = capsys.readouterr().out
    assert "and should be cancelled" in told
    assert "run0/run0 run running -> " in told
    assert "failed seeds: 7" in told
