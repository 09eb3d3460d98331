from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import pandas as pd

from penstock import Form, pipeline, task

if TYPE_CHECKING:
    from somewhere import Unknown


@task
def hidden(x: Unknown, y: int) -> Unknown: ...


@task
def by_name(tables: dict[str, pd.DataFrame]) -> dict[str, list[pd.DataFrame]]: ...


@task
def odd() -> Annotated[pd.DataFrame, Form("feather")]: ...


@task
def small() -> Annotated[float, Form("pickle")]: ...


@task
def lines() -> Iterator[str]: ...


@pipeline
def annotations():
    hidden(1, "x")
    by_name({})
    odd()
    small()
    lines()
