"""What values are written to and read from: the artifact store as a protocol. It stands here, below the engine, because
the launcher uses it too; `effects` names it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

UNUSED_MS = 3_600_000
"""How long content is left alone after it was last stored or kept: an output is stored before the commit that names it,
and a task may take long over its next one."""


class ArtifactStore(Protocol):
    """Content-addressed, immutable, verified on read. Digests are `blake3:HEX` (a file) and `tree:HEX` (a folder:
    blake3 of its canonical listing). Raises `ArtifactMissing`, `ArtifactCorrupt`, `StoreUnavailable`."""

    def put_bytes(self, data: bytes) -> str:
        """Store bytes durably; answers their digest. Storing what is there does nothing."""
        ...

    def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
        """Store a file or folder durably; (digest, size in bytes). `move`: the source is ours and may be renamed into
        place."""
        ...

    def has(self, digest: str) -> bool: ...

    def keep(self, digest: str) -> bool:
        """Whether it is there; if so, it counts as stored just now, so that `delete` leaves it alone for a while."""
        ...

    def size_bytes(self, digest: str) -> int: ...

    def get_bytes(self, digest: str) -> bytes:
        """All bytes of a file, verified."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """A file for reading, verified before it is handed out."""
        ...

    def path(self, digest: str) -> Path:
        """A read-only path to the stored file or folder itself, verified, for reading and memory maps by our own
        code."""
        ...

    def materialize(self, digest: str, destination: Path) -> None:
        """A writable file or folder of the user's own with this content: reflink where the file system can, else a
        copy, never a hard link."""
        ...

    # reclaiming

    def digests(self) -> Iterator[str]:
        """All content, folders first; what comes or goes meanwhile may be in it or not. The files of folders are
        content, too."""
        ...

    def delete(self, digest: str, *, unused_ms: int = UNUSED_MS) -> int:
        """Delete what nobody stored or kept for `unused_ms`; answers the bytes that are free now. Safe beside readers
        and writers: a reader gets all of it or `ArtifactMissing`, a writer of the same content stores it again. 0:
        nothing was there, it is in use, or it is a file that stored folders share (they go first). Harmless when
        interrupted."""
        ...

    def freeable_bytes(self, digests: Iterable[str], *, unused_ms: int = UNUSED_MS) -> int:
        """What deleting all of these in this order would answer together; nothing is changed."""
        ...
