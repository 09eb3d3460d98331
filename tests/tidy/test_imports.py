"""What is loaded when: start-up is promised to be fast, so nothing heavy may creep onto its way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import penstock

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "task", "pipeline", "map_over", "when", "otherwise", "one_of", "loop_until", "finally_", "Resources", "Retry", "context",
    "Skip", "command", "in_step", "product", "Table", "Url", "Fail", "File", "Folder", "Form", "NotYet", "RunFailed", "Scratch",
}  # fmt: skip

LOADED = "import sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"


def loaded_by(code: str, *arguments: str, folder: Path | None = None) -> set[str]:
    """The modules that a fresh interpreter has loaded at the end of `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}", *arguments], capture_output=True, text=True, cwd=folder, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def third_party(modules: set[str]) -> set[str]:
    # Editable installs put finders of their own into every interpreter; they are not ours to count.
    own = {"penstock", "__main__", "__mp_main__", "sitecustomize", "usercustomize", "_distutils_hack"}
    roots = {name.partition(".")[0] for name in modules}
    return {
        root
        for root in roots - own - set(sys.stdlib_module_names)
        if not root.startswith(("__editable__", "_virtualenv"))
    }


def test_public_names_are_fixed() -> None:
    assert set(penstock.__all__) - {"__version__"} == PUBLIC
    for name in PUBLIC:
        assert getattr(penstock, name) is not None


def test_importing_penstock_loads_no_third_party_package_and_not_the_engine() -> None:
    names = ", ".join(sorted(PUBLIC))
    modules = loaded_by(f"from penstock import {names}")
    assert third_party(modules) == third_party(loaded_by("pass"))
    assert not {
        m
        for m in modules
        if m.startswith(("penstock.engine", "penstock.controller", "penstock.stores", "penstock.app"))
    }
    assert "asyncio" not in modules


def test_help_loads_the_command_line_only() -> None:
    loaded = loaded_by("from penstock.cli.main import main; main(['--help'])")
    modules = set(loaded) - {"penstock.app", "penstock.app.outlets"}  # what it is said through
    assert not {
        m for m in modules if m.startswith(("penstock.engine", "penstock.graph", "penstock.stores", "penstock.app"))
    }
    assert not modules & {"sqlalchemy", "alembic", "psutil", "asyncio", "sqlite3"}


def test_a_run_loads_no_schema_tools_and_no_terminal_drawing(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from penstock import task, pipeline\n\n\n@task\ndef one() -> int:\n    return 1\n\n\n"
        "@pipeline\ndef ones() -> int:\n    return one()\n"
    )
    modules = loaded_by("from penstock.cli.main import main; assert main(['run', 'one.py']) == 0", folder=tmp_path)
    assert not modules & {"sqlalchemy", "alembic", "rich", "asyncio", "numpy", "pandas", "multiprocessing"}
