"""Where content lies in the folder of a store, how it gets its name and how it loses it, and what a process has seen
of it. Knows names and inodes; `files` and `folders` know what is in them."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing
from penstock.stores.artifacts.digests import split
from penstock.stores.artifacts.durable import sync_folder
from penstock.stores.artifacts.partial import Partial

KIND_FOLDERS = {"file": "files", "tree": "trees"}

# How many verified digests a process remembers; forgetting them costs a second check, no more.
_VERIFIED_MAX = 100_000


class Layout:
    """The folder of one store, as one process sees it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.partial = Partial(os.path.join(root, "partial"))
        self._prepared = False
        self._verified: dict[str, object] = {}

    def prepare(self) -> None:
        """Before a write: make the folders that are missing, private to their owner, and clean up after the dead."""
        if self._prepared and os.path.isdir(self.partial.folder):
            return
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        if os.stat(self.root).st_mode & 0o077:
            os.chmod(self.root, 0o700)
        for name in (*KIND_FOLDERS.values(), "partial"):
            os.makedirs(os.path.join(self.root, name), mode=0o700, exist_ok=True)
        self.partial.clean()
        self._prepared = True

    def place(self, digest: str) -> str:
        """The path that content of this digest has or would have. Raises `ArtifactMissing` for what is no digest."""
        parts = split(digest)
        if parts is None:
            raise self.missing(digest)
        kind, name = parts
        return os.path.join(self.root, KIND_FOLDERS[kind], name[:2], name[2:])

    @contextmanager
    def locked(self, *, alone: bool = False) -> Iterator[None]:
        """Between looking at a name and acting on it: deleting is done `alone`, the rest together. A process that dies
        holds nothing; a file system without locks leaves the time of last use as the only sign."""
        fd = -1
        with suppress(OSError):
            fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            if fd >= 0:
                with suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor, too
                os.close(fd)

    def keep(self, digest: str) -> bool:
        """Whether content is there; if so, it counts as used now."""
        place = self.place(digest)
        with self.locked():
            try:
                _mark_used(place)
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError:
                pass  # on a read-only disk nobody deletes anything, either
        return True

    def settle(self, path: str, digest: str) -> None:
        """Give content its name, durably. What `path` names is on the disk already."""
        target = self.place(digest)
        folder = os.path.dirname(target)
        _mark_used(path)  # a file that was moved in may have lain long
        with self.locked():
            try:
                os.rename(path, target)
                is_new = False
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                os.rename(path, target)
                is_new = True
        if is_new:
            sync_folder(os.path.dirname(folder))
        sync_folder(folder)

    def is_verified(self, digest: str, sight: object) -> bool:
        """Whether this process has verified the content when it looked like this."""
        return self._verified.get(digest) == sight

    def remember_verified(self, digest: str, sight: object) -> None:
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified.clear()
        self._verified[digest] = sight

    def set_aside(self, digest: str, *, inode: int) -> ArtifactCorrupt | ArtifactMissing | None:
        """Move corrupt content out of the way, where a person can look at it; answers the error to raise. `inode`
        says which content was found corrupt, and is held open by the caller, so that no other has the number. None:
        other content has this name by now, so look again; it was put right, or deleted and stored again."""
        self._verified.pop(digest, None)
        aside = os.path.join(self.root, "corrupt", f"{digest.replace(':', '-')}-{os.urandom(4).hex()}")
        where = f"it was moved to {aside}"
        try:
            with self.locked():
                if os.stat(self.place(digest)).st_ino != inode:
                    return None
                os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
                os.rename(self.place(digest), aside)
        except FileNotFoundError:
            return self.missing(digest)
        except OSError as error:
            where = f"it could not be moved aside ({error.strerror})"
        return ArtifactCorrupt(
            f"the artifact {digest} in {self.root} is corrupt: its bytes no longer have this digest; {where}",
            fix="Give `penstock retry` for the run: what made the artifact runs again. Have the disk checked.",
        )

    def missing(self, digest: str) -> ArtifactMissing:
        return ArtifactMissing(
            f"there is no artifact {digest} in {self.root}",
            fix="Give `penstock retry` for the run: what made the artifact runs again.",
        )


def _mark_used(path: str) -> None:
    """A file's time of change is part of what was seen of it when it was verified, so its time of access is the mark;
    reading may set that, too, which does no harm. A folder's time of change is seen by nobody, and looking into the
    folder leaves it alone."""
    status = os.stat(path)
    now_ns = time.time_ns()
    os.utime(path, ns=(now_ns, now_ns if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns))


def used_at_ns(status: os.stat_result) -> int:
    """When content was last stored or kept, in ns since the epoch."""
    return status.st_mtime_ns if stat.S_ISDIR(status.st_mode) else status.st_atime_ns
