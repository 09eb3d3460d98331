"""Python data with structure: dataclasses, named tuples, enums, tuples, sets, dates, bytes, dictionaries of anything.
The form is JSON with tags (`{"$tuple": [...]}`); a key of the user's own that starts with `$` gets a second one.
Values of other families inside (a table in a dataclass) are written beside it as parts, and the whole is then a
folder.

Dictionaries keep their order, sets are sorted. Classes are named by module, never pickled; reading makes instances
without calling `__init__`."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.base.digests import canonical_json
from penstock.values.names import class_name, find_class
from penstock.values.refusals import ValueRefused, ValueUnreadable

DEPTH_MAX = 200
FOLDER_VALUE = "value.json"

_PLAIN = frozenset({type(None), bool, int, str, float, list, dict, tuple, set, frozenset, bytes, complex})
_TAGGED_MODULES = frozenset({"datetime", "decimal", "uuid", "fractions"})
_OF_PANDAS = frozenset({"Timestamp", "Timedelta", "NaTType"})

Part = Callable[[Any], Mapping[str, Any]]
"""Writes a value of another family somewhere beside the JSON; answers what the JSON says about it."""


def form_of(value: Any) -> str | None:
    return "data" if is_known(type(value)) else None


def is_known(cls: type) -> bool:
    return cls in _PLAIN or _is_tagged(cls) or _is_enum(cls) or _is_record(cls) or is_model(cls)


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.Enum)


def _is_record(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or _is_named_tuple(cls)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_model(cls: type) -> bool:
    """Whether a class is a model of pydantic 2."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and hasattr(cls, "__pydantic_fields_set__") and issubclass(cls, pydantic.BaseModel)


def _is_tagged(cls: type) -> bool:
    if cls.__name__ in _OF_PANDAS:
        return cls.__module__.partition(".")[0] == "pandas"
    return cls.__module__ in _TAGGED_MODULES and cls.__name__ in _ENCODERS


# -- writing -----------------------------------------------------------------------------------------------------------


def encode(value: Any, part: Part, *, depth: int = 0) -> Any:
    """JSON for a value. Raises ValueRefused for what has no known type."""
    if depth > DEPTH_MAX:
        raise ValueRefused(f"the value is nested more than {DEPTH_MAX} deep, or contains itself")
    cls = type(value)
    if value is None or cls is bool or cls is str:
        return value
    if cls is int:
        return value if value.bit_length() < 4_096 else {"$int": hex(value)}
    if cls is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if cls is list:
        return [encode(item, part, depth=depth + 1) for item in value]
    if cls is dict:
        return _encode_dict(value, part, depth)
    if cls is tuple:
        return {"$tuple": [encode(item, part, depth=depth + 1) for item in value]}
    if cls is set or cls is frozenset:
        items = [encode(item, part, depth=depth + 1) for item in value]
        return {f"${cls.__name__}": sorted(items, key=canonical_json)}
    if cls is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if cls is complex:
        return {"$complex": [encode(value.real, part), encode(value.imag, part)]}
    if _is_enum(cls):
        return _encode_enum(value, cls)
    if _is_tagged(cls):
        return {f"${cls.__name__}": _ENCODERS[cls.__name__](value)}
    return _encode_object(value, part, depth)


def _encode_dict(value: dict[Any, Any], part: Part, depth: int) -> Any:
    if all(type(key) is str for key in value):
        encoded = {}
        for key, item in value.items():
            encoded[f"${key}" if key.startswith("$") else key] = encode(item, part, depth=depth + 1)
        return encoded
    pairs = [[encode(k, part, depth=depth + 1), encode(v, part, depth=depth + 1)] for k, v in value.items()]
    return {"$dict": pairs}


def _encode_enum(value: Any, cls: type) -> Any:
    if value.name is None or value.name not in getattr(cls, "__members__", {}):  # a combination of flags has no member
        return {"$flags": class_name(cls), "value": value.value}
    return {"$enum": class_name(cls), "name": value.name}


def _encode_object(value: Any, part: Part, depth: int) -> Any:
    from penstock.values.custom import form_of as custom_form_of

    cls = type(value)
    if custom_form_of(value) is None and (_is_record(cls) or is_model(cls)):
        if "<locals>" in cls.__qualname__:
            raise ValueRefused(
                f"the class {cls.__qualname__} is defined inside a function, where it cannot be found again",
                fix="Define the class at the top of its module.",
            )
        if is_model(cls):
            return {"$model": class_name(cls), **_parts_of_model(value, part, depth)}
        names = cls._fields if _is_named_tuple(cls) else [field.name for field in dataclasses.fields(cls)]
        fields = {name: encode(getattr(value, name), part, depth=depth + 1) for name in names if hasattr(value, name)}
        return {"$record": class_name(cls), "fields": fields}
    item = getattr(value, "item", None) if cls.__module__.partition(".")[0] == "numpy" else None
    if item is not None and getattr(value, "shape", None) == () and type(item()) in (bool, int, float, str):
        return encode(item(), part)
    return {"$part": part(value)}


def _parts_of_model(value: Any, part: Part, depth: int) -> dict[str, Any]:
    """What pydantic keeps in an instance, as its own `model_construct` sets it."""

    def encoded(values: Mapping[str, Any] | None) -> Any:
        return (
            values if values is None else {name: encode(each, part, depth=depth + 1) for name, each in values.items()}
        )

    private = value.__pydantic_private__
    return {
        "fields": encoded(value.__dict__),
        "set": sorted(value.__pydantic_fields_set__),
        "extra": encoded(value.__pydantic_extra__),
        "private": encoded(
            {name: each for name, each in private.items() if type(each).__name__ != "PydanticUndefinedType"}
        )
        if private is not None
        else None,
    }


_ENCODERS: Mapping[str, Callable[[Any], Any]] = {
    "datetime": lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, _zone(v.tzinfo)],
    "date": lambda v: v.isoformat(),
    "time": lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, _zone(v.tzinfo)],
    "timedelta": lambda v: [v.days, v.seconds, v.microseconds],
    "timezone": lambda v: _zone(v),
    "Decimal": str,
    "UUID": str,
    "Fraction": lambda v: [str(v.numerator), str(v.denominator)],
    "Timestamp": lambda v: [int(v.asm8.astype("int64")), v.unit, v.fold, _zone_of_pandas(v.tzinfo)],
    "Timedelta": lambda v: [int(v.asm8.astype("int64")), v.unit],
    "NaTType": lambda v: None,
}


def _zone(zone: Any) -> Any:
    """A time zone as null, its seconds from UTC, or its name in the IANA database."""
    if zone is None:
        return None
    key = getattr(zone, "key", None)
    if type(zone).__module__.startswith("zoneinfo") and key:
        return key
    if type(zone).__module__ == "datetime":
        offset = zone.utcoffset(None)
        return offset.total_seconds()
    raise ValueRefused(
        f"a time zone of type {class_name(type(zone))} cannot be stored",
        fix="Use zoneinfo.ZoneInfo or datetime.timezone.",
    )


def _zone_of_pandas(zone: Any) -> Any:
    name = getattr(zone, "zone", None)  # of pytz, which pandas 2 uses
    return name if isinstance(name, str) else _zone(zone)


def to_bytes(encoded: Any) -> bytes:
    try:
        return json.dumps(encoded, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise ValueRefused("a text contains half of a surrogate pair and cannot be stored as UTF-8") from error


# -- reading -----------------------------------------------------------------------------------------------------------


def decode(data: Any, part: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The value of JSON that `encode` made; `part` reads what stands beside it."""
    if isinstance(data, list):
        return [decode(item, part) for item in data]
    if not isinstance(data, dict):
        return data
    tag = next(iter(data), "")
    if not tag.startswith("$") or tag.startswith("$$"):
        return {key[1:] if key.startswith("$") else key: decode(item, part) for key, item in data.items()}
    content = data[tag]
    if tag == "$record":
        return record(find_class(content), {name: decode(item, part) for name, item in data["fields"].items()})
    if tag == "$model":
        parts = {name: decode(data[name], part) for name in ("fields", "extra", "private")}
        return _model(find_class(content), set(data["set"]), parts)
    if tag == "$enum":
        return _member(find_class(content), data["name"])
    if tag == "$flags":
        return find_class(content)(data["value"])
    if tag == "$part":
        return part(content)
    if tag in _DECODERS_OF_ITEMS:
        return _DECODERS_OF_ITEMS[tag]([decode(item, part) for item in content])
    if tag not in _DECODERS:
        raise ValueUnreadable(f"the tag {tag} is not known", fix="It was written by a newer Penstock: upgrade.")
    return _DECODERS[tag](content)


def record(cls: type, fields: dict[str, Any]) -> Any:
    """An instance of a dataclass or named tuple with these fields, its `__init__` not called."""
    if _is_named_tuple(cls):
        if set(fields) != set(cls._fields):  # type: ignore[attr-defined]
            raise ValueUnreadable(f"{class_name(cls)} has other fields now than when the value was made")
        return cls(**fields)
    known = {field.name: field for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    if not set(fields) <= set(known):
        raise ValueUnreadable(
            f"{class_name(cls)} has no field {', '.join(sorted(set(fields) - set(known)))} any more",
            fix="The class was changed since the value was made; run the task again.",
        )
    made: Any = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _model(cls: Any, given: set[str], parts: Mapping[str, Any]) -> Any:
    known = set(getattr(cls, "model_fields", ()))
    if not set(parts["fields"]) <= known | set(getattr(cls, "model_computed_fields", ())):
        raise ValueUnreadable(
            f"{class_name(cls)} has no field {', '.join(sorted(set(parts['fields']) - known))} any more",
            fix="The class was changed since the value was made; run the task again.",
        )
    made: Any = cls.__new__(cls)
    object.__setattr__(made, "__dict__", parts["fields"])
    object.__setattr__(made, "__pydantic_fields_set__", given)
    object.__setattr__(made, "__pydantic_extra__", parts["extra"])
    object.__setattr__(made, "__pydantic_private__", parts["private"])
    return made


def _timestamp(content: Any) -> Any:
    value, unit, fold, zone = content
    pandas = import_module("pandas")
    made = pandas.Timestamp(value, unit=unit).as_unit(unit)
    if zone is not None:
        made = made.tz_localize("UTC").tz_convert(zone if isinstance(zone, str) else _zone_from(zone))
    return made.replace(fold=fold) if fold and made.fold != fold else made


def _timedelta(content: Any) -> Any:
    return import_module("pandas").Timedelta(content[0], unit=content[1]).as_unit(content[1])


def _member(cls: type, name: str) -> Any:
    try:
        return cls[name]  # type: ignore[index]
    except KeyError:
        raise ValueUnreadable(f"{class_name(cls)} has no member {name} any more") from None


def _datetime_class(name: str) -> Any:
    import datetime

    return getattr(datetime, name)


def _zone_from(zone: Any) -> Any:
    if isinstance(zone, str):
        import zoneinfo

        return zoneinfo.ZoneInfo(zone)
    if zone is None:
        return None
    if zone == 0:
        return _datetime_class("timezone").utc
    return _datetime_class("timezone")(_datetime_class("timedelta")(seconds=zone))


def _moment(name: str) -> Callable[[Any], Any]:
    def read(content: Any) -> Any:
        return _datetime_class(name).fromisoformat(content[0]).replace(fold=content[1], tzinfo=_zone_from(content[2]))

    return read


def _of_module(module: str, name: str) -> Callable[[Any], Any]:
    def read(content: Any) -> Any:
        __import__(module)
        cls = getattr(sys.modules[module], name)
        return cls(*map(int, content)) if isinstance(content, list) else cls(content)

    return read


_DECODERS_OF_ITEMS: Mapping[str, Callable[[list[Any]], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": dict,
    "$complex": lambda parts: complex(*parts),
}
_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "$int": lambda content: int(content, 16),
    "$float": float,
    "$bytes": base64.b64decode,
    "$datetime": _moment("datetime"),
    "$time": _moment("time"),
    "$date": lambda content: _datetime_class("date").fromisoformat(content),
    "$timedelta": lambda content: _datetime_class("timedelta")(*content),
    "$timezone": _zone_from,
    "$Decimal": _of_module("decimal", "Decimal"),
    "$UUID": _of_module("uuid", "UUID"),
    "$Fraction": _of_module("fractions", "Fraction"),
    "$Timestamp": _timestamp,
    "$Timedelta": _timedelta,
    "$NaTType": lambda content: import_module("pandas").NaT,
}


def read(path: Path, part: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The value stored at `path`: a JSON file, or a folder with one and its parts."""
    text = (path / FOLDER_VALUE if path.is_dir() else path).read_bytes()
    return decode(json.loads(text), part)
