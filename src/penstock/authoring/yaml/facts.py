"""What is said of a task or a graph in single keys, read from its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.authoring.yaml.tree import Dictionary, Part, Scalar, Sequence, is_null, plain_value
from penstock.authoring.yaml.values import OPEN
from penstock.base.instants import duration_ms
from penstock.graph.bindings import Item, leaves
from penstock.graph.builder import Scoped
from penstock.graph.model import NOTHING
from penstock.graph.types import SOURCE, Type


def graph_facts(part: Dictionary) -> dict[str, Any]:
    """What is said of a graph as a whole, as `GraphBuilder.finish` takes it."""
    fail_fast, timeout, described = part.get("fail_fast"), part.get("timeout"), part.get("description")
    limit: int | None = None
    if isinstance(timeout, Scalar) and not is_null(timeout):
        try:
            limit = duration_ms(plain_value(timeout))
        except ValueError:
            limit = None  # told by the check of forms
    return {
        "fail_fast": isinstance(fail_fast, Scalar) and plain_value(fail_fast) is True,
        "timeout_ms": limit,
        "labels": labels_of(part),
        "description": described.text if isinstance(described, Scalar) else "",
    }


def labels_of(part: Dictionary) -> Mapping[str, str]:
    labels = part.get("labels")
    if not isinstance(labels, Dictionary):
        return NOTHING
    return {key: value.text for key, (_, value) in labels.entries.items() if isinstance(value, Scalar)}


def only(part: Dictionary, names: tuple[str, ...]) -> dict[str, tuple[Scalar, Part]]:
    return {name: entry for name, entry in part.entries.items() if name in names}


def words_of_command(part: Dictionary) -> list[Scalar]:
    """The scalars of a command in which references are read."""
    command, variables = part.get("command"), part.get("variables")
    shell = part.get("shell")
    is_script = isinstance(shell, Scalar) and plain_value(shell) is True
    words: list[Part] = list(command.items) if isinstance(command, Sequence) else []
    if isinstance(command, Scalar) and not is_script:
        words.append(command)
    words += [value for _key, value in variables.entries.values()] if isinstance(variables, Dictionary) else []
    return [word for word in words if isinstance(word, Scalar) and OPEN in word.text]


def body_name(part: Dictionary) -> str | None:
    facts = part.get("body")
    name = facts.get("name") if isinstance(facts, Dictionary) else None
    return name.text if isinstance(name, Scalar) else None


def whole_number(part: Part | None, least: int) -> int | None:
    """The number that is written; None for none, or one that is too small, which has been reported."""
    value = plain_value(part) if isinstance(part, Scalar) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def constantly(scoped: Scoped) -> Callable[[], Scoped]:
    return lambda: scoped


def holds_item(scoped: Scoped) -> bool:
    return any(isinstance(leaf, Item) for leaf in leaves(scoped.value))


def listed_sources(part: Part) -> Type | None:
    """What makes a list of sources stay one, to be looked at where each item is."""
    items = part.items if isinstance(part, Sequence) else ()
    found = items and all(isinstance(item, Scalar) and item.text.strip().startswith("${sources.") for item in items)
    return Type("list", item=Type(SOURCE)) if found else None


def in_signature_order(component: Any, given: Mapping[str, Any]) -> list[str]:
    """The names in `given` in the order of the component's inputs; unknown ones last."""
    names = [spec.name for spec in component.inputs if spec.name in given]
    return [*names, *(name for name in given if name not in names)]
