"""Expressions of every kind, handles in lists, dicts and text, resources and limits that are values."""

from penstock import Resources, pipeline, task


@task
def measure(text: str, flag: bool = False) -> dict: ...


@task
def work(items: list[int], limit: float, names: list[str], settings: dict) -> float: ...


@task
def listed(models: list[dict]) -> int: ...


@pipeline
def parameters(a: int, b: float, text: str, flags: list[bool], deep: dict, mode: str = "x"):
    m = measure(f"{text}-{a} of {b}", flag=flags[0] & (flags[1] | ~flags[2]))
    other = measure(text + mode, flag=text.contains("x") & mode.is_in(["x", "y"]) & ~text.matches("^a.*"))
    w = work.options(
        resources=Resources(cpu=a, memory=m.memory, licence=a * 2), timeout=m.seconds, when=deep.inner["x"] == None  # noqa: E711
    )(
        [a, 1, a % 3 - 1],
        limit=(b * 2 + a) / 3 - 1.5,
        names=[mode, f"n{a}", "plain"],
        settings={"nested": {"a": a, "list": [b, None]}, mode: text.size(), "score": m.score * 100},
    )
    n = listed([m, other])
    return {"w": -w, "n": n.to_float() > b, "text": f"{w}%", "start": text.starts_with("a") | text.ends_with(mode)}
