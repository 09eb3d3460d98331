"""Stands in for the artifact store where a task runs in an interpreter of its own: inputs lie at places that are given,
outputs are left in a folder, and whoever started the interpreter stores them under the digests that they have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from penstock.base.errors import ArtifactMissing
from penstock.values.datums import copy_writable

SHUTTLE = "shuttle:"
"""How the digests of outputs begin until they are stored: `shuttle:N` lies at `out-N`."""


def place_of(folder: Path, digest: str) -> Path:
    """Where an output lies that is not stored yet."""
    return folder / f"out-{digest.removeprefix(SHUTTLE)}"


class Shuttle:
    """Follows `values.store.ArtifactStore` as far as values are read and written."""

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self._folder = folder
        self._places = places
        self._count = 0

    def put_bytes(self, data: bytes) -> str:
        digest = self._next()
        place_of(self._folder, digest).write_bytes(data)
        return digest

    def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        digest = self._next()
        place = place_of(self._folder, digest)
        if move:
            os.replace(path, place)
        else:
            copy_writable(path, place)
        return digest, _size_of(place)

    def _next(self) -> str:
        self._count += 1
        return f"{SHUTTLE}{self._count}"

    def path(self, digest: str) -> Path:
        if digest.startswith(SHUTTLE):
            return place_of(self._folder, digest)
        if digest not in self._places:
            raise ArtifactMissing(f"{digest} was not brought here")
        return Path(self._places[digest])

    def materialize(self, digest: str, destination: Path) -> None:
        copy_writable(self.path(digest), destination)

    def get_bytes(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def open(self, digest: str) -> BinaryIO:
        return self.path(digest).open("rb")

    def has(self, digest: str) -> bool:
        return digest.startswith(SHUTTLE) or digest in self._places

    def keep(self, digest: str) -> bool:
        """What is not stored here cannot be kept here."""
        return False

    def size_bytes(self, digest: str) -> int:
        return _size_of(self.path(digest))

    def digests(self) -> Iterator[str]:
        return iter(())

    def delete(self, digest: str, *, unused_ms: int = 0) -> int:
        return 0

    def freeable_bytes(self, digests: Iterable[str], *, unused_ms: int = 0) -> int:
        return 0


def _size_of(place: Path) -> int:
    if not place.is_dir():
        return place.stat().st_size
    return sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
