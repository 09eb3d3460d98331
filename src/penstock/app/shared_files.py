"""Files of the project that several task runs of one run have written: what is in them depends on who came last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.app.failures import path_order
from penstock.app.words import count
from penstock.base.ids import split_attempt_id
from penstock.wire import WRITTEN_PREFIX

if TYPE_CHECKING:
    from penstock.effects import StateStore

NAMED_MAX = 3
FILES_MAX = 5


def shared_files(store: StateStore, run_id: str) -> dict[str, tuple[str, ...]]:
    """The task runs that wrote each file that two or more of them wrote, by its path relative to the project."""
    writers: dict[str, set[str]] = {}
    for each in store.metrics(run_id, prefix=WRITTEN_PREFIX):
        path = split_attempt_id(each.attempt_id)[1]
        writers.setdefault(each.name.removeprefix(WRITTEN_PREFIX), set()).add(path)
    return {name: tuple(sorted(who, key=path_order)) for name, who in sorted(writers.items()) if len(who) > 1}


def shared_lines(shared: Mapping[str, Sequence[str]]) -> list[str]:
    """A warning for each of the first files, with what fixes it."""
    lines = []
    for name, writers in list(shared.items())[:FILES_MAX]:
        more = ", …" if len(writers) > NAMED_MAX else ""
        named = f"{', '.join(writers[:NAMED_MAX])}{more}"
        lines.append(f"warning: {count(len(writers), 'task run')} wrote {name} in the project's folder: {named}")
    if len(shared) > FILES_MAX:
        lines.append(f"warning: … and {count(len(shared) - FILES_MAX, 'more file')} that several task runs wrote")
    if lines:
        lines.append("  Write into the attempt's own folder: give the task a parameter `folder: Scratch`.")
    return lines
