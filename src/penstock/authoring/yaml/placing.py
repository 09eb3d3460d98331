"""Where in a file a complaint about a graph belongs: `graph.check` knows the place of a task, this finds the line of the input
or key in it that the complaint names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from penstock.authoring.yaml.tree import Dictionary, Part, Source
from penstock.base.diagnostics import Diagnostic, Location

_QUOTED = re.compile(r"'([^']+)'")
_WORDS = re.compile(
    r"\b(when|until|trigger|timeout|memory|cpu|retry|parallel_max|failures_max|rounds_max|carries|list of items)\b"
)
_KEY_BY_WORD = {"carries": "carry", "list of items": "over"}
_DEPTH_MAX = 4
Places = Mapping[Location, tuple[Source, Dictionary]]


_FIXES: Mapping[str, str] = {
    "condition-not-bool": "Compare it with something: `score > 0.9`.",
    "missing-input": "Add it below `inputs:`, or give it a default where it is defined.",
    "wrong-type": "Give a value of that type, or change the type where it is declared.",
    "items-not-a-list": "Give a list, or a task that gives one.",
    "declared-at-node": "Say it below `components:`, or where the function is defined.",
    "never-has-value": "Use `${one_of(a.x, b.x)}` to take whichever value there is, or give the input a default.",
    "cycle": "Take one of these dependencies away; `loop` repeats something.",
    "bad-environment": 'Write `environment: {python: "3.12", packages: [numpy]}`, or leave it out.',
    "bad-output": "Say where it is: `{from: file, path: ...}`, `{from: json, path: ..., key: ...}`, `last_line` or `stdout`.",
    "list-in-word": "Give the list as an argument of its own, which becomes one for each item, or by `input_files`.",
}
"""What to do where the words of the graph's own checker are those of the Python front end."""


def placed(
    diagnostics: Iterable[Diagnostic], tasks: Places, pipelines: Places, *, known: Iterable[Diagnostic]
) -> Iterator[Diagnostic]:
    """Diagnostics of a graph, each at the line of the file that it is about, as well as that can be told; those at places that
    `known` ones are about already are left out."""
    told = {each.location for each in known if each.severity == "error"}
    for diagnostic in diagnostics:
        location = diagnostic.location
        at = tasks.get(location) or pipelines.get(location) if location is not None else None
        if at is None:
            yield diagnostic
            continue
        source, part = at
        found = next(_named(part, diagnostic.message), None)
        place = location if found is None else source.location(found.start)
        if found is None or place not in told:
            yield replace(diagnostic, location=place, fix=_FIXES.get(diagnostic.code, diagnostic.fix))


def _named(part: Dictionary, message: str) -> Iterator[Part]:
    """The parts that the words of a message name, most likely first."""
    quoted = _QUOTED.findall(message)
    for space in ("inputs", "parameters", "outputs", "takes"):
        entries = part.get(space)
        for name in quoted if isinstance(entries, Dictionary) else ():
            value = entries.get(name) if isinstance(entries, Dictionary) else None
            if value is not None and isinstance(entries, Dictionary):
                yield entries.key(name) if "has no" in message else value
    for word in _WORDS.findall(message):
        yield from _keyed(part, _KEY_BY_WORD.get(word, word), _DEPTH_MAX)


def _keyed(part: Part, name: str, depth: int) -> Iterator[Part]:
    if not isinstance(part, Dictionary) or depth == 0:
        return
    if name in part.entries:
        yield part.entries[name][1]
    for key, (_written, value) in part.entries.items():
        if key in ("map", "loop", "resources", "retry", "timeout"):
            yield from _keyed(value, name, depth - 1)
