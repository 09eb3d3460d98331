"""TARGET of a pipeline that stands in a running script, module or notebook: what a worker is to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from penstock.app.targets import Target
from penstock.base.errors import InvalidInput
from penstock.launcher.outer.processes import MARK


def target_of_pipeline(pipeline: Any) -> Target:
    """The file and name of a `@pipeline`. Raises InvalidInput where workers could not import
    it."""
    if MARK in os.environ:
        raise InvalidInput(
            f"{pipeline.name!r} is run by a file that a worker is importing",
            fix='Put the call of run() below `if __name__ == "__main__":`, so that importing the file runs nothing.',
        )
    name = getattr(pipeline.function, "__name__", pipeline.name)
    file = Path(pipeline.source_file) if pipeline.source_file else None
    if file is not None and file.is_file():
        return Target(f"{file.resolve()}:{name}", file.resolve().parent)
    from penstock.app.notebooks import write_live

    return Target(f"{write_live(pipeline)}:{name}", Path.cwd())
