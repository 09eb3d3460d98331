"""Compiled code, kept between processes under names made of the source, its path and the interpreter."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import CodeType

from penstock.code.kept import Kept


def code_of(source: bytes, path: str, *, folder: Path | None) -> CodeType:
    """The code of a source. Raises what compiling it raises."""
    if folder is None:
        return _compile(source, path)
    tag = f"{sys.implementation.cache_tag}\0{sys.flags.optimize}\0{path}\0".encode() + importlib.util.MAGIC_NUMBER
    name = hashlib.sha256(tag + source).hexdigest()
    kept = Kept(folder)
    known = kept.read(name)
    if isinstance(known, CodeType):
        return known
    code = _compile(source, path)
    kept.write(name, code)
    return code


def _compile(source: bytes, path: str) -> CodeType:
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    return code
