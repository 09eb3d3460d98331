"""A command as JSON, apart from its inputs and policy, which are written as those of every component."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock.graph.bindings import Input
from penstock.graph.model import Command, CommandOutput, InputSpec, Policy, Word
from penstock.graph.types import Type

Json = dict[str, Any]
TypeToJson = Callable[[Type], Json]


def word_to_json(word: Word) -> list[Any]:
    """The parts of a word: text as itself, an input as `{"input": NAME}`."""
    return [part if isinstance(part, str) else {"input": part.name} for part in word]


def word_from_json(data: Iterable[Any]) -> Word:
    return tuple(part if isinstance(part, str) else Input(part["input"]) for part in data)


def command_to_json(command: Command, type_to_json: TypeToJson, *, sort: bool = False) -> Json:
    """What a command does. `sort`: variables and files stand in the order of their names, for a digest."""
    data: Json = {"name": command.name, "outputs": [_output_to_json(each, type_to_json) for each in command.outputs]}
    if command.argv:
        data["argv"] = [word_to_json(word) for word in command.argv]
    if command.script:
        data["script"] = command.script
    if command.env:
        data["env"] = _ordered([[name, word_to_json(word)] for name, word in command.env.items()], sort)
    if command.given:
        data["given"] = _ordered([[name, path] for name, path in command.given.items()], sort)
    return data


def _ordered(pairs: list[list[Any]], sort: bool) -> list[list[Any]]:
    return sorted(pairs, key=lambda pair: str(pair[0])) if sort else pairs


def _output_to_json(output: CommandOutput, type_to_json: TypeToJson) -> Json:
    data: Json = {"name": output.name, "type": type_to_json(output.type), "source": output.source}
    if output.path:
        data["path"] = output.path
    if output.key:
        data["key"] = output.key
    return data


def command_from_json(
    data: Mapping[str, Any],
    type_from_json: Callable[[Mapping[str, Any]], Type],
    *,
    inputs: tuple[InputSpec, ...],
    policy: Policy,
    notes: Mapping[str, Any],
) -> Command:
    """The command of `command_to_json`'s data. `notes` are the fields that are no part of what it does."""
    return Command(
        name=data["name"],
        argv=tuple(word_from_json(word) for word in data.get("argv", ())),
        inputs=inputs,
        outputs=tuple(
            CommandOutput(
                output["name"],
                type_from_json(output["type"]),
                output["source"],
                output.get("path", ""),
                output.get("key", ""),
            )
            for output in data["outputs"]
        ),
        script=data.get("script", ""),
        env={name: word_from_json(word) for name, word in data.get("env", ())},
        given=dict(data.get("given", ())),
        policy=policy,
        **notes,
    )
