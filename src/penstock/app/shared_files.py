"""Files that a run warns of: those of the project that several of its task runs have written, since what is in them depends
on who came last, and data outside of the project that was read, since its changes are not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.app.failures import path_order
from penstock.app.words import count
from penstock.base.ids import split_attempt_id
from penstock.wire import ELSEWHERE_PREFIX, WRITTEN_PREFIX

if TYPE_CHECKING:
    from penstock.effects import StateStore

NAMED_MAX = 3
FILES_MAX = 5


def shared_files(store: StateStore, run_id: str) -> dict[str, tuple[str, ...]]:
    """The task runs that wrote each file that two or more of them wrote, by its path relative to the project."""
    return {name: who for name, who in _task_runs(store, run_id, WRITTEN_PREFIX).items() if len(who) > 1}


def files_elsewhere(store: StateStore, run_id: str) -> dict[str, tuple[str, ...]]:
    """The task runs that read each file outside of the project, by its absolute path."""
    return _task_runs(store, run_id, ELSEWHERE_PREFIX)


def _task_runs(store: StateStore, run_id: str, prefix: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for each in store.metrics(run_id, prefix=prefix):
        found.setdefault(each.name.removeprefix(prefix), set()).add(split_attempt_id(each.attempt_id)[1])
    return {name: tuple(sorted(who, key=path_order)) for name, who in sorted(found.items())}


def elsewhere_lines(files: Mapping[str, Sequence[str]]) -> list[str]:
    """A warning for each of the first files, with what fixes it."""
    lines = [
        f"warning: {readers[0]} reads {path}, which is outside of the project: its changes are not seen"
        for path, readers in list(files.items())[:FILES_MAX]
    ]
    if len(files) > FILES_MAX:
        lines.append(f"warning: … and {count(len(files) - FILES_MAX, 'more file')} outside of the project")
    if lines:
        lines.append(
            f"  Declare it: give the task File({next(iter(files))!r}), or @task(files=[{next(iter(files))!r}])."
        )
    return lines


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
