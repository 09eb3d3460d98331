"""What an attempt's seed follows from."""

from __future__ import annotations

from penstock.engine.attempts import seed_of


def test_a_seed_follows_from_the_key_alone_where_there_is_one() -> None:
    assert seed_of(0, "fit", "k1") == seed_of(7, "train/3/fit", "k1") != seed_of(0, "fit", "k2")
    assert 0 <= seed_of(0, "fit", "k1") < 2**32


def test_without_a_key_it_follows_from_the_place() -> None:
    assert seed_of(0, "fit") == seed_of(0, "fit") != seed_of(0, "fit-2")
    assert seed_of(0, "fit") != seed_of(1, "fit")
