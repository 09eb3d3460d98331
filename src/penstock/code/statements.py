"""From a source file to its facts: units are top-level bindings with every statement that binds them (cache rule 2)."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import decode_source

from penstock.code.facts import Facts, Statement
from penstock.code.logged import LEVELS, without_log_lines
from penstock.code.names import ALL_STARS
from penstock.code.nodes import children, walk
from penstock.code.normal import digest_of_syntax, in_order, never_counts, normalise, unread_annotations
from penstock.code.references import TELLS_LITTLE, Reader, Surroundings
from penstock.code.scopes import _own_nodes, bound_names, imported_modules, imported_names
from penstock.code.spelling import respell

_SHOWN = frozenset({"level", "format", "datefmt", "style"})
_MUTED = frozenset({"ignore", "default", "once", "always", "module"})
_BODIES = (ast.FunctionDef, ast.AsyncFunctionDef)


def facts_of(source: bytes, *, module: str, is_package: bool) -> Facts:
    """The facts of a source; of one that does not parse, only why."""
    package = module if is_package else module.rpartition(".")[0]
    try:
        text = decode_source(source)
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Facts(module, is_package, (), {}, (), (), dynamic=False, error=f"it cannot be parsed: {error}"[:300])
    top = list(_counting(tree.body))
    imports: dict[str, dict[str, None]] = {}
    stars: dict[str, None] = {}
    runs: dict[str, None] = {}
    for node in (node for node in _own_nodes(top) if isinstance(node, (ast.Import, ast.ImportFrom))):
        runs.update(dict.fromkeys(imported_modules(node, package=package)))
        for name, chain in imported_names(node, package=package):
            imports.setdefault(name, {})[chain] = None
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            stars[next(imported_modules(node, package=package))] = None
    table = {name: tuple(chains) for name, chains in imports.items()}
    binding = [(statement, tuple(_bound(statement, package))) for statement in top]
    bound = frozenset(name for _, names in binding for name in names) | frozenset(table)
    where = Surroundings(module, package, table, bound, _texts(binding), tuple(stars), _loggers(binding))
    lines = text.splitlines(keepends=True)
    statements = []
    if isinstance(docs := (tree.body[0] if tree.body else None), ast.Expr) and isinstance(docs.value, ast.Constant):
        statements.append(_docstring(docs))
    often = _bound_often(binding, len(stars) > 1)
    imported = _imported_once(binding, table, often)
    statements += [
        _statement(statement, copy, names, where, lines, imported=imported, often=often)
        for (statement, names), copy in zip(binding, _counting(ast.parse(text).body), strict=True)
        if not _is_import(statement) or not often.isdisjoint(names)
    ]
    dynamic = any(isinstance(node, ast.Name) and node.id in ("globals", "vars") for node in _own_nodes(top))
    return Facts(module, is_package, tuple(statements), table, tuple(stars), tuple(runs), dynamic)


def _counting(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that count, what is left of guards in their place."""
    for statement in statements:
        left = never_counts(statement)
        if left is not None:
            yield from _counting(left)
        elif isinstance(statement, ast.Try) and all(map(_is_import, statement.body)) and not statement.handlers:
            yield from _counting([*statement.body, *statement.orelse, *statement.finalbody])
        else:
            yield statement


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def _docstring(statement: ast.Expr) -> Statement:
    """The docstring of the module is what the name `__doc__` is bound to."""
    digest = digest_of_syntax(statement)
    last = statement.end_lineno or statement.lineno
    rest: tuple[tuple[str, ...], ...] = ((),) * 6
    refs, annotations, imports, stores, mutates, empty = rest
    return Statement(
        "doc", statement.lineno, last, ("__doc__",), digest, digest, digest, digest, refs, refs, annotations, imports, stores, (),
        mutates, False, 0, empty, empty, empty, (), (), empty,
    )  # fmt: skip


Binding = Sequence[tuple[ast.stmt, Sequence[str]]]
"""The statements of a module, each with every name that it binds, as often as it does."""


def _texts(binding: Binding) -> dict[str, str]:
    """Names that are bound to plain text, and nowhere else."""
    found: dict[str, list[str]] = {}
    for statement, names in binding:
        for name in names:
            value = statement.value if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
            plain = isinstance(value, ast.Constant) and isinstance(value.value, str)
            found.setdefault(name, []).append(value.value if plain else "\0")  # type: ignore[union-attr]
    return {name: texts[0] for name, texts in found.items() if len(texts) == 1 and texts[0] != "\0"}


def _loggers(binding: Binding) -> frozenset[str]:
    """Names that are bound to what `logging.getLogger` answers, and nowhere else."""
    counts = Counter(name for _, names in binding for name in names)
    return frozenset(
        each.targets[0].id
        for each, _ in binding
        if isinstance(each, ast.Assign) and len(each.targets) == 1 and isinstance(each.targets[0], ast.Name)
        if isinstance(each.value, ast.Call) and ast.unparse(each.value.func) in ("logging.getLogger", "getLogger")
        if counts[each.targets[0].id] == 1
    )


def _bound(statement: ast.stmt, package: str) -> Iterator[str]:
    """Every name of the module that a statement binds, by `global` in a function as well."""
    for node in _own_nodes([statement]):
        yield from bound_names(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (name for name, _ in imported_names(node, package=package))
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and node is statement:
                yield ALL_STARS
    if isinstance(statement, (*_BODIES, ast.ClassDef)):
        for node in walk(statement):
            if isinstance(node, ast.Global):
                yield from node.names


def _bound_often(binding: Binding, several_stars: bool) -> frozenset[str]:
    """Names that imports bind and something else as well, so that the order of the statements counts."""
    counts = Counter(name for _, names in binding for name in set(names))
    imported = {name for statement, names in binding if _is_import(statement) for name in names}
    stars = {ALL_STARS} if several_stars else set()
    return frozenset({name for name in imported if counts[name] > 1} - {ALL_STARS} | stars)


def _imported_once(binding: Binding, imports: Mapping[str, Sequence[str]], often: frozenset[str]) -> dict[str, str]:
    """What names mean that one import binds, and nothing else."""
    bound = {name for statement, names in binding if _is_import(statement) for name in names}
    return {name: imports[name][0] for name in bound - often if len(imports.get(name, ())) == 1}


def _statement(
    statement: ast.stmt,
    copy: ast.stmt,
    names: Sequence[str],
    where: Surroundings,
    lines: Sequence[str],
    *,
    imported: Mapping[str, str],
    often: frozenset[str],
) -> Statement:
    """What a statement that binds `names` says. It and its copy are changed; `imported` is what `respell` is given."""
    kind = "def" if isinstance(statement, _BODIES) else "class" if isinstance(statement, ast.ClassDef) else "data"
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(each.lineno for each in decorators)])
    last = statement.end_lineno or statement.lineno
    raw = hashlib.sha256("".join(lines[first - 1 : last]).encode("utf-8", "surrogatepass")).hexdigest()
    respell(copy, imported)
    signature = Reader(where)
    for function in unread_annotations(statement):
        signature._annotations(function)
    binds = tuple(dict.fromkeys(names))
    if _is_import(statement):
        kind, binds = "import", tuple(name for name in binds if name in often)
    is_ours = partial(_is_ours, where=where)
    statement = normalise(statement, is_ours=is_ours)
    named = digest_of_syntax(statement)
    statement = in_order(without_log_lines(statement, partial(_is_log, where=where)))
    reader = Reader(where)
    reader.read(statement)
    found = reader.found
    done = _Import(where)
    done.statement(statement)
    outer = [each.func if isinstance(each, ast.Call) else each for each in decorators]
    bases = list(getattr(statement, "bases", ())) if kind == "class" else []
    keywords = [each.value for each in statement.keywords] if isinstance(statement, ast.ClassDef) else []
    readers, below = _chains([*outer, *bases, *keywords], reader), _chains(bases, reader)
    respell(statement, imported)
    return Statement(
        kind=kind,
        first=first,
        last=last,
        binds=binds,
        plain=digest_of_syntax(statement),
        named=named,
        full=digest_of_syntax(copy),
        raw=raw,
        refs=tuple({**found.refs, **found.returned}),
        returned=tuple([chain for chain in found.returned if chain not in found.refs]),
        annotations=tuple({**signature.found.annotations, **found.annotations}),
        imports=tuple(found.imports),
        stores=tuple(done.stores),
        calls=tuple(done.calls),
        mutates=tuple(found.mutates),
        has_effect=done.has_effect,
        flags=found.flags | (TELLS_LITTLE if _tells_little(statement, reader) else 0),
        readers=readers,
        bases=below,
        variables=tuple(found.variables),
        suspects=tuple(found.suspects),
        natives=tuple(found.natives),
        functions=tuple(found.functions),
    )


def _chains(nodes: Sequence[ast.expr], reader: Reader) -> tuple[str, ...]:
    return tuple(chain for node in nodes for chain in reader.chains_of(node) or ())


def _is_ours(node: ast.expr, where: Surroundings) -> bool:
    if not isinstance(node, (ast.Name, ast.Attribute)):
        return False
    reader = Reader(where)
    return any(each.partition(".")[0] == "penstock" for each in reader.meanings(reader.chains_of(node) or ()))


def _is_log(function: ast.expr, where: Surroundings) -> bool:
    """`logger.info`, of a logger of this module, or `logging.info`."""
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    reader = Reader(where)
    if reader.is_named(function.value, "logging"):
        return True
    return isinstance(function.value, ast.Name) and function.value.id in where.loggers


def _tells_little(statement: ast.stmt, reader: Reader) -> bool:
    """`logging.basicConfig(level=...)`, `warnings.filterwarnings("ignore")`: nothing that a result shows."""
    if not isinstance(statement, ast.Expr) or not isinstance(call := statement.value, ast.Call):
        return False
    if reader.is_named(call.func, "logging.basicConfig"):
        return not call.args and all(each.arg in _SHOWN for each in call.keywords)
    if reader.is_named(call.func, "warnings.filterwarnings", "warnings.simplefilter") and call.args:
        return isinstance(call.args[0], ast.Constant) and call.args[0].value in _MUTED
    return False


class _Import:
    """What a statement does while its module is imported: bodies of functions are left out."""

    def __init__(self, where: Surroundings) -> None:
        self.stores: dict[str, None] = {}
        self.calls: dict[tuple[str, str], None] = {}
        self.has_effect = False
        self._reader = Reader(where)

    def statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._alone(statement.value)
            return
        if isinstance(statement, (ast.Expr, ast.Assert, ast.Raise)):
            self.has_effect = True
        for decorator in getattr(statement, "decorator_list", ()):
            self._call(decorator.func if isinstance(decorator, ast.Call) else decorator, "decorator")
        self._parts(statement)

    def _parts(self, node: ast.AST) -> None:
        for child in children(node):
            if isinstance(node, _BODIES) and child in node.body:
                continue
            if isinstance(child, ast.stmt):
                self.statement(child)
            elif isinstance(child, ast.expr):
                self._expression(child)
            else:
                self._parts(child)

    def _alone(self, call: ast.Call) -> None:
        if self._reader.is_named(call.func, "builtins.print"):
            pass
        elif self._reader.is_named(call.func, "builtins.setattr", "builtins.delattr") and len(call.args) >= 2:
            name = self._reader.text_of(call.args[1])
            for chain in self._reader.chains_of(call.args[0]) or ():
                # a computed name may be any of them: the store goes into the object itself
                self.stores[chain if name is None else _below(chain, name)] = None
        else:
            self._call(call.func, "alone")
        self._parts(call)

    def _call(self, function: ast.expr, how: str) -> None:
        chains = self._reader.chains_of(function)
        if chains:
            self.calls.update(dict.fromkeys((chain, how) for chain in chains))
        elif how == "alone":
            self._changed_through(function)

    def _changed_through(self, function: ast.expr) -> None:
        """`a["b"].append(c)` changes `a`; what is called through anything else is an effect."""
        inner = function
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            inner = inner.value
            chains = self._reader.chains_of(inner)
            if chains:
                self.stores.update(dict.fromkeys(chains))
                return
        self.has_effect = True

    def _expression(self, expression: ast.expr) -> None:
        if isinstance(expression, ast.Lambda):
            return
        if isinstance(expression, (ast.Attribute, ast.Subscript)) and not isinstance(expression.ctx, ast.Load):
            self._store(expression)
        elif isinstance(expression, ast.Call):
            self._call(expression.func, "inside")
        self._parts(expression)

    def _store(self, target: ast.Attribute | ast.Subscript) -> None:
        chains = self._reader.chains_of(target if isinstance(target, ast.Attribute) else target.value)
        if chains:
            self.stores.update(dict.fromkeys(chains))
        else:
            self._changed_through(target)


def _below(chain: str, name: str) -> str:
    return f"{chain}|{name}" if chain[0] == "=" and "|" not in chain else f"{chain}.{name}"
