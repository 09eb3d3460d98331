from pathlib import Path

from penstock import pipeline, task


@task
def made() -> Path: ...


@task
def size(file: Path) -> int: ...


@pipeline
def inner(file: Path):
    return size(file)


@pipeline
def given(data: Path, named: Path = Path("in.txt"), text: Path = "in.txt", maybe: Path | None = None):
    return {"data": size(data), "named": size(named), "text": size(text)}


@pipeline
def nested():
    return inner(made())
