"""YAML text to a tree: the only place that knows the YAML library (ruamel.yaml, the parser in Python: the same messages
everywhere, and YAML 1.2, which its C parser does not read).

Refused before anything is built of it: files that are too large, too deep, or that anchors would make too large."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from penstock.authoring.yaml.tree import Dictionary, Part, Scalar, Sequence, Source
from penstock.base.limits import LIMITS

DEPTH_MAX = 64
"""Lists and mappings inside one another."""

_QUOTED = 'Put the whole text into quotes: "...".'
_SYNTAX: tuple[tuple[str, str, str], ...] = (
    (r"character '\\t'", "a tab stands where YAML takes spaces only", "Indent with spaces."),
    (r"character '%'|character '@'|character '`'", "text cannot begin with this character", _QUOTED),
    (
        "mapping values are not allowed",
        "a colon followed by a space stands where no key can be",
        f"{_QUOTED} Or mend the indentation.",
    ),
    (
        r"expected ',' or '[}\]]', but got '\{'",
        "`${...}` inside [ ] or { } must stand in quotes",
        'Write [ "${task.output}" ]: braces mean something to YAML there.',
    ),
    (
        r"expected ',' or '[}\]]', but got '\['",
        "a `[` inside of { } or [ ] must stand in quotes",
        'Write {type: "list[int]"}: brackets mean something to YAML there.',
    ),
    (
        r"expected ',' or '\}'",
        "a mapping in { } is not closed, or a comma is missing",
        "Write {key: value, other: value}.",
    ),
    (r"expected ',' or '\]'", "a list in [ ] is not closed, or a comma is missing", "Write [one, two]."),
    ("while scanning a quoted scalar", "the quoted text has no end", "Close the quotes."),
    ("unexpected end of stream", "the quoted text has no end", "Close the quotes."),
    ("unknown escape character", "an escape that YAML does not know", "Double the backslash, or use single quotes."),
    (
        "expected <block end>",
        "this line does not fit the ones above it",
        "Give keys of one mapping the same indentation.",
    ),
    (
        "expected '<document start>'",
        "this line does not fit the ones above it",
        "Give keys of one mapping the same indentation.",
    ),
    ("could not find expected ':'", "a key without a colon", "Write key: value."),
    ("expected the node content", "a value is missing", "Write it, or take the key away."),
    (
        "did not find expected whitespace or|expected a comment or a line break",
        "text after | or >",
        "Begin it on the next line.",
    ),
    ("sequence entries are not allowed", "a list item stands where none can be", "Begin it on a line of its own."),
)


def read(source: Source) -> Part | None:
    """The tree of a file. What is wrong with it is reported; None: there is nothing to go on with."""
    text = source.text
    if len(text) > LIMITS.yaml_bytes_max:
        message = (
            f"the file is {len(text):,} characters long; at most {LIMITS.yaml_bytes_max:,} are read (yaml_bytes_max)"
        )
        source.report("yaml-too-large", message, "Split it: a pipeline of another file is used by file.yaml:name.", 0)
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _Composer(source).compose(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        is_open = "quoted scalar" in (error.context or "") and "end of stream" in (error.problem or "")
        mark = (error.context_mark if is_open else None) or error.problem_mark or error.context_mark
        _report_syntax(source, f"{error.context or ''}; {error.problem or ''}", mark.index if mark else 0)
    except YAMLError as error:
        # A ReaderError, which knows a position and no mark.
        place = int(getattr(error, "position", 0))
        source.report(
            "yaml-syntax", f"a character that YAML does not allow: {text[place : place + 1]!r}", "Take it away.", place
        )
    except RecursionError:
        source.report("yaml-too-deep", "the file is nested too deeply to be read", "Put parts of it into pipelines.", 0)
    return None


def _report_syntax(source: Source, problem: str, offset: int) -> None:
    for pattern, message, fix in _SYNTAX:
        if re.search(pattern, problem):
            source.report("yaml-syntax", message, fix, offset)
            return
    source.report("yaml-syntax", f"this is not YAML: {problem.lstrip('; ')}", "Mend the line.", offset)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come. `key` waits for its value."""

    start: int
    is_map: bool
    is_flow: bool
    anchor: str | None
    items: list[Part] = field(default_factory=list)
    entries: dict[str, tuple[Scalar, Part]] = field(default_factory=dict)
    key: Part | None = None
    size: int = 1


class _TooMuch(Exception):
    """A limit was passed, and reported."""


class _Composer:
    """Builds parts of events. A part with an anchor is shared by its aliases; `_sizes` counts what they would come to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._anchors: dict[str, tuple[Part, int]] = {}
        self._open: list[_Open] = []
        self._root: Part | None = None

    def compose(self, events: Iterator[Any]) -> Part | None:
        documents = 0
        try:
            for event in events:
                match type(event).__name__:
                    case "ScalarEvent":
                        self._scalar(event)
                    case "MappingStartEvent" | "SequenceStartEvent":
                        self._begin(event)
                    case "MappingEndEvent" | "SequenceEndEvent":
                        self._end(event)
                    case "AliasEvent":
                        self._alias(event)
                    case "DocumentStartEvent":
                        documents += 1
                        if documents > 1:
                            fix = "Pipelines of one file stand below `pipelines:`."
                            self._report("yaml-documents", "a second document begins here", fix, event.start_mark.index)
                            return self._root
                    case _:
                        pass
        except _TooMuch:
            return None
        return self._root

    def _report(self, code: str, message: str, fix: str, at: int) -> None:
        self._source.report(code, message, fix, at)

    def _scalar(self, event: Any) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        is_plain = event.style is None
        if event.tag is not None:
            is_plain = self._check_tag(event, is_plain)
        if event.anchor is not None or event.tag is not None:
            start = self._after_properties(start)
        scalar = Scalar(event.value, is_plain, start, end)
        if event.anchor is not None:
            self._anchors[event.anchor] = (scalar, 1)
        self._add(scalar, 1)

    def _after_properties(self, start: int) -> int:
        """Where the value begins behind an anchor and a tag."""
        match = re.compile(r"(?:[&!]\S*\s+)*").match(self._source.text, start)
        return match.end() if match else start

    def _check_tag(self, event: Any, is_plain: bool) -> bool:
        """Whether a tagged scalar is read by its words."""
        tag = str(event.tag)
        if tag in ("!", "tag:yaml.org,2002:str", "!!str"):
            return False
        fix = "Leave it away: the schema knows what stands where. `!!str` makes text of a number."
        self._report(
            "yaml-tag",
            f"the tag `{tag.replace('tag:yaml.org,2002:', '!!')}` means nothing here",
            fix,
            event.start_mark.index,
        )
        return is_plain

    def _begin(self, event: Any) -> None:
        if len(self._open) >= DEPTH_MAX:
            message = f"more than {DEPTH_MAX} lists and mappings inside one another"
            self._report("yaml-too-deep", message, "Put parts of it into pipelines.", event.start_mark.index)
            raise _TooMuch
        if event.tag is not None:
            self._check_tag(event, True)
        is_map = type(event).__name__ == "MappingStartEvent"
        self._open.append(_Open(event.start_mark.index, is_map, bool(event.flow_style), event.anchor))

    def _end(self, event: Any) -> None:
        made = self._open.pop()
        end, start = event.end_mark.index, made.start
        part: Part
        if made.is_map:
            part = Dictionary(made.entries, start, end, made.is_flow)
        else:
            part = Sequence(tuple(made.items), start, end, made.is_flow)
        if made.anchor is not None:
            self._anchors[made.anchor] = (part, made.size)
        self._add(part, made.size)

    def _alias(self, event: Any) -> None:
        name, at = event.anchor, event.start_mark.index
        known = self._anchors.get(name)
        if known is None:
            from penstock.graph.names import nearest

            within = any(each.anchor == name for each in self._open)
            message = f"`*{name}` stands inside of what it names" if within else f"there is no anchor `&{name}` above"
            near = nearest(name, self._anchors)
            self._report("yaml-anchor", message, near if "mean" in near else "Write out what it should be.", at)
            known = (Scalar("", True, at, at), 1)
        self._add(known[0], known[1], at=at)

    def _add(self, part: Part, size: int, *, at: int | None = None) -> None:
        at = part.start if at is None else at
        if not self._open:
            self._root = part
            return
        holder = self._open[-1]
        holder.size += size
        if holder.size > LIMITS.yaml_parts_max:
            message = (
                f"with its anchors written out the file has more than {LIMITS.yaml_parts_max:,} parts (yaml_parts_max)"
            )
            self._report("yaml-too-large", message, "Use components and pipelines instead of anchors.", at)
            raise _TooMuch
        if not holder.is_map:
            holder.items.append(part)
        elif holder.key is None:
            holder.key = part
        else:
            self._add_entry(holder, holder.key, part)
            holder.key = None

    def _add_entry(self, holder: _Open, key: Part, value: Part) -> None:
        if not isinstance(key, Scalar):
            self._report("yaml-key", "a key must be text", "Write key: value.", key.start)
        elif key.is_plain and key.text == "<<":
            fix = "It is of YAML 1.1. Declare what is shared below `components:`, or write it out."
            self._report("yaml-merge", "`<<` merges nothing here", fix, key.start)
        elif key.text in holder.entries:
            line = self._source.location(holder.entries[key.text][0].start).line
            message = f"the key `{key.text}` stands here a second time; the first is in line {line}"
            self._report("yaml-duplicate-key", message, "Take one of them away.", key.start)
        else:
            holder.entries[key.text] = (key, value)
