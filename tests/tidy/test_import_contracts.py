"""The table of layers holds, and no import is exempt from it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_import_is_exempt() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert "ignore_imports" not in str(settings)
    assert "exclude_type_checking_imports" not in str(settings)
    rooms = {
        path.stem
        for path in (ROOT / "src" / "penstock").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    named = str(settings)
    assert {
        room for room in rooms - {"__init__", "__main__", "app_artifacts"} if f"penstock.{room}" not in named
    } == set()


def test_one_file_knows_the_yaml_library() -> None:
    sources = {path: path.read_text() for path in (ROOT / "src" / "penstock").rglob("*.py")}
    knowing = [
        str(path.relative_to(ROOT))
        for path, text in sources.items()
        if "from ruamel" in text or "import ruamel" in text
    ]
    assert knowing == ["src/penstock/authoring/yaml/reading.py"]
