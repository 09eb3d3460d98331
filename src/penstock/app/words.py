"""How values read to a person: durations, moments, tables, outputs. Pure functions from values to text, for the
command line and for notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.wire import Artifact

LINE_WIDTH = 110
# A value of an output or a parameter, and the first items of a longer list.
VALUE_WIDTH = 200
LIST_ITEMS_SHOWN = 10


def duration(amount_ms: float | None) -> str:
    """A length of time as a person reads it: `0.3 ms`, `12 ms`, `1.3 s`, `2 min 05 s`, `3 h 07 min`; nothing for
    None."""
    if amount_ms is None:
        return ""
    if amount_ms < 10:
        return f"{amount_ms:.1f} ms"
    if amount_ms < 1_000:
        return f"{amount_ms:.0f} ms"
    seconds = amount_ms / 1_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(at_ms: int | None) -> str:
    """Local date and time to the second; nothing for None."""
    if at_ms is None:
        return ""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1_000))


def count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the last one as it is."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def indented(text: str, spaces: int = 4) -> str:
    return "\n".join(" " * spaces + line if line else line for line in text.rstrip("\n").split("\n"))


def shortened(text: str, width: int = LINE_WIDTH) -> str:
    """The first line, cut to `width` characters."""
    first = text.strip().split("\n", 1)[0]
    return first if len(first) <= width else first[: width - 1] + "…"


def value(shown: Any) -> str:
    """A value of a run's JSON form on one line: JSON for a parameter, a summary for an artifact."""
    if is_artifact(shown):
        return artifact(shown)
    if isinstance(shown, list) and shown and all(map(is_artifact, shown)):
        return f"{count(len(shown), 'artifact')}, the first: {artifact(shown[0])}"
    if isinstance(shown, Mapping) and any(map(is_artifact, shown.values())):
        return "; ".join(f"{name}: {value(each)}" for name, each in shown.items())
    return _data(plain(shown))


def _data(data: Any) -> str:
    """JSON data on one line, whole where it is short; else its beginning, the last item of a list, and how much there is."""
    text = json.dumps(data, ensure_ascii=False)
    if len(text) <= VALUE_WIDTH:
        return text
    if isinstance(data, str):
        return f"{text[: VALUE_WIDTH - 1]}… ({count(len(data), 'character')})"
    if not isinstance(data, list):
        fields = f" ({count(len(data), 'field')})" if isinstance(data, Mapping) else ""
        return f"{text[: VALUE_WIDTH - 1]}…{fields}"
    ends = [json.dumps(item, ensure_ascii=False) for item in (*data[:LIST_ITEMS_SHOWN], data[-1])]
    if len(data) <= LIST_ITEMS_SHOWN + 1 or sum(map(len, ends)) > VALUE_WIDTH:
        return f"{text[: VALUE_WIDTH - 1]}… ({count(len(data), 'item')})"
    return f"[{', '.join(ends[:-1])}, … {ends[-1]}] ({count(len(data), 'item')})"


def is_source(component: str) -> bool:
    """Whether a component of ours reads or looks at a declared source: nobody has written it as a task."""
    return component.startswith("penstock.values.sources:")


def plain(shown: Any) -> Any:
    """JSON data with numbers that JSON cannot write as numbers again: Python prints them NaN, Infinity and -Infinity."""
    from penstock.wire import parameter_from_json

    return parameter_from_json(shown)


def is_artifact(shown: Any) -> bool:
    """Whether a value of a run's JSON form is an artifact."""
    return isinstance(shown, Mapping) and {"artifact", "form", "size_bytes"} <= shown.keys()


def artifact(shown: Mapping[str, Any]) -> str:
    """`polars:DataFrame, rows 336,776, columns 19, 12.3 MiB`; what metadata says beyond a few short facts is left to
    JSON."""
    from penstock.base.sizes import size_text

    facts = []
    for key, fact in sorted(shown.get("metadata", {}).items()):
        if isinstance(fact, (int, float)) and not isinstance(fact, bool):
            facts.append(f"{key} {fact:,}")
        elif isinstance(fact, str) and len(fact) <= 60 and fact != shown["type"]:
            facts.append(f"{key} {fact}")
    if shown["type"] == "path" and shown.get("metadata", {}).get("name"):
        return f"{shown['metadata']['name']}, {size_text(shown['size_bytes'])}"
    return ", ".join([shown["type"], *facts[:4], size_text(shown["size_bytes"])])


def logged(artifact: Artifact) -> str:
    """A figure or a table that was logged: `png, svg` of a figure, `polars DataFrame of 12 rows` of a table."""
    formats = artifact.metadata.get("formats")
    if formats is not None:
        return ", ".join(formats)
    rows = artifact.metadata.get("rows")
    told = f" of {count(rows, 'row')}" if isinstance(rows, int) else ""
    return f"{artifact.type.removeprefix('builtins:').replace(':', ' ')}{told}"
