"""Lines that only log something: they are no part of a normal form (cache rule 7), where nobody reads what is logged."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection

from penstock.code.nodes import walk

LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

IsLog = Callable[[ast.expr], bool]
"""Whether an expression is a function that logs, `logger.info`."""


def without_log_lines(statement: ast.stmt, is_log: IsLog) -> ast.stmt:
    """Strip a function, or the methods of a class, in place: of lines that log a text with parameters of the function, and
    so can neither fail nor change anything."""
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            without_log_lines(inner, is_log)
    elif isinstance(statement, _FUNCTIONS) and any(map(_may_log, walk(statement))):
        hidden = {node.id for node in walk(statement) if isinstance(node, ast.Name) and _binds(node)}
        given = statement.args
        names = {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        _strip(statement, names - _undone(statement), hidden | names, is_log)
    return statement


def _strip(node: ast.AST, names: Collection[str], hidden: Collection[str], is_log: IsLog) -> None:
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            kept = [each for each in block if not _is_log_line(each, names, hidden, is_log)]
            setattr(node, field, kept or ([ast.Pass()] if block and field == "body" else []))
            for each in kept:
                if not isinstance(each, (*_FUNCTIONS, ast.ClassDef)):
                    _strip(each, names, hidden, is_log)
    for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        _strip(inner, names, hidden, is_log)


def _is_log_line(statement: ast.stmt, names: Collection[str], hidden: Collection[str], is_log: IsLog) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(call := statement.value, ast.Call):
        return False
    if call.keywords or not call.args or not is_log(call.func):
        return False
    logger = call.func.value if isinstance(call.func, ast.Attribute) else None
    if not isinstance(logger, ast.Name) or logger.id in hidden:
        return False
    text, *more = call.args
    is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
    return is_text and all(
        isinstance(each, ast.Constant) or (isinstance(each, ast.Name) and each.id in names) for each in more
    )


def _may_log(node: ast.AST) -> bool:
    """Whether `_is_log_line` has to look at a node."""
    if not isinstance(node, ast.Expr) or not isinstance(call := node.value, ast.Call):
        return False
    return isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS


def _binds(node: ast.Name) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _undone(function: ast.AST) -> set[str]:
    """Names that may have no value any more."""
    found = {node.id for node in walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del)}
    return found | {node.name for node in walk(function) if isinstance(node, ast.ExceptHandler) and node.name}
