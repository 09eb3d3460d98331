"""Warnings of `check` about code that cannot be followed (cache rules 12 and 13): such tasks run, and are not cached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.base.diagnostics import Diagnostic, Location
from penstock.code.model import ComponentCode, Unresolved
from penstock.graph.model import Function, Policy
from penstock.graph.policies import TRUST

NAMES_MAX = 3


def warnings_of(uses: Iterable[tuple[Function, Policy]], codes: Mapping[str, ComponentCode]) -> tuple[Diagnostic, ...]:
    """A warning for each place that keeps tasks out of the cache, in the order of files and lines. `uses` are components
    with the policy of where they are used; those that are never cached there, or trusted, are not told of."""
    names_by_place: dict[Unresolved, dict[str, None]] = {}
    for component, policy in uses:
        if component.policy.cache is False or policy.cache in (False, TRUST):
            continue
        for each in codes[f"{component.module}:{component.name}"].unresolved:
            names_by_place.setdefault(each, {})[component.name] = None
    places = sorted(names_by_place.items(), key=lambda item: (item[0].file, item[0].line, item[0].why))
    return tuple(_warning(each, list(names)) for each, names in places)


def _warning(each: Unresolved, names: list[str]) -> Diagnostic:
    shown = ", ".join(repr(name) for name in names[:NAMES_MAX])
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    are = "is" if len(names) == 1 else "are"
    message = f"{shown}{more} {are} not cached: {each.why}"
    where = Location(each.file, each.line)
    if each.reads:
        fix = f"Declare it: @task(files=[{each.reads!r}]), or take it as an input, File({each.reads!r})."
        return Diagnostic("unseen-read", message, fix, where, "warning")
    fix = 'Name what it runs, @task(depends=[...]), or answer for it yourself, @task(cache="trust").'
    return Diagnostic("unresolved-code", message, fix, where, "warning")
