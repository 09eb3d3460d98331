"""What is asked of a launcher: one attempt, whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    environment: Mapping[str, Any] | None = None
    """What it runs in, as `graph.policies.environment_to_json` writes it; None: the project's own interpreter."""

    @property
    def component(self) -> str:
        """What rows call it."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """The component of an attempt: a command. `component` is what rows call it; words are as
    `graph.command_codec.word_to_json` writes them: text, and `{"input": NAME}`. `sources` says by output where it comes
    from (`source`, `path`, `key`); `files` are paths in the project that stand in the attempt's folder, as the pin has
    them; `variables` the names of those that it sees of the environment, secrets marked."""

    component: str
    name: str
    argv: tuple[Sequence[Any], ...]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, str]]
    pin: str
    script: str = ""
    env: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    code: str = ""
    environment: Mapping[str, Any] | None = None


WorkRequest = FunctionRequest | CommandRequest


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything that an attempt needs and nothing that could be read elsewhere. `amounts` is what the packer reserved:
    `cpu` in thousandths, `memory` in bytes, custom resources in thousandths. `memory_bytes_max` is the declared limit
    (None: not declared, not enforced), `disk_bytes_max` what it may write below its scratch folder."""

    attempt_id: str
    component: WorkRequest
    inputs: Mapping[str, Datum]
    seed: int
    amounts: Mapping[str, int] = field(default_factory=dict)
    memory_bytes_max: int | None = None
    fresh: bool = False
    pipeline: str = ""
    key: str = ""
    """The cache key, which addresses its checkpoint folder; empty where it has none, or is not cached."""
    disk_bytes_max: int | None = None
    reads_cache: bool = True
    """Whether the run takes results that are there already."""


def request_to_json(request: AttemptRequest) -> dict[str, Any]:
    return {
        "version": WIRE_VERSION,
        "attempt_id": request.attempt_id,
        "component": _work_to_json(request.component),
        "inputs": data_to_json(request.inputs),
        "seed": request.seed,
        "amounts": dict(request.amounts),
        "memory_bytes_max": request.memory_bytes_max,
        "fresh": request.fresh,
        "pipeline": request.pipeline,
        "key": request.key,
        "disk_bytes_max": request.disk_bytes_max,
        "reads_cache": request.reads_cache,
    }


def _work_to_json(work: WorkRequest) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": work.name,
        "inputs": dict(work.inputs),
        "outputs": dict(work.outputs),
        "pin": work.pin,
        "code": work.code,
    }
    if work.environment is not None:
        data["environment"] = dict(work.environment)
    if isinstance(work, FunctionRequest):
        return {"module": work.module, **data}
    return {
        "component": work.component,
        **data,
        "argv": [list(word) for word in work.argv],
        "script": work.script,
        "sources": {name: dict(source) for name, source in work.sources.items()},
        "env": {name: list(word) for name, word in work.env.items()},
        "given": dict(work.given),
        "files": list(work.files),
        "variables": list(work.variables),
    }


def _work_from_json(data: Mapping[str, Any]) -> WorkRequest:
    if "module" in data:
        return FunctionRequest(**data)
    lists = {name: tuple(data[name]) for name in ("argv", "files", "variables")}
    return CommandRequest(**{**data, **lists})


def request_from_json(data: Mapping[str, Any]) -> AttemptRequest:
    return AttemptRequest(
        attempt_id=data["attempt_id"],
        component=_work_from_json(data["component"]),
        inputs=data_from_json(data["inputs"]),
        seed=data["seed"],
        amounts=data["amounts"],
        memory_bytes_max=data["memory_bytes_max"],
        fresh=data["fresh"],
        pipeline=data["pipeline"],
        key=data["key"],
        disk_bytes_max=data.get("disk_bytes_max"),
        reads_cache=data.get("reads_cache", True),
    )
