"""What a component counts as without its return annotation: the same when only that is corrected, another when anything else
changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.testing.apart import codes_apart

SOURCE = """
import os
from typing import Any
from penstock import Form, task
from shapes import Circle, Square

@task
def fit(n: int) -> Circle:
    return Square(n)

@task
def beside(n: int) -> int:
    return n
"""
SHAPES = """
class Circle:
    pass

class Square:
    def __init__(self, n):
        self.n = n * FACTOR

FACTOR = 2
"""


def told(folder: Path, source: str, shapes: str = SHAPES) -> tuple[str, str]:
    folder.mkdir()
    (folder / "m.py").write_text(source)
    (folder / "shapes.py").write_text(shapes)
    code = codes_apart(folder, "m")["fit"]
    return code.unannotated, code.key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-> Circle", "-> Square"),
        ("-> Circle", "-> Any"),
        ("-> Circle", "-> 'Square'"),
        (" -> Circle", ""),
        ("-> Circle", "-> list[Square]"),
        ("@task\ndef fit", "@task(memory='1GiB')\ndef fit"),
        ("return n\n", "return n + 1\n"),
    ],
)
def test_the_return_annotation_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    before, digest = told(tmp_path / "a", SOURCE)
    after, corrected = told(tmp_path / "b", SOURCE.replace(old, new))
    assert before and after == before
    assert (corrected != digest) is ("Circle" in old), "results still count by all of it"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Square(n)", "Square(n + 1)"),
        ("n: int) -> Circle", "n: float) -> Circle"),
        ("n: int) -> Circle", "n: int = 3) -> Circle"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("self.n = n", "self.m = n"),
        ("return Square(n)", "return Square(int(os.environ.get('N', n)))"),
        ("@task\ndef fit", "@task(env=['HOME'])\ndef fit"),
        ("@task\ndef fit", "@task(version='2')\ndef fit"),
    ],
)
def test_anything_else_does(tmp_path: Path, old: str, new: str) -> None:
    before, _ = told(tmp_path / "a", SOURCE)
    after, _ = told(tmp_path / "b", SOURCE.replace(old, new), SHAPES.replace(old, new))
    assert after != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return Square(n)", "return Square(len(fit.function.__annotations__))"),
        ("return Square(n)", "import inspect; return inspect.getsource(Square)"),
        ("@task\ndef fit", "@task\n@other\ndef fit"),
        ("@task\ndef fit", "@task(expires='1h')\ndef fit"),
    ],
)
def test_nothing_is_told_where_the_annotation_may_be_read(tmp_path: Path, old: str, new: str) -> None:
    other = "def other(function):\n    return function\n\n@task\ndef fit"
    source = SOURCE.replace(old, new).replace("@task\n@other\ndef fit", other.replace("@task", "@task\n@other"))
    assert told(tmp_path / "a", source)[0] == ""
