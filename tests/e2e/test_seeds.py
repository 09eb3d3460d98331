"""Chance follows from the cache key: the same task on the same inputs draws the same in every run, wherever it stands."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

DRAWS = """
    import random
    from penstock import context, map_over, pipeline, task


    @task
    def draw(salt: int, late: bool = True) -> list[float]:
        drawn = [random.random()]
        import numpy as np
        drawn += [float(np.random.rand()), float(context().rng().random())]
        return drawn


    @task(cache=False)
    def lot() -> float:
        return random.random()


    @pipeline
    def draws(first: int = 1, second: int = 2) -> list[list[float]]:
        lot(name="lot-1")
        lot(name="lot-2")
        return map_over(draw, [first, second])
"""
TORCH = """
    from penstock import pipeline, task


    @task
    def draw() -> float:
        import torch  # arrives when the seeds have been set
        return float(torch.rand(1))


    @pipeline
    def draws() -> float:
        return draw()
"""


def drawn(project: Any, *words: str) -> Any:
    done = project.call("run", "draws.py", "--no-cache", "--json", *words, timeout=110)
    assert done.status == 0, done.err
    return done.json["outputs"]["output"]


@pytest.mark.skipif(find_spec("numpy") is None, reason="not installed: numpy")
def test_the_same_key_draws_the_same_in_every_run_and_place(project: Any) -> None:
    project.write("draws.py", DRAWS)
    first = drawn(project)
    lots = [project.call("get", "latest", name, "--json").json["value"] for name in ("lot-1", "lot-2")]
    assert len({number for numbers in first for number in numbers}) == 6, "each draws its own"
    assert drawn(project) == first
    assert drawn(project, "-p", "first=2", "-p", "second=1") == first[::-1], "places do not matter"
    # What is not cached draws by its place, and also the same in every run.
    assert len(set(lots)) == 2
    assert [project.call("get", "latest", name, "--json").json["value"] for name in ("lot-1", "lot-2")] == lots
    # repro draws it once more.
    done = project.call("repro", "latest", "draw/1/draw", "--json")
    assert done.status == 0 and done.json["reproduced"], done.err
    # Changed code draws other numbers.
    project.write("draws.py", DRAWS.replace("return drawn", "return drawn[:]"))
    assert not {number for numbers in drawn(project) for number in numbers} & {n for numbers in first for n in numbers}


@pytest.mark.skipif(find_spec("torch") is None, reason="not installed: torch")
def test_torch_that_is_imported_late_is_seeded(project: Any) -> None:
    project.write("draws.py", TORCH)
    assert drawn(project) == drawn(project)
