"""CEL text to a tree, by precedence; macros are recognised here and names become values through the caller's
`resolve_name`. Source: https://github.com/google/cel-spec doc/langdef.md, "Syntax" and "Name Resolution".

Narrower than the language: messages (`Type{field: 1}`), durations, timestamps and types as values are refused, and so
are names and functions that do not exist, which CEL lets pass until they are evaluated. Wider: a first name may stand
in backticks, as a field's may, since node names contain dashes: "`fit-2`.accuracy"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock.base.errors import ExpressionError
from penstock.graph.expression.grammar import (
    BINARY,
    CONDITIONAL,
    DEPTH_MAX,
    FUNCTIONS,
    INDEX,
    INT_MAX,
    MACROS,
    METHODS,
    NESTING_MAX,
    RESERVED,
    UNARY,
)
from penstock.graph.expression.tokens import Token, tokens
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
    UInt,
    depth,
)

if TYPE_CHECKING:
    from penstock.graph.bindings import Value

_LEFT_OUT = frozenset(
    {
        *("duration", "timestamp", "type", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear"),
        *("getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds"),
    }
)


class UnknownName(ExpressionError):
    """Nothing has this name. `name` is the whole dotted name as written, so that the caller can say what is near it."""

    def __init__(self, name: str, *, position: int) -> None:
        super().__init__(f"nothing here is called `{name}`", position=position)
        self.name = name


OwnFunctions = Mapping[str, Callable[[tuple[Tree, ...]], Tree]]
"""Functions of the caller's by name: each makes a tree of its arguments."""

NO_FUNCTIONS: OwnFunctions = {}


def parse(text: str, resolve_name: Callable[[str], Value | None], functions: OwnFunctions = NO_FUNCTIONS) -> Tree:
    """The tree of `text`. A dotted name is offered to `resolve_name` longest first (`a.b.c`, `a.b`, `a`); what is left
    over becomes field selection. A variable of a macro hides names from outside, unless they are written with a dot in
    front. `functions` are called as `name(...)` beside CEL's own. Raises ExpressionError with the position of the first
    mistake, UnknownName among them."""
    parser = _Parser(tokens(text), resolve_name, functions)
    try:
        tree = parser.expression()
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply to be read here") from None
    parser.expect_end()
    if (levels := depth(tree)) > DEPTH_MAX:
        raise ExpressionError(f"the expression is {levels} operations deep; at most {DEPTH_MAX} are allowed")
    return tree


class _Parser:
    __slots__ = ("_at", "_functions", "_nesting", "_resolve_name", "_tokens", "_variables")

    def __init__(
        self, found: list[Token], resolve_name: Callable[[str], Value | None], functions: OwnFunctions
    ) -> None:
        self._functions = functions
        self._tokens = found
        self._at = 0
        self._nesting = 0
        self._resolve_name = resolve_name
        self._variables: list[str] = []

    # Tokens

    def _next(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, symbol: str) -> bool:
        token = self._tokens[self._at]
        return token.kind == "symbol" and token.text == symbol

    def _take(self, symbol: str) -> bool:
        found = self._is(symbol)
        self._at += found
        return found

    def _expect(self, symbol: str, why: str) -> None:
        if not self._take(symbol):
            raise self._unexpected(f"`{symbol}` {why}")

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._next()
        found = "the end" if token.kind == "end" else f"`{token.text}`"
        return ExpressionError(f"expected {wanted}, found {found}", position=token.position)

    def expect_end(self) -> None:
        if self._next().kind != "end":
            raise self._unexpected("an operator or the end")

    # Operators

    def expression(self) -> Tree:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise ExpressionError(
                f"more than {NESTING_MAX} brackets inside one another", position=self._next().position
            )
        cases: list[tuple[Tree, Tree]] = []
        tree = self._binary()
        while self._take("?"):
            taken = self._binary()
            self._expect(":", "between the two values of `?`")
            cases.append((tree, taken))
            tree = self._binary()
        for condition, taken in reversed(cases):
            tree = Operation(CONDITIONAL, (condition, taken, tree))
        self._nesting -= 1
        return tree

    def _binary(self) -> Tree:
        """Operators of precedence 1 to 5, with a stack of its own so that precedence costs no Python stack."""
        operands = [self._unary()]
        waiting: list[tuple[str, int]] = []

        def reduce(precedence: int) -> None:
            while waiting and waiting[-1][1] >= precedence:
                right = operands.pop()
                operands.append(Operation(waiting.pop()[0], (operands.pop(), right)))

        while self._next().kind == "symbol" and (found := BINARY.get(self._next().text)):
            self._advance()
            reduce(found[1])
            waiting.append(found)
            operands.append(self._unary())
        reduce(0)
        return operands[0]

    def _unary(self) -> Tree:
        signs: list[str] = []
        while (self._is("!") or self._is("-")) and (not signs or self._is(signs[0])):
            signs.append(self._advance().text)
        literal = self._next()
        number = literal.value if literal.kind == "literal" else None
        if signs and signs[0] == "-" and isinstance(number, int | float) and not isinstance(number, bool | UInt):
            # The last minus belongs to the number: the smallest int has no positive twin.
            signs.pop()
            self._advance()
            tree = self._member(Literal(-number))
        else:
            tree = self._member(self._primary())
        for sign in reversed(signs):
            tree = Operation(UNARY[sign], (tree,))
        return tree

    # Members

    def _member(self, tree: Tree) -> Tree:
        while True:
            if self._take("["):
                tree = Operation(INDEX, (tree, self.expression()))
                self._expect("]", "to close the index")
            elif self._take("."):
                field = self._field()
                tree = self._method(tree, field) if self._is("(") else Select(tree, field.text)
            elif self._is("{"):
                raise ExpressionError(
                    "messages (`Name{field: value}`) are not supported; a map is written {'field': value}",
                    position=self._next().position,
                )
            else:
                return tree

    def _field(self) -> Token:
        if self._next().kind not in ("name", "quoted"):
            raise self._unexpected("a field name after `.`")
        return self._advance()

    def _method(self, receiver: Tree, name: Token) -> Tree:
        if name.text in MACROS:
            return self._macro(receiver, name)
        self._advance()
        arguments = (receiver, *self._items(")"))
        self._check_call(name, METHODS, len(arguments))
        return Operation(name.text, arguments, method=True)

    def _macro(self, over: Tree, name: Token) -> Tree:
        self._advance()
        variable = self._advance()
        if variable.kind != "name" or variable.text in RESERVED or not self._is(","):
            raise ExpressionError(
                f"{name.text}() takes a name for the item first: items.{name.text}(item, ...)",
                position=variable.position,
            )
        self._variables.append(variable.text)
        steps = []
        while self._take(","):
            steps.append(self.expression())
        self._expect(")", f"to close {name.text}()")
        self._variables.pop()
        if len(steps) not in MACROS[name.text]:
            count = " or ".join(str(n + 1) for n in MACROS[name.text])
            raise ExpressionError(f"{name.text}() takes {count} arguments", position=name.position)
        return Comprehension(name.text, over, variable.text, tuple(steps))

    def _items(self, close: str) -> list[Tree]:
        """Expressions with commas between, up to and with `close`; only a list may end with a comma."""
        items: list[Tree] = []
        while not self._take(close):
            if items:
                self._expect(",", f"or `{close}`")
                if close == "]" and self._take(close):
                    break
            items.append(self.expression())
        return items

    # Primaries

    def _primary(self) -> Tree:
        token = self._next()
        if token.kind == "literal":
            self._advance()
            if type(token.value) is int and token.value > INT_MAX:
                raise ExpressionError(f"{token.text} does not fit into 64 bits", position=token.position)
            return Literal(token.value)
        if token.kind in ("name", "quoted"):
            return self._named(rooted=False)
        if self._take("("):
            tree = self.expression()
            self._expect(")", "to close the bracket")
            return tree
        if self._take("["):
            return ListTree(tuple(self._items("]")))
        if self._take("{"):
            return self._map()
        if self._take("."):
            return self._named(rooted=True)
        raise self._unexpected("a value")

    def _map(self) -> Tree:
        entries: list[tuple[Tree, Tree]] = []
        while not self._take("}"):
            if entries:
                self._expect(",", "or `}`")
                if self._take("}"):
                    break
            key = self.expression()
            self._expect(":", "between a key and its value")
            entries.append((key, self.expression()))
        return MapTree(tuple(entries))

    def _named(self, *, rooted: bool) -> Tree:
        """A variable, a value from outside with its fields, or a call of a function."""
        first = self._field()
        if first.kind == "name" and first.text in RESERVED:
            raise ExpressionError(f"`{first.text}` is a reserved word", position=first.position)
        if first.kind == "name" and self._is("("):
            return self._call(first)
        if not rooted and first.kind == "name" and first.text in self._variables:
            return Name(first.text)
        parts = [first.text]
        ends = [self._at]
        while self._is(".") and self._tokens[self._at + 1].kind in ("name", "quoted"):
            after = self._tokens[self._at + 2]
            if after.kind == "symbol" and after.text == "(":
                break
            parts.append(self._tokens[self._at + 1].text)
            self._at += 2
            ends.append(self._at)
        for length in range(len(parts), 0, -1):
            value = self._resolve_name(".".join(parts[:length]))
            if value is not None:
                self._at = ends[length - 1]
                return Reference(value)
        if self._is("{"):
            return self._member(Literal(None))  # refuses the message
        raise UnknownName(".".join(parts), position=first.position)

    def _call(self, name: Token) -> Tree:
        self._advance()
        start = self._next().position
        arguments = tuple(self._items(")"))
        if name.text == "has":
            operand = arguments[0] if len(arguments) == 1 else None
            if not isinstance(operand, Select) or operand.test_only:
                raise ExpressionError("has() takes a field of a struct: has(value.field)", position=start)
            return Select(operand.operand, operand.field, test_only=True)
        if name.text in self._functions:
            return self._functions[name.text](arguments)
        self._check_call(name, FUNCTIONS, len(arguments))
        return Operation(name.text, arguments)

    def _check_call(self, name: Token, known: dict[str, int], given: int) -> None:
        wanted = known.get(name.text)
        if wanted == given:
            return
        as_method = known is METHODS
        if wanted is not None:
            one_less = 1 if as_method else 0
            what = f"{name.text}() takes {wanted - one_less} arguments, got {given - one_less}"
        elif name.text in _LEFT_OUT:
            what = f"{name.text}() is not supported: expressions know no times and no types as values"
        elif as_method and name.text in FUNCTIONS:
            what = f"{name.text} is called as {name.text}(value)"
        elif not as_method and name.text in METHODS:
            what = f"{name.text} is called as value.{name.text}(...)"
        elif not as_method and name.text in MACROS:
            what = f"{name.text} is called as items.{name.text}(item, ...)"
        else:
            shape = "value.{}(...)" if as_method else "{}(...)"
            there_are = ", ".join(sorted({**known, **MACROS} if as_method else [*known, "has"]))
            what = f"there is no function {shape.format(name.text)}; there are {there_are}"
        raise ExpressionError(what, position=name.position)
