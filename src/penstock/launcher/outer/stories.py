"""What is told of a failure beside its traceback: the frames that it came through, the author's own with their source, and
what the task was given, small values as they are and large ones by what matters of them.

Everything here looks at objects of the user's while something has gone wrong already: whatever they raise is caught."""

from __future__ import annotations

import itertools
import linecache
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.launcher.inner.traces import is_users
from penstock.values.names import class_name
from penstock.wire import Frame

FRAMES_MAX = 40
LINES_BEFORE, LINES_AFTER = 3, 2
SOURCE_WIDTH = 200
INPUTS_MAX = 30
TEXT_MAX = 160
ITEMS_SHOWN = 3
NAMES_SHOWN = 6
NUMBERS_MAX = 1_000_000


def frames_of(error: BaseException, *, project: str) -> tuple[Frame, ...]:
    """The frames behind an exception, outermost first, less ours. Of an exception that came up in no code of the user's
    (a thread's, one made elsewhere), those of what caused it."""
    for _ in range(FRAMES_MAX):
        found = _frames_in(error.__traceback__, project)
        inner = error.__cause__ or error.__context__
        if found or inner is None:
            return found
        error = inner
    return ()


def _frames_in(trace: TracebackType | None, project: str) -> tuple[Frame, ...]:
    found: list[tuple[str, int, str]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_users(code.co_filename):
            found.append((code.co_filename, trace.tb_lineno, code.co_qualname))
        trace = trace.tb_next
    if len(found) > FRAMES_MAX:  # a recursion: its beginning and its end say all
        found = [*found[: FRAMES_MAX // 2], *found[-FRAMES_MAX // 2 :]]
    return tuple(frame_at(*each, project=project) for each in found)


def frame_at(file: str, line: int, function: str, *, project: str, has_source: bool = True) -> Frame:
    """A frame as it is told of. Without `has_source`, the file is not what ran: its lines are not shown."""
    own = is_first_party(file) or file.startswith(("<ipython", "<stdin"))
    shown = os.path.relpath(file, project) if file.startswith(f"{project}{os.sep}") else file
    name = function.replace("<locals>.", "")
    if not own or not has_source:
        return Frame(shown, line, name, own=own)
    lines = [linecache.getline(file, number) for number in range(1, line + LINES_AFTER + 1)]
    first = max(1, line - LINES_BEFORE)
    source = [text.rstrip()[:SOURCE_WIDTH] for text in lines[first - 1 :]]
    while source and not source[-1]:
        source.pop()
    while source and not source[0] and first < line:
        source.pop(0)
        first += 1
    return Frame(shown, line, name, own=True, first=first, source=tuple(source))


# -- values ------------------------------------------------------------------------------------------------------------


def inputs_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Every input in a few words."""
    return {name: summary_of(value) for name, value in itertools.islice(values.items(), INPUTS_MAX)}


def summary_of(value: Any) -> str:
    """A value as it is, if that is short; else its type, its size, and what can be told of its content."""
    try:
        return _cut(_summary(value))
    except Exception as broken:  # noqa: BLE001 - an object of the user's
        return f"{_type_name(value)} (it could not be looked at: {type(broken).__name__})"


def _summary(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    if isinstance(value, (str, bytes, bytearray)):
        what = "characters" if isinstance(value, str) else "bytes"
        shown = repr(value[: TEXT_MAX // 2])
        return shown if len(value) <= TEXT_MAX // 2 else f"{len(value):,} {what}: {shown}…"
    if isinstance(value, Path):
        return f"{value}{'' if value.exists() else ' (it is not there)'}"
    if isinstance(value, Mapping):
        return _items(value, len(value), (f"{_inner(key)}: {_inner(held)}" for key, held in value.items()), "{}")
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(value, len(value), map(_inner, value), "[]" if isinstance(value, list) else "()")
    shape = getattr(value, "shape", None)
    if hasattr(value, "columns") and shape is not None:
        return _table(value, shape)
    if shape is not None and hasattr(value, "dtype"):
        return _array(value, shape)
    return repr(value)


def _inner(value: Any) -> str:
    """A value inside another: no deeper than this."""
    if value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:39]}…"
    if isinstance(value, Collection):
        return f"{_type_name(value)} of {len(value):,}"
    return _type_name(value)


def _items(value: Any, count: int, texts: Iterable[str], brackets: str) -> str:
    shown = list(itertools.islice(texts, ITEMS_SHOWN if count > 2 * ITEMS_SHOWN else count))
    inside = f"{brackets[0]}{', '.join(shown)}{', …' if len(shown) < count else ''}{brackets[1]}"
    name = "" if type(value) in (list, dict, tuple) else f"{_type_name(value)} "
    return f"{name or _type_name(value) + ' '}of {count:,}: {inside}" if len(shown) < count else f"{name}{inside}"


def _table(value: Any, shape: Any) -> str:
    names = [str(getattr(column, "name", column)) for column in itertools.islice(_columns(value), NAMES_SHOWN)]
    left = int(shape[1]) - len(names)
    more = f" and {left:,} more" if left > 0 else ""
    return f"{_type_name(value)} of {int(shape[0]):,} rows, {int(shape[1]):,} columns: {', '.join(names)}{more}"


def _columns(value: Any) -> Iterable[Any]:
    return getattr(value, "column_names", None) or list(value.columns)


def _array(value: Any, shape: Any) -> str:
    sizes = " × ".join(f"{int(size):,}" for size in shape) or "scalar"
    text = f"{_type_name(value)} of {str(value.dtype).removeprefix('torch.')}, {sizes}"
    count = 1
    for size in shape:
        count *= int(size)
    if not 0 < count <= NUMBERS_MAX:
        return text
    if not any(str(value.dtype).removeprefix("torch.").startswith(kind) for kind in ("float", "int", "uint", "bfloat")):
        return text
    low, high = float(value.min()), float(value.max())
    nans = int((value != value).sum())
    return f"{text}, " + (f"{nans:,} of them NaN" if nans else f"from {low:g} to {high:g}")


def _type_name(value: Any) -> str:
    module, _, name = class_name(type(value)).rpartition(":")
    top = module.partition(".")[0]
    return name if top in ("builtins", "") or _is_of_project(module) else f"{top} {name}"


def _is_of_project(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return bool(file) and is_first_party(file)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_MAX * 2 else f"{line[: TEXT_MAX * 2 - 1]}…"
