"""The limits that settings can raise, one set of them per process."""

from __future__ import annotations

from dataclasses import dataclass

PARAMETER_BYTES_MAX = 64 * 1024
ITEMS_MAX = 100_000
YAML_BYTES_MAX = 16 * 1024 * 1024
YAML_PARTS_MAX = 2_000_000


@dataclass(slots=True)
class Limits:
    """Bytes of a parameter as JSON; items of a list that is counted or mapped over; the length of a YAML file, and how
    many values, lists and mappings it comes to once its anchors are written out."""

    parameter_bytes_max: int = PARAMETER_BYTES_MAX
    items_max: int = ITEMS_MAX
    yaml_bytes_max: int = YAML_BYTES_MAX
    yaml_parts_max: int = YAML_PARTS_MAX


LIMITS = Limits()
"""This process's limits. Set once, before anything else, by whoever knows the settings: `app`, and the worker for
itself."""


def set_limits(
    *,
    parameter_bytes_max: int = PARAMETER_BYTES_MAX,
    items_max: int = ITEMS_MAX,
    yaml_bytes_max: int = YAML_BYTES_MAX,
    yaml_parts_max: int = YAML_PARTS_MAX,
) -> None:
    LIMITS.parameter_bytes_max, LIMITS.items_max = parameter_bytes_max, items_max
    LIMITS.yaml_bytes_max, LIMITS.yaml_parts_max = yaml_bytes_max, yaml_parts_max
