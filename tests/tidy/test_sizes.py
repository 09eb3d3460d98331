"""Nothing grows past what a reader can hold: files, functions, the engine, argument lists."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "penstock").rglob("*.py"))
ALL = SOURCES + sorted(p for folder in ("tests", "bench", "examples") for p in (ROOT / folder).rglob("*.py"))

FILE_LINES_MAX = 500
TEST_FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70
# Code alone: rows and events are mostly docstrings.
ENGINE_CODE_LINES_MAX = 2_460  # docs/decisions/size-of-the-engine.md
POSITIONAL_MAX = 5


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", ALL, ids=named)
def test_file_is_short(path: Path) -> None:
    lines_max = TEST_FILE_LINES_MAX if path.is_relative_to(ROOT / "tests") else FILE_LINES_MAX
    assert len(path.read_text().splitlines()) <= lines_max


@pytest.mark.parametrize("path", ALL, ids=named)
def test_functions_are_short(path: Path) -> None:
    long = {f"{f.name}:{f.lineno}": f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def code_lines(path: Path) -> int:
    """Lines with code on them: no blank lines, comments or docstrings."""
    text = path.read_text()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_engine_is_small() -> None:
    assert sum(code_lines(path) for path in (ROOT / "src/penstock/engine").rglob("*.py")) <= ENGINE_CODE_LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_five_positional_arguments_at_most(path: Path) -> None:
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
