"""Code digests (docs/cache.md): for every component of a pipeline what its code counts as, and why. Computed in the
worker that imported the target, right after."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from glob import glob
from importlib import import_module
from importlib.util import decode_source
from itertools import compress
from pathlib import Path
from typing import Any

from penstock.base.digests import digest_of
from penstock.base.firstparty import is_first_party
from penstock.base.secrets import variable_part
from penstock.code.closure import BY_TEXT, Closure, reach_by_key
from penstock.code.distributions import Installed, project_file_part
from penstock.code.facts import FACTS, VERSION, Facts, facts_from_data, facts_to_data
from penstock.code.import_reads import ImportReads
from penstock.code.kept import Kept
from penstock.code.linking import Linked, link
from penstock.code.live_values import without_digest
from penstock.code.model import ComponentCode, Unit, Unresolved
from penstock.code.pins import Source
from penstock.code.references import READS_NAMES, READS_SOURCE, READS_TEXT_OF_OBJECTS, READS_WHAT_IS_TOLD
from penstock.code.statements import facts_of
from penstock.code.unannotated import unannotated
from penstock.graph.codec import type_to_json
from penstock.graph.model import Function, InputSpec, OutputSpec
from penstock.graph.types import Type

_INTERPRETER = f"{VERSION}-{sys.implementation.cache_tag}-{sys.hexversion:x}"
# What reads and writes the values of a package beside the package itself (rule 9).
_WRITTEN_WITH = {"pandas": ("pyarrow",), "sklearn": ("joblib", "skops"), "scipy": ("numpy",)}


def component_codes(
    components: Iterable[Function],
    *,
    sources: Mapping[str, Source],
    project: str,
    scratch: Path | None = None,
    reads: ImportReads | None = None,
    targets: Sequence[str] = (),
) -> dict[str, ComponentCode]:
    """The code of each component by `module:name`. `sources` are all first-party sources that the target may import,
    `project` an absolute path, `reads` what was read while it was imported. `scratch` may keep what was worked out.
    `targets` are the modules that are imported before any component is called: what that does counts for all of them.
    Modules that a component imports only when it runs are imported here where their values matter."""
    wanted = {f"{each.module}:{each.name}": each for each in components}
    collects = gc.isenabled()
    gc.disable()  # tens of thousands of objects are made, none in cycles: looking for those takes as long as the rest
    try:
        return _digests(sources, project, scratch, reads).of(
            wanted, [f"{name}:*" for name in targets if name in sources]
        )
    finally:
        if collects:
            gc.enable()


def _digests(sources: Mapping[str, Source], project: str, scratch: Path | None, reads: ImportReads | None) -> _Digests:
    kept = Kept(scratch / FACTS if scratch is not None else None)
    return _Digests(
        Closure(_linked(sources, kept), {name: source.path for name, source in sources.items()}, project),
        sources,
        project,
        Installed(kept),
        reads or ImportReads(project, is_first_party),
    )


# -- facts, kept -------------------------------------------------------------------------------------------------------


def _linked(sources: Mapping[str, Source], kept: Kept) -> dict[str, Linked]:
    """The graph of units; worked out again when any source has changed, from the facts of those that have not."""
    contents = {name: hashlib.sha256(source.data).hexdigest() for name, source in sorted(sources.items())}
    loaded = [name for name in contents if name in sys.modules]
    whole = hashlib.sha256(repr((_INTERPRETER, contents, loaded)).encode()).hexdigest()
    fields = Linked.__slots__
    stored = kept.read(f"linked-{whole}")
    if stored is not None:
        return {row[0]: Linked(*row) for row in stored}
    facts = {name: _facts(name, source, contents[name], kept) for name, source in sources.items()}
    linked = link(facts, loaded)
    kept.write(f"linked-{whole}", [tuple([getattr(node, name) for name in fields]) for node in linked.values()])
    kept.prune("linked-", files_max=16)
    kept.prune("facts-", files_max=20_000)
    return linked


def _facts(name: str, source: Source, content: str, kept: Kept) -> Facts:
    key = hashlib.sha256(f"{_INTERPRETER}\0{name}\0{source.is_package}\0{content}".encode()).hexdigest()
    stored = kept.read(f"facts-{key}")
    if stored is not None:
        return facts_from_data(stored)
    facts = facts_of(source.data, module=name, is_package=source.is_package)
    kept.write(f"facts-{key}", facts_to_data(facts))
    return facts


def _read_files(reads: ImportReads, project: str) -> dict[str, list[tuple[int, dict[str, str]]]]:
    """Source file → lines, with the parts of the files that were read there."""
    known: dict[str, str] = {}
    answer: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for (source, line), paths in reads.places.items():
        for path in paths:
            if path not in known:
                known[path] = project_file_part(path)
        parts = {f"file:{_inside(path, project)}": known[path] for path in paths}
        answer.setdefault(source, []).append((line, parts))
    return answer


def _inside(path: str, project: str) -> str:
    return os.path.relpath(path, project) + (os.sep if path.endswith(os.sep) else "")


# -- digests -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Digests:
    closure: Closure
    sources: Mapping[str, Source]
    project: str
    installed: Installed
    reads: ImportReads
    _read_files: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    _texts: dict[str, list[str]] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)

    def of(self, wanted: Mapping[str, Function], first: Sequence[str]) -> dict[str, ComponentCode]:
        starts = {name: [*self._starts(function), *first] for name, function in wanted.items()}
        self._load(start for each in starts.values() for start in each)
        all_ = [start for each in starts.values() for start in each]
        order = self.closure.reached(all_, annotated=False)
        if any(self._flags(key) & READS_TEXT_OF_OBJECTS for key in order):
            order = self.closure.reached(all_, annotated=True)
        table = self._table(order, annotated=False)
        read: _Table | None = None
        codes: dict[str, ComponentCode] = {}
        for name, function in wanted.items():
            bits = table.reached_from(starts[name])
            if table.flags(bits) & READS_TEXT_OF_OBJECTS:
                # what annotations name is reached by who reads them
                read = read or self._table(order, annotated=True)
                codes[name] = read.code(function, read.reached_from(starts[name]))
            else:
                codes[name] = replace(table.code(function, bits), unannotated=self._unannotated(function, table, first))
        return codes

    def _unannotated(self, function: Function, table: _Table, first: Sequence[str]) -> str:
        """What a component counts as without its return annotation: its text and where that goes on, with less taken away
        than for its code. Empty where something may read annotations, or more than its own text makes it what it is."""
        key = f"{function.module}:{function.name}"
        node = self.closure.linked.get(key)
        if node is None or node.kind != "def" or len(node.spans) != 1 or self.closure.count(key).digest != node.plain:
            return ""
        text = unannotated(self._text(node))
        edges = (edge for edge in self.closure.count(key).edges if edge not in (key, *node.returned))
        starts = [*edges, *node.annotations, *self._chained(function, function.inputs), *first]
        return table.unannotated(function, key, text, starts) if text else ""

    def _table(self, order: list[str], *, annotated: bool) -> _Table:
        return _Table(self, order, reach_by_key(order, partial(self.closure.edges, annotated=annotated)))

    def _flags(self, key: str) -> int:
        node = self.closure.node(key)
        return 0 if node is None or self.closure.count(key).by_value else node.flags

    def _starts(self, function: Function) -> list[str]:
        linked, module = self.closure.linked, function.module
        key = f"{module}:{function.name.partition('.')[0]}"
        starts: dict[str, None] = {}
        if module in self.sources:
            node = linked.get(key)
            starts.update(dict.fromkeys((key, *node.annotations) if node is not None else (f"{module}:**",)))
        starts.update(dict.fromkeys(self._chained(function, (*function.inputs, *function.outputs))))
        return list(starts)

    def _chained(self, function: Function, ends: Sequence[InputSpec | OutputSpec]) -> Iterator[str]:
        """Where the types of inputs or outputs go on, and `depends=`."""
        chains = [chain for end in ends for chain in _chains_of_type(end.type)]
        for text in getattr(function.policy, "depends", ()) or ():
            depended, _, name = text.partition(":")
            chains.append(f"={depended}|{name}" if name else f"={depended}")
        for chain in chains:
            whole = "|" not in chain and chain[1:] in self.sources
            yield from [f"{chain[1:]}:**"] if whole else self.closure.keys_of(chain)

    def _load(self, starts: Iterable[str]) -> None:
        """Import the reached modules that only functions import, where a binding may be data that its text does not
        say. One that cannot be imported counts by its text, and by not being importable."""
        linked = self.closure.linked
        self.reads.begin()
        for key in sorted(self.closure.reached_by_text(starts)):
            node = linked.get(key)
            if node is None or node.module in sys.modules or node.module in self._failed:
                continue
            if not node.is_literal and node.kind in ("data", "def", "class", "import"):
                try:
                    import_module(node.module)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the author's own module
                    self._failed[node.module] = type(error).__name__
        self.reads.end()
        self._read_files.update(_read_files(self.reads, self.project))

    def unit(self, key: str, digest: str, *, position: int, reach: int) -> Unit:
        node = self.closure.linked[key.removesuffix(BY_TEXT)]
        name = without_digest(key.replace(BY_TEXT, " (text)"))
        return Unit(name, digest, node.module, node.functions, self._text(node), position, reach)

    def _text(self, node: Linked) -> str:
        pieces = []
        for module, first, last in node.spans:
            lines = self._texts.get(module)
            if lines is None:
                lines = self._texts[module] = _lines_of(self.sources[module].data)
            pieces.append("".join(lines[first - 1 : last]))
        return "".join(pieces)

    def parts_of(self, key: str, node: Linked | None) -> dict[str, str]:
        """The parts of the environment that a node adds, also by what was read in its lines at import."""
        if node is None or node.kind == "foreign":
            return self.installed.parts_of(key[1:])
        parts = dict(variable_part(name, os.environ.get(name)) for name in node.variables)
        if node.module in self._failed and node.is_data:
            parts[f"module:{node.module}"] = self._failed[node.module]
        for module, first, last in node.spans if self._read_files else ():
            for line, found in self._read_files.get(self.sources[module].path, ()):
                if first <= line <= last:
                    parts.update(found)
        return parts

    def suspects_of(self, key: str, node: Linked) -> Iterator[Unresolved]:
        file = self.file_of(node)
        for why, line in node.suspects:
            yield Unresolved(without_digest(key), why, file, line)

    def file_of(self, node: Linked) -> str:
        path = self.sources[node.spans[0][0] if node.spans else node.module].path
        inside = path.startswith(self.project + os.sep)
        return os.path.relpath(path, self.project) if inside else path


class _Table:
    """What is reached, in the order of keys: what each node counts as in its three forms, and which nodes add more than
    a digest."""

    def __init__(self, digests: _Digests, order: Sequence[str], reach: Mapping[str, int]) -> None:
        self._reach = reach
        self._digests = digests
        self._order = order
        self._rows: dict[int, tuple[list[str], list[Unit | None]]] = {}
        closure = digests.closure
        self._counted = [closure.count(key) for key in order]
        self._nodes = [closure.node(key) for key in order]
        both = list(zip(self._counted, self._nodes, strict=True))
        flagged = [0 if counted.by_value or node is None else node.flags for counted, node in both]
        readers = (READS_TEXT_OF_OBJECTS, READS_SOURCE, READS_NAMES, READS_WHAT_IS_TOLD)
        self._flag_bits = {flag: self._bits(flags & flag for flags in flagged) for flag in readers}
        self._more: dict[int, dict[str, str]] = {}
        for position, (key, counted, node) in enumerate(zip(order, self._counted, self._nodes, strict=True)):
            parts = {} if counted.by_value else digests.parts_of(key, node)
            if parts:
                self._more[position] = parts
        self._watched = [
            position
            for position, (counted, node) in enumerate(both)
            if node is not None and not counted.by_value and (node.suspects or node.natives)
        ]

    def reached_from(self, starts: Iterable[str]) -> int:
        """The nodes that can be reached, as bits."""
        bits = 0
        for start in starts:
            bits |= self._reach[start]
        return bits

    @staticmethod
    def _bits(truths: Iterable[int]) -> int:
        answer = 0
        for position, truth in enumerate(truths):
            if truth:
                answer |= 1 << position
        return answer

    def _forms(self, flags: int) -> tuple[list[str], list[Unit | None]]:
        """(line of the digest, unit) of each node in the form that the flags ask for."""
        known = self._rows.get(flags)
        if known is not None:
            return known
        lines: list[str] = []
        units: list[Unit | None] = []
        for position, (key, counted, node) in enumerate(zip(self._order, self._counted, self._nodes, strict=True)):
            digest = counted.digest
            if digest is None or node is None or node.kind in ("foreign", "module"):
                lines.append("" if digest is None else f"{without_digest(key)}\0{digest}\n")
                units.append(None)
                continue
            if flags and not counted.by_value:
                form = _form_of(node, flags)
                digest = hashlib.sha256(f"{digest}\0{form}".encode()).hexdigest()
            reach = self._reach[key] if node.kind == "class" else 0
            units.append(self._digests.unit(key, digest, position=position, reach=reach))
            lines.append(f"{without_digest(key)}\0{digest}\n")
        known = self._rows[flags] = (lines, units)
        return known

    def flags(self, bits: int) -> int:
        return sum(flag for flag, flagged in self._flag_bits.items() if bits & flagged)

    def digest(self, bits: int) -> str:
        """sha256 over what the chosen nodes count as."""
        lines, _ = self._forms(self.flags(bits))
        text = "".join(compress(lines, _chosen(bits)))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def code(self, function: Function, bits: int) -> ComponentCode:
        _, units = self._forms(self.flags(bits))
        digest = hashlib.sha256(f"{self.digest(bits)}{_signature(function)}".encode())
        own = f"{function.module}:{function.name}"
        if function.module.partition(".")[0] == "penstock":
            digest.update(own.encode())
        parts = self._parts(function, bits)
        return ComponentCode(
            digest=digest.hexdigest(),
            environment=digest_of(parts),
            parts=parts,
            unresolved=self._unresolved(function, bits),
            version=getattr(function.policy, "version", None),
            is_answered_for=_is_answered_for(function),
            closure=tuple(unit for unit in compress(units, _chosen(bits)) if unit is not None),
        )

    def unannotated(self, function: Function, key: str, text: str, starts: Iterable[str]) -> str:
        own = 1 << self._order.index(key)
        bits = self.reached_from(starts) & ~own
        flags = self.flags(bits | own)
        if flags & (READS_TEXT_OF_OBJECTS | READS_SOURCE) or getattr(function.policy, "expires_ms", None) is not None:
            return ""
        lines, _ = self._forms(flags)
        inputs: list[Any] = [[each.name, type_to_json(each.type)] for each in function.inputs]
        version = getattr(function.policy, "version", None)
        reached = list(compress(lines, _chosen(bits)))
        return digest_of([key, inputs, text, reached, self._parts(function, bits | own), version])

    def _parts(self, function: Function, bits: int) -> dict[str, str]:
        parts = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        for position, more in self._more.items():
            if bits >> position & 1:
                parts.update(more)
        policy = function.policy
        for name in getattr(policy, "env", ()) or ():
            part, value = variable_part(name, os.environ.get(name.rpartition(":")[2]))
            parts[part] = value
        for path in getattr(policy, "files", ()) or ():
            parts[f"file:{path}"] = project_file_part(os.path.join(self._digests.project, path.rstrip(os.sep)))
        return dict(sorted(parts.items()))

    def _unresolved(self, function: Function, bits: int) -> tuple[Unresolved, ...]:
        policy = function.policy
        if _is_answered_for(function):
            return ()
        files = tuple(getattr(policy, "files", ()) or ())
        found: dict[Unresolved, None] = {}
        for position in self._watched:
            node = self._nodes[position]
            if node is None or not bits >> position & 1:
                continue
            found.update(dict.fromkeys(self._digests.suspects_of(self._order[position], node)))
            for reader, path, line in node.natives:
                if not self._is_declared(path, files):
                    why = f"{reader} reads {path}, which nobody sees"
                    file = self._digests.file_of(node)
                    found[Unresolved(without_digest(self._order[position]), why, file, line, path)] = None
        return tuple(found)

    def _is_declared(self, path: str, files: Sequence[str]) -> bool:
        """Whether a constant path is declared, or is none of the project's."""
        project = self._digests.project
        full = os.path.normpath(os.path.join(project, path))
        if not f"{full}{os.sep}".startswith(project + os.sep) or not (os.path.exists(full) or glob(full)):
            return True
        declared = (os.path.normpath(os.path.join(project, each)) for each in files)
        return any(full == each or full.startswith(each + os.sep) for each in declared)


def _form_of(node: Linked, flags: int) -> str:
    """What counts of a text beside its normal form, for those that read so much of it."""
    if flags & READS_SOURCE:
        return f"{node.raw}"
    full = node.full if flags & READS_TEXT_OF_OBJECTS else ""
    return f"{full}{node.named if flags & (READS_NAMES | READS_WHAT_IS_TOLD) else ''}"


def _is_answered_for(function: Function) -> bool:
    """Whether its author answers for what cannot be followed (rule 13)."""
    return bool(getattr(function.policy, "depends", ())) or function.policy.cache == "trust"


def _chosen(bits: int) -> list[bool]:
    return [bit == "1" for bit in reversed(f"{bits:b}")]


def _lines_of(data: bytes) -> list[str]:
    try:
        return decode_source(data).splitlines(keepends=True)
    except (SyntaxError, ValueError):
        return []


def _signature(function: Function) -> str:
    """Names and types of inputs and outputs."""
    inputs: list[Any] = [[each.name, type_to_json(each.type)] for each in function.inputs]
    return digest_of([inputs, [[each.name, type_to_json(each.type)] for each in function.outputs]])


def _chains_of_type(type_: Type) -> Iterator[str]:
    """The code and the packages behind a type (rule 9)."""
    for name in (type_.name, *type_.bases):
        module, colon, qualified = name.partition(":")
        if colon:
            yield f"={module}|{qualified}"
            for package in _WRITTEN_WITH.get(module.partition(".")[0], ()):
                yield f"={package}"
    if type_.item is not None:
        yield from _chains_of_type(type_.item)
