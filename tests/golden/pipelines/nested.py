from dataclasses import dataclass

from penstock import pipeline, task


@dataclass
class Model:
    weights: list[float]
    loss: float


@task
def clean(rows: list[int]) -> list[int]:
    return [row for row in rows if row]


@task
def learn(rows: list[int]) -> Model:
    return Model([0.0], 1.0)


@task
def compare(losses: list[float], options: dict) -> int:
    return losses.index(min(losses))


@pipeline(timeout=60)
def prepare(rows: list[int]) -> list[int]:
    return clean(clean(rows))


@pipeline
def both(rows: list[int] = [1, 0, 2]) -> Model:  # noqa: B006 - never changed
    return learn(prepare(rows))


@pipeline
def outer(rows: list[int]):
    one = both(rows)
    other = both.options(name="other", timeout="1h")([*range(3)])
    chosen = compare([one.loss, other.loss], {"first": one.loss, "fixed": [1, None, "x"]}, after=[one])
    return {"chosen": chosen, "weights": one.weights}
