"""How an attempt ended: a closed set (semantics 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.wire.values import Datum, data_from_json, data_to_json


@dataclass(frozen=True, slots=True)
class Frame:
    """One call that a failure came through: `function` was at `line` of `file` (relative to the project where it lies in
    it). `own`: the author's own code, whose `source` comes along, beginning with line `first`."""

    file: str
    line: int
    function: str
    own: bool
    first: int = 0
    source: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What user code raised: `type` as `module:Name`, `bases` the names of its base classes (both spellings, short and
    full, match `retry_on`), `traceback` text that starts at the user's own first frame. `frames` are what it came
    through, outermost first; `inputs` says in a few words what the task was given."""

    type: str
    message: str
    bases: tuple[str, ...] = ()
    traceback: str = ""
    frames: tuple[Frame, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)


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
class Held:
    """What one function of user code held when memory ran out: `where` names file, line and function, `size_bytes` is the
    sum over its local names (0: nobody could tell), `largest` the largest of them as (name, bytes)."""

    where: str
    size_bytes: int = 0
    largest: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Want of memory, whoever found it: the kernel, the declared limit, an allocator. `peak_bytes` is the largest
    RssAnon + RssShmem seen, `limit_bytes` the declared limit, `at` ms since the epoch (each 0: not known). `frames`: the
    innermost frame first when the limit was passed, the largest first where the interpreter could tell sizes. `device`:
    "" for the machine's memory, "gpu" for a GPU's."""

    why: str = ""
    peak_bytes: int = 0
    limit_bytes: int = 0
    at: int = 0
    frames: tuple[Held, ...] = ()
    device: str = ""


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
                **({"came_through": [_frame_to_json(frame) for frame in failure.frames]} if failure.frames else {}),
                **({"given": dict(failure.inputs)} if failure.inputs else {}),
            }
        case NotYet(after_ms, why):
            return {"kind": kind, "after_ms": after_ms, "why": why}
        case InputLost(digest, why):
            return {"kind": kind, "digest": digest, "why": why}
        case OutOfMemory(why, peak_bytes, limit_bytes, at, frames, device):
            return {
                "kind": kind,
                "why": why,
                "peak_bytes": peak_bytes,
                "limit_bytes": limit_bytes,
                "at": at,
                "frames": [[held.where, held.size_bytes, [list(each) for each in held.largest]] for held in frames],
                "device": device,
            }
        case _:
            return {"kind": kind, "why": outcome.why}


def failure_from_json(data: Mapping[str, Any]) -> Failure:
    """The failure in the JSON of a `Failed`."""
    frames = tuple(
        Frame(file, line, function, own, first, tuple(source))
        for file, line, function, own, first, source in data.get("came_through", ())
    )
    return Failure(
        data["type"], data["message"], tuple(data["bases"]), data["traceback"], frames, data.get("given", {})
    )


def _frame_to_json(frame: Frame) -> list[Any]:
    return [frame.file, frame.line, frame.function, frame.own, frame.first, list(frame.source)]


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    kind = data["kind"]
    if kind == "succeeded":
        return Succeeded(data_from_json(data["outputs"]))
    if kind == "failed":
        return Failed(failure_from_json(data), data["final"])
    if kind == "not_yet":
        return NotYet(data["after_ms"], data["why"])
    if kind == "input_lost":
        return InputLost(data["digest"], data["why"])
    if kind == "out_of_memory":
        return OutOfMemory(
            data["why"],
            data.get("peak_bytes", 0),
            data.get("limit_bytes", 0),
            data.get("at", 0),
            tuple(
                Held(where, size, tuple((name, held) for name, held in largest))
                for where, size, largest in data.get("frames", ())
            ),
            data.get("device", ""),
        )
    outcome: Outcome = OUTCOME_KINDS[kind](data["why"])
    return outcome
