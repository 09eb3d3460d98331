"""What differs between two values of one output: columns and rows of tables, keys and items of data, places in arrays,
names in folders. Text for people; nothing is decided by it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.errors import PenstockError
from penstock.wire import Artifact, Counted, Datum, Inline, Struct

if TYPE_CHECKING:
    from penstock.values.store import ArtifactStore

NAMED_MAX = 5
DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class Stored:
    """Where values are: the artifact store that holds them, and a folder for what has to be unpacked."""

    artifacts: ArtifactStore
    scratch: Path


def data_differences(before: Mapping[str, Datum], after: Mapping[str, Datum], stored: Stored) -> dict[str, str]:
    """By output, what differs; an output that is equal is missing."""
    found = {}
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            found[name] = "is there only once"
        elif before[name] != after[name]:
            found[name] = datum_difference(before[name], after[name], stored)
    return found


def datum_difference(before: Datum, after: Datum, stored: Stored) -> str:
    """What differs between two data that are not equal."""
    if isinstance(before, Inline) and isinstance(after, Inline):
        return "; ".join(plain_differences(before.value, after.value)) or "values that look the same"
    if isinstance(before, Counted) and isinstance(after, Counted):
        return _items(before, after, stored)
    if isinstance(before, Struct) and isinstance(after, Struct):
        found = data_differences(before.fields, after.fields, stored)
        return "; ".join(f"{name}: {what}" for name, what in found.items()) or "the order of the fields"
    if isinstance(before, Artifact) and isinstance(after, Artifact):
        return _artifacts(before, after, stored)
    return f"{type(before).__name__.lower()} and {type(after).__name__.lower()}"


def _items(before: Counted, after: Counted, stored: Stored) -> str:
    if len(before.items) != len(after.items):
        return f"{len(before.items)} and {len(after.items)} items"
    at = [index for index, pair in enumerate(zip(before.items, after.items, strict=True)) if pair[0] != pair[1]]
    first = datum_difference(before.items[at[0]], after.items[at[0]], stored)
    return f"{len(at)} of {len(before.items)} items, the first at {at[0]}: {first}"


def _artifacts(before: Artifact, after: Artifact, stored: Stored) -> str:
    if (before.type, before.form) != (after.type, after.form):
        return f"{before.type} ({before.form}) and {after.type} ({after.form})"
    if before.digest == after.digest:
        return "the code that it names" if before.code != after.code else "its description"
    if before.type == "path":
        return _paths(stored.artifacts.path(before.digest), stored.artifacts.path(after.digest))
    try:
        values = [_load(datum, stored) for datum in (before, after)]
    except (PenstockError, ImportError, OSError, ValueError) as error:
        return f"their bytes (they cannot be read here: {type(error).__name__})"
    return "; ".join(value_differences(values[0], values[1])) or "their bytes, though the values look the same"


def _load(datum: Artifact, stored: Stored) -> Any:
    from penstock.values.datums import ANYTHING, Staging, from_datum

    staging = Staging(stored.scratch, f"compare-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        return from_datum(datum, ANYTHING, artifacts=stored.artifacts, staging=staging)
    finally:
        staging.clear()


def _paths(before: Path, after: Path) -> str:
    if before.is_dir() and after.is_dir():
        names = [{str(each.relative_to(top)) for each in top.rglob("*")} for top in (before, after)]
        if names[0] != names[1]:
            return f"the names in them: {_some(names[0] ^ names[1])}"
        files = sorted(name for name in names[0] if (before / name).is_file())
        changed = [name for name in files if (before / name).read_bytes() != (after / name).read_bytes()]
        return f"the content of {_some(changed)}"
    sizes = before.stat().st_size, after.stat().st_size
    return f"{sizes[0]:,} and {sizes[1]:,} bytes" if sizes[0] != sizes[1] else f"content of {sizes[0]:,} bytes"


def value_differences(before: Any, after: Any) -> list[str]:
    """What differs between two values in memory."""
    if hasattr(before, "columns") and hasattr(after, "columns") and hasattr(before, "shape"):
        return _tables(before, after)
    if hasattr(before, "shape") and hasattr(after, "shape"):
        return _arrays(before, after)
    if isinstance(before, (dict, list, tuple, str, int, float, bool)) or before is None:
        return plain_differences(before, after)
    names = vars(before) if hasattr(before, "__dict__") else {}
    others = vars(after) if hasattr(after, "__dict__") else {}
    changed = [name for name in sorted({*names, *others}) if not _equal(names.get(name), others.get(name))]
    return [f"attributes {_some(changed)}"] if changed else []


def _tables(before: Any, after: Any) -> list[str]:
    columns = [[str(name) for name in table.columns] for table in (before, after)]
    found = []
    if set(columns[0]) != set(columns[1]):
        found.append(f"columns {_some(set(columns[0]) ^ set(columns[1]))} are there only once")
    elif columns[0] != columns[1]:
        found.append("the order of columns")
    rows = before.shape[0], after.shape[0]
    if rows[0] != rows[1]:
        return [*found, f"{rows[0]:,} and {rows[1]:,} rows"]
    named = zip(before.columns, columns[0], strict=True)
    for name, text in [(name, text) for name, text in named if text in columns[1]][:10_000]:
        left, right = _listed(before, name), _listed(after, name)
        at = [row for row, pair in enumerate(zip(left, right, strict=True)) if not _equal(*pair)]
        if at:
            found.append(f"column {text}: {len(at):,} of {rows[0]:,} rows, the first at {at[0]}")
        if len(found) > NAMED_MAX:
            return [*found, "and more columns"]
    return found


def _listed(table: Any, name: Any) -> list[Any]:
    column = table[name] if hasattr(table, "__getitem__") and not hasattr(table, "column_names") else table.column(name)
    for way in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, way):
            return list(getattr(column, way)())
    return list(column)


def _arrays(before: Any, after: Any) -> list[str]:
    if before.shape != after.shape:
        return [f"shapes {tuple(before.shape)} and {tuple(after.shape)}"]
    if str(before.dtype) != str(after.dtype):
        return [f"types {before.dtype} and {after.dtype}"]
    left, right = before.reshape(-1).tolist(), after.reshape(-1).tolist()
    at = [index for index, pair in enumerate(zip(left, right, strict=True)) if not _equal(*pair)]
    return [f"{len(at):,} of {len(left):,} values, the first at {at[0]}"] if at else []


def plain_differences(before: Any, after: Any, place: str = "", depth: int = 0) -> list[str]:
    """What differs between two plain values, by place in them: `.rows[3].name: 1 and 2`."""
    if isinstance(before, dict) and isinstance(after, dict) and depth < DEPTH_MAX:
        found = [f"{place}.{key} is there only once" for key in sorted(map(str, {*before} ^ {*after}))]
        for key in before:
            if key in after and not _equal(before[key], after[key]):
                found += plain_differences(before[key], after[key], f"{place}.{key}", depth + 1)
        return _few(found)
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and depth < DEPTH_MAX:
        if len(before) != len(after):
            return [f"{place or 'the list'}: {len(before):,} and {len(after):,} items"]
        if sorted(map(repr, before)) == sorted(map(repr, after)) and list(before) != list(after):
            return [f"{place or 'the list'}: the order of items"]
        found = []
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            if not _equal(left, right):
                found += plain_differences(left, right, f"{place}[{index}]", depth + 1)
        return _few(found)
    return [] if _equal(before, after) else [f"{place + ': ' if place else ''}{_cut(before)} and {_cut(after)}"]


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right) or (left != left and right != right)  # NaN is what it is
    except (TypeError, ValueError):
        return repr(left) == repr(right)


def _few(found: list[str]) -> list[str]:
    return [*found[:NAMED_MAX], f"and {len(found) - NAMED_MAX:,} more"] if len(found) > NAMED_MAX + 1 else found


def _some(names: set[str] | list[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMED_MAX:,} more" if len(ordered) > NAMED_MAX else ""
    return ", ".join(ordered[:NAMED_MAX]) + more


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
