"""A bench that runs attempts of functions written for it in this very process, which is put back afterwards."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.outer.attempt import Launcher
from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    Datum,
    FunctionRequest,
)


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    folder, path, finders, modules = os.getcwd(), list(sys.path), list(sys.meta_path), set(sys.modules)
    fallback, level, environment = logging.lastResort, logging.root.level, _environment()
    yield
    os.chdir(folder)
    sys.path[:], sys.meta_path[:] = path, finders
    logging.lastResort = fallback
    logging.root.setLevel(level)
    assert _environment() == environment
    for name in set(sys.modules) - modules:
        if name.startswith("written_"):
            del sys.modules[name]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


class Bench:
    """Writes modules, runs attempts of their functions."""

    def __init__(self, folder: Path) -> None:
        (folder / "store").mkdir()
        (folder / "project").mkdir()
        self.project = folder / "project"
        self.scratch = folder / "scratch"
        self.artifacts = MemoryArtifactStore(folder / "store")
        self.launcher = self.new_launcher()
        self.count = 0

    def new_launcher(self) -> Launcher:
        return Launcher(artifacts=self.artifacts, scratch=self.scratch, project=self.project)

    def module(self, source: str) -> str:
        self.count += 1
        name = f"written_{id(self)}_{self.count}"
        (self.project / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    def end(
        self,
        source: str,
        *,
        name: str = "f",
        inputs: dict[str, Datum] | None = None,
        types: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        seed: int = 1,
    ) -> AttemptEnded:
        return self.again(self.module(source), name=name, inputs=inputs, types=types, outputs=outputs, seed=seed)

    def again(
        self,
        module: str,
        *,
        name: str = "f",
        inputs: dict[str, Datum] | None = None,
        types: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        seed: int = 1,
    ) -> AttemptEnded:
        """Where a worker would be replaced first, so is the launcher."""
        if self.launcher.retire or self.launcher.only not in ("", f"{module}:{name}"):
            self.launcher.settle(succeeded=False)
            self.launcher = self.new_launcher()
        declared_in = {k: {"name": "any"} for k in inputs or {}} | (types or {})
        declared_out = outputs if outputs is not None else {"output": {"name": "any"}}
        request = FunctionRequest(module, name, declared_in, declared_out, "")
        return self.launcher.run(
            AttemptRequest("run1/train/3/fit#2", request, inputs or {}, seed=seed, pipeline="flights")
        )

    def outcome(self, source: str, **given: Any) -> Any:
        return self.end(source, **given).outcome


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
