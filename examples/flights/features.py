"""From clean tables to what models read: new columns of four kinds, a split in time, and an encoding learned from the
training months alone."""

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
    *("wind_speed", "gustiness", "fog", "precip", "pressure", "visib", "weekday_sin", "weekday_cos"),
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
def calendar_features(flights: pd.DataFrame) -> pd.DataFrame:
    """One row per flight: when it is to leave, Sunday being as near to Monday as Tuesday is."""
    turn = flights["weekday"] * (2 * np.pi / 7)
    return flights.assign(weekday_sin=np.sin(turn), weekday_cos=np.cos(turn))


@task
def route_features(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of airports and hour of the day that is ever flown: what is known of where it goes."""
    routes = flights[["origin", "dest"]].assign(hour=flights["minute"] // 60).drop_duplicates(ignore_index=True)
    routes["route_hour"] = routes["origin"] + "-" + routes["dest"] + "-" + routes["hour"].astype("str")
    return routes.merge(airports, left_on="dest", right_on="faa", how="left", validate="many_to_one").drop(
        columns="faa"
    )


@task
def weather_features(weather: pd.DataFrame) -> pd.DataFrame:
    """One row per airport and hour: measurements, and what is made of them."""
    north, east = wind_vector(weather["wind_dir"], weather["wind_speed"])
    return weather.assign(wind_north=north, wind_east=east, gustiness=gustiness(weather), fog=fog(weather))


@task
def plane_features(planes: pd.DataFrame) -> pd.DataFrame:
    """One row per plane."""
    return planes.assign(age=2013 - planes["built"])


def wind_vector(direction: pd.Series, speed: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Speed towards the north and the east: 359° is near 1°, which a number of degrees does not tell."""
    radians = np.deg2rad(direction)
    return speed * np.cos(radians), speed * np.sin(radians)


def gustiness(weather: pd.DataFrame) -> pd.Series:
    """By how much gusts exceed the wind, in miles per hour."""
    return weather["wind_gust"] - weather["wind_speed"]


def fog(weather: pd.DataFrame) -> pd.Series:
    """How near the air is to its dew point, where one cannot see far: 0 to 1."""
    near = 1 - (weather["temp"] - weather["dewp"]).clip(0, 10) / 10
    return near * (1 - weather["visib"].clip(0, 10) / 10)


@task
def join(flights: pd.DataFrame, routes: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Flights with where they go, the weather where and when they are to leave, and the plane. A flight without a match
    keeps its row with nothing in those columns. Raises ValueError where a join would multiply flights."""
    table = (
        flights.assign(hour=flights["minute"] // 60)
        .merge(routes, on=["origin", "dest", "hour"], how="left", validate="many_to_one")
        .merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
        .merge(planes, on="tailnum", how="left", validate="many_to_one")
    )
    if len(table) != len(flights):
        raise ValueError(f"{len(flights)} flights became {len(table)} rows")
    return table


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
def make_features(
    *,
    flights: pd.DataFrame,
    weather: pd.DataFrame,
    planes: pd.DataFrame,
    airports: pd.DataFrame,
    train_until: int,
    validation_until: int,
    seed: int,
) -> Features:
    """A pipeline inside the pipeline: four kinds of columns made beside each other, split, and an encoding that knows
    the training months only."""
    table = join(
        calendar_features(flights),
        route_features(flights, airports),
        weather_features(weather),
        plane_features(planes),
    )
    split = split_by_month(table, train_until, validation_until)
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
