"""The digest that a recorded read stands for: what a file held when a task read it, which names a folder had when a task
listed it, and what that is now (cache rule 12). The path of a folder that was listed ends with a slash."""

from __future__ import annotations

import os

_READ_BYTES = 1 << 20
MISSING = ""
"""Stands for a file or folder that was not there: looking for it counts too."""

WAL = "-wal"
"""What SQLite keeps beside a database: an empty one is as good as none, since reading makes and removes it."""

_NOT_LISTED = frozenset({".penstock", "__pycache__"})


def digest_of_read(path: str) -> str:
    """What a file or, with a slash at the end, the list of names in a folder counts as. Raises OSError."""
    if path.endswith(os.sep):
        return _digest_of_names(os.listdir(path))
    if path.endswith(WAL) and not os.path.getsize(path):
        return MISSING
    return digest_of_file(path)


def digest_of_file(path: str) -> str:
    """`blake3:HEX` of a file's bytes, as the artifact store addresses them. Raises OSError."""
    from blake3 import blake3

    hasher = blake3()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while block := os.read(fd, _READ_BYTES):
            hasher.update(block)
    finally:
        os.close(fd)
    return f"blake3:{hasher.hexdigest()}"


def _digest_of_names(names: list[str]) -> str:
    from blake3 import blake3

    text = "".join(f"{name}\0" for name in sorted(names) if name not in _NOT_LISTED)
    return f"names:{blake3(os.fsencode(text)).hexdigest()}"
