"""Folders as content: a canonical listing whose digest is the folder's address. Knows what in a folder counts (relative
paths, kinds, the owner's executable bit, digests and sizes of files, targets of links) and what does not (times,
owners, other modes), and nothing of where content is kept."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from penstock.base.errors import InvalidInput

LISTING_VERSION = 1
_LINKS_MAX = 40


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file at `path` (relative, `/` between names)."""

    path: str
    executable: bool
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FolderEntry:
    path: str


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """A symbolic link; `target` is relative and stays inside the folder."""

    path: str
    target: str


Entry = FileEntry | FolderEntry | LinkEntry


@dataclass(frozen=True, slots=True)
class Found:
    """What a walk over a folder saw, sorted by path: the status of everything in it, and where links point to."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, os.stat_result], ...]
    links: tuple[tuple[str, str], ...]

    def sight(self) -> tuple[object, ...]:
        """Equal as long as nobody touched the folder: what is remembered of a folder that was verified."""
        files = tuple((path, s.st_ino, s.st_mtime_ns, s.st_size, s.st_mode & stat.S_IXUSR) for path, s in self.files)
        return self.folders, files, self.links


def walk(root: str) -> Found:
    """Everything in a folder. Raises `InvalidInput` for what a tree cannot hold (links that leave the folder, sockets,
    devices), OSError for what cannot be read."""
    folders: list[str] = []
    files: list[tuple[str, os.stat_result]] = []
    links: list[tuple[str, str]] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(os.path.join(root, inside)) as children:
            for child in children:
                path = f"{inside}/{child.name}" if inside else child.name
                status = child.stat(follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    links.append((path, os.readlink(child.path)))
                elif stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                    waiting.append(path)
                elif stat.S_ISREG(status.st_mode):
                    files.append((path, status))
                else:
                    raise InvalidInput(
                        f"{os.path.join(root, path)} is neither a file, a folder nor a link",
                        fix="Leave sockets, pipes and devices out of a folder that a task returns.",
                    )
    found = Found(tuple(sorted(folders)), tuple(sorted(files, key=lambda f: f[0])), tuple(sorted(links)))
    _refuse_links_that_leave(root, found)
    return found


def entries_of(found: Found, digest_of: Callable[[str, os.stat_result], str]) -> tuple[Entry, ...]:
    """The entries of a folder, sorted by path; `digest_of(path, status)` is asked once per file, in order."""
    entries: list[Entry] = [
        FileEntry(path, bool(status.st_mode & stat.S_IXUSR), digest_of(path, status), status.st_size)
        for path, status in found.files
    ]
    entries += [FolderEntry(path) for path in found.folders]
    entries += [LinkEntry(path, target) for path, target in found.links]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def listing_of(entries: tuple[Entry, ...]) -> bytes:
    """The canonical listing: JSON of the entries sorted by path, in ASCII (names that are no UTF-8 keep their bytes as
    lone surrogates)."""
    rows: list[list[object]] = []
    for entry in entries:
        match entry:
            case FileEntry(path, executable, digest, size_bytes):
                rows.append([path, "file", executable, digest, size_bytes])
            case FolderEntry(path):
                rows.append([path, "folder"])
            case LinkEntry(path, target):
                rows.append([path, "link", target])
    return json.dumps({"version": LISTING_VERSION, "entries": rows}, sort_keys=True, separators=(",", ":")).encode()


def entries_from(listing: bytes) -> tuple[Entry, ...]:
    """The entries of a canonical listing. Raises ValueError for one of another version or none at all."""
    data = json.loads(listing)
    if data["version"] != LISTING_VERSION:
        raise ValueError(f"a folder's listing of version {data['version']}")
    entries: list[Entry] = []
    for row in data["entries"]:
        match row:
            case [path, "file", executable, digest, size_bytes]:
                entries.append(FileEntry(path, executable, digest, size_bytes))
            case [path, "folder"]:
                entries.append(FolderEntry(path))
            case [path, "link", target]:
                entries.append(LinkEntry(path, target))
            case _:
                raise ValueError(f"a folder's listing with {row!r}")
    return tuple(entries)


def size_of(entries: tuple[Entry, ...]) -> int:
    return sum(entry.size_bytes for entry in entries if isinstance(entry, FileEntry))


def _refuse_links_that_leave(root: str, found: Found) -> None:
    target_by_path = dict(found.links)
    for path, target in found.links:
        if not _stays_inside(path, target, target_by_path):
            raise InvalidInput(
                f"{os.path.join(root, path)} links to {target}, which is no place inside the folder",
                fix="Copy what it points to into the folder, or make the link relative and inside.",
            )


def _stays_inside(path: str, target: str, target_by_path: dict[str, str]) -> bool:
    """Whether following a link never leaves the folder, on its way included: `../folder/x` comes back, but would point
    elsewhere once the folder has another name."""
    if target.startswith("/"):
        return False
    here = path.split("/")[:-1]
    ahead = target.split("/")[::-1]
    followed = 0
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                return False
            here.pop()
            continue
        onward = target_by_path.get("/".join([*here, name]))
        if onward is None:
            here.append(name)
            continue
        followed += 1
        if followed > _LINKS_MAX or onward.startswith("/"):
            return False
        ahead += onward.split("/")[::-1]
    return True
