"""New interpreters that a task starts through `multiprocessing` (spawn, forkserver) or loky (joblib) record what they read, as
forks do: the data that prepares such a process makes it join the attempt (recorded reads, cache rule 12)."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import penstock
from penstock.base.firstparty import is_first_party
from penstock.launcher.inner import readers
from penstock.launcher.inner.arrivals import Arrivals
from penstock.launcher.outer.covered import Covered
from penstock.launcher.outer.forks import Heard

SPAWNING = (
    "joblib.externals.loky.backend.spawn",
    "loky.backend.spawn",
    "multiprocess.spawn",
    "multiprocessing.spawn",
)
"""Modules whose `get_preparation_data` answers what a new process is sent before anything else."""

# Runs in the new process, where nothing of ours may be importable, and nothing may fail.
_JOIN = """
import json, sys
_asked = json.loads({asked!r})
try:
    try:
        import penstock
    except ImportError:
        from importlib.util import module_from_spec, spec_from_file_location
        _spec = spec_from_file_location(
            "penstock", _asked["ours"] + "/__init__.py", submodule_search_locations=[_asked["ours"]]
        )
        sys.modules["penstock"] = penstock = module_from_spec(_spec)
        _spec.loader.exec_module(penstock)
    from penstock.launcher.outer.children import join
    join(_asked)
except Exception as error:
    with open(_asked["file"], "ab") as _file:
        _file.write(("cwhat a process of the task reads (" + type(error).__name__ + ")\\0").encode())
"""


@dataclass(frozen=True, slots=True)
class Joining:
    """What a new process is to know of the attempt that it belongs to: unpickling it is joining."""

    project: str
    state: str
    file: str
    written: tuple[str, ...]
    set_here: tuple[str, ...]
    """Variables of the environment that the attempt has set."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        asked = {
            "ours": os.path.dirname(os.path.abspath(penstock.__file__)),
            "project": self.project,
            "state": self.state,
            "file": self.file,
            "written": self.written,
            "set_here": self.set_here,
        }
        return exec, (_JOIN.format(asked=json.dumps(asked)), {})


def install(joining: Callable[[], Joining | None]) -> None:
    """Have new processes join; `joining` answers None while no attempt runs."""
    Arrivals({module: functools.partial(_wrap, module, joining) for module in SPAWNING}).install()


def join(asked: Mapping[str, Any]) -> None:
    """Be a process of another one's attempt."""
    from penstock.launcher.outer.functions_elsewhere import FunctionsElsewhere
    from penstock.launcher.outer.reads import ReadRecorder

    _pass_over_bytecode()
    readers.install()
    recorder = ReadRecorder(project=asked["project"], state=asked["state"])
    functions = FunctionsElsewhere(recorder.forks)
    recorder.join(asked, functions.tell)
    functions.install()


def _pass_over_bytecode() -> None:
    """Python's bytecode file of a source is current where the size and the second of the change are the same: the author's
    may be of an older edit. It is read where importing finds it, by a name that this replaces."""
    machinery: Any = sys.modules["_frozen_importlib_external"]
    plain = machinery.cache_from_source

    def cache_from_source(path: Any, *given: Any, **named: Any) -> Any:
        if is_first_party(path):
            raise NotImplementedError  # how importing is told that there is none
        return plain(path, *given, **named)

    machinery.cache_from_source = cache_from_source


def _wrap(module: str, joining: Callable[[], Joining | None]) -> None:
    spawn: Any = sys.modules[module]
    plain = spawn.get_preparation_data
    if hasattr(plain, "_penstock"):
        return

    @functools.wraps(plain)
    def get_preparation_data(*given: Any, **named: Any) -> Any:
        data = plain(*given, **named)
        joins = joining()
        if joins is not None:
            data["penstock"] = joins
        return data

    get_preparation_data._penstock = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = get_preparation_data


@dataclass(frozen=True, slots=True)
class Judged:
    """What other processes of an attempt ran outside of its closure. `modules` were imported there by none of the others,
    `functions` are `module:qualname`; `others` are paths of sources that are not as they are pinned."""

    modules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def judged(heard: Heard, covered: Covered | None, pinned: Callable[[str], tuple[str, bytes] | None]) -> Judged:
    """A module that another one's import has imported is part of that one (cache rule 5): it needs to be in the closure only
    where its functions are called. `covered` None: only the sources are compared."""
    known = {path: found for path in heard.loaded if (found := pinned(path)) is not None and _is_same(path, found[1])}
    others = tuple(path for path in heard.loaded if path not in known)
    if covered is None:
        return Judged(others=others)
    outermost = (known[path][0] for path in known if path not in heard.nested)
    modules = (module for module in outermost if not covered.covers_module(module))
    called = ((known[path][0], name, line) for path, name, line in heard.ran if path in known)
    functions = (f"{module}:{name}" for module, name, line in called if not covered.covers(module, name, line))
    return Judged(tuple(dict.fromkeys(modules)), tuple(dict.fromkeys(functions)), others)


def _is_same(path: str, source: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == source
    except OSError:
        return False
