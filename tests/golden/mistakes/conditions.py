import pandas as pd

from penstock import finally_, in_step, loop_until, map_over, one_of, otherwise, pipeline, product, task, when


@task
def number(x: int = 0) -> int:
    return x


@task
def add(x: int, y: int) -> int:
    return x + y


@task
def table() -> pd.DataFrame: ...


@task
def frames() -> list[pd.DataFrame]: ...


@task
def text(value: str) -> str:
    return value


@pipeline
def conditions(mode: str):
    n, frame = number(), table()
    with when(n):
        number()
    with when(frame == 3):
        number()
    with when(frame.rows > 3):
        number()
    with otherwise():
        number()
    with otherwise():
        number()
    number()
    with otherwise(n > 1):
        number()
    when(n > 1)
    number(when=mode)
    number(when=mode + n == "x")
    number(when=frames()[0].empty)
    number(when=frames().size() > 1)
    text(f"{frame} is a table")
    text({"a": frame})
    map_over(number, n)
    map_over(number)
    map_over(add, x=n, y=[1])
    map_over(add, in_step(x=[1, 2], y=[1]))
    map_over(add, in_step(x=[1], z=[1]))
    map_over(add, product(x=["a"], y=frames()))
    map_over(number, [1], x=3)
    map_over(number, [1], parallel_max=0, failures_max=-1)
    map_over(number, n > 1)
    one_of()
    number(trigger="all_done")
    number(after="load")
    number(after=[n, mode, 3])
    finally_(number, 3, when=n > 1)


@pipeline
def loops(start: int):
    loop_until(number, "met_it", rounds_max=0)
    loop_until(number, lambda n: n, rounds_max=2, carry="x", x=start)
    loop_until(number, lambda n: n > 3, rounds_max="3", carry={"nothing": "x"}, exhausted="stop")
    loop_until(number, lambda n: n > 3, rounds_max=3, carry={"output": "y"})
    loop_until(number, lambda n: n > 3, rounds_max=3)
    loop_until(text, lambda t: t.size() > start, rounds_max=3, carry={"output": "value"}, value="x")
    loop_until(number, 3, rounds_max=1, carry="x")
    text(loop_until(number, lambda n: n > 3, rounds_max=3, carry="x"))
