"""An artifact store in memory, for tests: the same addresses, the same answers and the same errors as the store on
disk. What has a path lies in a folder given to it, written when it is first asked for."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from penstock.stores.artifacts.digests import digest_of_bytes, digest_of_listing, is_tree
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
from penstock.values.store import UNUSED_MS


class MemoryArtifactStore:
    """Implements `penstock.values.store.ArtifactStore`. `folder` is an existing folder of the test's own, for paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content: dict[str, bytes] = {}
        self._used_at: dict[str, float] = {}

    def put_bytes(self, data: bytes) -> str:
        digest = digest_of_bytes(data)
        self._store(digest, bytes(data))
        return digest

    def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        try:
            if path.is_dir():
                answer = self._put_folder(path)
            elif path.is_file():
                data = path.read_bytes()
                answer = self.put_bytes(data), len(data)
            elif path.exists():
                raise InvalidInput(f"{path} is neither a file nor a folder")
            else:
                raise InvalidInput(f"cannot read {path}: no such file")
        except OSError as error:
            raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
        if move:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return answer

    def has(self, digest: str) -> bool:
        return digest in self._content

    def keep(self, digest: str) -> bool:
        if digest in self._content:
            self._used_at[digest] = time.monotonic()
        return digest in self._content

    def size_bytes(self, digest: str) -> int:
        data = self._verified(digest)
        return size_of(entries_from(data)) if is_tree(digest) else len(data)

    def get_bytes(self, digest: str) -> bytes:
        if is_tree(digest):
            raise ValueError(f"{digest} is a folder: it has a path and no bytes")
        return self._verified(digest)

    def open(self, digest: str) -> BinaryIO:
        return io.BytesIO(self.get_bytes(digest))

    def path(self, digest: str) -> Path:
        self._verify_all(digest)
        path = self._folder / digest.replace(":", "-")
        if not path.exists():
            self._write(digest, path, mode=0o444)
        return path

    def materialize(self, digest: str, destination: Path) -> None:
        self._verify_all(digest)
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_tree(digest) and destination.is_dir():
                destination.rmdir()
            elif destination.is_dir() or (is_tree(digest) and destination.exists()):
                raise FileExistsError(0, "something else is there", str(destination))
            self._write(digest, destination, mode=0o644)
        except OSError as error:
            raise InvalidInput(f"cannot write an artifact to {destination}: {error.strerror}") from error

    def digests(self) -> Iterator[str]:
        yield from sorted(self._content, key=lambda digest: (not is_tree(digest), digest))

    def delete(self, digest: str, *, unused_ms: int = UNUSED_MS) -> int:
        if not self._is_unused(digest, unused_ms, kept_by=self._content):
            return 0
        freed = self.freeable_bytes([digest], unused_ms=0)
        del self._content[digest]
        return freed

    def freeable_bytes(self, digests: Iterable[str], *, unused_ms: int = UNUSED_MS) -> int:
        """As on a disk with hard links: a file in several places is there once, an executable one of a folder is the
        folder's own."""
        left = dict(self._content)
        freed = 0
        for digest in digests:
            if self._is_unused(digest, unused_ms, kept_by=left):
                data = left.pop(digest)
                freed += len(data)
                if is_tree(digest):
                    freed += sum(size for one, size in _shared(data, executable=True))
                    freed += sum(
                        size
                        for one, size in dict(_shared(data)).items()
                        if one not in left and not _is_shared(one, left)
                    )
        return freed

    def _is_unused(self, digest: str, unused_ms: int, *, kept_by: Mapping[str, bytes]) -> bool:
        if digest not in kept_by or (not is_tree(digest) and _is_shared(digest, kept_by)):
            return False
        return unused_ms <= 0 or (time.monotonic() - self._used_at[digest]) * 1e3 >= unused_ms

    def _store(self, digest: str, data: bytes) -> None:
        self._content[digest] = data
        self._used_at[digest] = time.monotonic()

    def damage(self, digest: str) -> None:
        """Change stored bytes, as a failing disk would; for tests."""
        self._content[digest] = self._content[digest] + b"?"

    def _put_folder(self, folder: Path) -> tuple[str, int]:
        entries = entries_of(walk(str(folder)), lambda path, _: self.put_bytes((folder / path).read_bytes()))
        listing = listing_of(entries)
        digest = digest_of_listing(listing)
        self._store(digest, listing)
        return digest, size_of(entries)

    def _verified(self, digest: str) -> bytes:
        if digest not in self._content:
            raise ArtifactMissing(f"there is no artifact {digest}")
        data = self._content[digest]
        if digest != (digest_of_listing(data) if is_tree(digest) else digest_of_bytes(data)):
            del self._content[digest]
            raise ArtifactCorrupt(f"the artifact {digest} is corrupt: its bytes no longer have this digest")
        return data

    def _verify_all(self, digest: str) -> tuple[Entry, ...]:
        """The entries of a folder, all of whose files are verified; none for a file."""
        data = self._verified(digest)
        if not is_tree(digest):
            return ()
        entries = entries_from(data)
        try:
            for entry in entries:
                if isinstance(entry, FileEntry):
                    self._verified(entry.digest)
        except (ArtifactMissing, ArtifactCorrupt) as error:
            del self._content[digest]
            raise ArtifactCorrupt(f"the artifact {digest} is corrupt: {error.message}") from error
        return entries

    def _write(self, digest: str, path: Path, *, mode: int) -> None:
        if not is_tree(digest):
            path.write_bytes(self._verified(digest))
            path.chmod(mode)
            return
        path.mkdir()
        for entry in self._verify_all(digest):
            place = path / entry.path
            match entry:
                case FolderEntry():
                    place.mkdir()
                case LinkEntry():
                    os.symlink(entry.target, place)
                case FileEntry():
                    place.write_bytes(self._verified(entry.digest))
                    place.chmod(mode | 0o111 if entry.executable else mode)


def _shared(listing: bytes, *, executable: bool = False) -> list[tuple[str, int]]:
    """Digests and sizes of a folder's files that are executable, or not."""
    entries = [entry for entry in entries_from(listing) if isinstance(entry, FileEntry)]
    return [(entry.digest, entry.size_bytes) for entry in entries if entry.executable is executable]


def _is_shared(digest: str, content: Mapping[str, bytes]) -> bool:
    return any(digest in dict(_shared(data)) for one, data in content.items() if is_tree(one))
