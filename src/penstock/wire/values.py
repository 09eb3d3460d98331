"""What travels: parameters inline, artifacts by digest, counted lists and structs of both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Inline:
    """A parameter: JSON data, where floats may also be NaN and infinite."""

    value: Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content in the artifact store. `digest` is `blake3:HEX` for a file and `tree:HEX` for a folder; `form` is how the
    bytes are written (`parquet`, `npy`, `file`, `tree`, ...); `metadata` is small JSON (rows, columns, shape, ...);
    `code` is the code digest of what the bytes name, where they name code (cache rule 10)."""

    digest: str
    type: str
    form: str
    size_bytes: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A counted list (semantics 4)."""

    items: tuple[Datum, ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """Data by name, in order: a dict with text keys, or the fields of an object, with artifacts among them (semantics 4).
    A struct of parameters alone is `Inline`."""

    fields: Mapping[str, Datum]


Datum = Inline | Artifact | Counted | Struct


def parameter_to_json(value: Any) -> Any:
    """JSON for a parameter that survives NaN and infinities: those become `{"$float": "nan"}`, and a key that starts
    with `$` gets a second one."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [parameter_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {f"${k}" if k.startswith("$") else k: parameter_to_json(v) for k, v in value.items()}
    raise TypeError(f"not a parameter: {type(value).__name__}")


_AS_THEY_ARE = frozenset({int, str, bool, float})


def parameter_from_json(data: Any) -> Any:
    if isinstance(data, list):
        return [parameter_from_json(item) for item in data]
    if isinstance(data, dict):
        if len(data) == 1 and "$float" in data:
            return float(data["$float"])
        return {k[1:] if k.startswith("$") else k: parameter_from_json(v) for k, v in data.items()}
    return data


def datum_to_json(datum: Datum) -> dict[str, Any]:
    if isinstance(datum, Inline):
        return {"value": parameter_to_json(datum.value)}
    if isinstance(datum, Counted):
        return {"items": [datum_to_json(item) for item in datum.items]}
    if isinstance(datum, Struct):
        return {"fields": [[name, datum_to_json(field)] for name, field in datum.fields.items()]}
    return {
        "artifact": datum.digest,
        "type": datum.type,
        "form": datum.form,
        "size_bytes": datum.size_bytes,
        "metadata": dict(datum.metadata),
        "code": datum.code,
    }


def datum_from_json(data: Mapping[str, Any]) -> Datum:
    if "value" in data:
        return Inline(parameter_from_json(data["value"]))
    if "items" in data:
        # Lists of a hundred thousand numbers are read within a moment.
        return Counted(
            tuple(
                [
                    Inline(item["value"]) if type(item.get("value")) in _AS_THEY_ARE else datum_from_json(item)
                    for item in data["items"]
                ]
            )
        )
    if "fields" in data:
        return Struct({name: datum_from_json(field) for name, field in data["fields"]})
    return Artifact(
        data["artifact"], data["type"], data["form"], data["size_bytes"], data.get("metadata", {}), data.get("code")
    )


def parts_of(datum: Datum) -> Iterator[Datum]:
    """What a list or struct holds; nothing for anything else."""
    if isinstance(datum, Counted):
        yield from datum.items
    elif isinstance(datum, Struct):
        yield from datum.fields.values()


def file_of(field: str) -> str:
    """What a field of a struct is called as a file: its name, with what a file name cannot hold as `%` and a number."""
    escaped = "".join(f"%{ord(c):02X}" if c in "/\0%" else c for c in field)
    return escaped if escaped.strip(".") else escaped.replace(".", "%2E") or "%"


def artifacts_in(datum: Datum) -> Iterator[Artifact]:
    """The artifacts in a datum, in order, each as often as it is there."""
    if isinstance(datum, Artifact):
        yield datum
    else:
        for part in parts_of(datum):
            yield from artifacts_in(part)


def artifact_bytes(data: Mapping[str, Datum]) -> int:
    """How large the artifacts among some data are together; parameters count nothing."""
    return sum(artifact.size_bytes for datum in data.values() for artifact in artifacts_in(datum))


def data_to_json(data: Mapping[str, Datum]) -> dict[str, Any]:
    return {name: datum_to_json(datum) for name, datum in data.items()}


def data_from_json(data: Mapping[str, Any]) -> dict[str, Datum]:
    return {name: datum_from_json(datum) for name, datum in data.items()}
