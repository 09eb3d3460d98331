"""How an attempt ended: a closed set (semantics 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.wire.values import Datum, data_from_json, data_to_json


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
