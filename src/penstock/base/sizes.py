"""Amounts of memory and disk, in bytes."""

from __future__ import annotations

import re

_UNIT_BYTES = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNIT_BYTES[f"{_letter}B"] = 1000**_power
    _UNIT_BYTES[f"{_letter}iB"] = _UNIT_BYTES[f"{_letter}i"] = _UNIT_BYTES[_letter] = 1024**_power

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def size_bytes(value: int | str) -> int:
    """Bytes of a size: a number of bytes, or text such as `"512MiB"`, `"4GB"`, `"2Gi"`.

    Raises ValueError for anything else and for negative sizes.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _UNIT_BYTES:
        raise ValueError(f'not a size: {value!r} (write bytes as a number, or text such as "512MiB", "4GB")')
    return round(float(match[1]) * _UNIT_BYTES[match[2]])


def size_text(amount_bytes: int) -> str:
    """A size as a person reads it: `1.5 GiB`."""
    amount = float(amount_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
