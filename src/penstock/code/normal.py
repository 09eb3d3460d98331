"""The normal form of a statement (cache rule 7): its syntax without what cannot change what it does."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from penstock.code.nodes import children, walk

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


_NO_SYNTAX = frozenset({"ctx", "kind", "type_comment"})
"""Fields that say nothing more: the context of a name follows from where it is, and `u""` is `""`."""
_forms: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {}


def digest_of_syntax(node: ast.AST) -> str:
    """sha256 over the syntax as it is: no comments, no positions."""
    parts: list[str] = []
    _spell(node, parts.append)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _spell(node: ast.AST, write: Callable[[str], None]) -> None:
    """What `ast.dump` writes, in less than half of its time."""
    kind = type(node)
    form = _forms.get(kind)
    if form is None:
        form = _forms[kind] = f"{kind.__name__}(", tuple(name for name in node._fields if name not in _NO_SYNTAX)
    write(form[0])
    for name in form[1]:
        _spell_value(getattr(node, name, None), write)
        write(",")
    write(")")


def _spell_value(value: Any, write: Callable[[str], None]) -> None:
    if isinstance(value, ast.AST):
        _spell(value, write)
    elif value.__class__ is list:
        write("[")
        for each in value:
            _spell_value(each, write)
            write(",")
        write("]")
    else:
        # The text of an integer of thousands of digits is refused in decimals.
        write(hex(value) if value.__class__ is int else ascii(value))


def normalise(statement: ast.stmt, *, is_ours: Callable[[ast.expr], bool]) -> ast.stmt:
    """Strip a statement in place, and answer it. `is_ours` says whether an expression names something of Penstock's,
    whose arguments as a decorator never count."""
    body = _Stripper(is_ours).block([statement], in_class=False)
    return body[0] if body else ast.Pass()


def never_counts(statement: ast.stmt) -> list[ast.stmt] | None:
    """What is left of `if TYPE_CHECKING` and `if __name__ == "__main__"`; None for any other statement."""
    if not isinstance(statement, ast.If):
        return None
    test, is_negated = statement.test, False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, is_negated = test.operand, True
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = (test.left, test.comparators[0])
        names = {side.id for side in sides if isinstance(side, ast.Name)}
        texts = {side.value for side in sides if isinstance(side, ast.Constant)}
        if names != {"__name__"} or texts != {"__main__"}:
            return None
        is_negated ^= isinstance(test.ops[0], (ast.NotEq, ast.IsNot))
    elif getattr(test, "attr", getattr(test, "id", "")) != "TYPE_CHECKING":
        return None
    return statement.body if is_negated else statement.orelse


def _is_unread(function: FunctionNode, *, in_class: bool) -> bool:
    """Whether nobody reads annotations of a function, as far as can be told from where it stands. Who makes objects may read
    those of `__init__`."""
    return not function.decorator_list and not (in_class and function.name.startswith("__"))


def unread_annotations(statement: ast.stmt, *, in_class: bool = False) -> Iterator[FunctionNode]:
    """The functions of a statement whose annotations do not count."""
    if isinstance(statement, FunctionNode):
        if _is_unread(statement, in_class=in_class):
            yield statement
    elif isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from unread_annotations(inner, in_class=True)


def in_order(statement: ast.stmt) -> ast.stmt:
    """Put the methods of a class in the order of their names, where nothing in the class depends on their order."""
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            in_order(inner)
        used = Counter(_names_used(statement.body))
        free = [each for each in statement.body if _is_free(each) and used[each.name] == 1]  # type: ignore[attr-defined]
        rest = [each for each in statement.body if each not in free]
        statement.body = [*rest, *sorted(free, key=lambda each: each.name)]  # type: ignore[attr-defined]
    return statement


def _is_free(statement: ast.stmt) -> bool:
    """A method whose definition asks for nothing."""
    if not isinstance(statement, FunctionNode) or statement.decorator_list:
        return False
    given = statement.args
    annotations = [each.annotation for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    more = [each.annotation for each in (given.vararg, given.kwarg) if each is not None]
    asked = [*given.defaults, *given.kw_defaults, *annotations, *more, statement.returns]
    return all(each is None or isinstance(each, ast.Constant) for each in asked)


def _names_used(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that a class binds or asks for while it is made."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, (*_DEFINITIONS, ast.ExceptHandler)) and node.name:
            yield node.name
        if isinstance(node, ast.Name):
            yield node.id
        if isinstance(node, FunctionNode):
            pending += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        else:
            pending += children(node)


class _Stripper:
    def __init__(self, is_ours: Callable[[ast.expr], bool]) -> None:
        self._is_ours = is_ours

    def block(self, statements: Sequence[ast.stmt], *, in_class: bool, in_function: bool = False) -> list[ast.stmt]:
        kept: list[ast.stmt] = []
        for statement in statements:
            left = never_counts(statement)
            if left is not None:
                kept += self.block(left, in_class=in_class, in_function=in_function)
            elif not _is_idle(statement):
                kept.append(self._statement(statement, in_class=in_class, in_function=in_function))
        return kept

    def _statement(self, statement: ast.stmt, *, in_class: bool, in_function: bool) -> ast.stmt:
        for child in children(statement):
            if isinstance(child, ast.expr):
                self._expression(child)
        if isinstance(statement, FunctionNode):
            self._function(statement, in_class=in_class)
        elif isinstance(statement, ast.ClassDef):
            statement.decorator_list = [self._decorator(each) for each in statement.decorator_list]
            statement.body = self.block(statement.body, in_class=True) or [ast.Pass()]
        else:
            self._blocks(statement, in_class=in_class, in_function=in_function)
        if in_function and isinstance(statement, ast.AnnAssign):
            return _without_annotation(statement)
        return statement

    def _function(self, function: FunctionNode, *, in_class: bool) -> None:
        if _is_unread(function, in_class=in_class):
            function.returns = None
            given = function.args
            for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
                if each is not None:
                    each.annotation = None
        function.decorator_list = [self._decorator(each) for each in function.decorator_list]
        function.body = self.block(function.body, in_class=False, in_function=True) or [ast.Pass()]

    def _blocks(self, statement: Any, *, in_class: bool, in_function: bool) -> None:
        for name in ("body", "orelse", "finalbody"):
            inside = getattr(statement, name, None)
            if isinstance(inside, list):
                stripped = self.block(inside, in_class=in_class, in_function=in_function)
                setattr(statement, name, stripped or ([ast.Pass()] if inside and name == "body" else []))
        for name in ("handlers", "cases"):
            for inner in getattr(statement, name, ()):
                inner.body = self.block(inner.body, in_class=in_class, in_function=in_function) or [ast.Pass()]

    def _decorator(self, decorator: ast.expr) -> ast.expr:
        """`@task(memory="1GiB")` is `@task`."""
        return decorator.func if isinstance(decorator, ast.Call) and self._is_ours(decorator.func) else decorator

    def _expression(self, expression: ast.expr) -> None:
        """`task(memory="1GiB")(function)` and `task(function, memory="1GiB")` are `task(function)`."""
        for node in walk(expression):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Call) and self._is_ours(node.func.func):
                    node.func = node.func.func
                if self._is_ours(node.func) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "task":
                    node.keywords = []


def _is_idle(statement: ast.stmt) -> bool:
    """Docstrings, other constants that stand alone, and `pass`."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _without_annotation(statement: ast.AnnAssign) -> ast.stmt:
    if statement.value is not None:
        return ast.Assign(targets=[statement.target], value=statement.value, lineno=statement.lineno)
    return ast.AnnAssign(target=statement.target, annotation=ast.Constant(None), value=None, simple=statement.simple)
