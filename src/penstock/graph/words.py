"""How a command is written as text: words with `${inputs.NAME}` in them, and text for a shell, where the same reference
becomes the variable `${NAME}`. `$${` stands for `${`."""

from __future__ import annotations

import re
import shlex

from penstock.graph.bindings import Input
from penstock.graph.model import Word

_REFERENCE = re.compile(r"\$\$\{|\$\{\s*inputs\.([A-Za-z_][A-Za-z0-9_-]*)\s*\}")


def word_of(text: str) -> Word:
    """One argument: its text and the inputs in it."""
    parts: list[str | Input] = []
    plain, end = "", 0
    for match in _REFERENCE.finditer(text):
        plain += text[end : match.start()]
        end = match.end()
        if match[1] is None:
            plain += "${"
            continue
        parts += [plain, Input(match[1])] if plain else [Input(match[1])]
        plain = ""
    plain += text[end:]
    return (*parts, plain) if plain or not parts else tuple(parts)


def words_of(text: str) -> tuple[Word, ...]:
    """The arguments in a line, told apart by blanks; quotes keep blanks, as in a shell, and nothing else of a shell means
    anything. Raises ValueError for a quote that is never closed."""
    return tuple(word_of(one) for one in shlex.split(text))


def script_of(text: str) -> tuple[str, tuple[str, ...]]:
    """(text for a shell, the inputs that it names): each reference is a variable then, so that no value is ever part of
    the text."""
    names: dict[str, None] = {}

    def variable(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        names[match[1]] = None
        return f"${{{match[1]}}}"

    return _REFERENCE.sub(variable, text), tuple(names)


def inputs_in(word: Word) -> tuple[str, ...]:
    """The inputs that a word names, in order."""
    return tuple(part.name for part in word if isinstance(part, Input))
