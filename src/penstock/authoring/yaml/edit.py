"""Changes to a pipeline file that touch only the lines they must: a value, a task more, a task less. Comments, order, indentation
and style of all else stay as their author wrote them.

A path leads to a value: keys of mappings, positions of lists, as in `("tasks", "fit", "resources", "memory")`. Every function
answers the new text, after reading it again: it says what the old one said, and the change. Raises InvalidInput where the path
leads nowhere, or behind an alias, and for a file that is not YAML."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from typing import Any

from penstock.authoring.yaml.emit import flow, key_text, lines_of, scalar_text
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.tree import Dictionary, Part, Scalar, Sequence, Source, is_empty, value_of
from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.graph.names import nearest

Path = Listing[str | int]


def set_value(text: str, path: Path, value: Any) -> str:
    """Change a value, or add it as the last of its mapping; mappings on the way that are not there are added as well."""
    file = _File(text)
    known, rest = file.reach(path)
    if rest:
        for name in reversed(rest[1:]):
            value = {name: value}
        return _checked(file, file.added(known, str(rest[0]), value), path[: len(known) + 1], value)
    return _checked(file, file.replaced(known, value), path, value)


def add_task(text: str, name: str, task: dict[str, Any], *, pipeline: str | None = None) -> str:
    """Add a task as the last of a pipeline: the file's own, or one of `pipelines`."""
    path = _tasks_of(text, pipeline)
    tasks = _File(text).find(path)
    if isinstance(tasks, Dictionary) and name in tasks.entries:
        raise InvalidInput(f"there is a task `{name}` already", fix="Give the new one another name.")
    return set_value(text, (*path, name), task)


def remove_task(text: str, name: str, *, pipeline: str | None = None) -> str:
    """Take a task away. What refers to it is left as it is."""
    return remove(text, (*_tasks_of(text, pipeline), name))


def remove(text: str, path: Path) -> str:
    """Take a key with its value, or an item of a list, away. Comments stay."""
    file = _File(text)
    if not path:
        raise InvalidInput("a path that leads to the whole file", fix="Name a key.")
    known, rest = file.reach(path)
    if rest:
        raise file.nowhere(known, rest[0])
    return _checked(file, file.without(known), path, _GONE)


_GONE = object()


def _tasks_of(text: str, pipeline: str | None) -> Path:
    if pipeline is None:
        return ("tasks",)
    root = _File(text).root
    main = root.get("pipeline")
    if isinstance(main, Scalar) and main.text == pipeline:
        return ("tasks",)
    pipelines = root.get("pipelines")
    known = pipelines.entries if isinstance(pipelines, Dictionary) else {}
    if pipeline not in known:
        raise InvalidInput(f"there is no pipeline `{pipeline}`", fix=nearest(pipeline, known))
    return ("pipelines", pipeline, "tasks")


def _checked(file: _File, text: str, path: Path, value: Any) -> str:
    """The new text, if it says what it should."""
    wanted = _changed(value_of(file.root), path, value)
    said = value_of(_File(text).root)
    assert repr(said) == repr(wanted), f"an edit at {path} made something else of the file:\n{text}"
    return text


def _changed(data: Any, path: Path, value: Any) -> Any:
    data = copy.deepcopy(data)
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    if value is _GONE:
        del holder[path[-1]]
    elif path:
        holder[path[-1]] = value
    return data


@dataclass(frozen=True, slots=True)
class _Step:
    """A value on the way: what holds it, under which key or position."""

    holder: Dictionary | Sequence
    name: str | int
    part: Part


class _File:
    """A file's text and tree, and changes to the text."""

    def __init__(self, text: str) -> None:
        diagnostics: list[Diagnostic] = []
        source = Source("the file", text, diagnostics)
        root = read(source)
        if diagnostics:
            raise InvalidPipeline(tuple(diagnostics))
        if not isinstance(root, Dictionary):
            raise InvalidInput("the file is no mapping", fix="Begin with `penstock: 1`.")
        self.text = text
        self.root = root
        self._newline = "\r\n" if "\r\n" in text else "\n"

    # -- the way -------------------------------------------------------------------------------------------------------

    def reach(self, path: Path) -> tuple[list[_Step], Path]:
        """(values on the way as far as there are any, the rest of the path)."""
        known: list[_Step] = []
        part: Part = self.root
        for position, name in enumerate(path):
            inner = self._inner(part, name)
            if inner is None:
                if isinstance(part, Scalar) and not is_empty(part):
                    raise self.nowhere(known, name)
                if not isinstance(name, str) or isinstance(part, Sequence):
                    raise self.nowhere(known, name)
                return known, path[position:]
            assert isinstance(part, (Dictionary, Sequence))
            if inner.start < self._key_end(part, name):
                fix = "Change what the anchor stands at, or write the data out."
                raise InvalidInput(f"`{name}` stands behind an alias", fix=fix)
            known.append(_Step(part, name, inner))
            part = inner
        return known, ()

    def find(self, path: Path) -> Part | None:
        part: Part | None = self.root
        for name in path:
            part = None if part is None else self._inner(part, name)
        return part

    def nowhere(self, known: list[_Step], name: str | int) -> InvalidInput:
        part = known[-1].part if known else self.root
        names = list(part.entries) if isinstance(part, Dictionary) else []
        return InvalidInput(f"there is no `{name}` in {self._shown(known)}", fix=nearest(str(name), names))

    def _shown(self, known: list[_Step]) -> str:
        return f"`{'.'.join(str(step.name) for step in known)}`" if known else "the file"

    def _inner(self, part: Part, name: str | int) -> Part | None:
        if isinstance(part, Dictionary) and isinstance(name, str):
            return part.get(name)
        if isinstance(part, Sequence) and isinstance(name, int) and 0 <= name < len(part.items):
            return part.items[name]
        return None

    def _key_end(self, holder: Dictionary | Sequence, name: str | int) -> int:
        return holder.key(str(name)).end if isinstance(holder, Dictionary) else holder.start

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _line_start(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def _line_end(self, offset: int) -> int:
        """The offset behind the line's end."""
        found = self.text.find("\n", offset)
        return len(self.text) if found < 0 else found + 1

    def _indent_of(self, offset: int) -> str:
        """What stands before an offset in its line, as blanks."""
        return " " * (offset - self._line_start(offset))

    def _colon(self, key: Scalar) -> int:
        """The offset behind the colon of a key."""
        return self.text.index(":", key.end) + 1

    def _end_of(self, part: Part, otherwise: int) -> int:
        """The offset behind the last character of a value; `otherwise` where nothing is written."""
        if isinstance(part, Scalar):
            if is_empty(part) and part.start == part.end:
                return otherwise
            written = self.text[part.start : part.end]
            return part.start + len(written.rstrip()) if written[:1] in "|>" else part.end
        if part.is_flow:
            return part.end
        if isinstance(part, Sequence):
            return self._end_of(part.items[-1], part.end) if part.items else part.end
        key, value = list(part.entries.values())[-1]
        return self._end_of(value, self._colon(key))

    # -- changes -------------------------------------------------------------------------------------------------------

    def replaced(self, known: list[_Step], value: Any) -> str:
        step = known[-1]
        holder, part = step.holder, step.part
        if isinstance(holder, Dictionary):
            key = holder.key(str(step.name))
            begin = self._colon(key)
            end = self._end_of(part, begin)
            if not holder.is_flow and not self._fits_behind(part, value):
                return self.text[:begin] + self._below(key, value) + self.text[end:]
            begin = part.start if end > begin else begin
            return (
                self.text[:begin] + ("" if end > begin else " ") + self._inline(part, value, holder) + self.text[end:]
            )
        return self.text[: part.start] + self._inline(part, value, holder) + self.text[self._end_of(part, part.start) :]

    def _fits_behind(self, part: Part, value: Any) -> bool:
        """Whether a new value can stand where the old one begins: on one line, as the old one did."""
        is_block = isinstance(part, (Dictionary, Sequence)) and not part.is_flow
        is_literal = isinstance(part, Scalar) and self.text[part.start : part.start + 1] in ("|", ">")
        is_large = isinstance(value, (dict, list)) and len(list(lines_of("key", value, ""))) > 1
        is_long = isinstance(value, str) and "\n" in value
        return not (is_block or is_literal or is_large or is_long)

    def _below(self, key: Scalar, value: Any) -> str:
        """A value behind its key and below it."""
        indent = self._indent_of(key.start)
        head, *lines = lines_of("key", value, indent)
        return self._newline.join([head.removeprefix(f"{indent}key:"), *lines])

    def _inline(self, part: Part, value: Any, holder: Dictionary | Sequence) -> str:
        if isinstance(value, (dict, list)):
            return flow(value)
        written = self.text[part.start : part.start + 1] if isinstance(part, Scalar) else ""
        if isinstance(value, str) and written == "'" and "'" not in value and value.isprintable():
            return f"'{value}'"
        if isinstance(value, str) and written == '"' and '"' not in value and "\\" not in value and value.isprintable():
            return f'"{value}"'
        return scalar_text(value, in_flow=holder.is_flow)

    def added(self, known: list[_Step], name: str, value: Any) -> str:
        """A new key at the end of the last mapping on the way."""
        holder = known[-1].part if known else self.root
        if isinstance(holder, Dictionary) and holder.is_flow and holder.entries:
            key, last = list(holder.entries.values())[-1]
            end = self._end_of(last, self._colon(key))
            return f"{self.text[:end]}, {key_text(name, in_flow=True)}: {flow(value)}{self.text[end:]}"
        if isinstance(holder, Dictionary) and holder.entries:
            first = next(iter(holder.entries.values()))[0]
            return self._with_lines(self._indent_of(first.start), name, value, after=self._end_of(holder, holder.end))
        if known and isinstance(known[-1].holder, Dictionary) and not known[-1].holder.is_flow:
            return self.replaced(known, {name: value})
        end = self._end_of(holder, holder.end)
        return f"{self.text[: holder.start]}{flow({name: value})}{self.text[end:]}"

    def _with_lines(self, indent: str, name: str, value: Any, *, after: int) -> str:
        at = self._line_end(after)
        lines = self._newline.join(lines_of(name, value, indent)) + self._newline
        before = self.text[:at]
        if before and not before.endswith("\n"):
            before, lines = before + self._newline, lines.removesuffix(self._newline)
        return before + lines + self.text[at:]

    def without(self, known: list[_Step]) -> str:
        step = known[-1]
        holder, part = step.holder, step.part
        if isinstance(holder, Dictionary):
            key = holder.key(str(step.name))
            begin, end = key.start, self._end_of(part, self._colon(key))
            others = [self._extent(*entry) for name, entry in holder.entries.items() if name != step.name]
        else:
            begin, end = part.start, self._end_of(part, part.start)
            others = [(item.start, self._end_of(item, item.start)) for item in holder.items if item is not part]
        if holder.is_flow:
            return self._without_in_flow(begin, end, others)
        if not others:
            return self._emptied(known, holder)
        start = self._line_start(begin)
        before = self.text[start:begin]
        if before.strip() and isinstance(holder, Dictionary):
            # The first key of an item of a list stands behind its dash: what follows takes its place.
            following = min(other for other, _end in others if other > begin)
            return self.text[:begin] + self.text[following:]
        return self.text[:start] + self.text[self._line_end(max(end - 1, begin)) :]

    def _extent(self, key: Scalar, value: Part) -> tuple[int, int]:
        return key.start, self._end_of(value, self._colon(key))

    def _without_in_flow(self, begin: int, end: int, others: list[tuple[int, int]]) -> str:
        before = [other_end for _start, other_end in others if other_end <= begin]
        if before:
            return self.text[: max(before)] + self.text[end:]
        after = [start for start, _end in others if start >= end]
        if after:
            return self.text[:begin] + self.text[min(after) :]
        rest = re.sub(r"\A\s*,", "", self.text[end:])
        return self.text[:begin].rstrip() + rest

    def _emptied(self, known: list[_Step], holder: Dictionary | Sequence) -> str:
        """A mapping or list whose last entry goes: `{}` or `[]` stands in its place."""
        if len(known) < 2:
            raise InvalidInput("the last key of the file cannot be taken away", fix="Remove the file.")
        return self.replaced(known[:-1], {} if isinstance(holder, Dictionary) else [])
