"""What runs teach of memory: the next one starts with what worked, packs by what was measured; who asks for too much is told."""

from __future__ import annotations

from typing import Any

HUNGRY = """
    import time
    from penstock import pipeline, task


    @task(memory="MEMORY")
    def fit(size: int) -> int:
        held = bytearray(size)
        for position in range(0, size, 4096):
            held[position] = 1
        time.sleep(0.6)
        return len(held)


    @task
    def plain() -> int:
        held = bytearray(100_000_000)
        for position in range(0, len(held), 4096):
            held[position] = 1
        time.sleep(0.6)
        return len(held)


    @pipeline
    def hungry(size: int = 400_000_000):
        return fit(size), plain()
"""


def attempts(done: Any) -> int:
    assert done.status == 0, done.err
    return next(task["attempts"] for task in done.json["task_runs"] if task["path"] == "fit")


def test_memory_is_predicted_from_peaks_and_asking_for_too_much_is_shown(project: Any) -> None:
    project.write("hungry.py", HUNGRY.replace("MEMORY", "3GiB"))
    before = {
        task["path"]: task["memory_bytes"] for task in project.call("plan", "hungry.py", "--json").json["task_runs"]
    }
    assert before == {"fit": 3 << 30, "plain": None}
    assert attempts(project.call("run", "hungry.py", "--json")) == 1
    plan = project.call("plan", "hungry.py", "-p", "size=1000", "--json").json
    after = {task["path"]: task["memory_bytes"] for task in plan["task_runs"]}
    assert 480_000_000 < after["fit"] < 800_000_000, "the peak and a fifth more"
    assert after["plain"] is None or 120_000_000 < after["plain"] < 400_000_000
    (told,) = plan["over_asked"]
    assert (told["component"], told["memory_bytes_asked"], told["runs"]) == ("hungry:fit", 3 << 30, 1)
    line = "fit asked for 3.0 GiB and used at most "
    assert line in project.call("plan", "hungry.py").out
    assert line in project.call("show", "latest").out


def test_what_worked_after_want_of_memory_is_what_the_next_run_starts_with(project: Any) -> None:
    project.write("hungry.py", HUNGRY.replace("MEMORY", "300MiB"))
    assert attempts(project.call("run", "hungry.py", "--json")) == 2
    assert attempts(project.call("run", "hungry.py", "--json", "--no-cache")) == 1
    # Declaring more is believed; what was learned is no reason to tell anybody that they ask for too much.
    plan = project.call("plan", "hungry.py", "-p", "size=400000001", "--json").json
    assert plan["over_asked"] == []
