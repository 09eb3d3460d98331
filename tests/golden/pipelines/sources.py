"""Data from outside: files, folders, addresses and tables as inputs."""

from pathlib import Path

import pandas as pd
import polars as pl

from penstock import File, Folder, Table, Url, map_over, pipeline, task, when


@task(files=["units.json"], env=["MODE", "secret:KEY"], depends=["json"], version=2, expires="1d")
def load(data: Path) -> str: ...


@task(cache="trust")
def count(rows: pd.DataFrame, others: pl.DataFrame, plain: list[dict]) -> int: ...


@task
def compare(texts: list[str], files: list[Path]) -> int: ...


@pipeline
def nested(data: File) -> str:
    return load(data)


@pipeline
def sources(data: File = File("data/flights.csv"), place: File | Url = "https://example.com/x.csv", more: Folder | None = None):
    flights = Table("sqlite:///data.db", query="select * from flights", version="select max(id) from flights")
    texts = [load(data), load(data), nested(data), nested("data/other.csv"), load(place)]
    load(Url("https://example.com/weather.csv?day=1"))
    many = map_over(load, [File("a.csv"), File("b.csv")])
    with when(many.size() > 1):
        load(Folder("data"))
        load(data)
    return {"rows": count(flights, flights, flights), "compared": compare(texts, [data, File("a.csv")])}
