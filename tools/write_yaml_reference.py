"""Writes the reference of pipeline files into docs/yaml.md, below the mark, from the schema."""

from __future__ import annotations

from pathlib import Path

from penstock.authoring.yaml.reference import reference_page

PAGE = Path(__file__).parents[1] / "docs" / "yaml.md"
MARK = "<!-- made by tools/write_yaml_reference.py from the schema -->\n"


def page() -> str:
    """The whole page, with the reference as it should be."""
    written, mark, _old = PAGE.read_text().partition(MARK)
    return f"{written}{mark}\n{reference_page()}"


if __name__ == "__main__":
    PAGE.write_text(page())
