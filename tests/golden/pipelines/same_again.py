"""One component many times: names in call order."""

from penstock import map_over, pipeline, task


@task
def fit(x: int = 0) -> int:
    return x


@task
def largest(values: list[int]) -> int:
    return max(values)


@pipeline
def same_again(n: int = 2):
    fits = [fit(n) for _ in range(3)]
    fit(name="special")
    fits.append(fit())
    twice = [map_over(fit, [1, 2]), map_over(fit, [1, 2])]
    return {"largest": largest(fits), "lists": twice}
