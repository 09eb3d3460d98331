"""The versions of the schema: the numbers of the Alembic revisions, oldest first. A database of a version that is not
listed comes from a newer Penstock, or from something else, and is left alone."""

from __future__ import annotations

BASE = ""
"""A database that Alembic has touched and that holds nothing yet."""

VERSIONS = ("0001", "0002", "0003", "0004")
CURRENT = VERSIONS[-1]
