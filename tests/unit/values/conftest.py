"""A store in memory, and values that go through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values.datums import ANYTHING, Staging, from_datum, to_datum


@pytest.fixture
def store(tmp_path: Path) -> MemoryArtifactStore:
    (tmp_path / "store").mkdir()
    return MemoryArtifactStore(tmp_path / "store")


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path, "staging")


@pytest.fixture
def pass_through(store: MemoryArtifactStore, staging: Staging) -> Callable[..., Any]:
    def go(value: Any, **declared: Any) -> Any:
        datum = to_datum(value, declared or ANYTHING, artifacts=store, staging=staging)
        return from_datum(datum, declared or ANYTHING, artifacts=store, staging=staging)

    return go


@pytest.fixture
def stored(store: MemoryArtifactStore, staging: Staging) -> Callable[..., Any]:
    def go(value: Any, **declared: Any) -> Any:
        return to_datum(value, declared or ANYTHING, artifacts=store, staging=staging)

    return go
