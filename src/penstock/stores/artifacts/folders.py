"""Folders in a store: a listing, whose digest is the folder's, and the folder itself with its files. Raises as
`files` does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from penstock.stores.artifacts.digests import digest_of_listing, digest_of_stored
from penstock.stores.artifacts.durable import copy_content, sync, sync_folder, write_all
from penstock.stores.artifacts.files import Files, open_source, unreadable
from penstock.stores.artifacts.layout import Layout
from penstock.stores.artifacts.trees import (
    Entry,
    FileEntry,
    FolderEntry,
    LinkEntry,
    entries_from,
    entries_of,
    listing_of,
    size_of,
    walk,
)

Answer = TypeVar("Answer")

_CANNOT_LINK = (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class Folders:
    """The folders of the store with this layout."""

    def __init__(self, layout: Layout, files: Files) -> None:
        self._layout = layout
        self._files = files

    def put(self, source: str, *, move: bool) -> tuple[str, int]:
        """Store a folder: (digest, bytes of its files). With `move` its files may be renamed away; the folder is
        left."""
        try:
            found = walk(source)
        except OSError as error:
            raise unreadable(source, error) from error
        entries = entries_of(found, lambda path, _: self._put_file(os.path.join(source, path), move=move))
        # Sizes as stored: a file that grew between the walk and its copy is listed as it was copied.
        entries = tuple(self._as_stored(entry) for entry in entries)
        listing = listing_of(entries)
        digest = digest_of_listing(listing)
        if not self.is_kept(digest):
            self._layout.prepare()
            with self._layout.partial.tree() as folder:
                self._build(folder, entries=entries, listing=listing)
                try:
                    self._layout.settle(folder, digest)
                except OSError as error:
                    # Another writer of the same folder came first: its name holds the same content.
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
        return digest, size_of(entries)

    def is_kept(self, digest: str) -> bool:
        """Whether the content is there, verified, and from now on safe from deletion for a while. Corrupt content is
        moved aside, so that it can be written again."""
        try:
            self.verified_path(digest)
        except (FileNotFoundError, ArtifactCorrupt, ArtifactMissing):
            return False
        return self._layout.keep(digest)

    def verified_path(self, digest: str) -> str:
        """The path of a stored folder whose names and files are those of its digest."""
        content = os.path.join(self._layout.place(digest), "content")
        self._checked(digest, lambda: self._is_verified(digest, content) or None)
        return content

    def entries(self, digest: str) -> tuple[Entry, ...]:
        """What a stored folder holds, as its verified listing says; its files themselves are not looked at."""
        return self._checked(digest, lambda: self._listed(digest))

    def _checked(self, digest: str, look: Callable[[], Answer | None]) -> Answer:
        """What `look` answers about a stored folder; None: it is corrupt."""
        folder = self._layout.place(digest)
        while True:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                try:
                    answer = look()
                except (InvalidInput, FileNotFoundError, NotADirectoryError):
                    answer = None
                if answer is not None:
                    return answer
                error = self._layout.set_aside(digest, inode=os.fstat(fd).st_ino)
            finally:
                os.close(fd)
            if error is not None:
                raise error

    def _is_verified(self, digest: str, content: str) -> bool:
        found = walk(content)
        if self._layout.is_verified(digest, found.sight()):
            return True
        entries = entries_of(found, lambda path, _: _digest_of_path(os.path.join(content, path)))
        is_sound = digest_of_listing(listing_of(entries)) == digest
        if is_sound:
            self._layout.remember_verified(digest, found.sight())
        return is_sound

    def _listed(self, digest: str) -> tuple[Entry, ...] | None:
        with open(os.path.join(self._layout.place(digest), "listing"), "rb") as file:
            listing = file.read()
        return entries_from(listing) if digest_of_listing(listing) == digest else None

    def copy_out(self, digest: str, target: str) -> None:
        """A new folder with the content of a stored one, all of it writable by its owner."""
        stored = self.verified_path(digest)
        os.mkdir(target)
        for entry in self.entries(digest):
            path = os.path.join(target, entry.path)
            match entry:
                case FolderEntry():
                    os.mkdir(path)
                case LinkEntry():
                    os.symlink(entry.target, path)
                case FileEntry():
                    mode = 0o777 if entry.executable else 0o666
                    copy_file(os.path.join(stored, entry.path), path, mode=mode)

    def _put_file(self, path: str, *, move: bool) -> str:
        fd = open_source(path)
        try:
            return self._files.put_file(fd, path, move=move)
        finally:
            os.close(fd)

    def _as_stored(self, entry: Entry) -> Entry:
        if isinstance(entry, FileEntry):
            return replace(entry, size_bytes=os.stat(self._layout.place(entry.digest)).st_size)
        return entry

    def _build(self, folder: str, *, entries: tuple[Entry, ...], listing: bytes) -> None:
        content = os.path.join(folder, "content")
        os.mkdir(content, 0o700)
        made = [folder, content]
        for entry in entries:  # sorted, so a folder comes before what is in it
            path = os.path.join(content, entry.path)
            match entry:
                case FolderEntry():
                    os.mkdir(path, 0o700)
                    made.append(path)
                case LinkEntry():
                    os.symlink(entry.target, path)
                case FileEntry():
                    self._add_file(path, entry)
        fd = os.open(os.path.join(folder, "listing"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            write_all(fd, listing)
            sync(fd)
        finally:
            os.close(fd)
        for path in reversed(made):
            sync_folder(path)

    def _add_file(self, path: str, entry: FileEntry) -> None:
        stored = self._layout.place(entry.digest)
        if not entry.executable:  # the executable bit belongs to the inode, so an executable file has one of its own
            try:
                os.link(stored, path, follow_symlinks=False)
                return
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
        copy_file(stored, path, mode=0o600)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(fd, 0o555 if entry.executable else 0o444)
            sync(fd)
        finally:
            os.close(fd)


def copy_file(source: str, target: str, *, mode: int) -> None:
    """A new file with the content of another; of `mode`, the process's file-creation mask takes its part."""
    source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            copy_content(source_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def _digest_of_path(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return digest_of_stored(fd)
    finally:
        os.close(fd)
