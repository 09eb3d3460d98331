"""What a statement reaches by name (cache rule 3): every global name in it at any depth, with the attributes that are
asked of it.

A chain is a global name and its attributes, `name.attribute.attribute`, or an absolute one, `=module|attribute`. A
chain that ends at a module means that module as a value, so all of it."""

from __future__ import annotations

import ast
import builtins
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.code import suspects
from penstock.code.nodes import children, walk
from penstock.code.scopes import (
    Scope,
    absolute,
    imported_modules,
    imported_names,
    scope_of_comprehension,
    scope_of_function,
)

READS_TEXT_OF_OBJECTS = 1
"""The statement reads docstrings, annotations or signatures of something."""
READS_SOURCE = 2
"""The statement reads source text or code objects of something."""
TELLS_SUBCLASSES = 4
"""A class that learns of its subclasses: `__init_subclass__`, a metaclass."""
ASKS_SUBCLASSES = 8
READS_NAMES = 16
"""The statement may read the names of local variables, or the order of what stands in a class or module."""
READS_WHAT_IS_TOLD = 32
"""The statement may read what is logged or warned of."""
TELLS_LITTLE = 64
"""The statement sets up what is logged and warned of, and does nothing else."""

_FLAG_BY_NAME = {
    "__doc__": READS_TEXT_OF_OBJECTS,
    "getdoc": READS_TEXT_OF_OBJECTS,
    "__annotations__": READS_TEXT_OF_OBJECTS,
    "get_type_hints": READS_TEXT_OF_OBJECTS,
    "get_annotations": READS_TEXT_OF_OBJECTS,
    "signature": READS_TEXT_OF_OBJECTS,
    "resolve_types": READS_TEXT_OF_OBJECTS,
    "validate_call": READS_TEXT_OF_OBJECTS,
    "validate_arguments": READS_TEXT_OF_OBJECTS,
    "TypeAdapter": READS_TEXT_OF_OBJECTS,
    "typer": READS_TEXT_OF_OBJECTS,
    "jsonargparse": READS_TEXT_OF_OBJECTS,
    "beartype": READS_TEXT_OF_OBJECTS,
    "typeguard": READS_TEXT_OF_OBJECTS,
    "injector": READS_TEXT_OF_OBJECTS,
    "getfullargspec": READS_TEXT_OF_OBJECTS,
    "getsource": READS_SOURCE,
    "getsourcelines": READS_SOURCE,
    "linecache": READS_SOURCE,
    "__code__": READS_SOURCE,
    "f_lineno": READS_SOURCE,
    "co_firstlineno": READS_SOURCE,
    "__init_subclass__": TELLS_SUBCLASSES,
    "__subclasses__": ASKS_SUBCLASSES,
}
# fmt: off
_FLAG_BY_NAME.update(dict.fromkeys((
    "locals", "vars", "dir", "f_locals", "f_back", "_getframe", "_current_frames", "currentframe", "getclosurevars",
    "getinnerframes", "getgeneratorlocals", "gi_frame", "cr_frame", "ag_frame", "tb_frame", "__closure__", "cell_contents",
    "__dict__", "getmembers", "getmembers_static", "__set_name__", "__prepare__", "settrace", "setprofile", "capture_locals",
    "query", "eval", "exec", "evaluate", "sql", "execute", "sqldf", "save_hyperparameters", "formula", "from_formula",
    "dmatrix", "dmatrices", "model_matrix", "aes", "cloudpickle", "dill", "marshal", "inspect.stack", "inspect.trace",
), READS_NAMES))
_FLAG_BY_NAME.update(dict.fromkeys((
    "catch_warnings", "showwarning", "formatwarning", "isEnabledFor", "getEffectiveLevel", "hasHandlers", "handlers",
    "Handler", "StreamHandler", "FileHandler", "MemoryHandler", "QueueHandler", "Formatter", "Filter", "addHandler",
    "addFilter", "LogRecord", "setLogRecordFactory", "setLoggerClass", "captureWarnings", "assertLogs", "caplog", "capsys",
    "redirect_stdout", "redirect_stderr", "warnings.filters", "warnings.warn_explicit",
), READS_WHAT_IS_TOLD))
# fmt: on
# Methods that change what they are called on, as far as their names tell.
# fmt: off
CHANGING = frozenset((
    "add", "append", "appendleft", "extend", "insert", "update", "setdefault", "pop", "popitem", "popleft",
    "remove", "discard", "clear", "sort", "reverse", "register", "register_function", "subscribe", "connect",
    "bind", "on", "push", "put", "enqueue", "__setitem__", "set", "use", "include", "add_node", "add_handler",
))
# fmt: on
_ASKING = ("builtins.isinstance", "builtins.issubclass", "builtins.hasattr")
_BUILTINS = frozenset(dir(builtins))


@dataclass(slots=True)
class Surroundings:
    """The module that a statement stands in: its name, its package, what its top-level imports bind, which names it
    binds at all, and which of them are plain text."""

    module: str
    package: str
    imports: Mapping[str, Sequence[str]]
    bound: frozenset[str]
    texts: Mapping[str, str]
    stars: Sequence[str] = ()
    """The modules of which everything is imported."""
    loggers: frozenset[str] = frozenset()


@dataclass(slots=True)
class Found:
    """What was found in one statement; `dict`s stand for ordered sets."""

    refs: dict[str, None] = field(default_factory=dict)
    annotations: dict[str, None] = field(default_factory=dict)
    returned: dict[str, None] = field(default_factory=dict)
    """What the return annotation of a function at the top names, where it counts."""
    imports: dict[str, None] = field(default_factory=dict)
    mutates: dict[str, None] = field(default_factory=dict)
    variables: dict[str, None] = field(default_factory=dict)
    suspects: list[tuple[str, int]] = field(default_factory=list)
    natives: list[tuple[str, str, int]] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    flags: int = 0


def extended(chain: str, attribute: str) -> str:
    return f"{chain}|{attribute}" if chain[0] == "=" and "|" not in chain else f"{chain}.{attribute}"


class Reader:
    """Walks one statement. `chains_of` answers what an expression names, where it names something."""

    def __init__(self, where: Surroundings) -> None:
        self.where = where
        self.found = Found()
        self._scopes: list[Scope] = []
        self._names: list[str] = []
        self.is_asked_about = False
        """Only what an object is, or whether there is one, is asked: `isinstance`, `hasattr`."""

    # -- what an expression names ------------------------------------------------------------------------------------

    def chains_of(self, node: ast.expr) -> list[str] | None:
        """The chains of an expression; [] for something local; None where it names nothing."""
        if isinstance(node, ast.Name):
            return self._look_up(node.id)
        if isinstance(node, ast.Attribute):
            below = self.chains_of(node.value)
            return None if below is None else [extended(chain, node.attr) for chain in below]
        if isinstance(node, (ast.Call, ast.Subscript)):
            return self._computed(node)
        return None

    def _look_up(self, name: str) -> list[str]:
        for scope in reversed(self._scopes):
            if name in scope.local:
                return scope.imported.get(name, [])
        return [name]

    def _computed(self, node: ast.Call | ast.Subscript) -> list[str] | None:
        """`getattr(x, "name")`, `import_module("name")`, `sys.modules["name"]`, `globals()["name"]`."""
        if isinstance(node, ast.Subscript):
            key = self.text_of(node.slice)
            if self.is_named(node.value, "sys.modules"):
                own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
                return [f"={self.where.module}"] if own else None if key is None else [f"={key}"]
            inner = node.value
            if key and isinstance(inner, ast.Call) and not inner.args and self.is_named(inner.func, "builtins.globals"):
                return [key]
            return None
        if self.is_named(node.func, "builtins.getattr") and len(node.args) >= 2:
            below, name = self.chains_of(node.args[0]), self.text_of(node.args[1])
            return None if below is None or name is None else [extended(chain, name) for chain in below]
        if self.is_named(node.func, "importlib.import_module", "builtins.__import__") and node.args:
            name = self.text_of(node.args[0])
            if name is None:
                return None
            level = len(name) - len(name.lstrip("."))
            return [f"={absolute(name[level:], level=level, package=self.where.package)}"]
        return None

    def text_of(self, node: ast.AST) -> str | None:
        """The text that a node stands for, itself or as the name of one in this module."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name) and self._look_up(node.id) == [node.id]:
            return self.where.texts.get(node.id)
        return None

    def meanings(self, chains: Iterable[str]) -> list[str]:
        """Dotted names of what chains mean, imports followed one level: `os.environ`, `builtins.eval`."""
        answer: list[str] = []
        for chain in chains:
            root, dot, rest = chain.partition(".")
            if chain[0] == "=":
                answer.append(chain[1:].replace("|", "."))
            elif root in self.where.imports:
                answer += [f"{each[1:].replace('|', '.')}{dot}{rest}" for each in self.where.imports[root]]
            elif root not in self.where.bound:
                answer += [f"{star}.{chain}" for star in self.where.stars]
                if root in _BUILTINS:
                    answer.append(f"builtins.{chain}")
        return answer

    def is_named(self, node: ast.expr, *names: str) -> bool:
        if not isinstance(node, (ast.Name, ast.Attribute)):
            return False
        chains = self.chains_of(node)
        return bool(chains) and any(meaning in names for meaning in self.meanings(chains or ()))

    # -- walking -----------------------------------------------------------------------------------------------------

    def read(self, node: ast.AST) -> None:
        method = getattr(self, f"_read_{type(node).__name__.lower()}", None)
        if method is not None:
            method(node)
        else:
            self._read_inside(node)

    def _read_inside(self, node: ast.AST) -> None:
        for child in children(node):
            self.read(child)

    def refer(self, chains: Iterable[str]) -> None:
        chains = list(chains)
        self.found.refs.update(dict.fromkeys(chains))
        meanings = self.meanings(chains)
        for name in (*chains, *meanings):
            self.found.flags |= _FLAG_BY_NAME.get(name, 0)
            for part in name.replace("|", ".").split("."):
                self.found.flags |= _FLAG_BY_NAME.get(part, 0)
        for meaning in meanings:
            if meaning in ("builtins.globals", "builtins.vars", "builtins.dir"):
                self.found.refs[f"={self.where.module}"] = None

    def _read_name(self, node: ast.Name) -> None:
        chains = self._look_up(node.id)
        self.refer(chains)
        suspects.judge_reference(self, node, chains)
        if not isinstance(node.ctx, ast.Load) and self._scopes:
            self.found.mutates.update(dict.fromkeys(chains))

    def _read_attribute(self, node: ast.Attribute) -> None:
        self.found.flags |= _FLAG_BY_NAME.get(node.attr, 0)
        chains = self.chains_of(node)
        if chains is None:
            self.read(node.value)
            return
        self.refer(chains)
        if isinstance(node.ctx, ast.Load):
            suspects.judge_reference(self, node, chains)
        elif self._scopes:
            self.found.mutates.update(dict.fromkeys(chains))

    def _read_subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load) and self._scopes:
            self.found.mutates.update(dict.fromkeys(self.chains_of(node.value) or ()))
        chains = self._computed(node)
        if chains is not None:
            self.refer(chains)
        elif not suspects.judge_subscript(self, node):
            self.read(node.value)
        self.read(node.slice)

    def _read_call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING and self._scopes:
            self.found.mutates.update(dict.fromkeys(self.chains_of(node.func.value) or ()))
        chains = self._computed(node)
        if chains is not None:
            self.refer(chains)
            suspects.judge_reference(self, node, chains)
        elif not suspects.judge_call(self, node):
            self.read(node.func)
        before = self.is_asked_about
        self.is_asked_about = chains is not None or self.is_named(node.func, *_ASKING)
        for argument in (*node.args, *node.keywords):
            self.read(argument)
        self.is_asked_about = before

    def _read_keyword(self, node: ast.keyword) -> None:
        self.found.flags |= _FLAG_BY_NAME.get(node.arg or "", 0)
        self.read(node.value)

    def _read_compare(self, node: ast.Compare) -> None:
        if not suspects.judge_compare(self, node):
            self._read_inside(node)

    def _read_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import inside a function; those at the top bind names of the module."""
        if not self._scopes:
            return
        self.found.imports.update(dict.fromkeys(imported_modules(node, package=self.where.package)))
        for _, chain in imported_names(node, package=self.where.package):
            if "|" in chain:
                self.found.refs[chain] = None

    _read_importfrom = _read_import

    def _read_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.read(decorator)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.read(default)
        self._annotations(node)
        self._names.append(node.name)
        self.found.functions.append(".".join(self._names))
        self._names.append("<locals>")
        self._scopes.append(scope_of_function(node, package=self.where.package))
        for statement in node.body:
            self.read(statement)
        self._scopes.pop()
        del self._names[-2:]

    _read_asyncfunctiondef = _read_functiondef

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        given = node.args
        all_ = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
        annotations = [each.annotation for each in all_ if each is not None and each.annotation is not None]
        counts = bool(node.decorator_list or self._names)
        for annotation in annotations:
            self._annotation(annotation, counts=counts)
        if node.returns is not None:
            is_outermost = counts and not self._names
            self._annotation(node.returns, counts=counts, into=self.found.returned if is_outermost else None)

    def _annotation(self, annotation: ast.expr, *, counts: bool, into: dict[str, None] | None = None) -> None:
        inner = Reader(self.where)
        inner._scopes = self._scopes
        inner.read(annotation)
        for node in walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                with contextlib.suppress(SyntaxError, ValueError):
                    inner.read(ast.parse(node.value, mode="eval"))
        into = (self.found.refs if counts else self.found.annotations) if into is None else into
        into.update(inner.found.refs)

    def _read_annassign(self, node: ast.AnnAssign) -> None:
        self.read(node.target)
        if node.value is not None:
            self.read(node.value)
        self._annotation(node.annotation, counts=not self._scopes)

    def _read_lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.read(default)
        self._scopes.append(scope_of_function(node, package=self.where.package))
        self.read(node.body)
        self._scopes.pop()

    def _read_classdef(self, node: ast.ClassDef) -> None:
        for outer in (*node.decorator_list, *node.bases, *node.keywords):
            self.read(outer)
        if any(keyword.arg == "metaclass" for keyword in node.keywords):
            self.found.flags |= TELLS_SUBCLASSES | READS_NAMES
        self._names.append(node.name)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                self.found.flags |= _FLAG_BY_NAME.get(statement.name, 0)
            self.read(statement)
        self._names.pop()

    def _read_comprehension_node(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.read(node.generators[0].iter)
        self._scopes.append(scope_of_comprehension(node.generators))
        for child in children(node):
            if isinstance(child, ast.comprehension):
                for part in (child.target, *child.ifs, *([] if child is node.generators[0] else [child.iter])):
                    self.read(part)
            else:
                self.read(child)
        self._scopes.pop()

    _read_listcomp = _read_setcomp = _read_dictcomp = _read_generatorexp = _read_comprehension_node
