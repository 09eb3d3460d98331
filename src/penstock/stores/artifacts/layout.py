"""Where content lies in the folder of a store, how it gets its name and how it loses it, and what a process has seen
of it. Knows names and inodes; `files` and `folders` know what is in them."""

from __future__ import annotations

import os
from contextlib import suppress

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing
from penstock.stores.artifacts.digests import split
from penstock.stores.artifacts.durable import sync_folder
from penstock.stores.artifacts.partial import Partial

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
        for name in ("files", "trees", "partial"):
            os.makedirs(os.path.join(self.root, name), mode=0o700, exist_ok=True)
        self.partial.clean()
        self._prepared = True

    def place(self, digest: str) -> str:
        """The path that content of this digest has or would have. Raises `ArtifactMissing` for what is no digest."""
        parts = split(digest)
        if parts is None:
            raise self.missing(digest)
        kind, name = parts
        return os.path.join(self.root, "files" if kind == "file" else "trees", name[:2], name[2:])

    def settle(self, path: str, digest: str) -> None:
        """Give content its name, durably. What `path` names is on the disk already."""
        target = self.place(digest)
        folder = os.path.dirname(target)
        try:
            os.rename(path, target)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            os.rename(path, target)
            sync_folder(os.path.dirname(folder))
        sync_folder(folder)

    def is_verified(self, digest: str, sight: object) -> bool:
        """Whether this process has verified the content when it looked like this."""
        return self._verified.get(digest) == sight

    def remember_verified(self, digest: str, sight: object) -> None:
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified.clear()
        self._verified[digest] = sight

    def set_aside(self, digest: str, *, inode: int) -> ArtifactCorrupt:
        """Move corrupt content out of the way, where a person can look at it; answers the error to raise. `inode`
        says which content was found corrupt: somebody may have put it right meanwhile."""
        self._verified.pop(digest, None)
        aside = os.path.join(self.root, "corrupt", f"{digest.replace(':', '-')}-{os.urandom(4).hex()}")
        where = f"it was moved to {aside}"
        try:
            os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
            if os.stat(self.place(digest)).st_ino == inode:
                os.rename(self.place(digest), aside)
            else:
                where = "another process has replaced it"
        except FileNotFoundError:
            where = "another process moved it aside"
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
