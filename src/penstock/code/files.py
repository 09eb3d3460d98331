"""The files of the project that commands declare, as they are when the target is described: what a command finds in its folder
does not change during a run (semantics 24). Small ones are kept with the pinned sources; large ones stay where they are,
and count as changed when they no longer are what they were."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HELD_BYTES_MAX = 1024 * 1024
"""A larger file is not kept with the pin."""

HELD_TOTAL_MAX = 16 * 1024 * 1024
FILES_MAX = 10_000
"""So many files of declared folders stand in the folder of an attempt."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file as it was: `content` None where only its digest (sha256) is known."""

    digest: str
    mode: int
    content: bytes | None


def pinned_files(declared: Iterable[str], *, project: str) -> dict[str, PinnedFile]:
    """The files behind declared paths, by their paths in the project. What is not there, or not in the project, is left
    out."""
    found: dict[str, PinnedFile] = {}
    held = 0
    for path in sorted({name for each in declared if (name := inside(each, project)) is not None}):
        for file in _files_at(path, project):
            if file in found or len(found) >= FILES_MAX:
                continue
            try:
                pinned = _pinned(os.path.join(project, file), hold=held < HELD_TOTAL_MAX)
            except OSError:
                continue
            held += len(pinned.content or b"")
            found[file] = pinned
    return found


def inside(path: str, project: str) -> str | None:
    """A declared path relative to the project; None for one outside of it."""
    full = os.path.normpath(os.path.join(project, path))
    return os.path.relpath(full, project) if full.startswith(project.rstrip(os.sep) + os.sep) else None


def _files_at(path: str, project: str) -> Iterator[str]:
    full = os.path.join(project, path)
    if not os.path.isdir(full):
        yield path
        return
    for place, below, files in os.walk(full):
        below.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(place, name), project)


def _pinned(place: str, *, hold: bool) -> PinnedFile:
    with open(place, "rb") as file:
        status = os.fstat(file.fileno())
        if hold and status.st_size <= HELD_BYTES_MAX:
            content = file.read()
            return PinnedFile(hashlib.sha256(content).hexdigest(), status.st_mode & 0o777, content)
        return PinnedFile(hashlib.file_digest(file, "sha256").hexdigest(), status.st_mode & 0o777, None)


def chosen(files: Mapping[str, PinnedFile], declared: Iterable[str], *, project: str) -> dict[str, PinnedFile]:
    """Of pinned files those that a command declares, itself or by a folder that holds them."""
    names = [name for each in declared if (name := inside(each, project)) is not None]
    return {
        path: file
        for path, file in files.items()
        if any(path == name or path.startswith(f"{name}{os.sep}") for name in names)
    }


def put_in_place(files: Mapping[str, PinnedFile], folder: Path, *, project: Path) -> list[str]:
    """Write the files into a folder. Answers those that are no longer what they were. Raises OSError."""
    changed = []
    for path, file in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        content = file.content
        if content is None:
            content = (project / path).read_bytes()
            if hashlib.sha256(content).hexdigest() != file.digest:
                changed.append(path)
        place.write_bytes(content)
        place.chmod(file.mode | 0o600)
    return changed


def files_to_json(files: Mapping[str, PinnedFile]) -> dict[str, Any]:
    """`{path: [digest, mode, content in base64 or None]}`."""
    return {
        path: [file.digest, file.mode, None if file.content is None else base64.b64encode(file.content).decode()]
        for path, file in files.items()
    }


def files_from_json(data: Mapping[str, Any]) -> dict[str, PinnedFile]:
    return {
        path: PinnedFile(digest, mode, None if content is None else base64.b64decode(content))
        for path, (digest, mode, content) in data.items()
    }
