"""How values read in a terminal: the words of `app`, which notebooks use as well."""

from __future__ import annotations

from penstock.app.words import (
    LINE_WIDTH,
    artifact,
    count,
    duration,
    indented,
    is_source,
    logged,
    moment,
    plain,
    shortened,
    table,
    value,
)

__all__ = [
    "LINE_WIDTH",
    "artifact",
    "count",
    "duration",
    "indented",
    "is_source",
    "logged",
    "moment",
    "plain",
    "shortened",
    "table",
    "value",
]
