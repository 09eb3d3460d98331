"""What a task says to the cache: how long its results hold, and what it depends on beside its code and inputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from types import ModuleType
from typing import Any

from penstock.authoring.dsl.places import importable_module, unwrapped
from penstock.base.instants import duration_ms
from penstock.graph.model import Environment
from penstock.graph.names import nearest
from penstock.graph.policies import TRUST, file_complaint, is_dependency

Report = Callable[[str, str, str], None]


def cache_of(given: Any, report: Report) -> bool | str | None:
    if given is None or type(given) is bool or given == TRUST:
        return given  # type: ignore[no-any-return]
    report("bad-cache", f"cache must be true, false or {TRUST!r}, not {given!r}", 'Give cache=False or cache="trust".')
    return None


def version_of(given: Any, report: Report) -> str | None:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    report("bad-version", f"version must be text or a whole number, not {given!r}", 'Give version="2".')
    return None


def expires_ms_of(given: Any, report: Report) -> int | None:
    if given is None:
        return None
    try:
        return duration_ms(given)
    except ValueError as error:
        report("bad-expires", f"expires: {error}", 'Give seconds or text, such as expires="1d".')
        return None


def files_of(given: Any, report: Report) -> tuple[str, ...]:
    """Paths as they count: with `/`, without `./` and what says nothing."""
    paths = []
    for one in _several(given):
        path = fspath(one) if isinstance(one, (str, PathLike)) else one
        if isinstance(path, str) and file_complaint(path) is None:
            paths.append(_plain_path(path))
        else:
            what, fix = file_complaint(path) or ("is no path", "Give text or a pathlib.Path.")
            report("bad-file", f"files: {one!r} {what}", fix)
    return tuple(sorted(set(paths)))


def env_of(given: Any, report: Report) -> tuple[str, ...]:
    names = []
    for one in _several(given):
        if isinstance(one, str):
            names.append(one)  # what is no name is left to graph.check
        else:
            report("bad-variable", f"env: {one!r} is no name of a variable", 'Give names, such as env=["MODE"].')
    return tuple(sorted(set(names)))


def depends_of(given: Any, report: Report) -> tuple[str, ...]:
    """Functions, classes, tasks, modules and text as `module` or `module:name`; what cannot be found is reported."""
    found = []
    for one in _several(given):
        name = one if isinstance(one, str) else _name_of(one)
        if name is None or not is_dependency(name):
            fix = 'Give a function, class or module, or text: "module" or "module:name".'
            report("bad-dependency", f"depends: {one!r} names no code that can be imported", fix)
            continue
        complaint = _missing(name)
        if complaint:
            report("unknown-dependency", f"depends: {complaint[0]}", complaint[1])
        else:
            found.append(name)
    return tuple(sorted(set(found)))


def environment_of(given: Any, report: Report) -> Environment | None:
    """An environment of a component's own: a dict of `python`, `packages` and `requirements`."""
    if given is None:
        return None
    fix = 'Give environment={"python": "3.12", "packages": ["lightgbm>=4"]} or {"requirements": "requirements.txt"}.'
    if not isinstance(given, Mapping):
        report("bad-environment", f"environment: {given!r:.80} is no dict", fix)
        return None
    unknown = sorted(str(name) for name in given.keys() - {"python", "packages", "requirements"})
    packages = given.get("packages") or ()
    texts = isinstance(packages, (list, tuple)) and all(isinstance(each, str) for each in packages)
    if unknown or not texts:
        why = f"has {', '.join(unknown)}" if unknown else "has packages that are no list of text"
        report("bad-environment", f"environment {why}", fix)
        return None
    requirements = given.get("requirements")
    path = "" if requirements is None else _plain_path(fspath(requirements))
    return Environment(str(given.get("python") or ""), tuple(packages), path)


def _several(given: Any) -> Iterable[Any]:
    if given is None:
        return ()
    return given if isinstance(given, (list, tuple, set, frozenset)) else (given,)


def _plain_path(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def _name_of(value: Any) -> str | None:
    """The name under which a worker can import what was given; None for what has none."""
    if isinstance(value, ModuleType):
        return importable_module(value.__name__)
    value = unwrapped(getattr(value, "function", value))
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    return f"{importable_module(module)}:{name}"


def _missing(name: str) -> tuple[str, str] | None:
    """(what is missing, what to do); None: it is there, as far as can be said without importing anything."""
    module_name, _, attribute = name.partition(":")
    module = sys.modules.get(module_name) or _main_as(module_name)
    if module is None:
        if _can_be_found(module_name):
            return None
        return f"there is no module {module_name!r}", "Correct the name, or install what offers it."
    found: Any = module
    for part in attribute.split(".") if attribute else ():
        if not hasattr(found, part):
            spec = getattr(module, "__spec__", None)
            if getattr(spec, "_initializing", False) or module.__name__ == "__main__":
                return None  # still being imported: it may come further down
            return f"there is no {attribute!r} in {module_name!r}", nearest(
                part, [n for n in dir(found) if n[:1] != "_"]
            )
        found = getattr(found, part)
    return None


def _main_as(name: str) -> ModuleType | None:
    return sys.modules["__main__"] if importable_module("__main__") == name else None


def _can_be_found(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):  # of a parent that is no package, or that cannot be imported
        return False
