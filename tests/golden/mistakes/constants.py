import datetime
import math
from pathlib import Path

from penstock import pipeline, task


@task
def take(value, other=None): ...


@task
def text(value: str): ...


@task
def odd_default(value: object = object(), other: Path = Path("x")): ...


@pipeline
def constants():
    take(object)
    take({1: 2})
    take({"a": [1, {2}]})
    take(datetime.date(2026, 1, 1))
    take(take)
    take(lambda: 3)
    take([1, (2, None, True, math.inf)])
    take("x" * 70_000)
    take(["y" * 70_000])
    text(Path("a"))
    text(b"bytes")
    odd_default()
    odd_default(1, "x")
