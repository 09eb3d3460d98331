"""Files of the user's own as outputs: what each type is read from, and what is refused with what to do."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.app.given_files import read_given
from penstock.base.errors import InvalidInput
from penstock.graph.types import ANY, Type
from penstock.settings import Settings
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values.datums import Staging, from_datum
from penstock.wire import Artifact

LINEAR = Type("sklearn.linear_model:LinearRegression")
BOOSTER = Type("lightgbm:Booster")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    return tmp_path


def given(folder: Path, type_: Type, name: str) -> Any:
    """The value of a file, stored and read again."""
    artifacts = MemoryArtifactStore(folder / "store")
    settings = Settings(project=folder, state=folder / ".penstock")
    datum = read_given(type_, Path(name), artifacts=artifacts, settings=settings)
    assert isinstance(datum, Artifact)
    return from_datum(datum, {"name": type_.name}, artifacts=artifacts, staging=Staging(folder, "read"))


def test_models_are_read_from_the_files_of_their_libraries(folder: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    joblib, numpy = pytest.importorskip("joblib"), pytest.importorskip("numpy")
    model = pytest.importorskip("sklearn.linear_model").LinearRegression()
    x = numpy.arange(90.0).reshape(-1, 1)
    model.fit(x, x[:, 0] * 7)
    joblib.dump(model, "linear.joblib")
    Path("linear.pkl").write_bytes(pickle.dumps(model))
    booster = lightgbm.train({"verbose": -1, "num_leaves": 3, "num_threads": 1}, lightgbm.Dataset(x, x[:, 0]), 5)
    booster.save_model("booster.txt")

    for name in ("linear.joblib", "linear.pkl"):
        for type_ in (LINEAR, ANY):
            assert round(given(folder, type_, name).coef_[0], 3) == 7
    assert given(folder, BOOSTER, "booster.txt").num_trees() == 5
    for type_, name, words, fix in [
        (
            LINEAR,
            "booster.txt",
            "is not a file that a sklearn.linear_model:LinearRegression is read from",
            ".joblib, .pkl",
        ),
        (BOOSTER, "linear.joblib", "expected lightgbm:Booster, got sklearn", ""),
        (LINEAR, "none.pkl", "there is no file none.pkl", ""),
    ]:
        with pytest.raises(InvalidInput) as caught:
            given(folder, type_, name)
        assert words in caught.value.message
        assert fix in caught.value.fix


def test_an_object_of_the_projects_own_code_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its class does counts as code of a task, and nothing could say which it was."""
    Path("own_code.py").write_text("class Own:\n    pass\n")
    monkeypatch.syspath_prepend(str(folder))
    import own_code  # type: ignore[import-not-found]

    Path("own.pkl").write_bytes(pickle.dumps(own_code.Own()))
    with pytest.raises(InvalidInput) as caught:
        given(folder, Type("own_code:Own"), "own.pkl")
    assert "own.pkl names own_code:Own, which is code of your own" in caught.value.message
    assert "Read the file in a task" in caught.value.fix

    del sys.modules["own_code"]
    sys.path.remove(str(folder))
    with pytest.raises(InvalidInput) as caught:
        given(folder, Type("own_code:Own"), "own.pkl")
    assert "there is no module own_code here" in caught.value.message
    assert "read the file in a task" in caught.value.fix
