"""Which names are local to a function, so that the others are global (cache rule 3). Where the answer is not certain, a
name counts as global: a name too many costs a run, one too few a wrong result."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from penstock.code.nodes import children, walk

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(slots=True)
class Scope:
    """`local` are names bound in the function; `imported` those of them that are bound by imports, with what they stand
    for, as absolute chains."""

    local: set[str] = field(default_factory=set)
    imported: dict[str, list[str]] = field(default_factory=dict)


def scope_of_function(node: FunctionNode, *, package: str) -> Scope:
    given = node.args
    scope = Scope({each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)})
    scope.local.update(each.arg for each in (given.vararg, given.kwarg) if each is not None)
    if isinstance(node, ast.Lambda):
        _bind(scope, [node.body], package)
    else:
        _bind(scope, node.body, package)
    return scope


def scope_of_comprehension(generators: Iterable[ast.comprehension]) -> Scope:
    names = (each.id for one in generators for each in walk(one.target) if isinstance(each, ast.Name))
    return Scope(set(names))


def _bind(scope: Scope, nodes: Iterable[ast.AST], package: str) -> None:
    elsewhere: set[str] = set()
    for node in _own_nodes(nodes):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, chain in imported_names(node, package=package):
                scope.local.add(name)
                scope.imported.setdefault(name, []).append(chain)
        else:
            scope.local.update(bound_names(node))
    scope.local -= elsewhere
    for name in elsewhere:
        scope.imported.pop(name, None)


def _own_nodes(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function that belong to its own scope. Of a comprehension only what `:=` binds does."""
    pending = list(nodes)
    pending.reverse()
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, COMPREHENSIONS):
            yield from (inner.target for inner in walk(node) if isinstance(inner, ast.NamedExpr))
            continue
        below = children(node)
        below.reverse()
        pending += below


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that one node binds, imports left out."""
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    elif type(node).__name__ == "TypeAlias":
        yield from bound_names(node.name)  # type: ignore[attr-defined]


def imported_names(node: ast.Import | ast.ImportFrom, *, package: str) -> Iterator[tuple[str, str]]:
    """(name, what it stands for) for each name that an import binds: `=module` or `=module|attribute`."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (
                (alias.asname, f"={alias.name}")
                if alias.asname
                else (
                    alias.name.partition(".")[0],
                    f"={alias.name.partition('.')[0]}",
                )
            )
        return
    module = absolute(node.module or "", level=node.level, package=package)
    for alias in node.names:
        if alias.name != "*":
            yield alias.asname or alias.name, f"={module}|{alias.name}"


def imported_modules(node: ast.Import | ast.ImportFrom, *, package: str) -> Iterator[str]:
    """The modules that an import runs, as far as can be told from the text: `from a import b` may run `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    module = absolute(node.module or "", level=node.level, package=package)
    yield module
    yield from (f"{module}.{alias.name}" for alias in node.names if alias.name != "*")


def absolute(name: str, *, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".") if package else []
    base = ".".join(parts[: len(parts) - level + 1]) if level - 1 < len(parts) else ""
    return f"{base}.{name}" if base and name else base or name
