"""Files that native code opens are told like those that Python opens (cache rule 12)."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from pyarrow import parquet

from penstock.launcher.inner.readers import READERS
from penstock.values.reads import MISSING, digest_of_read
from penstock.wire import Succeeded

Bench = Any

_HEAD = """
import os
import duckdb, pandas as pd, polars as pl, pyarrow as pa, pyarrow.dataset as ds, pyarrow.parquet as pq
from pathlib import Path
"""


def told(bench: Bench, body: str) -> Any:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return bench.end(f"{_HEAD}\ndef f():\n{lines}\n")


@pytest.fixture
def tables(bench: Bench) -> Path:
    folder: Path = bench.project / "data"
    folder.mkdir()
    for name in ("a", "b"):
        pandas.DataFrame({"x": [1]}).to_parquet(folder / f"{name}.parquet")
    return folder


BOTH = ("data/a.parquet", "data/b.parquet")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("pl.read_parquet(Path('data') / 'a.parquet')", BOTH[:1]),
        ("pl.scan_parquet('data').collect()", BOTH),
        ("pl.scan_parquet(source='data/*.parquet').collect()", BOTH),
        ("pl.read_parquet([Path('data/a.parquet'), Path('data/b.parquet')])", BOTH),
        ("pd.read_parquet('data')", BOTH),
        ("pd.read_parquet(path=f'{os.getcwd()}/data/a.parquet')", BOTH[:1]),
        ("pq.ParquetFile('data/a.parquet').read()", BOTH[:1]),
        ("pq.read_schema(where='data/a.parquet')", BOTH[:1]),
        ("assert isinstance(pq.ParquetDataset('data'), pq.ParquetDataset)", BOTH),
        ("ds.dataset(['data/a.parquet', 'data/b.parquet']).to_table()", BOTH),
        ("assert isinstance(pa.OSFile('data/a.parquet'), pa.NativeFile)", BOTH[:1]),
        ("duckdb.sql('SELECT * FROM \"data/a.parquet\"').fetchall()", BOTH[:1]),
        ("duckdb.connect().execute(\"SELECT * FROM read_parquet('data/*.parquet')\").fetchall()", BOTH),
        ("duckdb.connect().read_parquet('data/a.parquet').fetchall()", BOTH[:1]),
    ],
)
def test_a_file_that_native_code_reads_is_told(bench: Bench, tables: Path, body: str, names: tuple[str, ...]) -> None:
    ended = told(bench, body)
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    files = {name: digest for name, digest in ended.reads.items() if name.endswith(".parquet")}
    assert files == {name: digest_of_read(str(bench.project / name)) for name in names}
    assert not ended.outside


@pytest.mark.parametrize(
    "body",
    [
        "with pa.OSFile('made.bin', 'wb') as file:\n    file.write(b'1')\nopen('made.bin').close()",
        "duckdb.sql(\"COPY (SELECT 1 AS x) TO 'made.parquet'\")\npl.read_parquet('made.parquet')",
        "pl.read_csv('a\\n1\\n'.encode())",
        "pl.scan_parquet('s3://bucket/a.parquet')",
    ],
)
def test_what_is_written_or_is_no_file_here_is_not_told(bench: Bench, body: str) -> None:
    ended = told(bench, body)
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    assert not [name for name in ended.reads if not name.startswith(("env:", "unset:"))]


def test_a_file_that_is_not_there_is_told_as_missing(bench: Bench) -> None:
    ended = told(bench, "try:\n    pl.read_csv('none.csv')\nexcept FileNotFoundError:\n    pass")
    assert ended.reads["none.csv"] == MISSING


def test_a_reader_is_what_it_was(bench: Bench) -> None:
    assert pickle.loads(pickle.dumps(polars.read_csv)) is polars.read_csv
    assert pickle.loads(pickle.dumps(pyarrow.memory_map)) is pyarrow.memory_map
    assert "source" in str(polars.read_csv.__doc__)
    assert issubclass(parquet.ParquetFile, object)


def test_every_reader_that_is_listed_is_there() -> None:
    """A name that a library has given up would be wrapped no more, unnoticed."""
    import importlib

    gone_now = {"duckdb.extract_statements", "polars.read_csv_batched", "polars.read_lines", "polars.scan_lines"}
    for module, names in READERS.items():
        if module.partition(".")[0] not in ("duckdb", "pandas", "polars", "pyarrow"):
            continue
        try:
            found: Any = importlib.import_module(module)
        except ImportError:
            assert module == "pyarrow.orc", module
            continue
        for name in names:
            holder = found
            for part in name.split("."):
                holder = getattr(holder, part, None)
            assert holder is not None or f"{module}.{name}" in gone_now, f"{module}.{name}"


def test_a_mode_that_updates_reads_too(bench: Bench, tables: Path) -> None:
    before = digest_of_read(str(tables / "a.parquet"))
    ended = told(bench, "pa.memory_map('data/a.parquet', 'r+').close()")
    assert ended.reads["data/a.parquet"] == before
    assert os.listdir(bench.project)
