"""What is asked of a launcher: one attempt, whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.wire.values import Datum, data_from_json, data_to_json

WIRE_VERSION = 1


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """The component of an attempt: a Python function. `inputs` and `outputs` map names to type texts as JSON (see
    `graph.codec.type_to_json`), in the order of the signature; `pin` is the digest of the code manifest that modules
    are served from (semantics 24)."""

    module: str
    name: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    pin: str
    code: str = ""
    """Digest of the blob with the closures of the run's components; empty: nothing is watched."""


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything that an attempt needs and nothing that could be read elsewhere. `amounts` is what the packer reserved:
    `cpu` in thousandths, `memory` in bytes, custom resources in thousandths. `memory_bytes_max` is the declared limit
    (None: not declared, not enforced)."""

    attempt_id: str
    component: FunctionRequest
    inputs: Mapping[str, Datum]
    seed: int
    amounts: Mapping[str, int] = field(default_factory=dict)
    memory_bytes_max: int | None = None
    fresh: bool = False
    pipeline: str = ""
    key: str = ""
    """The cache key, which addresses its checkpoint folder; empty where it has none, or is not cached."""


def request_to_json(request: AttemptRequest) -> dict[str, Any]:
    component = request.component
    return {
        "version": WIRE_VERSION,
        "attempt_id": request.attempt_id,
        "component": {
            "module": component.module,
            "name": component.name,
            "inputs": dict(component.inputs),
            "outputs": dict(component.outputs),
            "pin": component.pin,
            "code": component.code,
        },
        "inputs": data_to_json(request.inputs),
        "seed": request.seed,
        "amounts": dict(request.amounts),
        "memory_bytes_max": request.memory_bytes_max,
        "fresh": request.fresh,
        "pipeline": request.pipeline,
        "key": request.key,
    }


def request_from_json(data: Mapping[str, Any]) -> AttemptRequest:
    return AttemptRequest(
        attempt_id=data["attempt_id"],
        component=FunctionRequest(**data["component"]),
        inputs=data_from_json(data["inputs"]),
        seed=data["seed"],
        amounts=data["amounts"],
        memory_bytes_max=data["memory_bytes_max"],
        fresh=data["fresh"],
        pipeline=data["pipeline"],
        key=data["key"],
    )
