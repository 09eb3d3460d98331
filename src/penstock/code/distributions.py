"""Third-party distributions as key parts (cache rule 8): version and digest of RECORD, with what they require. Read
from the folders of their metadata, and kept by (path, time of change) so that nothing is read twice."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import Any

from penstock.code.kept import Kept

_REQUIREMENT = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9._-]+)(.*)$", re.MULTILINE)
_NAME = re.compile(r"^Name:\s*(\S+)", re.MULTILINE)
_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
_SHOWN = 16


@dataclass(slots=True)
class Distribution:
    """`stamp` says whether it has been changed since; `tops` are the modules that it installs at the top."""

    name: str
    version: str
    record: str
    requires: tuple[str, ...]
    tops: tuple[str, ...]
    stamp: tuple[int, ...]


@dataclass(slots=True)
class Installed:
    """What is installed on `sys.path`, as far as it was asked for."""

    kept: Kept
    _folders: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    _by_top: dict[str, list[Distribution]] = field(default_factory=dict)
    _by_name: dict[str, Distribution] = field(default_factory=dict)
    _parts: dict[str, dict[str, str]] = field(default_factory=dict)
    _is_read: bool = False

    def parts_of(self, module: str) -> dict[str, str]:
        """The key parts of a third-party module: `dist:NAME` for its distribution and all that this requires, or
        `file:`, `module:` for what belongs to none."""
        known = self._parts.get(module)
        if known is None:
            known = self._parts[module] = self._find(module)
        return known

    def _find(self, module: str) -> dict[str, str]:
        self._read()
        found = self._by_top.get(module.partition(".")[0])
        if not found:
            return _part_of_file(module)
        parts: dict[str, str] = {}
        pending = list(found)
        while pending:
            one = pending.pop()
            if f"dist:{one.name}" not in parts:
                parts[f"dist:{one.name}"] = f"{one.version} {one.record[:_SHOWN]}"
                pending += [self._by_name[name] for name in one.requires if name in self._by_name]
        return parts

    def _read(self) -> None:
        if self._is_read:
            return
        self._is_read = True
        for folder in dict.fromkeys(sys.path):
            if os.path.isdir(folder):
                for one in self._folder(folder).values():
                    if one.name not in self._by_name:  # the first on the path wins, as for imports
                        self._by_name[one.name] = one
                        for top in one.tops:
                            self._by_top.setdefault(top, []).append(one)

    def _folder(self, folder: str) -> dict[str, Distribution]:
        name = f"installed-{hashlib.sha256(folder.encode()).hexdigest()[:32]}"
        stored = self.kept.read(name)
        known = {entry: Distribution(*row) for entry, row in stored.items()} if isinstance(stored, dict) else {}
        answer: dict[str, Distribution] = {}
        for entry in sorted(os.listdir(folder)):
            if entry.endswith((".dist-info", ".egg-info")):
                place = os.path.join(folder, entry)
                stamp = _stamp(place)
                one = known.get(entry)
                answer[entry] = one if one is not None and one.stamp == stamp else _distribution(place, stamp)
        if any(known.get(entry) is not one for entry, one in answer.items()) or len(known) != len(answer):
            names = Distribution.__slots__
            self.kept.write(name, {e: tuple(getattr(one, n) for n in names) for e, one in answer.items()})
        return answer


def distributions_in(folder: str) -> dict[str, str]:
    """What is installed in a folder of packages: name to version and the beginning of RECORD's digest, as `parts_of` says
    it."""
    found: dict[str, str] = {}
    for entry in sorted(os.listdir(folder)):
        if entry.endswith((".dist-info", ".egg-info")):
            place = os.path.join(folder, entry)
            one = _distribution(place, _stamp(place))
            found[one.name] = f"{one.version} {one.record[:_SHOWN]}"
    return found


def _stamp(place: str) -> tuple[int, ...]:
    answer: list[int] = []
    for name in ("RECORD", "METADATA", "PKG-INFO"):
        try:
            found = os.stat(os.path.join(place, name))
        except OSError:
            continue
        answer += [found.st_mtime_ns, found.st_size, found.st_ino]
    return tuple(answer)


def _distribution(place: str, stamp: tuple[int, ...]) -> Distribution:
    metadata = _text(place, "METADATA") or _text(place, "PKG-INFO")
    head = metadata.partition("\n\n")[0]
    record = _text(place, "RECORD")
    name, version = _NAME.search(head), _VERSION.search(head)
    file = os.path.basename(place).rpartition(".")[0]
    requires = dict.fromkeys(_canonical(m[1]) for m in _REQUIREMENT.finditer(head) if "extra ==" not in m[2])
    return Distribution(
        _canonical(name[1] if name else file.partition("-")[0]),
        version[1] if version else file.partition("-")[2],
        hashlib.sha256((record or metadata).encode()).hexdigest(),
        tuple(requires),
        tuple(dict.fromkeys(_tops(place, record))),
        stamp,
    )


def _tops(place: str, record: str) -> Iterator[str]:
    yield from _text(place, "top_level.txt").split()
    for line in record.splitlines():
        path = line.partition(",")[0]
        first, slash, rest = path.partition("/")
        if slash and not first.endswith((".dist-info", ".data")) and first not in ("..", "__pycache__", "bin"):
            if rest.endswith((".py", ".so", ".pyd", ".pyi")):
                yield first
        elif not slash and path.endswith((".py", *EXTENSION_SUFFIXES)):
            yield path.partition(".")[0]


def _text(place: str, name: str) -> str:
    try:
        return Path(place, name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _part_of_file(module: str) -> dict[str, str]:
    """A module that no distribution has installed: an extension module of the author's, a file put there by hand, or
    nothing at all, which is a part as well, since installing it changes what happens."""
    path: Iterable[str] | None = None
    found: Any = None
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        try:
            found = PathFinder.find_spec(".".join(parts[:length]), None if path is None else list(path))
        except (ImportError, ValueError):
            found = None
        if found is None:
            break
        path = found.submodule_search_locations
        if path is None:
            break
    if found is None:
        return {f"module:{module}": "missing"} if length == 1 or path is not None else {}
    origin = found.origin
    if path is not None and not (origin and origin.endswith(tuple(EXTENSION_SUFFIXES))):
        return {f"module:{module}": _digest_of_folder(list(path))}
    return {f"module:{module}": _digest_of_file(origin)} if origin else {}


def _digest_of_file(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _digest_of_folder(folders: list[str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if name != "__pycache__")
            for name in sorted(files):
                if name.endswith((".py", *EXTENSION_SUFFIXES)):
                    path = os.path.join(place, name)
                    digest.update(f"{os.path.relpath(path, folder)}\0{_digest_of_file(path)}\0".encode())
    return digest.hexdigest()


def project_file_part(path: str) -> str:
    """The digest of a file, of all that is below a folder, or, with a slash at the end, of the names in it; `missing` where
    there is nothing."""
    if path.endswith(os.sep):
        return _digest_of_names(path)
    if os.path.isdir(path):
        digest = hashlib.sha256()
        for place, below, files in os.walk(path):
            below.sort()
            for name in sorted(files):
                file = os.path.join(place, name)
                digest.update(f"{os.path.relpath(file, path)}\0{_digest_of_content(file)}\0".encode())
        return digest.hexdigest()
    return _digest_of_content(path)


def _digest_of_names(folder: str) -> str:
    try:
        names = sorted(set(os.listdir(folder)) - {".penstock", "__pycache__"})
    except OSError:
        return "missing"
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()


def _digest_of_content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
