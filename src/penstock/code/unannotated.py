"""The text of a component without its return annotation: a value that no form could store is still the result of the same
work when only that annotation is corrected."""

from __future__ import annotations

import ast
import hashlib


def unannotated(text: str) -> str:
    """A digest of a function at the top of a module, of everything but its decorator and its return annotation; positions and
    comments do not count. Empty for anything else, and for one with a decorator that may read the annotation."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ""
    if len(body) != 1 or not isinstance(function := body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ""
    decorators = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    if len(decorators) > 1 or any(ast.unparse(each).rpartition(".")[2] != "task" for each in decorators):
        return ""
    function.decorator_list, function.returns = [], None
    return hashlib.sha256(ast.dump(function).encode("utf-8", "surrogatepass")).hexdigest()
