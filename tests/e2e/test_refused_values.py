"""A value that no form could store is kept, so that a corrected annotation does not cost the work again; other changes do."""

from __future__ import annotations

import os
import stat
import time

import pytest

TRAINING = """
    import json
    import typing
    from pathlib import Path
    from penstock import Form, pipeline, task


    class Model:
        def __init__(self, weight: int) -> None:
            self.weight = weight


    def doubled(n: int) -> int:
        return n * 2


    @task
    def train(n: int) -> typing.Any:
        print("training")
        rate = json.loads(Path("rate.json").read_text())
        return Model(doubled(n) * rate)


    @task
    def weight(model: Model) -> int:
        return model.weight


    @pipeline
    def training(n: int = 3) -> int:
        return weight(train(n))
"""
FIXED = TRAINING.replace("-> typing.Any", '-> typing.Annotated[Model, Form("pickle")]')
CALLED = "training"


@pytest.fixture
def training(project):
    project.write("pyproject.toml", "")
    project.write("rate.json", "5")
    project.write("training.py", TRAINING)
    return project


def has_trained(project, *arguments: str) -> bool:
    """Whether the run that these ask for called the task."""
    done = project.call("run", "training.py", *arguments)
    assert done.status == 0, done.err
    return CALLED in project.call("logs", "latest", "train").out.splitlines()


def test_a_corrected_annotation_does_not_cost_the_work_again(training) -> None:
    failed = training.call("run", "training.py")
    assert failed.status == 1
    assert "The value is kept for you alone in .penstock/kept/" in failed.err, failed.err
    folder = training.folder / ".penstock" / "kept"
    (kept,) = (path for path in folder.iterdir() if path.name != "secret")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    again = training.call("run", "training.py")
    assert again.status == 1 and "The value is kept" in again.err
    assert CALLED not in training.call("logs", "latest", "train").out.splitlines()

    training.write("training.py", FIXED)
    assert not has_trained(training)
    assert "the task is not called again" in training.call("logs", "latest", "train").out
    assert training.call("get", "latest", "weight").out == "30\n"
    # What it has read then counts from now on too.
    assert training.ran("training.py") == set()
    training.write("rate.json", "7")
    assert has_trained(training)
    assert training.call("get", "latest", "weight").out == "42\n"


THREE = """
    import numpy as np
    from typing import Annotated, Any
    from penstock import Form, pipeline, task


    class Model:
        pass


    @task
    def train(n: int) -> Annotated[Model, Form("pickle")]:
        print("training")
        return Model()


    @task
    def names(n: int) -> list[Any]:
        print("training")
        return ["a", n]


    @task
    def rates(n: int) -> np.ndarray:
        print("training")
        return np.arange(n)


    @pipeline
    def three(n: int = 3):
        return {"model": train(n), "names": names(n), "rates": rates(n)}
"""


@pytest.mark.parametrize("again", [("run", "training.py"), ("retry", "latest")])
def test_a_missing_annotation_and_a_wrong_one_are_corrected_by_a_run_and_by_a_retry(training, again) -> None:
    wrong = THREE.replace(' -> Annotated[Model, Form("pickle")]', "").replace("list[Any]", "list[int]")
    training.write("training.py", wrong.replace("np.ndarray", "float").replace("Annotated, ", ""))
    failed = training.call("run", "training.py")
    assert failed.status == 1 and failed.err.count("The value is kept for you alone") == 3, failed.err
    training.write("training.py", THREE)
    done = training.call(*again)
    assert done.status == 0, done.err
    printed = training.call("logs", "latest").out
    assert CALLED not in printed.splitlines()
    assert printed.count("the task is not called again") == 3, printed


@pytest.mark.parametrize(
    ("name", "change", "arguments"),
    [
        ("training.py", ("return n * 2", "return n * 3"), ()),
        ("training.py", ('print("training")', 'print("training", flush=True)'), ()),
        ("training.py", ("self.weight = weight", "self.weight = weight + 1"), ()),
        ("training.py", ("def train(n: int)", "def train(n: int, more: int = 0)"), ()),
        ("rate.json", ("5", "6"), ()),
        ("training.py", ("", ""), ("-p", "n=4")),
        ("training.py", ("", ""), ("--no-cache",)),
    ],
)
def test_a_value_is_not_taken_where_anything_else_differs(training, name, change, arguments) -> None:
    assert training.call("run", "training.py").status == 1
    training.write("training.py", FIXED)
    path = training.folder / name
    path.write_text(path.read_text().replace(*change))
    assert has_trained(training, *arguments)


def test_a_kept_file_that_is_not_this_users_own_is_not_taken(training) -> None:
    assert training.call("run", "training.py").status == 1
    folder = training.folder / ".penstock" / "kept"
    (kept,) = (path for path in folder.iterdir() if path.name != "secret")
    training.write("training.py", FIXED)
    content = bytearray(kept.read_bytes())
    content[-40] ^= 1
    kept.write_bytes(content)
    assert has_trained(training), "damaged, or written by somebody without the secret"


def test_what_cannot_be_kept_says_why(training) -> None:
    training.write("training.py", TRAINING.replace("Model(doubled(n) * rate)", "(lambda: rate)"))
    failed = training.call("run", "training.py")
    assert failed.status == 1 and "The value is not kept: it cannot be pickled" in failed.err, failed.err
    training.write("training.py", TRAINING.replace("@task\n    def train", "@task(cache=False)\n    def train"))
    failed = training.call("run", "training.py")
    assert failed.status == 1 and "not kept: results of this task are not cached" in failed.err, failed.err


def test_gc_removes_values_that_were_kept_long_ago(training) -> None:
    assert training.call("run", "training.py").status == 1
    folder = training.folder / ".penstock" / "kept"
    (kept,) = (path for path in folder.iterdir() if path.name != "secret")
    training.call("gc")
    assert kept.exists()
    long_ago = time.time() - 31 * 86_400
    os.utime(kept, (long_ago, long_ago))
    assert training.call("gc", "--dry-run", "--json").json["files"] == 1 and kept.exists()
    training.call("gc")
    assert [path.name for path in folder.iterdir()] == ["secret"]
