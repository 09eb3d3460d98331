"""What a person can meet is documented: settings, verbs, diagnostic codes, causes, states."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from penstock.cli.main import VERBS
from penstock.settings import TABLE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def documented(page: str) -> set[str]:
    """The names that stand in the first column of a page's tables."""
    return set(re.findall(r"^\| `([a-z_-]+)`", (DOCS / page).read_text(), flags=re.MULTILINE))


def quoted_in(source: Path, pattern: str) -> set[str]:
    return {match for path in sorted(source.rglob("*.py")) for match in re.findall(pattern, path.read_text())}


def test_every_setting_is_documented() -> None:
    assert documented("settings.md") == set(TABLE)


def test_every_verb_is_documented() -> None:
    assert set(re.findall(r"^## penstock ([a-z]+)$", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)) == set(VERBS)


def test_lifecycle_is_drawn_from_the_tables() -> None:
    place = importlib.util.spec_from_file_location("draw_lifecycle", ROOT / "tools" / "draw_lifecycle.py")
    assert place is not None
    assert place.loader is not None
    drawing = importlib.util.module_from_spec(place)
    place.loader.exec_module(drawing)
    assert (DOCS / "lifecycle.md").read_text() == drawing.page(), "run tools/draw_lifecycle.py"
