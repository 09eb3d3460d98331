from penstock import pipeline, task


@task
def größe(x: int = 0) -> int:
    return x


@task
def plain(x: int = 0) -> int:
    return x


@pipeline(name="has space", labels={"a": 1}, timeout="soon")
def names(n: int):
    plain(name="same")
    plain(name="same")
    plain(name="not good")
    plain(name=3)
    plain(name=f"for-{n}")
    größe()
    plain(labels={"x": 1})
    plain(labels={"x": f"{n}"})
    return {"bad name": plain(), 3: plain()}
