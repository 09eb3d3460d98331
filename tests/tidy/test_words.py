"""One word, one meaning: names and prose of the project keep to its glossary."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


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
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (doc := ast.get_docstring(node)):
            yield doc, getattr(node, "lineno", 1)


def test_names_keep_to_the_glossary() -> None:
    forbidden = FORBIDDEN | FORBIDDEN_IN_NAMES
    found = [
        f"{named(path)}:{line} {name}"
        for path in SOURCES
        for name, line in defined_names(tree_of(path))
        if any(word in forbidden for word in words_of(name))
    ]
    assert found == []


def test_comments_keep_to_the_glossary() -> None:
    found = [
        f"{named(path)}:{line} {word} (say {FORBIDDEN[word]})"
        for path in SOURCES
        for text, line in prose(path)
        for word in re.findall(r"[a-z]+", text.lower())
        if word in FORBIDDEN
    ]
    assert found == []


def test_pages_keep_to_the_glossary() -> None:
    found = set()
    for path in PAGES:
        text = re.sub(r"Airflow's DAGs?|\(https?://[^)]*\)", "", path.read_text())
        found |= {f"{named(path)}: {word}" for word in re.findall(r"[a-z]+", text.lower()) if word in FORBIDDEN}
    assert found == set()


def test_files_and_classes_are_named_for_what_they_do() -> None:
    assert [named(path) for path in SOURCES if path.stem in FORBIDDEN_FILES] == []
    classes = [
        f"{named(path)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        if node.name.startswith(("Base", "Abstract")) or node.name.endswith(("Manager", "Handler"))
    ]
    assert classes == []


ROOTS = {"Exception", "BaseException", "Protocol", "Enum", "StrEnum", "IntEnum", "NamedTuple", "int"}


def test_nothing_inherits_but_errors_protocols_and_enums() -> None:
    bases_by_class: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
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
