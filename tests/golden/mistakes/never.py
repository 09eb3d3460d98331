from penstock import one_of, otherwise, pipeline, task, when


@task
def number(x: int = 0) -> int:
    return x


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task
def must(x: int) -> int:
    return x


@pipeline
def never(n: int):
    with when(n > 1):
        a = number(1)
    with otherwise(n < 0):
        b = number(2)
    with otherwise():
        c = number(3)
    add(a, c)  # b of add has a default: only a is needed
    both = must(a + c)
    must(both)
    fine = must(one_of(a, b, c))
    from_a = must(a)
    must(from_a * c)
    off = number(1, when=False)
    must(off)
    must(one_of(off, fine))
    with when(False):
        d = number()
    must(d)
    with when(True):
        e = number()
    with otherwise():
        f = number()
    must(e)
    return must(f)
