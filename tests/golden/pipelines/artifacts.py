import numpy as np
import pandas as pd
import polars as pl
from pathlib import Path
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from penstock import map_over, pipeline, task

UserId = NewType("UserId", int)


class Options(TypedDict):
    depth: int


class Metric(Enum):
    MAE = "mae"
    RMSE = "rmse"


@task
def table(kind: Literal["small", "large"], user: UserId) -> pd.DataFrame: ...


@task
def frames(file: Path, metric: Metric = Metric.MAE) -> list[pl.DataFrame]: ...


@task
def folder(table: Annotated[pd.DataFrame, "raw"], options: Options) -> Path: ...


@task
def fit(frame: pl.DataFrame, alpha: float = 0.1) -> LinearRegression: ...


@task
def judge(models: list[BaseEstimator], by: Optional[str] = None, **_ignored) -> np.ndarray: ...


@task
def pick(models: list[BaseEstimator], weights: np.ndarray, anything: Any, untyped, many: tuple[int, ...]): ...


del judge


@task
def judge(models: list[BaseEstimator], by: Optional[str] = None) -> np.ndarray: ...


@pipeline
def artifacts(kind: Literal["small", "large"] = "small", options: Options = {"depth": 3}):  # noqa: B006
    made = table(kind, 3)
    place = folder(made, options)
    split = frames(place, metric=Metric.RMSE)
    models = map_over(fit, split, alpha=1)
    alone = fit(map_over.__wrapped__(split)[0]) if hasattr(map_over, "__wrapped__") else models
    weights = judge([*[fit(frame=f) for f in []], *[m for m in ()]]) if False else judge(models)
    return {"model": pick([alone, models][1], weights, made, {"sizes": models.size()}, (1, 2)), "place": place}
