from pathlib import Path
from typing import Literal

import pandas as pd

from penstock import map_over, pipeline, task


@task
def number(text: str = "1") -> int:
    return int(text)


@task
def maybe() -> int | None: ...


@task
def table(path: Path) -> pd.DataFrame: ...


@task
def rows(frame: pd.DataFrame, kind: Literal["a", "b"] = "a", limit: float = 0.5) -> int: ...


@task
def default(count: int = "many", kind: Literal["a", "b"] = "c") -> int: ...


@pipeline
def wrong_types(seed: int, name: str = 3) -> str:
    n = number(seed)
    rows(n)
    rows(table("data.csv"), kind="c", limit="high")
    rows({"a": 1})
    rows(table(None), limit=[n])
    number(maybe())
    number(text=3.5)
    default()
    map_over(number, ["1", 2, "3"])
    map_over(number, [1, 2])
    return n


@pipeline
def wrong_return() -> tuple[int, str]:
    return number(), number()
