"""A failure as a person meets it, and the same task again, alone: on the same inputs, with the code of then or of now, in a
debugger, at a prompt."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import Any

import pytest

SCORES = """
    import os
    import signal
    import time
    from penstock import Skip, context, map_over, pipeline, task


    @task
    def numbers(n: int) -> list[int]:
        return list(range(n))


    def weigh(number, factor):
        # the odd ones are odd
        if number % 2:
            raise ValueError(f"bad number {number}")
        return number * factor


    @task
    def score(number: int, factor: float) -> float:
        print("scoring", number)
        return weigh(number, factor)


    @task
    def total(scores: list[float]) -> float:
        return sum(scores)


    @task(cache=False)
    def clock() -> int:
        return time.monotonic_ns()


    @task
    def dies() -> int:
        os.kill(os.getpid(), signal.SIGKILL)


    @task
    def nothing() -> int:
        raise Skip("nothing to do")


    @pipeline
    def scores(n: int = 6) -> float:
        clock(name="clock")
        dies(name="dies")
        nothing(name="nothing")
        return total(map_over(score, numbers(n), factor=0.5))
"""


@pytest.fixture
def failed(project: Any) -> Any:
    """A project with a run of which half the items have failed."""
    project.write("scores.py", SCORES)
    done = project.call("run", "scores.py")
    assert done.status == 1
    project.told = done.err
    return project


def test_a_failure_tells_the_authors_lines_and_how_to_repeat_it(failed: Any) -> None:
    lines = failed.told.splitlines()
    at = next(index for index, line in enumerate(lines) if "failed: ValueError" in line)
    path = lines[at].split()[0]
    number = path.split("/")[1]
    run = failed.call("show", "--json").json["id"]
    assert lines[at + 1 : at + 19] == [
        "    scores.py:22 in score",
        "      19 │ @task",
        "      20 │ def score(number: int, factor: float) -> float:",
        '      21 │     print("scoring", number)',
        "    > 22 │     return weigh(number, factor)",
        "    scores.py:15 in weigh",
        "      12 │ def weigh(number, factor):",
        "      13 │     # the odd ones are odd",
        "      14 │     if number % 2:",
        '    > 15 │         raise ValueError(f"bad number {number}")',
        "      16 │     return number * factor",
        "    given:",
        f"      number = {number}",
        "      factor = 0.5",
        "    the last lines that it printed:",
        f"      scoring {number}",
        f"    again, alone: penstock repro {run} {path}",
        lines[at + 18],
    ]
    assert failed.told.count("bad number") == 2, "the message, and the line that makes it"
    assert "3 items failed alike (3 messages): score/1/score, score/3/score, " in failed.told
    # The command is the one to give.
    done = failed.call("repro", run, path)
    assert done.status == 0
    assert done.out == f"scoring {number}\n"
    assert f"reproduced: ValueError: bad number {number}" in done.err
    assert "    > 15 │" in done.err


def test_repeating_says_whether_it_ended_as_in_the_run(failed: Any) -> None:
    before = failed.call("runs", "--json").json
    done = failed.call("repro", "latest", "score/2/score", "--json")
    assert (done.status, done.json["outcome"], done.json["reproduced"]) == (0, "succeeded", True), done.err
    done = failed.call("repro", "latest", "clock")
    assert done.status == 1 and "not reproduced: it succeeded" in done.err and "with other outputs" in done.err
    done = failed.call("repro", "latest", "dies")
    assert done.status == 0 and "reproduced: lost: the process was killed by SIGKILL" in done.err
    assert failed.call("repro", "latest", "nothing").status == 0
    assert failed.call("runs", "--json").json == before, "the run is what it was"


def test_pinned_code_repeats_and_current_code_shows_whether_it_is_mended(failed: Any) -> None:
    mended = SCORES.replace("if number % 2:", "if number < 0:").replace(
        "factor: float) ->", "factor: float, more: int = 1) ->"
    )
    failed.write("scores.py", mended)
    done = failed.call("repro", "latest", "score/3/score")
    assert done.status == 0 and "reproduced: ValueError: bad number 3" in done.err
    assert "scores.py changed since: this is the code of the run; --code current runs what is on disk" in done.err
    assert "    > 15 │" in done.err and "if number % 2:" in done.err, "the source that ran is shown"
    done = failed.call("repro", "latest", "score/3/score", "--code", "current")
    assert done.status == 0
    assert (
        "fixed: with the code on disk it succeeded" in done.err and "in the run: ValueError: bad number 3" in done.err
    )
    assert "penstock retry" in done.err
    # A hit of a later run is repeated as well.
    failed.write("scores.py", SCORES)
    assert failed.call("run", "scores.py").status == 1
    assert failed.call("repro", "latest", "numbers").status == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("score",), "score holds a graph\n  Name a task in it, such as score/1/score."),
        (("scores",), "has no task run 'scores'"),
        (("total",), "total was given nothing in run"),
        (("clock", "--pdb", "--shell"), "--pdb and --shell exclude each other"),
        (("clock", "--code", "old"), "Invalid value"),
    ],
)
def test_what_cannot_be_repeated(failed: Any, words: tuple[str, ...], says: str) -> None:
    done = failed.call("repro", "latest", *words)
    assert done.status == 2, done.err
    assert says in done.err


# -- a person in the middle of it --------------------------------------------------------------------------------------


def typed(project: Any, *arguments: str, text: str) -> tuple[int, str]:
    """Run the program on a terminal and type: its exit status, and what was on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [os.sys.executable, "-m", "penstock.cli.main", *arguments],  # type: ignore[attr-defined]
        cwd=project.folder,
        env={**project.environment, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, text.encode())
    screen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                screen += os.read(ours, 65536)
            except OSError:  # nobody has the terminal open any more
                break
        elif process.poll() is not None:
            break
    os.close(ours)
    return process.wait(10), screen.decode().replace("\r\n", "\n")


def test_a_debugger_stands_where_the_author_is(failed: Any) -> None:
    status, screen = typed(
        failed, "repro", "latest", "score/1/score", "--pdb", text="p number * 1000\nup\np factor\nq\n"
    )
    assert status == 0, screen
    assert "scores.py(15)weigh()" in screen and "(Pdb) " in screen
    assert "\n1000\n" in screen
    assert "scores.py(22)score()" in screen and "\n0.5\n" in screen
    assert "reproduced: ValueError: bad number 1" in screen


def test_a_debugger_stands_above_the_library_that_raised(project: Any) -> None:
    project.write(
        "parsing.py",
        """
        import json
        from penstock import pipeline, task

        @task
        def parse(text: str) -> int:
            wanted = 3
            return json.loads(text)

        @pipeline
        def parsing(text: str = "[1") -> int:
            return parse(text)
        """,
    )
    done = project.call("run", "parsing.py")
    assert done.status == 1
    assert "calls further down, in JSONDecoder." in done.err and "(json/decoder.py:" in done.err
    status, screen = typed(project, "repro", "latest", "parse", "--pdb", text="p wanted\nq\n")
    assert status == 0 and "\n3\n" in screen, screen


def test_a_prompt_has_the_inputs_and_the_task(failed: Any) -> None:
    status, screen = typed(
        failed, "repro", "latest", "score/5/score", "--shell", text="number, factor\ntask(4, factor)\nweigh(6, 1)\n\x04"
    )
    assert status == 0, screen
    assert "inputs: number, factor" in screen
    assert "\n(5, 0.5)\n" in screen and "\n2.0\n" in screen and "\n6\n" in screen


def test_a_checkpoint_is_gone_on_from_and_stays(project: Any) -> None:
    project.write(
        "counting.py",
        """
        from penstock import context, pipeline, task

        @task
        def count() -> int:
            saved = context().checkpoint / "count"
            done = int(saved.read_text()) if saved.exists() else 0
            print("begins at", done)
            saved.write_text(str(done + 1))
            raise ValueError("stop")

        @pipeline
        def counting() -> int:
            return count()
        """,
    )
    assert project.call("run", "counting.py").status == 1
    for _ in range(2):
        done = project.call("repro", "latest", "count")
        assert (done.status, done.out) == (0, "begins at 1\n"), done.err
        assert "goes on from a copy of its checkpoint" in done.err
