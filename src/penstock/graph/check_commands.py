"""What can be said against a command before it runs: that it is one, that its words name inputs it has, that its outputs
come from somewhere, that no path leads out of the attempt's own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from penstock.base.secrets import MARK, is_variable
from penstock.graph.bindings import Input
from penstock.graph.names import nearest

if TYPE_CHECKING:
    from penstock.graph.model import Command, CommandOutput
    from penstock.graph.types import Type

SOURCES = ("file", "json", "last_line", "stdout")
PRINTED = ("last_line", "stdout")
SHELL_VARIABLES = frozenset(
    {"BASH_ENV", "CDPATH", "ENV", "HOME", "IFS", "LD_PRELOAD", "OPTIND", "PATH", "PS4", "PWD", "SHELL"}
)
"""What a shell itself reads: an input of a script is a variable, and cannot have such a name."""

_ARTIFACTS = "Outputs of commands are parameters, files and folders; a function makes anything else of a file."

Report = Callable[[str, str, str], None]
"""Records (code, message, fix); the message names the command."""


def check_command(command: Command, report: Report) -> None:
    """Report everything that is wrong with a command; its inputs, outputs and policy as such are checked elsewhere."""
    name = repr(command.name)
    type_by_input = {spec.name: spec.type for spec in command.inputs}
    _check_program(command, report)
    for what, word in _words(command):
        if any(isinstance(part, str) and "\0" in part for part in word):
            report(
                "bad-command", f"{what} of {name} holds a NUL character, which no program can be given", "Remove it."
            )
        for part in word:
            if not isinstance(part, Input):
                continue
            type_ = type_by_input.get(part.name)
            if type_ is None:
                message = f"{what} of {name} names the input {part.name!r}, which it does not have"
                report("unknown-input", message, nearest(part.name, type_by_input))
            elif type_.name == "list" and (len(word) > 1 or what.startswith("variable")):
                fix = (
                    "Give the list as an argument of its own, which becomes one for each item, or in a file of its own."
                )
                report("list-in-word", f"{what} of {name} has the list {part.name!r} inside text", fix)
    for variable in command.env:
        if not is_variable(variable) or variable.startswith(MARK):
            message = f"{name} sets {variable!r}, which is no name of an environment variable"
            report("bad-variable", message, "Give it letters, digits and _.")
    _check_given(command, type_by_input, report)
    for output in command.outputs:
        _check_output(command, output, report)
    if command.policy.depends:
        fix = "Declare the program's files: files=[...]."
        report("bad-dependency", f"{name} depends on code, and is a command, which reaches none of it", fix)


def _check_program(command: Command, report: Report) -> None:
    name = repr(command.name)
    if command.argv and command.script:
        fix = "Give the words of a command, or with shell=True text for a shell."
        report("bad-command", f"{name} has both arguments and a script", fix)
    elif not command.argv and not command.script.strip():
        report("bad-command", f"{name} has no command", 'Give one, such as ["wc", "-l", "${inputs.table}"].')
    elif command.argv and not (
        len(command.argv[0]) == 1 and isinstance(command.argv[0][0], str) and command.argv[0][0]
    ):
        message = f"the program of {name} is not known before it runs"
        report("bad-command", message, "Begin with the name of a program; give the rest as arguments.")
    if "\0" in command.script:
        report("bad-command", f"the script of {name} holds a NUL character, which no shell can be given", "Remove it.")
    for spec in command.inputs if command.script else ():
        if not spec.name.isidentifier() or not spec.name.isascii():
            message = f"input {spec.name!r} of {name} cannot be a variable of a shell"
            report("bad-name", message, "Name it with letters, digits and _.")
        elif spec.name in SHELL_VARIABLES:
            message = f"input {spec.name!r} of {name} is a variable that the shell itself reads"
            report("reserved-name", message, "Give the input another name.")


def _words(command: Command) -> Iterator[tuple[str, tuple[str | Input, ...]]]:
    for position, word in enumerate(command.argv):
        yield f"argument {position}" if position else "the program", word
    for name, word in command.env.items():
        yield f"variable {name!r}", word


def _check_given(command: Command, type_by_input: dict[str, Type], report: Report) -> None:
    name = repr(command.name)
    taken: dict[str, str] = {}
    for input_, path in command.given.items():
        if input_ not in type_by_input:
            message = f"{name} gives the input {input_!r} as a file, and does not have it"
            report("unknown-input", message, nearest(input_, type_by_input))
        complaint = path_complaint(path)
        if complaint:
            fix = "Give a path in the folder that the command runs in, such as data/table.csv."
            report("bad-path", f"{name} gives the input {input_!r} as {path!r}, which {complaint}", fix)
        elif path in taken:
            message = f"{name} gives the inputs {taken[path]!r} and {input_!r} as one file, {path!r}"
            report("bad-path", message, "Give each a path of its own.")
        taken.setdefault(path, input_)


def _check_output(command: Command, output: CommandOutput, report: Report) -> None:
    what = f"output {output.name!r} of {command.name!r}"
    if output.source not in SOURCES:
        given = f"comes from {output.source!r}" if output.source else "comes from nowhere"
        listed = "a file, a JSON file, the last line of standard output, or all of it"
        report("bad-output", f"{what} {given}", f"Say where it is: {listed} ({', '.join(SOURCES)}).")
        return
    if output.source in PRINTED:
        if output.path or output.key:
            report("bad-output", f"{what} is what is printed, and has a path", "Leave out the path and the key.")
    else:
        complaint = path_complaint(output.path)
        if complaint:
            fix = "Give the path of a file that the command writes in the folder it runs in."
            report("bad-path", f"{what} is at {output.path!r}, which {complaint}", fix)
        if output.key and output.source != "json":
            report("bad-output", f"{what} has a key, and is no JSON file", 'Take it from "json", or leave out the key.')
    _check_type(output, what, report)


def _check_type(output: CommandOutput, what: str, report: Report) -> None:
    type_ = output.type
    is_files = type_.name == "list" and type_.item is not None and type_.item.name == "path"
    if type_.is_parameter or type_.name == "any":
        return
    if type_.name == "path" and output.source in ("file", "stdout"):
        return
    if is_files and output.source == "file":
        return  # a folder: each of its files is an item
    if type_.name == "path" or is_files:
        fix = 'Give the file itself: {"file": PATH}.'
        report("bad-output", f"{what} is {type_}, and comes from {output.source!r}, which holds text", fix)
        return
    report("bad-output", f"{what} is {type_}, which a command cannot give", _ARTIFACTS)


def path_complaint(path: str) -> str:
    """What is wrong with a path inside the attempt's folder, reading on from it; empty: nothing."""
    if not path or "\0" in path:
        return "is no path"
    if path.startswith(("/", "~")):
        return "is outside of the folder that the command runs in"
    if ".." in path.split("/"):
        return "leads out of the folder that the command runs in"
    return "" if path.strip("./") else "is the folder itself that the command runs in"
