"""What MkDocs does to each page: a link to a file of the repository that is no page becomes the file's name, since the site holds
pages only. A link to a file that does not exist stays, and the strict build refuses it."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return linked_inside(markdown, page.file.src_uri)


def linked_inside(markdown: str, place: str) -> str:
    """The text of the page at `place` (relative to docs/), with links to other files of the repository told by name."""

    def told(match: re.Match[str]) -> str:
        target = (DOCS / PurePosixPath(place).parent / match[2]).resolve()
        inside = target.is_relative_to(DOCS) and target.is_file()
        return match[0] if inside or not target.exists() else f"{match[1]} (`{target.relative_to(DOCS.parent)}`)"

    return LINK.sub(told, markdown)
