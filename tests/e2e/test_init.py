"""`penstock init`: what it makes runs at once, and it makes all of it or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.app.beginning import begin_project
from penstock.base.errors import StoreUnavailable

FILES = {".gitignore", "README.md", "pipeline.py", "pyproject.toml", "tests/test_pipeline.py"}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def lives(project, folder: Path, name: str) -> None:
    """A project that was made is checked, run, found in the cache, and tested."""
    project.folder = folder
    checked = project.call("check", "pipeline.py")
    assert (checked.status, checked.err) == (0, ""), checked.err
    assert checked.out.startswith(f"{name} is valid")
    done = project.call("run", "pipeline.py")
    assert done.status == 0, done.err
    again = project.call("run", "pipeline.py", "--json")
    assert again.status == 0, again.err
    assert {task["origin"] for task in again.json["task_runs"] if ":" in task["component"]} == {"cached"}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True
    )
    assert tested.returncode == 0, tested.stdout


def test_a_project_with_an_example_lives(project) -> None:
    done = project.call("init", "sales", "--yes")
    assert (done.status, done.out) == (0, "")
    assert "cd sales && penstock run pipeline.py" in done.err
    folder = project.folder / "sales"
    assert files_of(folder) == FILES
    assert {path.name for path in project.folder.iterdir()} == {"sales"}
    lives(project, folder, "sales")
    metrics = project.call("get", "latest", "measure").json
    assert metrics["accuracy"] > metrics["guessing"]
    assert not any("PROJECT_" in (folder / file).read_text() for file in FILES)


def test_without_scikit_learn_python_alone_is_enough(project) -> None:
    # A Python that finds no scikit-learn.
    project.write("aside/sitecustomize.py", """
        from importlib.machinery import PathFinder

        finds = PathFinder.find_spec


        def find_spec(name, path=None, target=None):
            return None if name.partition(".")[0] in ("sklearn", "numpy") else finds(name, path, target)


        PathFinder.find_spec = find_spec
    """)  # fmt: skip
    paths = [str(project.folder / "aside"), os.environ.get("PYTHONPATH", "")]
    project.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    done = project.call("init", "points", "-y")
    assert done.status == 0, done.err
    folder = project.folder / "points"
    assert "sklearn" not in (folder / "pipeline.py").read_text()
    lives(project, folder, "points")


def test_a_project_without_an_example_lives(project) -> None:
    (project.folder / "bare").mkdir()
    assert project.call("init", "bare", "--no-example", "--name", "counting").status == 0
    lives(project, project.folder / "bare", "counting")


@pytest.mark.parametrize("repository", [False, True])
def test_init_in_place_leaves_the_folder_the_same(project, repository: bool) -> None:
    folder = project.folder
    if repository:
        (folder / ".git").mkdir()
        project.write(".git/HEAD", "ref: refs/heads/main")
    before = folder.stat().st_ino
    done = project.call("init", ".", "--yes", "--no-example", "--name", "here")
    assert done.status == 0, done.err
    assert folder.stat().st_ino == before, "a shell that is in it would be nowhere"
    assert files_of(folder) == FILES | ({".git/HEAD"} if repository else set())
    assert "next: penstock run pipeline.py\n" in done.err
    again = project.call("init", ".", "--yes")
    assert (again.status, ". is not empty" in again.err) == (2, True)


def test_init_in_place_makes_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = os.rename

    def rename(source: Path, target: Path) -> None:
        if target == tmp_path / "pyproject.toml":
            raise OSError(28, "No space left on device")
        moves(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(StoreUnavailable, match="No space left"):
        begin_project(tmp_path, name="here", with_example=False)
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_is_asked(terminal, project) -> None:
    seen = terminal("init", "9 lives")
    seen.until(lambda text: "Name of the pipeline [project-9-lives]:" in text)
    seen.type(b"cats\n")
    seen.until(lambda text: "With an example that trains a model? [Y/n]:" in text)
    seen.type(b"n\n")
    assert seen.ended() == 0
    assert 'name="cats"' in (project.folder / "9 lives" / "pipeline.py").read_text()


def test_ctrl_c_at_a_question_makes_nothing(terminal, project) -> None:
    seen = terminal("init", "sales")
    seen.until(lambda text: "Name of the pipeline [sales]:" in text)
    seen.type(b"\x03")
    assert seen.ended() == 3
    assert list(project.folder.iterdir()) == []


def test_a_folder_that_is_used_is_refused(project, golden) -> None:
    project.write("sales/mine.txt", "mine")
    golden("init_not_empty", project.call("init", "sales", "--yes"))
    assert files_of(project.folder) == {"sales/mine.txt"}
    golden("init_a_file", project.call("init", "sales/mine.txt", "--yes"))
    golden("init_bad_name", project.call("init", "other", "--yes", "--name", "9 lives"))
    assert files_of(project.folder) == {"sales/mine.txt"}


def test_where_nothing_can_be_written_nothing_is_left(project, golden) -> None:
    project.write("file", "no folder")
    golden("init_below_a_file", project.call("init", "file/a/b", "--yes"))
    assert files_of(project.folder) == {"file"}
