"""Components of a file: Python functions, whose types and defaults are their signature's, and commands.

Nothing is imported here: what `module:function` names is asked of a `Finder`, which whoever loads a file provides."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.authoring.yaml.kinds import complaint_of
from penstock.authoring.yaml.policies import DECLARED, Policies
from penstock.authoring.yaml.tree import (
    NO_ENTRIES,
    Dictionary,
    Part,
    Scalar,
    Sequence,
    Source,
    is_null,
    plain_value,
    value_of,
)
from penstock.authoring.yaml.types import type_of_text
from penstock.authoring.yaml.values import split
from penstock.base.diagnostics import Diagnostic, Location
from penstock.graph.bindings import Constant, Input
from penstock.graph.builder import Scoped
from penstock.graph.check_commands import SOURCES
from penstock.graph.model import Command, CommandOutput, Function, Graph, InputSpec, OutputSpec, Word
from penstock.graph.names import nearest
from penstock.graph.parameters import given_parameter
from penstock.graph.types import ANY, JSON, PATH, STR, Type
from penstock.graph.words import script_of


@dataclass(frozen=True, slots=True)
class Found:
    """What `module:name` names: a component, or what is wrong (`message` and `fix`). `diagnostics` are those of its
    definition."""

    component: Function | Command | Graph | None
    diagnostics: tuple[Diagnostic, ...] = ()
    code: str = ""
    message: str = ""
    fix: str = ""


Finder = Callable[[str], Found]


def type_of_part(part: Part | None, otherwise: Type) -> Type:
    """The type that is written; `otherwise` where none is, or one that cannot be read, which has been reported."""
    if not isinstance(part, Scalar) or complaint_of("type", None, part) is not None:
        return otherwise
    return type_of_text(part.text)


def specs_of(part: Part | None) -> tuple[InputSpec, ...]:
    """Inputs or parameters, with types and defaults, in written order."""
    specs = []
    for name, (_key, value) in part.entries.items() if isinstance(part, Dictionary) else ():
        if not isinstance(value, Dictionary):
            specs.append(InputSpec(name, type_of_part(value, ANY)))
            continue
        type_ = type_of_part(value.get("type"), ANY)
        written = value.get("default")
        if written is None:
            specs.append(InputSpec(name, type_))
            continue
        default = given_parameter(type_, value_of(written))
        if default is None and type_.name not in ("null", "any"):
            type_ = replace(type_, optional=True)
        specs.append(InputSpec(name, type_, Constant(default)))
    return tuple(specs)


class Components:
    """The components that tasks of one file can use. `find` answers for Python functions."""

    def __init__(self, source: Source, declared: Dictionary | None, find: Finder) -> None:
        self._source = source
        self._declared = declared or NO_ENTRIES
        self._find = find
        self._made: dict[str, Function | Command | None] = {}
        self._found: dict[str, Function | Command | Graph | None] = {}
        self._told: set[int] = set()
        self.places: dict[Location, tuple[Source, Dictionary]] = {}
        self.functions: dict[str, Function] = {}
        """The functions that were found, as their definitions say, by `module:name`."""

    def check_all(self) -> None:
        """Make every declared component, so that mistakes in one that nothing uses are told."""
        for name in self._declared.entries:
            self.named(name, self._declared.key(name))

    def names(self) -> list[str]:
        return list(self._declared.entries)

    def named(self, name: str, at: Part) -> Function | Command | None:
        """A declared component; None: there is none, or it cannot be made, which is reported."""
        if name not in self._declared.entries:
            message = f"there is no component `{name}`"
            self._source.report("unknown-component", message, nearest(name, self._declared.entries), at)
            return None
        if name not in self._made:
            part = self._declared.get(name)
            self._made[name] = self._declare(name, part) if isinstance(part, Dictionary) else None
        return self._made[name]

    @property
    def modules(self) -> list[str]:
        """The modules of what was asked for, in that order."""
        return list(dict.fromkeys(text.partition(":")[0] for text in self._found))

    def found(self, part: Part, *, graphs: bool = False) -> Function | Command | Graph | None:
        """What `module:name` names in Python."""
        if not isinstance(part, Scalar) or complaint_of("function", None, part) is not None:
            return None
        text = part.text
        if text not in self._found:
            answer = self._find(text)
            self._source.diagnostics.extend(answer.diagnostics)
            if answer.message:
                self._source.report(answer.code, answer.message, answer.fix, part)
            self._found[text] = answer.component
            if isinstance(answer.component, Function):
                self.functions[text] = answer.component
        component = self._found[text]
        if component is not None and isinstance(component, Graph) is not graphs:
            what, key = ("a pipeline", "pipeline") if isinstance(component, Graph) else ("a function", "function")
            self._source.report("not-a-component", f"`{text}` is {what}", f"Use it as `{key}: {text}`.", part)
            return None
        return component

    def _declare(self, name: str, part: Dictionary) -> Function | Command | None:
        if part.get("command") is not None:
            return self.command(name, part, specs_of(part.get("inputs")), Policies(self._source, None).given(part))
        written = part.get("function")
        function = self.found(written) if written is not None else None
        if isinstance(function, Command):
            for key in ("inputs", "outputs"):
                if part.get(key) is not None:
                    message = f"`{name}` is a command of Python's, which says its {key} itself"
                    self._source.report("yaml-stray-key", message, "Take it away.", part.key(key))
            known: Command = self.with_policy(function, Policies(self._source, None).given(part, function.policy))
            return known
        if not isinstance(function, Function):
            return None
        if part.get("inputs") is not None:
            self._check_inputs(function, part)
            function = replace(function, inputs=specs_of(part.get("inputs")))
        outputs = part.get("outputs")
        if isinstance(outputs, Dictionary):
            types = (
                (key, value.get("type") if isinstance(value, Dictionary) else value)
                for key, (_, value) in outputs.entries.items()
            )
            function = replace(
                function, outputs=tuple(OutputSpec(key, type_of_part(value, ANY)) for key, value in types)
            )
        given = Policies(self._source, None).given(part, function.policy)
        described = part.get("description")
        if isinstance(described, Scalar):
            function = replace(function, description=described.text)
        made: Function = self.with_policy(function, given)
        return made

    def _check_inputs(self, function: Function, part: Dictionary) -> None:
        known = {spec.name: spec for spec in function.inputs}
        inputs = part.get("inputs")
        for name in inputs.entries if isinstance(inputs, Dictionary) and known else ():
            if name not in known:
                message = f"`{function.module}:{function.name}` has no input `{name}`"
                assert isinstance(inputs, Dictionary)
                self._source.report("unknown-input", message, nearest(name, known), inputs.key(name))

    @staticmethod
    def with_policy(component: Any, given: Mapping[str, Any]) -> Any:
        """A component with fields of its policy replaced by those given; null takes one back."""
        emptied = {name: () if value is None and name in DECLARED[:3] else value for name, value in given.items()}
        return replace(component, policy=replace(component.policy, **emptied)) if emptied else component

    # -- commands ------------------------------------------------------------------------------------------------------

    def command(
        self,
        name: str,
        part: Dictionary,
        inputs: tuple[InputSpec, ...],
        given: Mapping[str, Any],
        *,
        refer: Callable[[str, Scalar], str | None] | None = None,
    ) -> Command | None:
        """A command component. `refer` makes an input of a reference to something else than an input, and answers its
        name; None: only inputs can be referred to."""
        names = {spec.name: spec for spec in inputs}
        words = _Words(self._source, names, refer)
        written, shell = part.get("command"), part.get("shell")
        script, argv = "", tuple[Word, ...]()
        if isinstance(shell, Scalar) and plain_value(shell) is True:
            if not isinstance(written, Scalar):
                fix = "With `shell: true` write one text; without it, a list of the program and its arguments."
                self._source.report(
                    "bad-command", f"the command of `{name}` is a list, which no shell reads", fix, written or part
                )
                return None
            script, named = script_of(written.text)
            words.check_names(named, written)
        elif isinstance(written, Sequence):
            argv = tuple(words.word(item) for item in written.items)
        elif isinstance(written, Scalar):
            argv = tuple(words.word(word) for word in _split(self._source, written))
        if not script and not argv:
            self._source.report("bad-command", f"the command of `{name}` is empty", "Name a program.", written or part)
            return None
        variables, files = part.get("variables"), part.get("input_files")
        env = (
            {key: words.word(value) for key, (_, value) in variables.entries.items()}
            if isinstance(variables, Dictionary)
            else {}
        )
        outputs = self._outputs(part)
        title, described = part.get("name"), part.get("description")
        location = self._source.location(part.start)
        self.places[location] = (self._source, part)
        command = Command(
            title.text if isinstance(title, Scalar) and refer is None else name,
            argv,
            inputs,
            outputs,
            script,
            env,
            self._files(files, words),
            location=location,
            description=described.text if isinstance(described, Scalar) else "",
        )
        made: Command = self.with_policy(command, given)
        return made

    def _files(self, part: Part | None, words: _Words) -> dict[str, str]:
        files: dict[str, str] = {}
        for name, (key, value) in part.entries.items() if isinstance(part, Dictionary) else ():
            if not words.knows(name):
                self._source.report("unknown-input", f"there is no input `{name}`", nearest(name, words.names()), key)
            elif isinstance(value, Scalar):
                files[name] = value.text
        return files

    def _outputs(self, part: Dictionary) -> tuple[CommandOutput, ...]:
        outputs = part.get("outputs")
        made = []
        for name, (_key, value) in outputs.entries.items() if isinstance(outputs, Dictionary) else ():
            if not isinstance(value, Dictionary):
                made.append(CommandOutput(name, type_of_part(value, STR), "last_line"))
                continue
            path, key, source = (_text(value.get(each)) for each in ("path", "key", "from"))
            source = source or ("json" if key else "file" if path else "last_line")
            if source not in SOURCES:
                continue  # told by the check of forms
            if source in ("file", "json") and not path:
                fix = "Add `path:`, relative to the attempt's folder."
                self._source.report("bad-command", f"output `{name}` does not say which file it is in", fix, value)
                continue
            otherwise = {"file": PATH, "json": JSON}.get(source, STR)
            made.append(CommandOutput(name, type_of_part(value.get("type"), otherwise), source, path, key))
        return tuple(made)


def _text(part: Part | None) -> str:
    return part.text if isinstance(part, Scalar) and not is_null(part) else ""


def _split(source: Source, part: Scalar) -> list[Scalar]:
    """The words of a command that is written as one text."""
    try:
        return [Scalar(word, False, part.start, part.end) for word in shlex.split(part.text)]
    except ValueError as error:
        fix = "Write [program, argument, ...]; for a text that a shell reads add `shell: true`."
        source.report("bad-command", f"the command cannot be told into words: {error}", fix, part)
        return []


class _Words:
    """Reads the words of a command: text, and inputs in it."""

    def __init__(
        self, source: Source, names: Mapping[str, InputSpec], refer: Callable[[str, Scalar], str | None] | None
    ) -> None:
        self._source = source
        self._names = names
        self._refer = refer

    def knows(self, name: str) -> bool:
        return name in self._names

    def names(self) -> list[str]:
        return list(self._names)

    def word(self, part: Part) -> Word:
        if not isinstance(part, Scalar):
            return ()
        try:
            pieces = split(part.text)
        except ValueError:
            fix = "Write ${inputs.NAME}; for a plain `${` write `$${`."
            self._source.report("bad-reference", "`${` without its `}`", fix, part)
            return (part.text,)
        made: list[str | Input] = []
        for piece in pieces:
            if not piece.is_reference:
                made.append(piece.text)
            elif (name := self._input(piece.text.strip(), part)) is not None:
                made.append(Input(name))
        return tuple(made) or ("",)

    def check_names(self, names: Iterable[str], part: Scalar) -> None:
        """Report what a script names as an input and is none."""
        for name in names:
            if name not in self._names:
                self._source.report("unknown-input", f"there is no input `{name}`", nearest(name, self._names), part)

    def _input(self, text: str, part: Scalar) -> str | None:
        name = text.removeprefix("inputs.")
        if text.startswith("inputs.") and name in self._names:
            return name
        if self._refer is not None and not text.startswith("inputs."):
            return self._refer(text, part)
        fix = nearest(name, [f"inputs.{each}" for each in self._names])
        if not text.startswith("inputs."):
            fix = "A component knows its own inputs only: ${inputs.NAME}."
        self._source.report("unknown-input", f"there is no input `{name}`", fix, part)
        return None


def scoped_specs(specs: tuple[InputSpec, ...], bound: Mapping[str, Scoped]) -> tuple[InputSpec, ...]:
    """`specs`, and after them an input for everything that is bound without one, of the type of what it is given."""
    known = {spec.name for spec in specs}
    return (*specs, *(InputSpec(name, scoped.type) for name, scoped in bound.items() if name not in known))
