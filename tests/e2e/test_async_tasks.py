"""Tasks that are `async`: run to their end, stopped in time, their clean-up heard."""

from __future__ import annotations

ASYNC = """
    import asyncio

    from penstock import context, pipeline, task


    @task
    async def count(n: int) -> int:
        await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(n)))
        context().log_metric("counted", n)
        return n


    @task(timeout=0.5)
    async def endless() -> int:
        try:
            await asyncio.sleep(600)
        finally:
            print("closed the connection")


    @task
    async def wrong() -> int:
        await asyncio.wait_for(missing(), 5)


    async def missing() -> None:
        raise LookupError("no such page")


    @pipeline
    def fetching():
        return {"counted": count(3), "endless": endless(), "wrong": wrong()}
"""


def test_async_tasks_end_time_out_and_fail_as_others_do(project) -> None:
    project.write("fetching.py", ASYNC)
    done = project.call("run", "fetching.py", "--json")
    assert done.status == 1
    cause_by_path = {task["path"]: task["cause"] for task in done.json["task_runs"]}
    assert done.json["outputs"] == {"counted": 3}
    assert cause_by_path["endless"] == "timed_out"
    assert cause_by_path["wrong"] == "failed"
    assert "closed the connection" in project.call("logs", "latest", "endless").out
    told = project.call("logs", "latest", "wrong").out + done.err
    assert "no such page" in told
    assert "penstock/launcher" not in told
