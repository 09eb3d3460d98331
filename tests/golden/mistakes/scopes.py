from penstock import finally_, loop_until, map_over, otherwise, pipeline, task, when

kept = []


@task
def number(x: int = 0) -> int:
    return x


@pipeline
def inner(x: int) -> int:
    n = number(x)
    kept.append(n)
    number(name="leak", labels={})
    return n


@pipeline
def scopes(n: int):
    one = inner(n)
    number(kept[0])
    number(after=kept)
    loop_until(number, lambda r: kept.append(r) or r > 3, rounds_max=2, carry="x")
    number(kept[1])
    last = finally_(number)
    number(last)
    number(after=last)
    finally_(number, last)
    number(when=last.state == "failed")
    return {"one": one, "last": last}


@pipeline
def recursive(n: int) -> int:
    with when(n > 3):
        deeper = recursive(n)
    with otherwise():
        number(n)
    return deeper


@pipeline
def reserved(x: int):
    return {"indexes": number(x), "met": number(x)}


@pipeline
def with_reserved():
    map_over(reserved, [1])
    loop_until(reserved, lambda r: r.met > 3, rounds_max=3, carry={"met": "x"}, x=1)
