"""What functions hold: sizes of what their names stand for, the largest first, each object once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.launcher.inner.held import held_by, places_above, places_of
from penstock.wire import Held

numpy = pytest.importorskip("numpy")
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")  # here: importing it changes the environment
MIB = 1 << 20


def raised(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except MemoryError as error:
        return error
    raise AssertionError("it was to fail")


def inner(rows: Any) -> None:
    copy = bytes(3 * MIB)
    raise MemoryError(len(copy), rows)


def outer() -> None:
    rows = [bytes(MIB + number) for number in range(10)]
    small = 1
    inner([*rows, small])


def test_frames_come_largest_first_and_count_nothing_twice() -> None:
    frames = held_by(places_of(raised(outer)))
    named = {held.where.rpartition(" ")[2]: held for held in frames}
    assert frames[0] is named["inner"], "it holds the list and a copy; the rows are the same objects"
    assert [name for name, _ in named["inner"].largest] == ["rows", "copy"]
    assert named["inner"].size_bytes == pytest.approx(13 * MIB, rel=0.01)
    assert named["outer"].size_bytes < 1_000
    assert all(held.where.startswith(__file__) for held in frames if not held.where.startswith("module"))


def sizes(**names: Any) -> dict[str, int]:
    """What a frame with these names would be told to hold."""

    made = eval(f"lambda {', '.join(names)}: held_by([*places_above(sys._getframe())][:1])", globals())
    frames: tuple[Held, ...] = made(**names)
    return next(dict(held.largest) for held in frames if not held.where.startswith("module"))


def test_tables_and_arrays_say_it_themselves() -> None:
    array = numpy.zeros(MIB)
    assert sizes(array=array) == {"array": 8 * MIB}
    assert sizes(frame=pandas.DataFrame({"a": array}))["frame"] == pytest.approx(8 * MIB, rel=0.01)
    assert sizes(series=pandas.Series(array))["series"] == pytest.approx(8 * MIB, rel=0.01)
    assert sizes(table=polars.DataFrame({"a": array}))["table"] == 8 * MIB


def test_containers_are_estimated_from_a_sample() -> None:
    rows = [bytes([number % 256]) * 10_000 for number in range(5_000)]
    assert sizes(rows=rows)["rows"] == pytest.approx(50_000_000, rel=0.05)
    assert sizes(table=dict(enumerate(rows)))["table"] == pytest.approx(50_000_000, rel=0.05)
    assert sizes(thing=SimpleNamespace(rows=rows))["thing"] == pytest.approx(50_000_000, rel=0.05)


def test_nothing_of_the_users_is_called_and_nothing_is_raised() -> None:
    class Hostile:
        __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

        def __len__(self) -> int:
            raise AssertionError("called")

        __sizeof__ = __iter__ = __getattr__ = __len__  # type: ignore[assignment]

    assert isinstance(held_by([*places_above(sys._getframe())]), tuple)
    hostile = Hostile()
    rows = bytes(2 * MIB)
    found = held_by([*places_above(sys._getframe())][:1])
    assert found[0].largest[0] == ("rows", sys.getsizeof(rows)), type(hostile)
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    assert sizes(deep=deep)["deep"] > 0
