"""Giving space back: what lies in a store, and deleting it. Knows what is shared between files and folders, and when
something was last stored or kept; not what anybody still needs.

Deleting is one rename or unlink under the store's lock, which whoever stores or keeps the same content takes, too. So a
writer either finds the content and marks it as just used, or finds nothing and writes it. A reader has it open, or finds
that it is missing. What an interrupted deletion leaves has no name any more and is cleaned away with other unfinished
content."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from penstock.stores.artifacts.digests import is_tree, split
from penstock.stores.artifacts.layout import KIND_FOLDERS, Layout, used_at_ns

_GONE = (FileNotFoundError, NotADirectoryError)


class Reclaim:
    """What can be given back of the store with this layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def digests(self) -> Iterator[str]:
        """Every address in the store, folders before files: a file can go only after the folders that share it."""
        for prefix, name in (("tree", KIND_FOLDERS["tree"]), ("blake3", KIND_FOLDERS["file"])):
            folder = os.path.join(self._layout.root, name)
            for first in _names(folder):
                for rest in _names(os.path.join(folder, first)):
                    digest = f"{prefix}:{first}{rest}"
                    if split(digest) is not None:
                        yield digest

    def delete(self, digest: str, *, unused_ms: int) -> int:
        """Bytes that are free now. Nothing is done to what is not there, was stored or kept less than `unused_ms` ago,
        or is a file that stored folders share."""
        with suppress(*_GONE):
            return self._delete_tree(digest, unused_ms) if is_tree(digest) else self._delete_file(digest, unused_ms)
        return 0

    def freeable_bytes(self, digests: Iterable[str], *, unused_ms: int) -> int:
        """Bytes that are free once all of these are deleted in this order; nothing is changed."""
        left_by_inode: dict[tuple[int, int], int] = {}
        freed = 0
        for digest in digests:
            with suppress(*_GONE):
                place = self._layout.place(digest)
                status = os.stat(place)
                if not _is_unused(status, unused_ms):
                    continue
                if not is_tree(digest) and left_by_inode.get((status.st_dev, status.st_ino), status.st_nlink) > 1:
                    continue
                for one in _files_below(place) if is_tree(digest) else (status,):
                    inode = one.st_dev, one.st_ino
                    left_by_inode[inode] = left_by_inode.get(inode, one.st_nlink) - 1
                    freed += 0 if left_by_inode[inode] else one.st_size
        return freed

    def _delete_file(self, digest: str, unused_ms: int) -> int:
        place = self._layout.place(digest)
        with self._layout.locked(alone=True):
            status = os.stat(place)
            if status.st_nlink > 1 or not _is_unused(status, unused_ms):
                return 0
            os.unlink(place)
        return status.st_size

    def _delete_tree(self, digest: str, unused_ms: int) -> int:
        place = self._layout.place(digest)
        os.stat(place)
        self._layout.prepare()
        doomed = self._layout.partial.place()
        with self._layout.locked(alone=True):
            if not _is_unused(os.stat(place), unused_ms):
                return 0
            os.rename(place, doomed)
        freed = sum(one.st_size for one in _files_below(doomed) if one.st_nlink == 1)
        shutil.rmtree(doomed, ignore_errors=True)
        return freed


def _is_unused(status: os.stat_result, unused_ms: int) -> bool:
    """Whether content has not been stored or kept for so long. What claims to come from the future is in use."""
    return unused_ms <= 0 or (time.time_ns() - used_at_ns(status)) // 1_000_000 >= unused_ms


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except _GONE:
        return []


def _files_below(folder: str) -> Iterator[os.stat_result]:
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(*_GONE):
                status = os.lstat(os.path.join(inside, name))
                if stat.S_ISREG(status.st_mode):
                    yield status
