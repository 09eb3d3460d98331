"""Pinned code (semantics 24): the bytes of every first-party source that a run may import, kept as one blob of the
artifact store, and the finder that serves them under their original paths. Editing a file during a run changes
nothing in that run; `__file__`, tracebacks and data files beside the sources are as ever.

A pin is the address of the blob. One process serves one pin for its life."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from penstock.base.digests import canonical_json, digest_of_bytes
from penstock.base.errors import PenstockError
from penstock.base.firstparty import is_first_party
from penstock.code import compiled
from penstock.code.facts import FACTS
from penstock.code.files import PinnedFile, files_from_json, files_to_json
from penstock.code.firstparty import extend_path
from penstock.code.imports import imports_of
from penstock.code.kept import Kept
from penstock.values.store import ArtifactStore

VERSION = 1
SOURCES_MAX = 20_000
COMPUTED_SOURCES_MAX = 2_000
"""Where an import's name is computed, every source below the roots is pinned, up to this many."""


class OtherPin(PenstockError):
    """This process serves another pin already."""


@dataclass(frozen=True, slots=True)
class Source:
    """One module as it was read. `path` is absolute."""

    path: str
    is_package: bool
    data: bytes


class LoadWatch(Protocol):
    """Is told when the code of a pinned module begins to run and when it has ended (None: it did not compile)."""

    def loading(self, module: str) -> None: ...

    def loaded(self, module: str, code: CodeType | None) -> None: ...


watches: list[LoadWatch] = []
"""Who is told, in this process."""


class PinnedLoader:
    """Loads one module from its pinned bytes."""

    def __init__(self, name: str, source: Source, folder: Path | None) -> None:
        self.name = name
        self.path = source.path
        self._source = source
        self._folder = folder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        remember_lines(self.path, self.get_source(self.name))
        for watch in watches:
            watch.loading(self.name)
        code: CodeType | None = None
        try:
            code = self.get_code(self.name)
            exec(code, module.__dict__)
        finally:
            for watch in watches:
                watch.loaded(self.name, code)

    def get_code(self, name: str) -> CodeType:
        return compiled.code_of(self._source.data, self.path, folder=self._folder)

    def get_source(self, name: str) -> str:
        return decode_source(self._source.data)

    def get_filename(self, name: str) -> str:
        return self.path

    def is_package(self, name: str) -> bool:
        return self._source.is_package

    def get_data(self, path: str) -> bytes:
        """Files beside the sources are read as they are now; the source itself as it was."""
        return self._source.data if path == self.path else Path(path).read_bytes()

    def get_resource_reader(self, name: str) -> Any:
        from importlib.readers import FileReader

        this: Any = self
        return FileReader(this)


def remember_lines(path: str, text: str) -> None:
    """Let tracebacks and `inspect` show the source that runs, whatever has become of the file."""
    import linecache

    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)


class PinnedFinder:
    """Finds the pinned modules, before anything else does. While `recording`, it also lets the others find what is
    not pinned yet, and pins what is first-party by reading it once."""

    def __init__(self, sources: dict[str, Source], *, folder: Path | None, recording: bool = False) -> None:
        self.sources = sources
        self.recording = recording
        self._folder = folder
        self._packages = _namespace_folders(sources)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        source = self.sources.get(name)
        if source is not None:
            return self._spec(name, source)
        folders = self._packages.get(name)
        if folders is not None:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = list(folders)
            return spec
        return self._record(name, path, target) if self.recording else None

    def _spec(self, name: str, source: Source) -> ModuleSpec | None:
        locations = [os.path.dirname(source.path)] if source.is_package else None
        loader: Any = PinnedLoader(name, source, self._folder)
        return spec_from_file_location(name, source.path, loader=loader, submodule_search_locations=locations)

    def _record(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            found: ModuleSpec | None = find(name, path, target) if find is not None and finder is not self else None
            if found is not None:
                source = first_party_source(found)
                if source is None:
                    return found
                self.sources[name] = source
                return self._spec(name, source)
        return None


def _namespace_folders(sources: Mapping[str, Source]) -> dict[str, tuple[str, ...]]:
    """The packages without a source of their own that pinned modules stand in, with their folders."""
    folders: dict[str, dict[str, None]] = {}
    for name, source in sources.items():
        folder = os.path.dirname(source.path)
        if source.is_package:
            folder = os.path.dirname(folder)
        package = name.rpartition(".")[0]
        while package:
            if package not in sources:
                folders.setdefault(package, {})[folder] = None
            package, folder = package.rpartition(".")[0], os.path.dirname(folder)
    return {package: tuple(found) for package, found in folders.items()}


def first_party_source(spec: ModuleSpec) -> Source | None:
    """The source behind a module's spec, read now; None where it is not the author's own."""
    if type(spec.loader) is not SourceFileLoader or not is_first_party(spec.origin):
        return None
    assert spec.origin is not None
    data = Path(spec.origin).read_bytes()
    return Source(spec.origin, spec.submodule_search_locations is not None, data)


# -- recording -------------------------------------------------------------------------------------------------------


class Recording:
    """Pins what is imported while it is in force, and at the end what that may import later."""

    def __init__(self, *, project: str, paths: list[str], folder: Path | None = None) -> None:
        self._project = project
        self._paths = paths
        self._folder = folder
        self._finder = PinnedFinder({}, folder=folder, recording=True)
        self.files: Mapping[str, PinnedFile] = {}
        """Files that commands declare."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """What is pinned so far, by module."""
        return self._finder.sources

    def begin(self) -> None:
        """Serve this process's imports from here on. Raises OtherPin when another pin is served already."""
        global _served
        if _served is not None:
            raise OtherPin("this process serves other code already")
        _served = ""
        extend_path(self._paths)
        sys.meta_path.insert(0, self._finder)

    def claim(self, name: str, path: str) -> None:
        """Read the source of a module at `path`, so that the name means this file. Raises OSError."""
        source = Source(path, os.path.basename(path) == "__init__.py", Path(path).read_bytes())
        self._finder.sources[name] = source

    def add(self, name: str, source: Source) -> None:
        self._finder.sources[name] = source

    def complete(self) -> dict[str, Source]:
        """Pin what may be imported later, and answer with all that is pinned; nothing is recorded any more."""
        sources = self._finder.sources
        _add_loaded(sources)
        computed = add_imported(sources, Kept(self._folder.with_name(FACTS) if self._folder is not None else None))
        if computed:
            _add_below(sources, self._paths)
        self._finder.recording = False
        return sources

    def end(self, artifacts: ArtifactStore, *, target: str = "") -> str:
        """Store what was pinned and go on serving just that. `target` names the modules that other processes import first,
        with blanks between them. Answers the pin."""
        global _served
        sources = self.complete()
        data = to_json(sources, project=self._project, paths=self._paths, target=target)
        if self.files:
            data["files"] = files_to_json(self.files)
        pin = artifacts.put_bytes(canonical_json(data))
        _served = pin
        return pin


def _add_loaded(sources: dict[str, Source]) -> None:
    """Modules of the author's that were loaded before the recording began."""
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name in sources or name == "__main__" or not isinstance(spec, ModuleSpec):
            continue
        source = first_party_source(spec)
        if source is not None:
            sources[name] = source


def add_imported(sources: dict[str, Source], kept: Kept | None = None) -> bool:
    """Add what the sources may import, and what that may import. Whether some import's name is computed. `kept` may
    keep what was found in each source."""
    stored = kept.read("imports") if kept is not None else None
    before: dict[str, tuple[tuple[str, ...], bool]] = stored if isinstance(stored, dict) else {}
    after: dict[str, tuple[tuple[str, ...], bool]] = {}
    pending = list(sources)
    known: dict[str, ModuleSpec | None] = {}
    computed = False
    while pending and len(sources) < SOURCES_MAX:
        module = pending.pop()
        source = sources[module]
        key = f"{module} {source.is_package} {digest_of_bytes(source.data)}"
        if key not in before:
            found = imports_of(source.data, module=module, is_package=source.is_package)
            before[key] = (found.names, found.computed)
        names, is_computed = after[key] = before[key]
        computed = computed or is_computed
        for name in names:
            for prefix in _prefixes(name):
                if prefix not in sources and _locate_source(prefix, sources, known):
                    pending.append(prefix)
    if kept is not None and after != stored:
        kept.write("imports", after)
    return computed


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _locate_source(name: str, sources: dict[str, Source], known: dict[str, ModuleSpec | None]) -> bool:
    spec = _locate(name, sources, known)
    source = first_party_source(spec) if spec is not None else None
    if source is None:
        return False
    sources[name] = source
    return True


def _locate(name: str, sources: Mapping[str, Source], known: dict[str, ModuleSpec | None]) -> ModuleSpec | None:
    """A module's spec, found without importing anything; None for what is not first-party or a namespace package of
    it."""
    if name in known:
        return known[name]
    parent, _, _ = name.rpartition(".")
    spec: ModuleSpec | None = None
    if not parent:
        if name not in sys.stdlib_module_names and name != "penstock":
            spec = PathFinder.find_spec(name)
    elif parent in sources:
        if sources[parent].is_package:
            spec = PathFinder.find_spec(name, [os.path.dirname(sources[parent].path)])
    else:
        above = _locate(parent, sources, known)
        locations = above.submodule_search_locations if above is not None else None
        # Installed packages are not followed: what stands in them is not first-party.
        if above is not None and above.origin is None and locations is not None:
            spec = PathFinder.find_spec(name, locations)
    known[name] = spec
    return spec


def _add_below(sources: dict[str, Source], paths: Sequence[str]) -> None:
    """Every source in the author's folders, because an import's name is known only when it runs."""
    left = COMPUTED_SOURCES_MAX
    for root in paths:
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
            for file in sorted(files):
                path = os.path.join(folder, file)
                if not is_first_party(path):
                    continue
                if left <= 0:
                    return
                left -= 1
                name = os.path.relpath(path, root).removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")
                if name != "__init__":
                    sources.setdefault(name, Source(path, file == "__init__.py", Path(path).read_bytes()))


# -- the blob --------------------------------------------------------------------------------------------------------


def to_json(sources: Mapping[str, Source], *, project: str, paths: Sequence[str], target: str = "") -> dict[str, Any]:
    """Paths below the project are written relative to it, so that a copy of a project has the same pin."""
    texts: dict[str, Any] = {}
    modules: dict[str, Any] = {}
    for name in sorted(sources):
        source = sources[name]
        digest = digest_of_bytes(source.data)
        modules[name] = {"path": _relative(source.path, project), "digest": digest, "package": source.is_package}
        texts[digest] = _text_of(source.data)
    return {
        "version": VERSION,
        "target": target,
        "paths": [_relative(path, project) for path in paths],
        "modules": modules,
        "sources": texts,
    }


def from_json(data: Mapping[str, Any], *, project: str) -> tuple[dict[str, Source], list[str]]:
    """(sources by module name, folders for `sys.path`) of a blob."""
    if data["version"] != VERSION:
        raise PenstockError(f"the pinned code is of version {data['version']}", fix="It was made by a newer Penstock.")
    sources = {
        name: Source(
            os.path.normpath(os.path.join(project, entry["path"])),
            entry["package"],
            _bytes_of(data["sources"][entry["digest"]]),
        )
        for name, entry in data["modules"].items()
    }
    return sources, [os.path.normpath(os.path.join(project, path)) for path in data["paths"]]


def _relative(path: str, project: str) -> str:
    inside = path == project or path.startswith(project.rstrip(os.sep) + os.sep)
    return os.path.relpath(path, project) if inside else path


def _text_of(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes_of(text: Any) -> bytes:
    return text.encode() if isinstance(text, str) else base64.b64decode(text["base64"])


def files_of_pin(pin: str, artifacts: ArtifactStore) -> dict[str, PinnedFile]:
    """The files that commands declare, as a pin has them. Raises what the store raises."""
    return files_from_json(json.loads(artifacts.get_bytes(pin)).get("files", {})) if pin else {}


def changed_between(before: str, after: str, artifacts: ArtifactStore) -> list[str]:
    """The sources and declared files of two pins that differ between them, by their paths in the project. Raises what the
    store raises."""
    if before == after:
        return []
    digests = [_digests_by_path(json.loads(artifacts.get_bytes(pin))) if pin else {} for pin in (before, after)]
    return sorted(
        path for path in digests[0].keys() | digests[1].keys() if digests[0].get(path) != digests[1].get(path)
    )


def _digests_by_path(blob: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["path"]: entry["digest"] for entry in blob["modules"].values()} | dict(blob.get("files", {}))


# -- serving ---------------------------------------------------------------------------------------------------------

_served: str | None = None


def pinned_source(module: str) -> bytes | None:
    """The source that a module is served from in this process; None for one that is not pinned."""
    for finder in sys.meta_path:
        if isinstance(finder, PinnedFinder) and module in finder.sources:
            return finder.sources[module].data
    return None


def pinned_at(path: str) -> tuple[str, bytes] | None:
    """(module, source) that is served in this process for the file at an absolute path."""
    for finder in sys.meta_path:
        if isinstance(finder, PinnedFinder):
            for module, source in finder.sources.items():
                if source.path == path:
                    return module, source.data
    return None


def is_pinned(module: str) -> bool:
    return any(isinstance(finder, PinnedFinder) and module in finder.sources for finder in sys.meta_path)


def served_pin() -> str | None:
    """The pin that this process serves; "" while it is being recorded."""
    return _served


def serve(pin: str, *, artifacts: ArtifactStore, project: str, folder: Path | None = None) -> str:
    """Serve this process's imports from a pin. `folder` keeps compiled code between processes. Answers the modules to import
    first, so that what they register or changes in others is as it was when the code digests were made (cache rule 4);
    empty: none. Raises OtherPin, and what the store raises."""
    global _served
    if _served == pin:
        return ""
    if _served is not None:
        raise OtherPin("this process serves other code already")
    data = json.loads(artifacts.get_bytes(pin))
    sources, paths = from_json(data, project=project)
    extend_path(paths)
    sys.meta_path.insert(0, PinnedFinder(sources, folder=folder))
    _served = pin
    target: str = data.get("target", "")
    return target
