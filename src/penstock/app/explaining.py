"""What differs between a task run and the nearest earlier cache entry of its component: the parts of their keys, side by
side. Pure: rows, entries and code digests in, differences out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from penstock.engine.rows import CacheEntry
from penstock.values.reads import EVERY_VARIABLE, UNSET, is_fact

if TYPE_CHECKING:
    from penstock.code.model import ComponentCode

# So many lines of differing source are shown for one function; `--json` has all.
CONTEXT_LINES = 3
MISSING = "(not there)"
ONLY_BEFORE, ONLY_NOW = "not read any more", "read now"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a key is made of. `inputs` are identities by name, `reads` digests of files by path in the project; `code`
    is None where nothing more than its digest is known."""

    component: str
    code_digest: str
    environment: str
    inputs: Mapping[str, str]
    reads: Mapping[str, str] = field(default_factory=dict)
    code: ComponentCode | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """One part that differs. `kind`: code, environment, version, input or read; `name` the unit, distribution,
    variable, input or file. `before` and `after` are texts; `by` the task that made an input, or that only one of the two
    has read a file (ONLY_BEFORE, ONLY_NOW); `diff` the unified diff of a unit's source."""

    kind: str
    name: str
    before: str = ""
    after: str = ""
    by: str = ""
    diff: str = ""

    def to_json(self) -> dict[str, Any]:
        given = {
            "kind": self.kind,
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "by": self.by,
            "diff": self.diff,
        }
        return {key: value for key, value in given.items() if value or key in ("kind", "name")}


def parts_of_entry(entry: CacheEntry, code: ComponentCode | None) -> Parts:
    return Parts(
        entry.component,
        entry.code,
        entry.environment,
        entry.inputs,
        entry.reads,
        code if code is not None and code.digest == entry.code else None,
    )


def nearest(entries: Iterable[CacheEntry], parts: Parts, *, path: str) -> CacheEntry | None:
    """Of these entries the one with the most equal parts; of several the one of the same task, then the newest."""
    best: tuple[tuple[int, bool, int], CacheEntry] | None = None
    for entry in entries:
        rank = (_equal_count(entry, parts), entry.path == path, entry.created_at)
        if best is None or rank > best[0]:
            best = (rank, entry)
    return best[1] if best else None


def _equal_count(entry: CacheEntry, parts: Parts) -> int:
    same = sum(entry.inputs.get(name) == identity for name, identity in parts.inputs.items())
    return same + (entry.code == parts.code_digest) + (entry.environment == parts.environment)


def differences(before: Parts, after: Parts) -> tuple[Changed, ...]:
    """Every part that differs, code first; one that is on one side only stands with an empty text on the other."""
    static = static_differences(before, after)
    variables = {f"env:{change.name}" for change in static if change.by == "env"}
    told_once = (each for each in input_differences(before, after) if each.kind != "read" or each.name not in variables)
    return (*static, *told_once)


def static_differences(before: Parts, after: Parts) -> tuple[Changed, ...]:
    """What differs in code, environment and version: the same for all uses of a component."""
    changed: list[Changed] = []
    if before.code_digest != after.code_digest:
        changed += _code(before, after)
    if before.environment != after.environment:
        changed += _environment(before, after)
    old, new = before.code, after.code
    if old is not None and new is not None and old.version != new.version:
        changed.append(Changed("version", after.component, old.version or "", new.version or ""))
    return tuple(changed)


def input_differences(before: Parts, after: Parts) -> tuple[Changed, ...]:
    """What differs in inputs, and in what was read."""
    changed = _pairs("input", before.inputs, after.inputs)
    if before.reads and after.reads:
        for one in _pairs("read", before.reads, after.reads):
            if one.name in before.reads and one.name in after.reads:
                changed.append(one)
            elif not is_fact(one.name):
                changed.append(replace(one, by=ONLY_BEFORE if one.name in before.reads else ONLY_NOW))
    return tuple(changed)


def _pairs(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Changed]:
    return [
        Changed(kind, name, before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _code(before: Parts, after: Parts) -> list[Changed]:
    """The units that differ, with their sources side by side. What is known of one side only is said as such."""
    if before.code is None or after.code is None:
        return [Changed("code", after.component, before.code_digest, after.code_digest)]
    old, new = before.code, after.code
    old_texts, new_texts = old.sources, new.sources
    changed = []
    for unit in _pairs("code", old.units, new.units):
        diff = unit_diff(unit.name, old_texts.get(unit.name, ""), new_texts.get(unit.name, ""))
        changed.append(Changed("code", unit.name, unit.before, unit.after, diff=diff))
    return changed or [Changed("code", after.component, before.code_digest, after.code_digest)]


def unit_diff(unit: str, before: str, after: str) -> str:
    """A unified diff of a unit's source; empty where the texts are equal (a live value has changed)."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{unit} before", f"{unit} now", lineterm="", n=CONTEXT_LINES
    )
    return "\n".join(lines)


def _environment(before: Parts, after: Parts) -> list[Changed]:
    if before.code is None or after.code is None:
        return [Changed("environment", "environment", before.environment, after.environment)]
    changed = []
    for part in _pairs("environment", before.code.parts, after.code.parts):
        kind, colon, name = part.name.partition(":")
        changed.append(Changed("environment", name if colon else kind, *_shown_part(kind, part), by=kind))
    return changed or [Changed("environment", "environment", before.environment, after.environment)]


def _shown_part(kind: str, part: Changed) -> tuple[str, str]:
    """What a person sees of a part of the environment: a distribution's version, and of what is secret or long only
    that it differs."""
    before, after = part.before, part.after
    if kind == "dist":
        versions = (before.partition(" ")[0], after.partition(" ")[0])
        return versions if versions[0] != versions[1] else (_short(before), _short(after))
    if kind in ("env", "file"):
        return (before[:12], after[:12])
    return (before, after)


def _short(part: str) -> str:
    version, _, record = part.partition(" ")
    return f"{version} ({record[:12]})" if record else version


# -- words ---------------------------------------------------------------------------------------------------------------


def told(change: Changed) -> str:
    """One difference as a line."""
    match change.kind:
        case "code":
            what = "is new" if not change.before else "is no longer reached" if not change.after else "changed"
            return f"code: {change.name} {what}"
        case "environment":
            return _told_environment(change)
        case "version":
            return f"version: {change.before or 'none'} → {change.after or 'none'}"
        case "read":
            return _told_read(change)
        case "input":
            return _told_input(change)
        case _:
            return f"{change.kind}: {change.name}"


def _told_read(change: Changed) -> str:
    aspect, _, rest = change.name.partition(":") if is_fact(change.name) else ("", "", change.name)
    match aspect:
        case "env":
            what = "was set" if change.before == UNSET else "was unset" if change.after == UNSET else "changed"
            return "environment: other variables" if rest == EVERY_VARIABLE else f"environment variable: {rest} {what}"
        case "size":
            return f"file: size of {rest} {change.before or MISSING} → {change.after or MISSING}"
        case "kind":
            return f"file: {rest} {change.before or MISSING} → {change.after or MISSING}"
        case "mtime":
            return f"file: time of {rest} changed"
        case "link":
            return f"link: {rest} {change.before or MISSING} → {change.after or MISSING}"
        case _:
            is_listing = rest.endswith("/")
            if change.by:
                what = change.by.replace("read", "listed") if is_listing else change.by
                return f"{'folder' if is_listing else 'file'}: {rest} is {what}"
            return f"folder: other names in {rest}" if is_listing else f"file: {rest} changed"


def read_as_told(name: str) -> str:
    """What a recorded read was about, for a person: `data.csv`, `size of data.csv`, `variable RATE`."""
    if not is_fact(name):
        return name
    aspect, _, rest = name.partition(":")
    return "the environment" if rest == EVERY_VARIABLE else _WORDS[aspect].format(rest)


_WORDS = {
    "env": "environment variable {}",
    "kind": "whether there is {}",
    "link": "where {} leads",
    "mtime": "time of {}",
    "size": "size of {}",
    "unset": "variables that packages ask for",
}


def _told_environment(change: Changed) -> str:
    match change.by:
        case "dist":
            return f"distribution: {change.name} {change.before or MISSING} → {change.after or MISSING}"
        case "env":
            what = "was set" if not change.before else "was unset" if not change.after else "changed"
            return f"environment variable: {change.name} {what}"
        case "file":
            return f"file: {change.name} changed"
        case _:
            return f"environment: {change.name} {change.before or MISSING} → {change.after or MISSING}"


def _told_input(change: Changed) -> str:
    by = f", made by {change.by}" if change.by else ""
    if change.before and change.after:
        return f"input: {change.name} {change.before} → {change.after}{by}"
    return f"input: {change.name} {'is new' if change.after else 'is gone'}{by}"


def in_short(changes: Iterable[Changed]) -> str:
    """Differences on one line."""
    texts = [f"{change.name} changed" if change.kind == "input" else told(change) for change in changes]
    return "; ".join(texts)
