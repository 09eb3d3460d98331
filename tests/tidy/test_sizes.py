"""Nothing grows past what a reader can hold: files, functions, the engine, argument lists."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_files_are_short() -> None:
    long = {}
    for path in ALL:
        lines_max = TEST_FILE_LINES_MAX if path.is_relative_to(ROOT / "tests") else FILE_LINES_MAX
        if (lines := len(path.read_text().splitlines())) > lines_max:
            long[named(path)] = f"{lines} lines, at most {lines_max}"
    assert long == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{named(path)}:{function.lineno} {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in ALL
        for function in functions(path)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


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


def test_five_positional_arguments_at_most() -> None:
    wide = []
    for path in SOURCES:
        for function in functions(path):
            names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in ("self", "cls")]
            if len(names) > POSITIONAL_MAX:
                wide.append(f"{named(path)}:{function.lineno} {function.name} takes {', '.join(names)} by position")
    assert wide == []


def test_modules_say_what_they_know() -> None:
    assert [named(path) for path in SOURCES if (tree := tree_of(path)).body and not ast.get_docstring(tree)] == []
