"""`command`: a program as a component."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from penstock.authoring.dsl.annotations import type_of_annotation
from penstock.authoring.dsl.building import current_building
from penstock.authoring.dsl.components import Configured, call, known_options, use_options
from penstock.authoring.dsl.options import CALL_OPTION_NAMES, NO_OPTIONS, Options, policy_of
from penstock.authoring.dsl.places import caller_location
from penstock.authoring.dsl.tasks import content_input
from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.errors import InvalidInput
from penstock.graph.bindings import Constant
from penstock.graph.model import Command, CommandOutput, InputSpec, Word
from penstock.graph.names import made_valid
from penstock.graph.parameters import given_parameter
from penstock.graph.types import PATH, Type
from penstock.graph.words import script_of, word_of, words_of

_SOURCES = ("file", "json", "last_line", "stdout")
_OUTPUT_FIX = (
    'Write Path("FILE"), a type (the last line of standard output), or a dict such as '
    '{"type": float, "json": "scores.json", "key": "auc"}.'
)
_UNKNOWN: tuple[Word, ...] = (("unknown",),)
"""Stands where a mistake left no words; the pipeline has a diagnostic already."""

Report = Callable[[str, str, str], None]


class CommandTask:
    """A program that is a component. Inside a pipeline a call adds it to the graph and gives a handle on its outputs."""

    def __init__(self, given: Mapping[str, Any], options: Options, *, location: Location, module: str) -> None:
        self._given = given
        self._options = options
        self._location = location
        self._module = module
        self._built: tuple[Command, tuple[Diagnostic, ...]] | None = None

    @property
    def name(self) -> str:
        """What it was named, else the name that it has in its module, else that of its program."""
        named = self._given["name"]
        if named is not None:
            return str(named)
        module = sys.modules.get(self._module)
        found = next((name for name, value in vars(module).items() if value is self), None) if module else None
        if found is not None:
            return found
        words = self._given["words"]
        first = words.split()[0] if isinstance(words, str) and words.split() else next(iter(words), "command")
        return "shell" if self._given["shell"] else made_valid(str(first).rpartition("/")[2])

    @property
    def component(self) -> Command:
        return self.built()[0]

    def built(self) -> tuple[Command, tuple[Diagnostic, ...]]:
        """The component and what is wrong with its definition. Worked out at first use, when its module is complete."""
        if self._built is None:
            diagnostics: list[Diagnostic] = []

            def report(code: str, message: str, fix: str) -> None:
                diagnostics.append(Diagnostic(code, message, fix, self._location))

            self._built = self._build(report), tuple(diagnostics)
        return self._built

    def options(self, **given: Any) -> Configured[Any, Any]:
        """This command with options for its next uses; see `Task.options`."""
        return Configured(self, NO_OPTIONS.with_more(use_options(given)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        building = current_building()
        if building is None:
            raise InvalidInput(
                f"{self.name!r} is a command and cannot be called like a function",
                fix="Call it in the body of a pipeline; run_inline of penstock.testing runs one in a test.",
            )
        return call(building, self, NO_OPTIONS, args=args, kwargs=kwargs)

    def __repr__(self) -> str:
        return f"<command {self.name}>"

    def _build(self, report: Report) -> Command:
        given = self._given
        argv, script = _said(given["words"], given["shell"], report)
        return Command(
            name=self.name,
            argv=argv,
            inputs=_inputs(given["inputs"] or {}, given["defaults"] or {}, report),
            outputs=tuple(_output(name, said, report) for name, said in _outputs(given)),
            script=script,
            env={name: word_of(str(text)) for name, text in (given["variables"] or {}).items()},
            given={name: fspath(path) for name, path in (given["input_files"] or {}).items()},
            policy=policy_of(self._options, None, report=report),
            location=self._location,
            description=given["description"] or "",
        )


def _said(words: Any, shell: bool, report: Report) -> tuple[tuple[Word, ...], str]:
    """(words, script) of what was given."""
    if shell:
        if isinstance(words, str):
            return (), script_of(words)[0]
        report("bad-command", "a shell takes text, and a list of words is given", "Give text, or leave out shell=True.")
        return _UNKNOWN, ""
    try:
        if isinstance(words, str):
            return words_of(words), ""
        return tuple(word_of(fspath(word) if isinstance(word, PathLike) else str(word)) for word in words), ""
    except ValueError as error:
        report("bad-command", f"{words!r:.80} cannot be told into words: {error}", "Give a list of words.")
        return _UNKNOWN, ""


def _inputs(inputs: Mapping[str, Any], defaults: Mapping[str, Any], report: Report) -> tuple[InputSpec, ...]:
    specs = []
    for name, annotation in inputs.items():
        type_, default = type_of_annotation(annotation), None
        if name in defaults:
            default = Constant(given_parameter(type_, defaults[name]))
        specs.append(content_input(InputSpec(name, type_, default)))
    for name in defaults.keys() - inputs.keys():
        report("unknown-input", f"a default is given for {name!r}, which is no input", "Name it in inputs=.")
    return tuple(specs)


def _outputs(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    own = [] if given["output"] is None else [("output", given["output"])]
    return [*own, *(given["outputs"] or {}).items()]


def _output(name: str, said: Any, report: Report) -> CommandOutput:
    """An output from how it was written: `Path("FILE")`, a type, or a dict."""
    if isinstance(said, PathLike):
        return CommandOutput(name, PATH, "file", fspath(said))
    if not isinstance(said, Mapping):
        return CommandOutput(name, type_of_annotation(said), "last_line")
    sources = [source for source in _SOURCES if source in said]
    unknown = sorted(said.keys() - {*_SOURCES, "type", "key"})
    if len(sources) != 1 or unknown:
        why = f"has {', '.join(map(repr, unknown))}" if unknown else f"names {len(sources)} places that it comes from"
        report("bad-output", f"output {name!r} {why}", _OUTPUT_FIX)
        return CommandOutput(name, PATH, "file", "output")
    (source,) = sources
    path = said[source] if source in ("file", "json") else ""
    default: Type = PATH if source == "file" else type_of_annotation(Any)
    type_ = type_of_annotation(said["type"]) if "type" in said else default
    return CommandOutput(name, type_, source, fspath(path) if path else "", str(said.get("key", "")))


def command(
    words: str | Sequence[str | PathLike[str]],
    /,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    output: Any = None,
    defaults: Mapping[str, Any] | None = None,
    name: str | None = None,
    shell: bool = False,
    variables: Mapping[str, str] | None = None,
    input_files: Mapping[str, str | PathLike[str]] | None = None,
    description: str = "",
    **options: Any,
) -> CommandTask:
    """A program as a task: `count = command("wc -l ${inputs.table}", inputs={"table": Path}, output=str)`.

    `words` are its program and arguments, as a list or as text with blanks between them; `${inputs.NAME}` stands for an
    input: a parameter as text, a file as its path. No shell sees them. With `shell=True` they are text for `sh -eu`, and
    the inputs are variables. It runs in a folder of its own, with the `files` that it declares and nothing else.

    `inputs` maps names to types, `defaults` to what an input is when it is not given. `outputs` maps names to where they
    are: `Path("out.csv")` for a file or folder that it writes; a type for the last line of standard output; or a dict of
    `type` and one of `file`, `json` (with `key`), `last_line` and `stdout`. `output` is one that is named `output`.
    `input_files` maps inputs to files that hold them, `variables` sets variables of the environment.

    Every other option is one of `@task`: `cpu`, `memory`, `retry`, `timeout`, `cache`, `version`, `expires`, `fresh`,
    `priority`, `resources`, `files` (what it reads of the project), `env` (the variables of the environment that it
    sees), `environment`.
    """
    for option in CALL_OPTION_NAMES:
        if option in options:
            raise TypeError(f"{option!r} belongs to a use of a command: command.options({option}=...)")
    said = {
        "words": words,
        "inputs": inputs,
        "outputs": outputs,
        "output": output,
        "defaults": defaults,
        "name": name,
        "shell": shell,
        "variables": variables,
        "input_files": input_files,
        "description": description,
    }
    chosen = NO_OPTIONS.with_more(known_options(options))
    frame = sys._getframe(1)
    return CommandTask(said, chosen, location=caller_location(), module=str(frame.f_globals.get("__name__", "")))
