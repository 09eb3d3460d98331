"""The digest that a recorded read stands for: what a file held when a task read it, and what it holds now (cache rule 12)."""

from __future__ import annotations

import os
from pathlib import Path

_READ_BYTES = 1 << 20
MISSING = ""
"""Stands for a file that was not there: reading it counts too."""


def digest_of_file(path: Path | str) -> str:
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


def digest_now(path: Path | str) -> str:
    """The digest of a file, `MISSING` for one that cannot be read."""
    try:
        return digest_of_file(path)
    except OSError:
        return MISSING
