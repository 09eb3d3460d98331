"""Pipeline files to graphs. What is read and imported is asked of the caller: `read_file` gives bytes, `find` Python's
components. Everything that is wrong with a file is in the diagnostics, each with the line that it is about."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from penstock.authoring.yaml.checking import check_form
from penstock.authoring.yaml.components import Components, Finder, specs_of
from penstock.authoring.yaml.facts import graph_facts
from penstock.authoring.yaml.forms import Use
from penstock.authoring.yaml.placing import placed
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.scopes import Scope
from penstock.authoring.yaml.tasks import Tasks
from penstock.authoring.yaml.tree import NO_ENTRIES, Dictionary, Part, Scalar, Source, is_null
from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.limits import LIMITS
from penstock.graph.bindings import Constant
from penstock.graph.builder import GraphBuilder, Scoped
from penstock.graph.check import check
from penstock.graph.model import Command, Function, Graph
from penstock.graph.names import nearest
from penstock.graph.sources import KINDS, source_complaint, source_of

ReadFile = Callable[[str], bytes]
"""The bytes of a file by its absolute path, at most `yaml_bytes_max` and one more. Raises OSError."""

SUFFIXES = (".yaml", ".yml")


@dataclass(slots=True)
class Loaded:
    """What a file came to. `names` are its pipelines, `main` the one that the file is (empty: none), `graph` the one asked for
    as far as it could be built; `files` are the bytes of all files that were read, `functions` Python's functions as their
    definitions say, by `module:name`, `modules` all that was imported for the file, in that order."""

    names: tuple[str, ...]
    main: str
    graph: Graph | None
    diagnostics: tuple[Diagnostic, ...]
    files: Mapping[str, bytes]
    functions: Mapping[str, Function]
    modules: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        return self.graph is not None and not any(each.severity == "error" for each in self.diagnostics)


def load(path: str, *, name: str = "", read_file: ReadFile, find: Finder) -> Loaded:
    """Load one pipeline of a file: the one of this name, else the one that the file is, else its only one. Where none is
    chosen, `graph` is None, and it is no mistake of the file. Raises OSError for the file itself, and what `find` raises."""
    collects = gc.isenabled()
    gc.disable()  # hundreds of thousands of objects are made, none in cycles: looking for those is a tenth of the time
    try:
        return _loaded(_Library(read_file, find), path, name)
    finally:
        if collects:
            gc.enable()


def _loaded(library: _Library, path: str, name: str) -> Loaded:
    document = library.document(path)
    names = tuple(document.pipelines)
    chosen = name or document.main or (names[0] if len(names) == 1 else "")
    graph = document.graph(chosen) if chosen in document.pipelines else None
    document.components.check_all()
    diagnostics = list(library.diagnostics)
    if graph is not None:
        places = dict(library.places)
        for each in library.documents.values():
            places.update(each.components.places)
        diagnostics += placed(check(graph), places, library.ends, known=tuple(diagnostics))
    functions: dict[str, Function] = {}
    modules: dict[str, None] = {}
    for each in library.documents.values():
        functions.update(each.components.functions)
        modules.update(dict.fromkeys(each.components.modules))
    is_told = any(each.severity == "error" for each in diagnostics)
    assert is_told or not library.failed, f"{library.failed} could not be made, and nobody said why"
    shown = sorted(dict.fromkeys(diagnostics), key=_place)
    return Loaded(
        names,
        document.main,
        graph,
        tuple(replace(each, excerpt=library.excerpt(each.location)) for each in shown),
        library.files,
        functions,
        tuple(modules),
    )


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    location = diagnostic.location
    return (location.file, location.line, location.column) if location else ("", 0, 0)


@dataclass(slots=True)
class _Library:
    """All files of a load."""

    read_file: ReadFile
    find: Finder
    diagnostics: list[Diagnostic] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    places: dict[Location, tuple[Source, Dictionary]] = field(default_factory=dict)
    ends: dict[Location, tuple[Source, Dictionary]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def document(self, path: str) -> Document:
        """Raises OSError."""
        if path not in self.documents:
            data = self.files[path] = self.read_file(path)
            complaints = len(self.diagnostics)
            source = self._source(path, data)
            root = read(source) if len(self.diagnostics) == complaints else None
            is_read = root is not None or len(self.diagnostics) == complaints
            self.documents[path] = Document(self, source, root, is_read=is_read)
        return self.documents[path]

    def _source(self, path: str, data: bytes) -> Source:
        source = Source(path, "", self.diagnostics)
        if len(data) > LIMITS.yaml_bytes_max:
            message = (
                f"the file is larger than {LIMITS.yaml_bytes_max:,} bytes, which is as much as is read (yaml_bytes_max)"
            )
            source.report(
                "yaml-too-large", message, "Split it: a pipeline of another file is used by file.yaml:NAME.", 0
            )
            return source
        try:
            source.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            source.text = data[: error.start].decode()
            source.report("yaml-syntax", "the file is not UTF-8 from here on", "Save it as UTF-8.", len(source.text))
        return source

    def excerpt(self, location: Location | None) -> str:
        document = self.documents.get(location.file) if location is not None else None
        return document.source.excerpt(location) if document is not None and location is not None else ""


class Document:
    """One file: its components and pipelines, built when they are first asked for."""

    def __init__(self, library: _Library, source: Source, root: Part | None, *, is_read: bool) -> None:
        self.source = source
        self._library = library
        self._graphs: dict[str, Graph | None] = {}
        self._building: list[str] = []
        if is_read:
            self._check(root)
        self._root = root if isinstance(root, Dictionary) else NO_ENTRIES
        declared = self._root.get("components")
        self.components = Components(source, declared if isinstance(declared, Dictionary) else None, library.find)
        self.main = _text(self._root.get("pipeline"))
        self.pipelines = self._named_pipelines()

    @property
    def places(self) -> dict[Location, tuple[Source, Dictionary]]:
        return self._library.places

    @property
    def failed(self) -> set[str]:
        return self._library.failed

    def graph(self, name: str) -> Graph | None:
        if name not in self._graphs:
            self._building.append(name)
            self._graphs[name] = self._build(name)
            self._building.pop()
        return self._graphs[name]

    # -- what tasks use ------------------------------------------------------------------------------------------------

    def component(self, written: Scalar) -> Function | Command | None:
        document, name = self._elsewhere(written)
        if document is None:
            return None
        if document is not self and name not in document.components.names():
            message = f"there is no component `{name}` in {os.path.basename(document.source.file)}"
            self.source.report("unknown-component", message, nearest(name, document.components.names()), written)
            return None
        return document.components.named(name, written)

    def pipeline(self, written: Scalar) -> Graph | None:
        module, colon, _name = written.text.rpartition(":")
        if colon and not module.endswith(SUFFIXES):
            found = self.components.found(written, graphs=True)
            return found if isinstance(found, Graph) else None
        document, name = self._elsewhere(written)
        if document is None:
            return None
        if not name:
            name = document.main or (next(iter(document.pipelines)) if len(document.pipelines) == 1 else "")
        if name not in document.pipelines:
            where = "" if document is self else f" in {os.path.basename(document.source.file)}"
            message = f"there is no pipeline `{name}`{where}" if name else f"there are several pipelines{where}"
            self.source.report("unknown-pipeline", message, nearest(name, document.pipelines), written)
            return None
        if name in document._building:
            message = f"`{name}` is used inside of itself"
            self.source.report("recursive-pipeline", message, "Use `loop` to repeat something.", written)
            return None
        return document.graph(name)

    def _elsewhere(self, written: Scalar) -> tuple[Document | None, str]:
        """The file that a name refers to, and the name in it."""
        text = written.text
        file, colon, name = text.rpartition(":")
        if not colon and text.endswith(SUFFIXES):
            file, name = text, ""
        if not file:
            return self, text
        if not file.endswith(SUFFIXES):
            fix = "Write a name of this file, or file.yaml:NAME."
            self.source.report("unknown-component", f"`{text}` names no component", fix, written)
            return None, ""
        path = os.path.normpath(os.path.join(os.path.dirname(self.source.file), file))
        try:
            return self._library.document(path), name
        except OSError as error:
            message = f"`{file}` cannot be read: {error.strerror}"
            self.source.report("unknown-file", message, "Its path is relative to this file.", written)
            return None, ""

    # -- building ------------------------------------------------------------------------------------------------------

    def _check(self, root: Part | None) -> None:
        if root is None or is_null(root):
            fix = "Begin with `penstock: 1`, `pipeline: NAME` and `tasks:`."
            self.source.report("yaml-no-value", "the file is empty", fix, 0)
            return
        check_form(self.source, root, Use("file"), "the file")

    def _named_pipelines(self) -> dict[str, Dictionary]:
        root = self._root
        found: dict[str, Dictionary] = {}
        if self.main:
            found[self.main] = root
        pipelines = root.get("pipelines")
        for name, (key, part) in pipelines.entries.items() if isinstance(pipelines, Dictionary) else ():
            if name in found:
                self.source.report("duplicate-name", f"two pipelines are named `{name}`", "Rename one of them.", key)
            elif isinstance(part, Dictionary):
                found[name] = part
        if not self.main and root.entries:
            stray = [name for name in ("tasks", "outputs", "parameters", "sources") if name in root.entries]
            if stray:
                fix = "Add `pipeline: NAME`, or move it below a name in `pipelines:`."
                self.source.report(
                    "yaml-missing-key", f"`{stray[0]}` stands here without a pipeline's name", fix, root.key(stray[0])
                )
            elif not isinstance(pipelines, Dictionary) and "components" not in root.entries:
                fix = "Add `pipeline: NAME` and `tasks:`."
                self.source.report("yaml-missing-key", "there is no pipeline in this file", fix, root)
        return found

    def _build(self, name: str) -> Graph:
        part = self.pipelines[name]
        is_main = part is self._root
        key = part.get("pipeline") if is_main else None
        pipelines = self._root.get("pipelines")
        if key is None:
            key = pipelines.key(name) if isinstance(pipelines, Dictionary) else part
        location = self.source.location(key.start)
        title = _text(part.get("name")) or name
        builder = GraphBuilder(title, location=location)
        builder.diagnostics = self.source.diagnostics
        self._library.ends[location] = (self.source, part)
        scope = Scope(builder, self.source, sources=self._sources(part))
        for spec in specs_of(part.get("parameters")):
            scope.inputs[spec.name] = builder.add_input(spec.name, spec.type, default=spec.default)
        tasks = Tasks(scope, self)
        order = tasks.add_all(part.get("tasks"))
        tasks.add_outputs(part.get("outputs"))
        return builder.finish(**graph_facts(part), order=order)

    def _sources(self, part: Dictionary) -> dict[str, Scoped]:
        """The declared sources of a pipeline, as constants that say where data stands."""
        sources: dict[str, Scoped] = {}
        written = part.get("sources")
        for name, (_key, value) in written.entries.items() if isinstance(written, Dictionary) else ():
            if not isinstance(value, Dictionary):
                continue
            kind = next((kind for kind in KINDS if kind in value.entries), "")
            if not kind:
                continue
            place = _text(value.get(kind))
            data: dict[str, str | None] = {"source": kind, ("url" if kind in ("url", "table") else "path"): place}
            if kind == "table":
                data.update(query=_text(value.get("query")), version=_text(value.get("version")) or None)
            type_ = source_of(kind)
            complaint = source_complaint(type_, data)
            if complaint is not None:
                self.source.report("bad-source", f"source `{name}` {complaint}", "Mend it.", value.get(kind) or value)
            sources[name] = Scoped(None, Constant(data), type_)
        return sources


def _text(part: Part | None) -> str:
    return part.text if isinstance(part, Scalar) and not is_null(part) else ""
