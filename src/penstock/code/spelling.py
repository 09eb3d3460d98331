"""The names in a normal form (cache rule 7): local variables by number, names that imports bind by what they mean. Parameters,
attributes, and the names of functions and classes stay as they are: others may ask for them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.code.nodes import children, walk
from penstock.code.scopes import COMPREHENSIONS, FunctionNode, scope_of_function

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_OTHER_SCOPES = (*_FUNCTIONS, ast.ClassDef, *COMPREHENSIONS)
_KEPT = ""
"""Stands for a name that stays."""
_GLOBAL = "global"
_LOCAL = "local"


def respell(statement: ast.stmt, imported: Mapping[str, str]) -> None:
    """Change a statement in place. `imported` says what names mean that imports bind at the top of the module, and nothing
    else."""
    if sys.version_info >= (3, 12) and any(
        getattr(node, "type_params", None) or type(node).__name__ == "TypeAlias" for node in walk(statement)
    ):
        return  # their scopes are of a kind of their own
    _Speller(imported).read(statement)


@dataclass(slots=True)
class _Scope:
    """What becomes of names: one of the above, or the new name."""

    names: dict[str, str]
    is_class: bool = False


class _Speller:
    def __init__(self, imported: Mapping[str, str]) -> None:
        self._imported = imported
        self._scopes: list[_Scope] = []
        self._count = 0

    def _name(self, name: str) -> str:
        for depth, scope in enumerate(reversed(self._scopes)):
            names = scope.names
            if name not in names or (scope.is_class and depth):
                continue
            if names[name] == _LOCAL:
                names[name] = f"\0{self._count}"
                self._count += 1
            if names[name] == _GLOBAL:
                break
            return names[name] or name
        return self._imported.get(name, name)

    def read(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            node.id = self._name(node.id)
        elif isinstance(node, _FUNCTIONS):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, COMPREHENSIONS):
            self._comprehension(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node)
        elif isinstance(node, ast.Nonlocal):
            node.names = [self._name(name) for name in node.names]
        else:
            if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
                node.name = self._name(node.name)
            if isinstance(node, ast.MatchMapping) and node.rest:
                node.rest = self._name(node.rest)
            self._all(children(node))

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.read(node)

    def _function(self, node: FunctionNode) -> None:
        given = node.args
        parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        self._all((*getattr(node, "decorator_list", ()), *given.defaults, *given.kw_defaults))
        self._all([getattr(node, "returns", None), *(each.annotation for each in parameters if each is not None)])
        names = dict.fromkeys(scope_of_function(node, package="").local, _LOCAL)
        names.update((each.arg, _KEPT) for each in parameters if each is not None)
        body = node.body if isinstance(node.body, list) else [node.body]
        for inner in _inside(body):
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names[inner.name] = _KEPT
            elif isinstance(inner, ast.Import):
                names.update((each.name.partition(".")[0], _KEPT) for each in inner.names if "." in each.name)
            elif isinstance(inner, ast.Global):
                names.update(dict.fromkeys(inner.names, _GLOBAL))
        self._within(_Scope(names), body)

    def _within(self, scope: _Scope, nodes: Iterable[ast.AST | None]) -> None:
        self._scopes.append(scope)
        self._all(nodes)
        self._scopes.pop()

    def _class(self, node: ast.ClassDef) -> None:
        self._all((*node.decorator_list, *node.bases, *node.keywords))
        names: dict[str, str] = {}
        for inner in _inside(node.body):
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names[inner.name] = _KEPT
            elif isinstance(inner, (ast.Import, ast.ImportFrom)):
                names.update(((each.asname or each.name).partition(".")[0], _KEPT) for each in inner.names)
            elif isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
                names[inner.id] = _KEPT
            elif isinstance(inner, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and inner.name:
                names[inner.name] = _KEPT
            elif isinstance(inner, ast.MatchMapping) and inner.rest:
                names[inner.rest] = _KEPT
        self._within(_Scope(names, is_class=True), node.body)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        first, *others = node.generators
        self.read(first.iter)
        targets = [name for each in node.generators for name in walk(each.target) if isinstance(name, ast.Name)]
        scope = _Scope({name.id: _LOCAL for name in targets if isinstance(name.ctx, ast.Store)})
        parts = [first.target, *first.ifs, *(part for each in others for part in (each.iter, each.target, *each.ifs))]
        self._within(scope, [*parts, *([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])])

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import in a function: what it binds is a local name like any other."""
        for each in node.names:
            bound = each.asname or each.name
            if self._scopes and bound != "*" and "." not in bound:
                new = self._name(bound)
                each.asname = new if new.startswith("\0") else each.asname


def _inside(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """The nodes of a body that belong to its own scope."""
    pending = list(body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _OTHER_SCOPES):
            pending += children(node)
