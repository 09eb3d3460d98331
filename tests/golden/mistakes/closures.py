from functools import partial

from penstock import finally_, loop_until, map_over, pipeline, task


def made(offset):
    @task
    def inner(x: int) -> int:
        return x + offset

    return inner


class Holder:
    @task
    def method(self, x: int) -> int:
        return x


@task
class Thing: ...


@task
async def later(x: int) -> int:
    return x


@task
def stream(x: int):
    yield x


@task
async def async_stream(x: int):
    yield x


class Static:
    @task
    @staticmethod
    def inner(x: int) -> int:
        return x

    @staticmethod
    @task
    def outer(x: int) -> int:
        return x

    @classmethod
    @task
    def of_class(cls, x: int) -> int:
        return x


@task
def first(x: int) -> int:
    return x


old_first = first


@task
def first(x: int) -> int:  # noqa: F811
    return x + 1


def plain(x):
    return x


anonymous = task(lambda x: x)
shifted = made(3)


@pipeline
def closures():
    shifted(1)
    anonymous(1)
    Holder.method(None, 1)
    Thing()
    later(1)
    stream(1)
    old_first(1)
    map_over(lambda x: x, [1])
    map_over(plain, [1])
    loop_until(made, "x", rounds_max=1)
    finally_(3)
    task(print)(1)
    task(3)(1)
    async_stream(1)
    Static.inner(1)
    Static.outer(1)
    Static.of_class(1)
    task(partial(plain, 1))()
    map_over(partial(plain, 1), [1])


@pipeline
async def async_pipeline():
    plain(1)


@pipeline
def generator_pipeline():
    yield 1


@pipeline
class ClassPipeline: ...


class WithMethod:
    @pipeline
    def method_pipeline(self): ...


method_pipeline = WithMethod.method_pipeline
