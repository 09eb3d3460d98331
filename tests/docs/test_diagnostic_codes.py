"""Every diagnostic code that the sources can give is documented, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "diagnostics.md"
FOLDERS = (ROOT / "src/penstock/graph", ROOT / "src/penstock/authoring", ROOT / "src/penstock/launcher/outer")
REPORTING = {"report", "_report", "Diagnostic"}


def codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in REPORTING:
                yield from texts_of(node.args[0], path)


def texts_of(node: ast.expr, path: Path) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from texts_of(node.body, path)
        yield from texts_of(node.orelse, path)
    elif isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.Attribute) and node.attr == "code":
        return  # of a complaint that was made elsewhere
    elif isinstance(node, ast.Name) and node.id == "code":
        # handed on by a function that is called with a constant, or chosen in an assignment just above
        for other in ast.walk(ast.parse(path.read_text())):
            if isinstance(other, ast.Assign) and getattr(other.targets[0], "id", "") == "code":
                yield from texts_of(other.value, path)
    else:
        raise AssertionError(f"{path}: a code that cannot be read: {ast.unparse(node)}")


def test_every_code_is_documented() -> None:
    given = {code for folder in FOLDERS for path in sorted(folder.rglob("*.py")) for code in codes_in(path)}
    documented = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert len(given) > 50
    assert given - set(documented) == set()
