"""What names mean at a place of a file: tasks around it, parameters, inputs of the body, the item of a map.

A body sees what stands around it: the builder lifts what it uses into inputs. `parameters` are those of the pipeline,
`inputs` those of the nearest body that has the name; `tasks.NAME` is a task whatever its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from penstock.authoring.yaml.tree import Source
from penstock.base.errors import ExpressionError
from penstock.graph.bindings import Round, StateOf
from penstock.graph.builder import UNKNOWN_SCOPED, GraphBuilder, NodeRef, Scoped
from penstock.graph.names import nearest
from penstock.graph.types import INT, STR

SPECIAL = ("item", "index", "round", "state")
SPACES = ("parameters", "inputs", "sources", "states", "outputs", "tasks")
RESERVED = frozenset((*SPECIAL, *SPACES))
_EXTRAS = frozenset({"indexes", "met", "rounds"})
_OPEN_TYPES = ("struct", "json", "any")


class UnknownReference(ExpressionError):
    """A name that means nothing; `fix` says what was probably meant."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code, self.fix = code, fix


@dataclass(slots=True)
class Scope:
    """The names of one graph in the making. `written` are the tasks of the file at this level, `tasks` those built so far;
    `failed` those that could not be, which has been told; `cycles` says what waits for itself. `special` gives what stands
    for `item`, `index` and `round` in this body; `round_outputs` is there in a loop's `until`."""

    builder: GraphBuilder
    source: Source
    parent: Scope | None = None
    written: Mapping[str, object] = field(default_factory=dict)
    tasks: dict[str, NodeRef] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    cycles: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Scoped] = field(default_factory=dict)
    sources: Mapping[str, Scoped] = field(default_factory=dict)
    special: Mapping[str, Callable[[], Scoped]] = field(default_factory=dict)
    round_outputs: NodeRef | None = None

    def named(self, dotted: str) -> Scoped | None:
        """The value of this name; None: nothing has it (a longer or shorter one may). Raises UnknownReference where it is
        certain what is wrong."""
        segments = dotted.split(".")
        first = segments[0]
        if len(segments) == 1 and first in SPECIAL and (special := self._special(first)) is not None:
            return special
        if first in SPACES and len(segments) > 1:
            if first == "tasks":
                return self._of_task(segments[1:])
            found = self._in_space(first, segments[1]) if len(segments) == 2 else None
            if found is not None or self.find(first) is None:
                return found
        return self._of_task(segments)

    def find(self, name: str) -> NodeRef | None:
        """The task of this name, here or around."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.tasks:
                return scope.tasks[name]
            if name in scope.written:
                return None
            scope = scope.parent
        return None

    def is_written(self, name: str) -> bool:
        """Whether there is such a task, built or not. Raises UnknownReference for one that waits for who asks."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.written:
                if name not in scope.tasks and name not in scope.failed:
                    around = scope.cycles.get(name, f"{name} -> {name}")
                    fix = "Take one of these dependencies away; `loop` repeats something."
                    raise UnknownReference("cycle", f"tasks wait for each other: {around}", fix)
                return True
            scope = scope.parent
        return False

    def task_names(self) -> list[str]:
        scope: Scope | None = self
        names: dict[str, None] = {}
        while scope is not None:
            names.update(dict.fromkeys(scope.written))
            scope = scope.parent
        return list(names)

    def unknown(self, dotted: str) -> UnknownReference:
        """What to say of a name that means nothing."""
        segments = dotted.split(".")
        first = segments[0]
        if first in SPACES and len(segments) > 1 and first not in ("tasks", "states"):
            known = self._space(first)
            what = {"parameters": "parameter", "inputs": "input", "sources": "source"}.get(first, "output of the round")
            return UnknownReference(
                "unknown-reference", f"there is no {what} `{segments[1]}`", nearest(segments[1], known)
            )
        if first in SPACES and len(segments) == 1:
            return UnknownReference("unknown-reference", f"`{first}` is no value", f"Write {first}.NAME.")
        if first in SPECIAL and len(segments) == 1:
            where = {"item": "of a map", "index": "of a map", "round": "of a loop", "state": "that runs `finally`"}[
                first
            ]
            return UnknownReference(
                "unknown-reference", f"`{first}` means something in a task {where} only", "Name a task's output."
            )
        if first in ("tasks", "states") and len(segments) > 1:
            first = segments[1]
        names = self.task_names()
        dashed = [name for name in names if "-" in name and name.split("-")[0] == first]
        if dashed:
            fix = f"In an expression a name with dashes stands in backticks: `{dashed[0]}`.output."
            return UnknownReference("unknown-reference", f"there is no task `{first}`", fix)
        if len(segments) == 1 and first in self._space("parameters"):
            return UnknownReference(
                "unknown-reference", f"there is no task `{first}`", f"Did you mean 'parameters.{first}'?"
            )
        return UnknownReference("unknown-reference", f"there is no task `{first}`", nearest(first, names))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _special(self, name: str) -> Scoped | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.special:
                return scope.special[name]()
            scope = scope.parent
        return None

    def _in_space(self, space: str, name: str) -> Scoped | None:
        if space == "states":
            ref = self.find(name)
            return None if ref is None else ref.state()
        if space == "outputs":
            ref = self.round_outputs
            return None if ref is None or name not in ref.outputs else ref.output(name)
        return self._space(space).get(name)

    def _space(self, space: str) -> Mapping[str, Scoped]:
        """The names of `parameters`, `inputs`, `sources` or `outputs` here."""
        if space == "outputs":
            return dict.fromkeys(self.round_outputs.outputs, UNKNOWN_SCOPED) if self.round_outputs else {}
        scope: Scope | None = self
        found: dict[str, Scoped] = {}
        while scope is not None:
            if space == "parameters" and scope.parent is not None:
                scope = scope.parent
                continue
            own = scope.sources if space == "sources" else scope.inputs
            found = {**own, **found}
            scope = scope.parent
        return found

    def _of_task(self, segments: list[str]) -> Scoped | None:
        name = segments[0]
        ref = self.find(name)
        if ref is None:
            if self.is_written(name):  # it could not be built, which has been told
                return UNKNOWN_SCOPED
            return None
        primary = primary_outputs(ref)
        if len(segments) == 1:
            if len(primary) == 1:
                return ref.output(primary[0])
            if not primary:
                fix = "Say which outputs it has; or use `after` if only the order matters."
                raise UnknownReference("no-output", f"`{name}` gives no output, where a value is asked for", fix)
            fix = f"Name one: {' or '.join(f'{name}.{output}' for output in primary[:5])}."
            raise UnknownReference(
                "ambiguous-output", f"`{name}` has several outputs, where one value is asked for", fix
            )
        output = segments[1]
        if output in ref.outputs:
            return ref.output(output) if len(segments) == 2 else None
        if output == "state":
            return ref.state() if len(segments) == 2 else None
        if len(primary) == 1 and ref.outputs[primary[0]].name in _OPEN_TYPES:
            return None  # a field of its one output
        raise UnknownReference("unknown-output", f"`{name}` has no output `{output}`", nearest(output, ref.outputs))


def primary_outputs(ref: NodeRef) -> tuple[str, ...]:
    """The outputs that a task has from its component."""
    names = tuple(ref.outputs)
    if "indexes" in names or ("met" in names and "rounds" in names):
        return tuple(name for name in names if name not in _EXTRAS)
    return names


def watched_state(builder: GraphBuilder) -> Scoped:
    return Scoped(builder, StateOf(""), STR)


def round_number() -> Scoped:
    return Scoped(None, Round(), INT)
