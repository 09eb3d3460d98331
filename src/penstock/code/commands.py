"""What a command counts as: its words or script, variables, files it is given and outputs it leaves, as one unit whose text a
person can compare; declared files by content, declared variables by value (cache rules 11 and 12)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from penstock.base.digests import digest_of
from penstock.base.secrets import variable_part
from penstock.code.distributions import project_file_part
from penstock.code.model import ComponentCode, Unit
from penstock.graph.codec import type_to_json
from penstock.graph.command_codec import command_to_json
from penstock.graph.components import command_text, word_text
from penstock.graph.model import Command


def command_codes(commands: Mapping[str, Command], *, project: str) -> dict[str, ComponentCode]:
    """The code of each command, under the names they have in the graph."""
    files: dict[str, str] = {}
    return {name: _code(name, command, project, files) for name, command in commands.items()}


def _code(name: str, command: Command, project: str, files: dict[str, str]) -> ComponentCode:
    said = command_to_json(command, type_to_json, sort=True)
    del said["name"]  # what a thing is called is no part of what it does
    digest = digest_of([said, [[spec.name, type_to_json(spec.type)] for spec in command.inputs]])
    parts = {"platform": f"{sys.platform} {os.uname().machine}"}
    for variable in command.policy.env:
        part, value = variable_part(variable, os.environ.get(variable.rpartition(":")[2]))
        parts[part] = value
    for path in command.policy.files:
        if path not in files:
            files[path] = project_file_part(os.path.join(project, path))
        parts[f"file:{path}"] = files[path]
    return ComponentCode(
        digest=digest,
        environment=digest_of(dict(sorted(parts.items()))),
        parts=dict(sorted(parts.items())),
        unresolved=(),
        version=command.policy.version,
        closure=(Unit(name, digest, "", (), _text(command)),),
    )


def _text(command: Command) -> str:
    """All that a command says, for a comparison line by line."""
    lines = [command_text(command)]
    lines += [f"{variable}={word_text(word)}" for variable, word in command.env.items()]
    lines += [f"{input_} as {path}" for input_, path in command.given.items()]
    for output in command.outputs:
        place = " ".join(part for part in (output.source, output.path, output.key) if part)
        lines.append(f"{output.name}: {output.type} from {place}")
    return "\n".join(lines) + "\n"
