"""`run_inline`: pipelines in users' own tests."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock import (
    Fail,
    NotYet,
    Retry,
    Scratch,
    Skip,
    context,
    finally_,
    loop_until,
    map_over,
    one_of,
    otherwise,
    pipeline,
    task,
    when,
)
from penstock.base.errors import InvalidInput
from penstock.testing import run_inline
from penstock.testing.inline import InlineResult, InlineRunFailed


@dataclass
class Model:
    weights: list[float]


class Split(NamedTuple):
    train: list[int]
    test: list[int]


class Colour(Enum):
    RED = "red"


@dataclass
class Report:
    score: float


@task
def rows(count: int) -> list[int]:
    return list(range(count))


@task
def split(values: list[int]) -> Split:
    return Split(values[1:], values[:1])


@task
def fit(values: list[int], rate: float) -> Any:
    assert isinstance(rate, float)
    return Model([value * rate for value in values])


@task
def same(model: Any) -> Any:
    return model


@task
def score(model: Any, test: list[int]) -> float:
    return float(sum(model.weights) + len(test))


@pipeline
def training(count: int = 4, rate: float = 1) -> dict:  # type: ignore[type-arg]
    parts = split(rows(count))
    model = fit(parts.train, rate)
    return {"model": same(model), "again": model, "score": score(model, parts.test)}


def test_a_pipeline_runs_on_plain_values_that_keep_their_identity() -> None:
    result = run_inline(training, count=3)
    assert result.state == "succeeded"
    assert result.outputs["model"] is result.outputs["again"]
    assert result.outputs["model"].weights == [1.0, 2.0]
    assert result.outputs["score"] == 4.0
    assert result.task("split").outputs == {"train": [1, 2], "test": [0]}
    assert result.raise_for_state() is result


def test_parameters_are_checked_all_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        run_inline(training, count="many", ratio=1)
    assert "'count'" in str(caught.value)
    assert "'ratio'" in str(caught.value)


def test_an_unknown_task_run_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="fit, rows, same, score, split"):
        run_inline(training).task("train")


@task
def small(value: int) -> bool:
    return value < 2


@task
def add(value: int, other: int = 1) -> int:
    return value + other


@task
def fail_on_two(value: int) -> int:
    if value == 2:
        raise Fail("two")
    return value


@task
def tell(state: str) -> str:
    return f"it {state}"


@pipeline
def nested(value: int) -> int:
    return add(add(value))


@pipeline
def controlled(items: list[int], start: int = 0) -> dict:  # type: ignore[type-arg]
    kept = map_over(fail_on_two, items, failures_max=1)
    with when(small(start)):
        low = add.options(name="low")(start)
    with otherwise():
        high = add.options(name="high")(start, 100)
    chosen = one_of(low, high)
    return {"kept": kept, "chosen": chosen, "nested": nested(chosen)}


def test_control_nodes_mean_what_they_mean_everywhere() -> None:
    result = run_inline(controlled, items=[1, 2, 3])
    assert result.state == "succeeded", result.task_runs
    assert result.outputs == {"kept": [1, 3], "chosen": 1, "nested": 3}
    assert run_inline(controlled, items=[], start=5).outputs == {"kept": [], "chosen": 105, "nested": 107}
    failed = run_inline(controlled, items=[2, 2])
    assert failed.state == "failed"


attempts: list[int] = []


@task(retry=Retry(3))
def flaky() -> str:
    attempts.append(context().attempt)
    context().log_metric("loss", 1 / context().attempt)
    if len(attempts) < 3:
        raise ValueError("not yet good")
    (context().scratch / "file").write_text("kept")
    return context().task_path


@pipeline
def retrying() -> str:
    return flaky()


def test_retries_contexts_and_metrics() -> None:
    attempts.clear()
    result = run_inline(retrying)
    assert attempts == [1, 2, 3]
    assert result.outputs == {"output": "flaky"}
    assert result.task("flaky").attempts == 3
    assert [observation.value for observation in result.task("flaky").metrics] == [1.0, 0.5, pytest.approx(1 / 3)]


@task
def broken() -> int:
    raise LookupError("nothing there")


@task
def wrong() -> int:
    return "text"  # type: ignore[return-value]


@task
def skipping() -> int:
    raise Skip("no need")


@task
def never() -> int:
    raise NotYet(60)


@pipeline
def troubled() -> dict:  # type: ignore[type-arg]
    bad = broken()
    finally_(tell, bad)
    return {"bad": add(bad), "wrong": wrong(), "skipped": skipping(), "never": never()}


def test_what_goes_wrong_is_told() -> None:
    result = run_inline(troubled)
    assert result.state == "failed"
    states = {path: (run.state, run.cause) for path, run in result.task_runs.items()}
    assert states == {
        "broken": ("failed", "failed"),
        "add": ("skipped", "upstream_failed"),
        "wrong": ("failed", "output_invalid"),
        "skipping": ("skipped", "asked"),
        "never": ("failed", "failed"),
        "tell": ("succeeded", ""),
    }
    assert result.outputs == {}
    with pytest.raises(InlineRunFailed) as caught:
        result.raise_for_state()
    assert isinstance(caught.value.__cause__, LookupError)


@task
def paint(colour: Colour, name: str) -> Report:
    assert colour is Colour.RED
    return Report(len(name) + random.random())


@task
def write() -> Path:
    path = context().scratch / "report.txt"
    path.write_text("hello")
    return path


@task
def read(path: Path) -> str:
    return path.read_text()


@pipeline
def typed(colour: Colour = Colour.RED) -> dict:  # type: ignore[type-arg]
    return {"score": paint(colour, "x").score, "text": read(write())}


def test_enumerations_files_and_seeds() -> None:
    random.seed(7)
    first, drawn = run_inline(typed), random.random()
    random.seed(7)
    assert drawn == random.random(), "the caller's own generator is left alone"
    second = run_inline(typed)
    assert first.outputs == second.outputs
    assert first.outputs["text"] == "hello"


def test_what_is_no_exception_of_a_task_is_the_tests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(add, "function", stop)
    with pytest.raises(KeyboardInterrupt):
        run_inline(controlled, items=[])


@task
def grow(total: int, by: int) -> int:
    return total + by


@pipeline
def looping(by: int = 2) -> int:
    rounds = loop_until(grow, lambda total: total >= 5, rounds_max=9, carry="total", total=0, by=by)
    return rounds.output  # type: ignore[no-any-return]


def test_rounds() -> None:
    result = run_inline(looping)
    assert result.outputs == {"output": 6}
    assert [path for path in result.task_runs if path.endswith("/grow")] == [
        f"{_name(result)}/{n}/grow" for n in (1, 2, 3)
    ]


def _name(result: InlineResult) -> str:
    return next(path for path in result.task_runs if "/" not in path)


@task
def shares(folder: Scratch) -> Path:
    Path("left-behind.txt").write_text("1")
    return Path("left-behind.txt")


@task
def owns(count: int, folder: Scratch) -> Path:
    (folder / "own.txt").write_text(str(count))
    return folder / "own.txt"


@pipeline
def of_files(count: int = 3) -> dict[str, Any]:
    return {"own": owns(count), "shared": shares()}


def test_files_are_returned_as_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_inline(of_files)
    assert result.outputs["own"].read_text() == "3"
    assert result.task("shares").state == "failed" and "scratch folder" in str(result.task("shares").error)
    assert owns(4).read_text() == "4"
    assert owns(5, tmp_path) == tmp_path / "own.txt"


@task
async def doubled(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@pipeline
def doubling(n: int = 2):  # type: ignore[no-untyped-def]
    return doubled(doubled(n))


def test_async_tasks_run_also_where_a_loop_runs_already() -> None:
    async def inside() -> Any:
        return run_inline(doubling).outputs["output"]

    assert run_inline(doubling, n=3).outputs["output"] == 12
    assert asyncio.run(inside()) == 8
