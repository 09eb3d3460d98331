"""Files as values of outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.app.given_files import read_given
from penstock.app.places import open_artifacts
from penstock.base.errors import InvalidInput
from penstock.graph.types import INT, Type
from penstock.settings import Settings, load
from penstock.wire import Artifact, Counted, Inline

FRAME = Type("pandas:DataFrame")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "pyproject.toml").write_text("")
    return load(tmp_path)


def test_each_type_is_read_in_its_own_way(settings: Settings, tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    artifacts = open_artifacts(settings)

    def given(type_: Type, name: str):
        return read_given(type_, tmp_path / name, artifacts=artifacts, settings=settings)

    (tmp_path / "n.json").write_text("[1, 2]")
    assert given(Type("list", item=INT), "n.json") == Counted((Inline(1), Inline(2)))
    assert given(Type("any"), "n.json") == Inline([1, 2])
    frame = pd.DataFrame({"a": [1, 2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    first, second = given(FRAME, "t.csv"), given(FRAME, "t.parquet")
    assert isinstance(first, Artifact) and first.digest == second.digest, "the same content, however it came"
    np.save(tmp_path / "x.npy", np.arange(3))
    array = given(Type("numpy:ndarray"), "x.npy")
    assert isinstance(array, Artifact) and array.form == "npy"
    path = given(Type("path"), "t.csv")
    assert isinstance(path, Artifact) and path.metadata["name"] == "t.csv"


@pytest.mark.parametrize(
    ("type_", "name", "why"),
    [
        (INT, "nowhere.json", "there is no file"),
        (INT, "text.json", "text.json: expected int, got str"),
        (INT, "broken.json", "cannot be read: JSONDecodeError"),
        (FRAME, "text.json", "is not a file that a pandas:DataFrame is read from"),
        (Type("sklearn:Pipeline"), "text.json", "cannot be given as a file"),
    ],
)
def test_what_cannot_be_read_is_refused(settings: Settings, tmp_path: Path, type_: Type, name: str, why: str) -> None:
    (tmp_path / "text.json").write_text('"text"')
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidInput, match=why):
        read_given(type_, tmp_path / name, artifacts=open_artifacts(settings), settings=settings)
