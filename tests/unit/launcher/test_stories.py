"""What is told of a failure: the author's frames with their source, those of others without, the inputs in a few words."""

from __future__ import annotations

import enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.outer.stories import summary_of
from penstock.wire import Failed, Inline, outcome_from_json, outcome_to_json

Bench = Any


def failure(bench: Bench, source: str, **given: Any) -> Any:
    outcome = bench.outcome(source, **given)
    assert isinstance(outcome, Failed)
    assert outcome_from_json(outcome_to_json(outcome)) == outcome
    return outcome.failure


# -- frames ------------------------------------------------------------------------------------------------------------

SOURCE = """\
import json

def parse(text):
    # read it
    return json.loads(text)



def f(text, n=3):
    for _ in range(n):
        made = parse(text)
    return made
"""


def test_frames_are_the_authors_with_source_and_the_librarys_without(bench: Bench) -> None:
    told = failure(bench, SOURCE, inputs={"text": Inline("[1, 2")})
    own = [frame for frame in told.frames if frame.own]
    assert [(frame.function, frame.line, frame.first) for frame in own] == [("f", 11, 9), ("parse", 5, 3)]
    assert own[0].source == (
        "def f(text, n=3):",
        "    for _ in range(n):",
        "        made = parse(text)",
        "    return made",
    )
    assert own[1].source == ("def parse(text):", "    # read it", "    return json.loads(text)")
    assert own[0].file.startswith("written_") and own[0].file.endswith(".py"), "relative to the project"
    others = [frame for frame in told.frames if not frame.own]
    assert [frame.function for frame in others][-1] == "JSONDecoder.raw_decode" or len(others) >= 2
    assert all(frame.source == () for frame in others)
    assert told.inputs == {"text": "'[1, 2'"}


def test_a_recursion_is_told_by_its_ends(bench: Bench) -> None:
    told = failure(bench, "def again(n):\n    return again(n + 1)\ndef f():\n    return again(0)")
    assert len(told.frames) == 40
    assert (told.frames[0].function, told.frames[-1].function) == ("f", "again")


def test_what_fails_at_import_has_no_inputs(bench: Bench) -> None:
    told = failure(bench, "def f(x): return x\nraise ValueError('no')", inputs={"x": Inline(1)})
    assert told.inputs == {} and [frame.function for frame in told.frames] == ["<module>"]


def test_an_exception_made_elsewhere_is_told_by_its_cause(bench: Bench) -> None:
    source = """
        from concurrent.futures import ThreadPoolExecutor
        def work(): raise KeyError("x")
        def f():
            with ThreadPoolExecutor() as pool:
                return pool.submit(work).result()
    """
    assert "work" in [frame.function for frame in failure(bench, source).frames if frame.own]


def test_inputs_that_cannot_be_looked_at_do_no_harm(bench: Bench) -> None:
    source = """
        class Odd:
            def __repr__(self): raise RuntimeError
        def f(x):
            raise ValueError(x)
    """
    assert failure(bench, source, inputs={"x": Inline(["a", None])}).inputs == {"x": "['a', None]"}


# -- values ------------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("never")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (0.5, "0.5"),
        ("short", "'short'"),
        ("x" * 1000, f"1,000 characters: '{'x' * 80}'…"),
        (b"ab", "b'ab'"),
        ([1, 2], "[1, 2]"),
        ((1,), "(1)"),
        (list(range(5000)), "list of 5,000: [0, 1, 2, …]"),
        ({"a": 1, "b": [1, 2, 3]}, "{'a': 1, 'b': list of 3}"),
        ({n: n for n in range(10)}, "dict of 10: {0: 0, 1: 1, 2: 2, …}"),
        ([{"a": 1}] * 9, "list of 9: [dict of 1, dict of 1, dict of 1, …]"),
        (Colour.RED, "<Colour.RED: 1>"),
        (Path("/nowhere/x.csv"), "/nowhere/x.csv (it is not there)"),
        ("two\nlines", "'two\\nlines'"),
    ],
)
def test_summaries(value: Any, text: str) -> None:
    assert summary_of(value) == text


def test_a_value_that_breaks_is_told_by_its_type() -> None:
    assert "Odd (it could not be looked at: RuntimeError)" in summary_of(Odd())


@pytest.mark.skipif(find_spec("numpy") is None, reason="not installed: numpy")
def test_summaries_of_arrays() -> None:
    import numpy as np

    assert summary_of(np.arange(6.0).reshape(2, 3)) == "numpy ndarray of float64, 2 × 3, from 0 to 5"
    assert summary_of(np.array([1.0, np.nan])) == "numpy ndarray of float64, 2, 1 of them NaN"
    assert summary_of(np.array(["a"])) == "numpy ndarray of <U1, 1"
    assert summary_of(np.zeros((0, 3))) == "numpy ndarray of float64, 0 × 3"


@pytest.mark.skipif(find_spec("torch") is None, reason="not installed: torch")
def test_summaries_of_tensors() -> None:
    import torch

    assert summary_of(torch.ones(2, 2)) == "torch Tensor of float32, 2 × 2, from 1 to 1"


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_summaries_of_tables(library: str) -> None:
    module = pytest.importorskip(library)
    make = module.table if library == "pyarrow" else module.DataFrame
    table = make({f"c{number}": [1, 2, 3] for number in range(8)})
    name = "pyarrow Table" if library == "pyarrow" else "pandas DataFrame"
    assert summary_of(table) == f"{name} of 3 rows, 8 columns: c0, c1, c2, c3, c4, c5 and 2 more"
