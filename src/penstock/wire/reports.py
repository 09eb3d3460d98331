"""What is heard of an attempt: that it started, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.wire.outcomes import Outcome, outcome_from_json, outcome_to_json


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used: processor time of its whole process tree, and the largest RssAnon + RssShmem seen (0: not
    measured, as for attempts shorter than the sampling interval); the most memory taken on its GPUs together, and how
    busy they were in the mean, in percent; the most that lay below its scratch folder (0: not measured)."""

    cpu_ms: float = 0.0
    memory_bytes_peak: int = 0
    gpu_memory_bytes_peak: int = 0
    gpu_percent_mean: float = 0.0
    disk_bytes_peak: int = 0


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
        "usage": _usage_to_json(report.usage),
        "log": [log.file, log.offset, log.size_bytes] if log else None,
        "reads": dict(report.reads),
        "outside": list(report.outside),
    }


def _usage_to_json(usage: Usage) -> list[float]:
    """The numbers in order, less the zeros at the end of nearly all."""
    data = [usage.cpu_ms, usage.memory_bytes_peak]
    if usage.gpu_memory_bytes_peak or usage.gpu_percent_mean or usage.disk_bytes_peak:
        data += [usage.gpu_memory_bytes_peak, usage.gpu_percent_mean, usage.disk_bytes_peak]
    return data


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
