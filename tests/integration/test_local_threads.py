"""Libraries start as many threads as their attempt asked for processors, in warm workers too; a user's own setting wins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.outer import threads
from penstock.launcher.outer.threads import GROUPS, limit_threads, threads_for
from penstock.testing.conformance.executor import ends_of, name
from penstock.testing.conformance.executor_processes import run_one, value_of
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptRequest, FunctionRequest

CORES = len(os.sched_getaffinity(0))
HOUSEKEEPING = ("jemalloc_bg_thd", "polars-ooc-clea")
"""Threads of the allocator in polars and of its spilling, which compute nothing."""

pytest.importorskip("polars")
pytest.importorskip("torch")
pytest.importorskip("threadpoolctl")

SOURCE = '''
import json, os, time

def work() -> str:
    """Use all pools of threads in earnest; what each has, and how many threads there are."""
    import numpy, polars, torch
    from threadpoolctl import threadpool_info
    table = polars.DataFrame({"a": numpy.arange(300_000) % 977, "b": numpy.random.rand(300_000)})
    table.group_by("a").agg(polars.col("b").mean()).sort("a")
    matrix = numpy.random.rand(400, 400)
    matrix @ matrix
    torch.rand(600, 600) @ torch.rand(600, 600)
    return json.dumps({
        "polars": polars.thread_pool_size(),
        "torch": torch.get_num_threads(),
        "blas": sorted({each["num_threads"] for each in threadpool_info()}),
        "threads": sorted(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")),
        "variable": os.environ.get("OMP_NUM_THREADS"),
        "pid": os.getpid(),
    })
'''


def asked(number: int, *, cpu: int) -> AttemptRequest:
    component = FunctionRequest("threaded", "work", {}, {"output": {"name": "str"}}, pin="")
    return AttemptRequest(name(number), component, {}, 1, amounts={"cpu": cpu})


def opened(folder: Path) -> LocalSubject:
    (folder / "threaded.py").write_text(SOURCE)
    return LocalSubject(folder, cpu=8)


def told(outcome: Any) -> Mapping[str, Any]:
    import json

    answer: Mapping[str, Any] = json.loads(str(value_of(outcome)))
    return answer


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in GROUPS:
        for variable in group:
            monkeypatch.delenv(variable, raising=False)


def test_four_tasks_start_the_threads_that_they_asked_for(tmp_path: Path) -> None:
    ids = [name(number) for number in range(4)]
    with closing(opened(tmp_path).open()) as executor:
        executor.start([asked(number, cpu=1000) for number in range(4)])
        ends = ends_of(executor, ids)
        for each in ids:
            answer = told(ends[each].outcome)
            assert (answer["polars"], answer["torch"], answer["blas"]) == (1, 1, [1])
            pools = [name for name in answer["threads"] if name not in HOUSEKEEPING]
            assert len(pools) <= 3, "the main thread, one of polars, one of its runtime"
        wide = told(run_one(executor, asked(5, cpu=2000)).outcome)
        assert (wide["polars"], wide["torch"], wide["blas"]) == (2, min(2, CORES), [min(2, CORES)])
        again = told(run_one(executor, asked(6, cpu=500)).outcome)
        assert (again["polars"], again["torch"], again["blas"]) == (1, 1, [1])
        assert again["pid"] != wide["pid"]
        assert told(run_one(executor, asked(7, cpu=2000)).outcome)["pid"] == wide["pid"], "a warm one is met again"


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with closing(opened(tmp_path).open()) as executor:
        answer = told(run_one(executor, asked(1, cpu=1000)).outcome)
    assert (answer["torch"], answer["blas"], answer["variable"]) == (2, [2], "2")
    assert answer["polars"] == 1


@pytest.mark.parametrize(("cpu", "count"), [(0, 1), (100, 1), (1000, 1), (1500, 2), (4000, 4)])
def test_parts_of_a_processor_are_rounded_up(cpu: int, count: int) -> None:
    assert threads_for({"cpu": cpu}) == count


def test_only_what_is_free_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_current", 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "9")
    for variable in ("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NUMEXPR_MAX_THREADS"):
        monkeypatch.setenv(variable, "")  # put back afterwards
        monkeypatch.delenv(variable)
    limit_threads({"cpu": 2000})
    assert os.environ["POLARS_MAX_THREADS"] == "2"
    assert (os.environ["OMP_NUM_THREADS"], "MKL_NUM_THREADS" in os.environ) == ("7", False)
    assert (os.environ["TF_NUM_INTEROP_THREADS"], os.environ["TF_NUM_INTRAOP_THREADS"]) == ("9", "2")
