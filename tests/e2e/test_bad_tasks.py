"""Tasks that misbehave: what the user is told, and that nothing of them stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "import os, subprocess, sys, threading, time\nfrom penstock import *\n"


def one_task(project, body: str, *, returns: str = "int", options: str = "") -> None:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    project.write(
        "tasks.py",
        HEAD
        + f"\n\n@task{options}\ndef misbehave() -> {returns}:\n{lines}\n"
        + f"\n\n@pipeline\ndef bad() -> {returns}:\n    return misbehave()\n",
    )


def test_raises(project, golden) -> None:
    one_task(project, "print('looking')\nrows = {}\nreturn rows['missing']")
    done = project.call("run", "tasks.py")
    golden("task_raises", done)
    assert done.status == 1
    assert "site-packages" not in done.err
    assert "penstock/" not in done.err


def test_returns_the_wrong_type(project, golden) -> None:
    one_task(project, "return 'seven'")
    done = project.call("run", "tasks.py")
    golden("task_returns_wrong_type", done)
    assert done.status == 1


def test_exits_without_a_word(project, golden) -> None:
    one_task(project, "print('last words', flush=True)\nos._exit(3)", options="(retry=Retry(1, lost_max=2))")
    done = project.call("run", "tasks.py")
    golden("task_exits", done)
    assert done.status == 1


def test_exits_by_sys_exit(project) -> None:
    one_task(project, "sys.exit('enough')")
    done = project.call("run", "tasks.py")
    assert done.status == 1
    assert "SystemExit" in done.err
    assert "enough" in done.err


def test_prints_a_hundred_megabytes(project) -> None:
    one_task(project, "line = 'x' * 99\nfor _ in range(1_000_000):\n    print(line)\nreturn 1")
    done = project.call("run", "tasks.py")
    assert (done.status, done.out) == (0, "output = 1\n")
    size = 0
    process = project.start("logs", "latest", "misbehave")
    assert process.stdout is not None
    peak = 0
    while piece := process.stdout.read(1 << 20):
        size += len(piece)
        peak = max(peak, _peak_kib(process.pid) or peak)
    process.communicate()
    assert process.returncode == 0
    assert 100_000_000 <= size <= 100_000_100
    assert peak < 80_000, "logs are passed on, not loaded"


def _peak_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def test_forks_and_both_return(project) -> None:
    one_task(project, "pid = os.fork()\nprint('parent' if pid else 'child', flush=True)\nreturn 1 if pid else 2")
    done = project.call("run", "tasks.py", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"output": 1}
    assert [task["attempts"] for task in done.json["task_runs"]] == [1]


def test_leaves_children_and_threads_behind(project) -> None:
    one_task(
        project,
        "subprocess.Popen(['sleep', '1000'])\n"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "return 1",
    )
    done = project.call("run", "tasks.py")
    assert (done.status, done.out) == (0, "output = 1\n")
    # The fixture looks for processes that were left.


def test_changes_what_the_next_task_finds(project) -> None:
    project.write(
        "tasks.py",
        HEAD
        + """

@task
def spoil() -> int:
    os.chdir("/")
    os.environ["SPOILED"] = "yes"
    sys.argv.append("spoiled")
    return 1


@task
def look(after: int) -> dict:
    return {"here": os.getcwd() == "/", "spoiled": "SPOILED" in os.environ}


@pipeline
def bad() -> dict:
    return look(spoil())
""",
    )
    done = project.call("run", "tasks.py", "--json", PENSTOCK_CPU="1")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"output": {"here": False, "spoiled": False}}


def small_disk(project) -> list[str]:
    """A command prefix that runs a shell with a file system of 24 MiB mounted at PROJECT/.penstock."""
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    inside = ["unshare", "--mount", "--map-root-user", "--user"] if os.geteuid() else ["unshare", "--mount"]
    state = project.folder / ".penstock"
    state.mkdir(mode=0o700)
    probe = [*inside, "sh", "-c", f"mount -t tmpfs -o size=24m,mode=700 tmpfs {state}"]
    if subprocess.run(probe, capture_output=True).returncode:
        if os.environ.get("PENSTOCK_TEST_REQUIRE_ALL"):
            pytest.fail("this machine does not let a test mount a tmpfs")
        pytest.skip("this machine does not let a test mount a tmpfs")
    return [*inside, "sh", "-c", f'mount -t tmpfs -o size=24m,mode=700 tmpfs {state} && exec "$@"', "sh"]


def test_fills_its_disk(project) -> None:
    """The author is told that the disk is full, whoever met it first; the next run goes on."""
    one_task(
        project,
        "with open(context().scratch / 'much', 'wb') as file:\n"
        "    while True:\n"
        "        file.write(bytes(1 << 20))\n"
        "return 1",
    )
    project.write(
        "fine.py",
        HEAD + "\n\n@task\ndef one() -> int:\n    return 1\n\n\n@pipeline\ndef fine() -> int:\n    return one()\n",
    )
    prefix = small_disk(project)
    program = f"{sys.executable} -m penstock.cli.main"
    # Where the database, too, had no room for a moment, the run is interrupted: it is not to be resumed alongside.
    script = f"{program} run tasks.py; echo first $?; {program} cancel latest; {program} run fine.py; echo second $?"
    done = subprocess.run(
        [*prefix, "sh", "-c", script],
        cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert "first 1" in done.stdout, done.stderr + done.stdout
    assert "second 0" in done.stdout, done.stderr + done.stdout
    assert "No space left on device" in done.stderr or "its disk is full" in done.stderr
    assert "a defect of Penstock" not in done.stderr
