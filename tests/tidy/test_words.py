"""One word, one meaning: names and prose of the project keep to its glossary."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "penstock").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

# The words that stand for one of ours and have no use of their own here.
FORBIDDEN = {
    "workflow": "pipeline",
    "workflows": "pipelines",
    "dag": "graph",
    "dags": "graphs",
    "job": "task",
    "jobs": "tasks",
    "scheduler": "controller",
    "backend": "executor",
    "runner": "launcher",
    "fingerprint": "digest",
    "tenant": "project",
    "ttl": "lease",
    "utils": "a name for what it does",
    "helpers": "a name for what it does",
}
# In names of our own only: as prose these have uses beside the one that the glossary gives to another word.
FORBIDDEN_IN_NAMES = {"manager": "", "agent": "", "sensor": "", "asset": "artifact", "phase": "state"}
FORBIDDEN_FILES = {"utils", "helpers", "common", "manager", "handler", "misc"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def words_of(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def prose(path: Path) -> Iterator[tuple[str, int]]:
    """Comments and docstrings."""
    text = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (doc := ast.get_docstring(node)):
            yield doc, getattr(node, "lineno", 1)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_names_keep_to_the_glossary(path: Path) -> None:
    forbidden = FORBIDDEN | FORBIDDEN_IN_NAMES
    found = [
        f"line {line}: {name}"
        for name, line in defined_names(ast.parse(path.read_text()))
        if any(word in forbidden for word in words_of(name))
    ]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_comments_keep_to_the_glossary(path: Path) -> None:
    found = [
        f"line {line}: {word} (say {FORBIDDEN[word]})"
        for text, line in prose(path)
        for word in re.findall(r"[a-z]+", text.lower())
        if word in FORBIDDEN
    ]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_pages_keep_to_the_glossary(path: Path) -> None:
    text = re.sub(r"Airflow's DAGs?|\(https?://[^)]*\)", "", path.read_text())
    found = {word for word in re.findall(r"[a-z]+", text.lower()) if word in FORBIDDEN}
    assert found == set()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_files_and_classes_are_named_for_what_they_do(path: Path) -> None:
    assert path.stem not in FORBIDDEN_FILES
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    assert [c for c in classes if c.startswith(("Base", "Abstract")) or c.endswith(("Manager", "Handler"))] == []


ROOTS = {"Exception", "BaseException", "Protocol", "Enum", "StrEnum", "IntEnum", "NamedTuple", "int"}


def test_nothing_inherits_but_errors_protocols_and_enums() -> None:
    bases_by_class: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}
                bases_by_class.setdefault(node.name, set()).update(names - {"Generic"})

    def allowed(name: str, depth: int = 0) -> bool:
        if name in ROOTS or name.endswith(("Error", "Warning")) or (name in EXCEPTIONS):
            return True
        bases = bases_by_class.get(name)
        return bool(bases) and depth < 10 and all(allowed(base, depth + 1) for base in bases)

    # `os.environ` has to stay what it is for whoever asks, and be heard (`_Plain` is its class).
    # The C pickler asks nobody but a subclass; `Path` and `Any` are what type checkers alone see of a declared input.
    EXCEPTIONS = {
        "ModuleType",
        "Loader",
        "MetaPathFinder",
        "JSONEncoder",
        "Handler",
        "Pickler",
        "Path",
        "Any",
        "_Plain",
    }
    wrong = {c: sorted(bases) for c, bases in bases_by_class.items() if bases and not all(allowed(b) for b in bases)}
    assert wrong == {}
