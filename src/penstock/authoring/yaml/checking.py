"""Whether a tree is of the form that the schema asks for: unknown and missing keys, lists where a mapping is wanted, values of
the wrong kind. Everything is reported, each at its place; what is wrong once is left out by whoever reads on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from penstock.authoring.yaml.forms import Anything, Choice, Either, Form, ListOf, MapOf, Plain, Record, Use
from penstock.authoring.yaml.kinds import KINDS, complaint_of, shown
from penstock.authoring.yaml.schema import RECORDS
from penstock.authoring.yaml.tree import (
    Dictionary,
    Part,
    Scalar,
    Sequence,
    Source,
    is_empty,
    is_null,
    plain_value,
    scalars,
    told_surprise,
)
from penstock.base.ids import NAME
from penstock.graph.names import NAME_FIX, nearest

LISTED_MAX = 8


def check_form(source: Source, part: Part, form: Form, called: str) -> bool:
    """Whether `part` is of a form; what is not is reported. `called` is how messages name it."""
    return _Checker(source).at(part, form, called)


class _Checker:
    def __init__(self, source: Source) -> None:
        self._report = source.report
        self._source = source

    def at(self, part: Part, form: Form, called: str) -> bool:
        if isinstance(form, Anything):
            return True
        if isinstance(form, Either):
            return self.at(part, _chosen(part, form), called)
        if isinstance(form, Use):
            return self._record(part, RECORDS[form.record], called)
        if isinstance(form, MapOf):
            return self._map(part, form, called)
        if isinstance(form, ListOf):
            return self._list(part, form, called)
        return self._scalar(part, form, called)

    def _scalar(self, part: Part, form: Plain | Choice, called: str) -> bool:
        wanted = KINDS[form.kind].says if isinstance(form, Plain) else f"one of {', '.join(form.options)}"
        if not isinstance(part, Scalar):
            self._report(
                "yaml-wrong-kind", f"`{called}` must be {wanted}, not {_kind_of(part)}", f"Write {wanted}.", part
            )
            return False
        if is_empty(part) and not (isinstance(form, Plain) and form.kind == "condition" and part.text):
            self._report("yaml-no-value", f"`{called}` has no value", f"Write {wanted}, or take the key away.", part)
            return False
        if isinstance(form, Choice):
            value = plain_value(part)
            if value in form.options:
                return True
            message, fix = f"`{called}` must be {wanted}, not {shown(part)}", nearest(str(value), form.options)
            self._report("yaml-wrong-kind", message, fix, part)
            return False
        wrong = complaint_of(form.kind, form.least, part)
        if wrong is not None:
            self._report("yaml-wrong-kind", f"`{called}` {wrong[0]}", wrong[1], part)
        return wrong is None

    def _list(self, part: Part, form: ListOf, called: str) -> bool:
        if isinstance(part, Sequence):
            good = [self.at(item, form.item, called) for item in part.items]
            return all(good)
        if form.or_one and isinstance(part, Scalar) and not is_null(part):
            return self.at(part, form.item, called)
        fix = "Write [one, two], or an item on each line, after `- `."
        self._report("yaml-wrong-kind", f"`{called}` must be a list, not {_kind_of(part)}", fix, part)
        return False

    def _map(self, part: Part, form: MapOf, called: str) -> bool:
        if not isinstance(part, Dictionary):
            fix = "Write a name, a colon, and what it is, for each; {} for none."
            self._report("yaml-wrong-kind", f"`{called}` must be a mapping, not {_kind_of(part)}", fix, part)
            return False
        good = True
        for name, (key, value) in part.entries.items():
            if is_empty(value) and not isinstance(form.item, Anything):
                self._report("yaml-no-value", f"`{name}` has no value", "Write one, or take the key away.", key)
                good = False
                continue
            if not _is_key(name, form.keys):
                self._report(
                    "bad-name", f"`{name}` cannot be a name in `{called}`", NAME_FIX.partition(";")[0] + ".", key
                )
                good = False
            inner = name if isinstance(form.item, Use) else f"{called}.{name}"
            if not isinstance(form.item, Anything):
                good = self.at(value, form.item, inner) and good
        return good

    def _record(self, part: Part, record: Record, called: str) -> bool:
        if not isinstance(part, Dictionary):
            keys = ", ".join(key.name for key in record.keys[:LISTED_MAX])
            message = f"`{called}` must be a mapping, not {_kind_of(part)}"
            self._report(
                "yaml-wrong-kind",
                message,
                f"Its keys are {keys}{', ...' if len(record.keys) > LISTED_MAX else ''}.",
                part,
            )
            return False
        good, meant = True, ""
        for name, (written, value) in part.entries.items():
            key = _KEYS[record.name].get(name)
            if key is not None and is_empty(value) and not isinstance(key.form, Anything):
                self._report("yaml-no-value", f"`{name}` has no value", "Write one, or take the key away.", written)
                good = False
            elif key is not None:
                if key.unset and is_null(value) and not is_empty(value):
                    continue
                instead = [
                    forms[name] for beside, forms in record.instead.items() if beside in part.entries and name in forms
                ]
                good = self.at(value, instead[0] if instead else key.form, name) and good
            elif record.others is not None:
                good = self.at(value, record.others, name) and good
            else:
                good, meant = False, meant + self._unknown(written, record, called, part)
        for key in record.keys:
            if key.required and key.name not in part.entries and f"`{key.name}`?" not in meant:
                message = f"`{key.name}` is missing{'' if record.name == 'file' else f' in `{called}`'}"
                self._report("yaml-missing-key", message, f"Add `{key.name}:`. {key.says}", part)
                good = False
        if record.name == "input":
            self._check_default(part)
        return self._combination(part, record, called, meant) and good

    def _check_default(self, part: Dictionary) -> None:
        """Say where a default means something else than it seems to."""
        type_, default = part.get("type"), part.get("default")
        known = type_.text if isinstance(type_, Scalar) else "any"
        for scalar in scalars(default) if default is not None else ():
            found = told_surprise(scalar, known)
            if found is not None:
                self._report("yaml-surprise", found[0], found[1], scalar, severity="warning")

    def _unknown(self, written: Scalar, record: Record, called: str, part: Dictionary) -> str:
        """Report a key that is not known; what is said that it was meant to be."""
        free = [key.name for key in record.keys if key.name not in part.entries]
        where = "at the top of the file" if record.name == "file" else f"in `{called}`"
        message = f"there is no key `{written.text}` {where}, which is {_article(record)}"
        if record.name == "file":
            message = f"there is no key `{written.text}` {where}"
        fix = _meant(written.text, free, record)
        self._report("yaml-unknown-key", message, fix, written)
        return fix

    def _combination(self, part: Dictionary, record: Record, called: str, meant: str) -> bool:
        good = True
        if record.exactly_one:
            given = [name for name in record.exactly_one if name in part.entries]
            options = ", ".join(f"`{name}`" for name in record.exactly_one)
            if not given and not any(f"`{name}`?" in meant for name in record.exactly_one):
                message = f"`{called}` does not say what it is: one of {options} is missing"
                self._report("yaml-missing-key", message, "Add one of them.", part)
                good = False
            if len(given) > 1:
                message = f"`{called}` has both `{given[0]}` and `{given[1]}`"
                self._report("yaml-two-of-one", message, f"Keep one of {options}.", part.key(given[1]))
                good = False
        for name, needed in record.only_with.items():
            if name in part.entries and not any(each in part.entries for each in needed):
                beside = " or ".join(f"`{each}`" for each in needed)
                message = f"`{name}` in `{called}` means something beside {beside} only"
                self._report("yaml-stray-key", message, "Take it away.", part.key(name))
                good = False
        return good


_KEYS = {name: {key.name: key for key in record.keys} for name, record in RECORDS.items()}


def _chosen(part: Part, form: Either) -> Form:
    """The form among several that what is written is meant to be."""
    for each in form.forms:
        fits = {
            Plain: Scalar, Choice: Scalar, ListOf: Sequence, MapOf: Dictionary, Use: Dictionary, Anything: object,
        }[type(each)]  # fmt: skip
        if isinstance(part, fits) and not (
            isinstance(each, Anything) and isinstance(part, Dictionary) and len(form.forms) > 1
        ):
            return each
        if isinstance(each, ListOf) and each.or_one and isinstance(part, Scalar):
            return each
    return form.forms[0]


def _is_key(name: str, kind: str) -> bool:
    if kind == "text":
        return bool(name)
    return NAME.fullmatch(name) is not None or (kind == "input" and name.isidentifier())


def _kind_of(part: Part) -> str:
    if isinstance(part, Sequence):
        return "a list"
    if isinstance(part, Dictionary):
        return "a mapping"
    return "nothing" if is_empty(part) else shown(part)


def _article(record: Record) -> str:
    words: Mapping[str, str] = {"input": "an input", "output": "an output", "environment": "an environment"}
    return words.get(
        record.name, f"a {record.name.replace('_', ' of a ') if record.name != 'command_output' else 'command output'}"
    )


_SYNONYMS: Mapping[str, str] = {
    "params": "parameters", "args": "inputs", "arguments": "inputs", "with": "inputs", "input": "inputs", "output": "outputs",
    "steps": "tasks", "jobs": "tasks", "nodes": "tasks", "depends_on": "after", "needs": "after", "dependencies": "after",
    "if": "when", "condition": "when", "run": "command", "script": "command", "cmd": "command", "foreach": "map",
    "for_each": "map", "retries": "retry", "limits": "resources", "requests": "resources", "on_exit": "finally",
    "packages": "environment", "python": "function", "memory": "resources", "cpu": "resources", "gpu": "resources",
    "version": "cache", "expires": "cache", "env": "variables", "max_attempts": "attempts", "attempts_max": "attempts",
}  # fmt: skip


def _meant(name: str, free: list[str], record: Record) -> str:
    """A sentence that names the key that was probably meant."""
    close = get_close_matches(name, free, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    meant = _SYNONYMS.get(name.lower())
    if meant is not None and record.key(meant) is not None:
        return f"Did you mean `{meant}`?"
    return f"There are: {', '.join(free)}."
