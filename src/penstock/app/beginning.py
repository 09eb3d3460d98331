"""`penstock init`: a project that runs at once, made from the files in `project/`. All of it appears, or nothing does."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import InvalidInput, StoreUnavailable

TEMPLATES = Path(__file__).parent / "project"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
UNUSED = frozenset({".git"})
"""What a folder may hold that counts as empty."""
ABOUT = {
    "sklearn": "Which grower does a wine come from? Candidates are fitted, the best is chosen and measured on wines held out.",
    "plain": "Which of two kinds is it? Candidates are fitted, the best is chosen and measured on points held out.",
    "bare": "A pipeline of two tasks, to put your own in their place.",
}


@dataclass(frozen=True, slots=True)
class Begun:
    """What was made: the project's name, its folder, and its files relative to that."""

    name: str
    folder: Path
    files: tuple[str, ...]


def name_of(folder: Path) -> str:
    """The name that a project in this folder has unless it is given one."""
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.absolute().name).strip("-")
    return words if NAME.fullmatch(words) else f"project-{words}".strip("-")


def refuse_used(folder: Path) -> None:
    """Raises InvalidInput for a folder that holds anything but a repository's own files, or that is not a folder."""
    if folder.is_dir():
        if {entry.name for entry in folder.iterdir()} <= UNUSED:
            return
        raise InvalidInput(f"{folder} is not empty", fix="Name a folder that is not there yet, or an empty one.")
    if folder.exists() or folder.is_symlink():
        raise InvalidInput(f"{folder} is not a folder", fix="Name a folder that is not there yet, or an empty one.")


def begin_project(folder: Path, *, name: str | None, with_example: bool) -> Begun:
    """Make a project in a folder that is empty or not there yet. Raises InvalidInput for any other, and for a name that
    no pipeline can have; StoreUnavailable where nothing can be written."""
    chosen = name if name is not None else name_of(folder)
    if not NAME.fullmatch(chosen):
        raise InvalidInput(
            f"{chosen!r} cannot be the name of a pipeline", fix="A letter first, then letters, digits, _ and - ."
        )
    folder = Path(os.path.abspath(folder))
    refuse_used(folder)
    above = [each for each in folder.parents if not each.exists()]
    in_place = folder.is_dir()
    aside = folder / f".penstock-init.{os.getpid()}" if in_place else folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for file, text in _files(chosen, _kind(with_example=with_example)):
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            (aside / file).write_text(text)
        files = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
        if in_place:
            _move_into(aside, folder)
        else:
            os.rename(aside, folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        for each in above:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()
        raise StoreUnavailable(
            f"{folder} cannot be made: {error.strerror}", fix="Name a folder that you may write to."
        ) from None
    return Begun(chosen, folder, tuple(files))


def _move_into(aside: Path, folder: Path) -> None:
    """Move all that was made into a folder that is there already, and stays the same folder for the shells that are in
    it. Raises OSError, having moved everything back."""
    moved: list[Path] = []
    try:
        for each in sorted(aside.iterdir()):
            os.rename(each, folder / each.name)
            moved.append(each)
        aside.rmdir()
    except OSError:
        for each in moved:
            os.rename(folder / each.name, each)
        raise


def _kind(*, with_example: bool) -> str:
    """Which pipeline: with scikit-learn's data where that is installed, else with data that Python makes."""
    from importlib.util import find_spec

    if not with_example:
        return "bare"
    return "sklearn" if find_spec("sklearn") is not None and find_spec("numpy") is not None else "plain"


def _files(name: str, kind: str) -> Iterator[tuple[str, str]]:
    dependencies = ['"penstock"', *(('"numpy"', '"scikit-learn"') if kind == "sklearn" else ())]
    words = {
        "PROJECT_NAME": name,
        "PROJECT_ABOUT": ABOUT[kind],
        "PROJECT_DEPENDENCIES": ", ".join(dependencies),
        "PROJECT_PARAMETER": "count=20" if kind == "bare" else "seed=2",
    }
    sources = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        ".gitignore": "gitignore.txt",
        "pipeline.py": f"pipeline_{kind}.py.txt",
        "tests/test_pipeline.py": "test_bare.py.txt" if kind == "bare" else "test_pipeline.py.txt",
    }
    for file, source in sources.items():
        text = (TEMPLATES / source).read_text()
        for word, value in words.items():
            text = text.replace(word, value)
        yield file, text
