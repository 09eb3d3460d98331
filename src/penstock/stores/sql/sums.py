"""Checksums of rows. SQLite notices damage to the structure of its pages, not to what is in them: a bit that flips on the
disk would be read as another value. What answers are made of carries the CRC-32 of its columns, which finds every flip of
one bit. Rows of older databases have none, and are taken as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from marshal import dumps
from typing import Any, TypeVar
from zlib import crc32

from penstock.stores.sql.codec import Values

CHECKSUM = "checksum"
"""The column, behind all others."""

_FORMAT = 2
Row = TypeVar("Row")


class RowDamaged(Exception):
    """A row of a table is not what was written."""

    def __init__(self, table: str) -> None:
        super().__init__(f"a row of the table {table} is not what was written")


def checksum(values: Values) -> int:
    """Of the values as the database answers them. Marshal is the fastest way to bytes; its second format is the same in
    every Python, and nothing is ever read from it."""
    try:
        return crc32(dumps(values, _FORMAT))
    except ValueError:  # a text or a number of a class of its own
        return crc32(dumps(tuple(_plain(value) for value in values), _FORMAT))


def with_sum(values: Values) -> Values:
    return (*values, checksum(values))


def decoded(table: str, rows: Iterable[Values], decode: Callable[[Values], Row]) -> Iterator[Row]:
    """What `decode` makes of each row, of which the last value is its checksum. Raises RowDamaged."""
    for row in rows:
        values = row[:-1]
        if crc32(dumps(values, _FORMAT)) != row[-1] and row[-1] is not None:
            raise RowDamaged(table)
        try:
            yield decode(values)
        except UNREADABLE as error:
            raise RowDamaged(table) from error


def _plain(value: Any) -> Any:
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


UNREADABLE = (KeyError, IndexError, ValueError, TypeError, AttributeError, json.JSONDecodeError)
"""What decoding a row raises that was written by nobody."""
