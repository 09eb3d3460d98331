"""What CEL's operators and functions do to plain Python values: overloads by kind, 64-bit ranges, equality across
kinds, conversions. Source: https://github.com/google/cel-spec doc/langdef.md, "Standard Definitions"; where its prose
and its conformance vectors leave a choice open, the choice is said at the function.

Kinds: null None, bool bool, int int, uint UInt, double float, string str, bytes bytes, list list or tuple, map dict. Beyond
CEL: artifact Artifact, which can be put into lists and maps, picked and passed on, not read."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from penstock.base.errors import ExpressionError
from penstock.base.limits import LIMITS
from penstock.graph.expression.grammar import DEPTH_MAX, INT_MAX, INT_MIN, SIZE_MAX, UINT_MAX
from penstock.graph.expression.tree import UInt
from penstock.wire.values import Artifact

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    Artifact: "artifact",
}
_BASES = ((UInt, "uint"), *(pair for pair in _KINDS.items() if pair[0] is not UInt))
NUMBERS = frozenset({"int", "uint", "double"})
_DECIMAL = r"[+-]?[0-9]{1,40}"
_DOUBLE = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf|infinity)|(?i:nan)"
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def kind_of(value: Any) -> str:
    """The CEL kind of a value. Raises ExpressionError for a Python value that is no CEL value."""
    kind = _KINDS.get(type(value)) or next((k for t, k in _BASES if isinstance(value, t)), None)
    if kind is None:
        raise ExpressionError(f"a {type(value).__name__} can't be used in an expression")
    if kind == "int" and not INT_MIN <= value <= INT_MAX:
        raise ExpressionError(f"{value} does not fit into 64 bits")
    return kind


def artifact_read() -> ExpressionError:
    """What is wrong where an artifact would have to be read: a table, a model, a parameter that is too large for one."""
    return ExpressionError(
        f"expressions read parameters of at most {LIMITS.parameter_bytes_max:,} bytes, not an artifact: raise the setting "
        "parameter_bytes_max, or give what is read here an output of its own"
    )


def no_overload(what: str, *values: Any) -> ExpressionError:
    kinds = [kind_of(value) for value in values]
    if "artifact" in kinds:
        return artifact_read()
    hint = ""
    if {"int", "double"} == set(kinds) and what in "+-*/":
        hint = "; write the whole number as a double (2.0) or convert it: double(x)"
    return ExpressionError(f"`{what}` does not take {' and '.join(kinds)}{hint}")


# Equality and order


def equal(left: Any, right: Any) -> bool:
    """Equality across kinds: numbers by value, lists and maps by their parts, everything else only within its kind."""
    one, other = kind_of(left), kind_of(right)
    if one in NUMBERS and other in NUMBERS:
        return compare_numbers(left, right) == 0
    if "artifact" in (one, other):
        raise artifact_read()
    if one != other:
        return False
    if one == "list":
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if one == "map":
        return len(left) == len(right) and all(has_key(right, k) and equal(v, right[k]) for k, v in left.items())
    return bool(left == right)


def compare_numbers(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None when one is not a number. Between a double and a whole number, the whole number is rounded to a
    double first, as the conformance vectors want (`9223372036854775807 < 9223372036854775808.0` is false)."""
    if isinstance(left, float) != isinstance(right, float):
        left, right = float(left), float(right)
    if left != left or right != right:
        return None
    return int(left > right) - int(left < right)


_ORDERS: dict[str, Callable[[int], bool]] = {
    "_<_": lambda order: order < 0,
    "_<=_": lambda order: order <= 0,
    "_>_": lambda order: order > 0,
    "_>=_": lambda order: order >= 0,
}


def ordered(operator: str, left: Any, right: Any) -> bool:
    one, other = kind_of(left), kind_of(right)
    if one in NUMBERS and other in NUMBERS:
        order = compare_numbers(left, right)
        if order is None:
            # With false, `a <= b` would not be `!(a > b)`, which the specification asks for; cel-go raises here as
            # well.
            raise ExpressionError("NaN has no order")
        return _ORDERS[operator](order)
    if one != other or one not in ("bool", "string", "bytes"):
        raise no_overload(operator.strip("_"), left, right)
    return _ORDERS[operator]((left > right) - (left < right))


# Lists and maps


def has_key(mapping: dict[Any, Any], key: Any) -> bool:
    """Whether a map has a key; `1`, `1u` and `1.0` are one key, `true` is another, though Python's dict thinks it the
    same."""
    kind = kind_of(key)
    if kind not in ("bool", "int", "uint", "double", "string") or key not in mapping:
        return False
    if kind == "string" or key not in (0, 1):
        return True
    stored = next(k for k in mapping if k == key)
    return isinstance(stored, bool) == isinstance(key, bool)


def contained(item: Any, container: Any) -> bool:
    kind = kind_of(container)
    if kind == "map":
        return has_key(container, item)
    if kind != "list":
        raise no_overload("in", item, container)
    return any(equal(item, other) for other in container)


def indexed(container: Any, index: Any) -> Any:
    kind, of_index = kind_of(container), kind_of(index)
    if kind == "map":
        return field(container, index)
    if kind != "list" or of_index not in NUMBERS:
        raise no_overload("[ ]", container, index)
    if isinstance(index, float) and not index.is_integer():
        raise ExpressionError(f"{text_of(index)} is no position in a list")
    if not 0 <= index < len(container):
        raise ExpressionError(f"position {int(index)} of a list with {len(container)} items")
    return container[int(index)]


def field(mapping: Any, key: Any) -> Any:
    if kind_of(mapping) != "map":
        raise (
            artifact_read()
            if kind_of(mapping) == "artifact"
            else ExpressionError(f"a {kind_of(mapping)} has no fields")
        )
    if not has_key(mapping, key):
        there_are = ", ".join(sorted(text_of(k) for k in mapping)[:20])
        raise ExpressionError(f"no key {text_of(key)}; there are: {there_are}" if mapping else f"no key {text_of(key)}")
    return mapping[key]


def map_of(entries: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Narrower than CEL in one point: `true` and `1` (`false` and `0`) can't be keys of one map."""
    made: dict[Any, Any] = {}
    for key, value in entries:
        if kind_of(key) not in ("bool", "int", "uint", "string"):
            raise ExpressionError(f"a {kind_of(key)} can't be the key of a map")
        if key in made:
            twice = has_key(made, key)
            raise ExpressionError(f"key {text_of(key)} twice in a map" if twice else "true and 1 as keys of one map")
        made[key] = value
    return made


def combined(function: str, lists: Any) -> list[dict[str, Any]]:
    """`zip` (the lists in step) or `product` (every item with every other; the last list goes fastest) of lists by name.
    Raises ExpressionError for lists of different lengths in step, and for more than SIZE_MAX items."""
    if kind_of(lists) != "map" or not lists:
        raise ExpressionError(
            f"`{function}()` takes lists by name, not a {kind_of(lists)}" + (" of none" if lists == {} else "")
        )
    for name, items in lists.items():
        if kind_of(items) != "list":
            raise ExpressionError(f"`{function}()` takes lists by name; {text_of(name)} is a {kind_of(items)}")
    lengths = {text_of(name): len(items) for name, items in lists.items()}
    if function == "product":
        if math.prod(lengths.values()) > SIZE_MAX:
            raise ExpressionError(f"a list of more than {SIZE_MAX} parts")
        return [dict(zip(lists, items, strict=True)) for items in itertools.product(*lists.values())]
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ExpressionError(f"lists in step must have as many items as each other: {told}")
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def size(value: Any) -> int:
    if kind_of(value) not in ("string", "bytes", "list", "map"):
        raise no_overload("size()", value)
    return len(value)


# Arithmetic


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """`+ - * / %` within one kind: there is no mixed arithmetic in CEL. Raises ExpressionError on overflow and on
    division of whole numbers by zero; doubles follow IEEE 754."""
    kind, symbol = kind_of(left), operator[1]
    if kind != kind_of(right):
        raise no_overload(symbol, left, right)
    if kind == "int" or kind == "uint":
        return _whole(symbol, int(left), int(right), UInt if kind == "uint" else int)
    if kind == "double" and symbol != "%":
        return _double(symbol, left, right)
    if symbol == "+" and kind in ("string", "bytes", "list"):
        if len(left) + len(right) > SIZE_MAX:
            raise ExpressionError(f"a {kind} of more than {SIZE_MAX} parts")
        return [*left, *right] if kind == "list" else left + right
    raise no_overload(symbol, left, right)


def _whole(symbol: str, left: int, right: int, kind: type[int]) -> int:
    if symbol in "/%" and right == 0:
        raise ExpressionError("division by zero" if symbol == "/" else "remainder of a division by zero")
    if symbol == "+":
        result = left + right
    elif symbol == "-":
        result = left - right
    elif symbol == "*":
        result = left * right
    elif symbol == "/":
        result = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    else:  # the sign of the remainder is that of the dividend
        result = abs(left) % abs(right) * (-1 if left < 0 else 1)
    return in_range(result, kind)


def in_range(value: int, kind: type[int]) -> int:
    low, high = (0, UINT_MAX) if kind is UInt else (INT_MIN, INT_MAX)
    if not low <= value <= high:
        raise ExpressionError(f"{value} does not fit into a 64-bit {_KINDS[kind]}")
    return kind(value)


def _double(symbol: str, left: float, right: float) -> float:
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    if symbol == "*":
        return left * right
    if right != 0:
        return left / right
    if left == 0 or left != left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def negated(value: Any) -> Any:
    kind = kind_of(value)
    if kind == "int":
        return in_range(-value, int)
    if kind == "double":
        return -value
    raise no_overload("-", value)


# Conversions


def converted(function: str, value: Any) -> Any:
    """`bool() bytes() double() dyn() int() string() uint()`."""
    kind = kind_of(value)
    if function in ("dyn", kind):
        return value
    if function == "int" or function == "uint":
        return _to_whole(function, kind, value)
    if function == "double" and kind in ("int", "uint"):
        return float(value)
    if function == "double" and kind == "string" and re.fullmatch(_DOUBLE, value):
        return float(value)
    if function == "string" and kind in ("bool", "int", "uint", "double"):
        return text_of(value)
    if function == "string" and kind == "bytes":
        return text_of(value)
    if function == "bytes" and kind == "string":
        return value.encode("utf-8", "surrogatepass")
    if function == "bool" and kind == "string" and value in _TRUE | _FALSE:
        return value in _TRUE
    if kind == "string":
        raise ExpressionError(f"{shortened(value)} is no {function}")
    raise no_overload(f"{function}()", value)


def _to_whole(function: str, kind: str, value: Any) -> int:
    target = UInt if function == "uint" else int
    if kind in ("int", "uint"):
        return in_range(int(value), target)
    if kind == "double":
        # The ends of the range are out: whether they survive a round trip through a double depends on the platform.
        fits = 0 <= value < UINT_MAX if target is UInt else INT_MIN < value < INT_MAX
        if not fits:
            raise ExpressionError(f"{text_of(value)} does not fit into a 64-bit {function}")
        return in_range(math.trunc(value), target)
    if kind == "string" and re.fullmatch(_DECIMAL, value) and not (target is UInt and value.startswith("-")):
        return in_range(int(value), target)
    if kind == "string":
        raise ExpressionError(f"{shortened(value)} is no {function}")
    raise no_overload(f"{function}()", value)


def text_of(value: Any) -> str:
    """A value as text, the way CEL's `string()` writes it, and the parts of a Text: booleans as true and false, whole
    numbers in decimal, bytes as the UTF-8 they are. Beyond CEL, which has no text for them: null as "null", lists and
    maps as JSON without blanks (bytes in base64 and doubles that JSON lacks as text, as CEL maps to JSON).

    Doubles: the fewest digits that read back as the same double, without exponent from 1e-6 to below 1e21, so 1.0 is
    "1" and 1e6 is "1000000": JSON's canonical form (RFC 8785, ECMAScript), apart from "-0". CEL leaves it open; its
    implementations disagree. An int given for a float therefore prints the same. Raises ExpressionError for bytes that
    are no UTF-8."""
    match kind_of(value):
        case "null":
            return "null"
        case "bool":
            return "true" if value else "false"
        case "int" | "uint":
            return str(int(value))
        case "double":
            return _double_text(value)
        case "string":
            return str(value)
        case "bytes":
            try:
                return str(value, "utf-8")
            except UnicodeDecodeError:
                raise ExpressionError("these bytes are not UTF-8 text") from None
        case _:
            return _json_text(value, 1)


def _json_text(value: Any, level: int) -> str:
    if level > DEPTH_MAX:
        raise ExpressionError(f"a value nested more than {DEPTH_MAX} deep")
    match kind_of(value):
        case "list":
            return "[" + ",".join(_json_text(item, level + 1) for item in value) + "]"
        case "map":
            pairs = (
                f"{json.dumps(text_of(k), ensure_ascii=False)}:{_json_text(v, level + 1)}" for k, v in value.items()
            )
            return "{" + ",".join(pairs) + "}"
        case "string":
            return json.dumps(value, ensure_ascii=False)
        case "bytes":
            return json.dumps(base64.b64encode(value).decode())
        case "double" if not math.isfinite(value):
            return json.dumps(text_of(value))
        case "artifact":
            raise artifact_read()
        case _:
            return text_of(value)


def _double_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if value != value else ("-Infinity" if value < 0 else "Infinity")
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    written = whole + fraction.rstrip("0") if fraction.strip("0") else whole
    exponent = len(whole) + int(power or 0)  # the value is 0.DIGITS × 10**exponent
    digits = written.lstrip("0")
    if not digits:
        return f"{sign}0"
    exponent -= len(written) - len(digits)
    digits = digits.rstrip("0")
    if 0 < exponent <= 21:
        if len(digits) <= exponent:
            return sign + digits.ljust(exponent, "0")
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    if -6 < exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{exponent - 1:+d}"


def shortened(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if len(quoted) <= 60 else quoted[:59] + "…"
