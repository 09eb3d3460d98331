"""Environments of components' own: what they are called, how they are built once, and what is locked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.outer import environments
from penstock.launcher.outer.environments import (
    Built,
    EnvironmentFailed,
    Wanted,
    built,
    find_python,
    find_uv,
    lock_of,
    reclaim,
    wanted_of,
)
from penstock.testing.wheels import write_wheel

SAYS = "--no-index\n-f wheels\ntinylib\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write_wheel(folder / "wheels", "tinylib", "1.0", "def answer():\n    return 42\n")
    (folder / "needs.txt").write_text(SAYS)
    return folder


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "uv":
        if find_uv() is None:
            pytest.skip("there is no uv here")
    else:
        monkeypatch.setattr(environments, "find_uv", lambda: None)
    return str(request.param)


def wanted(project: Path, **given: Any) -> Wanted:
    asked = {"python": "", "packages": [], "requirements": "needs.txt", **given}
    return wanted_of(asked, project=project)


def said(environment: Built, code: str) -> str:
    done = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_environment_is_built_once_and_locks_what_came_of_it(project: Path, tmp_path: Path, installer: str) -> None:
    root = tmp_path / "environments"
    asked = wanted(project)
    assert lock_of(asked, root) is None
    first = built(asked, root, project=project)
    assert said(first, "import tinylib; print(tinylib.answer())") == "42"
    assert first.lock["dist:tinylib"].startswith("1.0 ")
    assert first.lock["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert ("dist:pip" in first.lock) == (installer == "pip")
    stamp = (first.folder / "pyvenv.cfg").stat().st_mtime_ns
    assert built(asked, root, project=project) == first
    assert (first.folder / "pyvenv.cfg").stat().st_mtime_ns == stamp


def test_nothing_of_the_projects_own_environment_is_in_it(project: Path, tmp_path: Path, installer: str) -> None:
    environment = built(wanted(project), tmp_path / "environments", project=project)
    code = "import sys; print([name for name in ('blake3', 'msgspec') if __import__('importlib.util').util.find_spec(name)])"
    assert said(environment, code) == "[]"


def test_the_name_is_what_was_asked_for(project: Path) -> None:
    base = wanted(project)
    names = {
        base.name,
        replace(base, python="3.99").name,
        replace(base, packages=("a",)).name,
        replace(base, text="other").name,
    }
    assert len(names) == 4
    assert replace(base, packages=("a", "b")).name == replace(base, packages=("b", "a")).name
    assert (
        wanted_of(
            {"python": "", "packages": [], "requirements": "needs.txt"}, project=project, held={"needs.txt": b"x"}
        ).text
        == "x"
    )


def test_an_interrupted_build_is_begun_anew(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "environments"
    asked = wanted(project)
    (root / asked.name / "lib").mkdir(parents=True)
    (root / asked.name / "lib" / "half").write_text("")
    environment = built(asked, root, project=project)
    assert said(environment, "import tinylib; print(tinylib.answer())") == "42"
    assert not (environment.folder / "lib" / "half").exists()


def test_two_at_once_build_one(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[str] = []
    build = environments._build
    monkeypatch.setattr(environments, "_build", lambda *given: (builds.append("once"), build(*given))[1])
    answers: list[Built] = []

    def ask() -> None:
        answers.append(built(wanted(project), tmp_path / "environments", project=project))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == ["once"] and len(set(map(str, answers))) == 1


def test_a_package_that_cannot_be_had_is_told_with_the_installers_last_lines(
    project: Path, tmp_path: Path, installer: str
) -> None:
    root = tmp_path / "environments"
    asked = wanted(project, packages=["no-such-package-here"])
    with pytest.raises(EnvironmentFailed) as failed:
        built(asked, root, project=project)
    first, *lines = failed.value.message.splitlines()
    assert first.startswith("the environment of no-such-package-here, needs.txt could not be built (exit code")
    assert any("no-such-package-here" in line for line in lines)
    with pytest.raises(EnvironmentFailed, match="could not be built"):  # told again, without asking again
        built(asked, root, project=project)
    assert lock_of(asked, root) is None


def test_what_was_there_is_built_again_from_the_same_versions(project: Path, tmp_path: Path, installer: str) -> None:
    root = tmp_path / "environments"
    asked = wanted(project)
    first = built(asked, root, project=project)
    write_wheel(project / "wheels", "tinylib", "2.0", "def answer():\n    return 43\n")
    assert reclaim(root, [asked.name], dry_run=False) == 0
    assert reclaim(root, [], dry_run=True) > 0 and first.folder.exists()
    assert reclaim(root, [], dry_run=False) > 0 and not first.folder.exists()
    assert lock_of(asked, root) == first.lock
    again = built(asked, root, project=project)
    assert again.lock["dist:tinylib"] == first.lock["dist:tinylib"]
    assert not again.changed
    lock = json.loads((root / f"{asked.name}.json").read_text())
    (root / f"{asked.name}.json").write_text(json.dumps({**lock, "dist:tinylib": "1.0 another-build"}))
    assert reclaim(root, [], dry_run=False) > 0
    assert built(asked, root, project=project).changed


def test_requirements_that_are_not_there_are_said_so(project: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"the requirements lost\.txt cannot be read"):
        wanted(project, requirements="lost.txt")


def test_an_interpreter_is_found_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    assert find_python("") == find_python(here) == sys.executable
    for name, version in (("python3.77", "3.77.1"), ("python3.78", "3.5.0")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_python("3.77") == find_python("3.77.1") == str(tmp_path / "python3.77")
    assert find_python("3.77.2") is None and find_python("3.78") is None
    monkeypatch.setattr(environments, "find_uv", lambda: None)
    with pytest.raises(EnvironmentFailed, match=r"there is no Python 3\.78 here"):
        built(Wanted("3.78", ()), tmp_path / "environments", project=tmp_path)
