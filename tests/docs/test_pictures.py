"""Pictures that the pages show are what the program draws today. PENSTOCK_TEST_REGOLD=1 writes them instead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "flights.svg"


def test_flights_picture(tmp_path: Path) -> None:
    missing = [name for name in ("pandas", "sklearn", "threadpoolctl") if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    shutil.copytree(ROOT / "examples/flights", tmp_path / "flights", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    command = [sys.executable, "-m", "penstock", "graph", "flights/pipeline.py", "--format", "svg"]
    drawn = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    if os.environ.get("PENSTOCK_TEST_REGOLD"):
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(drawn)
    assert PICTURE.read_text() == drawn
    assert "images/flights.svg" in (ROOT / "README.md").read_text()
