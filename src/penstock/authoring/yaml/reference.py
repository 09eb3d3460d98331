"""The reference of pipeline files as Markdown: the second half of docs/yaml.md."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.authoring.yaml.forms import Anything, Choice, Either, Form, ListOf, MapOf, Plain, Record, Use
from penstock.authoring.yaml.kinds import KINDS
from penstock.authoring.yaml.schema import RECORDS

_TITLES = {
    "file": "The file", "pipeline": "A pipeline", "input": "An input", "output": "An output", "source": "A source",
    "component": "A component", "command_output": "An output of a command", "task": "A task", "map": "`map`",
    "loop": "`loop`", "case": "A case of a `branch`", "body": "`body`", "resources": "`resources`", "gpu": "`gpu`",
    "retry": "`retry`", "timeout": "`timeout`", "cache": "`cache`", "environment": "`environment`",
}  # fmt: skip


def reference_page() -> str:
    """Every record and every key, in the order of the schema."""
    return "\n".join(line for record in RECORDS.values() for line in _record(record)).rstrip() + "\n"


def _record(record: Record) -> Iterator[str]:
    yield f"### {_TITLES[record.name]}"
    yield ""
    yield record.says
    yield ""
    if record.exactly_one:
        yield f"Exactly one of {', '.join(f'`{name}`' for name in record.exactly_one)} must be there."
        yield ""
    yield "| key | takes | |"
    yield "| --- | --- | --- |"
    for key in record.keys:
        says = key.says + (" Must be there." if key.required else "")
        beside = record.only_with.get(key.name)
        if beside:
            says += f" Beside {' or '.join(f'`{each}`' for each in beside)} only."
        if key.default:
            says += f" Default: {key.default}."
        if key.unset:
            says += " `null` takes back what the component says." if record.name in ("task", "component") else ""
        forms = [key.form, *(forms[key.name] for forms in record.instead.values() if key.name in forms)]
        takes = " or ".join(dict.fromkeys(_takes(form) for form in forms))
        yield f"| `{key.name}` | {takes.replace('|', chr(92) + '|')} | {says.replace('|', chr(92) + '|')} |"
    if record.others is not None:
        yield f"| any other | {_takes(record.others)} | A named resource. |"
    yield ""


def _takes(form: Form) -> str:
    match form:
        case Plain(kind, least):
            return KINDS[kind].says + (f" from {least:g}" if least else "")
        case Choice(options):
            return ", ".join(f"`{option}`" for option in options)
        case ListOf(item, or_one):
            return f"{_takes(item)}, or a list" if or_one else f"a list of {_takes(item)}"
        case MapOf(item):
            return f"name: {_takes(item)}"
        case Use(name):
            return f"[{name.replace('_', ' ')}](#{_anchor(name)})"
        case Either(forms):
            return ", or ".join(_takes(each) for each in forms)
        case Anything(references):
            return "a value" if references else "any data"


def _anchor(name: str) -> str:
    title = _TITLES[name].lower().replace("`", "")
    return title.replace(" ", "-")
