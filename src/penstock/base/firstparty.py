"""Which sources are the author's own (cache rule 1): those that are neither of the standard library, nor installed into
site-packages, nor Penstock's. Editable installs are first-party, since their files stand elsewhere."""

from __future__ import annotations

import os
from functools import cache

INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@cache
def _foreign_roots() -> tuple[str, ...]:
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = os.path.dirname(os.path.abspath(os.__file__))
    roots = {ours, os.path.realpath(ours), library, os.path.realpath(library)}
    return tuple(f"{root}{os.sep}" for root in sorted(roots))


def is_first_party(file: str | None) -> bool:
    """Whether a file is Python source of the author's own. `file` is an absolute path as a module's `__file__` gives
    it."""
    if not file or not file.endswith(".py") or any(part in file for part in INSTALLED):
        return False
    return not file.startswith(_foreign_roots())
