"""Which modules a source may import, read from its syntax without running it: at any depth, in functions and under
conditions, relative ones resolved."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Imports:
    """`names`: modules, and names imported from modules, which may be modules too. `computed`: some import's name is
    known only when it runs."""

    names: tuple[str, ...]
    computed: bool


def imports_of(source: bytes, *, module: str, is_package: bool) -> Imports:
    """The imports in a source. A source that does not parse has none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Imports((), computed=False)
    package = module if is_package else module.rpartition(".")[0]
    names: dict[str, None] = {}
    computed = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", level=node.level, package=package)
            if base:
                names[base] = None
                names.update(dict.fromkeys(f"{base}.{alias.name}" for alias in node.names if alias.name != "*"))
        elif isinstance(node, ast.Call) and _is_import_call(node.func):
            name = _constant_text(node)
            if name is None:
                computed = True
            else:
                level = len(name) - len(name.lstrip("."))
                names[_absolute(name.lstrip("."), level=level, package=package)] = None
    return Imports(tuple(name for name in names if name), computed)


def _absolute(name: str, *, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".") if package else []
    if level - 1 >= len(parts):
        return ""
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base


def _is_import_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr in ("import_module", "walk_packages", "iter_modules", "run_module", "run_path")
    return isinstance(function, ast.Name) and function.id in ("import_module", "__import__")


def _constant_text(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    if isinstance(call.func, ast.Attribute) and call.func.attr != "import_module":
        return None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
