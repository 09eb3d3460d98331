from penstock import finally_, loop_until, map_over, one_of, otherwise, pipeline, task, when


@task
def months(count: int) -> list[int]:
    return list(range(count))


@task
def train(month: int, rate: float) -> float:
    return month * rate


@task
def best(scores: list[float], months: list[int]) -> float:
    return max(scores)


@task
def improve(score: float, attempt: int) -> float:
    return score + attempt


@task
def report(text: str) -> str:
    return text


@task
def tell(state: str, score: float = 0.0) -> None:
    print(state, score)


@pipeline
def one_month(month: int, rate: float = 0.1) -> float:
    return train(month, rate)


@pipeline
def mapped(rate: float = 0.5):
    listed = months(12)
    scores = map_over(train, listed, parallel_max=4, failures_max=1, rate=rate)
    nested = map_over(one_month, [1, 2, 3], name="nested", labels={"kind": "nested"})
    few = map_over(train.options(memory="2GiB", retry=2), scores.indexes, index_to="rate")
    return {"best": best(scores, scores.indexes), "nested": nested, "few": few}


@pipeline
def branched(limit: float = 0.5):
    score = train(1, limit)
    with when((score > limit) & ~(score == 1.0), name="choose"):
        good = report(f"good: {score}")
        with when(score > 0.9):
            very = report("very good")
    with otherwise(score > 0.1):
        fair = report("fair")
    with otherwise():
        poor = report("poor", after=score)
    return {"text": one_of(good, fair, poor), "very": very}


@pipeline
def looped(start: float = 0.0):
    tuned = loop_until(
        improve,
        lambda score, number: (score > 10) | (number >= 4),
        rounds_max=5,
        carry="score",
        round_to="attempt",
        exhausted="fail",
        score=start,
    )
    return {"score": tuned, "met": tuned.met, "rounds": tuned.rounds}


@pipeline
def ended():
    first = train(1, 0.1)
    second = train(2, first)
    finally_(tell, first, name="tell-first")
    finally_(tell, score=second)
    return second
