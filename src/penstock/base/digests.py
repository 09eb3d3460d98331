"""Digests of small structured things (graphs, keys, manifests): sha256 over canonical JSON, in lower-case hex.

The bytes of artifacts are addressed by blake3 instead (`stores/artifacts`)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 (halves of surrogate pairs stay what they are). Raises
    ValueError on NaN, TypeError on non-JSON."""
    return _ENCODER.encode(value).encode("utf-8", "surrogatepass")


def digest_of(value: Any) -> str:
    """sha256 of a value's canonical JSON, as 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_of_bytes(data: bytes) -> str:
    """sha256 of bytes, as 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def chance(*parts: str | int) -> float:
    """A number in [0, 1) that depends on nothing but its parts: seeded jitter without a random generator."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / float(1 << 56)
