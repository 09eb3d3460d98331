from pathlib import Path

import pandas as pd

from penstock import File, Folder, Table, Url, pipeline, task


@task
def load(data: Path, rows: pd.DataFrame) -> int: ...


@pipeline
def sourcing(data: File = 3, other: Path = None, table: Table = Table("x.db", query="select 1")):
    address = Url("ftp://example.com/x")
    load(address, Table("postgresql://app:hunter2@host/x", query="select 1"))
    load(Table("sqlite:///x.db", query=" "), File("x.csv"))
    load(Folder("data"), Url("https://example.com/x"))
    load(data.path, table)
