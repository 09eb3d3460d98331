from typing import NamedTuple

from penstock import pipeline, task


class Two(NamedTuple):
    left: int
    right: int


@task
def two(seed: int = 0) -> Two:
    return Two(seed, seed)


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def values() -> tuple[int, str]:
    return 1, "x"


@task
def listed() -> list[int]:
    return [1]


@task
def silent(a: int) -> None: ...


@task
def open_end(*args, **kwargs): ...


@task
def positional(a, /): ...


@pipeline
def inputs(n: int):
    add()
    add(1)
    add(1, 2, 3)
    add(1, a=2, b=3)
    add(1, 2, bb=3)
    pair = two()
    add(pair, pair.middle)
    add(pair.left, silent(1))
    pair.left.deeper
    a, b, c = pair
    d, e = add(1, 2)
    f, g, h = values()
    i, j = listed()
    one, other = n
    add(a, d)
    open_end(1)
    positional(1)
    return {"a": pair, "b": pair.rigth}


@pipeline
def other_outputs() -> Two:
    return {"left": 1}


@pipeline
def three() -> Two:
    return 1, 2, 3
