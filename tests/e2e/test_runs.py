"""A run's life as its user sees it: run, look, stop, resume, again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SUMS = """
    from penstock import map_over, pipeline, task


    @task
    def numbers(count: int) -> list[int]:
        print(f"counting to {count}")
        return list(range(count))


    @task
    def square(number: int, plus: int = 0) -> int:
        return number * number + plus


    @task
    def total(squares: list[int]) -> int:
        print("adding", len(squares), "squares")
        return sum(squares)


    @pipeline
    def sums(count: int = 4, plus: int = 0) -> int:
        return total(map_over(square, numbers(count), plus=plus))
"""


def until(condition: Callable[[], object], *, within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def test_run_and_everything_that_reads_it(project) -> None:
    project.write("sums.py", SUMS)
    done = project.call("run", "sums.py", "-p", "count=5", "-p", "plus=1")
    assert (done.status, done.out) == (0, "output = 35\n")
    assert "total" in done.err
    assert "sums succeeded" in done.err

    shown = project.call("show", "latest", "--json").json
    assert set(shown) >= {"id", "pipeline", "state", "task_runs", "outputs"}
    assert (shown["pipeline"], shown["state"], shown["outputs"]) == ("sums", "succeeded", {"output": 35})
    assert shown["parameters"] == {"count": 5, "plus": 1}
    first = shown["task_runs"][0]
    assert set(first) >= {"path", "state", "origin", "cause", "attempts", "duration_ms"}
    assert {task["state"] for task in shown["task_runs"]} == {"succeeded"}
    made_of = shown["provenance"]
    assert {"target", "penstock", "python", "hardware", "seed"} <= set(made_of)

    runs = project.call("runs", "--json").json
    assert [run["id"] for run in runs] == [shown["id"]]
    assert shown["id"] in project.call("runs").out
    assert "35" in project.call("show", shown["id"][:9]).out

    logs = project.call("logs", "latest")
    assert "counting to 5" in logs.out
    assert "adding 5 squares" in logs.out
    assert project.call("logs", "latest", "total#1").out == "adding 5 squares\n"

    assert json.loads(project.call("get", "latest", "numbers").out) == [0, 1, 2, 3, 4]
    one = project.call("get", "latest", "square/3/square.output")
    assert one.status == 0, one.err + str([task["path"] for task in shown["task_runs"]])
    assert one.out == "10\n"
    assert project.call("get", "latest", "total", "-o", "there/total.json").status == 0
    assert json.loads((project.folder / "there" / "total.json").read_text()) == 35


def test_json_is_alone_on_standard_output(project) -> None:
    project.write("sums.py", SUMS)
    done = project.call("run", "sums.py", "--json")
    assert done.json["outputs"] == {"output": 14}
    assert done.json == project.call("show", "latest", "--json").json


def test_wrong_names_of_what_is_read_give_near_ones(project, golden) -> None:
    project.write("sums.py", SUMS)
    assert project.call("run", "sums.py").status == 0
    golden("no_such_run", project.call("show", "zzzz"))
    golden("no_such_task", project.call("get", "latest", "totl"))
    golden("no_such_output", project.call("get", "latest", "total.sum"))
    golden("no_such_log", project.call("logs", "latest", "totl"))


def test_graph(project, golden) -> None:
    project.write("sums.py", SUMS)
    golden("graph_text", project.call("graph", "sums.py"))
    golden("graph_mermaid", project.call("graph", "sums.py", "--format", "mermaid"))
    golden("graph_svg", project.call("graph", "sums.py", "--format", "svg"))
    done = project.call("graph", "sums.py", "--format", "json")
    assert done.json["root"]["name"] == "sums"
    assert {path.name for path in project.folder.iterdir()} == {"sums.py"}


def test_check(project) -> None:
    project.write("sums.py", SUMS)
    done = project.call("check", "sums.py")
    assert (done.status, done.out) == (0, "sums is valid: 4 nodes\n")
    assert project.call("check", "sums.py", "--json").json["valid"] is True
    assert {path.name for path in project.folder.iterdir()} == {"sums.py"}


def test_version(project) -> None:
    import penstock

    assert project.call("version", "--json").json["penstock"] == penstock.__version__
    assert penstock.__version__ in project.call("version").out


def test_a_target_whose_import_takes_long_is_named_while_it_lasts(project) -> None:
    slow = (
        "import time\ntime.sleep(0.8)\n"
        "from penstock import pipeline, task\n"
        "@task\ndef one() -> int:\n    return 1\n@pipeline\ndef p():\n    return one()\n"
    )
    project.write("slow.py", slow)
    for verb in ("check", "plan", "graph", "run"):
        done = project.call(verb, "slow.py")
        assert (done.status, done.importing) == (0, ("importing slow.py\n",)), verb
    assert project.call("run", "-q", "slow.py").importing == ()


def test_state_is_private_to_its_owner(project) -> None:
    project.write("sums.py", SUMS)
    assert project.call("run", "sums.py").status == 0
    state = project.folder / ".penstock"
    open_to_others = [str(path) for path in [state, *state.rglob("*")] if path.is_dir() and path.stat().st_mode & 0o077]
    assert state.stat().st_mode & 0o077 == 0, open_to_others


# -- failing, and again ------------------------------------------------------------------------------------------------

BREAKS = """
    from pathlib import Path

    from penstock import Retry, pipeline, task


    @task
    def first() -> int:
        with Path("first.txt").open("a") as file:
            file.write("x")
        return 1


    @task(retry=Retry(2, backoff=0.01))
    def breaks(one: int) -> int:
        print("about to divide")
        return one // 0


    @task
    def after(value: int) -> int:
        return value


    @pipeline
    def fragile() -> int:
        return after(breaks(first()))
"""


def test_a_failed_run_tells_why_and_retry_makes_a_new_one_from_the_code_on_disk(project, golden) -> None:
    project.write("fragile.py", BREAKS)
    done = project.call("run", "fragile.py")
    golden("failed_run", done)
    assert done.status == 1
    failed = project.call("show", "latest", "--json").json
    states = {task["path"]: (task["state"], task["cause"], task["attempts"]) for task in failed["task_runs"]}
    assert states["breaks"] == ("failed", "failed", 2)
    assert states["after"][:2] == ("skipped", "upstream_failed")

    project.write("fragile.py", BREAKS.replace("one // 0", "one // 1"))
    again = project.call("retry", "latest", "--json")
    assert again.status == 0, again.err
    assert again.json["retry_of"] == failed["id"] != again.json["id"]
    assert again.json["outputs"] == {"output": 1}

    nothing = project.call("retry", "latest")
    assert nothing.status == 0
    assert "succeeded already" in nothing.err
    assert len(project.call("runs", "--json").json) == 2


# -- stopping ----------------------------------------------------------------------------------------------------------

SLOW = """
    import os
    import time
    from pathlib import Path

    from penstock import finally_, pipeline, task


    @task
    def slow(seconds: float) -> int:
        Path("slow.pid").write_text(str(os.getpid()))
        try:
            time.sleep(seconds)
        finally:
            Path("cleaned").write_text("")
        return 1


    @task
    def stubborn() -> int:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("slow.pid").write_text(str(os.getpid()))
        while True:
            time.sleep(0.1)


    @task
    def after(one: int) -> int:
        Path("after").write_text("")
        return one


    @task
    def tidy() -> int:
        Path("tidied").write_text("")
        return 0


    @pipeline
    def slowly(seconds: float = 60.0) -> int:
        one = slow(seconds)
        finally_(tidy, one)
        return after(one)


    @pipeline
    def stubbornly() -> int:
        return after(stubborn())
"""


@pytest.mark.parametrize("is_terminal", [False, True], ids=["process", "terminal"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_cancels_gracefully(project, number: signal.Signals, is_terminal: bool) -> None:
    """A terminal sends Ctrl-C to every process in the foreground; workers leave it to the controller."""
    project.write("slow.py", SLOW)
    process = project.start("run", "slow.py:slowly", "--json")
    until(lambda: (project.folder / "slow.pid").exists())
    if is_terminal:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    shown = json.loads(out)
    assert shown["state"] == "cancelled"
    assert {task["path"]: task["state"] for task in shown["task_runs"]} == {
        "slow": "cancelled", "after": "cancelled", "tidy": "succeeded",
    }  # fmt: skip
    assert {"cleaned", "tidied"} <= {path.name for path in project.folder.iterdir()}


def test_the_second_ctrl_c_kills_at_once(project) -> None:
    project.write("slow.py", SLOW)
    process = project.start("run", "slow.py:stubbornly", "--json")
    until(lambda: (project.folder / "slow.pid").exists())
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.stderr is not None
    until(lambda: "stopping: waiting for" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert time.monotonic() - begun < 9, "the grace of ten seconds was not waited for"
    assert json.loads(out)["state"] == "cancelled"


def test_cancel_from_elsewhere(project) -> None:
    project.write("slow.py", SLOW)
    process = project.start("run", "slow.py:slowly")
    until(lambda: (project.folder / "slow.pid").exists())
    done = project.call("cancel", "latest")
    assert done.status == 0, done.err
    assert "cancelled" in done.err
    assert process.wait(timeout=30) == 3
    process.communicate()
    again = project.call("cancel", "latest")
    assert again.status == 0
    assert "had ended already" in again.err


def test_retry_of_a_live_run_is_refused(project) -> None:
    project.write("slow.py", SLOW)
    process = project.start("run", "slow.py:slowly")
    until(lambda: (project.folder / "slow.pid").exists())
    assert [run["state"] for run in project.call("runs", "--json").json] == ["running"]
    done = project.call("retry", "latest")
    assert done.status == 2
    assert f"process {process.pid}" in done.err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


# -- interrupted -------------------------------------------------------------------------------------------------------

STEPS = """
    import time
    from pathlib import Path

    from penstock import pipeline, task


    @task
    def first() -> int:
        with Path("first.txt").open("a") as file:
            file.write("x")
        return 1


    @task
    def second(one: int) -> int:
        Path("second").write_text("")
        while not Path("go").exists():
            time.sleep(0.01)
        return one + 1


    @pipeline
    def steps() -> int:
        return second(first())
"""


def interrupted(project) -> str:
    """A run killed with SIGKILL while its second task ran; answers its id."""
    project.write("steps.py", STEPS)
    process = project.start("run", "steps.py")
    until(lambda: (project.folder / "second").exists())
    process.kill()
    process.communicate()
    (run,) = project.call("runs", "--json").json
    assert run["state"] == "interrupted"
    return str(run["id"])


def test_retry_resumes_an_interrupted_run_with_its_own_code(project) -> None:
    run = interrupted(project)
    project.write("steps.py", STEPS.replace("one + 1", "one + 100"))
    (project.folder / "go").write_text("")
    done = project.call("retry", "latest", "--json")
    assert done.status == 0, done.err
    assert done.json["id"] == run
    assert done.json["outputs"] == {"output": 2}
    assert (project.folder / "first.txt").read_text() == "x", "what was committed is not run again"


def test_the_next_run_resumes_an_interrupted_one_alongside(project) -> None:
    run = interrupted(project)
    (project.folder / "go").write_text("")
    project.write("sums.py", SUMS)
    done = project.call("run", "sums.py")
    assert (done.status, done.out) == (0, "output = 14\n")
    assert f"run {run} of steps was interrupted: resumed alongside" in done.err
    assert {r["pipeline"]: r["state"] for r in project.call("runs", "--json").json} == {
        "sums": "succeeded", "steps": "succeeded",
    }  # fmt: skip


def test_an_interrupted_run_can_be_cancelled(project) -> None:
    run = interrupted(project)
    done = project.call("cancel", run)
    assert done.status == 0, done.err
    assert project.call("show", run, "--json").json["state"] == "cancelled"


def test_editing_a_file_during_a_run_changes_nothing_in_it(project) -> None:
    project.write(
        "steps.py", STEPS + "\n\n    @pipeline\n    def longer() -> int:\n        return second(second(first()))\n"
    )
    process = project.start("run", "steps.py:longer")
    until(lambda: (project.folder / "second").exists())
    project.write("steps.py", "raise RuntimeError('edited')\n")
    (project.folder / "go").write_text("")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "output = 3\n"), err


# -- from Python -------------------------------------------------------------------------------------------------------


def test_run_from_a_script(project) -> None:
    project.write(
        "script.py",
        SUMS
        + """

    if __name__ == "__main__":
        result = sums.run(count=3)
        print(result.state, result.outputs.output, result.outputs["output"], dict(result.outputs))
""",
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.stdout == "succeeded 5 5 {'output': 5}\n", done.stderr


BAD = """
    from penstock import RunFailed, pipeline, task


    class Refused(Exception):
        pass


    @task
    def first(n: int) -> int:
        return n


    @task
    def divide(n: int, by: int) -> float:
        if by < 0:
            raise Refused("no negative ones")
        return {1: n / by}[by]


    @pipeline
    def bad(by: int = 0, check: bool = True):
        return {"n": first(4), "by": divide(first(4), by)}
"""


def test_a_script_whose_run_fails_ends_with_the_tasks_own_exception(project) -> None:
    project.write("pyproject.toml", "")
    project.write(
        "bad.py", BAD + '\n\n    if __name__ == "__main__":\n        bad.run()\n        print("not reached")\n'
    )
    done = subprocess.run(
        [sys.executable, "bad.py"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[:3] == ["ZeroDivisionError: division by zero", "in task run divide", "  bad.py:17 in divide"]
    assert "  given:" in lines and "    by = 0" in lines
    assert sum(line.startswith("  File ") for line in lines) == 2, "the script's line, and one of ours"
    assert re.match(
        r"penstock.RunFailed: run \w+ of bad failed: divide failed: ZeroDivisionError: division by z", lines[-2]
    )
    assert "penstock logs" in lines[-1]


MANY = """
    from penstock import RunFailed, map_over, pipeline, task


    @task
    def f(x: int) -> int:
        if x > 1:
            raise ValueError(f"{x} is bad")
        return x


    @task
    def late(x: int) -> int:
        raise KeyError(x)


    @task
    def broken(x: list[int]) -> int:
        raise ExceptionGroup("several", [ValueError("no rows"), ExceptionGroup("inner", [TypeError("no type")])])


    @pipeline
    def inner(x: int) -> int:
        return f(x)


    @pipeline
    def many():
        return {"z": late(1), "a": map_over(inner, list(range(12)))}


    @pipeline
    def tolerant():
        return broken(map_over(f, [1, 2], failures_max=1))


    if __name__ == "__main__":
        for each in (many, tolerant):
            try:
                each.run()
            except RunFailed as error:
                print(str(error).splitlines()[0].partition(" failed: ")[2], "|", repr(error.__cause__))
                print(error.__cause__.__notes__[0].splitlines()[0])
"""


GROUP = "ExceptionGroup: several (2 sub-exceptions): ValueError: no rows; TypeError: no type"


def test_a_run_is_caused_by_the_first_task_run_that_failed_at_any_depth(project) -> None:
    project.write("pyproject.toml", "")
    project.write("many.py", MANY)
    done = subprocess.run(
        [sys.executable, "many.py"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "late failed: KeyError: 1, and 10 more task runs failed | KeyError(1)",
        "in task run late",
        f"broken failed: {GROUP}, and 1 more task run failed | TaskFailed({GROUP!r})",
        "in task run broken",
    ], done.stderr
    project.write("many.py", MANY.replace('"z": late(1), ', ""))
    done = subprocess.run(
        [sys.executable, "many.py"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    first = "inner/2/f failed: ValueError: 2 is bad, and 9 more task runs failed | ValueError('2 is bad')"
    assert done.stdout.splitlines()[0] == first, done.stderr
    assert "TypeError: no type" in project.call("show", "latest").out
    assert "TypeError: no type" in project.call("why", "latest", "broken").out


def test_what_failed_can_be_looked_at_and_caught(project) -> None:
    project.write("pyproject.toml", "")
    look = """

    if __name__ == "__main__":
        for by in (-1, 2):
            try:
                bad.run(by=by)
            except RunFailed as error:
                print(error.state, error.result.state, repr(error.__cause__))
        try:
            bad.run(by=1, check=False)
        except Exception as error:
            print(type(error).__name__, error)
        bad.function.__annotations__.pop("check")
        result = bad.run(check=False)
        print(result.state, result.outputs.n, dict(result.outputs), result.outputs)
        try:
            result.outputs.by
        except AttributeError as error:
            print(error)
"""
    project.write("bad.py", BAD + look)
    done = subprocess.run(
        [sys.executable, "bad.py"], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "failed failed Refused('no negative ones')",
        "failed failed KeyError(2)",
        "InvalidInput 'bad' has a parameter `check`, which `run` has as well",
        '  Give the parameter in a mapping: bad.run({"check": ...}).',
        "failed 4 {'n': 4} Outputs(of a run that is failed: n=4)",
        "the run is failed: it has no output 'by'; it has: n",
    ]


def test_a_script_that_runs_its_pipeline_when_imported_is_told_so(project) -> None:
    project.write("script.py", SUMS + "\n\n    sums.run(count=3)\n")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert '__name__ == "__main__"' in done.stderr


def test_first_run_is_where_the_project_is(project) -> None:
    project.write("pyproject.toml", "")
    project.write("deep/er/sums.py", SUMS)
    (project.folder / "deep" / "er").mkdir(exist_ok=True)
    done = project.call("run", "deep/er/sums.py")
    assert done.status == 0, done.err
    assert (project.folder / ".penstock" / "state.db").exists()
    assert not (project.folder / "deep" / "er" / ".penstock").exists()
    assert os.listdir(project.folder / "deep" / "er") == ["sums.py"]
    assert Path(project.folder / ".penstock" / ".gitignore").read_text() == "*\n"


def test_run_from_a_notebook(project) -> None:
    """Cells as a notebook has them: compiled one by one, their source known to `linecache` only, in a `__main__`
    without a file."""
    cells = [
        "from penstock import pipeline, task\nimport math\nfactor = 3",
        "@task\ndef grow(x: int) -> float:\n    return math.sqrt(x) * factor",
        "@pipeline\ndef growing(x: int = 16) -> float:\n    return grow(x)",
        "result = growing.run(x=25)\nprint(result.state, result.outputs.output)\nfactor = 4\nprint(growing.run().outputs.output)",
    ]
    notebook = (
        "import linecache, __main__\n"
        f"for number, text in enumerate({cells!r}):\n"
        "    name = f'<cell {number}>'\n"
        "    linecache.cache[name] = (len(text), None, text.splitlines(True), name)\n"
        "    exec(compile(text, name, 'exec'), __main__.__dict__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", notebook], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.stdout == "succeeded 15.0\n16.0\n", done.stderr


def test_a_log_is_followed_while_it_is_printed(project) -> None:
    project.write(
        "talks.py",
        """
        import time
        from pathlib import Path

        from penstock import pipeline, task


        @task
        def talk() -> int:
            print("before")
            while not Path("go").exists():
                time.sleep(0.01)
            print("after")
            return 1


        @pipeline
        def talks() -> int:
            return talk()
        """,
    )
    process = project.start("run", "talks.py")
    until(lambda: (project.folder / ".penstock" / "state.db").exists() and project.call("runs", "--json").json)
    following = project.start("logs", "latest", "talk#1", "-f")
    assert following.stdout is not None
    assert following.stdout.readline() == "before\n"
    (project.folder / "go").write_text("")
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out) == (0, "after\n"), err
    assert process.communicate(timeout=30)[0] == "output = 1\n"


TIMED = """
    import time
    from penstock import pipeline, task


    @task
    def slow(number: int) -> int:
        time.sleep(0.7)
        return number


    @task
    def add(one: int, two: int) -> int:
        return one + two


    @pipeline
    def timed() -> int:
        return add(slow(1, name="one"), slow(2, name="two"))
"""


def test_where_the_time_went(project) -> None:
    project.write("timed.py", TIMED)
    done = project.call("run", "timed.py", PENSTOCK_CPU="1")
    assert done.status == 0, done.err
    assert "  slowest\n" in done.err
    assert re.search(r"\n    for cpu: (one|two), [\d.]+ m?s\n", done.err), done.err
    told = project.call("show", "latest")
    assert "\nslowest\n" in told.out
    assert re.search(r"\ncritical path: [\d.]+ m?s of [\d.]+ s\n  (one|two) ", told.out), told.out
    summary = project.call("show", "latest", "--json").json["summary"]
    assert {each["path"] for each in summary["slowest"]} == {"one", "two", "add"}
    # On a busy machine the first one waits for its worker to start as well.
    assert "cpu" in {each["resource"] for each in summary["waits"]} <= {"cpu", "other"}
    assert summary["critical_path"]["task_runs"][-1]["path"] == "add"
    again = project.call("run", "timed.py", "--json", PENSTOCK_CPU="1")
    assert again.json["summary"]["hits"]["count"] == 3
    assert again.json["summary"]["hits"]["saved_ms"] > 1_300
