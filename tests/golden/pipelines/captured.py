"""Values of outer graphs used deep inside, and inner ones outside."""

from penstock import finally_, map_over, one_of, otherwise, pipeline, task, when


@task
def number(seed: int = 0) -> int:
    return seed


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def listed(n: int) -> list[int]:
    return list(range(n))


@task
def tell(state: str) -> None: ...


@pipeline
def captured(n: int):
    a = number(n)
    b = number(7)
    with when(a > 1):
        inner = add(a, n)
        with when(b > a):
            deep = add(inner, b)
            sums = map_over(add, listed(deep), b=a + n)
    with otherwise():
        with when(a == 0):
            zero = add(b, b, after=[a])
    after_all = add(one_of(deep, zero), inner.to_int(), trigger="none_failed")
    number(name="last", after=[deep], when=after_all.state == "succeeded")
    finally_(tell, inner)
    return {"sums": sums, "both": one_of(inner + 1, zero * 2), "state": zero.state}
