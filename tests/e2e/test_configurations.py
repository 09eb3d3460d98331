"""Configurations on the command line: one field, a file for one parameter, a file of all parameters."""

from __future__ import annotations

TRAINING = """
    from __future__ import annotations
    from dataclasses import dataclass, field
    from typing import NotRequired, TypedDict
    from penstock import pipeline, task


    @dataclass
    class Config:
        rate: float = 0.1
        layers: list[int] = field(default_factory=lambda: [8, 4])

        def __post_init__(self) -> None:
            self.rate = max(self.rate, 0.0)


    class Options(TypedDict):
        name: str
        tags: NotRequired[list[str]]


    @task
    def fit(config: Config) -> float:
        return config.rate * len(config.layers)


    @task
    def name(options: Options) -> str:
        return options["name"] + "".join(options.get("tags", []))


    @pipeline
    def training(config: Config = Config(), options: Options = {"name": "a"}):
        return {"fit": fit(config), "fast": fit(Config(rate=2.0)), "name": name(options)}
"""


def test_parameters_come_from_fields_and_files(project) -> None:
    project.write("pyproject.toml", "")
    project.write("training.py", TRAINING)
    project.write("config.json", '{"rate": 3, "layers": [1]}')
    project.write("all.toml", 'options = {name = "b", tags = ["c"]}\n[config]\nrate = 0.5\n')
    project.write("all.yaml", "options:\n  name: d\n")
    whole = project.call("run", "training.py", "-p", "config=@config.json", "-p", "config.rate=4", "--json")
    assert whole.json["outputs"] == {"fit": 4.0, "fast": 4.0, "name": "a"}, whole.err
    toml = project.call("run", "training.py", "--params", "all.toml", "-p", "config.layers=[1, 2, 3]", "--json")
    assert toml.json["outputs"] == {"fit": 1.5, "fast": 4.0, "name": "bc"}, toml.err
    assert project.verdicts("training.py", "--params", "all.toml") == {"fit": "run", "fit-2": "hit", "name": "hit"}

    project.write("training.yaml", project.call("graph", "training.py", "--format", "yaml").out)
    again = project.call("run", "training.yaml", "--params", "all.yaml", "-p", "config.rate=4", "--json")
    assert again.json["outputs"] == {"fit": 8.0, "fast": 4.0, "name": "d"}, again.err
    assert project.ran("training.yaml", "--params", "all.yaml", "-p", "config.rate=4") == set()

    # What the class does with its fields is code of the tasks that get it.
    project.write("training.py", TRAINING.replace("0.0)", "1.0)"))
    assert project.ran("training.yaml", "--params", "all.yaml", "-p", "config.rate=4") == {"fit", "fit-2"}


def test_what_is_wrong_with_a_file_or_field_is_named(project) -> None:
    project.write("pyproject.toml", "")
    project.write("training.py", TRAINING)
    project.write("bad.json", "{")
    project.write("bad.yaml", "a: [1\n")
    project.write("list.yaml", "- 1\n")
    for given, words in [
        (("--params", "no.yaml"), "no.yaml cannot be read: No such file"),
        (("--params", "bad.json"), "bad.json is not valid JSON"),
        (("--params", "bad.yaml"), "bad.yaml:2:1: a list in [ ] is not closed"),
        (("--params", "list.yaml"), "list.yaml must hold parameters by name"),
        (("--params", "training.py"), "training.py must end with .json, .toml, .yaml, .yml"),
        (("-p", "config=@bad.json"), "bad.json is not valid JSON"),
        (("-p", "config.rte=1"), "has no field 'rte'. Did you mean 'rate'?"),
        (("-p", "options.tags=3"), "parameter 'options.tags' must be a list"),
        (("-p", "options={}"), "has no value for the field name (str)"),
    ]:
        wrong = project.call("run", "training.py", *given)
        assert wrong.status == 2 and words in wrong.err, wrong.err
    assert not (project.folder / ".penstock").exists()
