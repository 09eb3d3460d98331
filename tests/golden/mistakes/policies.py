from penstock import Resources, Retry, pipeline, task


@task(cpu=-1, memory="4 potatoes", timeout="soon", retry="often", priority="high", cache="yes", fresh=1)
def first(x: int = 0) -> str: ...


@task(resources=3, retry=Retry(0, backoff="x", factor=0.5, jitter=2, on=[3], oom_max=-1, lost_max=1.5), timeout=0)
def second(x: int = 0) -> int: ...


@task(resources={"licence": "one", "cpu": True}, memory=0)
def third(x: int = 0) -> int: ...


@pipeline
def policies():
    name = first()
    second()
    third()
    second.options(memory=name, timeout=name, resources=Resources(licence=name), retry=-1)()
