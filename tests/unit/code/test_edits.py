"""Random edits of random programs: nothing stale, hardly anything needless."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from penstock.testing.alterations import edit_of
from penstock.testing.apart import Code
from penstock.testing.edits import Found, _judge, try_edits
from penstock.testing.programs import Author


@pytest.mark.timeout(600)  # each edit forks this process, which may have grown large by then
def test_300_edits(tmp_path: Path) -> None:
    found = try_edits(300, seed=11, folder=tmp_path)
    assert found.stale == [], found.text()
    assert found.needless_share <= 0.01, found.needless
    # what makes the rest worth something: many answers did change, many were kept, many kinds of edits were made
    assert found.changed >= 50 and found.kept >= 500 and len(found.kinds) >= 12, found.text()


def test_the_same_seed_writes_the_same_program() -> None:
    first, second = Author(Random("7")).program(), Author(Random("7")).program()
    assert first == second
    assert edit_of(first, Random("1")) == edit_of(second, Random("1"))


def test_what_is_stale_is_seen() -> None:
    code = Code("key", (), {}, {}, ())
    found = Found()
    _judge(found, "here", ({"a": "1"}, {"a": code}), ({"a": "2"}, {"a": code}), is_cosmetic=False)
    assert found.stale == ["here: a answered 1, now 2"]


def test_what_is_needless_is_seen() -> None:
    found = Found(cosmetic=2)
    before, after = Code("one", (), {"m:a": "1"}, {}, ()), Code("other", (), {"m:a": "2"}, {}, ())
    _judge(found, "here", ({"task_1": "1"}, {"task_1": before}), ({"task_1": "1"}, {"task_1": after}), is_cosmetic=True)
    assert found.needless == ["here task_1: ['m:a']"] and found.needless_share == 0.5


def test_an_edit_that_claims_to_be_cosmetic_is_found_out() -> None:
    code = Code("key", (), {}, {}, ())
    with pytest.raises(AssertionError, match="not cosmetic"):
        _judge(Found(), "here", ({"a": "1"}, {"a": code}), ({"a": "2"}, {"a": code}), is_cosmetic=True)
