"""What travels: parameters inline, artifacts by digest, counted lists of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
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


Datum = Inline | Artifact | Counted


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
        return Counted(tuple(datum_from_json(item) for item in data["items"]))
    return Artifact(
        data["artifact"], data["type"], data["form"], data["size_bytes"], data.get("metadata", {}), data.get("code")
    )


def artifact_bytes(data: Mapping[str, Datum]) -> int:
    """How large the artifacts among some data are together; parameters count nothing."""
    return sum(map(_bytes_of, data.values()))


def _bytes_of(datum: Datum) -> int:
    if isinstance(datum, Artifact):
        return datum.size_bytes
    return sum(map(_bytes_of, datum.items)) if isinstance(datum, Counted) else 0


def data_to_json(data: Mapping[str, Datum]) -> dict[str, Any]:
    return {name: datum_to_json(datum) for name, datum in data.items()}


def data_from_json(data: Mapping[str, Any]) -> dict[str, Datum]:
    return {name: datum_from_json(datum) for name, datum in data.items()}
