"""Every snippet of README and docs runs, in the order of its page and in one folder per page, and prints what the page
says.

PENSTOCK_TEST_REGOLD=1 writes what is printed into the pages instead. A ```python block that begins with a comment like
`# flowers.py` is written to that file; any other is run. Lines of a ```console block that begin with `$ ` are run by a
shell, and what stands below is what they print. ```text is not looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
    text = re.sub(r"files/\w\w/\w+", "files/CONTENT", text)
    lines = [line.rstrip() for line in text.strip().split("\n")]
    # What runs at the same time ends in any order.
    told = iter(sorted(line for line in lines if PROGRESS.match(line)))
    return "\n".join(next(told) if PROGRESS.match(line) else line for line in lines)


def with_snippets(page: Path) -> bool:
    return BLOCK.search(page.read_text()) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if with_snippets(page)], ids=lambda page: page.name)
def test_snippets_of(page: Path, tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PENSTOCK_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for language, text in BLOCK.findall(page.read_text()):
        named = FILE.match(text)
        if language == "python" and named:
            (tmp_path / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[1]).write_text(text)
        elif language == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{text}\n{done.stderr}"
        else:
            for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, flags=re.MULTILINE):
                done = subprocess.run(
                    command, shell=True, cwd=tmp_path, env=environment, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                if os.environ.get("PENSTOCK_TEST_REGOLD"):
                    page.write_text(page.read_text().replace(f"$ {command}\n{printed}", f"$ {command}\n{done.stdout}"))
                else:
                    assert plain(done.stdout) == plain(printed), command


def test_there_are_snippets() -> None:
    assert sum(with_snippets(page) for page in PAGES) >= 2
