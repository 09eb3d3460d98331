"""The value of a tree over plain Python data. Strict CEL: kinds never mix in arithmetic (`1.5 + 1` is an error),
comparison and equality of numbers go across kinds, `&&` and `||` absorb the other side's error when they can. Bounded
in depth, steps and size of what is made. Source: https://github.com/google/cel-spec doc/langdef.md, "Evaluation"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import (
    ARITHMETIC,
    COMBINATIONS,
    CONDITIONAL,
    CONVERSIONS,
    DEPTH_MAX,
    INDEX,
    OPERATORS,
    ORDERING,
    STEPS_MAX,
)
from penstock.graph.expression.print import shown
from penstock.graph.expression.tree import (
    Comprehension,
    ListTree,
    Literal,
    MapTree,
    Name,
    Operation,
    Reference,
    Select,
    Tree,
    depth,
)
from penstock.graph.expression.values import (
    arithmetic,
    artifact_read,
    combined,
    contained,
    converted,
    equal,
    field,
    has_key,
    indexed,
    kind_of,
    map_of,
    negated,
    no_overload,
    ordered,
    size,
    text_of,
)

if TYPE_CHECKING:
    from penstock.graph.bindings import Value

__all__ = ["evaluate", "text_of"]


def evaluate(tree: Tree, resolve: Callable[[Value], Any]) -> Any:
    """The value of `tree`: None, bool, int, UInt, float, str, bytes, an Artifact, or lists and dicts of them.

    `resolve` gives the plain data of a value from the graph; it is asked only for what the evaluation comes to, left to
    right (the branch of `?:` not taken, the right side of a decided `&&` or `||`, are not). What it raises passes
    through, except an ExpressionError, which counts as an error of the expression, so that `&&` and `||` may absorb it.
    Raises ExpressionError saying what is wrong and in which part.
    """
    if (levels := depth(tree)) > DEPTH_MAX:
        raise ExpressionError(f"the expression is {levels} operations deep; at most {DEPTH_MAX} are allowed")
    try:
        return _Evaluation(resolve).at(tree)
    except _Failed as failed:
        raise ExpressionError(f"{failed.message}, in `{shown(failed.tree)}`") from None
    except _TooLong:
        raise ExpressionError(f"the expression takes more than {STEPS_MAX} steps") from None
    except RecursionError:
        raise ExpressionError("the expression or its values are nested too deeply to be evaluated here") from None


class _Failed(Exception):
    """An error of the expression, before it becomes text: most are absorbed or not, and printing trees takes time."""

    def __init__(self, message: str, tree: Tree) -> None:
        super().__init__(message)
        self.message = message
        self.tree = tree


class _TooLong(Exception):
    """Not an error of the expression, so that no `||` absorbs it."""


class _Evaluation:
    __slots__ = ("_resolve", "_steps", "_variables")

    def __init__(self, resolve: Callable[[Value], Any]) -> None:
        self._resolve = resolve
        self._steps = 0
        self._variables: dict[str, Any] = {}

    def _charge(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS_MAX:
            raise _TooLong

    def at(self, tree: Tree) -> Any:
        self._charge(1)
        match tree:
            case Literal(value):
                return value
            case Reference(value):
                found = self._resolve(value)
                self._apply(tree, kind_of, found)
                return found
            case Operation():
                return self._operation(tree)
            case Name(name):
                if name not in self._variables:
                    raise _Failed(f"`{name}` is bound by no macro", tree)
                return self._variables[name]
            case Select():
                operand = self.at(tree.operand)
                if not tree.test_only:
                    return self._apply(tree, field, operand, tree.field)
                if kind_of(operand) != "map":
                    raise _Failed(f"a {kind_of(operand)} has no fields", tree)
                return has_key(operand, tree.field)
            case ListTree(items):
                return [self.at(item) for item in items]
            case MapTree(entries):
                return self._apply(tree, map_of, [(self.at(key), self.at(value)) for key, value in entries])
            case Comprehension():
                return self._comprehension(tree)

    def _apply(self, tree: Tree, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except ExpressionError as error:
            raise _Failed(error.message, tree) from None

    def _operation(self, tree: Operation) -> Any:
        operator, parts = tree.operator, tree.arguments
        if OPERATORS.get(operator, len(parts)) != len(parts):
            raise _Failed(f"there is no operation {operator} with {len(parts)} arguments", tree)
        if operator == "_&&_" or operator == "_||_":
            return self._logical(tree, decisive=operator == "_||_")
        if operator == CONDITIONAL:
            condition = self._truth(parts[0], "? :")
            return self.at(parts[1] if condition else parts[2])
        values = [self.at(part) for part in parts]
        if operator == "_!=_":
            return not self._equal(tree, *values)
        if operator == "_==_":
            return self._equal(tree, *values)
        if operator == "!_":
            if type(values[0]) is not bool:
                raise self._apply(tree, no_overload, "!", *values)
            return not values[0]
        if operator in ARITHMETIC:
            return self._apply(tree, arithmetic, operator, *values)
        if operator in ORDERING:
            return self._apply(tree, ordered, operator, *values)
        if operator == "_in_":
            self._charge(len(values[1]) if isinstance(values[1], list | tuple) else 1)
        if operator in CONVERSIONS:
            return self._apply(tree, converted, operator, *values)
        return self._apply(tree, self._function, operator, *values)

    def _equal(self, tree: Tree, left: Any, right: Any) -> bool:
        self._charge(len(left) if isinstance(left, list | tuple | dict) else 1)
        return bool(self._apply(tree, equal, left, right))

    def _function(self, operator: str, *values: Any) -> Any:
        match operator, values:
            case "-_", (value,):
                return negated(value)
            case "_in_", (item, container):
                return contained(item, container)
            case _ if operator == INDEX and len(values) == 2:
                return indexed(*values)
            case "size", (value,):
                return size(value)
            case _ if operator in COMBINATIONS and len(values) == 1:
                made = combined(operator, *values)
                self._charge(len(made))
                return made
            case "startsWith" | "endsWith" | "contains" | "matches", (str(text), str(other)):
                if operator == "matches":
                    from penstock.graph.expression import regex  # seldom needed, slow to import

                    return regex.search(other, text, self._charge)
                if operator == "contains":
                    return other in text
                return text.startswith(other) if operator == "startsWith" else text.endswith(other)
            case "startsWith" | "endsWith" | "contains" | "matches", _:
                raise no_overload(f"{operator}()", *values)
            case _:
                raise ExpressionError(f"there is no operation {operator} with {len(values)} arguments")

    # Truth

    def _truth(self, tree: Tree, where: str) -> bool:
        value = self.at(tree)
        if type(value) is not bool:
            if kind_of(value) == "artifact":
                raise _Failed(artifact_read().message, tree)
            raise _Failed(f"`{where}` needs a bool, not a {kind_of(value)}", tree)
        return value

    def _logical(self, tree: Operation, *, decisive: bool) -> bool:
        """`&&` (decided by false) and `||` (decided by true): an error on one side gives way to a decision on the
        other."""
        error: _Failed | ExpressionError | None = None
        for part in tree.arguments:
            try:
                if self._truth(part, tree.operator.strip("_")) is decisive:
                    return decisive
            except (_Failed, ExpressionError) as caught:
                error = error or caught
        if error is not None:
            raise error
        return not decisive

    # Macros

    def _comprehension(self, tree: Comprehension) -> Any:
        over = self.at(tree.over)
        if not isinstance(over, list | tuple | dict):
            raise _Failed(f"{tree.macro}() goes over a list or a map, not a {kind_of(over)}", tree)
        outer = self._variables
        self._variables = dict(outer)
        try:
            return self._macro(tree, over)
        finally:
            self._variables = outer

    def _macro(self, tree: Comprehension, over: Iterable[Any]) -> Any:
        macro, step = f"{tree.macro}()", tree.steps[-1]
        if tree.macro == "all" or tree.macro == "exists":
            return self._quantified(tree, over, decisive=tree.macro == "exists")
        conditions = tree.steps[:-1] if tree.macro == "map" else tree.steps
        made: list[Any] = []
        for item in over:
            self._variables[tree.variable] = item
            if all(self._truth(condition, macro) for condition in conditions):
                made.append(self.at(step) if tree.macro == "map" else item)
        return len(made) == 1 if tree.macro == "exists_one" else made

    def _quantified(self, tree: Comprehension, over: Iterable[Any], *, decisive: bool) -> bool:
        error: _Failed | ExpressionError | None = None
        for item in over:
            self._variables[tree.variable] = item
            try:
                if self._truth(tree.steps[0], f"{tree.macro}()") is decisive:
                    return decisive
            except (_Failed, ExpressionError) as caught:
                error = error or caught
        if error is not None:
            raise error
        return not decisive
