"""The artifact store in a folder of a local file system.

    files/ab/cdef…            the bytes of a file, under their digest, read-only
    trees/ab/cdef…/content    a folder; its files are hard links to `files/`, where the file system has those
    trees/ab/cdef…/listing    its canonical listing, which the digest is of
    partial/                  what is being written; nobody reads it
    corrupt/                  what no longer had its digest when it was read; we never delete anything here

Content gets its name by a rename after it is on the disk, so a name always stands for whole content, whatever crashed.
Every digest is checked before content is handed out, once per process and file: what was seen of it (inode, time of
change, size) is remembered. Knows nothing of types, tasks or runs."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from penstock.base.errors import InvalidInput
from penstock.stores.artifacts.digests import is_tree, split
from penstock.stores.artifacts.durable import explained
from penstock.stores.artifacts.files import Files, open_source, unreadable
from penstock.stores.artifacts.folders import Folders, copy_file
from penstock.stores.artifacts.layout import Layout
from penstock.stores.artifacts.reclaim import Reclaim
from penstock.stores.artifacts.trees import size_of
from penstock.values.store import UNUSED_MS


class DiskArtifactStore:
    """Implements `penstock.values.store.ArtifactStore` in the folder `root`, which the first write makes, private to
    its owner. Any number of processes and threads may use one folder at the same time. Errors are those of the
    protocol; what a caller gives that cannot be stored (a source that is missing or unreadable, links that leave a
    folder, sockets) raises `InvalidInput`."""

    def __init__(self, root: Path) -> None:
        self._layout = Layout(os.path.abspath(root))
        self._files = Files(self._layout)
        self._folders = Folders(self._layout, self._files)
        self._reclaim = Reclaim(self._layout)

    def put_bytes(self, data: bytes) -> str:
        with self._storing(len(data)):
            return self._files.put_bytes(data)

    def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        source = os.path.abspath(path)
        try:
            status = os.stat(source)
        except OSError as error:
            raise unreadable(source, error) from error
        if stat.S_ISDIR(status.st_mode):
            return self._put_folder(source, move=move)
        fd = open_source(source)
        try:
            with self._storing(status.st_size):
                digest = self._files.put_file(fd, source, move=move)
                return digest, os.stat(self._layout.place(digest)).st_size
        finally:
            os.close(fd)

    def has(self, digest: str) -> bool:
        return split(digest) is not None and os.path.exists(self._layout.place(digest))

    def keep(self, digest: str) -> bool:
        return split(digest) is not None and self._layout.keep(digest)

    def size_bytes(self, digest: str) -> int:
        """Bytes of a file, or of all files of a folder together; the bytes themselves are not verified."""
        with self._reading(digest):
            if is_tree(digest):
                return size_of(self._folders.entries(digest))
            return os.stat(self._layout.place(digest)).st_size

    def get_bytes(self, digest: str) -> bytes:
        with self.open(digest) as file:
            return file.read()

    def open(self, digest: str) -> BinaryIO:
        if is_tree(digest):
            raise ValueError(f"{digest} is a folder: it has a path and no bytes")
        with self._reading(digest):
            return os.fdopen(self._files.verified_fd(digest), "rb")

    def path(self, digest: str) -> Path:
        with self._reading(digest):
            if is_tree(digest):
                return Path(self._folders.verified_path(digest))
            os.close(self._files.verified_fd(digest))
            return Path(self._layout.place(digest))

    def materialize(self, digest: str, destination: Path) -> None:
        """As the protocol says. The destination appears whole or not at all, and the folders above it are made. A
        file takes the place of a file, a folder that of an empty folder; anything else there raises
        `InvalidInput`."""
        stored = self.path(digest)
        size_bytes = self.size_bytes(digest)
        target = os.path.abspath(destination)
        unfinished = os.path.join(os.path.dirname(target), f".penstock-{os.urandom(8).hex()}")
        with explained("write an artifact to", target, needs_bytes=size_bytes):
            try:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if is_tree(digest):
                    self._folders.copy_out(digest, unfinished)
                else:
                    copy_file(str(stored), unfinished, mode=0o666)
                os.rename(unfinished, target)
            except FileNotFoundError:
                if self.has(digest):
                    raise
                raise self._layout.missing(digest) from None  # it was deleted meanwhile
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
                    raise
                raise InvalidInput(
                    f"cannot write an artifact to {target}: {error.strerror}", fix="Name a place where nothing is yet."
                ) from error
            finally:
                _discard(unfinished)

    def digests(self) -> Iterator[str]:
        with explained("list the artifacts in", self._layout.root):
            yield from self._reclaim.digests()

    def delete(self, digest: str, *, unused_ms: int = UNUSED_MS) -> int:
        if split(digest) is None:
            return 0
        with explained(f"delete the artifact {digest} in", self._layout.root):
            return self._reclaim.delete(digest, unused_ms=unused_ms)

    def freeable_bytes(self, digests: Iterable[str], *, unused_ms: int = UNUSED_MS) -> int:
        with explained("look at the artifacts in", self._layout.root):
            known = (digest for digest in digests if split(digest) is not None)
            return self._reclaim.freeable_bytes(known, unused_ms=unused_ms)

    def _put_folder(self, source: str, *, move: bool) -> tuple[str, int]:
        is_link = os.path.islink(source)
        with self._storing(0):
            answer = self._folders.put(os.path.realpath(source), move=move and not is_link)
        if move:
            _discard(source)
        return answer

    @contextmanager
    def _storing(self, size_bytes: int) -> Iterator[None]:
        with explained("store an artifact in", self._layout.root, needs_bytes=size_bytes):
            yield

    @contextmanager
    def _reading(self, digest: str) -> Iterator[None]:
        with explained(f"read the artifact {digest} in", self._layout.root):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError):
                raise self._layout.missing(digest) from None


def _discard(path: str) -> None:
    """Remove what is there, if anything is."""
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
