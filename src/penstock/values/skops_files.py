"""Files of skops (https://skops.readthedocs.io/en/stable/persistence.html): a zip archive of arrays beside JSON that names
types, which are checked before anything is made of it.

skops names objects by their addresses and files by the hour. Both are numbered here, so that equal values give equal
bytes. A file is read only from our own store, so the types in it are those that its writer was allowed."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from penstock.base.firstparty import is_first_party
from penstock.values.alike import alike

_SCHEMA = "schema.json"
_ADAPTERS = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "torch"))


class Unfit(Exception):
    """A value that skops does not take, or does not give back as it was; the text says why."""


@cache
def is_installed() -> bool:
    return find_spec("skops") is not None


def dumped(value: Any) -> bytes:
    """A value as the bytes of a skops file. Raises Unfit, also where it holds types of others that skops does not
    trust."""
    skops = _skops()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _numbered(skops.dumps(value))
            names = skops.get_untrusted_types(data=content)
            foreign = [name for name in names if not _is_own(name)]
            if foreign:
                raise Unfit(f"skops does not trust {', '.join(foreign[:5])}")
            given_back = skops.loads(content, trusted=names)
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error
    if not alike(value, given_back):
        raise Unfit("what skops gives back is not the same")
    return content


def loaded(path: Path) -> Any:
    """The value of a skops file of our own store."""
    skops = _skops()
    return skops.load(path, trusted=skops.get_untrusted_types(file=path))


def _skops() -> Any:
    """skops imports every package below sklearn to list its types. Some of them only adapt other array libraries, which they
    import: torch costs seconds and 200 MB. These are left out, as if such a library were not installed."""
    if "skops.io" in sys.modules:
        return sys.modules["skops.io"]
    left_out = [name for name in _ADAPTERS if name not in sys.modules]
    try:
        sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
        return import_module("skops.io")
    finally:
        for name in left_out:
            del sys.modules[name]


def _is_own(name: str) -> bool:
    """Whether a type, as skops names it, is of the author's own code."""
    module = sys.modules.get(name.rpartition(".")[0])
    return is_first_party(getattr(module, "__file__", None))


def _numbered(content: bytes) -> bytes:
    """The same archive with objects and files numbered in the order in which they come."""
    renamed: dict[str, str] = {}
    ids: dict[int, int] = {}
    answer = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as source, ZipFile(answer, "w") as target:
        schema = json.loads(source.read(_SCHEMA))
        there = set(source.namelist())
        for part in _dicts(schema):
            if isinstance(part.get("__id__"), int):
                part["__id__"] = ids.setdefault(part["__id__"], len(ids))
            file = part.get("file")
            if isinstance(file, str) and file in there:
                part["file"] = renamed.setdefault(file, f"{len(renamed)}{Path(file).suffix}")
        for old, new in renamed.items():
            target.writestr(ZipInfo(new), source.read(old))
        target.writestr(ZipInfo(_SCHEMA), json.dumps(schema))
    return answer.getvalue()


def _dicts(data: Any) -> Iterator[dict[str, Any]]:
    """The objects in JSON, at every depth, in their order."""
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            pending.extend(reversed(item))
