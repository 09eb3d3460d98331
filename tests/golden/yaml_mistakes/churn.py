"""What the files of this folder use."""

from pathlib import Path

from penstock import pipeline, task


@task
def load(days: int, path: Path | None = None) -> list[dict]: ...


@task
def features(rows: list[dict], seed: int = 0) -> list[float]: ...


def fit(rows: list[float], rate: float = 0.1, mode: str = "fast") -> float: ...


def parts(rows: list[float]) -> dict: ...


def improve(score: float, attempt: int) -> float: ...


def tell(state: str, score: float = 0.0) -> None: ...


def made_closure():
    def inner(x: int) -> int: ...

    return task(inner)


closure = made_closure()
short = lambda x: x  # noqa: E731
NUMBER = 3


class Model: ...


@pipeline
def nested(days: int) -> float:
    return fit_task(features(load(days)))


fit_task = task(fit)
