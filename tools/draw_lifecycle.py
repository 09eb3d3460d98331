"""Draws docs/lifecycle.md from the tables in `penstock.engine.states`. Run it after a change of those tables; a test
compares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from penstock.engine.states import ATTEMPT_TABLE, RUN_TABLE, TASK_TABLE

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

HEAD = """# Lifecycle

Three machines, each with one table of allowed transitions in `penstock/engine/states.py`. This page is drawn from those
tables by `tools/draw_lifecycle.py`; a test compares. Everything else that a run ever says about itself (`penstock
show`, the journal, progress lines) uses these words.

A run whose controller is provably dead, or silent past its lease, is shown as `interrupted`. That is not a state: the
run is still pending or running, and `penstock retry RUN`, or the next `penstock run` in the folder, goes on with it.
"""

MACHINES: tuple[tuple[str, str, Mapping[StrEnum, frozenset[StrEnum]], str], ...] = (
    ("Run", "One run of a pipeline.", RUN_TABLE, "pending"),  # type: ignore[arg-type]
    (
        "Task run",
        "One task, map, branch, loop or nested pipeline in a run. A control node runs without attempts.",
        TASK_TABLE,  # type: ignore[arg-type]
        "waiting",
    ),
    (
        "Attempt",
        "One try of a task run. How it ended is its outcome, not a state.",
        ATTEMPT_TABLE,  # type: ignore[arg-type]
        "submitted",
    ),
)


def page() -> str:
    parts = [HEAD]
    for name, meaning, table, first in MACHINES:
        lines = [f"## {name}", "", meaning, "", "```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
        for before, afters in table.items():
            lines += [f"    {before} --> {after}" for after in _in_order(table, afters) if after != before]
            if not afters:
                lines.append(f"    {before} --> [*]")
        lines += ["```", "", "| from | to |", "|---|---|"]
        for before, afters in table.items():
            lines.append(f"| {before} | {', '.join(_in_order(table, afters)) or 'terminal: never changes'} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _in_order(table: Mapping[StrEnum, frozenset[StrEnum]], states: frozenset[StrEnum]) -> list[str]:
    return [str(state) for state in table if state in states]


if __name__ == "__main__":
    PAGE.write_text(page())
