from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from penstock import in_step, map_over, pipeline, product, task


class Fitted(NamedTuple):
    name: str
    frame: pd.DataFrame


@task
def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame({"a": range(n)})


@task
def by_name() -> dict[str, pd.DataFrame]:
    return {"b": pd.DataFrame({"a": [1]}), "a": pd.DataFrame({"a": [2, 3]})}


@task
def pair(n: int) -> tuple[pd.DataFrame, int]:
    return pd.DataFrame({"a": range(n)}), n


@task
def three() -> tuple[int, str, pd.DataFrame]:
    return 1, "x", pd.DataFrame({"a": [1]})


@task
def fit(name: str, data: pd.DataFrame) -> Fitted:
    return Fitted(name, data)


@task
def rows(frame: pd.DataFrame, times: int = 1) -> int:
    return len(frame) * times


@task
def total(frames: list[pd.DataFrame]) -> int:
    return sum(map(len, frames))


@task
def sizes(frames: dict[str, pd.DataFrame]) -> dict[str, int]:
    return {name: len(frame) for name, frame in frames.items()}


@task
def deep(parts: dict) -> list[int]:
    return [len(parts["in"][0]["x"]), len(parts["in"][1]), parts["n"]]


@task
def told(fitted: Fitted) -> str:
    return f"{fitted.name} has {len(fitted.frame)}"


@task
def told_all(fitted: list[Fitted]) -> list[str]:
    return [f"{each.name} has {len(each.frame)}" for each in fitted]


@task
def power(base: int, exponent: int, plus: int = 0) -> int:
    return base**exponent + plus


@task
def numbers(upto: int) -> list[int]:
    return list(range(upto))


@pipeline
def collections(n: int = 2):
    some = by_name()
    return {
        "total": total([frame(n), frame(3), some["a"]]),
        "sizes": sizes(some),
        "more": sizes({"one": frame(1), "b": some["b"]}),
        "deep": deep({"in": [{"x": frame(4)}, some.b], "n": n}),
        "kept": {"frames": [frame(1), frame(2)], "of": some},
    }


@pipeline
def tuples():
    data, n = pair(3)
    first, second, third = three()
    whole = pair(2)
    return {"rows": rows(data, n), "again": rows(whole[0], whole[1]), "x": second, "last": rows(third, first)}


@pipeline
def records(names: list[str] = ["a", "b"]):
    many = map_over(fit, names, data=frame(2))
    return {
        "one": told(fit("c", frame(1))),
        "all": told_all(many),
        "each": map_over(told, many),
        "written": told_all([fit("d", frame(3)), fit("e", frame(4))]),
    }


@pipeline
def lists(bases: list[int] = [2, 3], upto: int = 2):
    return {
        "in_step": map_over(power, base=bases, exponent=numbers(upto)),
        "shared": map_over(power, in_step(base=bases, exponent=[2, 3]), plus=1),
        "product": map_over(power, product(base=bases, exponent=numbers(3))),
        "frames": map_over(rows, in_step(frame=map_over(frame, [1, 2]), times=[10, 20])),
    }
