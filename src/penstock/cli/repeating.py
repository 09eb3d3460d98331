"""The verb that runs one task again: repro."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from penstock.app.outlets import err
from penstock.base.errors import InvalidInput
from penstock.cli.main import FAILED, SUCCEEDED
from penstock.cli.reading import Json, print_json
from penstock.cli.words import duration


def repro(
    run: str,
    task: str,
    /,
    *,
    code: Annotated[
        Literal["pinned", "current"], Parameter(help="pinned: the code that the run had; current: the code on disk.")
    ] = "pinned",
    pdb: Annotated[bool, Parameter(negative="", help="A debugger where it fails.", show_default=False)] = False,
    shell: Annotated[
        bool, Parameter(negative="", help="Python with its inputs, instead of running it.", show_default=False)
    ] = False,
    json: Json = False,
) -> int:
    """Run one task of a run again, alone, in the foreground, on the same inputs. Exit status 0 when it ended as in the run.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    task
        The path of a task run, such as train/3/fit.
    """
    from penstock import app

    if pdb and shell:
        raise InvalidInput("--pdb and --shell exclude each other", fix="Give one of them.")
    look = "pdb" if pdb else "shell" if shell else ""
    repeated = app.repro(run, task, code=code, look=look, say=_say, aside=json)
    if json:
        print_json(repeated.to_json())
    if repeated.looked:
        return SUCCEEDED
    for line in repeated.told:
        _say(line)
    took = f" in {duration(repeated.duration_ms)}" if repeated.duration_ms else ""
    if repeated.reproduced:
        _say(f"reproduced: {repeated.text}{took}")
        return SUCCEEDED
    if repeated.fixed:
        _say(f"fixed: with the code on disk it succeeded{took}; in the run: {repeated.before}")
        _say(f"  `penstock retry {repeated.run_id}` runs it and what follows, and nothing that had succeeded.")
        return SUCCEEDED
    if repeated.differences:
        _say(f"not reproduced: it succeeded{took}, with other outputs than in the run:")
        for name, what in repeated.differences.items():
            _say(f"  {name}: {what}")
    else:
        _say(f"not reproduced: {repeated.text}{took}; in the run: {repeated.before}")
    return FAILED


def _say(text: str) -> None:
    err(text)
