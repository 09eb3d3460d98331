"""Authored pipelines give what they say: blocks, captured values, loops and maps, evaluated one task after another."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.testing import run_inline

PIPELINES = Path(__file__).parents[2] / "golden" / "pipelines"


@pytest.fixture
def authored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = request.node.callspec.params["file"]
    spec = spec_from_file_location(name, PIPELINES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "name", "parameters", "outputs"),
    [
        ("captured", "captured", {"n": 3}, {"sums": [*range(6, 19)], "both": 7}),
        ("captured", "captured", {"n": 0}, {"both": 28, "state": "succeeded"}),
        ("captured", "captured", {"n": 1}, {}),
        ("shapes", "branched", {}, {"text": "fair"}),
        ("shapes", "branched", {"limit": 0.05}, {"text": "poor"}),
        ("shapes", "looped", {}, {"score": 10.0, "met": True, "rounds": 4}),
        ("shapes", "looped", {"start": 9.0}, {"score": 12.0, "met": True, "rounds": 2}),
        ("shapes", "ended", {}, {"output": 0.2}),
        ("nested", "outer", {"rows": [1, 0, 3]}, {"chosen": 0, "weights": [0.0]}),
        ("same_again", "same_again", {"n": 5}, {"largest": 5, "lists": [[1, 2], [1, 2]]}),
        ("chain", "chain", {"seed": 2}, {"score": -10.5, "half": -5.25, "mean": 4.5, "ended": "succeeded"}),
    ],
)
def test_a_pipeline_gives_what_it_says(
    authored: ModuleType, file: str, name: str, parameters: dict[str, Any], outputs: dict[str, Any]
) -> None:
    result = run_inline(getattr(authored, name), **parameters)
    assert result.state == "succeeded"
    assert dict(result.outputs) == outputs
