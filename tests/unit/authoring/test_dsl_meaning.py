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
        (
            "together",
            "tuples",
            {},
            {"rows": 9, "again": 4, "x": "x", "last": 1},
        ),
        (
            "together",
            "records",
            {},
            {
                "one": "c has 1",
                "all": ["a has 2", "b has 2"],
                "each": ["a has 2", "b has 2"],
                "written": ["d has 3", "e has 4"],
            },
        ),
        (
            "together",
            "lists",
            {},
            {
                "in_step": [1, 3],
                "shared": [5, 28],
                "product": [1, 2, 4, 1, 3, 9],
                "frames": [10, 40],
            },
        ),
        ("chain", "chain", {"seed": 2}, {"score": -10.5, "half": -5.25, "mean": 4.5, "ended": "succeeded"}),
    ],
)
def test_a_pipeline_gives_what_it_says(
    authored: ModuleType, file: str, name: str, parameters: dict[str, Any], outputs: dict[str, Any]
) -> None:
    result = run_inline(getattr(authored, name), **parameters)
    assert result.state == "succeeded"
    assert dict(result.outputs) == outputs


@pytest.mark.parametrize("file", ["together"])
def test_lists_and_dicts_of_artifacts_are_given_and_kept(authored: ModuleType, file: str) -> None:
    assert file == "together"
    result = run_inline(authored.collections, n=2)
    assert result.state == "succeeded"
    kept = result.outputs["kept"]
    assert [len(frame) for frame in kept["frames"]] == [1, 2]
    assert [(name, len(frame)) for name, frame in kept["of"].items()] == [("b", 1), ("a", 2)]
    told = {name: result.outputs[name] for name in ("total", "sizes", "more", "deep")}
    assert told == {"total": 7, "sizes": {"b": 1, "a": 2}, "more": {"one": 1, "b": 1}, "deep": [4, 1, 2]}
