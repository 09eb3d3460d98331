"""Results that are not kept for what was seen while the task ran: which they are, and that the person is told."""

from __future__ import annotations

from typing import Any

JOBS = """
    import joblib
    import settings
    from penstock import pipeline, task

    def square(x):
        return x * x

    @task
    def squares(n: int) -> list[int]:
        return joblib.Parallel(n_jobs=2)(joblib.delayed(square)(x) for x in range(n))

    @task
    def rate() -> int:
        return settings.RATE

    @pipeline
    def jobs() -> list[int]:
        rate()
        return squares(3)
"""


def test_a_task_of_joblib_is_a_hit_although_its_file_imports_what_another_task_uses(project: Any) -> None:
    project.write("jobs.py", JOBS)
    project.write("settings.py", "RATE = 3")
    assert project.ran("jobs.py") == {"squares", "rate"}
    project.write("settings.py", "RATE = 4")
    assert project.ran("jobs.py") == {"rate"}
    project.write("jobs.py", JOBS.replace("x * x", "x + x"))
    assert project.ran("jobs.py") == {"squares"}


LATE = """
    from pydoc import locate
    from penstock import map_over, pipeline, task

    @task
    def call(name: str) -> int:
        return locate(name)(1)

    @task(cache=False)
    def never(name: str) -> int:
        return locate(name)(2)

    @task
    def unresolved(code: str) -> int:
        return eval(code) + locate("plugin.grow")(3)

    def nobody_calls_this() -> None:
        import plugin

    @pipeline
    def late() -> list[int]:
        never("plugin.grow")
        unresolved("1")
        return map_over(call, ["plugin.grow", "plugin.grow"])
"""
REASON = 'plugin:grow was called, not among the code that the task is known to use: name it in depends=["plugin"]'


def test_a_result_that_is_not_kept_is_reported_once_for_each_component(project: Any) -> None:
    """Not those that are never cached, nor those that are reported before the run."""
    project.write("plugin.py", "def grow(x):\n    return x + 1\n")
    project.write("late.py", LATE)
    told = project.call("run", "late.py").err
    line = f"warning: the results of 2 task runs of late:call are not kept in the cache: {REASON}"
    assert told.count("not kept in the cache") == 1 and line in told.splitlines()
    shown = project.call("show").out
    assert shown.count("not kept in the cache") == 1 and line in shown.splitlines()
    unkept = [{"component": "late:call", "task_runs": 2, "reason": REASON}]
    assert project.call("show", "--json").json["unkept"] == unkept
    assert project.call("run", "late.py", "--json").json["unkept"] == unkept
