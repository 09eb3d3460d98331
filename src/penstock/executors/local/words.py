"""What workers say, taken apart: from the bytes of a frame, or of a record, to words that are known to be sensible. User code
runs in the process that says them and may write to its sockets, so anything may arrive here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.launcher.outer.records import Garbled
from penstock.wire import (
    AttemptEnded,
    Description,
    Observation,
    Observed,
    description_from_json,
    observed_from_json,
    report_from_json,
)
from penstock.wire.sense import INTEGER_MAX, is_sensible


@dataclass(frozen=True, slots=True)
class Ended:
    report: AttemptEnded


@dataclass(frozen=True, slots=True)
class Noted:
    """What attempts logged."""

    items: tuple[Observed, ...]


@dataclass(frozen=True, slots=True)
class Retiring:
    """The worker takes no more requests."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The worker could not begin, or go on."""

    error: str


@dataclass(frozen=True, slots=True)
class Described:
    """`preloaded`: the worker forks others from now on."""

    description: Description
    preloaded: bool = False


Word = Ended | Noted | Retiring | Unusable | Described
T = TypeVar("T")


def words_in(payload: bytes) -> list[Word]:
    """The words of a frame. Raises Garbled."""
    return [_word(each) for each in _sequence(payload)]


def report_in(payload: bytes) -> AttemptEnded:
    """The end that a record holds. Raises Garbled."""
    return _ended(_parsed(payload)).report


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Garbled(f"not JSON: {error}") from None


def _sequence(payload: bytes) -> list[Any]:
    data = _parsed(payload)
    if not isinstance(data, list):
        raise Garbled("not a list of words")
    return data


def _word(data: Any) -> Word:
    event = str(data.get("event")) if isinstance(data, dict) else ""
    match event:
        case "ended":
            return _ended(data)
        case "observed":
            return Noted(tuple(_observed(item) for item in _field(data, "items", list)))
        case "retiring":
            return Retiring()
        case "unusable":
            return Unusable(_field(data, "error", str))
        case "described":
            description = _field(data, "description", dict)
            return Described(
                _made(lambda: description_from_json(description), "description"), _field(data, "preloaded", bool)
            )
        case _:
            raise Garbled(f"an unknown event: {event!r:.100}")


def _ended(data: Any) -> Ended:
    report = _made(lambda: report_from_json(data), "report")
    if not isinstance(report, AttemptEnded) or not is_sensible(report, AttemptEnded):
        raise Garbled(f"a report with a field of the wrong type: {data!r:.200}")
    return Ended(report)


def _observed(data: Any) -> Observed:
    """A metric costs little to look at: an attempt may log a hundred thousand a second."""
    try:
        observed = observed_from_json(data)
    except Exception as error:  # noqa: BLE001 - any data at all may have been written there
        raise Garbled(f"a senseless observation: {type(error).__name__}: {error!s:.100}") from None
    if type(observed) is Observation and _is_plain(observed):
        return observed
    if not is_sensible(observed, type(observed)):
        raise Garbled(f"an observation with a field of the wrong type: {data!r:.200}")
    return observed


def _is_plain(metric: Observation) -> bool:
    try:
        return (
            metric.attempt_id.isascii()
            and metric.name.isascii()
            and type(metric.value) is float
            and (metric.step is None or (type(metric.step) is int and abs(metric.step) < INTEGER_MAX))
            and type(metric.at) is int
            and 0 <= metric.at < INTEGER_MAX
        )
    except AttributeError:  # not text
        return False


def _field(data: dict[str, Any], name: str, kind: type[T]) -> T:
    value = data.get(name)
    if not isinstance(value, kind):
        raise Garbled(f"{data.get('event')!r} has no {name!r} that is a {kind.__name__}")
    return value


def _made(make: Any, what: str) -> Any:
    """Decode, whatever is wrong with the data."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - any data at all may have been written there
        raise Garbled(f"a senseless {what}: {type(error).__name__}: {error!s:.100}") from None
