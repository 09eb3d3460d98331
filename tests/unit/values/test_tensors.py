"""Tensors, states and modules of torch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import pytest

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values.datums import ANYTHING, Staging, from_datum

if importlib.util.find_spec("torch") is None and "PENSTOCK_TEST_REQUIRE_ALL" not in os.environ:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

Through = Callable[..., Any]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)


def test_tensors_and_states_and_modules(pass_through: Through, stored: Through) -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(pass_through(tensor), tensor)
    row = tensor[1]
    assert torch.equal(pass_through(row), row)
    assert stored(row).size_bytes < stored(torch.zeros(10_000)).size_bytes
    assert stored(row).digest == stored(row.clone()).digest
    net = Net()
    state = pass_through(net.state_dict())
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())
    assert stored({"model": net.state_dict(), "epoch": 3}).form == "torch-state"
    back = pass_through(net)
    assert torch.equal(back.layer.weight, net.layer.weight)
    assert stored(net).metadata["parameters_count"] == 8


def test_changing_a_tensor_that_was_read_leaves_the_store_alone(
    store: MemoryArtifactStore, staging: Staging, stored: Through
) -> None:
    datum = stored(torch.zeros(1_000))
    from_datum(datum, ANYTHING, artifacts=store, staging=staging).add_(1)
    assert from_datum(datum, ANYTHING, artifacts=store, staging=staging).sum() == 0
