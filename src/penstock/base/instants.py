"""Moments and lengths of time. An `Instant` is whole milliseconds since the Unix epoch, UTC; it is always an argument,
never read from a clock here."""

from __future__ import annotations

import re
from typing import NewType

Instant = NewType("Instant", int)
END_OF_TIME = Instant(2**62)
"""Later than every moment."""

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)\s*")


def duration_ms(value: int | float | str) -> int:
    """Milliseconds of a duration: a number of seconds, or text such as `"90s"`, `"1.5h"`, `"1h 30m"`.

    Raises ValueError for anything else and for negative lengths.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"not a duration: {value!r}")
    if isinstance(value, (int, float)):
        if not 0 <= value < 1e12:
            raise ValueError(f"not a duration: {value!r}")
        return round(value * 1_000)
    total, position = 0.0, 0
    for match in _DURATION.finditer(value):
        if match.start() != position:
            break
        total += float(match[1]) * _UNIT_MS[match[2]]
        position = match.end()
    if not value.strip() or position != len(value):
        raise ValueError(f'not a duration: {value!r} (write seconds as a number, or text such as "90s", "1.5h")')
    return round(total)


def duration_text(amount_ms: int) -> str:
    """A length of time as a person reads it: `1 s`, `90 min`, in the largest unit that gives a whole number."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if amount_ms >= length and amount_ms % length == 0:
            return f"{amount_ms // length} {unit}"
    return f"{amount_ms} ms"
