"""From joined rows to what models read: new columns, a split in time, and an encoding learned from the training months
alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from penstock import pipeline, task

NUMBERS = [
    *("minute", "planned", "distance", "age", "seats", "alt", "tz", "wind_north", "wind_east", "temp", "dewp", "humid"),
    *("wind_speed", "wind_gust", "precip", "pressure", "visib", "weekday_sin", "weekday_cos"),
]
FEW_KINDS = ["origin", "carrier", "engine"]
MANY_KINDS = ["dest", "tailnum", "manufacturer", "route_hour"]


class Split(NamedTuple):
    """Rows by time: what is learned from, what is chosen on, and what nobody looks at before the end."""

    train: pd.DataFrame
    validation: pd.DataFrame
    held_out: pd.DataFrame


class Encoding(NamedTuple):
    """What was learned about the columns, and the training rows as it encodes them."""

    encoder: ColumnTransformer
    table: pd.DataFrame


class Features(NamedTuple):
    """Encoded rows: numbers only, with `late`, `month` and `carrier` beside them."""

    train: pd.DataFrame
    validation: pd.DataFrame
    held_out: pd.DataFrame


@task
def add_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Columns that need nothing but their own row."""
    direction = np.deg2rad(table["wind_dir"])
    weekday = table["weekday"] * (2 * np.pi / 7)
    hour = table["minute"] // 60
    return table.assign(
        age=2013 - table["built"],
        wind_north=table["wind_speed"] * np.cos(direction),
        wind_east=table["wind_speed"] * np.sin(direction),
        weekday_sin=np.sin(weekday),
        weekday_cos=np.cos(weekday),
        route_hour=table["origin"] + "-" + table["dest"] + "-" + hour.astype("str"),
    )


@task
def split_by_month(table: pd.DataFrame, train_until: int, validation_until: int) -> Split:
    """Months up to `train_until`, up to `validation_until`, and the rest. The future is predicted from the past: the
    month itself is no feature, since its later values are never seen in training."""
    month = table["month"]
    return Split(
        train=table[month <= train_until].reset_index(drop=True),
        validation=table[(month > train_until) & (month <= validation_until)].reset_index(drop=True),
        held_out=table[month > validation_until].reset_index(drop=True),
    )


@task
def learn_encoding(train: pd.DataFrame, seed: int) -> Encoding:
    """Scales, fill-in values, kinds and rates of lateness per kind, all from training rows. A training row is encoded
    by rates from the other folds, so that it never sees its own answer."""
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    encoder = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False, min_frequency=500), FEW_KINDS),
            ("many", make_pipeline(TargetEncoder(cv=folds), StandardScaler()), MANY_KINDS),
        ],
        verbose_feature_names_out=False,
    )
    encoder.set_output(transform="pandas")
    encoded = encoder.fit_transform(_with_kinds(train), train["late"])
    return Encoding(encoder, _with_answers(encoded, train))


@task
def encode(encoder: ColumnTransformer, table: pd.DataFrame) -> pd.DataFrame:
    """Rows as an encoder that was fitted before encodes them."""
    return _with_answers(encoder.transform(_with_kinds(table)), table)


@pipeline
def make_features(table: pd.DataFrame, train_until: int, validation_until: int, seed: int) -> Features:
    """A pipeline inside the pipeline: columns, split, and an encoding that knows the training months only."""
    split = split_by_month(add_columns(table), train_until, validation_until)
    encoding = learn_encoding(split.train, seed)
    return Features(
        train=encoding.table,
        validation=encode(encoding.encoder, split.validation),
        held_out=encode(encoding.encoder, split.held_out),
    )


def _with_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that are read, a missing kind being a kind of its own."""
    kinds = table[FEW_KINDS + MANY_KINDS].astype("object").fillna("unknown")
    return pd.concat([table[NUMBERS].astype("float64"), kinds], axis=1)


def _with_answers(encoded: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([encoded.astype("float32"), table[["late", "month", "carrier"]]], axis=1)
