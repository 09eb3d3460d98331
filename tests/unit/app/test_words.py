from __future__ import annotations

import pytest

from penstock.app.words import artifact, duration, shortened, table, value


@pytest.mark.parametrize(
    ("amount_ms", "text"),
    [
        (None, ""), (0, "0.0 ms"), (0.26, "0.3 ms"), (12, "12 ms"), (999, "999 ms"), (1_000, "1.0 s"), (59_940, "59.9 s"),
        (60_000, "1 min 00 s"), (125_000, "2 min 05 s"), (3_599_000, "59 min 59 s"), (3_600_000, "1 h 00 min"),
        (11_220_000, "3 h 07 min"),
    ],
)  # fmt: skip
def test_duration(amount_ms: float | None, text: str) -> None:
    assert duration(amount_ms) == text


def test_table_is_as_wide_as_its_widest_cells() -> None:
    assert table(("A", "LONG", "REST"), [("aaa", "b", "c"), ("a", "b", "")]) == "A    LONG  REST\naaa  b     c\na    b"


def test_shortened_takes_the_first_line() -> None:
    assert shortened("one\ntwo") == "one"
    assert shortened("x" * 20, 10) == "x" * 9 + "…"


def test_artifacts_are_summarised() -> None:
    shown = {
        "artifact": "blake3:" + "ab" * 32, "type": "polars:DataFrame", "form": "parquet", "size_bytes": 1536,
        "metadata": {"rows": 336_776, "columns": 19, "schema": {"a": "int"}, "name": "x" * 100},
    }  # fmt: skip
    assert artifact(shown) == "polars:DataFrame, columns 19, rows 336,776, 1.5 KiB"
    assert value(shown) == artifact(shown)
    assert value([shown, shown]) == f"2 artifacts, the first: {artifact(shown)}"
    assert value({"a": [1, "ü"]}) == '{"a": [1, "ü"]}'


def test_numbers_that_json_cannot_write_are_printed_as_such() -> None:
    from penstock.app.words import value
    from penstock.wire import parameter_to_json

    shown = value(parameter_to_json([float("nan"), float("inf"), {"low": float("-inf")}]))
    assert shown == '[NaN, Infinity, {"low": -Infinity}]'


def test_long_values_are_cut_and_counted() -> None:
    assert value(list(range(50_000))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 49999] (50,000 items)"
    assert value(list(range(20))) == str(list(range(20))), "short ones are whole"
    text = value("é" * 5_000)
    assert text.startswith('"éé') and text.endswith("é… (5,000 characters)") and len(text) < 230
    assert value(["x" * 300, 2]).endswith("x… (2 items)")
    assert value({f"key{n}": n for n in range(500)}).endswith("… (500 fields)")
