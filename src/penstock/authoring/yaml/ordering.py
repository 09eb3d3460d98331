"""The order in which tasks of one level are added: as they are written, but each after what it refers to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.authoring.yaml.tree import Dictionary, Part, Scalar, Sequence

_ROOT = re.compile(r"(?<![\w.-])(?:(?:tasks|states)\.)?`?([A-Za-z_][\w-]*)")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_EXPRESSIONS = ("when", "until")
_NAMES = ("after", "finally")
_NONE: frozenset[str] = frozenset()


def in_order(tasks: Dictionary) -> tuple[list[str], dict[str, str]]:
    """(names of tasks, each after those that it refers to; by name, what waits for itself as `a -> b -> a`)."""
    positions = {name: position for position, name in enumerate(tasks.entries)}
    needs = {name: _mentioned(value, positions) for name, (_key, value) in tasks.entries.items()}
    cycles: dict[str, str] = {}
    if all(positions[need] < positions[name] for name, each in needs.items() for need in each):
        return list(positions), cycles
    ordered: dict[str, None] = {}
    for name in positions:
        _visit(name, needs, ordered, cycles)
    return list(ordered), cycles


def _visit(first: str, needs: Mapping[str, list[str]], ordered: dict[str, None], cycles: dict[str, str]) -> None:
    """Add a task after all that it needs, without recursion."""
    path: dict[str, int] = {}
    waiting = [first]
    while waiting:
        name = waiting[-1]
        if name in ordered:
            waiting.pop()
            continue
        position = path.setdefault(name, 0)
        if position == len(needs[name]):
            ordered[name] = None
            del path[name]
            waiting.pop()
            continue
        path[name] += 1
        need = needs[name][position]
        if need in path:
            names = list(path)
            around = [*names[names.index(need) :], need]
            cycles.update({each: " -> ".join(around) for each in around if each not in cycles})
        elif need not in ordered:
            waiting.append(need)


def _mentioned(part: Part, known: Mapping[str, int]) -> list[str]:
    """The tasks that a task may refer to, by the names that stand where references can; those of tasks inside of it hide
    others."""
    found: dict[str, None] = {}
    waiting: list[tuple[Part, str, frozenset[str]]] = [(part, "", _NONE)]
    while waiting:
        each, key, hidden = waiting.pop()
        if isinstance(each, Dictionary):
            inner = each.get("tasks") if key != "inputs" else None
            within = hidden | frozenset(inner.entries) if isinstance(inner, Dictionary) else hidden
            for name, (_key, value) in each.entries.items():
                is_inside = name in ("tasks", "outputs")
                waiting.append((value, key if key in _NAMES else name, within if is_inside else hidden))
        elif isinstance(each, Sequence):
            waiting.extend([(item, key, hidden) for item in each.items])
        elif names := _names_in(each, key):
            found.update({name: None for name in names if name in known and name not in hidden})
    return list(found)


def _names_in(scalar: Scalar, key: str) -> list[str]:
    text = scalar.text
    if key in _NAMES:
        return [text]
    if key in _EXPRESSIONS:
        return _ROOT.findall(_QUOTED.sub("", text))
    if "${" not in text:
        return []
    return [name for piece in text.split("${")[1:] for name in _ROOT.findall(_QUOTED.sub("", piece.partition("}")[0]))]
