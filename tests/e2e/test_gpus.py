"""GPUs through the whole program, with devices that are not there (`testing.gpus`)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import combinations
from typing import Any

from penstock.testing.gpus import VARIABLE

TRAIN = """
    import os
    import time
    from penstock import map_over, pipeline, task
    from penstock.testing.gpus import allocate


    @task(gpu=SHARE, cpu=0.1)
    def fit(number: int) -> list[float]:
        device = allocate(TAKEN << 30, percent=30.0)
        begun = time.monotonic()
        time.sleep(0.5)
        return [float(device[-1]), begun, time.monotonic()]


    @task(cpu=0.1)
    def plain() -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]


    @pipeline
    def train():
        return map_over(fit, [0, 1, 2, 3]), plain()
"""


def environment(project: Any) -> dict[str, str]:
    """Two devices of 8 GiB, and a ledger of the test's own."""
    for name in ("devices", "runtime"):
        (project.folder / name).mkdir(mode=0o700, exist_ok=True)
    return {VARIABLE: f"2x8GiB:{project.folder}/devices", "XDG_RUNTIME_DIR": str(project.folder / "runtime")}


def at_once(times: list[list[float]]) -> int:
    """How many attempts were at work on one device at a time, at most."""
    overlaps = [sum(other[0] == one[0] and other[1] <= one[1] < other[2] for other in times) for one in times]
    return max(overlaps)


def outputs(done: Any) -> list[Any]:
    assert done.status == 0, done.err
    return list(done.json["outputs"].values())


def test_tasks_share_devices_as_they_ask(project: Any) -> None:
    project.write("whole.py", TRAIN.replace("SHARE", "1").replace("TAKEN", "5"))
    times, plain = outputs(project.call("run", "whole.py", "--json", **environment(project)))
    assert plain == "", "who has not asked for a GPU sees none"
    assert {device for device, _, _ in times} == {0.0, 1.0}
    assert at_once(times) == 1
    shown = project.call("show", "latest", "--json", **environment(project)).json
    fits = [task for task in shown["task_runs"] if task["component"].endswith(":fit")]
    assert {task["gpu_memory_bytes_peak"] for task in fits} == {5 << 30}
    assert all(0 < task["gpu_percent_mean"] <= 30.0 for task in fits), "it is the mean of an attempt's whole time"

    project.write("half.py", TRAIN.replace("SHARE", '{"memory": "4GiB"}').replace("TAKEN", "4"))
    times, _ = outputs(project.call("run", "half.py", "--json", **environment(project)))
    assert at_once(times) <= 2


def test_two_controllers_never_share_a_device_beyond_what_it_has(project: Any) -> None:
    """Where they did, `allocate` would run out of memory, and a task fail."""
    project.write("one/train.py", TRAIN.replace("SHARE", "1").replace("TAKEN", "5"))
    project.write("two/train.py", TRAIN.replace("SHARE", "0.7").replace("TAKEN", "5"))
    for name in ("one", "two"):
        project.write(f"{name}/pyproject.toml", "[tool.penstock]\n")
    started = [project.start("run", f"{name}/train.py", "--json", **environment(project)) for name in ("one", "two")]
    times: list[list[float]] = []
    for process in started:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        fits, _ = json.loads(out)["outputs"].values()
        times += fits
    assert len(times) == 8
    assert at_once(times) == 1
    assert all(one[0] != other[0] or one[2] <= other[1] or other[2] <= one[1] for one, other in combinations(times, 2))


def test_more_than_the_machine_has_is_refused_before_anything_runs(project: Any) -> None:
    project.write("many.py", TRAIN.replace("SHARE", '{"count": 2, "memory": "9GiB"}').replace("TAKEN", "1"))
    done = project.call("run", "many.py", **environment(project))
    assert done.status == 2
    assert "2 gpu with 9.0 GiB memory each, the largest there is: 1 with 8.0 GiB" in done.err
    assert not (project.folder / ".penstock" / "state.db").exists()
    without = project.call("run", "many.py", PENSTOCK_GPUS="off", **environment(project))
    assert "there is no GPU" in without.err


def test_a_stopped_process_that_holds_the_ledgers_lock_is_named_and_ctrl_c_works(project: Any) -> None:
    project.write(
        "plain.py",
        TRAIN.replace("@task(gpu=SHARE, cpu=0.1)", "@task").replace("allocate(TAKEN << 30, percent=30.0)", "'0'"),
    )
    project.write("whole.py", TRAIN.replace("SHARE", "1").replace("TAKEN", "5"))
    variables = environment(project)
    ledger = project.folder / "runtime" / "penstock" / "ledger.json"
    ledger.parent.mkdir(mode=0o700)
    ledger.touch()
    program = f"import fcntl; file = open({str(ledger)!r}); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    try:
        holder.send_signal(signal.SIGSTOP)
        assert project.call("run", "plain.py", **variables).status == 0
        run = project.start("run", "whole.py", **variables)
        said = ""
        for line in run.stderr:
            said += line
            if f"process {holder.pid}, which is stopped, holds the lock of" in line:
                break
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 3, said + err
    finally:
        holder.kill()
        holder.communicate()
