"""Files in a store: written once, verified when they are opened. Raises OSError as it comes, FileNotFoundError for
content that is not there; the store in `disk` says what that means."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from penstock.stores.artifacts.digests import digest_of_bytes, digest_of_ours, digest_of_read, digest_of_stored
from penstock.stores.artifacts.durable import copy_content, sync, sync_while, write_all
from penstock.stores.artifacts.layout import Layout

# A smaller file is hashed before it is synchronised: a second thread costs more than it hides.
_OVERLAPPED_BYTES = 1 << 20


class Files:
    """The files of the store with this layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def put_bytes(self, data: bytes) -> str:
        digest = digest_of_bytes(data)
        if not self.is_kept(digest):
            self._layout.prepare()
            with self._layout.partial.file() as (fd, path):
                write_all(fd, data)
                sync(fd)
                self._settle(fd, path, digest=digest)
        return digest

    def put_file(self, fd: int, source: str, *, move: bool) -> str:
        """Store the regular file `source`, open as `fd`. With `move` it is gone afterwards."""
        self._layout.prepare()
        moved = self._move_in(fd, source) if move and self._may_move(fd, source) else None
        if moved is not None:
            return moved
        digest = self._copy_in(fd)
        if move:
            with suppress(OSError):
                os.unlink(source)
        return digest

    def is_kept(self, digest: str) -> bool:
        """Whether the content is there, verified, and from now on safe from deletion for a while. Corrupt content is
        moved aside, so that it can be written again."""
        try:
            os.close(self.verified_fd(digest))
        except (FileNotFoundError, ArtifactCorrupt, ArtifactMissing):
            return False
        return self._layout.keep(digest)

    def verified_fd(self, digest: str) -> int:
        """A stored file, open for reading at its start, whose bytes have this digest."""
        while True:
            fd = os.open(self._layout.place(digest), os.O_RDONLY | os.O_CLOEXEC)
            try:
                if self._is_verified(digest, fd):
                    return fd
                error = self._layout.set_aside(digest, inode=os.fstat(fd).st_ino)
                if error is not None:
                    raise error
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _is_verified(self, digest: str, fd: int) -> bool:
        sight = _sight(fd)
        if self._layout.is_verified(digest, sight):
            return True
        is_sound = digest_of_stored(fd) == digest
        if is_sound:
            self._layout.remember_verified(digest, sight)
        return is_sound

    def _may_move(self, fd: int, source: str) -> bool:
        """Whether nobody else has a hold on the file: one name, which is no link, our own, in the same file system."""
        status = os.fstat(fd)
        return (
            status.st_nlink == 1
            and status.st_uid == os.geteuid()
            and status.st_dev == os.stat(self._layout.root).st_dev
            and not os.path.islink(source)
        )

    def _move_in(self, fd: int, source: str) -> str | None:
        """None: it cannot be renamed, since mounts and subvolumes can look like one file system and be two."""
        digest = _digest_and_sync(fd)
        if self.is_kept(digest):
            os.unlink(source)
            return digest
        try:
            self._settle(fd, source, digest=digest)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return None
        return digest

    def _copy_in(self, source_fd: int) -> str:
        # Looked for before it is copied, so that storing again what is there needs no space. The digest that counts
        # is the copy's: the source is not ours and may change meanwhile.
        digest = digest_of_read(source_fd)
        if self.is_kept(digest):
            return digest
        with self._layout.partial.file() as (fd, path):
            copy_content(source_fd, fd)
            digest = _digest_and_sync(fd)
            if self.is_kept(digest):
                os.unlink(path)
            else:
                self._settle(fd, path, digest=digest)
        return digest

    def _settle(self, fd: int, path: str, *, digest: str) -> None:
        """Give a written and synchronised file its name."""
        os.fchmod(fd, 0o444)
        self._layout.settle(path, digest)
        self._layout.remember_verified(digest, _sight(fd))


def open_source(source: str) -> int:
    """A regular file of the user's, open for reading. Raises `InvalidInput` for anything else."""
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a named pipe must not make us wait
    except OSError as error:
        raise unreadable(source, error) from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise InvalidInput(f"{source} is neither a file nor a folder", fix="Return the path of a file or folder.")


def unreadable(source: str, error: OSError) -> InvalidInput:
    return InvalidInput(f"cannot read {source}: {error.strerror}", fix="Give the path of a file or folder that exists.")


def _digest_and_sync(fd: int) -> str:
    if os.fstat(fd).st_size >= _OVERLAPPED_BYTES:
        return sync_while(fd, lambda: digest_of_ours(fd))
    sync(fd)
    return digest_of_ours(fd)


def _sight(fd: int) -> object:
    status = os.fstat(fd)
    return status.st_ino, status.st_mtime_ns, status.st_size
