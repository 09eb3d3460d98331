"""Parameters: small JSON values that travel inline. Numbers of numpy become Python's."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from penstock.base.limits import LIMITS, PARAMETER_BYTES_MAX
from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused
from penstock.wire import parameter_to_json

DEPTH_MAX = 200
_TEXT_SURELY_SMALL = (
    PARAMETER_BYTES_MAX // 6
)  # a character takes at most six bytes as JSON; the setting only raises the limit


def is_exact(value: Any, *, depth: int = 0) -> bool:
    """Whether a value is JSON data and comes back as just what it is: no tuples, no subclasses."""
    cls = type(value)
    if value is None or cls is bool or cls is int or cls is float or cls is str:
        return True
    if depth > DEPTH_MAX:
        return False
    if cls is list:
        return all(is_exact(item, depth=depth + 1) for item in value)
    return cls is dict and all(type(k) is str and is_exact(v, depth=depth + 1) for k, v in value.items())


def plain(value: Any, *, depth: int = 0) -> Any:
    """JSON data for a value of a parameter type: containers copied, tuples as lists, numpy's and enumerations' values
    as Python's. Raises ValueRefused for anything else."""
    cls = type(value)
    if value is None or cls is bool or cls is int or cls is float or cls is str:
        return value
    if depth > DEPTH_MAX:
        raise ValueRefused(f"the value is nested more than {DEPTH_MAX} deep, or contains itself")
    if cls is list or cls is tuple:
        return [plain(item, depth=depth + 1) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueRefused(
                    f"the key {key!r} of a dictionary is not text", fix="JSON has text keys only: use str(key)."
                )
        return {str(key): plain(item, depth=depth + 1) for key, item in value.items()}
    option = option_of(value)
    if option is not None:
        return option
    scalar = number(value)
    if scalar is not None:
        return scalar
    raise ValueRefused(
        f"{class_name(cls)} is not JSON data (null, bool, int, float, str, list, dict)",
        fix="Return a dataclass with a field for each value, or declare the output as typing.Any.",
    )


def option_of(value: Any) -> str | None:
    """The text that stands for a member of an enumeration: its value where all members' values are text, else its
    name. None for anything else."""
    enum = sys.modules.get("enum")
    if enum is None or not isinstance(value, enum.Enum) or isinstance(value, enum.Flag):
        return None
    texts = all(isinstance(member.value, str) for member in type(value))
    return str.__str__(value.value) if texts else value.name


def number(value: Any) -> Any:
    """The Python value of a numpy scalar, or of a subclass of a JSON scalar; None for anything else."""
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if type(value).__module__.partition(".")[0] == "numpy" and getattr(value, "shape", None) == ():
        item = value.item()
        return item if type(item) in (bool, int, float, str) and not hasattr(value, "__setitem__") else None
    return None


def is_small(value: Any) -> bool:
    """Whether plain JSON data is at most `parameter_bytes_max` bytes as JSON. Raises ValueRefused for text
    that is not Unicode."""
    cls = type(value)
    if value is None or cls is bool or cls is float:
        return True
    if cls is int and value.bit_length() <= 1_024:
        return True
    if cls is str and len(value) <= _TEXT_SURELY_SMALL and value.isascii():
        return True
    try:
        text = json.dumps(parameter_to_json(value), separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueRefused("a text contains half of a surrogate pair and cannot be stored as UTF-8") from error
    except ValueError:
        return False  # a whole number of more digits than Python will print
    return len(text) <= LIMITS.parameter_bytes_max


def to_float(value: Any) -> float:
    result = float(value)
    if math.isinf(result) and isinstance(value, int):
        raise OverflowError
    return result
