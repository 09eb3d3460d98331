"""The verbs of a beginning: init, doctor."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from penstock.app.outlets import err, out
from penstock.cli.main import FAILED, SUCCEEDED
from penstock.cli.reading import Json, print_json


def init(
    folder: Path,
    /,
    *,
    name: Annotated[str | None, Parameter(help="The name of the pipeline; otherwise that of the folder.")] = None,
    example: Annotated[
        bool | None, Parameter(help="With a small pipeline that trains and measures a model, or with two empty tasks.")
    ] = None,
    yes: Annotated[bool, Parameter(name=["-y", "--yes"], negative="", help="Ask nothing.", show_default=False)] = False,
) -> int:
    """Make a project that runs at once, in a folder that is not there yet, is empty, or holds only .git.

    Parameters
    ----------
    folder
        Where.
    """
    from penstock import app

    app.refuse_used_folder(folder)
    asks = not yes and sys.stdin.isatty()
    default = app.project_name(folder)
    if name is None and asks:
        name = _asked(f"Name of the pipeline [{default}]: ") or default
    if example is None:
        example = not asks or _asked("With an example that trains a model? [Y/n]: ").lower() not in ("n", "no")
    begun = app.begin_project(folder, name=name, with_example=example)
    shown = os.path.relpath(begun.folder)
    there = "" if shown == os.curdir else f"cd {shlex.quote(shown)} && "
    err(f"made {begun.name} in {shown}: {', '.join(begun.files)}")
    err(f"next: {there}penstock run pipeline.py")
    return SUCCEEDED


def doctor(*, json: Json = False) -> int:
    """Look at what Penstock stands on here: Python, disk, journal, limits, GPUs, clock, ports, versions. Exit status 1 when
    something is bad."""
    from penstock import app

    findings = []
    for finding in app.examine():
        findings.append(finding)
        if not json:
            out(f"{finding.verdict:<4}  {finding.name:<8}  {finding.text}")
            if finding.fix:
                out(f"{'':16}{finding.fix}")
    if json:
        print_json([finding.to_json() for finding in findings])
    return FAILED if any(finding.verdict == "bad" for finding in findings) else SUCCEEDED


def _asked(question: str) -> str:
    err(question, end="")
    line = sys.stdin.readline()
    if not line:  # the end of input is no answer: nothing has been made yet
        raise KeyboardInterrupt
    return line.strip()
