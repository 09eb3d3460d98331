"""What crosses a process border: attempt requests, outcomes and reports, as versioned JSON.

Values here are `Datum`s: a parameter inline, an artifact by digest, or a counted list of both. `*_to_json` gives plain
data for `json.dumps`, `*_from_json` takes what `json.loads` gave and trusts it (both ends are ours and say their
version first)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.base.limits import ITEMS_MAX as ITEMS_MAX
from penstock.base.limits import PARAMETER_BYTES_MAX as PARAMETER_BYTES_MAX

WIRE_VERSION = 1


# -- values --------------------------------------------------------------------------------------------------------


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


def data_to_json(data: Mapping[str, Datum]) -> dict[str, Any]:
    return {name: datum_to_json(datum) for name, datum in data.items()}


def data_from_json(data: Mapping[str, Any]) -> dict[str, Datum]:
    return {name: datum_from_json(datum) for name, datum in data.items()}


# -- requests --------------------------------------------------------------------------------------------------------


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
    )


# -- outcomes (semantics 17) -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """What user code raised: `type` as `module:Name`, `bases` the names of its base classes (both spellings, short and
    full, match `retry_on`), `traceback` text that starts at the user's own first frame."""

    type: str
    message: str
    bases: tuple[str, ...] = ()
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Succeeded:
    outputs: Mapping[str, Datum]


@dataclass(frozen=True, slots=True)
class Failed:
    """`final`: raised as `Fail`, so never retried."""

    failure: Failure
    final: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    why: str = ""


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    why: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """It cannot be proved that the attempt ended or never started; or its process died without a word (`why` says
    how)."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    why: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    why: str = ""


@dataclass(frozen=True, slots=True)
class NotYet:
    after_ms: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The executor could not take it, or provably never started it; costs nothing."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class InputLost:
    """An input's bytes are missing or corrupt; `digest` names the artifact."""

    digest: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class OutputInvalid:
    """The function returned something that its annotation does not say, or that cannot be stored; never retried."""

    why: str


Outcome = (
    Succeeded
    | Failed
    | TimedOut
    | OutOfMemory
    | Lost
    | Cancelled
    | Skipped
    | NotYet
    | Refused
    | InputLost
    | OutputInvalid
)

OUTCOME_KINDS: Mapping[str, type] = {
    "succeeded": Succeeded,
    "failed": Failed,
    "timed_out": TimedOut,
    "out_of_memory": OutOfMemory,
    "lost": Lost,
    "cancelled": Cancelled,
    "skipped": Skipped,
    "not_yet": NotYet,
    "refused": Refused,
    "input_lost": InputLost,
    "output_invalid": OutputInvalid,
}
KIND_BY_OUTCOME: Mapping[type, str] = {outcome: kind for kind, outcome in OUTCOME_KINDS.items()}


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    kind = KIND_BY_OUTCOME[type(outcome)]
    match outcome:
        case Succeeded(outputs):
            return {"kind": kind, "outputs": data_to_json(outputs)}
        case Failed(failure, final):
            return {
                "kind": kind,
                "final": final,
                "type": failure.type,
                "message": failure.message,
                "bases": list(failure.bases),
                "traceback": failure.traceback,
            }
        case NotYet(after_ms, why):
            return {"kind": kind, "after_ms": after_ms, "why": why}
        case InputLost(digest, why):
            return {"kind": kind, "digest": digest, "why": why}
        case _:
            return {"kind": kind, "why": outcome.why}


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    kind = data["kind"]
    if kind == "succeeded":
        return Succeeded(data_from_json(data["outputs"]))
    if kind == "failed":
        failure = Failure(data["type"], data["message"], tuple(data["bases"]), data["traceback"])
        return Failed(failure, data["final"])
    if kind == "not_yet":
        return NotYet(data["after_ms"], data["why"])
    if kind == "input_lost":
        return InputLost(data["digest"], data["why"])
    outcome: Outcome = OUTCOME_KINDS[kind](data["why"])
    return outcome


# -- reports ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used: processor time of its whole process tree, and the largest RssAnon + RssShmem seen (0: not
    measured, as for attempts shorter than the sampling interval)."""

    cpu_ms: float = 0.0
    memory_bytes_peak: int = 0


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class LogSegment:
    """Where an attempt's printed text is: bytes `offset` to `offset + size_bytes` of a file below the project's state
    folder."""

    file: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """Fact: the attempt runs since `at` (ms since the epoch). An executor may leave it out for attempts so short that
    they have ended before anyone could ask."""

    attempt_id: str
    at: int
    worker: str = ""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """Fact: the attempt ended. `started_at` and `ended_at` in ms since the epoch (0: never started); `duration_us` as
    the launcher measured it."""

    attempt_id: str
    outcome: Outcome
    started_at: int = 0
    ended_at: int = 0
    duration_us: int = 0
    worker: str = ""
    usage: Usage = NO_USAGE
    log: LogSegment | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    """Files of the project that Python opened for reading: project-relative path -> content digest (cache rule 12)."""
    outside: tuple[str, ...] = ()
    """First-party code that ran though the component's closure does not hold it (cache rule 14)."""


Report = AttemptStarted | AttemptEnded


@dataclass(frozen=True, slots=True)
class Observation:
    """A metric that user code logged: a side channel, batched, never seen by the engine (semantics 21). `at` in ms
    since the epoch; `step` None where none was given."""

    attempt_id: str
    name: str
    value: float
    step: int | None
    at: int


def report_to_json(report: Report) -> dict[str, Any]:
    if isinstance(report, AttemptStarted):
        return {"event": "started", "attempt_id": report.attempt_id, "at": report.at, "worker": report.worker}
    log = report.log
    return {
        "event": "ended",
        "attempt_id": report.attempt_id,
        "outcome": outcome_to_json(report.outcome),
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "duration_us": report.duration_us,
        "worker": report.worker,
        "usage": [report.usage.cpu_ms, report.usage.memory_bytes_peak],
        "log": [log.file, log.offset, log.size_bytes] if log else None,
        "reads": dict(report.reads),
        "outside": list(report.outside),
    }


def report_from_json(data: Mapping[str, Any]) -> Report:
    if data["event"] == "started":
        return AttemptStarted(data["attempt_id"], data["at"], data["worker"])
    log = data["log"]
    return AttemptEnded(
        attempt_id=data["attempt_id"],
        outcome=outcome_from_json(data["outcome"]),
        started_at=data["started_at"],
        ended_at=data["ended_at"],
        duration_us=data["duration_us"],
        worker=data["worker"],
        usage=Usage(*data["usage"]),
        log=LogSegment(*log) if log else None,
        reads=data.get("reads", {}),
        outside=tuple(data.get("outside", ())),
    )


@dataclass(frozen=True, slots=True)
class DescribeRequest:
    """Import TARGET and answer with its graph. `project` is the project's root folder; `parameters` are the texts given
    with `-p`, still untyped."""

    target: str
    project: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker found behind TARGET. `graph` is the graph's JSON (None when it has errors), `diagnostics`
    everything that `graph.check` and the author's front end say (as JSON), `pin` the digest of the code manifest,
    `failure` the user's traceback when the import raised, `pipelines` the names found in the file, `provenance` what
    the run is made of (distributions, interpreter)."""

    pipelines: tuple[str, ...] = ()
    graph: Mapping[str, Any] | None = None
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    pin: str = ""
    code: str = ""
    """Digest of the blob `{component: ComponentCode}` in the artifact store."""
    failure: Failure | None = None
    error: str = ""
    fix: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    worker: str = ""


def description_to_json(description: Description) -> dict[str, Any]:
    failure = description.failure
    return {
        "version": WIRE_VERSION,
        "pipelines": list(description.pipelines),
        "graph": description.graph,
        "diagnostics": list(description.diagnostics),
        "pin": description.pin,
        "code": description.code,
        "failure": [failure.type, failure.message, list(failure.bases), failure.traceback] if failure else None,
        "error": description.error,
        "fix": description.fix,
        "provenance": dict(description.provenance),
        "worker": description.worker,
    }


def description_from_json(data: Mapping[str, Any]) -> Description:
    failure = data["failure"]
    return Description(
        pipelines=tuple(data["pipelines"]),
        graph=data["graph"],
        diagnostics=tuple(data["diagnostics"]),
        pin=data["pin"],
        code=data["code"],
        failure=Failure(failure[0], failure[1], tuple(failure[2]), failure[3]) if failure else None,
        error=data["error"],
        fix=data["fix"],
        provenance=data["provenance"],
        worker=data["worker"],
    )
