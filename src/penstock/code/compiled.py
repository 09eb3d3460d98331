"""Compiled code, kept between processes in a folder that may be emptied at any time. Its files are named by the
source, its path and the interpreter; one that is damaged is compiled again."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import sys
from pathlib import Path
from types import CodeType

_DIGEST_BYTES = 32


def code_of(source: bytes, path: str, *, folder: Path | None) -> CodeType:
    """The code of a source. Raises what compiling it raises."""
    if folder is None:
        return _compile(source, path)
    tag = f"{sys.implementation.cache_tag}\0{sys.flags.optimize}\0{path}\0".encode() + importlib.util.MAGIC_NUMBER
    file = folder / hashlib.sha256(tag + source).hexdigest()
    known = _read(file)
    if known is not None:
        return known
    code = _compile(source, path)
    _write(file, marshal.dumps(code))
    return code


def _compile(source: bytes, path: str) -> CodeType:
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    return code


def _read(file: Path) -> CodeType | None:
    try:
        stored = file.read_bytes()
        if hashlib.sha256(stored[_DIGEST_BYTES:]).digest() != stored[:_DIGEST_BYTES]:
            return None
        code = marshal.loads(stored[_DIGEST_BYTES:])
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None


def _write(file: Path, data: bytes) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.write_bytes(hashlib.sha256(data).digest() + data)
        os.replace(unfinished, file)
    except OSError:
        pass  # a full or read-only disk costs the time to compile, no more
