"""The verbs that do something: check, run, retry, cancel. Progress goes to standard error, results to standard
output."""

from __future__ import annotations

import json as json_text
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from penstock.app.outlets import err, out
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.cli.live import progress_for
from penstock.cli.main import CANCELLED, FAILED, INVALID, SUCCEEDED
from penstock.cli.words import count, duration, shortened, value

if TYPE_CHECKING:
    from penstock.app.choosing import Asked
    from penstock.app.progress_lines import ProgressLines
    from penstock.app.results import RunResult
    from penstock.app.twice import Twice
    from penstock.cli.live import LiveProgress

# Of a run that takes less, there is nothing to say of where its time went.
SUMMARY_MS_MIN = 1_000

Json = Annotated[bool, Parameter(negative="", help="Print JSON on standard output.", show_default=False)]
Quiet = Annotated[
    bool,
    Parameter(name=["-q", "--quiet"], negative="", help="No progress: failures and warnings only.", show_default=False),
]
Verbose = Annotated[
    bool,
    Parameter(name=["-v", "--verbose"], negative="", help="Also what reads declared sources.", show_default=False),
]
Force = Annotated[bool, Parameter(negative="", help="Kill at once: no grace, no finally tasks.", show_default=False)]


Params = Annotated[
    str | None, Parameter(help="A file of parameters: YAML, TOML or JSON. What -p gives replaces what it says.")
]
Until = Annotated[str, Parameter(help="Run only what this task needs, and this task.", show_default=False)]
Only = Annotated[
    str, Parameter(help="Run this task alone, on what the cache has for the tasks before it.", show_default=False)
]
Given = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="An output from a file, as TASK.OUTPUT=PATH; repeatable."),
]
Labels = Annotated[list[str] | None, Parameter(name="--label", negative="", help="A label, as NAME=VALUE; repeatable.")]


def check(
    target: str,
    /,
    *,
    twice: Annotated[
        str | None, Parameter(help="Run this task twice on the same inputs, and compare what it gives.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        Parameter(name=["-p", "--parameter"], negative="", help="With --twice: a parameter, as NAME=VALUE."),
    ] = None,
    params: Params = None,
    json: Json = False,
) -> int:
    """Say everything that is wrong with a pipeline, without running it.

    Parameters
    ----------
    target
        file.py, file.yaml, either with :name, or module:name.
    """
    from penstock import app

    if twice is not None:
        return _check_twice(
            app.check_twice(target, twice, parameters_by_name(parameters or [], params), say=err), json=json
        )
    try:
        checked = app.check_target(target, say=err)
    except InvalidPipeline as invalid:
        if not json:
            raise
        found = [item.to_json() for item in invalid.diagnostics]
        out(json_text.dumps({"pipeline": None, "valid": False, "diagnostics": found}, indent=2, ensure_ascii=False))
        return INVALID
    if json:
        out(json_text.dumps(checked.to_json(), indent=2, ensure_ascii=False))
        return SUCCEEDED
    for diagnostic in checked.diagnostics:
        err(diagnostic)
    for component in checked.nondeterministic:
        err(
            f"warning: {component} is nondeterministic: it gave two results for one key; `penstock why` says what differed"
        )
    for component in checked.unclear:
        err(
            f"warning: {component} gave two results for one key, and other sources had changed in between: it is "
            "nondeterministic, or its earlier result was stale; `penstock why` says more"
        )
    warned = f", {count(len(checked.diagnostics), 'warning')}" if checked.diagnostics else ""
    out(f"{checked.pipeline} is valid: {count(checked.nodes, 'node')}{warned}")
    return SUCCEEDED


def _check_twice(told: Twice, *, json: bool) -> int:
    if json:
        out(json_text.dumps(told.to_json(), indent=2, ensure_ascii=False))
        return FAILED if told.differences else SUCCEEDED
    took = " and ".join(duration(each) for each in told.duration_ms)
    if not told.differences:
        known = "; an earlier run of it differed, as `penstock why` says" if told.marked else ""
        out(f"{told.path} gave the same twice ({took}){known}")
        return SUCCEEDED
    out(f"{told.path} is nondeterministic: run twice on the same inputs ({took}), it gave")
    for name, what in told.differences.items():
        out(f"  {name}: {what}")
    return FAILED


def run(
    target: str,
    /,
    *,
    parameters: Annotated[
        list[str] | None,
        Parameter(name=["-p", "--parameter"], negative="", help="A parameter, as NAME=VALUE; repeatable."),
    ] = None,
    params: Params = None,
    until: Until = "",
    only: Only = "",
    given: Given = None,
    labels: Labels = None,
    no_cache: Annotated[
        bool,
        Parameter(negative="", help="Use nothing of the cache; results still go into it.", show_default=False),
    ] = False,
    watch: Annotated[
        bool, Parameter(negative="", help="Run again whenever its files are saved; Ctrl-C ends it.", show_default=False)
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> int:
    """Run a pipeline until it ends. Ctrl-C cancels it; twice kills everything at once.

    Parameters
    ----------
    target
        file.py, file.yaml, either with :name, or module:name.
    """
    from penstock import app

    values = parameters_by_name(parameters or [], params)
    asked, labelled = asked_of(until, only, given), labels_by_name(labels)
    cache = "write" if no_cache else "use"

    def once() -> tuple[RunResult, int]:
        progress = progress_for(quiet=quiet, verbose=verbose)
        result = app.run_target(target, values, progress=progress, cache=cache, asked=asked, labels=labelled)
        return result, _tell(result, progress, quiet=quiet, json=json)

    if not watch:
        return once()[1]
    from penstock.cli.watching import run_whenever_saved

    return run_whenever_saved(app.watch_target(target), once)


def retry(run: str, /, *, quiet: Quiet = False, json: Json = False) -> int:
    """Resume an interrupted run; of a failed or cancelled one, make a new run from the code on disk.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    """
    from penstock import app

    progress = progress_for(quiet=quiet)
    result, did = app.retry_run(run, progress=progress)
    if not did:
        err(f"run {result.run_id} has succeeded already: there is nothing to do again")
        if json:
            from penstock.cli.reading import print_result

            print_result(result)
        return SUCCEEDED
    return _tell(result, progress, quiet=quiet, json=json)


def cancel(
    run: str,
    /,
    *,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Stop a run: nothing new starts, tasks get SIGTERM and after the grace SIGKILL, finally tasks run.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    """
    from penstock import app

    result, did = app.cancel_run(run, force=force, progress=progress_for(quiet=quiet))
    err(f"run {result.run_id} {'is' if did else 'had ended already: it is'} {result.state}")
    return SUCCEEDED


def parameters_by_name(texts: list[str], file: str | None = None) -> dict[str, Any]:
    """NAME=VALUE and NAME.FIELD=VALUE texts by name, laid over the parameters of a file. Raises InvalidInput naming all that
    are not of that form, or given twice."""
    wrong = [text for text in texts if not _is_parameter(text)]
    if wrong:
        raise InvalidInput(f"not a parameter: {', '.join(map(repr, wrong))}", fix="Write -p NAME=VALUE.")
    given: dict[str, str] = {}
    for text in texts:
        name, _, written = text.partition("=")
        if name in given:
            raise InvalidInput(f"parameter {name!r} is given twice", fix="Give it once.")
        given[name] = written
    if file is None:
        return given
    from penstock.app.parameter_files import parameters_in

    return {**parameters_in(file), **given}


def _is_parameter(text: str) -> bool:
    name, equals, _ = text.partition("=")
    return bool(equals) and all(part.isidentifier() for part in name.split("."))


def asked_of(until: str, only: str, given: list[str] | None) -> Asked | None:
    """What `--until`, `--only` and `--set` ask for; None: the whole pipeline."""
    if not (until or only or given):
        return None
    from penstock.app.choosing import Asked

    pairs = [text.partition("=") for text in given or []]
    wrong = [f"{name}{sign}{path}" for name, sign, path in pairs if not (name and path)]
    if wrong:
        raise InvalidInput(f"not a given output: {', '.join(map(repr, wrong))}", fix="Write --set TASK.OUTPUT=PATH.")
    return Asked(until, only, {name: Path(path) for name, _, path in pairs})


def labels_by_name(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or []]
    wrong = ["".join(pair) for pair in pairs if not (pair[0] and pair[1])]
    if wrong:
        raise InvalidInput(f"not a label: {', '.join(map(repr, wrong))}", fix="Write --label NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _tell(result: RunResult, progress: ProgressLines | LiveProgress, *, quiet: bool, json: bool) -> int:
    row = result.row
    took_ms = max(row.ended_at - row.started_at, 0) if row.ended_at and row.started_at else None
    took = f" in {duration(took_ms)}" if took_ms is not None else ""
    is_told = result.state == "succeeded" or progress.failures_count > 0
    why = f" ({shortened(row.cause.text)})" if row.cause.text and not is_told else ""
    states = [state for state in progress.ended if progress.ended[state]]
    counts = ", ".join(f"{progress.ended[state]:,} {state}" for state in states) or "no task runs"
    if not quiet or result.state != "succeeded":
        err(f"{result.pipeline} {result.state}{took}{why}: {counts}")
    if result.state != "succeeded":
        err(f"  `penstock show {result.run_id}` and `penstock logs {result.run_id}` say more.")
    if not quiet and took_ms is not None and took_ms >= SUMMARY_MS_MIN and result.summary is not None:
        from penstock.app.drawing import summary_lines

        for line in summary_lines(result.summary):
            err(f"  {line}")
    from penstock.app.shared_files import elsewhere_lines, shared_lines
    from penstock.app.unkept import unkept_lines

    warned = (*shared_lines(result.shared_files), *elsewhere_lines(result.files_elsewhere))
    for line in (*warned, *unkept_lines(result.unkept)):
        err(line)
    if json:
        from penstock.cli.reading import print_result

        print_result(result)
    else:
        for name, output in result.outputs_json().items():
            out(f"{name} = {value(output)}")
            path = result.outputs.stored_path(name)
            if path is not None:
                out(f"    {os.path.relpath(path)}")
    return {"succeeded": SUCCEEDED, "cancelled": CANCELLED}.get(result.state, FAILED)
