"""Live functions as a module: what a notebook or a prompt has defined, sliced to what the given functions reach, so
that workers can import it (cache rule 16).

Functions and classes go by their source, imports by what the names stand for now, plain data by its value now. What
cannot be carried (an open file, a table, a model) is a diagnostic that names the global: make it in a task, or give
it as an input."""

from __future__ import annotations

import ast
import dataclasses
import dis
import enum
import inspect
import linecache
import math
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

from penstock.base.diagnostics import Diagnostic
from penstock.base.digests import canonical_json, digest_of_bytes
from penstock.base.errors import InvalidPipeline
from penstock.base.limits import LIMITS
from penstock.code import pins
from penstock.code.firstparty import source_paths
from penstock.values.store import ArtifactStore

_GLOBAL_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"})
_OPTIMIZED = inspect.CO_OPTIMIZED
_FUTURE_ANNOTATIONS = 0x1000000


def pin_live(objects: Sequence[Any], artifacts: ArtifactStore, *, project: str) -> tuple[str, str]:
    """(pin, module name) of a module with the given functions, tasks and pipelines, under the names that they have.
    What it imports from the project is pinned with it. Raises InvalidPipeline with everything that cannot be
    carried."""
    text = live_source(objects).encode()
    name = f"notebook_{digest_of_bytes(text)[:12]}"
    paths = source_paths(project)
    sources = {name: pins.Source(f"{project}/{name}.py", is_package=False, data=text)}
    pins.add_imported(sources)
    return artifacts.put_bytes(canonical_json(pins.to_json(sources, project=project, paths=paths))), name


def live_source(objects: Sequence[Any]) -> str:
    """The text of a module that defines the given functions, tasks and pipelines and all that they reach. Raises
    InvalidPipeline."""
    slice_ = _Slice()
    for wanted in objects:
        function = _function_behind(wanted)
        if function is None:
            slice_.report(
                "not-a-function", f"{wanted!r:.200} is not a function", "Give a function, a task or a pipeline."
            )
        else:
            slice_.reach(function.__name__, wanted, function.__globals__)
    if slice_.diagnostics:
        raise InvalidPipeline(tuple(slice_.diagnostics))
    return slice_.text()


@dataclass(slots=True)
class _Piece:
    """A definition: its text, and the names that must stand before it."""

    text: str
    needs: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Slice:
    """What has been reached so far, by global name."""

    imports: dict[str, None] = field(default_factory=dict)
    pieces: dict[str, _Piece] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    future_annotations: bool = False

    def report(self, code: str, message: str, fix: str) -> None:
        self.diagnostics.append(Diagnostic(code, message, fix))

    def reach(self, name: str, value: Any, names: Mapping[str, Any], *, user: str = "") -> None:
        """Make `name` mean `value` in the module. `names` are the globals that it was found in, `user` is who reads
        it."""
        if name in self.pieces:
            return
        if isinstance(value, ModuleType):
            self.imports[_import_of(value.__name__, name)] = None
            return
        function = _function_behind(value)
        if function is not None and function.__globals__ is names:
            self._reach_source(name, function, names)
        elif isinstance(value, type) and names.get("__name__") == value.__module__:
            self._reach_class(name, value, names)
        elif (elsewhere := _importable(value)) is not None:
            self.imports[f"from {elsewhere[0]} import {elsewhere[1]} as {name}"] = None
        else:
            self._reach_data(name, value, names, user)

    def _reach_source(self, name: str, function: FunctionType, names: Mapping[str, Any]) -> None:
        self.pieces[name] = _Piece("")  # stands there while what it reaches is looked at: a function may call itself
        try:
            text = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError):
            del self.pieces[name]
            self.report(
                "no-source",
                f"the source of {name!r} is not known here",
                "Write it in a file; from a file or a notebook it can be run.",
            )
            return
        if function.__closure__:
            free = ", ".join(function.__code__.co_freevars)
            self.report("closure-as-component", f"{name!r} captures {free}", "Make what it captures a parameter.")
            return
        defined = _defined_name(text)
        if defined is None:
            self.report(
                "closure-as-component",
                f"{name!r} is a lambda or made by another function, and has no definition of its own",
                "Write it as a function with def.",
            )
            return
        self.future_annotations |= bool(function.__code__.co_flags & _FUTURE_ANNOTATIONS)
        self._add(name, text if defined == name else f"{text}\n{name} = {defined}", names)

    def _reach_class(self, name: str, cls: type, names: Mapping[str, Any]) -> None:
        text = _class_source(cls)
        if text is None:
            self.report("no-source", f"the source of the class {name!r} is not known here", "Write it in a file.")
            return
        self._add(name, text if cls.__name__ == name else f"{text}\n{name} = {cls.__name__}", names)

    def _add(self, name: str, text: str, names: Mapping[str, Any]) -> None:
        code = compile(text, "<live>", "exec", dont_inherit=True)
        now = set(_global_names(code, at_definition=True))
        self.pieces[name] = _Piece(text.rstrip(), frozenset(now))
        for module in _submodules(text, names):
            self.imports[f"import {module}"] = None
        for reached in dict.fromkeys(_global_names(code, at_definition=False)):
            if reached != name and reached in names and not (reached.startswith("__") and reached.endswith("__")):
                self.reach(reached, names[reached], names, user=name)

    def _reach_data(self, name: str, value: Any, names: Mapping[str, Any], user: str) -> None:
        needed: set[str] = set()

        def class_named(cls: type) -> str | None:
            if names.get(cls.__name__) is not cls and (found := _importable(cls)) is not None:
                self.imports[f"from {found[0]} import {found[1]} as {cls.__name__}"] = None
            else:
                self.reach(cls.__name__, cls, names, user=user)
            needed.add(cls.__name__)
            return cls.__name__

        text = expression_of(value, class_named)
        if text is not None and len(text) <= LIMITS.parameter_bytes_max:
            self.pieces[name] = _Piece(f"{name} = {text}", frozenset(needed))
            return
        what = f"of type {type(value).__module__}.{type(value).__qualname__}"
        self.report(
            "global-not-carried",
            f"the global {name!r} {what}, which {user or 'the pipeline'!r} uses, cannot be given to a worker"
            + ("" if text is None else f": it is larger than {LIMITS.parameter_bytes_max:,} bytes"),
            "Make it in a task and hand it on, or make it a parameter.",
        )

    def text(self) -> str:
        """The module: imports, then the definitions, each after those that it needs when it is made."""
        future = ["from __future__ import annotations"] if self.future_annotations else []
        placed: dict[str, None] = {}

        def place(name: str, above: frozenset[str]) -> None:
            if name in placed or name not in self.pieces or name in above:
                return
            for needed in sorted(self.pieces[name].needs):
                place(needed, above | {name})
            placed[name] = None

        for name in self.pieces:
            place(name, frozenset())
        parts = ["\n".join([*future, *sorted(self.imports)]), *(self.pieces[name].text for name in placed)]
        return "\n\n\n".join(part for part in parts if part) + "\n"


# -- functions and classes -------------------------------------------------------------------------------------------


def _function_behind(value: Any) -> FunctionType | None:
    """The function as it was written: of a task or a pipeline what was decorated, of a wrapper what it says it
    wraps."""
    for _ in range(20):
        inner = getattr(value, "__wrapped__", None)
        if inner is None and not isinstance(value, (FunctionType, type)):
            inner = getattr(value, "function", None)
        if inner is None:
            break
        value = inner
    return value if isinstance(value, FunctionType) else None


def _defined_name(text: str) -> str | None:
    """The name that a source text binds: a definition, or a lambda assigned to a name."""
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return statement.name
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda) and len(statement.targets) == 1:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


def _class_source(cls: type) -> str | None:
    """The newest text of a class among the sources that `linecache` holds: a class of a notebook has no file of its
    own."""
    files = [getattr(inspect.unwrap(m), "__code__", None) for m in vars(cls).values() if callable(m)]
    own = [code.co_filename for code in files if code is not None]
    others = [file for file in reversed(list(linecache.cache)) if file not in own]
    for file in [*own, *others]:
        text = "".join(linecache.getlines(file))
        if f"class {cls.__name__}" not in text:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__]
        if found:
            first = min([found[-1].lineno, *(decorator.lineno for decorator in found[-1].decorator_list)])
            return "".join(text.splitlines(keepends=True)[first - 1 : found[-1].end_lineno])
    return None


def _global_names(code: CodeType, *, at_definition: bool) -> Iterator[str]:
    """The global names that code reads; `at_definition`: only those that are read while it is defined, not when it is
    called."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_READS:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not (at_definition and constant.co_flags & _OPTIMIZED):
            yield from _global_names(constant, at_definition=at_definition)


# -- imports and data --------------------------------------------------------------------------------------------------


def _import_of(module: str, name: str) -> str:
    return f"import {module}" if module == name else f"import {module} as {name}"


def _submodules(text: str, names: Mapping[str, Any]) -> Iterator[str]:
    """Loaded modules that are reached as attributes of modules: `sklearn.linear_model` after `import sklearn`."""
    for node in ast.walk(ast.parse(text)):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and isinstance(names.get(node.id), ModuleType):
            module = names[node.id].__name__
            for part in parts:
                module = f"{module}.{part}"
                if isinstance(sys.modules.get(module), ModuleType):
                    yield module


def _importable(value: Any) -> tuple[str, str] | None:
    """(module, name) by which a function or class, or an object that knows its name, can be imported."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "__name__", None))
    if not isinstance(module, str) or not isinstance(name, str) or "." in name or module == "__main__":
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is value else None


def expression_of(value: Any, class_named: Callable[[type], str | None], *, depth: int = 0) -> str | None:
    """A Python expression for plain data, enumerations' members and dataclasses; None for anything else.
    `class_named` makes a class known to the module and answers its name there."""
    cls = type(value)
    if depth > 50:
        return None
    if value is None or value is Ellipsis or cls in (bool, int, str, bytes):
        return repr(value)
    if cls is float or cls is complex:
        return repr(value) if cls is float and math.isfinite(value) else f"{cls.__name__}({str(value)!r})"
    inner: Callable[[Any], str | None] = lambda item: expression_of(item, class_named, depth=depth + 1)  # noqa: E731
    if cls is dict:
        pairs = [(inner(key), inner(item)) for key, item in value.items()]
        return None if any(None in pair for pair in pairs) else f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
    if cls in (list, tuple, set, frozenset):
        items = [inner(item) for item in value]
        if None in items:
            return None
        listed = ", ".join(str(item) for item in (sorted(map(str, items)) if cls in (set, frozenset) else items))
        return f"[{listed}]" if cls is list else f"{cls.__name__}([{listed}])"
    if isinstance(value, enum.Enum):
        return f"{class_named(cls)}[{value.name!r}]" if value.name in cls.__members__ else None
    if isinstance(value, PurePath):
        return f"{class_named(cls)}({str(value)!r})"
    if isinstance(value, type):
        return class_named(value)
    names = _constructor_names(value)
    if names is None:
        return None
    given = {name: inner(getattr(value, name)) for name in names}
    if None in given.values():
        return None
    return f"{class_named(cls)}({', '.join(f'{name}={text}' for name, text in given.items())})"


def _constructor_names(value: Any) -> list[str] | None:
    """The attributes that an object can be made from again: of a dataclass, and of what is ours (`Retry`, `File`)."""
    cls = type(value)
    if dataclasses.is_dataclass(cls):
        return [each.name for each in dataclasses.fields(cls) if each.init]
    ours = ("penstock.authoring.dsl.options", "penstock.authoring.dsl.sources")
    return list(cls.__slots__) if cls.__module__ in ours else None
