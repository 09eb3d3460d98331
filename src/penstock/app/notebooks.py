"""A pipeline of a notebook or prompt as a file that workers can import: what it reaches of the live definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.app.places import make_state_folder, project_settings
from penstock.base.digests import digest_of_bytes

FOLDER = "notebooks"


def write_live(pipeline: Any) -> Path:
    """Write what `pipeline` reaches below the state folder of the current project; the same definitions, the same file.
    Raises InvalidPipeline with everything that cannot be carried."""
    from penstock.code.live import live_source

    text = live_source([pipeline]).encode()
    settings = project_settings(Path.cwd())
    make_state_folder(settings)
    folder = settings.state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"notebook_{digest_of_bytes(text)[:12]}.py"
    if not file.exists():
        file.write_bytes(text)
    return file
