"""Names of classes: `module:QualifiedName` under the shortest public module that offers the class (`pandas:DataFrame`,
`polars:DataFrame`), so that a library may move its private files around."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.values.refusals import ValueUnreadable

_NAME_BY_CLASS: dict[type, str] = {}


def _attribute(module: Any, qualified_name: str) -> Any:
    found = module
    for part in qualified_name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def class_name(cls: type) -> str:
    """The name of a class. `__main__` is never a module's name: a script's classes are named as its file is."""
    known = _NAME_BY_CLASS.get(cls)
    if known is not None:
        return known
    parts = cls.__module__.split(".")
    module = cls.__module__
    for length in range(1, len(parts)):
        candidate = ".".join(parts[:length])
        if _attribute(sys.modules.get(candidate), cls.__qualname__) is cls:
            module = candidate
            break
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(file).stem if file else module
    name = _NAME_BY_CLASS[cls] = f"{module}:{cls.__qualname__}"
    return name


def is_of(cls: type, name: str) -> bool:
    """Whether a class is, or inherits from, the class called `name`. Imports nothing: a class of a module that is not
    loaded has no values."""
    module, _, qualified_name = name.partition(":")
    named = _attribute(sys.modules.get(module), qualified_name)
    if isinstance(named, type):
        try:
            return issubclass(cls, named)
        except TypeError:
            return False
    return any(base.__qualname__ == qualified_name and class_name(base) == name for base in cls.__mro__)


def find_class(name: str) -> type:
    """The class called `name`, importing its module. Raises ValueUnreadable when there is none."""
    module_name, _, qualified_name = name.partition(":")
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None) or ""
    if module_name not in sys.modules and f"/{script}".endswith(f"/{module_name.replace('.', '/')}.py"):
        found = _attribute(main, qualified_name)
        if isinstance(found, type):
            return found
    try:
        found = _attribute(import_module(module_name), qualified_name)
    except ImportError as error:
        raise ValueUnreadable(
            f"a value of type {name} cannot be read: {error}", fix=f"Make the module {module_name} importable again."
        ) from error
    if not isinstance(found, type):
        raise ValueUnreadable(
            f"a value of type {name} cannot be read: {module_name} has no class {qualified_name}",
            fix="The class was renamed or removed since the value was made; run the task again.",
        )
    return found
