import json
from pathlib import Path

from penstock import pipeline, task


@task(cache="maybe", version=1.5, expires="soon", files=["../x", "~/y", "data/*.csv", 3], env=["A B", 4])
def first(x: int = 0) -> int: ...


@task(cache=1, version="", expires=0, depends=["no module", 3, "nothing_like_this", "json:dump_all", json.dumps, json])
def second(x: int = 0) -> int: ...


@task(cache="trust", version=2, expires="1d", files=["./data/", Path("x.csv")], env="MODE", depends=[second])
def third(x: int = 0) -> int: ...


@pipeline
def inner(x: int = 0) -> int:
    return third(x)


@pipeline
def caching():
    first()
    second()
    third.options(cache=False, version="3", expires="2h")()
    inner.options(version="1", cache="trust")()
