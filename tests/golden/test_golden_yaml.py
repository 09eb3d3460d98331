"""Wrong pipeline files and the exact text that a person sees of each. PENSTOCK_TEST_REGOLD=1 writes the texts instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.authoring.yaml.load import Loaded, load
from penstock.base.limits import LIMITS
from penstock.launcher.outer.finding import find_component

FOLDER = Path(__file__).parent / "yaml_mistakes"
MISTAKES = sorted(FOLDER.glob("*.yaml"))
WARNED_ONLY = {"surprises"}


@pytest.fixture(autouse=True)
def _functions() -> Iterator[None]:
    """The module beside the files can be imported."""
    path = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path[:] = path
    sys.modules.pop("churn", None)


def loaded(path: Path) -> Loaded:
    return load(str(path), read_file=lambda name: Path(name).read_bytes(), find=find_component)


def test_there_are_many() -> None:
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_mistake_gets_this_text(path: Path) -> None:
    found = loaded(path)
    text = "\n".join(str(each) for each in found.diagnostics).replace(f"{FOLDER}/", "") + "\n"
    golden = path.with_suffix(".txt")
    if os.environ.get("PENSTOCK_TEST_REGOLD"):
        golden.write_text(text)
    assert golden.exists(), f"{golden} is missing; PENSTOCK_TEST_REGOLD=1 writes it"
    assert text == golden.read_text()
    assert found.is_valid == (path.stem in WARNED_ONLY)
    assert all(each.fix and each.location is not None for each in found.diagnostics)


def test_a_file_of_fifty_megabytes_is_refused_before_it_is_read_through(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.write(b"penstock: 1\npipeline: p\n")
        for _ in range(50):
            file.write(b"# " + b"x" * (1024 * 1024) + b"\n")
    asked: list[int] = []

    def read_file(name: str) -> bytes:
        with open(name, "rb") as source:
            asked.append(LIMITS.yaml_bytes_max + 1)
            return source.read(LIMITS.yaml_bytes_max + 1)

    found = load(str(path), read_file=read_file, find=find_component)
    assert asked == [16 * 1024 * 1024 + 1]
    assert [each.code for each in found.diagnostics] == ["yaml-too-large"]
    assert "yaml_bytes_max" in found.diagnostics[0].message


def test_bytes_that_are_no_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("penstock: 1\npipeline: p\ndescription: größer\n".encode("latin-1"))
    found = loaded(path)
    (text,) = [str(each).partition(": ")[2] for each in found.diagnostics]
    place = "    3 | description: gr\n      |                ^\n"
    assert text == f"error: the file is not UTF-8 from here on [yaml-syntax]\n{place}    Save it as UTF-8."
    assert found.diagnostics[0].location is not None
    assert found.diagnostics[0].location.line == 3
