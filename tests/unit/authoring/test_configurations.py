"""Dataclasses, TypedDicts and models of pydantic as parameters, defaults and constants, with checked fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pandas as pd
import pytest
from pydantic import BaseModel, Field

from penstock import pipeline, task
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.graph.codec import graph_from_json, graph_to_json
from penstock.graph.parameters import bind_parameters
from penstock.testing import run_inline


class Kind(Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass
class Optimiser:
    rate: float
    kind: Kind = Kind.FAST


@dataclass
class Config:
    optimiser: Optimiser
    layers: list[int] = field(default_factory=lambda: [8, 4])
    folder: Path | None = None
    seed: int = None  # type: ignore[assignment]


class Options(TypedDict):
    rate: float
    layers: NotRequired[list[int]]


class Model(BaseModel):
    rate: float = Field(0.1, gt=0, alias="learningRate")
    names: list[str] = []


@dataclass
class WithTable:
    frame: pd.DataFrame


@task
def of_config(config: Config) -> Any:
    assert isinstance(config, Config) and isinstance(config.optimiser, Optimiser)
    assert isinstance(config.optimiser.rate, float) and isinstance(config.optimiser.kind, Kind)
    return [config.optimiser.rate, config.optimiser.kind.name, config.layers, str(config.folder)]


@task
def of_options(options: Options) -> float:
    return options["rate"] * sum(options.get("layers", [1]))


@task
def of_model(model: Model) -> float:
    assert isinstance(model, Model)
    return model.rate


@task
def rate_of(rate: float) -> float:
    return rate


@task
def many(configs: list[Config]) -> int:
    assert all(isinstance(each, Config) for each in configs)
    return len(configs)


@task
def named(configs: dict[str, Options]) -> float:
    return sum(each["rate"] for each in configs.values())


@task
def returned(struct: dict[str, Any]) -> dict[str, Any]:
    return struct


@pipeline
def fields(
    config: Config = Config(Optimiser(0.5), folder=Path("data")),  # noqa: B008 - a pipeline's default is read, not changed
    options: Options = {"rate": 2.0},  # noqa: B006 - as above
    model: Model = Model(learningRate=0.3),  # noqa: B008
) -> dict[str, Any]:
    return {
        "config": of_config(config),
        "constant": of_config(Config(Optimiser(1, Kind.SLOW), [1])),
        "partly": of_config(Config(Optimiser(rate_of(4.0)))),
        "options": of_options(options),
        "written": of_options({"rate": 1, "layers": [3]}),
        "model": of_model(model),
        "rate": rate_of(config.optimiser.rate),
        "many": many([Config(Optimiser(1.0)), Config(Optimiser(rate_of(2.0)))]),
        "named": named({"a": {"rate": 1}, "b": options}),
    }


def test_defaults_constants_and_fields() -> None:
    result = run_inline(fields).raise_for_state()
    assert result.outputs == {
        "config": [0.5, "FAST", [8, 4], "data"],
        "constant": [1.0, "SLOW", [1], "None"],
        "partly": [4.0, "FAST", [8, 4], "None"],
        "options": 2.0,
        "written": 3.0,
        "model": 0.3,
        "rate": 0.5,
        "many": 2,
        "named": 3.0,
    }


def test_values_are_given_as_instances_and_as_structs() -> None:
    given = {"config": {"optimiser": {"rate": 3, "kind": "slow"}}, "model": Model(learningRate=0.7)}
    outputs = run_inline(fields, **given).raise_for_state().outputs
    assert outputs["config"] == [3.0, "SLOW", [8, 4], "None"]
    assert (outputs["model"], outputs["rate"]) == (0.7, 3.0)


GRAPH = graph_from_json(graph_to_json(fields.graph()))


def test_fields_that_are_left_out_have_their_defaults_in_expressions_too() -> None:
    @pipeline
    def reads(config: Config, model: Model = Model()) -> Any:  # noqa: B008 - as above
        return {"layers": config.layers, "rate": rate_of(model.rate), "kind": config.optimiser.kind}

    graph = graph_from_json(graph_to_json(reads.graph()))
    bound = bind_parameters(graph, texts={"config.optimiser.rate": "2", "model": "{}"})
    assert bound["config"].value == {  # type: ignore[union-attr]
        "optimiser": {"rate": 2.0, "kind": "fast"},
        "layers": [8, 4],
        "folder": None,
        "seed": None,
    }
    assert bound["model"].value == {"rate": 0.1, "names": []}  # type: ignore[union-attr]
    outputs = run_inline(reads, config={"optimiser": {"rate": 1}}, model={}).raise_for_state().outputs
    assert outputs == {"layers": [8, 4], "rate": 0.1, "kind": "fast"}


@pytest.mark.parametrize(
    ("struct", "words"),
    [
        ({"optimiser": {"rate": "x"}}, "Config.optimiser: Optimiser.rate: expected float, got 'x'"),
        ({"optimiser": {"rte": 1}}, "rte"),
        ({}, "optimiser"),
    ],
)
def test_a_struct_that_a_task_returns_is_checked_when_it_comes(struct: dict[str, Any], words: str) -> None:
    @pipeline
    def passes() -> Any:
        return of_config(returned(struct))

    error = run_inline(passes).task_runs["of_config"].error
    assert isinstance(error, TypeError)
    assert words in str(error)


def test_fields_are_given_by_themselves() -> None:
    texts = {"config.optimiser.rate": "7", "config.layers": "[1, 2]", "options": '{"rate": 1}', "options.rate": "5"}
    bound = bind_parameters(GRAPH, texts=texts)
    assert bound["config"].value == {  # type: ignore[union-attr]
        "optimiser": {"rate": 7.0, "kind": "fast"},
        "layers": [1, 2],
        "folder": "data",
        "seed": None,
    }
    assert bound["options"].value == {"rate": 5.0}  # type: ignore[union-attr]
    assert fields.graph().inputs[0].default.value["optimiser"]["rate"] == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"config.rat": "1"}, "parameter 'config.rat' has no field 'rat'"),
        ({"config.optimiser.rate": "x"}, "parameter 'config.optimiser.rate' must be a number, not 'x'"),
        ({"config.optimiser.rate.a": "1"}, "names a field, but float has none"),
        ({"config": "3"}, "parameter 'config' must be a Config (a struct with the fields optimiser"),
        ({"config": "{}"}, "parameter 'config' has no value for the field optimiser"),
        ({"config": '{"optimiser": {"rate": "a"}}'}, "field optimiser.rate must be a number, not 'a'"),
        ({"options": '{"rate": 1, "layer": [1]}'}, "parameter 'options' has no field 'layer'. Did you mean"),
        ({"options": '{"layers": []}'}, "parameter 'options' has no value for the field rate (float)"),
        ({"model": '{"rate": "a"}'}, "parameter 'model' field rate must be a number"),
        ({"nothing.rate": "1"}, "has no parameter 'nothing.rate'"),
    ],
)
def test_a_wrong_field_is_named(texts: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bind_parameters(GRAPH, texts=texts)
    assert words in caught.value.message


def test_a_wrong_constant_is_a_diagnostic() -> None:
    @pipeline
    def wrong() -> Any:
        return {"a": of_options({"rate": "x"}), "b": of_config({"layers": [1]}), "c": of_config(3)}

    with pytest.raises(InvalidPipeline) as caught:
        wrong.graph()
    messages = [each.message for each in caught.value.diagnostics]
    assert len(messages) == 3
    assert "field rate must be a number, not 'x'" in messages[0]
    assert "has no value for the field optimiser" in messages[1]
    assert "(a struct with the fields optimiser, layers, folder, seed), not 3" in messages[2]


def test_a_class_with_a_table_is_no_configuration() -> None:
    @task
    def of_table(given: WithTable) -> int: ...  # type: ignore[empty-body]

    assert of_table.component.inputs[0].type.fields is None


def test_what_a_task_returns_is_no_configuration() -> None:
    @task
    def chosen() -> Model | None: ...

    @pipeline
    def reads() -> Any:
        return rate_of(chosen().rate)

    with pytest.raises(InvalidPipeline, match="has no field 'rate'"):
        reads.graph()
