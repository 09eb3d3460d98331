"""What tasks log, as a person sees it: metrics, figures, tables and how far they are, of the task itself and of hits of it."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import pytest

LOGGED = """
    from pathlib import Path
    from penstock import context, map_over, pipeline, task


    @task
    def fit(depth: int) -> int:
        here = context()
        for epoch in here.track(range(3), text="epochs"):
            here.log_metric("loss", 1 / (epoch + 1), step=epoch)
            here.report(epoch, epoch * 10)
        image = here.scratch / "map.svg"
        image.write_text(f"<svg>{depth}</svg>")
        here.log_figure("map", image)
        here.log_table("rows", [{"a": 1, "b": "x"}, {"a": depth, "b": None}])
        return depth


    @pipeline
    def logged(depth: int = 1, deeper: int = 2) -> list[int]:
        return map_over(fit, [depth, deeper])
"""


@pytest.fixture
def logged(project: Any) -> Any:
    project.write("logged.py", LOGGED)
    done = project.call("run", "logged.py")
    assert done.status == 0, done.err
    return project


def test_what_a_task_logged_is_listed_and_written_out(logged: Any) -> None:
    shown = logged.call("show").out
    assert (
        "  fit/0/fit: figure map (svg)\n  fit/0/fit: table rows (list of 2 rows)\n  fit/1/fit: figure map (svg)"
        in shown
    )
    one = logged.call("show", "latest", "fit/1/fit")
    assert "loss = 0.333333 at 2 (3 of them, 0.333333 to 1)\n  objective = 20 at 2 (3 of them, 0 to 20)" in one.out
    assert "it said: 3 of 3 epochs" in one.out
    assert "figures\n  map (svg)\n" in one.out and "tables\n  rows (list of 2 rows)\n" in one.out
    assert logged.call("show", "latest", "fit/1/fit", "--json").json["metrics"]["loss"]["count"] == 3

    get = ("get", "latest", "fit/1/fit")
    assert logged.call(*get, "--figure", "map", "-o", "map.svg").status == 0
    assert (logged.folder / "map.svg").read_text() == "<svg>2</svg>"
    assert logged.call(*get, "--figure", "map", "-o", "folder").status == 0
    assert (logged.folder / "folder" / "figure.svg").read_text() == "<svg>2</svg>"
    assert logged.call(*get, "--table", "rows", "-o", "rows.csv").status == 0
    assert (logged.folder / "rows.csv").read_text() == "a,b\n1,x\n2,\n"
    assert logged.call(*get, "--table", "rows", "--json").json["value"]["metadata"]["rows"] == 2

    for words, says in (
        (("--figure", "map", "-o", "map.svg"), "map.svg exists already"),
        (("--figure", "map", "-o", "map.png"), "the figure is not kept as .png\n  It is kept as .svg"),
        (("--figure", "curve"), "fit/1/fit has no figure 'curve'; it has: map"),
        (("--table", "rows", "--figure", "map"), "exclude each other"),
    ):
        done = logged.call(*get, *words)
        assert done.status == 2 and says in done.err, done.err


def test_a_hit_shows_what_the_attempt_logged_that_made_its_entry(logged: Any) -> None:
    first = logged.call("show", "--json").json["id"]
    # A hit in another run, at another place of it; and the run of that failed and was retried: a chain.
    assert logged.call("run", "logged.py", "-p", "depth=2", "-p", "deeper=7").status == 0
    assert logged.origins()["fit/0/fit"] == "cached"
    one = logged.call("show", "latest", "fit/0/fit")
    assert f"from {first}/fit/1/fit" in one.out
    assert "loss = 0.333333 at 2" in one.out and "figures\n  map (svg)\n" in one.out
    assert "fit/0/fit: figure map (svg)" in logged.call("show").out
    assert logged.call("get", "latest", "fit/0/fit", "--figure", "map", "-o", "hit.svg").status == 0
    assert (logged.folder / "hit.svg").read_text() == "<svg>2</svg>"


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="not installed: matplotlib")
def test_a_figure_of_matplotlib_in_a_worker(project: Any) -> None:
    project.write(
        "drawn.py",
        """
        from penstock import context, pipeline, task

        @task
        def draw() -> int:
            import matplotlib.pyplot as plt
            figure, axes = plt.subplots()
            axes.plot([1, 2], [3, 4])
            context().log_figure("curve", figure)
            return 1

        @pipeline
        def drawn() -> int:
            return draw()
        """,
    )
    done = project.call("run", "drawn.py", timeout=110)
    assert done.status == 0, done.err
    assert "draw: figure curve (png, svg)" in project.call("show").out
    assert project.call("get", "latest", "draw", "--figure", "curve", "-o", "curve.png").status == 0
    assert (project.folder / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_how_far_a_task_is_can_be_asked_while_it_runs(project: Any) -> None:
    project.write(
        "slow.py",
        """
        import os, time
        from penstock import context, pipeline, task

        @task
        def wait() -> int:
            for number in context().track(range(1000), text="looks"):
                if os.path.exists("go"):
                    return number
                time.sleep(0.05)
            raise ValueError("nobody came")

        @pipeline
        def slow() -> int:
            return wait()
        """,
    )
    process = project.start("run", "slow.py")
    try:
        end = time.monotonic() + 40
        while True:
            shown = project.call("show", "latest", "wait", "--json")
            said = shown.json["progress"] if shown.status == 0 else None
            if said is not None and said["done"] > 0:
                break
            assert time.monotonic() < end and process.poll() is None, shown
        assert (said["total"], said["text"]) == (1000, "looks")
    finally:
        (project.folder / "go").write_text("")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_a_file_that_two_task_runs_of_a_run_write_is_reported(project: Any) -> None:
    project.write(
        "race.py",
        """
        from pathlib import Path
        from penstock import Scratch, map_over, pipeline, task

        @task
        def write(number: int, folder: Scratch) -> int:
            Path("out.txt").write_text(str(number))
            Path(f"own-{number}.txt").write_text(str(number))
            (folder / "kept.txt").write_text(str(number))
            return number

        @pipeline
        def race() -> list[int]:
            return map_over(write, [10, 9, 8, 7])
        """,
    )
    told = project.call("run", "race.py").err
    line = "warning: 4 task runs wrote out.txt in the project's folder: write/0/write, write/1/write, write/2/write, …"
    assert line in told and "own-" not in told and "kept" not in told
    shown = project.call("show").out
    assert line in shown
    everyone = [f"write/{number}/write" for number in range(4)]
    assert project.call("show", "--json").json["shared_files"] == {"out.txt": everyone}
    assert "written" not in project.call("show", "latest", "write/0/write").out


def test_data_outside_of_the_project_that_a_task_reads_is_reported(
    project: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere, temporary = tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("temporary")
    for path in (elsewhere / "n.csv", elsewhere / "declared.csv", temporary / "n.csv"):
        path.write_text("1")
    project.write("here.csv", "1")
    project.write(
        "outer.py",
        f"""
        import os
        from pathlib import Path
        from penstock import pipeline, task

        @task(files=[{str(elsewhere / "declared.csv")!r}])
        def load() -> str:
            for path in ({str(temporary)!r} + "/n.csv", "/etc/hostname", os.__file__, "here.csv"):
                open(path, "rb").close()
            Path({str(elsewhere)!r}, "made.csv").write_text("1")
            read = [Path({str(elsewhere)!r}, name).read_text() for name in ("n.csv", "declared.csv", "made.csv")]
            return "".join(read)

        @pipeline
        def outer() -> str:
            return load()
        """,
    )
    told = project.call("run", "outer.py", TMPDIR=str(temporary)).err
    path = str(elsewhere / "n.csv")
    assert f"warning: load reads {path}, which is outside of the project: its changes are not seen\n" in told
    assert f"  Declare it: give the task File({path!r}), or @task(files=[{path!r}])." in told
    assert told.count("warning: ") == 1
    assert project.call("show", "--json").json["files_elsewhere"] == {path: ["load"]}
    assert "elsewhere:" not in project.call("show", "latest", "load").out


def test_a_failed_run_tells_its_failures_with_a_count(project: Any) -> None:
    project.write(
        "broken.py",
        """
        from penstock import map_over, pipeline, task

        @task
        def score(number: int) -> int:
            if number > 1:
                raise ValueError(f"bad {number}")
            return number

        @pipeline
        def broken() -> list[int]:
            return map_over(score, [0, 1, 2, 3, 4])
        """,
    )
    assert project.call("run", "broken.py").status == 1
    shown = project.call("show")
    run = project.call("show", "--json").json["id"]
    assert (
        "failed\n  3 items failed alike (3 messages): score/2/score, score/3/score, score/4/score\n"
        f"    broken.py:6 in score\n    again, alone: penstock repro {run} score/2/score\n"
    ) in shown.out
    assert [shown.out.count(f"bad {number}") for number in (2, 3, 4)] == [1, 1, 1]
    assert shown.out.count("3 of 5 items failed") == 1
    one = project.call("show", "latest", "score/3/score").out
    assert "attempt 1: ValueError: bad 3" in one
    assert "    > 6 │" in one and "number = 3" in one
    assert "Traceback (most recent call last):" in one
