"""Draws docs/reference/python.md from the public names, their signatures and docstrings. Run it after a change of those; a test
compares."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import penstock
import penstock.testing

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"

HEAD = """# Python reference

Drawn from the code by `tools/draw_reference.py`; a test compares. Everything here is public: it changes only with a note in the
changelog. What is not here may change at any time.
"""
# What a person holds without having made it by its name: where it comes from, and what is said of it.
MET = (
    ("A task", "penstock.authoring.dsl.tasks", "Task", ("options",)),
    ("A pipeline", "penstock.authoring.dsl.pipelines", "Pipeline", ("run", "options", "graph", "diagnostics")),
    ("What a run gave", "penstock.app.results", "RunResult", None),
    ("What `context()` gives", "penstock.launcher.inner.context", "Context", None),
)


def page() -> str:
    parts = [HEAD, "## `penstock`\n"]
    for name in sorted(set(penstock.__all__) - {"__version__"}, key=str.lower):
        parts += _named(f"penstock.{name}", getattr(penstock, name), level=3, members=None)
    parts.append("## What you meet\n")
    for title, module, name, members in MET:
        parts += _named(title, getattr(import_module(module), name), level=3, members=members)
    parts.append("## `penstock.testing`\n")
    for name in penstock.testing.__all__:
        parts += _named(f"penstock.testing.{name}", getattr(penstock.testing, name), level=3, members=None)
    return "\n".join(parts)


def _named(title: str, thing: Any, *, level: int, members: tuple[str, ...] | None) -> Iterator[str]:
    shown = title if " " in title else f"`{title}`"
    yield f"{'#' * level} {shown}\n"
    if hasattr(thing, "__metadata__"):
        yield _code(f"{title.rpartition('.')[2]} = Annotated[{thing.__origin__.__name__}, ...]")
    elif not inspect.isclass(thing):
        yield _code(f"{title.rpartition('.')[2]}{_signature(thing)}")
    elif " " not in title and not issubclass(thing, BaseException):
        yield _code(f"{thing.__name__}{_signature(thing)}")
    yield _text(thing)
    if inspect.isclass(thing):
        yield from _members(thing, members, level + 1)


def _members(class_: type, members: tuple[str, ...] | None, level: int) -> Iterator[str]:
    for name, member in vars(class_).items():
        if name.startswith("_") or (members is not None and name not in members):
            continue
        if isinstance(member, property):
            yield f"{'#' * level} `.{name}`\n"
            yield _text(member)
        elif inspect.isfunction(member) and inspect.getdoc(member):
            yield f"{'#' * level} `.{name}()`\n"
            yield _code(f"{name}{_signature(member, bound=True)}")
            yield _text(member)


def _signature(thing: Any, *, bound: bool = False) -> str:
    """The parameters as they are written in the source, one a line where they are many."""
    signature = inspect.signature(thing)
    kept = list(signature.parameters.values())[1 if bound else 0 :]
    texts: list[str] = []
    for index, parameter in enumerate(kept):
        first_named = parameter.kind is parameter.KEYWORD_ONLY and all(
            each.kind < parameter.kind for each in kept[:index]
        )
        if first_named and not any(each.kind is each.VAR_POSITIONAL for each in kept):
            texts.append("*")
        texts.append(_parameter(parameter))
        if parameter.kind is parameter.POSITIONAL_ONLY and (kept[index + 1 :] or [None])[0] is None:
            texts.append("/")
    back = signature.return_annotation
    end = "" if back is signature.empty or back is None or back == "None" else f" -> {_annotation(back)}"
    short = f"({', '.join(texts)}){end}"
    return short if len(short) <= 90 else "(\n" + "".join(f"    {text},\n" for text in texts) + f"){end}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _code(text: str) -> str:
    return f"```py\n{text}\n```\n"


def _text(thing: Any) -> str:
    return f"{inspect.getdoc(thing) or ''}\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
