"""What this machine and this project have to say about the commands of a graph: programs that are not there, declared files
that are not there, files of the project that a command names and does not declare."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.base.diagnostics import Diagnostic
from penstock.code.files import inside
from penstock.graph.components import works_in
from penstock.graph.model import Command

if TYPE_CHECKING:
    from penstock.graph.model import Graph

_IN_SCRIPT = re.compile(r"[^\s'\"`$;&|<>(){}=,:*?\[\]#]+")
WORDS_MAX = 1_000


def machine_diagnostics(graph: Graph, *, project: str) -> Iterator[Diagnostic]:
    """Everything that is wrong here with the commands of a checked graph."""
    for work in works_in(graph):
        if isinstance(work, Command):
            yield from _program(work, project)
            yield from _files(work, project)


def _program(command: Command, project: str) -> Iterator[Diagnostic]:
    if command.script or command.policy.environment is not None:
        return  # a shell is everywhere; what an environment holds is known once it is there
    name = str(command.argv[0][0])
    if "/" in name:
        path = os.path.join(project, name)
        if os.path.isabs(name) and not os.path.isfile(name):
            message = f"command {command.name!r} runs {name}, which is not there"
            yield Diagnostic("program-missing", message, "Install it, or correct its path.", command.location)
        elif not os.path.isabs(name) and not os.path.exists(path):
            message = f"command {command.name!r} runs {name}, and the project has no such file"
            fix = "Paths are relative to the project's folder; a name without / is looked for along PATH."
            yield Diagnostic("program-missing", message, fix, command.location)
    elif shutil.which(name) is None:
        message = f"command {command.name!r} runs {name}, which is not on PATH"
        fix = f"Install {name}, or name another program."
        if os.path.isfile(os.path.join(project, name)):
            fix = f"It is a file of the project: write ./{name}, and declare it: files=[{name!r}]."
        yield Diagnostic("program-missing", message, fix, command.location)


def _files(command: Command, project: str) -> Iterator[Diagnostic]:
    for path in command.policy.files:
        if not os.path.exists(os.path.join(project, path)):
            message = f"command {command.name!r} declares the file {path!r}, which is not there"
            fix = "Paths are relative to the project's folder."
            yield Diagnostic("file-missing", message, fix, command.location)
    declared = [name for path in command.policy.files if (name := inside(path, project)) is not None]
    made = {output.path for output in command.outputs} | set(command.given.values())
    for name in dict.fromkeys(_named(command)):
        path = os.path.normpath(name)
        covered = any(path == each or path.startswith(f"{each}{os.sep}") for each in declared)
        if covered or name in made or path in made or inside(path, project) is None:
            continue
        if os.path.isfile(os.path.join(project, path)):
            message = f"command {command.name!r} names {name}, a file of the project that it does not declare"
            fix = f"It will not be there: declare files=[{path!r}]. Then a change of it runs the command again."
            yield Diagnostic("file-undeclared", message, fix, command.location, "warning")


def _named(command: Command) -> Iterator[str]:
    """The words of a command that could be paths."""
    words = [part for word in command.argv[1:] for part in word if isinstance(part, str) and len(word) == 1]
    words += _IN_SCRIPT.findall(command.script)[:WORDS_MAX]
    for word in words:
        value = word.rpartition("=")[2] if word.startswith("-") else word
        if value and not os.path.isabs(value) and "\0" not in value:
            yield value
