from penstock import pipeline, task


@task
def number() -> int:
    return 1


@task
def listed() -> list[int]:
    return [1]


@task
def take(x: int): ...


@pipeline
def known_too_late(flag: bool):
    n, items = number(), listed()
    if n > 3:
        take(1)
    if n and flag:
        take(2)
    while not flag:
        take(3)
    if 1 < n < 5:
        take(4)
    for item in items:
        take(item)
    for _ in range(n):
        take(5)
    if 3 in items:
        take(6)
    take(len(items))
    take(int(n))
    take(float(n) // 2)
    take(n // 2)
    take(n**2)
    take(round(n))
    take(items[1:2])
    take(f"{n:03d}")
    flag.state
