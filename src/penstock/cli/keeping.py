"""The verb that gives space back: gc."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.app.outlets import out
from penstock.cli.main import SUCCEEDED
from penstock.cli.reading import Json, print_json
from penstock.cli.words import count


def gc(
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what would go.", show_default=False)] = False,
    json: Json = False,
) -> int:
    """Remove the runs beyond those that are kept, and all cache entries and content that nothing needs any more."""
    from penstock import app
    from penstock.base.sizes import size_text

    reclaimed = app.collect_garbage(dry_run=dry_run)
    if json:
        return print_json(reclaimed.to_json())
    verb = "would free" if dry_run else "freed"
    runs = f"{count(len(reclaimed.runs), 'run')} of {reclaimed.runs_kept_count + len(reclaimed.runs):,}"
    entries = f"{reclaimed.entries_count:,} cache {'entry' if reclaimed.entries_count == 1 else 'entries'}"
    content = f"{count(reclaimed.content_count, 'piece')} of content"
    files = f", {count(reclaimed.files_count, 'old log')}" if reclaimed.files_count else ""
    out(f"{verb} {size_text(reclaimed.freed_bytes)}: {runs}, {entries}, {content}{files}")
    if reclaimed.recent_count:
        left = count(reclaimed.recent_count, "piece")
        was = "was" if reclaimed.recent_count == 1 else "were"
        out(f"{left} of content that nothing needs {was} used lately and left for now")
    return SUCCEEDED
