"""Maps over tasks that keep something in their process, in every place where Python code keeps a memo. Each attempt changes a
live value of its module, so its worker is replaced after it: for executors, the hardest kind of a run.

`python -m penstock.testing.memos --runs 1000` runs them again and again, and says which did not end."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LIMIT_S = 60
"""A run that takes longer is one that never ends."""

SOURCE = """
from functools import cached_property

from penstock import map_over, pipeline, task

_seen: dict[int, int] = {}


class Keeper:
    one = None

    def __init__(self):
        self.seen = []

    @classmethod
    def get(cls):
        if cls.one is None:
            cls.one = cls()
        return cls.one


class Table:
    @cached_property
    def squares(self):
        return {n: n * n for n in range(10)}


TABLE = Table()


def counter():
    count = 0

    def up(x):
        nonlocal count
        count += 1
        return x

    return up


count_up = counter()


def once(x, seen={}):
    return seen.setdefault(x, x)


def marked(x):
    marked.last = x
    return x


@task
def memo_dict(x: int) -> int:
    _seen[x] = x
    return x


@task
def class_singleton(x: int) -> int:
    Keeper.get().seen.append(x)
    return x


@task
def cached_attribute(x: int) -> int:
    return TABLE.squares[x] // x


@task
def closure_cell(x: int) -> int:
    return count_up(x)


@task
def mutable_default(x: int) -> int:
    return once(x)


@task
def function_attribute(x: int) -> int:
    return marked(x)


@task
def total(xs: list[int]) -> int:
    return sum(xs)
"""

KINDS = (
    "memo_dict",
    "class_singleton",
    "cached_attribute",
    "closure_cell",
    "mutable_default",
    "function_attribute",
)
ITEMS = (1, 2, 3, 4, 5, 6, 7, 8)
TOTAL = sum(ITEMS)


def write_project(folder: Path) -> None:
    """One pipeline for each kind of a memo, in `memos.py`."""
    (folder / "pyproject.toml").touch()
    pipelines = (
        f"\n\n@pipeline\ndef of_{kind}() -> int:\n    return total(map_over({kind}, {list(ITEMS)}))\n" for kind in KINDS
    )
    (folder / "memos.py").write_text(SOURCE + "".join(pipelines))


def run_memos(folder: Path, *, runs: int, first: int = 0) -> None:
    """Run the pipelines in turn, computing everything each time. This process ends by SIGALRM at a run that does not end.
    Raises AssertionError at a wrong answer."""
    from penstock.app import run_target

    os.chdir(folder)
    write_project(folder)
    for number in range(first, first + runs):
        kind = KINDS[number % len(KINDS)]
        signal.alarm(LIMIT_S)
        result = run_target(f"memos.py:of_{kind}", {}, cache="write")
        assert result.state == "succeeded", f"{kind}: {result.state}"
        assert dict(result.outputs) == {"output": TOTAL}, f"{kind}: {result.outputs}"
        if (number + 1 - first) % 50 == 0:
            sys.stdout.write(f"{number + 1 - first} runs ended\n")
            sys.stdout.flush()
    signal.alarm(0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1, help="so many controllers at once, each in its own folder")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    shares = [len(range(each, given.runs, given.processes)) for each in range(given.processes)]
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root:
        children = []
        for number, runs in enumerate(shares):
            folder = Path(root, str(number))
            folder.mkdir()
            children.append(context.Process(target=run_memos, args=(folder,), kwargs={"runs": runs, "first": number}))
        for child in children:
            child.start()
        for child in children:
            child.join()
    troubled = [child.exitcode for child in children if child.exitcode]
    sys.stdout.write(f"{given.runs} runs in {time.monotonic() - began:.0f} s; ends that were not right: {troubled}\n")
    return 1 if troubled else 0


if __name__ == "__main__":
    raise SystemExit(main())
