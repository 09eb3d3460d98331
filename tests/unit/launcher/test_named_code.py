"""What an output's bytes name counts with them (cache rule 10): editing a method of the class makes another artifact of equal
bytes, editing anything else does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.testing.pythons import Ended, Project, call

MODELS = """
    from dataclasses import dataclass
    from enum import Enum
    from sklearn.base import BaseEstimator
    import rates

    class Kind(Enum):
        PLAIN = 1

    @dataclass
    class Model:
        weight: float
        kind: Kind = Kind.PLAIN
        def predict(self, x):
            return scaled(self.weight * x)

    class Estimator(BaseEstimator):
        def __init__(self, weight=1.0):
            self.weight = weight
        def predict(self, x):
            return rates.rate(x) * self.weight

    class Plain:
        def __init__(self, weight): self.weight = weight
        def predict(self, x): return rates.rate(x) * self.weight

    class Own:
        def __init__(self, x): self.x = x
        def __penstock_write__(self, folder): (folder / "x").write_text(str(self.x))
        @classmethod
        def __penstock_read__(cls, folder): return cls(int((folder / "x").read_text()))
        def predict(self, x): return self.x * x

    def scaled(x):
        return x * 1.0

    def unrelated():
        return 1
"""
MAIN = """
    import pickle
    from pathlib import Path
    import models
    from penstock import pipeline, task

    @task
    def train(weight: float):
        return models.Model(weight)

    @task
    def fit(weight: float):
        return models.Estimator(weight)

    @task
    def plain_object(weight: float):
        return models.Plain(weight)

    @task
    def nest(weight: float):
        return {"best": [models.Estimator(weight)], "table": (1, 2)}

    @task
    def own(x: int):
        return models.Own(x)

    @task
    def plain(x: int):
        return (x, {x})

    @task
    def load(path: str):
        with open(path, "rb") as file:
            return pickle.load(file)

    @task
    def evaluate(model) -> float:
        return model.predict(2.0)

    @task
    def hand_on(model):
        return model

    @pipeline
    def main(path: str = "", weight: float = 1.0, x: int = 1):
        evaluate(train(weight))
        evaluate(fit(weight))
        plain_object(weight)
        hand_on(nest(weight))
        own(x)
        plain(x)
        load(path)
"""
ESTIMATORS = {"fit", "nest", "fit, skops", "fit, joblib"}
RATES = "def rate(x): return x\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return written(tmp_path)


def written(folder: Path) -> Project:
    made = Project(folder, sys.executable)
    for name, text in (("main.py", MAIN), ("models.py", MODELS), ("rates.py", RATES)):
        made.write(name, text)
    return made


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the project makes as it is."""
    return made(written(tmp_path_factory.mktemp("before")))


def outputs(ended: list[Ended]) -> list[dict[str, Any]]:
    assert [each.outside for each in ended] == [[]] * len(ended)
    return [each.output for each in ended]


def made(project: Project) -> dict[str, dict[str, Any]]:
    names = ("train", "fit", "nest", "own", "plain")
    given = [call(name, **({"x": 3} if name in ("own", "plain") else {"weight": 2.0})) for name in names]
    asked = {
        f"{name}, {form}": call(name, form=form, weight=2.0)
        for name, form in (("fit", "skops"), ("fit", "joblib"), ("plain_object", "pickle"))
    }
    return dict(zip((*names, *asked), outputs(project.run(*given, *asked.values())), strict=True))


def test_outputs_that_name_code_carry_its_digest(before: dict[str, dict[str, Any]]) -> None:
    found = before
    assert found["plain"]["code"] is None
    assert found["train"]["metadata"]["names"] == ["models:Kind", "models:Model"]
    for name in ("fit", "nest", "fit, joblib", "fit, skops"):
        assert found[name]["metadata"]["names"] == ["models:Estimator"]
        assert found[name]["code"] == found["fit"]["code"]
    assert found["own"]["metadata"]["names"] == ["models:Own"]
    assert found["plain_object, pickle"]["metadata"]["names"] == ["models:Plain"]
    assert found["fit"]["form"] == found["fit, skops"]["form"] == "skops"
    assert found["fit, joblib"]["form"] == "joblib"
    assert len({found[name]["code"] for name in ("train", "fit", "own", "plain_object, pickle")}) == 4


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("models.py", "self.weight * x", "self.weight * x + 0.5", {"train"}),
        ("models.py", "return x * 1.0", "return x * 2.0", {"train"}),
        ("models.py", "* self.weight\n\n    class Plain", "* self.weight + 1\n\n    class Plain", ESTIMATORS),
        ("models.py", "* self.weight\n\n    class Own", "* self.weight + 1\n\n    class Own", {"plain_object, pickle"}),
        ("rates.py", "return x", "return x + 1", ESTIMATORS | {"plain_object, pickle"}),
        ("models.py", "return self.x * x", "return x", {"own"}),
        ("models.py", "return 1\n", "return 2\n", set()),
        ("models.py", "def unrelated", "# a comment\n    def unrelated", set()),
        ("main.py", "return models.Model(weight)", "model = models.Model(weight)\n        return model", set()),
    ],
)
def test_another_digest_where_the_named_code_changed_and_only_there(
    before: dict[str, dict[str, Any]], project: Project, file: str, old: str, new: str, changed: set[str]
) -> None:
    text = {"main.py": MAIN, "models.py": MODELS, "rates.py": RATES}[file]
    assert old in text
    project.write(file, text.replace(old, new))
    after = made(project)
    assert {name for name in before if before[name]["artifact"] != after[name]["artifact"]} == set()
    assert {name for name in before if before[name]["code"] != after[name]["code"]} == changed


def test_methods_of_an_instance_that_arrives_as_data_are_expected(project: Project) -> None:
    ended = project.run(
        call("train", weight=2.0),
        call("evaluate", model={"of": 0}),
        call("fit", weight=3.0),
        call("evaluate", model={"of": 2}),
        call("nest", weight=1.0),
        call("hand_on", model={"of": 4}),
        call("evaluate", model={"of": 0}),
        call("plain_object", form="pickle", weight=5.0),
        call("evaluate", model={"of": 7}),
    )
    found = outputs(ended)
    assert (found[1]["value"], found[3]["value"], found[6]["value"], found[8]["value"]) == (4.0, 6.0, 4.0, 10.0)
    assert found[5]["code"] == found[4]["code"]


def test_a_class_that_its_maker_does_not_reach_is_outside(project: Project) -> None:
    """What was unpickled: the maker's code does not say whose methods others will call."""
    project.write(
        "strange.py", "class Strange:\n    def __init__(self): self.x = 1\n    def predict(self, x): return x\n"
    )
    source = MAIN.replace("import models\n", "import models\n    from importlib import import_module\n")
    source = source.replace('with open(path, "rb") as file:', "with nullcontext():")
    source = source.replace("import pickle", "from contextlib import nullcontext")
    project.write("main.py", source.replace("return pickle.load(file)", "return import_module(path).strange()"))
    strange = (
        "from dataclasses import dataclass\n@dataclass\nclass Strange:\n    x: int\ndef strange(): return Strange(1)\n"
    )
    project.write("strange.py", strange)
    (ended,) = project.run(call("load", path="strange"))
    assert "strange:Strange (named by an output)" in ended.outside
    assert ended.output["code"] is not None
