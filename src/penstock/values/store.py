"""What values are written to and read from: the artifact store as a protocol. It stands here, below the engine, because
the launcher uses it too; `effects` names it again."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol


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
