"""The site of docs/ builds strictly, fetches nothing, and its drawn pages are drawn from today's code."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FETCHING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def tool(name: str) -> ModuleType:
    place = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


class Fetched(HTMLParser):
    """What a browser fetches by itself to show a page; a link that is followed is no such thing."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag in FETCHING and known.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(known.get(FETCHING[tag]) or "")


def test_the_reference_is_drawn_from_the_code() -> None:
    assert (DOCS / "reference" / "python.md").read_text() == tool("draw_reference").page(), (
        "run tools/draw_reference.py"
    )


def test_every_public_name_has_a_docstring() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    assert re.findall(r"^(#+ .*)\n+(?:```py\n[^`]*```\n+)?(?=#|\Z)", page, flags=re.MULTILINE) == [
        "## `penstock`",
        "## What you meet",
        "## `penstock.testing`",
    ]


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("not installed: mkdocs-material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) >= 25
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text())
        assert [address for address in fetched.addresses if re.match(r"(\w+:)?//", address)] == [], page
        assert 'class="mermaid"' not in page.read_text(), "it would fetch a script"
    styles = "".join(style.read_text() for style in tmp_path.rglob("*.css"))
    assert re.findall(r"@import|url\(\s*[\"']?https?:", styles) == []
    assert (tmp_path / "images" / "flights.svg").exists()


def test_a_broken_link_is_an_error_and_one_to_the_code_becomes_its_name() -> None:
    links = tool("site_links")
    text = "[a](../../examples/flights/pipeline.py) [b](gone.md) [c](../cli.md#penstock-run) ![d](../images/x.svg)"
    assert links.linked_inside(text, "how-to/ci.md") == (
        "a (`examples/flights/pipeline.py`) [b](gone.md) [c](../cli.md#penstock-run) ![d](../images/x.svg)"
    )
