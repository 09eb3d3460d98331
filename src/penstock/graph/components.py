"""What the components of a graph are called in rows, in the history and wherever their code is looked up: a function as
`module:name`, a command as `command:NAME`. Different things of one name are told apart by a digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from penstock.graph.model import Call, Command, Finally, Function, Graph, Word, Work, bodies_of

COMMAND = "command:"
_SHOWN = 8
_PLAIN = re.compile(r"([A-Za-z0-9_@%+=:,./-]|\$\{inputs\.[A-Za-z_][A-Za-z0-9_-]*\})+")


def works_in(graph: Graph) -> Iterator[Work]:
    """The functions and commands of a graph at every depth, each object once, in the order of nodes."""
    seen: set[int] = set()
    pending = [graph]
    while pending:
        current = pending.pop()
        inner: list[Graph] = []
        for node in current.nodes:
            component = node.component if isinstance(node, (Call, Finally)) else None
            if isinstance(component, (Function, Command)) and id(component) not in seen:
                seen.add(id(component))
                yield component
            for body, _inputs in bodies_of(node):
                if id(body) not in seen:
                    seen.add(id(body))
                    inner.append(body)
        pending.extend(reversed(inner))


def component_names(works: Iterable[Work]) -> dict[int, str]:
    """The name of each component by the identity of its object. `works` are all of one graph: a command whose name
    another one has as well is told apart by a digest of what it says."""
    by_name: dict[str, list[Work]] = {}
    for work in works:
        by_name.setdefault(name_of(work), []).append(work)
    return {id(work): name for plain, same in by_name.items() for work, name in _told_apart(plain, same)}


def names_in(graph: Graph) -> dict[int, str]:
    return component_names(works_in(graph))


def name_of(work: Work) -> str:
    """The name of a component that shares it with no other."""
    return f"{COMMAND}{work.name}" if isinstance(work, Command) else f"{work.module}:{work.name}"


def _told_apart(plain: str, same: list[Work]) -> Iterator[tuple[Work, str]]:
    is_shared = any(work != same[0] for work in same[1:])
    for work in same:
        if is_shared and isinstance(work, Command):
            from penstock.graph.codec import command_digest

            yield work, f"{plain}@{command_digest(work)[:_SHOWN]}"
        else:
            yield work, plain


def command_text(command: Command) -> str:
    """A command as a person reads it: the script, or the words with `${inputs.NAME}` where inputs stand."""
    if command.script:
        return command.script.strip()
    import shlex

    texts = map(word_text, command.argv)
    return " ".join(text if _PLAIN.fullmatch(text) else shlex.quote(text) for text in texts)


def word_text(word: Word) -> str:
    """A word as its author writes it."""
    return "".join(part if isinstance(part, str) else f"${{inputs.{part.name}}}" for part in word)
