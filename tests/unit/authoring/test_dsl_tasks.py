"""Tasks as objects: outside of pipelines, their components, options and typing of signatures."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from penstock import Form, Resources, Retry, loop_until, pipeline, task
from penstock.authoring.dsl.annotations import public_name, type_of_annotation
from penstock.authoring.dsl.tasks import Task
from penstock.base.diagnostics import Location
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.graph.bindings import Constant, Output
from penstock.graph.model import Call, Gpu, InputSpec, OutputSpec
from penstock.graph.model import Resources as ModelResources
from penstock.graph.model import Retry as ModelRetry
from penstock.graph.types import ANY, BOOL, FLOAT, INT, JSON, NULL, PATH, STR, STRUCT, Type, enum_of, list_of

THIS = __name__


class Metric(Enum):
    MAE = "mae"
    RMSE = "rmse"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Options(TypedDict):
    depth: int


class Closer(Protocol):
    def close(self) -> None: ...


class Parent:
    class Child(Exception):
        pass


class Pair(NamedTuple):
    left: int
    right: pd.DataFrame


@dataclass(frozen=True)
class Report:
    title: str
    scores: list[float]


UserId = NewType("UserId", int)
T = TypeVar("T")


@task
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Nothing else.
    """
    return a + b


@task(
    cpu=2,
    memory="1GiB",
    resources={"licence": 1},
    retry=Retry(4, backoff="2s", on=[KeyError, Parent.Child]),
    timeout="90s",
    priority=3,
    cache=False,
    fresh=True,
)
def heavy(x: int) -> Pair:
    return Pair(x, pd.DataFrame())


def noisy(function: Any) -> Any:
    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


@task
@noisy
def wrapped(x: int, y: str = "a") -> str:
    return y * x


@task
def taken(name: str, after: int = 0, when: bool = True) -> str:
    return name


@task
def implicit(x: int = None, y=3, *, z: Metric = Metric.RMSE, level: Level = Level.HIGH) -> Report: ...  # type: ignore  # noqa: PGH003, RUF013


@task
def nothing() -> None: ...


@task
def unsaid(): ...  # type: ignore[no-untyped-def]


def test_outside_of_a_pipeline_a_task_is_its_function() -> None:
    assert add(1) == 3
    assert add(1, b=5) == 6
    assert add.options(memory="1GiB")(2) == 4
    with pytest.raises(TypeError):
        add()  # type: ignore[call-arg]


def test_a_task_looks_like_its_function() -> None:
    assert add.__name__ == add.name == "add"
    assert add.__doc__ is not None
    assert add.__doc__.startswith("Add two numbers.")
    assert add.__wrapped__ is add.function
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert add.__module__ == THIS
    assert repr(add) == "<task add>"


def test_a_task_is_pickled_by_reference() -> None:
    assert pickle.loads(pickle.dumps(add)) is add
    assert copy.deepcopy(add) is add


def test_the_component_of_a_task() -> None:
    component = add.component
    assert component is add.component
    assert (component.module, component.name) == (THIS, "add")
    assert component.inputs == (InputSpec("a", INT), InputSpec("b", INT, Constant(2)))
    assert component.outputs == (OutputSpec("output", INT),)
    assert component.description == "Add two numbers.\n\nNothing else."
    assert component.location == Location(__file__, add.function.__code__.co_firstlineno)


def test_options_of_a_task_become_its_policy() -> None:
    policy = heavy.component.policy
    assert policy.resources == ModelResources(2.0, 1 << 30, {"licence": 1.0})
    assert policy.retry == ModelRetry(4, backoff_ms=2_000, retry_on=("KeyError", f"{THIS}:Parent.Child"))
    assert (policy.timeout_ms, policy.priority, policy.cache, policy.fresh) == (90_000, 3, False, True)
    assert add.component.policy.resources is None


def test_outputs_are_the_fields_of_what_is_returned() -> None:
    assert heavy.component.outputs == (OutputSpec("left", INT), OutputSpec("right", Type("pandas:DataFrame")))
    assert implicit.component.outputs == (OutputSpec("title", STR), OutputSpec("scores", list_of(FLOAT)))
    assert nothing.component.outputs == ()
    assert unsaid.component.outputs == (OutputSpec("output", ANY),)


def test_defaults_and_missing_annotations() -> None:
    x, y, z, level = implicit.component.inputs
    assert x == InputSpec("x", Type("int", optional=True), Constant(None))
    assert y == InputSpec("y", ANY, Constant(3))
    assert z == InputSpec("z", enum_of("mae", "rmse"), Constant("rmse"))
    assert level == InputSpec("level", enum_of("LOW", "HIGH"), Constant("HIGH"))


def test_a_wrapped_function_keeps_its_signature() -> None:
    assert wrapped(2, y="b") == "bb"
    assert [spec.name for spec in wrapped.component.inputs] == ["x", "y"]
    assert wrapped.component.outputs == (OutputSpec("output", STR),)
    assert wrapped.built()[1] == ()
    assert wrapped.component.location == Location(__file__, inspect.unwrap(wrapped.function).__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("annotation", "type_"),
    [
        (None, NULL),
        (type(None), NULL),
        (bool, BOOL),
        (int, INT),
        (float, FLOAT),
        (str, STR),
        (Any, ANY),
        (object, ANY),
        (T, ANY),
        (list, Type("list")),
        (list[int], list_of(INT)),
        (Sequence[str], list_of(STR)),
        (list[list[float]], list_of(list_of(FLOAT))),
        (tuple, Type("list")),
        (tuple[int, ...], list_of(INT)),
        (tuple[int, str], list_of(JSON)),
        (dict, STRUCT),
        (dict[str, int], STRUCT),
        (Mapping[str, Any], STRUCT),
        (Options, STRUCT),
        (Literal["a", "b"], enum_of("a", "b")),
        (Literal["a", None], Type("enum", options=("a",), optional=True)),
        (Literal[1, 2], INT),
        (Literal[1, "a"], JSON),
        (Metric, enum_of("mae", "rmse")),
        (Level, enum_of("LOW", "HIGH")),
        (Optional[int], Type("int", optional=True)),  # noqa: UP045
        (int | None, Type("int", optional=True)),
        (Union[int, float], FLOAT),  # noqa: UP007
        (int | str, JSON),
        (str | Path, ANY),
        (pd.DataFrame | pl.DataFrame, ANY),
        (pd.DataFrame | None, Type("pandas:DataFrame", optional=True)),
        (Path, PATH),
        (Annotated[int, "note"], INT),
        (Annotated[Any, Form("pickle")], Type("any", form="pickle")),
        (list[Annotated[Any, Form("joblib")]], list_of(Type("any", form="joblib"))),
        (UserId, INT),
        (pd.DataFrame, Type("pandas:DataFrame")),
        (pd.Series, Type("pandas:Series")),
        (pl.DataFrame, Type("polars:DataFrame")),
        (pa.Table, Type("pyarrow:Table")),
        (np.ndarray, Type("numpy:ndarray")),
        (np.ndarray[Any, np.dtype[np.float64]], Type("numpy:ndarray")),
        (LinearRegression, Type("sklearn.linear_model:LinearRegression")),
        (list[pd.DataFrame], list_of(Type("pandas:DataFrame"))),
        (Report, Type(f"{THIS}:Report")),
        (Parent.Child, Type(f"{THIS}:Parent.Child")),
        (Closer, ANY),
        (bytes, Type("builtins:bytes")),
    ],
)
def test_annotations_are_types(annotation: Any, type_: Type) -> None:
    assert type_of_annotation(annotation) == type_


def test_classes_know_their_bases() -> None:
    type_ = type_of_annotation(LinearRegression)
    assert public_name(BaseEstimator) in type_.bases
    assert "builtins:object" not in type_.bases
    assert type_of_annotation(BaseEstimator).accepts(type_)
    assert not type_.accepts(type_of_annotation(BaseEstimator))


def test_a_parameter_that_is_named_like_an_option_is_the_parameter() -> None:
    @pipeline
    def made() -> str:
        first = taken("x", after=3, when=False)
        return taken.options(name="second", after=[first])(name="y", trigger="all_ended")

    one, other = made.graph().nodes
    assert isinstance(one, Call)
    assert isinstance(other, Call)
    assert one.name == "taken"
    assert one.inputs == {"name": Constant("x"), "after": Constant(3), "when": Constant(False)}
    assert one.order.after == ()
    assert other.name == "second"
    assert other.inputs == {"name": Constant("y")}
    assert other.order.after == ("taken",)
    assert other.order.trigger == "all_ended"


def test_resources_of_a_use_are_laid_over_those_of_the_task() -> None:
    @pipeline
    def made() -> None:
        more = heavy.options(memory="4GiB", resources={"tokens": 2})
        more(1)
        more.options(cpu=8, retry=2)(1)
        heavy(1)
        add.options(resources=Resources(cpu=3), labels={"a": "b"})(1)

    first, second, third, fourth = made.graph().nodes
    assert first.policy.resources == ModelResources(2.0, 4 << 30, {"licence": 1.0, "tokens": 2.0})
    assert first.policy.retry is None  # the task's own, then
    assert second.policy.resources == ModelResources(8.0, 4 << 30, {"licence": 1.0, "tokens": 2.0})
    assert second.policy.retry == ModelRetry(2)
    assert third.policy.resources is None
    assert fourth.policy.resources == ModelResources(3.0)
    assert fourth.labels == {"a": "b"}


def test_unknown_options_are_refused_like_unknown_keywords() -> None:
    with pytest.raises(TypeError, match=r"no option 'memroy'\. Did you mean 'memory'"):
        add.options(memroy="1GiB")
    with pytest.raises(TypeError, match="no option 'cpus'"):
        task(cpus=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="belongs to a use of a task"):
        task(after=[])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, Gpu(1.0)),
        (0.5, Gpu(0.5)),
        ({"count": 2, "memory": "40GiB"}, Gpu(2.0, 40 << 30)),
        ({"memory": "10GiB"}, Gpu(1, 10 << 30)),
    ],
)
def test_gpus_are_whole_devices_or_a_share_of_one(given: Any, expected: Gpu) -> None:
    @pipeline
    def made() -> None:
        add.options(gpu=given)(1)
        add.options(resources={"gpu": given, "licence": 2})(1)
        add.options(resources=Resources(gpu=given))(1)

    first, second, third = (node.policy.resources for node in made.graph().nodes)
    assert first == third == ModelResources(gpu=expected)
    assert second == ModelResources(custom={"licence": 2.0}, gpu=expected)


@pytest.mark.parametrize("given", [1.5, -1, "two", True, {}, {"counts": 1}, {"count": 1, "memory": "much"}])
def test_gpus_of_the_wrong_form_are_told(given: Any) -> None:
    @pipeline
    def made() -> None:
        add.options(gpu=given)(1)

    with pytest.raises(InvalidPipeline) as raised:
        made.graph()
    assert {diagnostic.code for diagnostic in raised.value.diagnostics} == {"bad-resources"}


def test_handles_are_bound_in_resources() -> None:
    @pipeline
    def made(cores: int) -> None:
        size = add(1)
        add.options(cpu=cores, memory=size * 1024, timeout=size)(1)

    node = made.graph().nodes[1]
    assert node.policy.resources is not None
    assert not isinstance(node.policy.resources.cpu, float)
    assert node.policy.timeout_ms is not None
    assert not isinstance(node.policy.timeout_ms, int)


SCRIPT = """
import json
from penstock import task, pipeline

class Model: ...

@task
def fit() -> Model: ...

@pipeline
def train():
    return fit()

if __name__ == "__main__":
    component = fit.component
    print(json.dumps([component.module, component.outputs[0].type.name, train.module, train.source_file]))
"""


@pytest.mark.parametrize(
    ("file", "arguments", "module"),
    [
        ("script.py", ["script.py"], "script"),
        ("pkg/inner/mod.py", ["pkg/inner/mod.py"], "pkg.inner.mod"),
        ("pkg/inner/mod.py", ["-m", "pkg.inner.mod"], "pkg.inner.mod"),
        ("plain/mod.py", ["plain/mod.py"], "mod"),
    ],
)
def test_main_is_never_a_modules_name(file: str, arguments: list[str], module: str, tmp_path: Path) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(SCRIPT)
    if file.startswith("pkg"):
        (tmp_path / "pkg" / "__init__.py").touch()
        (tmp_path / "pkg" / "inner" / "__init__.py").touch()
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = __import__("json").loads(done.stdout)
    assert answer[:3] == [module, f"{module}:Model", module]
    assert Path(answer[3]).name == place.name


def test_without_a_file_main_stays() -> None:
    code = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('["__main__", "__main__:Model", "__main__"')


def test_a_pipeline_is_not_called_like_a_function() -> None:
    @pipeline
    def made() -> int:
        return add(1)

    with pytest.raises(InvalidInput, match="cannot be called like a function") as caught:
        made()
    assert "made.run(...)" in caught.value.fix
    with pytest.raises(InvalidInput, match="cannot be called like a function"):
        made.options(name="x")()


def test_tasks_in_lists_keep_their_types() -> None:
    found: list[Task[..., Any]] = [add, heavy]
    assert [one.name for one in found] == ["add", "heavy"]
    assert Output("a", "b") == Output("a", "b")


class Step(NamedTuple):
    w: float
    loss: float


@task
def step(w: float) -> Step:
    return Step(w, 0.0)


@task(resources=Resources(custom={"licences": 1}))
def licensed() -> int:
    return 1


def test_custom_resources_are_named_and_not_wrapped() -> None:
    @pipeline
    def whole() -> int:
        return licensed()

    assert ("bad-resources", "Write Resources(licences=1).") in [(each.code, each.fix) for each in whole.diagnostics()]


def test_a_loop_whose_condition_does_not_say_which_output_it_means() -> None:
    @pipeline
    def whole():
        return loop_until(step, lambda loss: loss < 1e-3, rounds_max=3, w=1.0)

    texts = [str(found) for found in whole.diagnostics()]
    assert any("the round of a loop has several outputs" in text and "last.loss" in text for text in texts), texts
