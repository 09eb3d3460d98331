from __future__ import annotations

from typing import NamedTuple

from penstock import Resources, Retry, pipeline, task


class Split(NamedTuple):
    train: list[float]
    test: list[float]


@task
def load(path: str, rows: int = 100) -> list[float]:
    """Read the numbers."""
    return [float(n) for n in range(rows)]


@task(cpu=2, memory="1GiB", retry=Retry(3, backoff="5s", on=[ValueError, OSError]), timeout="10m")
def split(data: list[float], share: float = 0.5) -> Split:
    middle = int(len(data) * share)
    return Split(data[:middle], data[middle:])


@task(resources=Resources(cpu=0.5, licence=1), priority=5, cache=False, fresh=True)
def fit(data: list[float], depth: int | None = None) -> dict:
    return {"mean": sum(data) / len(data)}


@task
def score(model: dict, data: list[float], title: str) -> float:
    return model["mean"] - sum(data) / len(data)


@task
def publish(score: float) -> None:
    print(score)


@pipeline(fail_fast=True, timeout="2h", labels={"team": "growth"})
def chain(seed: int = 3, name: str = "first"):
    """Fit a model and see how good it is.

    Nothing more.
    """
    data = load("numbers.csv", rows=seed * 10 + 1)
    train, test = split(data)
    model = fit(train)
    large = fit.options(name="fit-large", memory="8GiB", labels={"size": "large"})(train, depth=seed)
    first = score(model, test, title=f"{name} of {seed}")
    second = score(large, test, "large", after=[first], when=first < 0.5)
    publish(second, trigger="none_failed")
    return {"score": second, "half": first / 2, "mean": model.mean, "ended": first.state}
