"""Every state store sits the same suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.effects import StateStore
from penstock.stores.sql import open_state
from penstock.testing.conformance import cache_store, state_observations, state_store
from penstock.testing.conformance.state_store import OpenStore
from penstock.testing.memory_state import MemoryState, MemoryStateStore


@pytest.fixture(params=["sql", "memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    state = MemoryState()
    with ExitStack() as opened:

        def open_one() -> StateStore:
            store: StateStore
            store = open_state(tmp_path / "state.db") if request.param == "sql" else MemoryStateStore(state)
            opened.callback(store.close)
            return store

        yield open_one


CHECKS = (*state_store.CHECKS, *state_observations.CHECKS, *cache_store.CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_state_store(check: Callable[[OpenStore], None], open_store: OpenStore) -> None:
    check(open_store)


def test_every_check_is_listed() -> None:
    written = {
        value
        for name, value in [*vars(state_store).items(), *vars(state_observations).items(), *vars(cache_store).items()]
        if callable(value) and getattr(value, "__annotations__", {}).get("open_store") == "OpenStore"
    }
    assert written == set(CHECKS)
