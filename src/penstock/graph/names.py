"""Names inside a graph: which are allowed, the next free one, the nearest to a mistaken one."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.base.ids import NAME
from penstock.graph.bindings import Input, Output, StateOf, Value

NAME_FIX = "Use ASCII letters, digits, underscores and hyphens, a letter or underscore first; name= gives another name."


def is_name(text: str) -> bool:
    """Whether a node, a pipeline or an output can be named so."""
    return NAME.fullmatch(text) is not None


def made_valid(text: str) -> str:
    """The nearest thing to `text` that is a name, so that building can go on after a complaint."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text)
    return letters if is_name(letters) else f"_{letters}"


def name_of_value(value: Value, otherwise: str) -> str:
    """A name for an input or output made of `value`, fit to be read in an expression."""
    if isinstance(value, Output):
        text = value.node if value.name == "output" else f"{value.node}_{value.name}"
        return text.replace("-", "_")
    if isinstance(value, Input):
        return value.name
    return f"{value.node}_state".replace("-", "_") if isinstance(value, StateOf) else otherwise


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence for a fix: the known name that was probably meant, or all of them (at most 20)."""
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    if not names:
        return "There are none."
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"There {'is' if len(names) == 1 else 'are'}: {listed}."


class UniqueNames:
    """Names that are taken, and the next free one: `fit`, `fit-2`, `fit-3`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._count_by_base: dict[str, int] = {}

    def claim(self, name: str) -> bool:
        """Take exactly this name; False if it is taken."""
        if name in self._taken:
            return False
        self._taken.add(name)
        return True

    def unique(self, base: str) -> str:
        name = self.nearest_free(base)
        self._taken.add(name)
        return name

    def nearest_free(self, base: str) -> str:
        """The name that `unique` would give next."""
        count, name = self._count_by_base.get(base, 1), base
        while name in self._taken:
            count += 1
            name = f"{base}-{count}"
        self._count_by_base[base] = count
        return name
