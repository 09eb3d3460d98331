"""Tasks with an environment of their own, as a person meets them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import penstock
from penstock.testing.pythons import another_python
from penstock.testing.wheels import write_wheel

OURS = Path(penstock.__file__).parent
APART = """
    from pathlib import Path
    from penstock import command, context, pipeline, task
    from shop import rates

    ENV = {"python": "VERSION", "requirements": "needs.txt"}


    @task
    def rows() -> Path:
        path = context().scratch / "rows.csv"
        path.write_text("1\\n2\\n")
        return path


    @task(environment=ENV)
    def fit(table: Path, factor: int) -> dict:
        import sqlite3
        import sys
        from contextlib import closing

        import tinylib

        for number in context().track([1, 2, 3]):
            context().log_metric("loss", 1 / number, step=number)
        print("fitting in", "%d.%d" % sys.version_info[:2])
        numbers = [int(line) for line in table.read_text().split()]
        extra = len(Path("extra.txt").read_text())
        with closing(sqlite3.connect("rates.db")) as database:
            extra += database.execute("SELECT sum(rate) FROM rates").fetchone()[0]
        total = rates.scaled(sum(numbers), factor) + tinylib.answer()
        return {"version": list(sys.version_info[:2]), "sum": total, "extra": extra}


    @task(environment=ENV)
    def written(result: dict) -> Path:
        path = context().scratch / "model.txt"
        path.write_text(str(result["sum"]))
        return path


    tool = command(
        ["python", "-c", "import tinylib, sys; print(tinylib.answer(), sys.version_info[1])"], output=str, environment=ENV
    )


    @pipeline
    def apart(factor: int = 2):
        result = fit(rows(), factor)
        return {"result": result, "model": written(result), "tool": tool()}
"""
RATES = "def scaled(value, factor):\n    return value * factor\n"


@pytest.fixture
def apart(project):
    found = another_python()
    if found is None:
        pytest.skip("no Python of another version is here (PENSTOCK_TEST_PYTHONS names one)")
    version, folder = found
    project.environment["PATH"] = f"{folder}{os.pathsep}{project.environment['PATH']}"
    project.version = version
    write_wheel(project.folder / "wheels", "tinylib", "1.0", "def answer():\n    return 100\n")
    project.write("needs.txt", "--no-index\n-f wheels\ntinylib\n")
    project.write("extra.txt", "extra")
    with closing(sqlite3.connect(project.folder / "rates.db")) as database, database:
        database.execute("CREATE TABLE rates (rate INTEGER)")
        database.execute("INSERT INTO rates VALUES (0)")
    project.write("apart.py", APART.replace("VERSION", version))
    project.write("shop/__init__.py", "")
    project.write("shop/rates.py", RATES)
    return project


def metrics_of(project, path: str) -> list[tuple[str, int, float]]:
    with closing(sqlite3.connect(project.folder / ".penstock" / "state.db")) as database:
        rows = database.execute("SELECT name, step, value FROM metrics WHERE path = ? ORDER BY step", (path,))
        return [tuple(row) for row in rows]


def test_tasks_run_in_an_environment_of_their_own_and_are_cached_by_what_is_in_it(apart) -> None:
    done = apart.call("run", "apart.py")
    assert done.status == 0, done.err
    assert f"building the environment of Python {apart.version}, needs.txt" in done.err
    major, minor = apart.version.split(".")
    assert f'result = {{"version": [{major}, {minor}], "sum": 106, "extra": 5}}' in done.out
    assert f'tool = "100 {minor}"' in done.out
    assert "fitting in " + apart.version in apart.call("logs", "latest", "fit").out
    assert metrics_of(apart, "fit") == [("loss", 1, 1.0), ("loss", 2, 0.5), ("loss", 3, 1 / 3)]
    again = apart.call("run", "apart.py")
    assert apart.computed() == set(), again.err
    assert "building" not in again.err

    apart.write("shop/rates.py", RATES.replace("* factor", "* factor + 1"))
    assert apart.ran("apart.py") == {"fit", "written"}
    apart.write("extra.txt", "other")  # it reads this, and says so to nobody
    assert apart.ran("apart.py") == {"fit"}
    with closing(sqlite3.connect(apart.folder / "rates.db")) as database, database:
        database.execute("INSERT INTO rates VALUES (1)")
    assert apart.ran("apart.py") == {"fit", "written"}

    # Another version of what it needs is another environment and another key.
    write_wheel(apart.folder / "wheels", "tinylib", "2.0", "def answer():\n    return 200\n")
    assert apart.ran("apart.py") == set()
    apart.write("needs.txt", "--no-index\n-f wheels\ntinylib==2.0\n")
    assert apart.ran("apart.py") == {"fit", "written", "tool"}
    assert "distribution: tinylib 1.0 → 2.0" in apart.call("why", "latest", "fit").out

    # gc removes what no kept run uses; what was in it is known, so that hits stay hits.
    environments = apart.folder / ".penstock" / "environments"
    assert len([each for each in environments.iterdir() if each.is_dir()]) == 2
    assert apart.call("gc", PENSTOCK_RUNS_KEPT="1").status == 0
    assert len([each for each in environments.iterdir() if each.is_dir()]) == 1


def test_an_environment_that_cannot_be_had_fails_its_task_and_no_other(apart) -> None:
    apart.write(
        "lacking.py",
        """
        from penstock import pipeline, task

        @task(environment={"requirements": "lacking.txt"})
        def lacking() -> int:
            return 1

        @task
        def other() -> int:
            return 2

        @pipeline
        def both():
            lacking()
            return other()
        """,
    )
    apart.write("lacking.txt", "--no-index\nno-such-package-here\n")
    done = apart.call("run", "lacking.py")
    assert done.status == 1
    assert (
        "lacking                  failed: EnvironmentFailed: the environment of lacking.txt could not be built"
        in done.err
    )
    assert "no-such-package-here" in done.err
    assert "other                    succeeded" in done.err
    checked = apart.call("check", "lacking.py")
    assert checked.status == 0, checked.err
    assert apart.verdicts("lacking.py") == {"lacking": "run", "other": "hit"}


def test_a_task_in_an_environment_of_its_own_is_stopped_like_any_other(apart) -> None:
    apart.write(
        "endless.py",
        """
        import subprocess
        import time
        from pathlib import Path
        from penstock import pipeline, task

        @task(environment={"python": "VERSION"})
        def hang(mark: str) -> int:
            process = subprocess.Popen(["sleep", "1000"])
            try:
                Path(mark).write_text(str(process.pid))
                time.sleep(1000)
            finally:
                Path(mark).write_text(f"cleaned {process.pid}")
            return 1

        @pipeline
        def endless(mark: str) -> int:
            return hang(mark)
        """.replace("VERSION", apart.version),
    )
    mark = apart.folder / "mark"
    process = apart.start("run", "endless.py", "-p", f"mark={mark}")
    while not (mark.exists() and mark.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    word, pid = mark.read_text().split()
    assert word == "cleaned"
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_a_checkpoint_lasts_until_such_a_task_succeeds(apart) -> None:
    apart.write(
        "patient.py",
        """
        from penstock import context, pipeline, task

        @task(environment={"python": "VERSION"}, retry=3)
        def patient() -> int:
            folder = context().checkpoint
            tries = len(list(folder.iterdir()))
            (folder / str(tries)).write_text("here")
            if tries < 2:
                raise ValueError("not yet")
            return tries

        @pipeline
        def waits() -> int:
            return patient()
        """.replace("VERSION", apart.version),
    )
    done = apart.call("run", "patient.py")
    assert (done.status, done.out) == (0, "output = 2\n"), done.err
    assert list((apart.folder / ".penstock" / "checkpoints").iterdir()) == []


def test_an_error_in_such_a_task_is_told_from_its_first_line(apart) -> None:
    apart.write(
        "broken.py",
        """
        import os
        from penstock import Skip, pipeline, task

        ENV = {"python": "VERSION"}

        @task(environment=ENV)
        def wrong(x: int) -> int:
            return 1 // x

        @task(environment=ENV)
        def gone() -> int:
            os._exit(7)

        @task(environment=ENV)
        def nothing() -> int:
            raise Skip("not today")

        @task(environment=ENV)
        def untrue() -> int:
            return "text"

        @pipeline
        def broken():
            wrong(0), gone(), nothing(), untrue()
        """.replace("VERSION", apart.version),
    )
    done = apart.call("run", "broken.py")
    assert done.status == 1
    for words in (
        "wrong                    failed: ZeroDivisionError",
        "the task's interpreter ended with exit code 7 without an answer",
        ": not today",
        "output 'output': expected int, got str",
    ):
        assert words in done.err, done.err
    shown = apart.call("show", "latest").out + done.err
    assert "return 1 // x" in shown
    assert "penstock/launcher" not in shown


def test_the_inner_half_needs_the_standard_library_and_nothing_else(apart, tmp_path: Path) -> None:
    """Without site-packages, without the environment's variables, in another version of Python."""
    code = f"""
import importlib.util, sys
ours = {str(OURS)!r}
spec = importlib.util.spec_from_file_location("penstock", ours + "/__init__.py", submodule_search_locations=[ours])
sys.modules["penstock"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import penstock.launcher.inner.isolated, penstock.authoring.dsl.tasks, penstock.authoring.dsl.commands
print(sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
"""
    python = f"python{apart.version}"
    done = subprocess.run(
        [python, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=apart.environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['__main__', 'penstock']"
    assert not sys.version.startswith(apart.version)


def test_repro_uses_the_environment_that_is_there(apart) -> None:
    assert apart.call("run", "apart.py").status == 0
    done = apart.call("repro", "latest", "fit")
    assert done.status == 0 and "reproduced: succeeded" in done.err, done.err
    assert "building" not in done.err
    assert apart.call("repro", "latest", "tool").status == 0
    for words in (("fit", "--pdb"), ("tool", "--shell")):
        done = apart.call("repro", "latest", *words)
        assert done.status == 2 and "Repeat it without --pdb and --shell." in done.err
