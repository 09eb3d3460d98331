"""`penstock get`: outputs by name, and as files in the format that is asked for."""

from __future__ import annotations

import json

import pytest

KINDS = """
    import pandas as pd
    import polars as pl
    from pathlib import Path
    from penstock import context, pipeline, task


    @task
    def table() -> pd.DataFrame:
        return pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))


    @task
    def frame() -> pl.DataFrame:
        return pl.DataFrame({"a": [1.5, 2.5]})


    @task
    def rows() -> list[dict[str, int]]:
        return [{"a": 1}, {"a": 2, "b": 3}]


    @task
    def text() -> Path:
        path = context().scratch / "note.txt"
        path.write_text("hello")
        return path


    @task
    def two() -> dict[str, int]:
        return {"n": 1}


    @pipeline
    def kinds():
        t = table()
        return {"scores": t, "frame": frame(), "listed": rows(), "note": text(), "total": two()}
"""


@pytest.fixture
def kinds(project):
    project.write("pyproject.toml", "")
    project.write("kinds.py", KINDS)
    done = project.call("run", "kinds.py")
    assert done.status == 0, done.err
    return project


def test_outputs_by_name_and_as_the_suffix_says(kinds) -> None:
    import pandas as pd
    import polars as pl

    assert kinds.call("get", "latest", "total").json == {"n": 1}
    assert kinds.call("get", "latest", "scores").out == kinds.call("get", "latest", "table").out
    near = kinds.call("get", "latest", "score")
    assert near.status == 2 and "did you mean scores" in near.err

    def got(name: str, path: str) -> str:
        done = kinds.call("get", "latest", name, "-o", path)
        assert done.status == 0, done.err
        return done.err

    assert got("scores", "t.csv") == "scores is written to t.csv: CSV\n"
    assert (kinds.folder / "t.csv").read_text() == "key,a\nx,1\ny,2\n"
    assert got("scores", "t.parquet") == "scores is written to t.parquet: Parquet\n"
    assert pd.read_parquet(kinds.folder / "t.parquet").index.tolist() == ["x", "y"]
    got("scores", "t.json")
    assert json.loads((kinds.folder / "t.json").read_text()) == [{"key": "x", "a": 1}, {"key": "y", "a": 2}]
    got("scores", "t.joblib")
    assert got("scores", "stored") == "scores is written to stored: Arrow\n"
    assert got("frame", "f.parquet").endswith("Parquet\n")
    assert pl.read_parquet(kinds.folder / "f.parquet")["a"].to_list() == [1.5, 2.5]
    got("listed", "l.csv")
    assert (kinds.folder / "l.csv").read_text().splitlines() == ["a,b", "1,", "2,3"]
    assert got("note", "n.txt") == "note is written to n.txt: the file as it is\n"
    told = kinds.call("get", "latest", "total", "-o", "total.json", "--json")
    assert told.json["format"] == "JSON"

    for name, path, why in [
        ("scores", "t.xlsx", "Give a path that ends in .arrow, or has no suffix"),
        ("note", "n.csv", "Give a path that ends in .txt"),
        ("total", "total.csv", "cannot be written as .csv"),
        ("total", "total.json", "exists already"),
    ]:
        refused = kinds.call("get", "latest", name, "-o", path)
        assert refused.status == 2 and why in refused.err, refused.err
        assert path == "total.json" or not (kinds.folder / path).exists()
