"""Arrays, as memory maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from penstock.values import ValueRefused

Through = Callable[..., Any]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array(["a", "bc"]),
        np.array([("a", 1)], dtype=[("n", "U1"), ("i", "i4")]),
        np.empty((0, 3)),
        np.array(5.0),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
)
def test_arrays_come_back_read_only(pass_through: Through, array: Any) -> None:
    back = pass_through(array)
    np.testing.assert_array_equal(back, array)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert not back.flags.writeable


def test_a_large_array_is_a_memory_map(pass_through: Through) -> None:
    back = pass_through(np.zeros(1_000_000))
    assert isinstance(back.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_other_numpy_values(pass_through: Through) -> None:
    assert pass_through(np.datetime64("2020-01-01")) == np.datetime64("2020-01-01")
    assert pass_through(np.complex64(1 + 2j)) == np.complex64(1 + 2j)
    matrix = scipy.sparse.csr_array(np.eye(3))
    assert (pass_through(matrix).toarray() == np.eye(3)).all()
    assert type(pass_through(matrix)) is type(matrix)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([object()]), "dtype object"),
        (np.ma.masked_array([1, 2], [True, False]), "special kind of array"),
    ],
)
def test_arrays_that_would_lose_something_are_refused(stored: Through, value: Any, text: str) -> None:
    with pytest.raises(ValueRefused, match=text):
        stored(value)
