"""Checksums are stored: they are the same for good, for every version of Python."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import pytest

from penstock.stores.sql.sums import RowDamaged, checksum, decoded, with_sum

ROW = (5, "größe ✈", None, 0.1, -1, 2**62, '{"a":1}', "")


class Kind(StrEnum):
    X = "x"


class Number(IntEnum):
    ONE = 1


def test_a_checksum_never_changes() -> None:
    assert checksum(ROW) == 3732006227


def test_classes_of_their_own_count_as_what_the_database_answers() -> None:
    assert checksum((Kind.X, Number.ONE, None)) == checksum(("x", 1, None))


@pytest.mark.parametrize("position", range(len(ROW)))
def test_every_column_counts(position: int) -> None:
    row = list(with_sum(ROW))
    assert list(decoded("runs", [tuple(row)], len)) == [len(ROW)]
    row[position] = "other"
    with pytest.raises(RowDamaged, match="a row of the table runs"):
        list(decoded("runs", [tuple(row)], len))
    row[-1] = None
    assert list(decoded("runs", [tuple(row)], len)) == [len(ROW)], "it was written before there were checksums"
