"""The limits that settings can raise, one set of them per process."""

from __future__ import annotations

from dataclasses import dataclass

PARAMETER_BYTES_MAX = 64 * 1024
ITEMS_MAX = 100_000


@dataclass(slots=True)
class Limits:
    """Bytes of a parameter as JSON; items of a list that is counted or mapped over."""

    parameter_bytes_max: int = PARAMETER_BYTES_MAX
    items_max: int = ITEMS_MAX


LIMITS = Limits()
"""This process's limits. Set once, before anything else, by whoever knows the settings: `app`, and the worker for
itself."""


def set_limits(*, parameter_bytes_max: int = PARAMETER_BYTES_MAX, items_max: int = ITEMS_MAX) -> None:
    LIMITS.parameter_bytes_max, LIMITS.items_max = parameter_bytes_max, items_max
