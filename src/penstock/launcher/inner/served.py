"""The author's modules as a pin has them, served to an interpreter of a task's own (semantics 24); and which files of the
project are opened there (cache rule 12). Whoever started the interpreter judges both."""

from __future__ import annotations

import base64
import linecache
import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

_MACHINERY = ("importlib", "_frozen_importlib", "_frozen_importlib_external", "linecache", "tokenize", "zipimport")
_EVENTS = ("open", "sqlite3.connect")
OPENED_MAX = 10_000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ServedSources:
    """Finds and loads the modules of a pin, under the paths that they have in the project. `imported` are those that a call
    has imported itself, while `in_call`."""

    def __init__(self, pin: Mapping[str, Any], project: str) -> None:
        self._texts: Mapping[str, Any] = pin.get("sources", {})
        self._modules: dict[str, Any] = dict(pin.get("modules", {}))
        self._project = project
        self._first: list[str] = pin.get("target", "").split()
        self._folders = _namespaces(self._modules, project)
        self.imported: dict[str, None] = {}
        self.in_call = False
        self._depth = 0
        self.paths = [os.path.normpath(os.path.join(project, path)) for path in pin.get("paths", ())]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        entry = self._modules.get(name)
        if entry is None:
            if name not in self._folders:
                return None
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = self._folders[name]
            return spec
        file = self._file(entry)
        loader: Any = _Loader(self, name, file, self._source(entry))
        locations = [os.path.dirname(file)] if entry["package"] else None
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=locations)

    def import_first(self) -> None:
        """Import what a pin says comes first, so that what registers itself is there; what needs a package that is not here
        is left out."""
        for name in self._first:
            try:
                import_module(name)
            except ModuleNotFoundError as error:
                if error.name in self._modules:
                    raise

    def run(self, name: str, code: CodeType, module: ModuleType) -> None:
        """Run the code of a module."""
        if self.in_call and self._depth == 0:
            self.imported[name] = None
        self._depth += 1
        try:
            exec(code, module.__dict__)
        finally:
            self._depth -= 1

    def has(self, name: str) -> bool:
        return name in self._modules

    def _file(self, entry: Mapping[str, Any]) -> str:
        return os.path.normpath(os.path.join(self._project, entry["path"]))

    def _source(self, entry: Mapping[str, Any]) -> bytes:
        text = self._texts[entry["digest"]]
        return text.encode() if isinstance(text, str) else base64.b64decode(text["base64"])


class _Loader:
    def __init__(self, served: ServedSources, name: str, path: str, data: bytes) -> None:
        self._served = served
        self.name = name
        self.path = path
        self._data = data

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        text = self.get_source(self.name)
        linecache.cache[self.path] = (len(text), None, text.splitlines(keepends=True), self.path)
        self._served.run(self.name, self.get_code(self.name), module)

    def get_code(self, name: str) -> CodeType:
        code: CodeType = compile(self._data, self.path, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        return decode_source(self._data)

    def get_filename(self, name: str) -> str:
        return self.path

    def is_package(self, name: str) -> bool:
        return os.path.basename(self.path) == "__init__.py"


def _namespaces(modules: Mapping[str, Any], project: str) -> dict[str, list[str]]:
    """The packages without a source of their own that modules stand in, with their folders."""
    folders: dict[str, list[str]] = {}
    for name, entry in modules.items():
        folder = os.path.dirname(os.path.normpath(os.path.join(project, entry["path"])))
        if entry["package"]:
            folder = os.path.dirname(folder)
        package = name.rpartition(".")[0]
        while package:
            if package not in modules and folder not in folders.setdefault(package, []):
                folders[package].append(folder)
            package, folder = package.rpartition(".")[0], os.path.dirname(folder)
    return folders


class OpenedFiles:
    """The files of the project that are opened for reading, and when first; from `listen` to `settle`."""

    def __init__(self, project: str, state: str) -> None:
        self._project = f"{project.rstrip(os.sep)}{os.sep}"
        self._foreign = tuple(f"{path.rstrip(os.sep)}{os.sep}" for path in (state, sys.prefix, sys.base_prefix))
        self._written: set[str] = set()
        self._listens = False
        self.first_ns: dict[str, int] = {}

    def listen(self) -> None:
        self._listens = True
        sys.addaudithook(self._hear)

    def settle(self) -> None:
        self._listens = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not self._listens or type(arguments[0]) is int:
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        flags = arguments[2] if event == "open" else 0
        if not path.startswith(self._project) or path.startswith(self._foreign) or path in self._written:
            return
        if flags & _WRITES:
            self._written.add(path)
        elif path not in self.first_ns and len(self.first_ns) < OPENED_MAX and not _is_machinery():
            self.first_ns[path] = time.time_ns()


def _is_machinery() -> bool:
    """Whether Python opens a file for an import, or to show a line of it."""
    return sys._getframe(2).f_globals.get("__name__", "").partition(".")[0] in _MACHINERY
