"""Tasks of many signatures, for tests of how pipelines are written: none of them does anything."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from penstock import task


class Two(NamedTuple):
    left: int
    right: float


@task
def number(x: int = 0) -> int:
    return x


@task
def real(x: float = 0.0) -> float:
    return x


@task
def two(x: int = 0) -> Two:
    return Two(x, x)


@task
def table(n: int = 0) -> pd.DataFrame:
    raise NotImplementedError


@task
def join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    raise NotImplementedError


@task
def settings() -> dict:  # type: ignore[type-arg]
    raise NotImplementedError


@task
def untyped(x):  # type: ignore[no-untyped-def]
    raise NotImplementedError


@task
def texts(text: str) -> list[str]:
    raise NotImplementedError


@task
def tell(state: str) -> None:
    raise NotImplementedError


class Improved(NamedTuple):
    model: int
    loss: float


@task
def improve(model: int, data: int, loss: float = 0.0) -> Improved:
    raise NotImplementedError
