"""Functions that answer without running: what one gives depends on its name, its inputs and how often it has been
tried, so that the world of the simulator and the naive evaluator answer alike, in any process.

The first word of a name says how it behaves: `flaky2_f7` fails twice and then succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.base.digests import chance, digest_of
from penstock.graph.types import DICT, Type
from penstock.wire import (
    Artifact,
    Counted,
    Datum,
    Failed,
    Failure,
    Inline,
    NotYet,
    Outcome,
    OutOfMemory,
    OutputInvalid,
    Skipped,
    Struct,
    Succeeded,
    TimedOut,
    data_to_json,
)

MODULE = "penstock_fake"
FRAME = Type("penstock_fake:Frame")
LIST_LENGTH_MAX = 4
FIELDS = ("b", "a")
"""What is in every dict."""

BEHAVIOURS = {
    "ok": 56,
    "moody": 14,
    "flaky1": 6,
    "flaky2": 4,
    "later1": 4,
    "later3": 2,
    "tardy": 3,
    "oom1": 3,
    "oom9": 1,
    "fails": 4,
    "final": 2,
    "skips": 4,
    "lookup": 3,
    "invalid": 1,
    "slow": 2,
}
"""How a function behaves, with how often the generator of graphs takes it. `slow` never ends by itself."""


def behaviour_of(name: str) -> str:
    return name.partition("_")[0]


def outcome_of(name: str, outputs: Mapping[str, Type], inputs: Mapping[str, Datum], tried: int) -> Outcome:
    """What try number `tried` (from 0, counting those that the engine has taken in) of a function gives."""
    behaviour = behaviour_of(name)
    asked = digest_of([name, data_to_json(inputs)])
    if behaviour == "moody":
        behaviour = _mood(chance("mood", asked))
    kind = behaviour.rstrip("0123456789")
    count = int(behaviour[len(kind) :] or 0)
    if kind == "flaky" and tried < count:
        return Failed(Failure("builtins:ValueError", "not this time", ("Exception", "builtins:Exception")))
    if kind == "later" and tried < count:
        return NotYet(50 + 100 * tried)
    if kind == "tardy" and tried < 2:
        return NotYet(20) if tried == 0 else Failed(Failure("builtins:ValueError", "not at first"))
    if kind == "final" and tried > 0:
        kind = "ok"  # nobody should ever see this
    if kind == "oom" and tried < count:
        return OutOfMemory("too much")
    others: dict[str, Outcome] = {
        "fails": Failed(Failure("builtins:ValueError", "never", ("Exception", "builtins:Exception"))),
        "lookup": Failed(Failure("builtins:KeyError", "no key", ("LookupError", "builtins:LookupError"))),
        "final": Failed(Failure("penstock:Fail", "give up"), final=True),
        "skips": Skipped("nothing to do"),
        "invalid": OutputInvalid("not what it said"),
        "slow": TimedOut("did not end"),
    }
    if kind in others:
        return others[kind]
    return Succeeded({output: value_for(of_type, f"{asked}/{output}") for output, of_type in outputs.items()})


def _mood(number: float) -> str:
    moods = ((0.62, "ok"), (0.72, "fails"), (0.82, "skips"), (0.9, "flaky1"), (0.95, "later1"), (1.0, "final"))
    return next(mood for until, mood in moods if number < until)


def value_for(of_type: Type, seed: str) -> Datum:
    """A value of a type, from a seed."""
    if of_type.name == "list":
        length = int(chance("length", seed) * (LIST_LENGTH_MAX + 1))
        return Counted(tuple(value_for(of_type.item or Type("int"), f"{seed}/{index}") for index in range(length)))
    if of_type.name == DICT:
        return Struct({field: value_for(of_type.item or Type("int"), f"{seed}/{field}") for field in FIELDS})
    if not of_type.is_parameter:
        return Artifact(f"blake3:{digest_of(seed)}", of_type.name, "fake", 100)
    return Inline(plain_for(of_type, seed))


def plain_for(of_type: Type, seed: str) -> Any:
    number = int(chance("value", seed) * 7)
    match of_type.name:
        case "bool":
            return number % 2 == 0
        case "float":
            return number / 2
        case "str":
            return "abcdefg"[number]
        case "list":
            return [plain_for(of_type.item or Type("int"), f"{seed}/{index}") for index in range(number % 4)]
        case _:
            return number
