"""Nothing grows past what a reader can hold: files, functions, the engine, argument lists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "penstock").rglob("*.py"))
ALL = SOURCES + sorted(p for folder in ("tests", "bench", "examples") for p in (ROOT / folder).rglob("*.py"))

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
ENGINE_LINES_MAX = 2_000
POSITIONAL_MAX = 3


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", ALL, ids=named)
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", ALL, ids=named)
def test_functions_are_short(path: Path) -> None:
    long = {f"{f.name}:{f.lineno}": f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def test_engine_is_small() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (ROOT / "src/penstock/engine").rglob("*.py"))
    assert lines <= ENGINE_LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_three_positional_arguments_then_keywords(path: Path) -> None:
    wide = []
    for function in functions(path):
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls")]
        if len(names) > POSITIONAL_MAX:
            wide.append(f"{function.name}:{function.lineno} takes {', '.join(names)} by position")
    assert wide == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_module_says_what_it_knows(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)
