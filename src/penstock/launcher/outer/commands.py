"""An attempt of a command: a folder of its own, the program run in it, its outputs read from where they are said to be."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import PenstockError, StoreUnavailable
from penstock.launcher.outer.given import Given, Materialize, Ungivable, masked
from penstock.launcher.outer.processes import has_children, kill_children
from penstock.launcher.outer.programs import Ran, run_program
from penstock.values.datums import DeclaredType, type_text
from penstock.values.refusals import ContentLost, ValueRefused
from penstock.wire import CommandRequest, Datum, Failed, Failure, InputLost, Outcome, OutputInvalid, Succeeded

Seal = Callable[[str, Any, DeclaredType], Datum]
"""Stores the value of an output. Raises ValueRefused, StoreUnavailable."""

SHELL = "/bin/sh"
SHELL_OPTIONS = "-eu"
"""A command of a script that fails ends it, and so does a variable that is not there."""

TEXT_BYTES_MAX = 16 * 1024 * 1024
"""A file that a parameter is read from can be so large."""

PATIENCE_S = 10.0
"""How long a program has to end after it was asked to, where nobody else sees to that."""

ERROR_LINES_MAX = 20
LINE_LENGTH_MAX = 500
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run_command(
    request: CommandRequest,
    inputs: Mapping[str, Datum],
    *,
    folder: Path,
    materialize: Materialize,
    seal: Seal,
    path: str | None = None,
    alone: bool = True,
) -> Outcome:
    """Run a command in `folder`, which holds its files, to its outcome. `materialize` puts the content of a digest at a path,
    `seal` stores an output, by name, of a declared type; `path` stands before PATH. `alone`: this process does nothing else,
    and is killed when it does not end in time; what the program leaves running is killed with it. Raises what interrupts it,
    once the program has ended."""
    given = Given(request, inputs, folder, materialize)
    kept = _kept(request, folder)
    try:
        given.put_files()
        variables = given.variables(path)
        arguments = [SHELL, SHELL_OPTIONS, "-c", request.script, request.name] if request.script else given.arguments()
        program = _program(arguments[0], variables, folder)
    except ContentLost as lost:
        return InputLost(lost.digest, lost.message)
    except (Ungivable, StoreUnavailable) as error:
        return _failed(type(error).__name__, error)
    except OSError as error:
        return _untaken(error)
    secrets = given.secrets()
    line = masked(shlex.join(arguments) if not request.script else f"sh {SHELL_OPTIONS}: {request.script}", secrets)
    if program is None:
        return _missing(arguments[0], folder, has_environment=request.environment is not None)
    try:
        ran = run_program(
            arguments,
            program=program,
            folder=folder,
            variables=variables,
            stdout=kept,
            patience_s=None if alone else PATIENCE_S,
        )
    except OSError as error:
        return _not_started(error, arguments[0], line)
    if alone and has_children():
        kill_children()  # a daemon could still write to what is read below
    if ran.code != 0:
        return _ended_badly(ran, line, secrets)
    return _sealed(_Outputs(request, folder, ran.stdout, kept), seal)


def _kept(request: CommandRequest, folder: Path) -> Path | None:
    """The file that keeps all that is printed, called like the first output that it is; None where none is."""
    name = next((name for name, each in request.sources.items() if each["source"] == "stdout"), None)
    if name is None:
        return None
    beside = folder.with_name(f"{folder.name}-printed")
    beside.mkdir()
    return beside / name


# -- the program ---------------------------------------------------------------------------------------------------------


def _program(name: str, variables: Mapping[str, str], folder: Path) -> str | None:
    """The file of a program: a path is taken from the folder, a name is looked for along PATH."""
    if "/" in name:
        place = folder / name
        return str(place) if place.is_file() else None
    return shutil.which(name, path=variables.get("PATH", os.defpath))


def _missing(name: str, folder: Path, *, has_environment: bool) -> Failed:
    if "/" in name:
        fix = f"Declare it, so that it is there: files=[{name.removeprefix('./')!r}]."
        return _failed("ProgramMissing", PenstockError(f"there is no program {name}", fix=fix))
    where = "its environment or on PATH" if has_environment else "PATH"
    fix = f"Install {name}, or correct its name."
    if (folder / name).is_file():
        fix = f"It is a file of the task: write ./{name}."
    return _failed("ProgramMissing", PenstockError(f"there is no program {name} on {where}", fix=fix))


def _not_started(error: OSError, name: str, line: str) -> Failed:
    why, fix = error.strerror or str(error), ""
    if error.errno == errno.E2BIG:
        why, fix = "its arguments are longer than the system takes", "Give the input as a file."
    elif error.errno == errno.EACCES:
        fix = f"Make {name} executable, or name the program that reads it."
    elif error.errno in (errno.ENOEXEC, errno.ENOENT):
        why, fix = "it cannot be executed", f"Begin {name} with #! and a program that is there, or name that program."
    return _failed(
        "CommandFailed", PenstockError(f"{name} could not be started: {why}\n$ {_cut(line, 2_000)}", fix=fix)
    )


def _ended_badly(ran: Ran, line: str, secrets: list[str]) -> Failed:
    if ran.code < 0:
        name = _signal_name(-ran.code)
        how = f"was killed by {name}"
        if -ran.code == signal.SIGKILL:
            how += " (by somebody else, or for want of memory)"
    else:
        how = f"ended with exit code {ran.code}"
    text = masked(ran.stderr.decode(errors="backslashreplace"), secrets)
    lines = [_cut(each, LINE_LENGTH_MAX) for each in text.rstrip().splitlines()[-ERROR_LINES_MAX:]]
    told = "\n".join([f"the command {how}", f"$ {_cut(line, 2_000)}", *lines])
    return Failed(_failure("CommandFailed", told))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text):,} characters)"


def _untaken(error: OSError) -> Failed:
    fix = "Free disk space or make the folder writable; then retry." if error.errno in _DISK_FULL else ""
    return _failed("CommandFailed", PenstockError(f"the inputs could not be put in place: {error}", fix=fix))


def _failed(name: str, error: PenstockError) -> Failed:
    return Failed(_failure(name, f"{error.message}\n{error.fix}" if error.fix else error.message))


def _failure(name: str, message: str) -> Failure:
    bases = dict.fromkeys((name, f"penstock:{name}", "CommandFailed", "penstock:CommandFailed", "Exception"))
    return Failure(f"penstock:{name}", message, tuple(bases))


# -- outputs -------------------------------------------------------------------------------------------------------------


def _sealed(outputs: _Outputs, seal: Seal) -> Outcome:
    request = outputs.request
    sealed: dict[str, Datum] = {}
    for name, declared in request.outputs.items():
        try:
            sealed[name] = seal(name, outputs.value(name, declared), declared)
        except ValueRefused as refused:
            told = f"output {name!r}: {refused.message}"
            return OutputInvalid(f"{told}. {refused.fix}" if refused.fix else told)
        except StoreUnavailable as error:
            return _failed("StoreUnavailable", error)
    return Succeeded(sealed)


class _Outputs:
    """Reads what a command has left. Raises ValueRefused for what is not there, or is not what was declared."""

    def __init__(self, request: CommandRequest, folder: Path, stdout: bytes, kept: Path | None) -> None:
        self.request = request
        self._folder = folder.resolve()
        self._stdout = stdout
        self._kept = kept

    def value(self, name: str, declared: DeclaredType) -> Any:
        source = self.request.sources[name]
        kind, path = source["source"], source["path"]
        if kind == "last_line":
            lines = [line for line in self._stdout.splitlines() if line.strip()]
            if not lines:
                raise ValueRefused("the command printed nothing", fix="It is the last line of standard output.")
            return parsed(_decoded(lines[-1].strip(b"\r"), "the last line"), declared)
        if kind == "stdout":
            assert self._kept is not None
            return self._kept if declared["name"] == "path" else parsed(_read(self._kept, "standard output"), declared)
        place = self._existing(path)
        if kind == "json":
            return self._json(place, path, source["key"])
        if declared["name"] in ("path", "any"):
            return place
        item = declared.get("item") or {}
        if declared["name"] == "list" and item.get("name") == "path":
            if not place.is_dir():
                raise ValueRefused(f"{path} is no folder, whose files would be the items")
            return sorted(place.iterdir())
        return parsed(_read(place, path), declared)

    def _existing(self, path: str) -> Path:
        place = self._folder / path
        if not os.path.lexists(place):
            near = ", ".join(sorted(each.name for each in place.parent.iterdir())[:8]) if place.parent.is_dir() else ""
            there = f"; there is: {near}" if near else ""
            raise ValueRefused(f"the command has not written {path}{there}")
        resolved = place.resolve()
        if not resolved.is_relative_to(self._folder):
            raise ValueRefused(f"{path} is a link that leads out of the folder that the command ran in")
        return resolved

    def _json(self, place: Path, path: str, key: str) -> Any:
        try:
            data = json.loads(_read(place, path))
        except ValueError as error:
            raise ValueRefused(f"{path} is no JSON: {error}") from None
        if not key:
            return data
        if not isinstance(data, dict) or key not in data:
            there = f"there are: {', '.join(map(str, list(data)[:8]))}" if isinstance(data, dict) else "it is no object"
            raise ValueRefused(f"{path} has no {key!r}; {there}")
        return data[key]


def parsed(text: str, declared: DeclaredType) -> Any:
    """What a text stands for as a value of a type. Raises ValueRefused."""
    name = declared["name"]
    plain = text.strip()
    if declared.get("optional") and plain in ("", "null"):
        return None
    if name in ("str", "any"):
        return text
    try:
        match name:
            case "int":
                return int(plain)
            case "float":
                return float(plain)
            case "bool" | "struct" | "list" | "json" | "null" | "source":
                return json.loads(plain)
            case _:
                return plain
    except ValueError:
        shown = plain if len(plain) <= 60 else f"{plain[:59]}…"
        raise ValueRefused(f"expected {type_text(declared)}, got the text {shown!r}") from None


def _read(place: Path, shown: str) -> str:
    if not place.is_file():
        raise ValueRefused(f"{shown} is no file")
    size = place.stat().st_size
    if size > TEXT_BYTES_MAX:
        raise ValueRefused(
            f"{shown} has {size:,} bytes; a parameter is read from at most {TEXT_BYTES_MAX:,}",
            fix="Declare the output as a path.",
        )
    return _decoded(place.read_bytes(), shown)


def _decoded(data: bytes, shown: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueRefused(f"{shown} is no UTF-8 text: {error.reason} at byte {error.start:,}") from None
