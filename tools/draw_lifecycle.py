"""Draws docs/lifecycle.md and its pictures from the tables in `penstock.engine.states`. Run it after a change of those tables;
a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from penstock.engine.states import ATTEMPT_TABLE, RUN_TABLE, TASK_TABLE
from penstock.graph.layers import Box, Layers, Link, Points, layered
from penstock.graph.layout import text_width

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

STYLE = (
    ".lifecycle .ground{fill:#ffffff}.lifecycle .state{fill:#f6f8fa;stroke:#8c959f}.lifecycle .begin{stroke:#54a0ff}"
    ".lifecycle .end{stroke:#2da44e}.lifecycle text{fill:#1b1f24;font:600 13px sans-serif;text-anchor:middle}"
    ".lifecycle .way{fill:none;stroke:#6e7781;stroke-width:1.3}.lifecycle .head{fill:#6e7781}"
    "@media (prefers-color-scheme:dark){.lifecycle .ground{fill:#0d1117}.lifecycle .state{fill:#161b22}"
    ".lifecycle text{fill:#e6edf3}.lifecycle .way{stroke:#8b949e}.lifecycle .head{fill:#8b949e}}"
)

HEAD = """# Lifecycle

Three machines, each with one table of allowed transitions in `penstock/engine/states.py`. This page is drawn from those
tables by `tools/draw_lifecycle.py`; a test compares. Everything else that a run ever says about itself (`penstock
show`, the journal, progress lines) uses these words.

A run whose controller is provably dead, or on another host and silent past its lease, is shown as `interrupted`. That is
not a state: the run is still pending or running, and `penstock retry RUN`, or the next `penstock run` in the folder,
goes on with it.
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
        lines = [f"## {name}", "", meaning, "", f"![{name}: it begins as {first}](images/{_file_name(name)})", ""]
        lines += ["| from | to |", "|---|---|"]
        for before, afters in table.items():
            lines.append(f"| {before} | {', '.join(_in_order(table, afters)) or 'terminal: never changes'} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _in_order(table: Mapping[StrEnum, frozenset[StrEnum]], states: frozenset[StrEnum]) -> list[str]:
    return [str(state) for state in table if state in states]


def pictures() -> dict[str, str]:
    """SVG text by file name."""
    return {_file_name(name): _picture(name, table, first) for name, _meaning, table, first in MACHINES}


def _file_name(name: str) -> str:
    return f"lifecycle-{name.lower().replace(' ', '-')}.svg"


def _picture(name: str, table: Mapping[StrEnum, frozenset[StrEnum]], first: str) -> str:
    """States in layers, transitions as arrows; one that leads back goes round on the left."""
    states = [str(state) for state in table]
    boxes = [Box(text_width(state, 13, bold=True) + 28, 34) for state in states]
    pairs = [
        (str(before), after)
        for before, afters in table.items()
        for after in _in_order(table, afters)
        if after != before
    ]
    links = [Link(states.index(before), states.index(after)) for before, after in pairs]
    places = layered(boxes, links)
    back = [index for index, route in enumerate(places.routes) if len(route) == 2]
    width, height = places.width + 40 + 60 * bool(back), places.height + 40
    size = f'width="{width:.0f}" height="{height:.0f}" role="img"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lifecycle" viewBox="0 0 {width:.0f} {height:.0f}" {size}>',
        f"<title>{name}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        f'<g transform="translate({80 if back else 20} 20)">',
    ]
    for index, route in enumerate(places.routes):
        lines += _back(boxes, places, links[index]) if index in back else _forth(route)
    for state, box, (x, y) in zip(states, boxes, places.corners, strict=True):
        kind = (
            "state begin" if state == first else "state" if table[next(s for s in table if s == state)] else "state end"
        )
        lines.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="34" rx="17"/>')
        lines.append(f'<text x="{x + box.width / 2:.1f}" y="{y + 21.5:.1f}">{state}</text>')
    return "\n".join([*lines, "</g>", "</svg>"]) + "\n"


def _forth(route: Points) -> Iterator[str]:
    parts = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for (from_x, from_y), (x, y) in pairwise([*route[:-1], (route[-1][0], route[-1][1] - 7)]):
        middle = (from_y + y) / 2
        parts.append(f"C{from_x:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {y:.1f}")
    yield f'<path class="way" d="{"".join(parts)}"/>'
    yield f'<path class="head" d="M{route[-1][0]:.1f} {route[-1][1]:.1f}l-3.5 -7h7z"/>'


def _back(boxes: Sequence[Box], places: Layers, link: Link) -> Iterator[str]:
    """Round on the left, where what waits longer stands."""
    (x, y), (to_x, to_y) = (
        (places.corners[index][0], places.corners[index][1] + boxes[index].height / 2)
        for index in (link.source, link.target)
    )
    out = min(x, to_x) - 70
    yield f'<path class="way" d="M{x:.1f} {y:.1f}C{out:.1f} {y:.1f} {out:.1f} {to_y:.1f} {to_x - 7:.1f} {to_y:.1f}"/>'
    yield f'<path class="head" d="M{to_x:.1f} {to_y:.1f}l-7 -3.5v7z"/>'


if __name__ == "__main__":
    PAGE.write_text(page())
    for file, text in pictures().items():
        (PAGE.parent / "images" / file).write_text(text)
