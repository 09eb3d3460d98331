"""Inputs and their types as a file says them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.authoring.yaml.types import text_of_type
from penstock.graph.model import InputSpec
from penstock.graph.types import Type


def written_type(type_: Type) -> str:
    return text_of_type(type_)


def written_specs(specs: Iterable[InputSpec]) -> dict[str, Any]:
    """Types, and defaults where there are any."""
    return {spec.name: _written_spec(spec) for spec in specs}


def _written_spec(spec: InputSpec) -> Any:
    if spec.default is None:
        return written_type(spec.type)
    default = spec.default.value
    is_source = spec.type.name == "source" and isinstance(default, dict) and len(spec.type.options) == 1
    if is_source and set(default) == {"source", "path"}:
        default = default["path"]
    return {"type": written_type(spec.type), "default": default}
